//! What a rule may ask of its node while it runs, and who answers.
//!
//! A run is paused while its ask is answered. The engine that runs rules only carries words to and fro: what may be asked
//! of the tracker, what must happen once only, and what a trial only pretends is its host's to know ([`Host`]).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::replica::Fields;
use crate::clock::Time;

/// Most bytes that one answer of a tracker may have for a rule.
pub const MOST_ANSWER: usize = 1 << 20;
/// Longest path of a request, its query included.
pub const MOST_PATH: usize = 13_000;

/// How a request to the tracker is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something: twice makes two.
    Post,
    /// Replaces.
    Put,
    /// Changes values.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// By the word that HTTP has for it.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|method| method.as_str() == text)
    }

    /// It changes nothing.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Get)
    }

    /// Done twice it has done what once does.
    pub const fn repeats(self) -> bool {
        !matches!(self, Self::Post)
    }
}

/// A request to the connection's own tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Path and query; never an address.
    pub path: String,
    /// What is sent along.
    #[serde(default)]
    pub body: Option<Value>,
}

impl Request {
    /// Refuses what is no path of the tracker's own.
    pub fn check(&self) -> Result<(), Unanswered> {
        let refuse = |why: &str| Err(Unanswered::refused("bad_path", format!("httpClient: {why}")));
        let whole = self.path.as_str();
        let path = whole.split('?').next().unwrap_or_default();
        if !whole.starts_with('/') || whole.starts_with("//") || path.contains('\\') {
            return refuse("rules reach their own tracker only: give the path, as in /services/data/v62.0/query, and no address");
        }
        if whole.len() > MOST_PATH {
            return refuse(&format!("the path has {} bytes; at most {MOST_PATH} are sent", whole.len()));
        }
        if whole.contains('#') || whole.chars().any(char::is_control) {
            return refuse("the path has a letter that none can have: a control character, or # (write %23)");
        }
        let lowered = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
        if lowered.split('/').any(|part| part == "..") {
            return refuse("the path must not go back by `..`");
        }
        Ok(())
    }
}

/// One ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Ask {
    /// `httpClient.get` and its sisters.
    Request(Request),
    /// `nodeHelper.getUserByEmail`.
    User {
        /// Of the user.
        email: String,
    },
    /// `nodeHelper.getLocalIssueKeyFromRemoteId`.
    Twin {
        /// Key of the other side's record.
        key: String,
        /// Type of ours, where that matters.
        entity_type: Option<String>,
    },
    /// `store(entity)`.
    Store {
        /// The type that the rule chose so far.
        entity_type: Option<String>,
        /// What it assigned so far.
        assigned: Fields,
    },
}

/// Why an ask has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The rule is told so, and may go on.
    Refused {
        /// Short word: the tracker's own where it has one.
        code: String,
        /// What happened, with the tracker's own words.
        message: String,
    },
    /// The run ends here; its host knows why.
    Ended,
}

impl Unanswered {
    /// A refusal.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::Refused { code: code.to_owned(), message: message.into() }
    }
}

/// What a run takes for now, and what its chance begins from. A rerun of work that had effects gets the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `Date.now()`, for the whole run.
    pub now: Time,
    /// Where `Math.random()` begins.
    pub seed: u32,
}

/// Answers what a run asks. It may wait, and must not run a rule: the run that waits may hold the last worker.
#[async_trait::async_trait]
pub trait Host: Send + Sync {
    /// See [`Moment`].
    fn moment(&self) -> Moment;
    /// Answers one ask.
    async fn ask(&self, ask: Ask) -> Result<Value, Unanswered>;
}

/// Answers nothing: for rules that are run without a node around them.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

#[async_trait::async_trait]
impl Host for Nobody {
    fn moment(&self) -> Moment {
        Moment { now: Time(0), seed: 0 }
    }

    async fn ask(&self, _: Ask) -> Result<Value, Unanswered> {
        Err(Unanswered::refused("nobody", "nobody is there to answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_trackers_own_pass() {
        let check = |path: &str| Request { method: Method::Get, path: path.to_owned(), body: None }.check();
        for path in ["/query?q=SELECT Id FROM User WHERE Name = 'a..b//c'", "/services/data/v62.0/limits", "/a/...", "/", "/a//b"]
        {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for path in [
            "https://evil.example/",
            "http:/x",
            "//evil.example/x",
            "/\\evil.example",
            "\\\\evil",
            "",
            "query",
            " /query",
            "@evil.example/",
            "/a/../../x",
            "/a/%2e%2E/x",
            "/a/.%2e",
            "/a%2f..%2fb",
            "/a\nHost: evil",
            "/a\0",
            "/a#b",
            "/..",
            "/a/%2e./",
        ] {
            assert!(matches!(check(path), Err(Unanswered::Refused { .. })), "{path}");
        }
        assert!(check(&format!("/{}", "x".repeat(MOST_PATH))).is_err());
    }
}
