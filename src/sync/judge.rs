//! What becomes of a batch of changed records: which are known already, which must be read, whose trigger they match,
//! what their outgoing rules make of them.
//!
//! The order of questions is the order of cost: the store, then one read for all, then one query per trigger, then a
//! rule run per twin. A record that nobody syncs is never read; one whose newest notice shows a state that we have read
//! already costs nothing.
//!
//! Traps. A stamp has whole seconds, so it proves "known" only if our read began in a later second of the tracker's own
//! clock. A record that no twin knows may be the one that we are just creating: while a create into its type is under
//! way it waits.

use std::{collections::BTreeMap, time::Duration};

use super::{
    outgoing::{ByKey, Worker},
    record::{self, Case},
    settle::Settle,
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange, Source},
        connection::Connection,
        history::{Direction, HistoryLine, Outcome},
        ids::{ConnectionId, TwinId},
        replica::{self, Fields},
        tracker::{Caller, Entity, Found, Read, TrackerError},
        trigger::Trigger,
        twin::Twin,
    },
    store::{StoreError, rows::WaitingRecord},
};

/// How soon a record is looked at again that may be our own create.
const OWN_CREATE: Duration = Duration::from_millis(250);
/// Records settled in one transaction.
const SETTLED_TOGETHER: usize = 100;

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
    creates: Vec<TwinId>,
}

/// Works through one batch; all its records are leased by the caller.
pub(super) async fn batch(worker: &Worker, entity_type: &str, keys: &[String]) -> Result<(), Failure> {
    let mut known = load(worker, entity_type, keys).await?;
    let mut done = Settle::default();
    let (mut to_read, mut gone) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(changes) = known.changes.get(key).filter(|changes| !changes.is_empty()) else { continue };
        let twins = known.twins.get(key).map_or(&[][..], Vec::as_slice);
        match triage(worker, &known, entity_type, changes, twins) {
            Triage::Read => to_read.push(key.clone()),
            Triage::End(outcome, reason) => end(worker, &mut done, (entity_type, key), changes, twins, outcome, &reason),
            Triage::Gone => gone.push(key.clone()),
            Triage::Later(due) => done.delayed.push((changes.iter().map(|change| change.id).collect(), due)),
        }
    }
    let mut case = |key: &String, found: Found| {
        let changes = known.changes.remove(key).unwrap_or_default();
        let twins = known.twins.remove(key).unwrap_or_default();
        Case { entity_type: entity_type.to_owned(), key: key.clone(), changes, twins, found }
    };
    for key in &gone {
        let case = case(key, Found::Deleted);
        let mut ended = Settle { ended_changes: case.ids(), ..Settle::default() };
        super::gone::deleted(worker, &case, &mut ended);
        done.join(ended);
    }
    done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "changes_known").await?;
    if to_read.is_empty() {
        return Ok(());
    }
    let read = worker.tracker.read(Caller::Sync, entity_type, &to_read).await?;
    let cases: Vec<Case> = to_read.iter().zip(&read.found).map(|(key, found)| case(key, found.clone())).collect();
    let matching = matching(worker, &known, entity_type, &cases).await?;
    settle(worker, &known, cases, &matching, &read).await
}

async fn settle(
    worker: &Worker,
    known: &Known,
    cases: Vec<Case>,
    matching: &BTreeMap<ConnectionId, Vec<String>>,
    read: &Read,
) -> Result<(), Failure> {
    use futures_util::StreamExt as _;
    let mut results = futures_util::stream::iter(cases)
        .map(|case| record::settle(worker, known, case, matching, read))
        .buffer_unordered(8)
        .ready_chunks(SETTLED_TOGETHER);
    while let Some(chunk) = results.next().await {
        let mut done = Settle::default();
        for one in chunk {
            done.join(one);
        }
        done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "changes_settled").await?;
    }
    Ok(())
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
                let connections = tx.connections().await?.into_iter().filter(|one| one.tracker == tracker);
                let mut triggers = tx.triggers_of_tracker(&tracker).await?;
                triggers.retain(|trigger| trigger.entity_type == entity_type);
                Ok(Known {
                    connections: connections.map(|one| (one.id, one)).collect(),
                    triggers,
                    changes,
                    twins,
                    creates: tx.creates_under_way(&tracker, &entity_type).await?,
                })
            })
        })
        .await
}

enum Triage {
    Read,
    /// The look itself saw that the record is deleted.
    Gone,
    End(Outcome, String),
    Later(Time),
}

fn triage(worker: &Worker, known: &Known, entity_type: &str, changes: &[Change], twins: &[Twin]) -> Triage {
    let asked = changes.iter().any(|change| change.change.connection.is_some());
    let starters = known.triggers.iter().filter(|trigger| {
        !twins.iter().any(|twin| twin.connection_id == trigger.connection_id)
            && known.connections.get(&trigger.connection_id).is_some_and(|one| !one.is_new())
    });
    let could_start = starters.count() > 0;
    if twins.is_empty() && !asked && !could_start {
        return Triage::End(Outcome::Skipped, nobody_syncs(known, entity_type));
    }
    if twins.is_empty() && !known.creates.is_empty() && !asked {
        return Triage::Later(worker.parts.clock.now().plus(OWN_CREATE));
    }
    if changes.last().is_some_and(|change| saw_deleted(&change.change)) {
        return Triage::Gone;
    }
    let nobody_else = !could_start && !asked;
    if nobody_else && !twins.is_empty() && twins.iter().all(|twin| twin.memory.waits_for_person) {
        return Triage::Later(super::settle::NEVER);
    }
    if nobody_else && !twins.is_empty() && twins.iter().all(|twin| changes.iter().all(|change| shows_known(worker, twin, change)))
    {
        return Triage::End(Outcome::Unchanged, "that state was read already".to_owned());
    }
    Triage::Read
}

/// Whether a look brought the whole record as a deleted one: nothing is left to ask.
fn saw_deleted(change: &NewChange) -> bool {
    change.source == Source::Look && change.content.as_ref().is_some_and(|content| content.deleted && content.whole)
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

/// Whether a notice shows a state of the record that we have read.
fn shows_known(worker: &Worker, twin: &Twin, change: &Change) -> bool {
    let Some(content) = &change.change.content else { return false };
    if content.deleted || twin.memory.owes_word || twin.memory.deleted_here {
        return false;
    }
    // The look finds what the messages brought in the very second of its change: the content proves what no stamp can.
    if content.whole && twin.memory.sent.is_some() && replica::differences(&twin.memory.base, &content.fields).is_empty() {
        return true;
    }
    let (Some(stamp), Some(known)) = (content.stamp, twin.memory.stamp) else { return false };
    if stamp > known {
        return false;
    }
    let read_later = twin.memory.read_at.is_some_and(|read_at| read_at.seconds() > stamp.seconds());
    let ours = twin.memory.stamp_is_ours && content.editor.as_deref().is_some_and(|editor| worker.tracker.is_us(editor));
    read_later || ours
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
    let lines = if twins.is_empty() {
        vec![(None, None)]
    } else {
        twins.iter().map(|twin| (Some(twin.connection_id), Some(twin.id))).collect()
    };
    for (connection_id, twin_id) in lines {
        done.history.extend(lines_of(
            worker,
            (entity_type, key),
            changes,
            (connection_id, twin_id),
            outcome,
            Some(reason.to_owned()),
        ));
    }
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
            .filter(|case| !only_old_look(case, trigger))
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
                record::filter_refused(worker, connection, &error).await?;
                continue;
            }
        };
        let found = candidates.iter().zip(answers).filter(|(_, matches)| *matches).map(|(entity, _)| entity.key.clone());
        matching.entry(trigger.connection_id).or_default().extend(found);
    }
    Ok(matching)
}

/// The look brings no history: a record last changed before its trigger was made is no match.
fn only_old_look(case: &Case, trigger: &Trigger) -> bool {
    case.changes.iter().all(|change| change.change.source == Source::Look)
        && case
            .changes
            .iter()
            .filter_map(|change| change.change.content.as_ref()?.stamp)
            .max()
            .is_some_and(|stamp| stamp < trigger.created_at)
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
