//! The way out: changes of one tracker, read in batches, made into events.
//!
//! A worker per tracker claims records that have changes, up to a read's worth at a time and a few batches side by
//! side, so a long batch does not hold up a single edit. All changes of a record are one piece of work: the newest
//! carries, the others end as `superseded` by it. What the claim found is judged in [`super::judge`]; here is only what
//! is claimed; when is [`super::rounds`]' to say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Parts,
    judge::{self, Failure},
    pauses::Pauses,
    rest::Rest,
    rounds::{Claim, Rounds},
};
use crate::{
    domain::{
        change::{NewChange, Source},
        ids::{ConnectionId, CorrelationId},
        tracker::Tracker,
    },
    store::{Lease, LeaseKey, StoreError, Topic, rows::WaitingRecord},
};

/// The worker of one tracker.
#[derive(Clone)]
pub(super) struct Worker {
    pub parts: Parts,
    pub name: String,
    pub tracker: Arc<dyn Tracker>,
    pub rest: Arc<Rest>,
    pub pauses: Arc<Pauses>,
}

/// A record that is to be looked at for one connection, whatever its triggers say.
pub(super) fn look_at(
    worker: &Worker,
    connection: ConnectionId,
    record: (String, String),
    source: Source,
    correlation: Option<CorrelationId>,
) -> NewChange {
    let correlation = correlation.unwrap_or_else(|| CorrelationId(worker.parts.clock.id()));
    NewChange::look(&worker.name, record, connection, source, (worker.parts.clock.now(), correlation))
}

/// Records in one pair of hands.
pub(super) struct Batch {
    pub entity_type: String,
    pub keys: Vec<String>,
    leases: Vec<Lease>,
}

/// The rounds of a worker on the way out.
#[derive(Clone)]
pub(super) struct Outgoing(pub Worker);

impl Rounds for Outgoing {
    type Batch = Batch;
    const NAMES: (&'static str, &'static str) = ("changes", "outgoing batch");
    const SAFETY: Duration = Duration::from_secs(5);

    fn worker(&self) -> &Worker {
        &self.0
    }

    fn topic(&self) -> Topic {
        Topic::Changes(self.0.name.clone())
    }

    fn limit(&self) -> usize {
        self.0.tracker.traits().read_batch
    }

    async fn claim(&self) -> Result<Claim<Batch>, StoreError> {
        let (name, now, limit) = (self.0.name.clone(), self.0.parts.clock.now(), self.limit());
        let wanted = u32::try_from(limit * 2).unwrap_or(u32::MAX);
        let read = self.0.parts.store.read("records_waiting", move |tx| {
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
            let lease_key = LeaseKey::Record { tracker: self.0.name.clone(), entity_type: entity_type.clone(), key: key.clone() };
            let Some(lease) = self.0.parts.store.leases().take(vec![lease_key]) else {
                blocked = true;
                continue;
            };
            let batch = batch.get_or_insert_with(|| Batch { entity_type, keys: Vec::new(), leases: Vec::new() });
            batch.keys.push(key);
            batch.leases.push(lease);
        }
        let due = due.map_or(Self::SAFETY, |due| due.since(now).min(Self::SAFETY));
        let batch = batch.map(|batch| {
            let records = batch.keys.len();
            (batch, records)
        });
        Ok(Claim { batch, blocked, more, due })
    }

    async fn work(&self, batch: &Batch) -> Result<(), Failure> {
        judge::batch(&self.0, &batch.entity_type, &batch.keys).await
    }
}

/// Everything that is known of a batch before the tracker is asked.
pub(super) type ByKey<T> = BTreeMap<String, Vec<T>>;
