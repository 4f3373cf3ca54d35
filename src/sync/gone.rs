//! A changed record that is not there any more: deleted, or no longer visible to us.

use super::{
    judge::lines_of,
    outgoing::Worker,
    record::{Case, draft, park},
    settle::{Again, Settle, Trouble},
};
use crate::domain::{event::Body, history::Outcome, tracker::Found, twin::Status};

/// Ends the twins of a record that its tracker calls deleted.
pub(super) fn deleted(worker: &Worker, case: &Case, done: &mut Settle) {
    if case.twins.is_empty() {
        let reason = Some("the record is deleted and was not under sync".to_owned());
        done.history = lines_of(worker, (&case.entity_type, &case.key), &case.changes, (None, None), Outcome::Skipped, reason);
    }
    for twin in &case.twins {
        let ids = (Some(twin.connection_id), Some(twin.id));
        let lines = |outcome, reason: &str| {
            lines_of(worker, (&case.entity_type, &case.key), &case.changes, ids, outcome, Some(reason.to_owned()))
        };
        if twin.status == Status::Stopped {
            done.history.extend(lines(Outcome::Skipped, "stopped"));
            continue;
        }
        let mut twin = twin.clone();
        twin.memory.deleted_here = true;
        twin.status = Status::Stopped;
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
        done.history = lines_of(
            worker,
            (&case.entity_type, &case.key),
            &case.changes,
            (None, None),
            Outcome::Skipped,
            Some(trouble.title.clone()),
        );
        return;
    }
    done.ended_changes.clear();
    for twin in case.twins.clone() {
        if twin.status == Status::Stopped {
            continue;
        }
        done.join(park(worker, twin, case, trouble.clone()));
    }
    if done.parks.is_empty() {
        done.ended_changes = case.ids();
        done.history = lines_of(
            worker,
            (&case.entity_type, &case.key),
            &case.changes,
            (None, None),
            Outcome::Skipped,
            Some("stopped".to_owned()),
        );
    }
}
