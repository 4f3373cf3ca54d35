//! What one node hands the other (link.md, "Events"): the exact JSON on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    history::Outcome,
    ids::{EventId, TwinId},
    replica::Fields,
};
use crate::clock::Time;

/// A record named across the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteRef {
    /// Entity type by its own tracker's name.
    pub entity_type: String,
    /// Key by its own tracker.
    pub key: String,
    /// Where a person of that side sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a link does first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Both records stay as they are.
    #[default]
    None,
    /// The speaker's values are made true at the listener.
    Send,
    /// The listener's values are made true at the speaker.
    Receive,
}

/// An event's own words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// The record as it is.
    Sync(Box<Sync>),
    /// What became of the peer's events of this twin up to a number.
    Result(ResultBody),
    /// Make these two a twin.
    Link {
        /// The speaker's record.
        local: RemoteRef,
        /// The listener's record.
        remote: RemoteRef,
        /// What happens first.
        #[serde(default)]
        start: Start,
    },
    /// The record is gone at the speaker.
    Deleted {
        /// Its key there.
        key: String,
    },
    /// The twin is stopped at the speaker.
    Stop {},
    /// Every twin of this epoch has been sent.
    Resynced {},
    /// The event of this number was too large for the way and left without its words; its twin is parked at the speaker.
    Empty {},
}

/// The record as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sync {
    /// Entity type by the speaker's tracker.
    pub entity_type: String,
    /// Key by the speaker's tracker.
    pub key: String,
    /// Where a person of that side sees it.
    #[serde(default)]
    pub url: Option<String>,
    /// The neutral copy.
    pub replica: Fields,
    /// When the record says it last changed, on the speaker's node clock.
    #[serde(default)]
    pub modified_at: Option<Time>,
    /// For each replica field that differs from what was sent before: when the difference was first seen.
    #[serde(default)]
    pub changed: BTreeMap<String, Time>,
    /// Hashes of node key and tracker name that the record has come through.
    #[serde(default)]
    pub via: Vec<String>,
    /// After a set-back: the last replica applied from the other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Fields>,
    /// After a set-back: `changed` is all that differs from what the listener had when it last spoke, and these are the
    /// values that it had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Fields>,
    /// After a set-back: the listener's record that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteRef>,
}

/// What became of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultBody {
    /// Up to this number of the listener's events, for this twin.
    pub up_to: u64,
    /// `applied`, `skipped` or `parked`.
    pub outcome: Outcome,
    /// One line for people.
    #[serde(default)]
    pub title: Option<String>,
    /// The speaker's record.
    #[serde(default)]
    pub entity_type: Option<String>,
    /// The speaker's key.
    #[serde(default)]
    pub key: Option<String>,
    /// Where a person of that side sees it.
    #[serde(default)]
    pub url: Option<String>,
    /// Which comment and file became which.
    #[serde(default)]
    pub traces: Vec<Value>,
}

impl Body {
    /// The word in `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sync(_) => "sync",
            Self::Result(_) => "result",
            Self::Link { .. } => "link",
            Self::Deleted { .. } => "deleted",
            Self::Stop {} => "stop",
            Self::Resynced {} => "resynced",
            Self::Empty {} => "empty",
        }
    }
}

/// An event that has its number: what is stored and sent, byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 per epoch and direction.
    pub n: u64,
    /// Its id.
    pub id: EventId,
    /// The twin; `None` for `resynced`.
    pub twin: Option<TwinId>,
    /// Number of the listener's last event that the speaker had applied to that twin.
    #[serde(default)]
    pub seen: u64,
    /// When it was made, by the speaker's node clock.
    pub at: Time,
    /// Follows one change through both nodes' logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<super::ids::CorrelationId>,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}
