//! What a changed record needs before anybody reads it: nothing, for its state is known or nobody syncs it; a pause, for
//! it may be our own create; what its notice tells; or a read.
//!
//! The trap: a record that no twin knows may be the one that we are just making, and its notice may come before the answer
//! to our create. Where records show our mark, a read tells; elsewhere it waits for the creates that were under way when
//! it came, and for no later ones, or a busy tracker would hold it for ever.

use std::time::Duration;

use super::{
    judge::Known,
    outgoing::Worker,
    stand_in::{self, Told},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Source},
        history::Outcome,
        twin::{Status, Twin},
    },
};

/// How soon a record is looked at again that may be our own create; later, where that takes long.
pub(super) const OWN_CREATE: Duration = Duration::from_millis(250);
/// The longest such pause.
const OWN_CREATE_MOST: Duration = Duration::from_secs(2);
/// The longest pause while a record that was adopted is still to be settled.
const ADOPTING_MOST: Duration = Duration::from_secs(30);
/// How soon a record is looked at again that waits for a new epoch.
const RESYNC: Duration = Duration::from_millis(100);

/// What is to be done about a record first.
pub(super) enum Triage {
    Read,
    Told(Box<Told>),
    End(Outcome, String),
    Later(Time),
}

/// Which question the changes of one record put.
pub(super) async fn triage(worker: &Worker, known: &Known, entity_type: &str, changes: &[Change], twins: &[Twin]) -> Triage {
    let asked = changes.iter().any(is_asked);
    let could_start = known.triggers.iter().any(|trigger| {
        !twins.iter().any(|twin| twin.connection_id == trigger.connection_id)
            && known.connections.get(&trigger.connection_id).is_some_and(|one| !one.is_new())
    });
    if twins.is_empty() && !asked && !could_start {
        return Triage::End(Outcome::Skipped, nobody_syncs(known, entity_type));
    }
    // After a set-back a twin is told first with what the other side had of it, and a record that no twin knows may be
    // one that a restore forgot: the other side tells.
    if known.resync_due || known.resyncing && twins.is_empty() && !asked {
        return Triage::Later(worker.parts.clock.now().plus(RESYNC));
    }
    // Where a record shows our mark, a read tells whether it is ours; elsewhere it waits until that is known.
    if twins.is_empty()
        && !asked
        && worker.tracker.mark_field(entity_type).is_none()
        && let Some(due) = own_create(worker, known, changes)
    {
        return Triage::Later(due);
    }
    if twins.iter().any(|twin| is_being_made(known, twin)) {
        return Triage::Later(later(worker, changes, ADOPTING_MOST));
    }
    let only_twins = !could_start && !asked && !twins.is_empty();
    if only_twins && twins.iter().all(|twin| twin.memory.waits_for_person) {
        return Triage::Later(super::settle::NEVER);
    }
    if only_twins && twins.iter().all(|twin| twin.status == Status::Stopped && !twin.memory.deleted_here) {
        return Triage::End(Outcome::Skipped, "stopped".to_owned());
    }
    if only_twins && stand_in::all_known(worker, known, changes, twins).await {
        return Triage::End(Outcome::Unchanged, "that state was read already".to_owned());
    }
    match stand_in::told(worker, known, changes, twins).await {
        Some(told) => Triage::Told(Box::new(told)),
        None => Triage::Read,
    }
}

/// Somebody wants this record looked at for one connection, whatever its notices and triggers say.
pub(super) fn is_asked(change: &Change) -> bool {
    change.change.connection.is_some() && matches!(change.change.source, Source::Person | Source::Engine | Source::Trigger)
}

/// Why no connection takes a record: "where is my case?" is answered with what to do.
fn nobody_syncs(known: &Known, entity_type: &str) -> String {
    let pending = known.triggers.iter().find_map(|trigger| known.connections.get(&trigger.connection_id));
    match pending {
        Some(connection) => {
            format!("the connection `{}` is pending: nothing flows before the other side has joined", connection.name)
        }
        None => format!("no connection syncs {entity_type} records of this tracker: none has an enabled trigger for them"),
    }
}

/// When to look again at a record that no twin knows: it may be one of the creates that were under way when it came.
pub(super) fn own_create(worker: &Worker, known: &Known, changes: &[Change]) -> Option<Time> {
    let came = changes.iter().map(|change| change.change.received_at).min()?;
    known.creates.iter().any(|(_, since)| *since <= came).then(|| later(worker, changes, OWN_CREATE_MOST))
}

/// A pause that grows with the time that the changes have waited.
fn later(worker: &Worker, changes: &[Change], most: Duration) -> Time {
    let now = worker.parts.clock.now();
    let waited = changes.iter().map(|change| now.since(change.change.received_at)).max().unwrap_or_default();
    now.plus((waited / 4).clamp(OWN_CREATE, most))
}

/// Its record was made or adopted for the other side, and the event that asked for it is not settled yet: what it holds
/// is not known as theirs.
fn is_being_made(known: &Known, twin: &Twin) -> bool {
    let theirs = known.connections.get(&twin.connection_id).is_some_and(|one| twin.started_by != one.side);
    let memory = &twin.memory;
    theirs && memory.sent.is_none() && memory.received.is_none() && !memory.linked && twin.status != Status::Stopped
}
