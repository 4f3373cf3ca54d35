//! Comments and files as replicas, the link and the `webhook` tracker spell them (design, "API v1").

use serde::{Deserialize, Serialize};

/// Who wrote or attached something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    /// As people call them.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
}

/// How a comment's body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text.
    #[default]
    Plain,
    /// HTML.
    Html,
    /// Markdown.
    Markdown,
}

/// A comment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comment {
    /// Its id where it stands.
    pub id: Option<String>,
    /// The id of the comment that it came from.
    pub remote_id: Option<String>,
    /// Who wrote it.
    pub author: Option<Author>,
    /// What it says.
    pub body: String,
    /// How that is written.
    pub format: Format,
    /// Customers see it.
    pub public: bool,
    /// When it was written, as its tracker tells.
    pub created_at: Option<String>,
    /// When it was last changed, as its tracker tells.
    pub updated_at: Option<String>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Its id where it stands.
    pub id: Option<String>,
    /// The id of the file that it came from.
    pub remote_id: Option<String>,
    /// Its name.
    pub filename: String,
    /// What it says it is; nobody trusts that.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Its digest, in hexadecimal.
    pub sha256: Option<String>,
    /// Where it can be fetched.
    pub url: Option<String>,
    /// When it was attached, as its tracker tells.
    pub created_at: Option<String>,
}
