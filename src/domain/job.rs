//! Work over many records: what is asked, how far it is, how it ended.
//!
//! ```text
//!   queued ─▶ running ─▶ done | failed
//!      └────────┴──────▶ cancelled          (paused beside: it stands where it is)
//! ```
//!
//! A job is a row with a cursor. Each of its steps ends in one transaction that does the step's part and moves the cursor,
//! so a killed node goes on where it was and does nothing twice. To add a kind: a [`Work`], its steps in `sync::jobs`, and
//! the operation of the API that asks for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ids::{ConnectionId, JobId, TriggerId},
    trigger::Trigger,
};
use crate::clock::Time;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Sync all records that match a trigger.
    TriggerRun {
        /// The trigger.
        trigger: TriggerId,
        /// Its entity type when it was asked.
        entity_type: String,
        /// Its filter when it was asked.
        filter: String,
    },
    /// Say which twins other rules would change; nothing is written.
    RulesPreview {
        /// Entity → replica.
        outgoing: String,
        /// Replica → entity.
        incoming: String,
        /// Only so many twins; `None`: all.
        sample: Option<u32>,
    },
    /// Run the published rules on every twin again.
    RulesReapply {
        /// Their version when it was asked.
        version: u32,
    },
    /// Compare every twin's record, and what the triggers match, with what is known of them.
    Reconcile {
        /// Put right what was found.
        repair: bool,
    },
}

impl Work {
    /// The run of a trigger as it is now.
    pub fn run_of(trigger: &Trigger) -> Self {
        let Trigger { id, entity_type, filter, .. } = trigger;
        Self::TriggerRun { trigger: *id, entity_type: entity_type.clone(), filter: filter.clone() }
    }

    /// The word in `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TriggerRun { .. } => "trigger_run",
            Self::RulesPreview { .. } => "rules_preview",
            Self::RulesReapply { .. } => "rules_reapply",
            Self::Reconcile { .. } => "reconcile",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not begun.
    Queued,
    /// It goes on, also after a restart.
    Running,
    /// All was done.
    Done,
    /// It cannot go on; `detail` says why.
    Failed,
    /// A person ended it.
    Cancelled,
}

/// Where a job stands between two steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Which part of the job: a reconcile goes over twins first, then over one trigger after another.
    pub part: usize,
    /// Behind this item of the part.
    pub after: Option<String>,
    /// Keys whose work was added and has not ended yet.
    pub open: Vec<String>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// What is to be done.
    pub work: Work,
    /// How far it is.
    pub status: Status,
    /// A person stopped it for now.
    pub paused: bool,
    /// Items that are done with.
    pub done: u64,
    /// Items in all, once known.
    pub total: Option<u64>,
    /// How they ended, by the job's own words.
    pub counts: BTreeMap<String, u64>,
    /// Where it stands.
    pub cursor: Cursor,
    /// Why it failed, or why it waits.
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// By whom.
    pub by: String,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// A line of a job's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was found, by the job's own words: the same as in `counts`.
    pub what: String,
    /// The record here, by type and key.
    pub entity_type: String,
    /// See `entity_type`.
    pub key: String,
    /// More, for people and programs.
    pub detail: serde_json::Value,
}

impl Job {
    /// One that waits to begin.
    pub fn new(id: JobId, connection_id: ConnectionId, work: Work, by: String, now: Time) -> Self {
        Self {
            id,
            connection_id,
            work,
            status: Status::Queued,
            paused: false,
            done: 0,
            total: None,
            counts: BTreeMap::new(),
            cursor: Cursor::default(),
            detail: None,
            created_at: now,
            by,
            ended_at: None,
        }
    }

    /// It has not ended.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, Status::Queued | Status::Running)
    }

    /// Its next step may be done.
    pub const fn goes_on(&self) -> bool {
        self.is_open() && !self.paused
    }

    /// Counts items that are done with.
    pub fn count(&mut self, what: &str, items: u64) {
        if items > 0 {
            *self.counts.entry(what.to_owned()).or_default() += items;
            self.done += items;
        }
    }

    /// It ends. What has ended stays as it did.
    pub fn end(&mut self, status: Status, detail: Option<String>, now: Time) {
        if self.is_open() {
            (self.status, self.detail, self.paused, self.ended_at) = (status, detail, false, Some(now));
            self.cursor = Cursor::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_end_is_for_good() {
        let work = Work::Reconcile { repair: false };
        let mut job = Job::new(JobId(Uuid::nil()), ConnectionId(Uuid::nil()), work, "ann".to_owned(), Time(1));
        assert!(job.goes_on());
        job.paused = true;
        assert!(job.is_open() && !job.goes_on());
        job.end(Status::Cancelled, None, Time(2));
        job.end(Status::Done, None, Time(3));
        assert_eq!((job.status, job.paused, job.ended_at), (Status::Cancelled, false, Some(Time(2))));
    }

    #[test]
    fn what_is_counted_is_done() {
        let work = Work::RulesReapply { version: 1 };
        let mut job = Job::new(JobId(Uuid::nil()), ConnectionId(Uuid::nil()), work, "ann".to_owned(), Time(1));
        job.count("sent", 2);
        job.count("parked", 0);
        assert_eq!((job.done, job.counts.len()), (2, 1));
    }
}
