//! One changed record, read: what each connection that cares makes of it.

use std::collections::BTreeMap;

use super::{
    holdup::{carrier, park, ping_pong},
    judge::{Known, concerning, lines_of, overlay},
    outgoing::Worker,
    pauses,
    plan::{self, outgoing::Decision},
    settle::{Again, Settle, Trouble},
    stand_in::Told,
    triage::{OWN_CREATE, is_asked, own_create},
    view,
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Source},
        connection::Connection,
        event::{Body, Sync},
        history::{Direction, FieldChange, Outcome},
        ids::{ConnectionId, EntityRef, EventId, TwinId, twin_id},
        replica,
        tracker::{Entity, Found},
        twin::{Memory, Status, Twin},
    },
    store::{LeaseKey, rows::Draft},
};

/// A changed record with all that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub entity_type: String,
    pub key: String,
    pub changes: Vec<Change>,
    pub twins: Vec<Twin>,
    pub found: Found,
    /// Fields that `found` does not name are unknown.
    pub partial: bool,
    /// When it was read, by the tracker's clock.
    pub read_at: Option<Time>,
    /// What to add to the tracker's times to get ours.
    pub offset_ms: i64,
}

impl Case {
    pub(super) fn new(entity_type: &str, key: &str, (changes, twins): (&[Change], &[Twin]), told: Told, offset_ms: i64) -> Self {
        let (changes, twins) = (changes.to_vec(), twins.to_vec());
        let Told { found, partial, read_at } = told;
        Self { entity_type: entity_type.to_owned(), key: key.to_owned(), changes, twins, found, partial, read_at, offset_ms }
    }

    /// The record with what the twin knows of fields that were not told.
    fn completed(&self, twin: &Twin, entity: &Entity) -> Entity {
        let mut whole = entity.clone();
        if self.partial {
            let told = std::mem::replace(&mut whole.fields, twin.memory.base.clone());
            whole.fields.extend(told);
        }
        whole
    }

    /// The record as it is, where it is there.
    pub(super) fn entity(&self) -> Option<Entity> {
        match &self.found {
            Found::Here(entity) => Some((**entity).clone()),
            Found::CannotAsk if !self.told_deleted() => {
                let known = self.twins.iter().find_map(|twin| twin.memory.known.as_ref());
                let content = self.changes.iter().rev().find_map(|change| change.change.content.as_ref());
                Some(Entity {
                    entity_type: self.entity_type.clone(),
                    key: self.key.clone(),
                    url: content.and_then(|content| content.url.clone()),
                    fields: overlay(known, &self.changes),
                    modified_at: content.and_then(|content| content.stamp),
                    ..Entity::default()
                })
            }
            _ => None,
        }
    }

    fn told_deleted(&self) -> bool {
        self.changes.last().and_then(|change| change.change.content.as_ref()).is_some_and(|content| content.deleted)
    }

    fn is_deleted(&self) -> bool {
        matches!(self.found, Found::Deleted) || matches!(self.found, Found::CannotAsk) && self.told_deleted()
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.changes.iter().map(|change| change.id).collect()
    }
}

/// Judges one record for all connections that care.
pub(super) async fn settle(
    worker: &Worker,
    known: &Known,
    mut case: Case,
    matching: &BTreeMap<ConnectionId, Vec<String>>,
) -> Settle {
    let mut done = Settle { ended_changes: case.ids(), ..Settle::default() };
    if case.is_deleted() {
        super::gone::deleted(worker, &case, &mut done);
        return done;
    }
    let Some(entity) = case.entity() else {
        super::gone::cannot_see(worker, &case, &mut done);
        return done;
    };
    let asked: Vec<ConnectionId> =
        case.changes.iter().filter(|change| is_asked(change)).filter_map(|change| change.change.connection).collect();
    if case.twins.is_empty()
        && asked.is_empty()
        && let Some(due) = is_being_made(worker, known, &case, &entity)
    {
        return Settle { delayed: vec![(case.ids(), due)], ..Settle::default() };
    }
    let others_via = vias(worker, &case.twins);
    for twin in &mut case.twins {
        plan::settle::note_read(&mut twin.memory, &entity, case.read_at);
    }
    for (id, connection) in &known.connections {
        let wanted = asked.contains(id) || matching.get(id).is_some_and(|keys| keys.contains(&case.key));
        if !wanted || case.twins.iter().any(|twin| twin.connection_id == *id) {
            continue;
        }
        let Some(mut twin) = new_twin(worker, connection, &entity, &mut done) else {
            // The other side's word on this very twin is being taken in.
            let due = worker.parts.clock.now().plus(OWN_CREATE);
            return Settle { delayed: vec![(case.ids(), due)], ..Settle::default() };
        };
        plan::settle::note_read(&mut twin.memory, &entity, case.read_at);
        case.twins.push(twin);
    }
    if case.twins.is_empty() {
        let reason = "no trigger matches this record".to_owned();
        done.history =
            lines_of(worker, (&case.entity_type, &case.key), &case.changes, (None, None), Outcome::Skipped, Some(reason));
        return done;
    }
    for twin in case.twins.clone() {
        let Some(connection) = known.connections.get(&twin.connection_id) else { continue };
        let changes = concerning(&case.changes, &twin);
        if !changes.is_empty() {
            done.join(speak(worker, connection, twin, &entity, (&case, &changes), &others_via).await);
        }
    }
    done
}

/// When to look again at a record that shows our mark while its create, or what was made before a set-back, is still to
/// be settled.
fn is_being_made(worker: &Worker, known: &Known, case: &Case, entity: &Entity) -> Option<Time> {
    let mark = entity.mark?;
    let ours = known.creates.iter().any(|(twin, _)| *twin == mark) || known.resyncing;
    ours.then(|| own_create(worker, known, &case.changes).unwrap_or_else(|| worker.parts.clock.now().plus(OWN_CREATE)))
}

/// Runs the outgoing rule for one twin and compares.
async fn speak(
    worker: &Worker,
    connection: &Connection,
    mut twin: Twin,
    entity: &Entity,
    (case, changes): (&Case, &[Change]),
    via: &[String],
) -> Settle {
    let mut done = Settle::default();
    let ids = (Some(twin.connection_id), Some(twin.id));
    let lines = |outcome, reason| lines_of(worker, (&case.entity_type, &case.key), changes, ids, outcome, reason);
    let work = (twin.connection_id, twin.id, Direction::Out);
    if connection.is_new() {
        done.history = lines(Outcome::Skipped, Some("the connection is pending".to_owned()));
        return done;
    }
    if twin.status == Status::Stopped && !twin.memory.deleted_here {
        done.history = lines(Outcome::Skipped, Some("stopped".to_owned()));
        done.ended.push(work);
        done.twins.push(twin);
        return done;
    }
    if twin.memory.waits_for_person {
        done.kept.extend(carrier(changes, twin.connection_id));
        return done;
    }
    if twin.memory.deleted_here {
        twin.memory.deleted_here = false;
        twin.memory.owes_word = true;
        twin.status = if twin.remote.is_some() { Status::InSync } else { Status::Waiting };
    }
    let entity = &case.completed(&twin, entity);
    let (mut shown, put_back) = plan::settle::without_cut_edits(&twin.memory, &entity.fields);
    if plan::settle::changed_since(&twin.memory, &entity.fields) {
        // Told from here on as people's edit, it would look like the baseline to whoever repeats the write.
        twin.memory.pending_write = None;
    }
    plan::settle::without_open_write(&twin.memory, &mut shown);
    let shown = Entity { fields: shown, ..entity.clone() };
    let task = match view::work(worker, connection, &twin, Direction::Out).await {
        Ok(task) => task,
        Err(trouble) => return park(worker, twin, case, trouble),
    };
    if worker.pauses.holds((twin.connection_id, Direction::Out), &twin, Some(task.pair.version)) {
        return pauses::held_out(twin, changes);
    }
    let input = match view::outgoing(worker, connection, &twin.memory, &shown, twin.remote.is_none()).await {
        Ok(input) => input,
        Err(trouble) => return park(worker, twin, case, trouble),
    };
    let ran = worker.parts.rules.run(&task.pair.outgoing, &input, &task.desk).await;
    done.lookups = task.desk.lookups(Default::default);
    let output = match ran {
        Ok(output) => output,
        Err(error) => {
            let trouble = task.desk.trouble(Direction::Out, &error).unwrap_or_else(|_| Trouble::rule(Direction::Out, &error));
            let failed = pauses::Failed { way: Direction::Out, version: task.pair.version, error: &error };
            // What may only lack what it looked for is no word against the rule.
            let held = trouble.again == Again::Person && worker.pauses.failed(worker, &twin, failed).await;
            done.join(if held { pauses::held_out(twin, changes) } else { park(worker, twin, case, trouble) });
            return done;
        }
    };
    worker.pauses.worked(worker, (twin.connection_id, Direction::Out)).await;
    done.ended.push(work);
    if let Some(reason) = output.skip {
        done.history = lines(Outcome::Skipped, Some(reason));
        if twin.memory.sent.is_some() || twin.memory.received.is_some() {
            done.twins.push(twin);
        }
        return done;
    }
    let now = worker.parts.clock.now();
    let told_at = changes.iter().filter_map(|change| change.change.content.as_ref()?.told_at).max();
    let modified_at = entity.modified_at.or(told_at).map_or(now, |at| Time(at.0 + case.offset_ms).min(now));
    let decision = plan::outgoing::plan(
        &mut twin.memory,
        plan::outgoing::Seen { fields: &shown.fields, replica: &output.replica, modified_at, now },
    );
    twin.memory.sent_by = Some(task.pair.version);
    if matches!(case.found, Found::CannotAsk) {
        twin.memory.known = Some(entity.fields.clone());
    }
    let mut cut_lines = put_back_lines(&mut twin.memory, entity, &put_back);
    match decision {
        Decision::Unchanged => done.history = lines(Outcome::Unchanged, None),
        Decision::PingPong { field, flip } => return park(worker, twin, case, ping_pong(&field, &flip)),
        Decision::Send { changed, changes: steps } => {
            let mut told = lines(Outcome::Sent, None);
            if let Some(line) = told.iter_mut().find(|line| line.outcome == Outcome::Sent) {
                line.changes = steps;
            }
            done.history = told;
            let event = Sync {
                entity_type: entity.entity_type.clone(),
                key: entity.key.clone(),
                url: entity.url.clone(),
                replica: output.replica.clone(),
                modified_at: Some(modified_at),
                changed,
                via: via.to_vec(),
                applied: None,
                confirmed: None,
                remote: None,
            };
            let correlation = changes.last().map(|change| change.change.correlation);
            done.drafts.push(draft(worker, &twin, Body::Sync(Box::new(event)), correlation));
            let bulk = changes.iter().all(|change| change.change.source == Source::Trigger);
            done.bulk.extend(bulk.then_some(twin.connection_id));
            twin.last_synced_at = Some(now);
        }
    }
    if let Some(line) = done.history.iter_mut().find(|line| line.outcome != Outcome::Superseded) {
        line.changes.append(&mut cut_lines);
    }
    let correlation = changes.last().map(|change| change.change.correlation);
    let told = super::afterwards::outgoing(worker, connection, (&mut twin, &output.wishes), correlation, &mut done).await;
    let told: Vec<String> = task.desk.told().into_iter().chain(told).collect();
    if let Some(line) = done.history.iter_mut().find(|line| line.outcome != Outcome::Superseded && !told.is_empty()) {
        line.reason = Some(line.reason.iter().chain(&told).cloned().collect::<Vec<_>>().join("; "));
    }
    if twin.status == Status::Parked && twin.memory.parked_out {
        done.healed.push((twin.connection_id, twin.id));
        twin.memory.parked_out = false;
        twin.status = if twin.remote.is_some() { Status::InSync } else { Status::Waiting };
    }
    done.twins.push(twin);
    done
}

/// A draft of this twin.
pub(super) fn draft(worker: &Worker, twin: &Twin, body: Body, correlation: Option<crate::domain::ids::CorrelationId>) -> Draft {
    Draft {
        connection_id: twin.connection_id,
        id: EventId(worker.parts.clock.id()),
        twin: Some(twin.id),
        seen: if matches!(body, Body::Sync(_)) { heard_up_to(twin) } else { twin.memory.seen },
        at: worker.parts.clock.now(),
        correlation,
        body,
    }
}

/// What we may say to have seen: nothing after the event whose fields are still undecided, or the decider would take
/// those of ours for an answer to it.
fn heard_up_to(twin: &Twin) -> u64 {
    twin.memory.undecided_since.map_or(twin.memory.seen, |since| since.min(twin.memory.seen))
}

/// A twin that this side starts; `None` while its events are in other hands.
fn new_twin(worker: &Worker, connection: &Connection, entity: &Entity, done: &mut Settle) -> Option<Twin> {
    let id = twin_id(connection.id, connection.side, &entity.entity_type, &entity.key);
    done.leases.push(worker.parts.store.leases().take(vec![LeaseKey::Twin(id)])?);
    Some(fresh(worker, connection, id, entity))
}

/// A twin that this side starts.
fn fresh(worker: &Worker, connection: &Connection, id: TwinId, entity: &Entity) -> Twin {
    Twin {
        id,
        connection_id: connection.id,
        tracker: worker.name.clone(),
        status: Status::Waiting,
        started_by: connection.side,
        local: Some(EntityRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() }),
        remote: None,
        peer_seen: 0,
        remote_outcome: None,
        created_at: worker.parts.clock.now(),
        last_synced_at: None,
        memory: Memory::default(),
    }
}

/// Everything that the record has come through, and we.
fn vias(worker: &Worker, twins: &[Twin]) -> Vec<String> {
    let mut via: Vec<String> = worker.parts.via.get(&worker.name).cloned().into_iter().collect();
    via.extend(twins.iter().flat_map(|twin| twin.memory.via.iter().cloned()));
    via.sort();
    via.dedup();
    via
}

/// Tells each edit of a cut text once: what was typed, and the value that the other side goes on with.
fn put_back_lines(memory: &mut Memory, entity: &Entity, names: &[String]) -> Vec<FieldChange> {
    memory.cut_edits.retain(|name, _| names.contains(name));
    let mut lines = Vec::new();
    for name in names {
        let (typed, stays) = (plan::value(&entity.fields, name).clone(), plan::value(&memory.base, name).clone());
        if memory.cut_edits.insert(name.clone(), typed.clone()).is_some_and(|told| replica::same(&told, &typed)) {
            continue;
        }
        lines.push(FieldChange { field: name.clone(), from: typed, to: stays, conflict: true });
    }
    lines
}
