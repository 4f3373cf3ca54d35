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
