//! After the tracker answered: what the twin remembers, what the other side is told, what else the read-back showed.

use super::{
    afterwards,
    asks::Desk,
    decide::Work,
    ending::{lines, park, word},
    outgoing::{Worker, look_at},
    plan,
    settle::{Settle, Trouble},
    view,
};
use crate::domain::{
    change::{NewChange, Source},
    connection::Connection,
    history::{Direction, Outcome},
    ids::{CorrelationId, EntityRef},
    replica::{self, Fields},
    tracker::{Entity, TrackerError, WriteKind, Written},
    twin::{Memory, Status},
};
use crate::store::rows::JournalRow;

/// Settles one write. The second value is an error that concerns the whole tracker.
pub(super) async fn settle(worker: &Worker, work: Work, answer: Result<Written, TrackerError>) -> (Settle, Option<TrackerError>) {
    let lookups = work.lookups.clone();
    let (settle, concerns_all) = settle_one(worker, work, answer).await;
    (Settle { lookups, ..settle }, concerns_all)
}

async fn settle_one(worker: &Worker, mut work: Work, answer: Result<Written, TrackerError>) -> (Settle, Option<TrackerError>) {
    match answer {
        Ok(written) => (done(worker, work, written).await, None),
        Err(error) if error.concerns_all() => {
            // The events stay; a write that surely did not leave is planned anew with what comes meanwhile.
            let mut settle = Settle::default();
            if !error.in_doubt {
                work.twin.memory.pending_write = None;
                settle.twins.push(work.twin);
            }
            (settle, Some(error))
        }
        Err(error) if error.code == "gone" => {
            work.twin.memory.deleted_here = true;
            work.twin.status = Status::Stopped;
            let key = work.twin.local.as_ref().map(|local| local.key.clone()).unwrap_or_default();
            let told =
                super::record::draft(worker, &work.twin, crate::domain::event::Body::Deleted { key }, work.folded.correlation);
            let reason = Some("the record was deleted here".to_owned());
            let mut settle = super::ending::finish(worker, work.twin, &work.folded, Outcome::Skipped, reason);
            settle.drafts.push(told);
            (settle, None)
        }
        Err(error) => {
            if error.in_doubt {
                work.twin.memory.pending_write = Some(work.pending.clone());
            } else {
                work.twin.memory.pending_write = None;
            }
            (park(worker, work.twin, &work.folded, Trouble::from(&error)), None)
        }
    }
}

/// Ends a piece of work whose values were all true already: nothing is written.
pub(super) async fn nothing_to_write(worker: &Worker, work: Work) -> Settle {
    let key = work.before.as_ref().map(|entity| entity.key.clone()).unwrap_or_default();
    let written = Written { key, url: None, read_back: None, existed: false };
    let lookups = work.lookups.clone();
    Settle { lookups, ..done(worker, work, written).await }
}

/// The record that a rule waits for is there: the twin has it, the events stay, and the rule runs again.
fn stored(mut work: Work, mut row: JournalRow, after: Option<&Entity>) -> Settle {
    let memory = &mut work.twin.memory;
    let (received, undecided, word) = (memory.received.clone(), memory.undecided.clone(), memory.word.clone());
    let owes_word = memory.owes_word;
    plan::settle::settle(memory, &work.weighed, &work.chosen, work.before.as_ref(), after);
    // Their word is not in effect before the rule has ended.
    (memory.received, memory.undecided, memory.word, memory.owes_word) = (received, undecided, word, owes_word);
    memory.pending_write = None;
    row.answer = Some("{}".to_owned());
    Settle { twins: vec![work.twin], journal: vec![row], ..Settle::default() }
}

async fn done(worker: &Worker, mut work: Work, written: Written) -> Settle {
    let now = worker.parts.clock.now();
    let twin = &mut work.twin;
    if twin.local.is_none() {
        twin.local = Some(EntityRef {
            entity_type: work.pending.entity_type.clone(),
            key: written.key.clone(),
            url: written.url.clone().or_else(|| written.read_back.as_ref().and_then(|entity| entity.url.clone())),
        });
    }
    let after = written.read_back.as_deref();
    if made_nothing(&work, after) {
        work.twin.memory.pending_write = None;
        return Settle { twins: vec![work.twin], ..Settle::default() };
    }
    if let Some(row) = work.storing.take() {
        return stored(work, row, after);
    }
    let syncs_back = afterwards::syncs_back(&work);
    let twin = &mut work.twin;
    let seen_before = twin.memory.seen;
    plan::settle::settle(&mut twin.memory, &work.weighed, &work.chosen, work.before.as_ref(), after);
    twin.memory.pending_write = None;
    // The hour of a read-back is not told: it proves nothing about notices of the same second.
    twin.memory.read_at = if after.is_none() && work.chosen.write.is_empty() { work.read_at } else { None };
    if work.before.is_none() || twin.memory.known.is_some() {
        let mut known = twin.memory.known.clone().unwrap_or_default();
        known.extend(work.chosen.write.clone());
        twin.memory.known = after.is_none().then_some(known);
    }
    twin.memory.seen = twin.memory.seen.max(work.folded.up_to);
    twin.memory.undecided_since = (!twin.memory.undecided.is_empty()).then(|| twin.memory.undecided_since.unwrap_or(seen_before));
    twin.memory.set_back = false;
    let ended = vec![(twin.connection_id, twin.id, Direction::In)];
    let mut settle = Settle { ended_events: work.folded.rows.clone(), ended, ..Settle::default() };
    // Where nothing had to be written, the record as it was read shows what else changed here.
    let shown = after.or(work.before.as_ref().filter(|_| work.chosen.write.is_empty()));
    let shown = shown.filter(|entity| after.is_some() || !replica::differences(&twin.memory.base, &entity.fields).is_empty());
    let more = remember(worker, &work.connection, twin, shown).await;
    twin.memory.owes_word |= syncs_back;
    if more || twin.memory.owes_word {
        settle.changes.extend(look_again(worker, twin, work.folded.correlation));
    }
    if twin.status == Status::Parked && !twin.memory.parked_out {
        settle.healed.push((twin.connection_id, twin.id));
    }
    let ended = work.folded.deleted || work.folded.stopped;
    if ended {
        super::ending::let_go(twin);
        settle.healed.push((twin.connection_id, twin.id));
    }
    if twin.status != Status::Parked || !twin.memory.parked_out {
        twin.status = if ended { Status::Stopped } else { Status::InSync };
    }
    twin.memory.deleted_there = work.folded.deleted;
    twin.last_synced_at = Some(now);
    settle.drafts.push(word(worker, &work.twin, &work.folded, Outcome::Applied, None));
    let told = afterwards::incoming(worker, &mut work, &mut settle).await;
    work.log.extend(told);
    settle.history = history(worker, &work);
    settle.twins.push(work.twin);
    settle
}

/// After a set-back, whether our create was a repeat for the tracker: the other side knows a record of ours, and it holds
/// something else, or cannot be asked. The record is then ours as it stands, and the next round writes what differs.
fn made_nothing(work: &Work, after: Option<&Entity>) -> bool {
    let known_there = work.folded.sync.as_ref().is_some_and(|sync| sync.remote.is_some());
    let holds = |entity: &Entity| {
        work.chosen.write.iter().all(|(name, value)| replica::same_loosely(value, plan::value(&entity.fields, name)))
    };
    work.kind == WriteKind::Create && known_there && !after.is_some_and(holds)
}

fn history(worker: &Worker, work: &Work) -> Vec<crate::domain::history::HistoryLine> {
    let mut reasons: Vec<String> = work.chosen.cut.iter().map(|field| format!("the text of {field} was cut to fit")).collect();
    if work.folded.stopped {
        reasons.push("stopped by the other side".to_owned());
    }
    if work.folded.deleted {
        reasons.push("the other side's record was deleted; this one stays".to_owned());
    }
    if !work.weighed.undecided.is_empty() {
        reasons.push(format!("left alone until the other side decides: {}", work.weighed.undecided.join(", ")));
    }
    if work.kind == WriteKind::Create {
        reasons.push("created".to_owned());
    }
    reasons.extend(work.log.iter().cloned());
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    let mut told = lines(worker, &work.twin, &work.folded, Outcome::Applied, reason);
    if let Some(newest) = told.first_mut() {
        newest.changes.clone_from(&work.chosen.changes);
        newest.changes.extend(work.weighed.conflicts.iter().cloned());
    }
    told
}

/// Brings `sent` to what the baseline says, and tells whether the read-back holds more than that.
pub(super) async fn remember(
    worker: &Worker,
    connection: &Connection,
    twin: &mut crate::domain::twin::Twin,
    after: Option<&Entity>,
) -> bool {
    let Ok(pair) = view::rules(worker, connection).await else { return true };
    let Some(local) = twin.local.clone() else { return false };
    // What another rule makes of the same record was never sent: it must not pass for known there.
    let by_another = twin.memory.sent_by.replace(pair.version).is_some_and(|version| version != pair.version);
    twin.memory.owes_word |= by_another && twin.memory.sent.is_some();
    let desk = Desk::comparing(worker, connection.id);
    let as_known = Entity {
        entity_type: local.entity_type,
        key: local.key,
        url: local.url,
        fields: twin.memory.base.clone(),
        ..Entity::default()
    };
    let Some(baseline) = replica_of(worker, connection, &pair.outgoing, (&twin.memory, &as_known), &desk).await else {
        return true;
    };
    let Some(entity) = after else {
        twin.memory.sent = Some(baseline);
        return false;
    };
    let Some(fresh) = replica_of(worker, connection, &pair.outgoing, (&twin.memory, entity), &desk).await else { return true };
    let more = !replica::differences(&baseline, &fresh).is_empty();
    if !more {
        twin.memory.base = entity.fields.clone();
    }
    twin.memory.sent = Some(baseline);
    more
}

/// What the outgoing rule makes of a record; `None` where it skips or fails (the way out tells of that).
pub(super) async fn replica_of(
    worker: &Worker,
    connection: &Connection,
    outgoing: &str,
    (memory, entity): (&Memory, &Entity),
    desk: &Desk,
) -> Option<Fields> {
    let (shown, _) = plan::settle::without_cut_edits(memory, &entity.fields);
    let shown = Entity { fields: shown, ..entity.clone() };
    let input = view::outgoing(worker, connection, memory, &shown, memory.sent.is_none()).await.ok()?;
    let output = worker.parts.rules.run(outgoing, &input, desk).await.ok()?;
    output.skip.is_none().then_some(output.replica)
}

/// The record is to be looked at for this connection: it holds more than we wrote, or we owe our word.
pub(super) fn look_again(
    worker: &Worker,
    twin: &crate::domain::twin::Twin,
    correlation: Option<CorrelationId>,
) -> Option<NewChange> {
    let local = twin.local.as_ref()?;
    let record = (local.entity_type.clone(), local.key.clone());
    Some(look_at(worker, twin.connection_id, record, Source::Engine, correlation))
}
