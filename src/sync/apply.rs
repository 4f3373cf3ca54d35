//! What becomes of a batch of twins with events: read together, decided one by one, written together, settled.
//!
//! ```text
//!  fold ─▶ settle doubts ─▶ read records ─▶ decide (rules) ─▶ keep writes ─▶ write ─▶ settle
//!          (lost answers)                    per twin          on disk       batch    per twin
//! ```
//!
//! Traps. A write whose answer was lost may have been done: a create is looked for (or repeated where the tracker knows
//! repeats), never made anew. Nothing is written while the twin's write stands on no disk, where a repeat must be the
//! same. An error that concerns the whole tracker leaves the events where they are; one that concerns a record parks its
//! twin alone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt as _};

use super::{
    decide::{self, Decided, Item, Work},
    doubt,
    incoming::{Claimed, lease_keys},
    judge::Failure,
    known,
    outgoing::Worker,
    pauses,
    settle::Settle,
    together::together,
    written,
};
use crate::{
    domain::{
        tracker::{Caller, Entity, Found, Read, TrackerError, Write, WriteKind, Written},
        twin::Twin,
    },
    store::{Lease, LeaseKey, StoreError},
};

/// Rule runs side by side.
const RUNS: usize = 8;
/// How long those that are decided wait for the next, whose rule may still ask its tracker.
const GATHER: Duration = Duration::from_millis(250);
/// How long they wait in all.
const MOST_GATHER: Duration = Duration::from_secs(2);
/// How often, and how long apart, a record that somebody works on is asked for.
const RECORD_TRIES: u32 = 50;
const RECORD_PAUSE: Duration = Duration::from_millis(10);

/// Works through one batch; all its twins are leased by the caller.
pub(super) async fn batch(worker: &Worker, claimed: &[Claimed]) -> Result<(), Failure> {
    let mut items = known::load(worker, claimed).await?;
    // One that got its record between the claim's look and its lease is claimed again, together with the record.
    items.retain(|item| covered(claimed, &lease_keys(None, item.twin.as_ref())));
    let mut done = Settle::default();
    let mut working = Vec::new();
    for item in items.drain(..) {
        match decide::first(worker, item).await? {
            Ok(item) => working.push(item),
            Err(ended) => done.join(*ended),
        }
    }
    done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "events_settled").await?;
    if working.is_empty() {
        return Ok(());
    }
    let working = doubt::settle(worker, working).await?;
    let working = pauses::let_through(worker, working).await?;
    let (working, held) = hold_records(worker, claimed, working).await?;
    let working = read(worker, working).await?;
    let mut decided = futures_util::stream::iter(working).map(|item| decide::second(worker, item)).buffer_unordered(RUNS);
    let (mut failure, mut group) = (None, Vec::new());
    loop {
        gather(&mut decided, &mut group).await;
        if group.is_empty() {
            break;
        }
        let (mut ended, mut works) = (Settle::default(), Vec::new());
        for one in group.drain(..) {
            match one {
                Decided::Ended(settle) => ended.join(*settle),
                Decided::Write(work) => works.push(*work),
            }
        }
        // Where the tracker fails, the runs that are under way still end: one that is dropped leaves its calls in doubt.
        let write_too = failure.is_none();
        let done = async {
            ended.commit(&worker.parts.store, worker.parts.clock.as_ref(), "events_settled").await?;
            if write_too { write(worker, works).await } else { Ok(()) }
        };
        failure = failure.or(beside(&mut decided, &mut group, done).await.err());
    }
    drop(decided);
    drop(held);
    failure.map_or(Ok(()), Err)
}

/// Adds those that are decided together: all, unless a rule keeps the others waiting. Nothing once there are no more.
async fn gather(decided: &mut (impl Stream<Item = Decided> + Unpin), group: &mut Vec<Decided>) {
    if group.is_empty() {
        group.extend(decided.next().await);
    }
    let began = Instant::now();
    // Whoever is not there then comes with the next group.
    while began.elapsed() < MOST_GATHER
        && let Ok(Some(one)) = tokio::time::timeout(GATHER, decided.next()).await
    {
        group.push(one);
    }
}

/// Works, and lets the runs that are under way go on meanwhile: the work runs rules too, and a run that nobody polls would
/// keep its worker from it for ever.
async fn beside<T>(
    decided: &mut (impl Stream<Item = Decided> + Unpin),
    group: &mut Vec<Decided>,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let mut more = true;
    loop {
        tokio::select! {
            done = &mut work => return done,
            next = decided.next(), if more => match next {
                Some(one) => group.push(one),
                None => more = false,
            },
        }
    }
}

/// Holds the records that their twins learned of only now. Whoever cannot have its own, or finds that somebody else has
/// taught the twin meanwhile, stays for the next round.
async fn hold_records(worker: &Worker, claimed: &[Claimed], items: Vec<Item>) -> Result<(Vec<Item>, Vec<Lease>), StoreError> {
    let (mut kept, mut held) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let wanted = lease_keys(None, item.twin.as_ref());
        if covered(claimed, &wanted) {
            kept.push(item);
            continue;
        }
        let mut tries = 0..RECORD_TRIES;
        let lease = loop {
            match worker.parts.store.leases().take(wanted.clone()) {
                None if tries.next().is_some() => worker.parts.clock.sleep(RECORD_PAUSE).await,
                taken => break taken,
            }
        };
        let (Some(lease), Some(id)) = (lease, item.twin_id) else { continue };
        let connection = item.connection.id;
        let row = worker.parts.store.read("twin", move |tx| Box::pin(async move { tx.twin(connection, id).await })).await?;
        if row.is_none_or(|row| row.local.is_none()) {
            held.push(lease);
            kept.push(item);
        }
    }
    Ok((kept, held))
}

fn covered(claimed: &[Claimed], wanted: &[LeaseKey]) -> bool {
    wanted.iter().all(|key| claimed.iter().flat_map(|one| &one.lease).any(|lease| lease.holds(key)))
}

/// Reads the records right before they are written.
pub(super) async fn read(worker: &Worker, mut items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let mut by_type: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(local) = item.twin.as_ref().and_then(|twin| twin.local.as_ref())
            && item.record.is_none()
        {
            by_type.entry(local.entity_type.clone()).or_default().push(index);
        }
    }
    for (entity_type, indexes) in by_type {
        for part in indexes.chunks(worker.tracker.traits().read_batch) {
            let keys: Vec<String> =
                part.iter().filter_map(|index| Some(items[*index].twin.as_ref()?.local.as_ref()?.key.clone())).collect();
            let read = match worker.tracker.read(Caller::Sync, &entity_type, &keys).await {
                Ok(read) => read,
                Err(error) if error.concerns_all() => return Err(error.into()),
                // This type cannot be read: its twins are told so, the others go on.
                Err(error) => Read { found: vec![Found::Failed(error); keys.len()], tracker_time: None, clock_offset_ms: 0 },
            };
            for (index, found) in part.iter().zip(read.found) {
                items[*index].record = Some(found);
                items[*index].read_at = read.tracker_time;
                items[*index].offset_ms = read.clock_offset_ms;
            }
        }
    }
    Ok(items)
}

/// Keeps, writes, settles.
async fn write(worker: &Worker, works: Vec<Work>) -> Result<(), Failure> {
    if works.is_empty() {
        return Ok(());
    }
    let keeps = worker.tracker.traits().keeps_writes;
    let kept: Vec<Twin> = works
        .iter()
        .filter(|work| keeps || work.kind == WriteKind::Create)
        .map(|work| {
            let mut twin = work.twin.clone();
            twin.memory.pending_write = Some(work.pending.clone());
            twin
        })
        .collect();
    if !kept.is_empty() {
        // A record that a rule waits for: once it is there, that run is known to be still its first.
        let journal =
            works.iter().filter(|work| work.kind == WriteKind::Create).filter_map(|work| work.storing.clone()).collect();
        let settle = Settle { twins: kept, journal, ..Settle::default() };
        settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "writes_kept").await?;
    }
    let writes: Vec<Write> = works
        .iter()
        .map(|work| Write {
            twin: work.twin.id,
            pending: work.pending.clone(),
            changed: work.chosen.write.keys().cloned().collect(),
            kind: work.kind,
        })
        .collect();
    let answers = worker.tracker.write(&writes).await;
    settle_all(worker, works, answers).await
}

async fn settle_all(worker: &Worker, works: Vec<Work>, answers: Vec<Result<Written, TrackerError>>) -> Result<(), Failure> {
    let mut failure = None;
    let mut results = futures_util::stream::iter(works.into_iter().zip(answers))
        .map(|(work, answer)| written::settle(worker, work, answer))
        .buffer_unordered(RUNS);
    loop {
        let ended = together(&mut results).await;
        if ended.is_empty() {
            return failure.map_or(Ok(()), |error| Err(Failure::Tracker(error)));
        }
        let mut done = Settle::default();
        for (settle, concerns_all) in ended {
            done.join(settle);
            failure = failure.or(concerns_all);
        }
        done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "events_settled").await?;
    }
}

/// The record of a twin, where it is there.
pub(super) fn entity_of(twin: &Twin, record: Option<&Found>) -> Option<Entity> {
    let local = twin.local.as_ref()?;
    match record? {
        Found::Here(entity) => Some((**entity).clone()),
        Found::CannotAsk => Some(Entity {
            entity_type: local.entity_type.clone(),
            key: local.key.clone(),
            url: local.url.clone(),
            fields: twin.memory.known.clone().unwrap_or_else(|| twin.memory.base.clone()),
            ..Entity::default()
        }),
        _ => None,
    }
}
