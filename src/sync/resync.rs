//! After a set-back (link.md, "Set back"): every twin of the connection is sent again, then `resynced`.
//!
//! The link begins the epoch and leaves `resync_due`; this task reads every record of the connection's twins, sends both
//! keys, the present replica and what was last applied from the other side, and says when it is done. Only then may
//! creates leave there. Numbers began anew, so what the twins remember of numbers is forgotten first.

use super::{decide::Item, judge::Failure, outgoing::Worker, plan, settle::Settle, view, written};
use crate::{
    domain::{
        connection::{Connection, Status as ConnectionStatus},
        event::{Body, RemoteRef, Sync},
        ids::{ConnectionId, EventId, TwinId},
        tracker::{Caller, Found},
        twin::{Status, Twin},
    },
    store::{Topic, rows::Draft},
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
                    let joined = connection.tracker == name && connection.status != ConnectionStatus::Pending;
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
    let mut leases = Vec::new();
    for id in ids {
        leases.push(hold(worker, connection.id, *id).await?);
    }
    let (id, wanted) = (connection.id, ids.to_vec());
    let twins = worker.parts.store.read("twins", move |tx| Box::pin(async move { tx.twins_by_ids(id, &wanted).await })).await?;
    let mut settle = Settle::default();
    for mut twin in twins {
        twin.memory.seen = 0;
        twin.peer_seen = 0;
        twin.memory.undecided.clear();
        if let Some(draft) = word(worker, connection, &mut twin).await? {
            settle.drafts.push(draft);
        }
        settle.twins.push(twin);
    }
    settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "resync").await?;
    drop(leases);
    Ok(())
}

/// Waits until nobody works on the twin.
pub(super) async fn hold(worker: &Worker, connection: ConnectionId, id: TwinId) -> Result<crate::store::Lease, Failure> {
    loop {
        let twin = worker.parts.store.read("twin", move |tx| Box::pin(async move { tx.twin(connection, id).await })).await?;
        if let Some(lease) = worker.parts.store.leases().take(super::incoming::lease_keys(Some(id), twin.as_ref())) {
            return Ok(lease);
        }
        worker.parts.clock.sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn word(worker: &Worker, connection: &Connection, twin: &mut Twin) -> Result<Option<Draft>, Failure> {
    let Some(local) = twin.local.clone() else { return Ok(None) };
    if twin.status == Status::Stopped {
        return Ok(None);
    }
    let read = worker.tracker.read(Caller::Sync, &local.entity_type, std::slice::from_ref(&local.key)).await?;
    let record = read.found.first().cloned();
    if matches!(record, Some(Found::Deleted)) {
        twin.memory.deleted_here = true;
        twin.status = Status::Stopped;
        return Ok(Some(super::record::draft(worker, twin, Body::Deleted { key: local.key }, None)));
    }
    let Some(entity) = super::apply::entity_of(twin, record.as_ref()) else { return Ok(None) };
    let Ok(pair) = view::rules(worker, connection).await else { return Ok(None) };
    let Some(replica) = written::replica_of(worker, connection, &pair.outgoing, &twin.memory, &entity).await else {
        return Ok(None);
    };
    let event = Sync {
        entity_type: local.entity_type,
        key: local.key,
        url: entity.url.clone(),
        replica: replica.clone(),
        modified_at: entity.modified_at.map(|at| crate::clock::Time(at.0 + read.clock_offset_ms)),
        changed: Default::default(),
        via: worker.parts.via.get(&worker.name).cloned().into_iter().chain(twin.memory.via.iter().cloned()).collect(),
        applied: twin.memory.received.clone(),
        remote: twin.remote.as_ref().map(|remote| RemoteRef {
            entity_type: remote.entity_type.clone(),
            key: remote.key.clone(),
            url: remote.url.clone(),
        }),
    };
    twin.memory.base.clone_from(&entity.fields);
    twin.memory.sent = Some(replica);
    plan::settle::note_read(&mut twin.memory, &entity);
    Ok(Some(super::record::draft(worker, twin, Body::Sync(Box::new(event)), None)))
}

/// Events that name no twin: `resynced`, or what cannot be read at all.
pub(super) async fn heard(worker: &Worker, item: &Item) -> Result<Settle, Failure> {
    let (id, unreadable) = (item.connection.id, item.folded.bad.clone());
    worker
        .parts
        .store
        .write("resynced", move |tx| {
            Box::pin(async move {
                let mut link = tx.link_state(id).await?;
                link.resyncing = false;
                link.set_back_here = false;
                tx.put_link_state(id, &link).await?;
                tx.wake(Topic::Connections);
                Ok(())
            })
        })
        .await?;
    if let Some(trouble) = unreadable {
        tracing::warn!(connection = %id, "an event that names no twin cannot be used: {}", trouble.detail);
    }
    Ok(Settle { ended_events: item.folded.rows.clone(), ..Settle::default() })
}
