//! The way in: the other sides' events for twins of one tracker, written in batches.
//!
//! The twin is claimed together with its record here, so two twins that share a record take turns. All waiting events of
//! a twin are folded into one state ([`super::fold`]), which is decided and written once ([`super::apply`]); events of
//! other twins share the tracker's calls but not their fate.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    apply,
    judge::Failure,
    outgoing::Worker,
    rounds::{Claim, Rounds, SIDE_BY_SIDE},
};
use crate::{
    domain::{
        ids::{ConnectionId, TwinId},
        twin::Twin,
    },
    store::{Lease, LeaseKey, StoreError, Topic, Tx, rows::WaitingTwin},
};

/// A claimed twin; the row as it was read under the lease.
pub(super) struct Claimed {
    pub connection: ConnectionId,
    pub twin: Option<TwinId>,
    pub lease: Vec<Lease>,
}

/// The rounds of a worker on the way in.
#[derive(Clone)]
pub(super) struct Incoming(pub Worker);

impl Rounds for Incoming {
    type Batch = Vec<Claimed>;
    const NAMES: (&'static str, &'static str) = ("events", "incoming batch");
    /// Also how late a rest that ended is noticed.
    const SAFETY: Duration = Duration::from_secs(1);

    fn worker(&self) -> &Worker {
        &self.0
    }

    fn topic(&self) -> Topic {
        Topic::Inbox(self.0.name.clone())
    }

    fn limit(&self) -> usize {
        self.0.tracker.traits().write_batch
    }

    async fn claim(&self) -> Result<Claim<Vec<Claimed>>, StoreError> {
        let (batch, blocked, more) = claim(&self.0, self.limit()).await?;
        let batch = (!batch.is_empty()).then(|| {
            let twins = batch.len();
            (batch, twins)
        });
        Ok(Claim { batch, blocked, more, due: Self::SAFETY })
    }

    async fn work(&self, batch: &Vec<Claimed>) -> Result<(), Failure> {
        apply::batch(&self.0, batch).await
    }
}

/// The twins, whether others hold some of what waits, and whether something was left.
async fn claim(worker: &Worker, limit: usize) -> Result<(Vec<Claimed>, bool, bool), StoreError> {
    let name = worker.name.clone();
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
    Ok((batch, blocked, more))
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
