//! The way in: the other sides' events for twins of one tracker, written in batches.
//!
//! The twin is claimed together with its record here, so two twins that share a record take turns. All waiting events of
//! a twin are folded into one state ([`super::fold`]), which is decided and written once ([`super::apply`]); events of
//! other twins share the tracker's calls but not their fate.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    apply,
    judge::Failure,
    outgoing::Worker,
    pace::{Pace, TOOK_ALL},
};
use crate::{
    domain::{
        ids::{ConnectionId, TwinId},
        twin::Twin,
    },
    store::{Lease, LeaseKey, StoreError, Topic, Tx, rows::WaitingTwin},
};

/// Batches side by side per tracker.
const SIDE_BY_SIDE: usize = 4;
/// Longest time without a look into the store: also how late a rest that ended is noticed.
const SAFETY: Duration = Duration::from_secs(1);

/// What a look found.
struct Claim {
    batch: Vec<Claimed>,
    /// Others hold some of what waits.
    blocked: bool,
    /// Something was left for the next batch.
    more: bool,
}

/// A claimed twin; the row as it was read under the lease.
pub(super) struct Claimed {
    pub connection: ConnectionId,
    pub twin: Option<TwinId>,
    pub lease: Vec<Lease>,
}

/// Works until the node stops.
pub(super) async fn run(worker: Worker) {
    let slots = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let inbox = worker.parts.store.wakes().on(Topic::Inbox(worker.name.clone()));
    let released = worker.parts.store.wakes().on(Topic::Released);
    let (mut pace, limit) = (Pace::default(), worker.tracker.traits().write_batch);
    while !worker.parts.lifecycle.is_stopping() {
        if let Some(pause) = worker.rest.wait(worker.parts.clock.now()) {
            tokio::select! {
                () = worker.parts.clock.sleep(pause.min(Duration::from_secs(1))) => {}
                () = worker.parts.lifecycle.stopping() => return,
            }
            continue;
        }
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (woken, freed) = (inbox.notified(), released.notified());
        tokio::pin!(woken, freed);
        woken.as_mut().enable();
        freed.as_mut().enable();
        let Claim { batch, blocked, more } = claim(&worker).await.unwrap_or_else(|error| {
            tracing::error!(tracker = worker.name, "events could not be claimed: {error}");
            Claim { batch: Vec::new(), blocked: false, more: false }
        });
        let took = !batch.is_empty();
        let pause = if took {
            let (worker, pause) = (worker.clone(), pace.found(batch.len(), limit));
            worker.parts.lifecycle.clone().spawn("incoming batch", async move {
                work(&worker, batch).await;
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
            () = worker.parts.clock.sleep(SAFETY) => {}
            () = worker.parts.lifecycle.stopping() => return,
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn claim(worker: &Worker) -> Result<Claim, StoreError> {
    let (name, limit) = (worker.name.clone(), worker.tracker.traits().write_batch);
    // Those in other hands stand first.
    let wanted = u32::try_from(limit * (SIDE_BY_SIDE + 1)).unwrap_or(u32::MAX);
    let (waiting, records) = worker
        .parts
        .store
        .read("twins_waiting", move |tx| {
            Box::pin(async move {
                let waiting = tx.twins_waiting(&name, wanted).await?;
                let records = records(tx, &waiting).await?;
                Ok((waiting, records))
            })
        })
        .await?;
    let mut batch = Vec::new();
    let (mut blocked, mut more) = (false, waiting.len() >= wanted as usize);
    for WaitingTwin { connection_id, twin, .. } in waiting {
        if batch.len() >= limit {
            more = true;
            break;
        }
        let record = twin.and_then(|id| records.get(&(connection_id, id)).cloned());
        let keys = twin.map(LeaseKey::Twin).into_iter().chain(record).collect();
        let Some(lease) = worker.parts.store.leases().take(keys) else {
            blocked = true;
            continue;
        };
        batch.push(Claimed { connection: connection_id, twin, lease: vec![lease] });
    }
    Ok(Claim { batch, blocked, more })
}

/// What is to be held beside each of these twins.
async fn records(tx: &mut dyn Tx, waiting: &[WaitingTwin]) -> Result<HashMap<(ConnectionId, TwinId), LeaseKey>, StoreError> {
    let mut twins: BTreeMap<ConnectionId, Vec<TwinId>> = BTreeMap::new();
    for one in waiting {
        twins.entry(one.connection_id).or_default().extend(one.twin);
    }
    let mut records = HashMap::new();
    for (connection, ids) in twins {
        let found = tx.record_leases(connection, &ids).await?;
        records.extend(found.into_iter().map(|(id, key)| ((connection, id), key)));
    }
    Ok(records)
}

/// What must be held to change a twin: itself, and its record here.
pub(super) fn lease_keys(id: Option<TwinId>, twin: Option<&Twin>) -> Vec<LeaseKey> {
    let mut keys: Vec<LeaseKey> = id.map(LeaseKey::Twin).into_iter().collect();
    if let Some(twin) = twin
        && let Some(local) = &twin.local
    {
        keys.push(LeaseKey::Record {
            tracker: twin.tracker.clone(),
            entity_type: local.entity_type.clone(),
            key: local.key.clone(),
        });
    }
    keys
}

async fn work(worker: &Worker, batch: Vec<Claimed>) {
    match apply::batch(worker, &batch).await {
        Ok(()) => worker.rest.worked(&worker.parts, &worker.name).await,
        Err(Failure::Tracker(error)) => worker.rest.failed(&worker.parts, &worker.name, &error).await,
        Err(Failure::Store(error)) => {
            tracing::error!(tracker = worker.name, "events could not be settled: {error}");
            worker.parts.clock.sleep(Duration::from_millis(500)).await;
        }
    }
    for claimed in batch {
        drop(claimed.lease);
    }
}
