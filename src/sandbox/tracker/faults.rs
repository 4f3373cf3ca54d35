//! Faults on demand: the next writes go wrong in a chosen way.

use serde::Deserialize;

/// What happens instead of the right answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum TrackerFaultKind {
    /// The work is done, the connection is dropped without an answer.
    LoseAnswer,
    /// The work is done, nothing is answered for so many milliseconds, then the connection is dropped.
    HangAfterWork(u64),
    /// The connection is dropped before any work.
    ResetBefore,
    /// Nothing happens for so many milliseconds, then the connection is dropped.
    Hang(u64),
    /// 429 with `Retry-After` of so many seconds.
    TooMany(u64),
    /// 503, with `Retry-After` of so many seconds where given.
    Unavailable(Option<u64>),
    /// 400 with this text.
    Refuse(String),
    /// 404: there is no such record, or none for us.
    Missing,
    /// 410.
    Gone,
    /// 409 with this key.
    Conflict(String),
}

/// A fault for the next writes (`reads`: for the next reads).
#[derive(Clone, Debug, Deserialize)]
pub struct TrackerFault {
    /// What happens.
    #[serde(flatten)]
    pub kind: TrackerFaultKind,
    /// How many times; the fault is used up then.
    #[serde(default = "once")]
    pub times: u32,
    /// Meant for reads, not for writes.
    #[serde(default)]
    pub reads: bool,
    /// Only messages that hold this text.
    #[serde(default)]
    pub body: Option<String>,
}

fn once() -> u32 {
    1
}

impl TrackerFaultKind {
    /// The work is done and nobody hears of it.
    pub(super) fn loses_answer(&self) -> bool {
        matches!(self, Self::LoseAnswer | Self::HangAfterWork(_))
    }
}

impl TrackerFault {
    /// The next `times` writes.
    pub fn on_writes(times: u32, kind: TrackerFaultKind) -> Self {
        Self { kind, times, reads: false, body: None }
    }

    /// The next `times` reads.
    pub fn on_reads(times: u32, kind: TrackerFaultKind) -> Self {
        Self { reads: true, ..Self::on_writes(times, kind) }
    }
}

/// The fault that this call meets, counted off.
pub(super) fn meet(faults: &mut Vec<TrackerFault>, read: bool, body: &[u8]) -> Option<TrackerFaultKind> {
    let hit = faults.iter_mut().find(|fault| {
        fault.reads == read && fault.body.as_ref().is_none_or(|part| String::from_utf8_lossy(body).contains(part.as_str()))
    })?;
    hit.times = hit.times.saturating_sub(1);
    let kind = hit.kind.clone();
    faults.retain(|fault| fault.times > 0);
    Some(kind)
}
