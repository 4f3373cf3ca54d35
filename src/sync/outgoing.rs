//! The way out: changes of one tracker, read in batches, made into events.
//!
//! A worker per tracker claims records that have changes, up to a read's worth at a time and a few batches side by
//! side, so a long batch does not hold up a single edit. All changes of a record are one piece of work: the newest
//! carries, the others end as `superseded` by it. What the claim found is judged in [`super::judge`]; here is only who
//! works on what, when to rest, and how often to look ([`super::pace`]): a single edit is taken up at once, a stream of them in
//! batches that leave the disk and the core to the doors.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    Parts, judge,
    pace::{Pace, TOOK_ALL},
    rest::Rest,
};
use crate::{
    domain::tracker::Tracker,
    store::{Lease, LeaseKey, StoreError, Topic, rows::WaitingRecord},
};

/// Batches side by side per tracker.
const SIDE_BY_SIDE: usize = 4;
/// Longest time without a look into the store.
const SAFETY: Duration = Duration::from_secs(5);

/// The worker of one tracker.
#[derive(Clone)]
pub(super) struct Worker {
    pub parts: Parts,
    pub name: String,
    pub tracker: Arc<dyn Tracker>,
    pub rest: Arc<Rest>,
}

/// What a look found.
struct Claim {
    batch: Option<Batch>,
    /// Others hold some of what waits.
    blocked: bool,
    /// Something was left for the next batch.
    more: bool,
    /// When the next change falls due that is not due yet.
    due: Duration,
}

/// Records in one pair of hands.
pub(super) struct Batch {
    pub entity_type: String,
    pub keys: Vec<String>,
    leases: Vec<Lease>,
}

impl Worker {
    /// Works until the node stops.
    pub(super) async fn run(self) {
        let slots = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let changes = self.parts.store.wakes().on(Topic::Changes(self.name.clone()));
        let released = self.parts.store.wakes().on(Topic::Released);
        let (mut pace, limit) = (Pace::default(), self.tracker.traits().read_batch);
        while !self.parts.lifecycle.is_stopping() {
            if let Some(pause) = self.rest.wait(self.parts.clock.now()) {
                tokio::select! {
                    () = self.parts.clock.sleep(pause.min(Duration::from_secs(1))) => {}
                    () = self.parts.lifecycle.stopping() => return,
                }
                continue;
            }
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            // Registered before looking, or a wake-up between the look and the wait would be lost.
            let (woken, freed) = (changes.notified(), released.notified());
            tokio::pin!(woken, freed);
            woken.as_mut().enable();
            freed.as_mut().enable();
            let Claim { batch, blocked, more, due } = self.claim().await.unwrap_or_else(|error| {
                tracing::error!(tracker = self.name, "changes could not be claimed: {error}");
                Claim { batch: None, blocked: false, more: false, due: SAFETY }
            });
            let took = batch.is_some();
            let pause = if let Some(batch) = batch {
                let (worker, pause) = (self.clone(), pace.found(batch.keys.len(), limit));
                self.parts.lifecycle.spawn("outgoing batch", async move {
                    worker.work(batch).await;
                    drop(slot);
                });
                tokio::time::sleep(pause).await;
                if more {
                    continue;
                }
                Some(TOOK_ALL)
            } else {
                drop(slot);
                pace.nothing(blocked)
            };
            tokio::select! {
                () = woken => {}
                () = freed, if blocked || took => {}
                () = self.parts.clock.sleep(due) => {}
                () = self.parts.lifecycle.stopping() => return,
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn claim(&self) -> Result<Claim, StoreError> {
        let (name, now, limit) = (self.name.clone(), self.parts.clock.now(), self.tracker.traits().read_batch);
        let wanted = u32::try_from(limit * 2).unwrap_or(u32::MAX);
        let read = self.parts.store.read("records_waiting", move |tx| {
            Box::pin(
                async move { Ok((tx.records_waiting(&name, now, wanted).await?, tx.next_change_due(&name, Some(now)).await?)) },
            )
        });
        let (records, due) = read.await?;
        let mut batch: Option<Batch> = None;
        let (mut blocked, mut more) = (false, records.len() >= wanted as usize);
        for WaitingRecord { entity_type, key } in records {
            if batch.as_ref().is_some_and(|batch| batch.entity_type != entity_type || batch.keys.len() >= limit) {
                more = true;
                continue;
            }
            let lease_key = LeaseKey::Record { tracker: self.name.clone(), entity_type: entity_type.clone(), key: key.clone() };
            let Some(lease) = self.parts.store.leases().take(vec![lease_key]) else {
                blocked = true;
                continue;
            };
            let batch = batch.get_or_insert_with(|| Batch { entity_type, keys: Vec::new(), leases: Vec::new() });
            batch.keys.push(key);
            batch.leases.push(lease);
        }
        let due = due.map_or(SAFETY, |due| due.since(now).min(SAFETY));
        Ok(Claim { batch, blocked, more, due })
    }

    async fn work(&self, batch: Batch) {
        match judge::batch(self, &batch.entity_type, &batch.keys).await {
            Ok(()) => self.rest.worked(&self.parts, &self.name).await,
            Err(judge::Failure::Tracker(error)) => self.rest.failed(&self.parts, &self.name, &error).await,
            Err(judge::Failure::Store(error)) => {
                tracing::error!(tracker = self.name, "changes could not be settled: {error}");
                self.parts.clock.sleep(Duration::from_millis(500)).await;
            }
        }
        drop(batch.leases);
    }
}

/// Everything that is known of a batch before the tracker is asked.
pub(super) type ByKey<T> = BTreeMap<String, Vec<T>>;
