//! How changes and events end, and the line that says so.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{ConnectionId, CorrelationId, TwinId};
use crate::clock::Time;

/// How a change or event ended. Nothing ends otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An event was handed to the outbox.
    Sent,
    /// Nothing differed from what the other side has.
    Unchanged,
    /// A rule or a state said no; the reason tells.
    Skipped,
    /// A newer change carried it; the reason names it.
    Superseded,
    /// The other side's event is in effect here.
    Applied,
    /// It waits for a person, a newer change or another try; the twin's error tells.
    Parked,
}

impl Outcome {
    /// As it stands in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
            Self::Applied => "applied",
            Self::Parked => "parked",
        }
    }
}

impl std::str::FromStr for Outcome {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Sent, Self::Unchanged, Self::Skipped, Self::Superseded, Self::Applied, Self::Parked]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no outcome"))
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From our tracker to the other side.
    Out,
    /// From the other side to our tracker.
    In,
}

impl Direction {
    /// How its rule is called.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Out => "outgoing",
            Self::In => "incoming",
        }
    }
}

/// One field's step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Field by the tracker's name, or by the replica's for what was sent.
    pub field: String,
    /// Value before.
    pub from: Value,
    /// Value after.
    pub to: Value,
    /// Both sides had changed it: `from` is the value that lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
}

/// One line of a record's story; also for records without a twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// When it was decided.
    pub at: Time,
    /// Our tracker's name.
    pub tracker: String,
    /// The record here; empty key while a create is still to be made.
    pub entity_type: String,
    /// Its key.
    pub key: String,
    /// The connection, where one was meant.
    pub connection_id: Option<ConnectionId>,
    /// The twin, where there is one.
    pub twin_id: Option<TwinId>,
    /// Which way.
    pub direction: Direction,
    /// How it ended.
    pub outcome: Outcome,
    /// Why; empty where the outcome says all.
    pub reason: Option<String>,
    /// What changed.
    pub changes: Vec<FieldChange>,
    /// From arrival to outcome, in milliseconds.
    pub took_ms: i64,
    /// Follows it through the logs.
    pub correlation: Option<CorrelationId>,
}
