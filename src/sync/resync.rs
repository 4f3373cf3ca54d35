//! After a set-back (link.md, "Set back"): every twin of the connection is sent again, then `resynced`.
//!
//! The link begins the epoch and leaves `resync_due`; this task reads every record of the connection's twins, sends both
//! keys, the present replica and what was last applied from the other side, and says when it is done. Only then may
//! creates leave there. Numbers began anew, so what the twins remember of numbers is forgotten first.

use std::collections::{BTreeMap, HashSet};

use super::{asks::Desk, decide::Item, judge::Failure, outgoing::Worker, plan, settle::Settle, view, written};
use crate::{
    clock::Time,
    domain::{
        connection::Connection,
        error::{ErrorRecord, Scope},
        event::{Body, RemoteRef, Sync},
        ids::{ConnectionId, ErrorId, EventId, TwinId},
        replica::{self, Fields},
        tracker::{Caller, Found},
        twin::{Status, Twin, Unconfirmed},
    },
    store::{LeaseKey, Topic, rows::Draft},
};

/// Twins in one round.
const ROUND: usize = 200;

/// Waits for epochs to begin and sends what they ask for.
pub(super) async fn run(worker: Worker) {
    let connections = worker.parts.store.wakes().on(Topic::Connections);
    loop {
        let woken = connections.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        if let Err(error) = due(&worker).await {
            tracing::warn!(tracker = worker.name, "the new epoch has to wait: {error:?}");
            if let Failure::Tracker(error) = &error {
                worker.rest.failed(&worker.parts, &worker.name, error).await;
            }
        }
        tokio::select! {
            () = woken => {}
            () = worker.parts.clock.sleep(std::time::Duration::from_secs(5)) => {}
            () = worker.parts.lifecycle.stopping() => return,
        }
    }
}

async fn due(worker: &Worker) -> Result<(), Failure> {
    let name = worker.name.clone();
    let due: Vec<Connection> = worker
        .parts
        .store
        .read("resync_due", move |tx| {
            Box::pin(async move {
                let mut due = Vec::new();
                for connection in tx.connections().await? {
                    let joined = connection.tracker == name && connection.awaiting.is_none();
                    if joined && tx.link_state(connection.id).await?.resync_due {
                        due.push(connection);
                    }
                }
                Ok(due)
            })
        })
        .await?;
    for connection in due {
        send_all(worker, &connection).await?;
    }
    Ok(())
}

async fn send_all(worker: &Worker, connection: &Connection) -> Result<(), Failure> {
    let id = connection.id;
    let (epoch, ids) = worker
        .parts
        .store
        .read("twin_ids", move |tx| Box::pin(async move { Ok((tx.link_state(id).await?.epoch, tx.twin_ids(id).await?)) }))
        .await?;
    tracing::info!(connection = %id, epoch, twins = ids.len(), "a new epoch: sending every twin");
    for part in ids.chunks(ROUND) {
        send_some(worker, connection, part).await?;
    }
    let draft = Draft {
        connection_id: id,
        id: EventId(worker.parts.clock.id()),
        twin: None,
        seen: 0,
        at: worker.parts.clock.now(),
        correlation: None,
        body: Body::Resynced {},
    };
    worker
        .parts
        .store
        .write("resync_sent", move |tx| {
            Box::pin(async move {
                let mut link = tx.link_state(id).await?;
                if link.epoch == epoch {
                    link.resync_due = false;
                    link.set_back_here &= link.resyncing;
                    tx.put_link_state(id, &link).await?;
                    tx.put_draft(&draft).await?;
                }
                Ok(())
            })
        })
        .await?;
    Ok(())
}

async fn send_some(worker: &Worker, connection: &Connection, ids: &[TwinId]) -> Result<(), Failure> {
    let (mut leases, mut held) = (Vec::new(), HashSet::new());
    for id in ids {
        leases.push(hold(worker, connection.id, *id, &mut held).await?);
    }
    let (id, wanted) = (connection.id, ids.to_vec());
    let (link, mut twins) = worker
        .parts
        .store
        .read("twins", move |tx| Box::pin(async move { Ok((tx.link_state(id).await?, tx.twins_by_ids(id, &wanted).await?)) }))
        .await?;
    let records = read(worker, &twins).await?;
    let mut settle = Settle::default();
    for twin in &mut twins {
        twin.enter(link.epoch);
        twin.memory.set_back = link.set_back_here;
        let told = match &twin.local {
            _ if twin.status == Status::Stopped => Some(stopped(worker, twin)),
            Some(local) => match records.get(&(local.entity_type.clone(), local.key.clone())).cloned() {
                Some(record) => word(worker, connection, twin, record).await,
                None => None,
            },
            None => None,
        };
        settle.drafts.extend(told);
    }
    settle.twins = twins;
    settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "resync").await?;
    drop(leases);
    Ok(())
}

/// A record as it is, and what to add to its tracker's times to get ours; with the tracker's time of the read.
#[derive(Clone)]
struct Record {
    found: Found,
    offset_ms: i64,
    read_at: Option<Time>,
}

/// Reads the records of all these twins, many in a call.
async fn read(worker: &Worker, twins: &[Twin]) -> Result<BTreeMap<(String, String), Record>, Failure> {
    let mut by_type: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for local in twins.iter().filter(|twin| twin.status != Status::Stopped).filter_map(|twin| twin.local.as_ref()) {
        by_type.entry(&local.entity_type).or_default().push(local.key.clone());
    }
    let mut records = BTreeMap::new();
    for (entity_type, keys) in by_type {
        for part in keys.chunks(worker.tracker.traits().read_batch) {
            let read = worker.tracker.read(Caller::Sync, entity_type, part).await?;
            for (key, found) in part.iter().zip(read.found) {
                let record = Record { found, offset_ms: read.clock_offset_ms, read_at: read.tracker_time };
                records.insert((entity_type.to_owned(), key.clone()), record);
            }
        }
    }
    Ok(records)
}

/// A twin that is stopped here stays so: what they send of it was said before they could know.
fn stopped(worker: &Worker, twin: &mut Twin) -> Draft {
    let body = match &twin.local {
        Some(local) if twin.memory.deleted_here => Body::Deleted { key: local.key.clone() },
        _ => Body::Stop {},
    };
    let draft = super::record::draft(worker, twin, body, None);
    twin.memory.stop_event = Some(draft.id);
    draft
}

/// Waits until nobody works on the twin, nor on its record where we do not hold that already for another twin.
async fn hold(
    worker: &Worker,
    connection: ConnectionId,
    id: TwinId,
    held: &mut HashSet<LeaseKey>,
) -> Result<crate::store::Lease, Failure> {
    loop {
        let twin = worker.parts.store.read("twin", move |tx| Box::pin(async move { tx.twin(connection, id).await })).await?;
        let mut keys = super::incoming::lease_keys(Some(id), twin.as_ref());
        keys.retain(|key| !held.contains(key));
        if let Some(lease) = worker.parts.store.leases().take(keys.clone()) {
            held.extend(keys);
            return Ok(lease);
        }
        worker.parts.clock.sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn word(worker: &Worker, connection: &Connection, twin: &mut Twin, record: Record) -> Option<Draft> {
    let local = twin.local.clone()?;
    if matches!(record.found, Found::Deleted) {
        twin.memory.deleted_here = true;
        twin.status = Status::Stopped;
        super::ending::let_go(twin);
        return Some(stopped(worker, twin));
    }
    let entity = super::apply::entity_of(twin, Some(&record.found))?;
    let pair = view::rules(worker, connection).await.ok()?;
    let replica = written::replica_of(
        worker,
        connection,
        &pair.outgoing,
        (&twin.memory, &entity),
        &Desk::comparing(worker, twin.connection_id),
    )
    .await?;
    let modified_at = entity.modified_at.map(|at| Time(at.0 + record.offset_ms));
    let (changed, confirmed) = not_confirmed(worker, twin, &replica, modified_at);
    let event = Sync {
        entity_type: local.entity_type,
        key: local.key,
        url: entity.url.clone(),
        replica: replica.clone(),
        modified_at,
        changed,
        confirmed: Some(confirmed),
        via: worker.parts.via.get(&worker.name).cloned().into_iter().chain(twin.memory.via.iter().cloned()).collect(),
        applied: twin.memory.received.clone(),
        remote: twin.remote.as_ref().map(|remote| RemoteRef {
            entity_type: remote.entity_type.clone(),
            key: remote.key.clone(),
            url: remote.url.clone(),
        }),
    };
    // What people did here since comes back, too, once it is in effect there.
    plan::outgoing::remember_sent_values(&mut twin.memory, &entity.fields);
    twin.memory.base.clone_from(&entity.fields);
    twin.memory.sent = Some(replica);
    plan::settle::note_read(&mut twin.memory, &entity, record.read_at);
    Some(super::record::draft(worker, twin, Body::Sync(Box::new(event)), None))
}

/// What is new to the other side, as far as we remember: when it was first seen, and what was there before.
fn not_confirmed(worker: &Worker, twin: &mut Twin, replica: &Fields, at: Option<Time>) -> (BTreeMap<String, Time>, Fields) {
    let at = at.unwrap_or_else(|| worker.parts.clock.now());
    let sent = twin.memory.sent.clone().unwrap_or_default();
    for name in replica::differences(&sent, replica) {
        let from = sent.get(&name).cloned().unwrap_or_default();
        twin.memory.unconfirmed.entry(name).or_insert(Unconfirmed { from, at });
    }
    twin.memory.unconfirmed.retain(|name, ours| replica.get(name).is_none_or(|now| !replica::same(&ours.from, now)));
    let ours = &twin.memory.unconfirmed;
    (
        ours.iter().map(|(name, ours)| (name.clone(), ours.at)).collect(),
        ours.iter().map(|(name, ours)| (name.clone(), ours.from.clone())).collect(),
    )
}

/// The other side has sent every twin of the epoch.
pub(super) async fn heard(worker: &Worker, id: ConnectionId) -> Result<(), Failure> {
    worker
        .parts
        .store
        .write("resynced", move |tx| {
            Box::pin(async move {
                let mut link = tx.link_state(id).await?;
                link.resyncing = false;
                // Until our twins are sent they have to learn of it.
                link.set_back_here &= link.resync_due;
                tx.put_link_state(id, &link).await?;
                tx.wake(Topic::Connections);
                Ok(())
            })
        })
        .await?;
    Ok(())
}

/// Events that name no twin have nothing to park: the connection shows what cannot be used of them.
pub(super) async fn nameless(worker: &Worker, item: &Item) -> Result<Settle, Failure> {
    let (id, now, error_id) = (item.connection.id, worker.parts.clock.now(), ErrorId(worker.parts.clock.id()));
    if let Some(trouble) = item.folded.bad.clone() {
        tracing::warn!(connection = %id, "an event that names no twin cannot be used: {}", trouble.detail);
        worker
            .parts
            .store
            .write("event_unusable", move |tx| {
                Box::pin(async move {
                    let known = tx.error_of(&id.to_string(), &trouble.code).await?;
                    tx.put_error(&ErrorRecord {
                        id: known.as_ref().map_or(error_id, |known| known.id),
                        scope: Scope::Connection,
                        connection_id: Some(id),
                        twin_id: None,
                        tracker: None,
                        code: trouble.code,
                        title: trouble.title,
                        detail: trouble.detail,
                        advice: "Tell the partner's admin; the event was passed over.".to_owned(),
                        retryable: false,
                        attempts: known.as_ref().map_or(1, |known| known.attempts.saturating_add(1)),
                        occurred_at: known.map_or(now, |known| known.occurred_at),
                        next_attempt_at: None,
                    })
                    .await
                })
            })
            .await?;
    }
    Ok(Settle { ended_events: item.folded.rows.clone(), ..Settle::default() })
}
