//! What people and programs may ask of the engine: sync this now, stop, retry, skip. Links are in `linking`.

use std::time::Duration;

use super::{
    Engine, Refused, asks,
    outgoing::{Worker, look_at},
    pauses,
    record::draft,
    settle::{Settle, heal, kept_changes, line, release_changes},
};
use crate::{
    domain::{
        change::{NewChange, Source},
        connection::Connection,
        error::{ErrorRecord, Scope},
        event::Body,
        history::{Direction, Outcome},
        ids::{ConnectionId, EntityRef, ErrorId, TwinId, twin_id},
        tracker::{Caller, Entity, Found},
        twin::{Memory, Status, Twin},
    },
    store::Lease,
};

/// How long a wish waits for work on its twin to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// "Sync this now": the record is looked at for this connection, whatever its triggers say. Answers the twin, made
    /// in status `waiting` where there was none, or started again where it was stopped.
    pub async fn sync_now(&self, connection: ConnectionId, entity_type: &str, key: &str) -> Result<Twin, Refused> {
        let (connection, worker) = self.joined(connection).await?;
        let entity = person_reads(&worker, entity_type, key).await?;
        let known = twins_here(&worker, &connection, &entity).await?;
        let id = known
            .first()
            .map_or_else(|| twin_id(connection.id, connection.side, &entity.entity_type, &entity.key), |twin| twin.id);
        let _lease = self.hold(&worker, connection.id, id, &entity).await?;
        let mut twin = twins_here(&worker, &connection, &entity)
            .await?
            .into_iter()
            .next()
            .unwrap_or_else(|| started_here(&worker, &connection, id, &entity));
        if twin.status == Status::Stopped {
            twin.status = if twin.remote.is_some() { Status::InSync } else { Status::Waiting };
            twin.memory.stop_event = None;
            twin.memory.deleted_there = false;
        }
        twin.memory.owes_word = true;
        let settle =
            Settle { twins: vec![twin.clone()], changes: vec![asked(&worker, &connection, &entity)], ..Settle::default() };
        settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "sync_now").await?;
        Ok(twin)
    }

    /// Stops a twin on both sides; both records keep their values.
    pub async fn stop_twin(&self, id: TwinId) -> Result<Twin, Refused> {
        let twin = self.twin(id).await?;
        let (_, worker) = self.connection(twin.connection_id).await?;
        let _lease = self.hold_twin(&worker, &twin).await?;
        let mut twin = self.twin(id).await?;
        if twin.status == Status::Stopped {
            return Ok(twin);
        }
        twin.status = Status::Stopped;
        super::ending::let_go(&mut twin);
        let word = draft(&worker, &twin, Body::Stop {}, None);
        twin.memory.stop_event = Some(word.id);
        let mut told = line(&twin, worker.parts.clock.now(), Direction::Out, Outcome::Sent);
        told.reason = Some("stopped by a person".to_owned());
        let settle = Settle {
            healed: vec![(twin.connection_id, twin.id)],
            ended: asks::both(&twin).to_vec(),
            twins: vec![twin.clone()],
            drafts: vec![word],
            history: vec![told],
            ..Settle::default()
        };
        settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "stop").await?;
        Ok(twin)
    }

    /// Tries again what an error holds up.
    pub async fn retry(&self, id: ErrorId) -> Result<(), Refused> {
        let error = self.error(id).await?;
        match (error.scope, error.twin_id) {
            (Scope::Twin, Some(twin)) => self.retry_twin(&error, twin).await,
            (Scope::Tracker, _) => {
                let worker = error.tracker.as_ref().and_then(|name| self.worker(name)).ok_or(Refused::NotFound("tracker"))?;
                worker.rest.clear();
                worker.parts.store.wakes().wake(crate::store::Topic::Changes(worker.name.clone()));
                worker.parts.store.wakes().wake(crate::store::Topic::Inbox(worker.name.clone()));
                Ok(())
            }
            (Scope::Connection, _) if error.code == pauses::PAUSED => {
                self.pauses.probe_now(self, &error).await;
                Ok(())
            }
            _ => self.close(&error).await,
        }
    }

    /// Gives up what an error holds up: it ends as `skipped`, with that reason in the history.
    pub async fn skip(&self, id: ErrorId) -> Result<(), Refused> {
        let error = self.error(id).await?;
        match (error.scope, error.twin_id) {
            (Scope::Twin, Some(twin)) => self.skip_twin(&error, twin).await,
            (Scope::Connection, _) if error.code == pauses::PAUSED => Err(Refused::State(
                "nothing can be given up for a whole direction: mend the rule and publish it, or skip the twins' own errors"
                    .to_owned(),
            )),
            _ => self.close(&error).await,
        }
    }

    async fn close(&self, error: &ErrorRecord) -> Result<(), Refused> {
        let id = error.id;
        self.parts().store.write("close_error", move |tx| Box::pin(async move { tx.close_error(id).await })).await?;
        Ok(())
    }

    pub(super) async fn retry_twin(&self, error: &ErrorRecord, id: TwinId) -> Result<(), Refused> {
        let twin = self.twin(id).await?;
        let (connection, worker) = self.connection(twin.connection_id).await?;
        let _lease = self.hold_twin(&worker, &twin).await?;
        let mut twin = self.twin(id).await?;
        twin.memory.waits_for_person = false;
        // What the link had to leave out is in no change any more: the record is looked at anew.
        let look = match &twin.local {
            Some(local) if error.code == "event_too_large" => {
                let entity = Entity { entity_type: local.entity_type.clone(), key: local.key.clone(), ..Entity::default() };
                vec![asked(&worker, &connection, &entity)]
            }
            _ => Vec::new(),
        };
        if error.code == "link_asked" {
            twin.memory.linked = true;
        }
        if error.code == "create_in_doubt" {
            twin.memory.pending_write = None;
        }
        let again = error.code == asks::IN_DOUBT;
        let now = worker.parts.clock.now();
        worker
            .parts
            .store
            .write("retry", move |tx| {
                Box::pin(async move {
                    if !look.is_empty() {
                        tx.add_changes(&look).await?;
                        tx.wake(crate::store::Topic::Changes(twin.tracker.clone()));
                    }
                    tx.renew_journal(twin.connection_id, twin.id, again).await?;
                    release_changes(tx, twin.connection_id, twin.id, now).await?;
                    tx.release_arrived(twin.connection_id, twin.id).await?;
                    tx.wake(crate::store::Topic::Inbox(twin.tracker.clone()));
                    tx.put_twin(&twin).await
                })
            })
            .await?;
        Ok(())
    }

    async fn skip_twin(&self, error: &ErrorRecord, id: TwinId) -> Result<(), Refused> {
        let twin = self.twin(id).await?;
        let (_, worker) = self.connection(twin.connection_id).await?;
        let _lease = self.hold_twin(&worker, &twin).await?;
        let mut twin = self.twin(id).await?;
        let reason = format!("skipped by a person: {}", error.title);
        let (connection, now) = (twin.connection_id, worker.parts.clock.now());
        twin.memory.waits_for_person = false;
        twin.memory.parked_out = false;
        twin.memory.pending_write = None;
        if twin.status == Status::Parked {
            twin.status = if twin.local.is_some() && twin.remote.is_some() { Status::InSync } else { Status::Waiting };
        }
        let events =
            self.parts().store.read("arrived", move |tx| Box::pin(async move { tx.arrived(connection, Some(id)).await })).await?;
        let folded = super::fold::fold(&events, twin.local.is_some());
        twin.memory.seen = twin.memory.seen.max(folded.up_to);
        let mut words = Vec::new();
        if !events.is_empty() {
            words.push(super::ending::word(&worker, &twin, &folded, Outcome::Skipped, Some(reason.clone())));
        }
        if folded.link.is_some() && twin.local.is_none() {
            // A link that was refused: no record is to be made for it either.
            let stop = draft(&worker, &twin, Body::Stop {}, None);
            twin.status = Status::Stopped;
            twin.memory.stop_event = Some(stop.id);
            words.push(stop);
        }
        let direction = if events.is_empty() { Direction::Out } else { Direction::In };
        let mut told = line(&twin, now, direction, Outcome::Skipped);
        told.reason = Some(reason);
        worker
            .parts
            .store
            .write("skip", move |tx| {
                Box::pin(async move {
                    let kept = kept_changes(tx, connection, twin.id).await?;
                    tx.end_changes(&kept).await?;
                    tx.end_arrived(&folded.rows).await?;
                    tx.end_journal(&asks::both(&twin)).await?;
                    heal(tx, connection, twin.id, now).await?;
                    release_changes(tx, connection, twin.id, now).await?;
                    tx.add_history(&[told]).await?;
                    for word in &words {
                        tx.put_draft(word).await?;
                    }
                    tx.put_twin(&twin).await
                })
            })
            .await?;
        Ok(())
    }

    pub(super) async fn error(&self, id: ErrorId) -> Result<ErrorRecord, Refused> {
        let error = self.parts().store.read("error", move |tx| Box::pin(async move { tx.error(id).await })).await?;
        error.ok_or(Refused::NotFound("error"))
    }

    pub(super) async fn twin(&self, id: TwinId) -> Result<Twin, Refused> {
        let twin = self.parts().store.read("twin", move |tx| Box::pin(async move { tx.twin_by_id(id).await })).await?;
        twin.ok_or(Refused::NotFound("twin"))
    }

    pub(super) async fn connection(&self, id: ConnectionId) -> Result<(Connection, Worker), Refused> {
        let connection =
            self.parts().store.read("connection", move |tx| Box::pin(async move { tx.connection(id).await })).await?;
        let connection = connection.ok_or(Refused::NotFound("connection"))?;
        let worker = self.worker(&connection.tracker).ok_or(Refused::NotFound("tracker"))?;
        Ok((connection, worker))
    }

    pub(super) async fn joined(&self, id: ConnectionId) -> Result<(Connection, Worker), Refused> {
        let (connection, worker) = self.connection(id).await?;
        if connection.is_new() {
            return Err(Refused::State(
                "the connection is pending: nothing can be synced before the other side has joined".to_owned(),
            ));
        }
        Ok((connection, worker))
    }

    async fn hold(&self, worker: &Worker, connection: ConnectionId, id: TwinId, entity: &Entity) -> Result<Lease, Refused> {
        let twin = Twin { id, ..started_here_by(worker, connection, id, entity) };
        self.hold_twin(worker, &twin).await
    }

    pub(super) async fn hold_twin(&self, worker: &Worker, twin: &Twin) -> Result<Lease, Refused> {
        let keys = super::incoming::lease_keys(Some(twin.id), Some(twin));
        let until = worker.parts.clock.now().plus(PATIENCE);
        loop {
            if let Some(lease) = worker.parts.store.leases().take(keys.clone()) {
                return Ok(lease);
            }
            if worker.parts.clock.now() >= until {
                return Err(Refused::State("the twin is being worked on; try again in a moment".to_owned()));
            }
            worker.parts.clock.sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(super) async fn person_reads(worker: &Worker, entity_type: &str, typed: &str) -> Result<Entity, Refused> {
    let key =
        worker.tracker.key(entity_type, typed).map_err(|error| Refused::Invalid { field: "key", message: error.to_string() })?;
    let read = worker.tracker.read(Caller::Person, entity_type, std::slice::from_ref(&key)).await?;
    seen(entity_type, key, read.found.into_iter().next())
}

/// A record that a person named, as it was found.
pub(super) fn seen(entity_type: &str, key: String, found: Option<Found>) -> Result<Entity, Refused> {
    match found {
        Some(Found::Here(entity)) => Ok(*entity),
        Some(Found::CannotAsk) => Ok(Entity { entity_type: entity_type.to_owned(), key, ..Entity::default() }),
        Some(Found::Failed(error)) => Err(error.into()),
        Some(Found::Deleted) => Err(Refused::Invalid { field: "key", message: format!("{entity_type} {key} is deleted") }),
        Some(Found::NotVisible) | None => Err(Refused::Invalid {
            field: "key",
            message: format!("{entity_type} {key} is not there, or not visible to the integration user"),
        }),
    }
}

pub(super) async fn twins_here(worker: &Worker, connection: &Connection, entity: &Entity) -> Result<Vec<Twin>, Refused> {
    let (tracker, entity_type, key) = (worker.name.clone(), entity.entity_type.clone(), entity.key.clone());
    let mut twins = worker
        .parts
        .store
        .read("twins_of_record", move |tx| Box::pin(async move { tx.twins_of_record(&tracker, &entity_type, &key).await }))
        .await?;
    twins.retain(|twin| twin.connection_id == connection.id);
    twins.sort_by_key(|twin| twin.status == Status::Stopped);
    Ok(twins)
}

pub(super) fn started_here(worker: &Worker, connection: &Connection, id: TwinId, entity: &Entity) -> Twin {
    Twin { started_by: connection.side, ..started_here_by(worker, connection.id, id, entity) }
}

fn started_here_by(worker: &Worker, connection_id: ConnectionId, id: TwinId, entity: &Entity) -> Twin {
    Twin {
        id,
        connection_id,
        tracker: worker.name.clone(),
        status: Status::Waiting,
        started_by: crate::domain::ids::Side::Inviting,
        local: Some(EntityRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() }),
        remote: None,
        peer_seen: 0,
        remote_outcome: None,
        created_at: worker.parts.clock.now(),
        last_synced_at: None,
        memory: Memory::default(),
    }
}

pub(super) fn asked(worker: &Worker, connection: &Connection, entity: &Entity) -> NewChange {
    look_at(worker, connection.id, (entity.entity_type.clone(), entity.key.clone()), Source::Person, None)
}
