//! One pair of entities under sync, and what the node remembers of it.
//!
//! ```text
//!            first match                   both records known, nothing held up
//!   (none) ─────────────▶ waiting ────────────────────────────▶ in_sync ◀──────┐
//!                            │                                     │ error     │ retry, skip, newer change
//!                            └──────────── error ───────────▶ parked ──────────┘
//!   any ──stop──▶ stopped ──start again, with the record it had──▶ waiting
//! ```
//!
//! The memory ([`Memory`]) is what makes promise 5 hold. Everything in it is content, never "who did it":
//!
//! * `base`: our record's fields at the moment whose replica the other side knows. A field that differs from it now was
//!   changed here since.
//! * `sent`: the replica that the outgoing rule makes of `base`. A new replica is compared with it.
//! * `received`: the last replica of the other side that is in effect here (`previous` of the incoming rule).
//! * `assigned`: what the incoming rule last assigned, by our field. The same value again means "the remote did not
//!   change it", so a local edit stays.
//!
//! The trap: a value that our tracker changed on writing (trimmed, rounded, cut) must go to `base` as the tracker has
//! it and to `assigned` as the rule gave it, or each side would write for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    history::Outcome,
    ids::{ConnectionId, EntityRef, Side, TwinId, WriteId},
    replica::Fields,
};
use crate::clock::Time;

/// Where a twin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TwinStatus)]
pub enum Status {
    /// A create or an answer is under way.
    Waiting,
    /// Both records are known and nothing is held up.
    InSync,
    /// Held up; its error says why.
    Parked,
    /// Ended by a person, a rule, a delete or the other side; passed over until started again.
    Stopped,
}

impl Status {
    /// As it stands in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InSync => "in_sync",
            Self::Parked => "parked",
            Self::Stopped => "stopped",
        }
    }
}

impl std::str::FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Waiting, Self::InSync, Self::Parked, Self::Stopped]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no status of a twin"))
    }
}

/// How the other side's last word on our events read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RemoteOutcome {
    /// `applied`, `skipped` or `parked`.
    pub outcome: Outcome,
    /// One line for people.
    pub title: Option<String>,
    /// When we heard it.
    pub at: Time,
}

/// A write that may have left and has no answer yet: kept before the call, cleared with its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingWrite {
    /// A repeat carries the same.
    pub id: WriteId,
    /// When it first left: stands in the repeated body too.
    pub started_at: Time,
    /// Entity type by our tracker.
    pub entity_type: String,
    /// `None`: a create.
    pub key: Option<String>,
    /// Values by our tracker's field names.
    pub fields: Fields,
    /// Up to this number of the other side's events it carries.
    pub up_to: u64,
    /// The epoch of `up_to`.
    pub epoch: u64,
    /// An update: what is received of the other side once it is in effect.
    #[serde(default)]
    pub received: Option<Fields>,
}

/// How often a field went back and forth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// The value that left last.
    pub ours: Value,
    /// The value that came last.
    pub theirs: Value,
    /// Times it went around.
    pub count: u32,
    /// Since when.
    pub since: Time,
}

/// A difference that was told, and not heard of since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// The value that the other side had before.
    pub from: Value,
    /// When the difference was first seen.
    pub at: Time,
}

/// What the node remembers of a twin beside its columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// See the module.
    pub base: Fields,
    /// See the module. `None`: the other side knows nothing of our record yet.
    pub sent: Option<Fields>,
    /// Version of the outgoing rule that made it; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_by: Option<u32>,
    /// See the module. `None`: nothing of the other side is in effect here.
    pub received: Option<Fields>,
    /// See the module.
    pub assigned: Fields,
    /// The other side's last event that is in effect here (its number in this epoch).
    pub seen: u64,
    /// The epoch that `seen`, `undecided_since` and the twin's `peer_seen` belong to.
    pub epoch: u64,
    /// What left and was not heard of yet, by replica field: after a set-back it tells what is really new.
    pub unconfirmed: BTreeMap<String, Unconfirmed>,
    /// We were set back, and the other side's word on this twin has not come yet.
    pub set_back: bool,
    /// When differences that are not sent yet were first seen, by replica field.
    pub first_seen: BTreeMap<String, Time>,
    /// Replica fields left alone until the deciding side speaks (we are not it).
    pub undecided: Vec<String>,
    /// `seen` before the event that left the first of those open: for them, nothing after it was seen.
    pub undecided_since: Option<u64>,
    /// Send even if nothing differs: the deciding side (we are it) owes its word on a conflict, or a person asked.
    pub owes_word: bool,
    /// Replica fields that the word is about.
    pub word: Vec<String>,
    /// Values of ours that left after an edit here, by our field: when one comes back it is no change of theirs.
    pub sent_local: Fields,
    /// Our `stop` that the other side may not have heard; until then its events are from before.
    pub stop_event: Option<super::ids::EventId>,
    /// A write without an answer.
    pub pending_write: Option<PendingWrite>,
    /// Fields of ours that hold text cut from a longer original.
    pub cut: Vec<String>,
    /// Edits of those that were told as conflicts.
    pub cut_edits: Fields,
    /// Back-and-forth by our field.
    pub flips: BTreeMap<String, Flip>,
    /// Fields that our tracker has for this record as last read in full, for trackers that cannot be asked.
    pub known: Option<Fields>,
    /// Stamp of the record in our last read, by its tracker's clock.
    pub stamp: Option<Time>,
    /// Tracker's time when that read was answered.
    pub read_at: Option<Time>,
    /// The record named us as its last editor in that read.
    pub stamp_is_ours: bool,
    /// What the other side came through (`via` of its events).
    pub via: Vec<String>,
    /// The record here was deleted.
    pub deleted_here: bool,
    /// The record there was deleted.
    pub deleted_there: bool,
    /// Links that this twin was made by (both keys), so that a restore makes it again.
    pub linked: bool,
    /// What holds the twin up concerns the way out; otherwise the way in.
    pub parked_out: bool,
    /// The outgoing rule failed: later changes merge and wait for a person.
    pub waits_for_person: bool,
}

/// A twin as this node knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// The same on both nodes.
    pub id: TwinId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Our tracker's name.
    pub tracker: String,
    /// Where it is in its life.
    pub status: Status,
    /// The side that started it.
    pub started_by: Side,
    /// Our record; `None` until the create is done.
    pub local: Option<EntityRef>,
    /// The other side's record; `None` until it is told.
    pub remote: Option<EntityRef>,
    /// Number of our last event that the other side had applied to this twin when it last spoke (this epoch).
    pub peer_seen: u64,
    /// The other side's last word.
    pub remote_outcome: Option<RemoteOutcome>,
    /// When it was made here.
    pub created_at: Time,
    /// When a change last took effect on either side.
    pub last_synced_at: Option<Time>,
    /// See [`Memory`].
    pub memory: Memory,
}

impl Twin {
    /// Numbers of another epoch than this say nothing any more.
    pub fn enter(&mut self, epoch: u64) {
        if self.memory.epoch != epoch {
            self.memory.epoch = epoch;
            self.memory.seen = 0;
            self.memory.undecided.clear();
            self.memory.undecided_since = None;
            self.peer_seen = 0;
        }
    }
}
