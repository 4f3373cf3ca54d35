//! One changed record, read: what each connection that cares makes of it.

use std::collections::BTreeMap;

use super::{
    judge::{Failure, Known, lines_of, overlay},
    outgoing::Worker,
    plan::{self, outgoing::Decision},
    settle::{Again, NEVER, Park, Settle, Trouble},
    view,
};
use crate::{
    clock::Time,
    domain::{
        change::Change,
        connection::Connection,
        error::{ErrorRecord, Scope},
        event::{Body, Sync},
        history::{FieldChange, Outcome},
        ids::{ConnectionId, EntityRef, ErrorId, EventId, TwinId, twin_id},
        replica,
        rule::RuleInput,
        tracker::{Entity, Found, Read, TrackerError},
        twin::{Memory, Status, Twin},
    },
    store::{StoreError, rows::Draft},
};

/// A changed record with all that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub entity_type: String,
    pub key: String,
    pub changes: Vec<Change>,
    pub twins: Vec<Twin>,
    pub found: Found,
}

impl Case {
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
    read: &Read,
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
    let others_via = vias(worker, &case.twins);
    for twin in &mut case.twins {
        plan::settle::note_read(&mut twin.memory, &entity);
        twin.memory.read_at = read.tracker_time;
    }
    let wanted: Vec<ConnectionId> = case.changes.iter().filter_map(|change| change.change.connection).collect();
    for (id, keys) in matching {
        let has_twin = case.twins.iter().any(|twin| twin.connection_id == *id);
        if has_twin || !keys.contains(&case.key) {
            continue;
        }
        if let Some(connection) = known.connections.get(id) {
            case.twins.push(new_twin(worker, connection, &entity));
        }
    }
    for id in wanted {
        if !case.twins.iter().any(|twin| twin.connection_id == id)
            && let Some(connection) = known.connections.get(&id)
        {
            case.twins.push(new_twin(worker, connection, &entity));
        }
    }
    if case.twins.is_empty() {
        let reason = "no trigger matches this record".to_owned();
        done.history =
            lines_of(worker, (&case.entity_type, &case.key), &case.changes, (None, None), Outcome::Skipped, Some(reason));
        return done;
    }
    for twin in case.twins.clone() {
        let Some(connection) = known.connections.get(&twin.connection_id) else { continue };
        done.join(speak(worker, connection, twin, &entity, &case, (read, &others_via)).await);
    }
    // A change that was delayed for one twin's sake has not ended.
    let kept: Vec<i64> =
        done.delayed.iter().flat_map(|(ids, _)| ids).chain(done.parks.iter().flat_map(|park| &park.changes)).copied().collect();
    done.ended_changes.retain(|id| !kept.contains(id));
    done
}

/// Runs the outgoing rule for one twin and compares.
async fn speak(
    worker: &Worker,
    connection: &Connection,
    mut twin: Twin,
    entity: &Entity,
    case: &Case,
    (read, via): (&Read, &[String]),
) -> Settle {
    let mut done = Settle::default();
    let lines = |outcome, reason| {
        lines_of(
            worker,
            (&case.entity_type, &case.key),
            &case.changes,
            (Some(twin.connection_id), Some(twin.id)),
            outcome,
            reason,
        )
    };
    if connection.is_new() {
        done.history = lines(Outcome::Skipped, Some("the connection is pending".to_owned()));
        return done;
    }
    if twin.status == Status::Stopped && !twin.memory.deleted_here {
        done.history = lines(Outcome::Skipped, Some("stopped".to_owned()));
        done.twins.push(twin);
        return done;
    }
    if twin.memory.waits_for_person {
        done.delayed.push((case.ids(), NEVER));
        return done;
    }
    if twin.memory.deleted_here {
        twin.memory.deleted_here = false;
        twin.memory.owes_word = true;
        twin.status = if twin.remote.is_some() { Status::InSync } else { Status::Waiting };
    }
    let (shown, put_back) = plan::settle::without_cut_edits(&twin.memory, &entity.fields);
    let shown = Entity { fields: shown, ..entity.clone() };
    let pair = match view::rules(worker, connection).await {
        Ok(pair) => pair,
        Err(trouble) => return park(worker, twin, case, trouble),
    };
    let input = RuleInput::Outgoing {
        entity: view::entity(&shown),
        previous: twin.memory.sent.clone(),
        first_sync: twin.remote.is_none(),
        connection: view::connection(connection),
    };
    let output = match worker.parts.rules.run(&pair.outgoing, &input).await {
        Ok(output) => output,
        Err(error) => {
            let trouble = Trouble::rule("outgoing", &error);
            twin.memory.waits_for_person = trouble.again == Again::Person;
            return park(worker, twin, case, trouble);
        }
    };
    if let Some(reason) = output.skip {
        done.history = lines(Outcome::Skipped, Some(reason));
        if twin.memory.sent.is_some() || twin.memory.received.is_some() {
            done.twins.push(twin);
        }
        return done;
    }
    if let Err(error) = replica::check(&output.replica) {
        let trouble = Trouble {
            code: "replica_too_large".to_owned(),
            title: "The replica is too large".to_owned(),
            detail: error.to_string(),
            advice: "Let the outgoing rule send less of this record.".to_owned(),
            again: Again::Newer,
        };
        return park(worker, twin, case, trouble);
    }
    let now = worker.parts.clock.now();
    let modified_at = entity.modified_at.map_or(now, |at| Time(at.0 + read.clock_offset_ms));
    let decision = plan::outgoing::plan(
        &mut twin.memory,
        plan::outgoing::Seen { fields: &shown.fields, replica: &output.replica, modified_at, now },
    );
    if matches!(case.found, Found::CannotAsk) {
        twin.memory.known = Some(entity.fields.clone());
    }
    let mut cut_lines = put_back_lines(&twin.memory, entity, &put_back);
    match decision {
        Decision::Unchanged => done.history = lines(Outcome::Unchanged, None),
        Decision::PingPong { field, flip } => return park(worker, twin, case, ping_pong(&field, &flip)),
        Decision::Send { changed, changes } => {
            let mut told = lines(Outcome::Sent, None);
            if let Some(line) = told.iter_mut().find(|line| line.outcome == Outcome::Sent) {
                line.changes = changes;
            }
            done.history = told;
            let event = Sync {
                entity_type: entity.entity_type.clone(),
                key: entity.key.clone(),
                url: entity.url.clone(),
                replica: output.replica,
                modified_at: Some(modified_at),
                changed,
                via: via.to_vec(),
                applied: None,
                remote: None,
            };
            done.drafts.push(draft(
                worker,
                &twin,
                Body::Sync(Box::new(event)),
                case.changes.last().map(|change| change.change.correlation),
            ));
            twin.last_synced_at = Some(now);
        }
    }
    if let Some(line) = done.history.iter_mut().find(|line| line.outcome != Outcome::Superseded) {
        line.changes.append(&mut cut_lines);
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
        seen: twin.memory.seen,
        at: worker.parts.clock.now(),
        correlation,
        body,
    }
}

fn new_twin(worker: &Worker, connection: &Connection, entity: &Entity) -> Twin {
    fresh(worker, connection, twin_id(connection.id, connection.side, &entity.entity_type, &entity.key), entity)
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
        memory: Memory { stamp: entity.stamp, ..Memory::default() },
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

pub(super) fn park(worker: &Worker, mut twin: Twin, case: &Case, trouble: Trouble) -> Settle {
    twin.status = Status::Parked;
    twin.memory.parked_out = true;
    let history = lines_of(
        worker,
        (&case.entity_type, &case.key),
        &case.changes,
        (Some(twin.connection_id), Some(twin.id)),
        Outcome::Parked,
        Some(trouble.title.clone()),
    );
    let parked = Park { twin: twin.id, connection: twin.connection_id, trouble, changes: case.ids(), word: None };
    Settle { twins: vec![twin], parks: vec![parked], history, ..Settle::default() }
}

fn ping_pong(field: &str, flip: &crate::domain::twin::Flip) -> Trouble {
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

fn put_back_lines(memory: &Memory, entity: &Entity, names: &[String]) -> Vec<FieldChange> {
    names
        .iter()
        .map(|name| FieldChange {
            field: name.clone(),
            from: plan::value(&entity.fields, name).clone(),
            to: plan::value(&memory.base, name).clone(),
            conflict: true,
        })
        .collect()
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
