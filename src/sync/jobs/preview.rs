//! Says which twins other rules would change: both rules are tried on every twin, or on a sample, and nothing is written.
//!
//! Twins come in order of their ids, which are hashes: the first so many are a sample by themselves.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde_json::json;

use super::{Step, Task};
use crate::{
    domain::{
        history::FieldChange,
        job::{Finding, Status},
        tracker::{Caller, Entity, Found},
        twin::Twin,
    },
    sync::{Refused, apply::entity_of, dry_run, judge::Failure},
};

/// Twins of one step: one read for each entity type among them.
const STEP: u32 = 200;
/// Rule runs side by side.
const RUNS: usize = 4;
/// Longest value in a report, in characters.
const MOST_VALUE: usize = 500;

pub(super) async fn step(task: &mut Task<'_>, rules: (&str, &str), sample: Option<u32>) -> Result<Step, Failure> {
    let most = u64::from(sample.unwrap_or(u32::MAX));
    let total = match task.job.total {
        Some(total) => total,
        None => task.count_twins().await?.min(most),
    };
    task.job.total = Some(total);
    let limit = u32::try_from(most.saturating_sub(task.job.done)).unwrap_or(u32::MAX).min(STEP);
    if limit == 0 {
        return Ok(Step::End(Status::Done, None));
    }
    let (twins, last) = task.next_twins(limit).await?;
    let records = read(task, &twins).await?;
    let (worker, connection) = (&task.worker, &task.connection);
    let mut runs = Vec::with_capacity(twins.len());
    for twin in &twins {
        runs.push(try_on(worker, connection, rules, twin, records.get(&twin.id.to_string())));
    }
    let tried: Vec<(&'static str, Option<Finding>)> = futures_util::stream::iter(runs).buffered(RUNS).collect().await;
    let mut findings = Vec::new();
    for (what, finding) in tried {
        task.job.count(what, 1);
        findings.extend(finding);
    }
    task.job.cursor.after.clone_from(&last);
    task.advance(Vec::new(), findings).await?;
    Ok(if last.is_none() { Step::End(Status::Done, None) } else { Step::Next })
}

/// The records of these twins, by the twin's id: one read for each entity type.
pub(super) async fn read(task: &Task<'_>, twins: &[Twin]) -> Result<BTreeMap<String, Found>, Failure> {
    let mut by_type: BTreeMap<&str, Vec<(&Twin, String)>> = BTreeMap::new();
    for twin in twins {
        if let Some(local) = &twin.local {
            by_type.entry(&local.entity_type).or_default().push((twin, local.key.clone()));
        }
    }
    let mut records = BTreeMap::new();
    for (entity_type, wanted) in by_type {
        for part in wanted.chunks(task.worker.tracker.traits().read_batch) {
            let keys: Vec<String> = part.iter().map(|(_, key)| key.clone()).collect();
            let read = task.worker.tracker.read(Caller::Sync, entity_type, &keys).await?;
            records.extend(part.iter().zip(read.found).map(|((twin, _), found)| (twin.id.to_string(), found)));
        }
    }
    Ok(records)
}

async fn try_on(
    worker: &crate::sync::outgoing::Worker,
    connection: &crate::domain::connection::Connection,
    (outgoing, incoming): (&str, &str),
    twin: &Twin,
    record: Option<&Found>,
) -> (&'static str, Option<Finding>) {
    let Some(entity) = entity_of(twin, record) else { return ("no_record", None) };
    let memory = &twin.memory;
    let sent = dry_run::outgoing(worker, connection, outgoing, (memory, &entity, twin.remote.is_none())).await;
    let applied = match memory.received.clone() {
        Some(replica) => Some(dry_run::incoming(worker, connection, incoming, (memory, Some(entity.clone()), replica)).await),
        None => None,
    };
    let (mut changes, mut errors): (Vec<Vec<FieldChange>>, Vec<String>) = (Vec::new(), Vec::new());
    for tried in std::iter::once(sent).chain(applied) {
        let (found, error) = outcome(tried);
        changes.push(found);
        errors.extend(error);
    }
    let what = match (errors.is_empty(), changes.iter().all(Vec::is_empty)) {
        (false, _) => "would_fail",
        (true, false) => "would_change",
        (true, true) => "unchanged",
    };
    let finding = (what != "unchanged").then(|| finding(what, twin, &entity, (changes, errors)));
    (what, finding)
}

fn outcome(tried: Result<dry_run::Tried, Refused>) -> (Vec<FieldChange>, Option<String>) {
    match tried {
        Ok(tried) => (tried.differences, tried.error.map(|error| error.to_string())),
        Err(refused) => (Vec::new(), Some(refused.to_string())),
    }
}

fn finding(what: &str, twin: &Twin, entity: &Entity, (changes, errors): (Vec<Vec<FieldChange>>, Vec<String>)) -> Finding {
    let mut changes = changes.into_iter().map(shown);
    Finding {
        what: what.to_owned(),
        entity_type: entity.entity_type.clone(),
        key: entity.key.clone(),
        detail: json!({
            "twin_id": twin.id,
            "outgoing": changes.next().unwrap_or_default(),
            "incoming": changes.next().unwrap_or_default(),
            "errors": errors,
        }),
    }
}

/// Differences without values that nobody would read to their end.
fn shown(changes: Vec<FieldChange>) -> Vec<FieldChange> {
    let cut = |value: serde_json::Value| match value {
        serde_json::Value::String(text) if text.chars().count() > MOST_VALUE => {
            text.chars().take(MOST_VALUE).chain("…".chars()).collect::<String>().into()
        }
        value => value,
    };
    changes.into_iter().map(|change| FieldChange { from: cut(change.from), to: cut(change.to), ..change }).collect()
}
