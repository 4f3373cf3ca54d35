//! Compares what is there with what is known: every twin's record, then what the triggers match.
//!
//! Each node compares its own half: the record here with what the other side last heard of it. Both halves together are
//! the whole, without either side reading the other's tracker.
//!
//! | found | means | repaired by |
//! |---|---|---|
//! | `in_step` | nothing to tell | |
//! | `missed_update` | the record says what the other side has not heard | a look |
//! | `deleted` | the record is gone and the other side does not know | a look |
//! | `not_visible` | our user does not see the record | a look, which parks the twin with that error |
//! | `waiting` | work on it waits already, or it has no partner yet | |
//! | `parked` | an error holds it up | |
//! | `cannot_ask` | the tracker shows no records | |
//! | `missing` | it matches a trigger and has no twin | the trigger's run |

use std::collections::{BTreeSet, HashSet};

use serde_json::json;

use super::{SOON, Step, Task, preview};
use crate::{
    domain::{
        change::Source,
        ids::JobId,
        job::{Finding, Job, Status, Work},
        replica,
        tracker::{Caller, Found},
        trigger::Trigger,
        twin::{self, Twin},
    },
    store::{StoreError, rows::WaitingRecord},
    sync::{asks::Desk, judge::Failure, plan, view, written},
};

/// Twins of one step.
const STEP: u32 = 500;

pub(super) async fn step(task: &mut Task<'_>, repair: bool) -> Result<Step, Failure> {
    if task.job.total.is_none() {
        task.job.total = Some(task.count_twins().await?);
    }
    match task.job.cursor.part.checked_sub(1) {
        None => twins(task, repair).await,
        Some(part) => {
            let triggers = triggers(task).await?;
            match triggers.get(part) {
                Some(trigger) => matching(task, trigger, repair).await,
                None => Ok(Step::End(Status::Done, None)),
            }
        }
    }
}

async fn twins(task: &mut Task<'_>, repair: bool) -> Result<Step, Failure> {
    let (twins, last) = task.next_twins(STEP).await?;
    let busy = busy(task, &twins).await?;
    let records = preview::read(task, &twins).await?;
    let pair = view::rules(&task.worker, &task.connection).await.ok();
    let (mut findings, mut changes) = (Vec::new(), Vec::new());
    for twin in &twins {
        let found = match &twin.local {
            Some(local) if busy.contains(&(local.entity_type.clone(), local.key.clone())) => ("waiting", Vec::new()),
            _ => judge(task, twin, records.get(&twin.id.to_string()), pair.as_ref().map(|pair| pair.outgoing.as_str())).await,
        };
        task.job.count(found.0, 1);
        let (Some(local), false) = (&twin.local, matches!(found.0, "in_step" | "waiting" | "cannot_ask")) else { continue };
        findings.push(Finding {
            what: found.0.to_owned(),
            entity_type: local.entity_type.clone(),
            key: local.key.clone(),
            detail: json!({"twin_id": twin.id, "fields": found.1}),
        });
        if repair && matches!(found.0, "missed_update" | "deleted" | "not_visible") {
            changes.push(task.look_at(&local.entity_type, &local.key, Source::Engine));
        }
    }
    if last.is_none() {
        task.job.cursor.part = 1;
    }
    task.job.cursor.after = last;
    task.advance(changes, findings).await?;
    Ok(Step::Wait(SOON))
}

/// What is found of one twin, and the replica's fields that the other side has not heard of.
async fn judge(task: &Task<'_>, twin: &Twin, record: Option<&Found>, outgoing: Option<&str>) -> (&'static str, Vec<String>) {
    if twin.status == twin::Status::Parked {
        return ("parked", Vec::new());
    }
    if twin.local.is_none() || twin.remote.is_none() || twin.memory.pending_write.is_some() {
        return ("waiting", Vec::new());
    }
    let entity = match record {
        Some(Found::Here(entity)) => entity,
        Some(Found::Deleted) => return ("deleted", Vec::new()),
        Some(Found::NotVisible) => return ("not_visible", Vec::new()),
        Some(Found::CannotAsk | Found::Failed(_)) | None => return ("cannot_ask", Vec::new()),
    };
    let (fields, _) = plan::settle::without_cut_edits(&twin.memory, &entity.fields);
    if replica::differences(&twin.memory.base, &fields).is_empty() && twin.memory.sent.is_some() {
        return ("in_step", Vec::new());
    }
    let shown = crate::domain::tracker::Entity { fields, ..(**entity).clone() };
    let made = match outgoing {
        Some(rule) => {
            let desk = Desk::comparing(&task.worker, task.connection.id);
            written::replica_of(&task.worker, &task.connection, rule, (&twin.memory, &shown), &desk).await
        }
        None => None,
    };
    let (Some(made), Some(sent)) = (made, &twin.memory.sent) else { return ("missed_update", Vec::new()) };
    let names = replica::differences(sent, &made);
    if names.is_empty() { ("in_step", names) } else { ("missed_update", names) }
}

/// Records that work waits for already.
async fn busy(task: &Task<'_>, twins: &[Twin]) -> Result<HashSet<(String, String)>, StoreError> {
    let locals = twins.iter().filter_map(|twin| twin.local.as_ref());
    let records: Vec<WaitingRecord> =
        locals.map(|local| WaitingRecord { entity_type: local.entity_type.clone(), key: local.key.clone() }).collect();
    let tracker = task.worker.name.clone();
    let read =
        task.worker.parts.store.read("job_busy", move |tx| Box::pin(async move { tx.changes_of(&tracker, &records).await }));
    Ok(read.await?.into_iter().map(|change| (change.change.entity_type, change.change.key)).collect())
}

async fn triggers(task: &Task<'_>) -> Result<Vec<Trigger>, StoreError> {
    let id = task.connection.id;
    let read = task.worker.parts.store.read("job_triggers", move |tx| Box::pin(async move { tx.triggers(id).await }));
    let mut triggers = read.await?;
    triggers.retain(|trigger| trigger.enabled);
    Ok(triggers)
}

/// What a trigger matches that has no twin.
async fn matching(task: &mut Task<'_>, trigger: &Trigger, repair: bool) -> Result<Step, Failure> {
    let after = task.job.cursor.after.clone();
    let (entity_type, filter) = (trigger.entity_type.as_str(), trigger.filter.as_str());
    let Some(listing) = task.worker.tracker.list(Caller::Sync, entity_type, filter, after.as_deref()).await? else {
        task.job.cursor.part += 1;
        task.advance(Vec::new(), Vec::new()).await?;
        return Ok(Step::Next);
    };
    let keys: Vec<String> = listing.records.into_iter().map(|(key, _)| key).collect();
    let known: HashSet<String> =
        task.twins_of(entity_type, &keys).await?.into_iter().filter_map(|twin| Some(twin.local?.key)).collect();
    let missing: BTreeSet<String> = keys.into_iter().filter(|key| !known.contains(key)).collect();
    let findings: Vec<Finding> = missing
        .into_iter()
        .map(|key| Finding {
            what: "missing".to_owned(),
            entity_type: entity_type.to_owned(),
            key,
            detail: json!({"trigger_id": trigger.id}),
        })
        .collect();
    if !findings.is_empty() {
        // Beside the twins, which are what is counted as done.
        *task.job.counts.entry("missing".to_owned()).or_default() += findings.len() as u64;
    }
    task.job.cursor.part += usize::from(listing.next.is_none());
    task.job.cursor.after = listing.next;
    let started = repair && !findings.is_empty();
    task.advance(Vec::new(), findings).await?;
    if started {
        run_trigger(task, trigger).await?;
    }
    Ok(Step::Wait(SOON))
}

/// Leaves the rest to a run of that trigger; one that goes on already does for it.
async fn run_trigger(task: &Task<'_>, trigger: &Trigger) -> Result<(), StoreError> {
    let work = Work::run_of(trigger);
    let clock = &task.worker.parts.clock;
    let job = Job::new(JobId(clock.id()), task.connection.id, work, task.job.by.clone(), clock.now());
    let write = task.worker.parts.store.write("job_asked", move |tx| Box::pin(async move { super::put(tx, &job).await }));
    if let Err(refused) = write.await? {
        tracing::info!(connection = %task.connection.id, "what is missing was not left to a run of the trigger: {refused}");
    }
    Ok(())
}
