//! How a twin's events end without a write: finished, parked, or told that the record is gone; and the word on it that
//! goes to the other side.

use super::{
    asks::both,
    decide::Item,
    fold::Folded,
    outgoing::Worker,
    record::draft,
    settle::{Again, Park, Settle, Trouble, line},
};
use crate::domain::{
    event::{Body, ResultBody},
    history::{Direction, HistoryLine, Outcome},
    tracker::Found,
    twin::{Status, Twin},
};

/// Ends or parks the events of a twin whose record cannot be read.
pub(super) fn without_record(worker: &Worker, mut twin: Twin, item: &Item) -> Settle {
    match &item.record {
        Some(Found::Deleted) => {
            twin.memory.deleted_here = true;
            twin.status = Status::Stopped;
            let key = twin.local.as_ref().map(|local| local.key.clone()).unwrap_or_default();
            let word = draft(worker, &twin, Body::Deleted { key }, None);
            let mut settle = finish(worker, twin, &item.folded, Outcome::Skipped, Some("the record was deleted here".to_owned()));
            settle.drafts.push(word);
            settle
        }
        Some(Found::Failed(error)) => {
            let trouble = Trouble::from(error);
            park(worker, twin, &item.folded, trouble)
        }
        _ => {
            let trouble = Trouble {
                code: "not_visible".to_owned(),
                title: "The record is no longer visible to the integration user".to_owned(),
                detail: "it is not found, and is not listed as deleted".to_owned(),
                advice: "Give the integration user access to it, or stop its sync.".to_owned(),
                again: Again::Hourly,
            };
            park(worker, twin, &item.folded, trouble)
        }
    }
}

/// Our word on their events.
pub(super) fn word(
    worker: &Worker,
    twin: &Twin,
    folded: &Folded,
    outcome: Outcome,
    title: Option<String>,
) -> crate::store::rows::Draft {
    let local = twin.local.as_ref();
    let body = ResultBody {
        up_to: folded.up_to,
        outcome,
        title,
        entity_type: local.map(|local| local.entity_type.clone()),
        key: local.map(|local| local.key.clone()),
        url: local.and_then(|local| local.url.clone()),
        traces: Vec::new(),
    };
    draft(worker, twin, Body::Result(body), folded.correlation)
}

/// Ends all events of a twin without a write.
pub(super) fn finish(worker: &Worker, mut twin: Twin, folded: &Folded, outcome: Outcome, reason: Option<String>) -> Settle {
    twin.memory.seen = twin.memory.seen.max(folded.up_to);
    let history = lines(worker, &twin, folded, outcome, reason.clone());
    let mut settle = Settle { history, ended_events: folded.rows.clone(), ..Settle::default() };
    if twin.status == Status::Parked && !twin.memory.parked_out {
        settle.healed.push((twin.connection_id, twin.id));
        twin.status = if twin.local.is_some() { Status::InSync } else { Status::Waiting };
    }
    if folded.deleted || folded.stopped {
        twin.memory.deleted_there = folded.deleted;
        twin.memory.stop_event = None;
        twin.status = Status::Stopped;
    }
    settle.ended.push((twin.connection_id, twin.id, Direction::In));
    if twin.status == Status::Stopped {
        settle.ended.extend(both(&twin));
        let_go(&mut twin);
        settle.healed.push((twin.connection_id, twin.id));
    }
    settle.drafts.push(word(worker, &twin, folded, outcome, reason));
    settle.twins.push(twin);
    settle
}

/// A twin that ends is not held up by anything any more, and waits for no answer.
pub(super) fn let_go(twin: &mut Twin) {
    twin.memory.parked_out = false;
    twin.memory.waits_for_person = false;
    twin.memory.pending_write = None;
}

/// Ends the events of a twin that is not to be here, and the twin on both sides.
pub(super) fn refuse(worker: &Worker, mut twin: Twin, folded: &Folded, reason: String) -> Settle {
    twin.status = Status::Stopped;
    let stop = draft(worker, &twin, Body::Stop {}, folded.correlation);
    twin.memory.stop_event = Some(stop.id);
    let mut settle = finish(worker, twin, folded, Outcome::Skipped, Some(reason));
    settle.drafts.push(stop);
    settle
}

/// Parks a twin; its events stay. One that the other side has ended is not held up any more: what could not be done is
/// told, and it ends.
pub(super) fn park(worker: &Worker, mut twin: Twin, folded: &Folded, trouble: Trouble) -> Settle {
    if folded.deleted || folded.stopped {
        return finish(worker, twin, folded, Outcome::Skipped, Some(trouble.title));
    }
    let first_time = twin.status != Status::Parked;
    twin.status = Status::Parked;
    twin.memory.parked_out = false;
    let mut history =
        if first_time { lines(worker, &twin, folded, Outcome::Parked, Some(trouble.title.clone())) } else { Vec::new() };
    history.truncate(1);
    let told = word(worker, &twin, folded, Outcome::Parked, Some(trouble.title.clone()));
    let parked = Park { twin: twin.id, connection: twin.connection_id, trouble, way: super::settle::Way::In, word: Some(told) };
    Settle { twins: vec![twin], parks: vec![parked], history, ..Settle::default() }
}

/// A line for the newest event, and one for each that it carried.
pub(super) fn lines(worker: &Worker, twin: &Twin, folded: &Folded, outcome: Outcome, reason: Option<String>) -> Vec<HistoryLine> {
    let now = worker.parts.clock.now();
    let mut newest = line(twin, now, Direction::In, outcome);
    newest.reason = reason;
    newest.took_ms = i64::try_from(now.since(folded.received_at).as_millis()).unwrap_or(i64::MAX);
    newest.correlation = folded.correlation;
    let mut lines = vec![newest];
    for n in &folded.superseded {
        let mut carried = line(twin, now, Direction::In, Outcome::Superseded);
        carried.reason = Some(format!("event {n} was carried by event {}", folded.sync_n));
        lines.push(carried);
    }
    lines
}
