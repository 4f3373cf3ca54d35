//! What holds up the way out: a parked twin, and the one change that waits with it.
//!
//! A record's changes end together, for all its twins. Where one twin is held up, its connection alone keeps a change
//! (the *carrier*): the newest, with all that the notices said. What comes later merges with it, and a retry or a person
//! lets it go on, while the record's other twins have long ended theirs.

use super::{
    judge::{Failure, concerning, lines_of},
    outgoing::Worker,
    record::Case,
    settle::{Again, Park, Settle, Trouble},
};
use crate::{
    domain::{
        change::{Change, Content, NewChange},
        connection::Connection,
        error::{ErrorRecord, Scope},
        history::Outcome,
        ids::{ConnectionId, ErrorId},
        tracker::TrackerError,
        twin::{Status, Twin},
    },
    store::StoreError,
};

/// Parks a twin on its way out.
pub(super) fn park(worker: &Worker, mut twin: Twin, case: &Case, trouble: Trouble) -> Settle {
    let changes = concerning(&case.changes, &twin);
    let only_again = twin.status == Status::Parked && twin.memory.parked_out && changes.iter().all(was_kept);
    twin.status = Status::Parked;
    twin.memory.parked_out = true;
    twin.memory.waits_for_person = trouble.again == Again::Person;
    let ids = (Some(twin.connection_id), Some(twin.id));
    let reason = Some(trouble.title.clone());
    let mut history = lines_of(worker, (&case.entity_type, &case.key), &changes, ids, Outcome::Parked, reason);
    if only_again {
        history.clear();
    }
    let carrier = carrier(&changes, twin.connection_id);
    let parked = Park {
        twin: twin.id,
        connection: twin.connection_id,
        trouble,
        way: super::settle::Way::Out(carrier.map(Box::new)),
        word: None,
    };
    Settle { twins: vec![twin], parks: vec![parked], history, ..Settle::default() }
}

/// It was kept before: its due time was moved.
pub(super) fn was_kept(change: &Change) -> bool {
    change.change.due_at != change.change.received_at
}

/// The newest of these changes, kept for one connection, with what all of them said.
pub(super) fn carrier(changes: &[Change], connection: ConnectionId) -> Option<NewChange> {
    let newest = &changes.last()?.change;
    let content = changes.iter().filter_map(|change| change.change.content.clone()).reduce(together);
    Some(NewChange { connection: Some(connection), notice_id: None, content, ..newest.clone() })
}

/// What an earlier notice and a later one say together.
fn together(earlier: Content, later: Content) -> Content {
    if later.whole || later.deleted {
        return later;
    }
    let mut fields = earlier.fields;
    fields.extend(later.fields);
    Content { fields, whole: earlier.whole, url: later.url.or(earlier.url), ..later }
}

pub(super) fn ping_pong(field: &str, flip: &crate::domain::twin::Flip) -> Trouble {
    Trouble {
        code: "ping_pong".to_owned(),
        title: format!("The field `{field}` goes back and forth"),
        detail: format!(
            "this side writes {} and the other side writes {}, {} times within ten minutes",
            flip.ours, flip.theirs, flip.count
        ),
        advice: "Find what writes this field on each side (a flow, an automation), let only one of them, then retry.".to_owned(),
        again: Again::Person,
    }
}

/// A trigger whose filter the tracker refuses: one error of the connection, its other triggers go on.
pub(super) async fn filter_refused(worker: &Worker, connection: &Connection, error: &TrackerError) -> Result<(), Failure> {
    let (id, now, connection_id) = (ErrorId(worker.parts.clock.id()), worker.parts.clock.now(), connection.id);
    let (detail, advice) = (error.detail.clone(), "Mend the trigger's filter.".to_owned());
    let stored: Result<(), StoreError> = worker
        .parts
        .store
        .write("filter_refused", move |tx| {
            Box::pin(async move {
                let known = tx.error_of(&connection_id.to_string(), "trigger_filter").await?;
                tx.put_error(&ErrorRecord {
                    id: known.as_ref().map_or(id, |known| known.id),
                    scope: Scope::Connection,
                    connection_id: Some(connection_id),
                    twin_id: None,
                    tracker: None,
                    code: "trigger_filter".to_owned(),
                    title: "A trigger's filter was refused".to_owned(),
                    detail,
                    advice,
                    retryable: false,
                    attempts: known.as_ref().map_or(0, |known| known.attempts) + 1,
                    occurred_at: known.map_or(now, |known| known.occurred_at),
                    next_attempt_at: None,
                })
                .await
            })
        })
        .await;
    Ok(stored?)
}
