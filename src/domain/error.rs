//! An error that somebody should see: what happened, whose fault it is, whether a retry helps, what to do.

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, ErrorId, TwinId};
use crate::clock::Time;

/// What is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorScope)]
pub enum Scope {
    /// One pair of records.
    Twin,
    /// One connection.
    Connection,
    /// One tracker.
    Tracker,
    /// The whole node.
    Node,
}

impl Scope {
    /// As it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twin => "twin",
            Self::Connection => "connection",
            Self::Tracker => "tracker",
            Self::Node => "node",
        }
    }
}

/// An open error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Error)]
pub struct ErrorRecord {
    /// Its id.
    pub id: ErrorId,
    /// What is held up.
    pub scope: Scope,
    /// The connection, where one is meant.
    pub connection_id: Option<ConnectionId>,
    /// The twin, where one is meant.
    pub twin_id: Option<TwinId>,
    /// The tracker, where one is meant.
    pub tracker: Option<String>,
    /// Short word for grouping: a thousand equal errors are one row to a person.
    #[serde(default)]
    pub code: String,
    /// One line.
    pub title: String,
    /// What happened, with the tracker's own words.
    pub detail: String,
    /// What to do.
    pub advice: String,
    /// Trying again may help without a person.
    pub retryable: bool,
    /// Tries so far.
    pub attempts: u32,
    /// First time.
    pub occurred_at: Time,
    /// Next try by itself, if any.
    pub next_attempt_at: Option<Time>,
}

impl ErrorRecord {
    /// Whether a person's retry has something to try. A twin's always has, for the person may have mended what was wrong.
    /// Elsewhere another try changes nothing where it says so: to skip it is to have read it.
    pub fn has_something_to_try(&self) -> bool {
        self.scope == Scope::Twin || self.retryable
    }
}
