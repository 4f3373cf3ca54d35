//! What many operations do alike.

use actix_web::HttpResponse;

use super::bodies::ConnectionBody;
use crate::{
    domain::{
        connection::{Connection, Refused},
        ids::{ConnectionId, TwinId},
        twin::Twin,
    },
    server::kit::{Caller, Code, Node, Problem, idempotency::HeldSecret},
    store::{Notice, StoreError, Topic, rows::AuditLine},
};

/// The connection, where the caller may know of it.
pub(super) async fn visible(node: &Node, caller: &Caller, id: ConnectionId) -> Result<Connection, Problem> {
    caller.require_sight(id)?;
    let found = node.store.read("api.connection", move |tx| Box::pin(async move { tx.connection(id).await })).await?;
    found.ok_or_else(|| Problem::not_found("connection"))
}

/// The twin, where the caller may know of it.
pub(super) async fn visible_twin(node: &Node, caller: &Caller, id: TwinId) -> Result<Twin, Problem> {
    let found = node.store.read("api.twin", move |tx| Box::pin(async move { tx.twin_by_id(id).await })).await?;
    found.filter(|twin| caller.sees(twin.connection_id)).ok_or_else(|| Problem::not_found("twin"))
}

/// A connection as it travels.
pub(super) async fn connection_body(node: &Node, connection: Connection) -> Result<ConnectionBody, Problem> {
    let now = node.now();
    let load = node.store.read("api.connection.health", move |tx| Box::pin(ConnectionBody::load(tx, connection, now)));
    Ok(load.await?)
}

/// Changes a connection in one transaction, with its audit line; the link, the engine and the stream hear of it.
pub(super) async fn change_connection<F>(
    node: &Node,
    caller: &Caller,
    id: ConnectionId,
    action: &'static str,
    change: F,
) -> Result<ConnectionBody, Problem>
where
    F: FnOnce(Connection) -> Result<Connection, Refused> + Send + 'static,
{
    let now = node.now();
    let caller = caller.clone();
    node.store
        .write("api.connection.change", move |tx| {
            Box::pin(async move {
                let Some(present) = tx.connection(id).await? else { return Ok(Err(Problem::not_found("connection"))) };
                let changed = match change(present) {
                    Ok(changed) => changed,
                    Err(refused) => return Ok(Err(refused.into())),
                };
                tx.update_connection(&changed).await?;
                tx.add_audit(&caller.audit(now, action, id.to_string(), changed.name.clone())).await?;
                tx.tell(Notice::Connection(id));
                tx.wake(Topic::Connections);
                tx.wake(Topic::Outbox(id));
                // Activated: what was kept flows.
                tx.wake(Topic::Changes(changed.tracker.clone()));
                tx.wake(Topic::Inbox(changed.tracker.clone()));
                Ok(Ok(ConnectionBody::load(tx, changed, now).await?))
            })
        })
        .await?
}

/// Adds an audit line for what was done elsewhere.
pub(super) async fn audit(node: &Node, line: AuditLine) -> Result<(), Problem> {
    Ok(node.store.write("api.audit", move |tx| Box::pin(async move { tx.add_audit(&line).await })).await?)
}

/// Marks an answer as holding a secret: it is not kept for repeats.
pub(super) fn secret(mut answer: HttpResponse) -> HttpResponse {
    answer.extensions_mut().insert(HeldSecret);
    answer
}

/// The name is taken, said with the name.
pub(super) fn name_taken(name: &str) -> Problem {
    Problem::new(Code::NameTaken, format!("A connection of this node is called `{name}` already; choose another name."))
        .at("name")
}

/// A unique name that is taken, said with the name.
pub(super) fn taken(error: StoreError, name: &str) -> Problem {
    match error {
        StoreError::Taken(_) => name_taken(name),
        other => other.into(),
    }
}

/// Whether the configuration has this tracker; else the nearest name is told.
pub(super) fn known_tracker(node: &Node, name: &str) -> Result<(), Problem> {
    if node.trackers.contains_key(name) {
        return Ok(());
    }
    let nearest = node
        .trackers
        .keys()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(3) / 2);
    let hint = match nearest {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => {
            let known: Vec<&str> = node.trackers.keys().map(String::as_str).collect();
            format!("; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })
        }
    };
    let shown: String = name.chars().take(100).collect();
    Err(Problem::field("tracker", format!("this node has no tracker `{shown}`{hint}")))
}
