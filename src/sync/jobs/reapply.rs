//! Brings the published rules to every twin: its record goes through the outgoing rule again, and what was last applied of
//! the other side's through the incoming rule.
//!
//! Both ways use the engine as it is: a change that asks for a look, and the other side's last word put into the inbox once
//! more. A field that the rule assigns as it did before is left alone, so only what the new rule makes of it is written.
//!
//! The trap: a word that waits in the inbox is newer than the one that would be repeated, so it is repeated only where none
//! waits; the rule will run on the newer one anyway.

use super::{PART, SOON, Step, Task};
use crate::{
    clock::Time,
    domain::{
        change::Source,
        event::{Body, Event, Sync},
        ids::{EventId, TwinId},
        job::{Job, Status},
        twin::{self, Twin},
    },
    store::{StoreError, Tx, rows::Arrived},
    sync::judge::Failure,
};

pub(super) async fn step(task: &mut Task<'_>, version: u32) -> Result<Step, Failure> {
    if let Some(newer) = newer(task, version).await? {
        let why = format!("version {newer} was published meanwhile; re-apply that one");
        return Ok(Step::End(Status::Cancelled, Some(why)));
    }
    if task.job.total.is_none() {
        task.job.total = Some(task.count_twins().await?);
    }
    if !task.job.cursor.open.is_empty() {
        return ended(task).await;
    }
    if task.job.cursor.part > 0 {
        return Ok(Step::End(Status::Done, None));
    }
    let (twins, last) = task.next_twins(u32::try_from(PART).unwrap_or(u32::MAX)).await?;
    let (ready, without): (Vec<Twin>, Vec<Twin>) = twins.into_iter().partition(|twin| twin.local.is_some());
    task.job.count("no_record", without.len() as u64);
    task.job.cursor.open = ready.iter().map(|twin| twin.id.to_string()).collect();
    task.job.cursor.part = usize::from(last.is_none());
    task.job.cursor.after = last;
    leave(task, &ready).await?;
    Ok(Step::Wait(SOON))
}

async fn newer(task: &Task<'_>, version: u32) -> Result<Option<u32>, StoreError> {
    let id = task.connection.id;
    let read = task.worker.parts.store.read("job_version", move |tx| Box::pin(async move { tx.rules(id).await }));
    Ok(read.await?.map(|pair| pair.version).filter(|present| *present != version))
}

/// Leaves the work of these twins, and moves the cursor with it.
async fn leave(task: &Task<'_>, twins: &[Twin]) -> Result<(), StoreError> {
    let (job, tracker, now) = (task.job.clone(), task.worker.name.clone(), task.worker.parts.clock.now());
    let locals = twins.iter().filter_map(|twin| twin.local.as_ref());
    let changes: Vec<_> = locals.map(|local| task.look_at(&local.entity_type, &local.key, Source::Engine)).collect();
    let again: Vec<(TwinId, EventId)> = twins.iter().map(|twin| (twin.id, EventId(task.worker.parts.clock.id()))).collect();
    let write = task.worker.parts.store.write("job_step", move |tx| {
        Box::pin(async move {
            let Some(present) = tx.job(job.id).await?.filter(Job::is_open) else { return Ok(()) };
            tx.add_changes(&changes).await?;
            repeat(tx, &job, &tracker, &again, now).await?;
            tx.put_job(&Job { paused: present.paused, ..job.clone() }).await
        })
    });
    write.await
}

/// Puts the other side's last word on each twin into the inbox again, where no newer one waits there.
async fn repeat(tx: &mut dyn Tx, job: &Job, tracker: &str, again: &[(TwinId, EventId)], now: Time) -> Result<(), StoreError> {
    let id = job.connection_id;
    let epoch = tx.link_state(id).await?.epoch;
    let ids: Vec<Option<TwinId>> = again.iter().map(|(twin, _)| Some(*twin)).collect();
    let waiting: Vec<Option<TwinId>> = tx.arrived_of(id, &ids).await?.into_iter().map(|event| event.twin).collect();
    let ids: Vec<TwinId> = ids.into_iter().flatten().filter(|twin| !waiting.contains(&Some(*twin))).collect();
    let mut words = Vec::new();
    for mut twin in tx.twins_by_ids(id, &ids).await? {
        twin.enter(epoch);
        let event_id = again.iter().find(|(id, _)| *id == twin.id).map(|(_, event)| *event);
        if let Some(word) = event_id.and_then(|event| last_word(&twin, event, epoch, now)) {
            words.push(word);
        }
    }
    tx.add_arrived(tracker, &words).await
}

/// Their last word on a twin as an event that says nothing new.
fn last_word(twin: &Twin, id: EventId, epoch: u64, now: Time) -> Option<Arrived> {
    let (remote, replica) = (twin.remote.as_ref()?, twin.memory.received.clone()?);
    if twin.status == twin::Status::Stopped || twin.memory.waits_for_person {
        return None;
    }
    let body = Body::Sync(Box::new(Sync {
        entity_type: remote.entity_type.clone(),
        key: remote.key.clone(),
        url: remote.url.clone(),
        replica,
        modified_at: None,
        changed: std::collections::BTreeMap::new(),
        via: twin.memory.via.clone(),
        applied: None,
        confirmed: None,
        remote: None,
    }));
    let n = twin.memory.seen;
    let event = Event { n, id, twin: Some(twin.id), seen: 0, at: now, correlation: None, body };
    let json = serde_json::to_string(&event).ok()?;
    Some(Arrived { row: 0, connection_id: twin.connection_id, epoch, n, id, twin: Some(twin.id), json, received_at: now })
}

/// Takes note of what has ended.
async fn ended(task: &mut Task<'_>) -> Result<Step, Failure> {
    let id = task.connection.id;
    let ids: Vec<TwinId> = task.job.cursor.open.iter().filter_map(|text| text.parse().ok()).collect();
    let (tracker, due) = (task.worker.name.clone(), task.worker.parts.clock.now().plus(super::DELAYED));
    let read = task.worker.parts.store.read("job_left", move |tx| {
        Box::pin(async move {
            let twins = tx.twins_by_ids(id, &ids).await?;
            let going: Vec<Option<TwinId>> =
                twins.iter().filter(|twin| twin.status != twin::Status::Parked).map(|twin| Some(twin.id)).collect();
            let mut left = tx.arrived_of(id, &going).await?.len() as u64;
            let mut by_type = std::collections::BTreeMap::<&str, Vec<String>>::new();
            for local in twins.iter().filter_map(|twin| twin.local.as_ref()) {
                by_type.entry(&local.entity_type).or_default().push(local.key.clone());
            }
            for (entity_type, keys) in by_type {
                left += tx.changes_left(&tracker, entity_type, &keys, id, due).await?;
            }
            Ok((twins, left))
        })
    });
    let (twins, left) = read.await?;
    if left > 0 {
        return Ok(Step::Wait(SOON));
    }
    let parked = twins.iter().filter(|twin| twin.status == twin::Status::Parked).count() as u64;
    task.job.count("parked", parked);
    task.job.count("reapplied", twins.len() as u64 - parked);
    task.job.cursor.open.clear();
    task.advance(Vec::new(), Vec::new()).await?;
    Ok(Step::Wait(super::REST))
}
