//! What a panel beside a record may tell anybody who sees the record: its state, the link to its twin, what holds it up.
//!
//! The panel's program asks with one token for all its readers, so nothing here is a field's value: neither the changes of
//! the history nor the details of an error, which quote them. Who may see the record at all is decided there, before it
//! asks.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::{connections::NAME, trackers::require_tracker};
use crate::{
    clock::Time,
    domain::{
        connection::Status,
        history::{Direction, HistoryLine, Outcome},
        ids::{ConnectionId, EntityRef, TwinId},
        token::Scope,
        twin::{self, RemoteOutcome},
    },
    server::kit::{Caller, Node, Problem, query},
};

/// Why a twin stands still.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanelError {
    /// One line.
    pub title: String,
    /// What to do.
    pub advice: String,
    /// Since when.
    pub occurred_at: Time,
}

/// A twin of the record.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanelTwin {
    /// Its id.
    pub id: TwinId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// The connection's name.
    pub connection: String,
    /// Where it is in its life.
    pub status: twin::Status,
    /// The record there; null until it is told.
    pub remote: Option<EntityRef>,
    /// When a change last took effect on either side.
    pub last_synced_at: Option<Time>,
    /// What holds it up here.
    pub error: Option<PanelError>,
    /// The other side's last word on our events.
    pub remote_outcome: Option<RemoteOutcome>,
}

/// A connection on which the record has no twin.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanelConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Its name.
    pub name: String,
}

/// How the record's newest change ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanelEnding {
    /// When.
    pub at: Time,
    /// Which way.
    pub direction: Direction,
    /// How.
    pub outcome: Outcome,
    /// Why, as of a change that was skipped.
    pub reason: Option<String>,
}

/// What a panel shows of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntityStatus {
    /// Our tracker.
    pub tracker: String,
    /// By its name.
    pub entity_type: String,
    /// In the tracker's own form.
    pub key: String,
    /// Its twins.
    pub twins: Vec<PanelTwin>,
    /// Connections that are active and on which it could be synced.
    pub connections: Vec<PanelConnection>,
    /// Changes that wait to be looked at.
    pub waiting: u64,
    /// Its newest change that ended.
    pub last: Option<PanelEnding>,
}

/// How a record stands, for a panel beside it: no values of fields.
#[utoipa::path(get, path = "/trackers/{name}/entities/{type}/{key}/status", tag = "trackers", operation_id = "entity_status",
    params(("name" = String, Path), ("type" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = EntityStatus)))]
pub async fn status(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(Some("1"), None)?;
    let (tracker, entity_type, typed) = path.into_inner();
    query::all([query::text("type", &entity_type, 1, NAME), query::text("key", &typed, 1, 1_000)])?;
    let key = require_tracker(&node, &caller, &tracker).await?.key(&entity_type, &typed)?;
    let read = node.store.read("api.panel", move |tx| {
        Box::pin(async move {
            let mut connections = tx.connections().await?;
            connections.retain(|one| one.tracker == tracker && caller.sees(one.id));
            let mut twins = Vec::new();
            for twin in tx.twins_of_record(&tracker, &entity_type, &key).await? {
                let Some(connection) = connections.iter().find(|one| one.id == twin.connection_id) else { continue };
                let error = if twin.status == twin::Status::Parked { tx.error_of_twin(twin.id).await? } else { None };
                twins.push(PanelTwin {
                    id: twin.id,
                    connection_id: twin.connection_id,
                    connection: connection.name.clone(),
                    status: twin.status,
                    remote: twin.remote,
                    last_synced_at: twin.last_synced_at,
                    remote_outcome: twin.remote_outcome,
                    error: error.map(|error| PanelError {
                        title: error.title,
                        advice: error.advice,
                        occurred_at: error.occurred_at,
                    }),
                });
            }
            let waiting = tx.changes(&tracker, &entity_type, &key).await?.len() as u64;
            let ended = tx.history_of_record(&tracker, &entity_type, &key, &page).await?.items;
            let seen = |line: &HistoryLine| !caller.is_bound() || line.connection_id.is_some_and(|id| caller.sees(id));
            let last = ended.into_iter().find(seen).map(|line| {
                let HistoryLine { at, direction, outcome, reason, .. } = line;
                PanelEnding { at, direction, outcome, reason }
            });
            let free = |id: &ConnectionId| twins.iter().all(|twin| twin.connection_id != *id);
            let open = connections.into_iter().filter(|one| one.status == Status::Active && free(&one.id));
            let connections = open.map(|one| PanelConnection { id: one.id, name: one.name }).collect();
            Ok(EntityStatus { tracker, entity_type, key, twins, connections, waiting, last })
        })
    });
    Ok(HttpResponse::Ok().json(read.await?))
}
