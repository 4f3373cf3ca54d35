//! The node as a whole: status and queue.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Time,
    domain::{
        connection::{Kind, Status},
        ids::ConnectionId,
        token::Scope,
    },
    server::kit::{Caller, Node, Problem},
    store::rows::Waiting,
};

/// How many connections are in which status.
#[derive(Debug, Default, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names are the statuses")]
pub struct ConnectionCounts {
    pub pending: u64,
    pub active: u64,
    pub deactivated: u64,
}

/// How the node does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeStatus)]
pub struct StatusBody {
    /// Shown to partners.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// `public`: others reach it; `private`: it only dials.
    pub kind: Kind,
    /// Where others reach it.
    pub public_url: Option<String>,
    /// Fingerprint of its key: what people compare.
    pub key_fingerprint: String,
    /// When it was started.
    pub started_at: Time,
    /// The hour here.
    pub now: Time,
    /// Whether it can store; else why not.
    pub ready: bool,
    /// Why it is not ready.
    pub reasons: Vec<String>,
    /// Connections that the caller may see, by status.
    pub connections: ConnectionCounts,
    /// Events that wait on them, both directions.
    pub waiting: u64,
    /// Twins on them that are parked.
    pub parked: u64,
}

/// What waits on a connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionQueue {
    /// The connection.
    pub connection_id: ConnectionId,
    /// This node's name for it.
    pub name: String,
    /// Events to hand over, events to apply, parked twins.
    #[serde(flatten)]
    pub waiting: Waiting,
}

/// What waits at a tracker.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrackerQueue {
    /// Its name.
    pub tracker: String,
    /// Changes to be looked at.
    pub changes: u64,
    /// When the next is due; null where none waits.
    pub next_due_at: Option<Time>,
}

/// What waits.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueBody {
    /// By connection.
    pub items: Vec<ConnectionQueue>,
    /// All is in one part.
    pub next: Option<String>,
    /// By tracker; empty for tokens that are bound to connections.
    pub trackers: Vec<TrackerQueue>,
}

/// How the node does.
#[utoipa::path(get, path = "/status", tag = "node", responses((status = 200, body = StatusBody)))]
pub async fn status(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let health = node.store_health().await;
    let sums = node
        .store
        .read("api.status", move |tx| {
            Box::pin(async move {
                let (mut counts, mut waiting, mut parked) = (ConnectionCounts::default(), 0, 0);
                for one in tx.connections().await?.into_iter().filter(|one| caller.sees(one.id)) {
                    match one.status {
                        Status::Pending => counts.pending += 1,
                        Status::Active => counts.active += 1,
                        Status::Deactivated => counts.deactivated += 1,
                    }
                    let there = tx.waiting(one.id).await?;
                    waiting += there.inbox + there.outbox;
                    parked += there.parked;
                }
                Ok((counts, waiting, parked))
            })
        })
        .await?;
    let (connections, waiting, parked) = sums;
    Ok(HttpResponse::Ok().json(StatusBody {
        name: node.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        kind: if node.public_url.is_some() { Kind::Public } else { Kind::Private },
        public_url: node.public_url.as_ref().map(ToString::to_string),
        key_fingerprint: node.link.fingerprint(),
        started_at: node.started_at,
        now: node.now(),
        ready: health.is_ok(),
        reasons: health.err().into_iter().collect(),
        connections,
        waiting,
        parked,
    }))
}

/// What waits, by connection and tracker.
#[utoipa::path(get, path = "/queue", tag = "node", responses((status = 200, body = QueueBody)))]
pub async fn queue(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let names: Vec<String> = if caller.is_bound() { Vec::new() } else { node.trackers.keys().cloned().collect() };
    let shown = node
        .store
        .read("api.queue", move |tx| {
            Box::pin(async move {
                let mut items = Vec::new();
                for one in tx.connections().await?.into_iter().filter(|one| caller.sees(one.id)) {
                    items.push(ConnectionQueue { connection_id: one.id, name: one.name, waiting: tx.waiting(one.id).await? });
                }
                let mut trackers = Vec::new();
                for tracker in names {
                    let changes = tx.count_changes(&tracker).await?;
                    let next_due_at = tx.next_change_due(&tracker, None).await?;
                    trackers.push(TrackerQueue { tracker, changes, next_due_at });
                }
                Ok(QueueBody { items, next: None, trackers })
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(shown))
}
