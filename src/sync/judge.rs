//! What becomes of a batch of changed records: which are known already, which must be read, whose trigger they match,
//! what their outgoing rules make of them.
//!
//! The order of questions is the order of cost: the store, then one read for all, then one query per trigger, then a
//! rule run per twin. A record that nobody syncs is never read; one whose newest notice shows a state that we have read
//! already costs nothing, and so does one whose notice stands in for the read ([`super::stand_in`]).
//!
//! The trap: a stamp has whole seconds, so it proves "known" only if our read began in a later second of the tracker's own
//! clock.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    outgoing::{ByKey, Worker},
    record::{self, Case},
    settle::Settle,
    stand_in::{self, Told},
    together::together,
    triage::{Triage, is_asked, triage},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Source},
        connection::Connection,
        history::{Direction, HistoryLine, Outcome},
        ids::{ConnectionId, TwinId},
        replica::Fields,
        tracker::{Caller, Entity, Found, Read, TrackerError},
        trigger::Trigger,
        twin::Twin,
    },
    store::{StoreError, rows::WaitingRecord},
};

/// Why a batch was not finished; its changes stay.
#[derive(Debug)]
pub(super) enum Failure {
    Tracker(TrackerError),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TrackerError> for Failure {
    fn from(error: TrackerError) -> Self {
        Self::Tracker(error)
    }
}

/// What the store knows of a batch.
pub(super) struct Known {
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub triggers: Vec<Trigger>,
    pub changes: ByKey<Change>,
    pub twins: ByKey<Twin>,
    /// Creates under way into this type, and since when.
    pub creates: Vec<(TwinId, Time)>,
    /// After a set-back: what was made before is still being told.
    pub resyncing: bool,
    /// After a set-back: what we hold is still to be told, with what the other side had of it.
    pub resync_due: bool,
    /// What the outgoing rules read, by connection with a twin or a trigger here.
    pub needs: BTreeMap<ConnectionId, Option<BTreeSet<String>>>,
}

/// Works through one batch; all its records are leased by the caller.
pub(super) async fn batch(worker: &Worker, entity_type: &str, keys: &[String]) -> Result<(), Failure> {
    let mut known = load(worker, entity_type, keys).await?;
    let involved = known.connections.values().filter(|one| {
        let has_twin = known.twins.values().flatten().any(|twin| twin.connection_id == one.id);
        has_twin || known.triggers.iter().any(|trigger| trigger.connection_id == one.id)
    });
    known.needs = stand_in::needs_of(worker, involved).await;
    let mut done = Settle::default();
    let (mut cases, mut to_read) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(changes) = known.changes.get(key).filter(|changes| !changes.is_empty()) else { continue };
        let twins = known.twins.get(key).map_or(&[][..], Vec::as_slice);
        match triage(worker, &known, entity_type, changes, twins).await {
            Triage::Read => to_read.push(key.clone()),
            Triage::Told(told) => {
                cases.push(Case::new(entity_type, key, (changes, twins), *told, worker.tracker.clock_offset_ms()))
            }
            Triage::End(outcome, reason) => end(worker, &mut done, (entity_type, key), changes, twins, outcome, &reason),
            Triage::Later(due) => done.delayed.push((changes.iter().map(|change| change.id).collect(), due)),
        }
    }
    done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "changes_known").await?;
    cases.extend(read(worker, &known, entity_type, &to_read).await?);
    if cases.is_empty() {
        return Ok(());
    }
    let matching = matching(worker, &known, entity_type, &cases).await?;
    settle(worker, &known, cases, &matching).await
}

/// One read for all that nothing else tells of.
async fn read(worker: &Worker, known: &Known, entity_type: &str, keys: &[String]) -> Result<Vec<Case>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let read = match worker.tracker.read(Caller::Sync, entity_type, keys).await {
        Ok(read) => read,
        Err(error) if error.concerns_all() => return Err(error.into()),
        // This type cannot be read: that is told at its records and holds up no others.
        Err(error) => {
            let offset = worker.tracker.clock_offset_ms();
            Read { found: vec![Found::Failed(error); keys.len()], tracker_time: None, clock_offset_ms: offset }
        }
    };
    let mut cases = Vec::with_capacity(keys.len());
    for (key, found) in keys.iter().zip(read.found) {
        let changes = known.changes.get(key).map_or(&[][..], Vec::as_slice);
        let twins = known.twins.get(key).map_or(&[][..], Vec::as_slice);
        let told = Told { found, partial: false, read_at: read.tracker_time };
        cases.push(Case::new(entity_type, key, (changes, twins), told, read.clock_offset_ms));
    }
    Ok(cases)
}

async fn settle(
    worker: &Worker,
    known: &Known,
    cases: Vec<Case>,
    matching: &BTreeMap<ConnectionId, Vec<String>>,
) -> Result<(), Failure> {
    use futures_util::StreamExt as _;
    let mut results =
        futures_util::stream::iter(cases).map(|case| record::settle(worker, known, case, matching)).buffer_unordered(8);
    loop {
        let ended = together(&mut results).await;
        if ended.is_empty() {
            return Ok(());
        }
        let mut done = Settle::default();
        for one in ended {
            done.join(one);
        }
        done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "changes_settled").await?;
    }
}

async fn load(worker: &Worker, entity_type: &str, keys: &[String]) -> Result<Known, StoreError> {
    let (tracker, entity_type, keys) = (worker.name.clone(), entity_type.to_owned(), keys.to_vec());
    worker
        .parts
        .store
        .read("batch_known", move |tx| {
            Box::pin(async move {
                let records: Vec<WaitingRecord> =
                    keys.iter().map(|key| WaitingRecord { entity_type: entity_type.clone(), key: key.clone() }).collect();
                let mut changes: ByKey<Change> = BTreeMap::new();
                for change in tx.changes_of(&tracker, &records).await? {
                    changes.entry(change.change.key.clone()).or_default().push(change);
                }
                let mut twins: ByKey<Twin> = BTreeMap::new();
                for twin in tx.twins_of_records(&tracker, &entity_type, &keys).await? {
                    if let Some(local) = &twin.local {
                        twins.entry(local.key.clone()).or_default().push(twin);
                    }
                }
                let connections = tx.connections_of(&tracker).await?;
                let (mut resyncing, mut resync_due) = (false, false);
                for (connection, link) in &connections {
                    resyncing |= link.resyncing || link.resync_due;
                    resync_due |= link.resync_due;
                    for twin in twins.values_mut().flatten().filter(|twin| twin.connection_id == connection.id) {
                        twin.enter(link.epoch);
                    }
                }
                let mut triggers = tx.triggers_of_tracker(&tracker).await?;
                triggers.retain(|trigger| trigger.entity_type == entity_type);
                Ok(Known {
                    connections: connections.into_iter().map(|(one, _)| (one.id, one)).collect(),
                    triggers,
                    changes,
                    twins,
                    creates: tx.creates_under_way(&tracker, &entity_type).await?,
                    resyncing,
                    resync_due,
                    needs: BTreeMap::new(),
                })
            })
        })
        .await
}

fn end(
    worker: &Worker,
    done: &mut Settle,
    (entity_type, key): (&str, &str),
    changes: &[Change],
    twins: &[Twin],
    outcome: Outcome,
    reason: &str,
) {
    done.ended_changes.extend(changes.iter().map(|change| change.id));
    let reason = || Some(reason.to_owned());
    if twins.is_empty() {
        done.history.extend(lines_of(worker, (entity_type, key), changes, (None, None), outcome, reason()));
    }
    for twin in twins {
        let (concerned, ids) = (concerning(changes, twin), (Some(twin.connection_id), Some(twin.id)));
        done.ended.push((twin.connection_id, twin.id, Direction::Out));
        done.history.extend(lines_of(worker, (entity_type, key), &concerned, ids, outcome, reason()));
    }
}

/// The changes that a twin has to do with: not those that were kept for a twin of another connection.
pub(super) fn concerning(changes: &[Change], twin: &Twin) -> Vec<Change> {
    let all = changes.iter().filter(|change| change.change.connection.is_none_or(|only| only == twin.connection_id));
    all.cloned().collect()
}

/// One line for the newest change, and one for each that it carried.
pub(super) fn lines_of(
    worker: &Worker,
    (entity_type, key): (&str, &str),
    changes: &[Change],
    (connection_id, twin_id): (Option<ConnectionId>, Option<TwinId>),
    outcome: Outcome,
    reason: Option<String>,
) -> Vec<HistoryLine> {
    let now = worker.parts.clock.now();
    let newest = changes.last();
    let mut lines = Vec::new();
    for change in changes {
        let is_newest = newest.is_some_and(|newest| newest.id == change.id);
        let carried_by = || newest.map(|newest| format!("carried by the change of {}", newest.change.received_at));
        lines.push(HistoryLine {
            at: now,
            tracker: worker.name.clone(),
            entity_type: entity_type.to_owned(),
            key: key.to_owned(),
            connection_id,
            twin_id,
            direction: Direction::Out,
            outcome: if is_newest { outcome } else { Outcome::Superseded },
            reason: if is_newest { reason.clone() } else { carried_by() },
            changes: Vec::new(),
            took_ms: i64::try_from(now.since(change.change.received_at).as_millis()).unwrap_or(i64::MAX),
            correlation: Some(change.change.correlation),
        });
    }
    lines
}

/// Which records match a trigger of a connection that has no twin of them yet: one query per trigger.
async fn matching(
    worker: &Worker,
    known: &Known,
    entity_type: &str,
    cases: &[Case],
) -> Result<BTreeMap<ConnectionId, Vec<String>>, Failure> {
    let mut matching: BTreeMap<ConnectionId, Vec<String>> = BTreeMap::new();
    for trigger in &known.triggers {
        let Some(connection) = known.connections.get(&trigger.connection_id) else { continue };
        if connection.is_new() {
            continue;
        }
        let candidates: Vec<Entity> = cases
            .iter()
            .filter(|case| !case.twins.iter().any(|twin| twin.connection_id == trigger.connection_id))
            .filter(|case| !only_old_look(case, trigger) && !only_asked(case))
            .filter_map(Case::entity)
            .collect();
        if candidates.is_empty() {
            continue;
        }
        let entities: Vec<&Entity> = candidates.iter().collect();
        let answers = match worker.tracker.matches(Caller::Sync, entity_type, &trigger.filter, &entities).await {
            Ok(answers) => answers,
            Err(error) if error.concerns_all() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(connection = %connection.id, trigger = %trigger.id, "the trigger's filter was refused: {error}");
                super::holdup::filter_refused(worker, connection, &error).await?;
                continue;
            }
        };
        let found = candidates.iter().zip(answers).filter(|(_, matches)| *matches).map(|(entity, _)| entity.key.clone());
        matching.entry(trigger.connection_id).or_default().extend(found);
    }
    Ok(matching)
}

/// All that came was asked for by name, for one connection: no trigger has a say.
fn only_asked(case: &Case) -> bool {
    case.changes.iter().all(is_asked)
}

/// The look brings no history: a record last changed before its trigger was made is no match. Stamps have whole seconds,
/// by the tracker's clock.
fn only_old_look(case: &Case, trigger: &Trigger) -> bool {
    case.changes.iter().all(|change| change.change.source == Source::Look)
        && case
            .changes
            .iter()
            .filter_map(|change| change.change.content.as_ref()?.stamp)
            .max()
            .is_some_and(|stamp| Time(stamp.0 + case.offset_ms).seconds() < trigger.created_at.seconds())
}

/// What a tracker that cannot be asked is known to hold: what the twin remembers, overlaid with what notices brought.
pub(super) fn overlay(known: Option<&Fields>, changes: &[Change]) -> Fields {
    let mut fields = known.cloned().unwrap_or_default();
    for content in changes.iter().filter_map(|change| change.change.content.as_ref()) {
        if content.whole {
            fields = content.fields.clone();
        } else {
            for (name, value) in &content.fields {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    fields
}
