//! A changed record that is not there any more: deleted, or no longer visible to us.

use std::time::Duration;

use super::{
    holdup::park,
    judge::{concerning, lines_of},
    outgoing::Worker,
    record::{Case, draft},
    settle::{Again, Settle, Trouble},
};
use crate::domain::{
    event::Body,
    history::Outcome,
    tracker::{Found, Retry, TrackerError},
    twin::Status,
};

/// How soon, and at most how late, a record is read again that no twin knows and whose read failed.
const UNREAD: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));

/// Ends the twins of a record that its tracker calls deleted.
pub(super) fn deleted(worker: &Worker, case: &Case, done: &mut Settle) {
    if case.twins.is_empty() {
        let reason = Some("the record is deleted and was not under sync".to_owned());
        done.history = lines_of(worker, (&case.entity_type, &case.key), &case.changes, (None, None), Outcome::Skipped, reason);
    }
    for twin in &case.twins {
        let (changes, ids) = (concerning(&case.changes, twin), (Some(twin.connection_id), Some(twin.id)));
        let lines = |outcome, reason: &str| {
            lines_of(worker, (&case.entity_type, &case.key), &changes, ids, outcome, Some(reason.to_owned()))
        };
        if twin.status == Status::Stopped {
            done.history.extend(lines(Outcome::Skipped, "stopped"));
            continue;
        }
        let mut twin = twin.clone();
        twin.memory.deleted_here = true;
        twin.status = Status::Stopped;
        super::ending::let_go(&mut twin);
        done.ended.extend(super::asks::both(&twin));
        done.history.extend(lines(Outcome::Sent, "the record was deleted here"));
        let correlation = case.changes.last().map(|change| change.change.correlation);
        done.drafts.push(draft(worker, &twin, Body::Deleted { key: case.key.clone() }, correlation));
        done.healed.push((twin.connection_id, twin.id));
        done.twins.push(twin);
    }
}

/// The record is there for others perhaps, but not for us; or reading this one failed.
pub(super) fn cannot_see(worker: &Worker, case: &Case, done: &mut Settle) {
    let trouble = match &case.found {
        Found::Failed(error) => Trouble::from(error),
        _ => Trouble {
            code: "not_visible".to_owned(),
            title: "The record is no longer visible to the integration user".to_owned(),
            detail: format!("{} {} is not found, and is not listed as deleted", case.entity_type, case.key),
            advice: "Give the integration user read access to it, or stop its sync.".to_owned(),
            again: Again::Newer,
        },
    };
    if case.twins.is_empty() {
        if let Found::Failed(error) = &case.found
            && comes_back(error)
        {
            done.ended_changes.clear();
            done.delayed.push((case.ids(), later(worker, case)));
            return;
        }
        let reason = Some(trouble.title);
        done.history = lines_of(worker, (&case.entity_type, &case.key), &case.changes, (None, None), Outcome::Skipped, reason);
        return;
    }
    for twin in case.twins.clone() {
        let changes = concerning(&case.changes, &twin);
        if changes.is_empty() {
            continue;
        }
        if twin.status == Status::Stopped {
            let ids = (Some(twin.connection_id), Some(twin.id));
            let reason = Some("stopped".to_owned());
            done.history.extend(lines_of(worker, (&case.entity_type, &case.key), &changes, ids, Outcome::Skipped, reason));
        } else {
            done.join(park(worker, twin, case, trouble.clone()));
        }
    }
}

/// The read failed for a reason that passes: the change must not be lost for it.
fn comes_back(error: &TrackerError) -> bool {
    error.concerns_all() || matches!(error.retry, Retry::Soon(_) | Retry::Hourly)
}

/// The pause grows with the time that the change has waited.
fn later(worker: &Worker, case: &Case) -> crate::clock::Time {
    let now = worker.parts.clock.now();
    let waited = case.changes.iter().map(|change| now.since(change.change.received_at)).max().unwrap_or_default();
    now.plus(waited.clamp(UNREAD.0, UNREAD.1))
}
