//! Twins: start, link, see, stop.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    bodies::{HistoryBody, List, TwinBody, WholeTwin},
    common::{audit, visible, visible_twin},
    connections::NAME,
    twin_lists::{self, LinkQuery, LinkReport, is_preview},
};
use crate::{
    domain::{
        event::Start,
        ids::{ConnectionId, TwinId},
        token::Scope,
        twin::Twin,
    },
    server::kit::{Body, Caller, JsonOrCsv, Node, Problem, query},
    store::rows::TwinFilter,
    sync,
};

/// Longest key or address of a record.
pub(super) const KEY: usize = 1_000;

/// A record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordName {
    /// By its tracker's name.
    entity_type: String,
    /// By its tracker; the address of a record's page does too.
    key: String,
}

/// Two records to be made a twin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// The record here.
    local: RecordName,
    /// The record there.
    remote: RecordName,
    /// What happens first; nothing unless told.
    #[serde(default)]
    start: Start,
}

/// Which twins, and which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TwinsQuery {
    /// Of this connection.
    connection_id: Option<String>,
    /// With records of this tracker.
    tracker: Option<String>,
    /// `waiting`, `in_sync`, `parked` or `stopped`.
    status: Option<String>,
    /// With records of this type here.
    entity_type: Option<String>,
    /// Of this record, here or there.
    key: Option<String>,
    /// 1 to 500; 50 unless told.
    limit: Option<String>,
    /// `next` of the part before.
    cursor: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// 1 to 500; 50 unless told.
    pub limit: Option<String>,
    /// `next` of the part before.
    pub cursor: Option<String>,
}

impl RecordName {
    fn check(&self, at: &str) -> Result<(), Problem> {
        query::all([
            query::text(&format!("{at}entity_type"), &self.entity_type, 1, NAME),
            query::text(&format!("{at}key"), &self.key, 1, KEY),
        ])
    }
}

/// Syncs a record now, whatever the triggers say.
#[utoipa::path(post, path = "/connections/{id}/twins", tag = "twins", params(("id" = String, Path)), request_body = RecordName,
    responses((status = 201, body = TwinBody)))]
pub async fn sync_now(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: RecordName = body.json()?;
    asked.check("")?;
    let twin = node.engine.sync_now(connection.id, asked.entity_type.trim(), asked.key.trim()).await?;
    started(&node, &caller, twin, "twin.sync").await
}

/// Makes two records that exist a twin; or, for a CSV file, each line's two.
///
/// The file's first line names its columns: `local_type,local_key,remote_type,remote_key` and, if wanted, `start`; those
/// that `twins.csv` has beside are read over. At most 10,000 lines. Each has its own result, and the same file again
/// changes nothing.
#[utoipa::path(post, path = "/connections/{id}/twins/link", tag = "twins", params(("id" = String, Path), LinkQuery),
    request_body(content((NewLink = "application/json"), (String = "text/csv"))),
    responses((status = 201, body = TwinBody), (status = 200, description = "A file: what became of each line", body = LinkReport)))]
pub async fn link(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    asked: web::Query<LinkQuery>,
    body: JsonOrCsv,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let preview = is_preview(&asked)?;
    let body = match body {
        JsonOrCsv::Csv(text) => return twin_lists::link(&node, &caller, connection.id, &text?, preview).await,
        JsonOrCsv::Json(_) if preview => return Err(Problem::field("preview", "is for a CSV file")),
        JsonOrCsv::Json(body) => body,
    };
    let NewLink { local, remote, start } = body.json()?;
    query::all([local.check("local."), remote.check("remote.")])?;
    let (local, remote) = ((local.entity_type.trim(), local.key.trim()), (remote.entity_type.trim(), remote.key.trim()));
    let made = node.engine.link_existing(connection.id, local, remote, start).await;
    let twin = made.map_err(|refused| match refused {
        sync::Refused::Invalid { field: "key", message } => Problem::field("local.key", message),
        other => other.into(),
    })?;
    started(&node, &caller, twin, "twin.link").await
}

async fn started(node: &Node, caller: &Caller, twin: Twin, action: &'static str) -> Result<HttpResponse, Problem> {
    audit(node, caller.audit(node.now(), action, twin.id.to_string(), record(&twin))).await?;
    Ok(HttpResponse::Created().json(body_of(node, twin).await?))
}

fn record(twin: &Twin) -> String {
    twin.local.as_ref().map_or_else(String::new, |local| format!("{} {}", local.entity_type, local.key))
}

pub(super) async fn body_of(node: &Node, twin: Twin) -> Result<TwinBody, Problem> {
    Ok(node.store.read("api.twin.body", move |tx| Box::pin(TwinBody::load(tx, twin))).await?)
}

/// Lists twins, youngest first.
#[utoipa::path(get, path = "/twins", tag = "twins", params(TwinsQuery), responses((status = 200, body = List<TwinBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<TwinsQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let asked = asked.into_inner();
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let keys =
        asked.key.map_or_else(Vec::new, |typed| keys(&node, asked.tracker.as_deref(), asked.entity_type.as_deref(), &typed));
    let filter = TwinFilter {
        connection_id: query::part("connection_id", asked.connection_id.as_deref(), "the id of a connection")?,
        connections: caller.only(),
        status: query::part("status", asked.status.as_deref(), "one of waiting, in_sync, parked, stopped")?,
        tracker: asked.tracker,
        entity_type: asked.entity_type,
        keys,
    };
    let part = node
        .store
        .read("api.twins", move |tx| {
            Box::pin(async move {
                let part = tx.list_twins(&filter, &page).await?;
                let mut items = Vec::with_capacity(part.items.len());
                for twin in part.items {
                    items.push(TwinBody::load(tx, twin).await?);
                }
                Ok(List { items, next: part.next })
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(part))
}

/// The key as it was typed (the other side's need no form), and as each tracker that may be meant completes it.
pub(super) fn keys(node: &Node, tracker: Option<&str>, entity_type: Option<&str>, typed: &str) -> Vec<String> {
    let typed = typed.trim();
    let mut keys = vec![typed.to_owned()];
    for (_, one) in node.trackers.iter().filter(|(name, _)| tracker.is_none_or(|asked| asked == name.as_str())) {
        let completed = one.key(entity_type.unwrap_or_else(|| one.default_entity_type()), typed);
        keys.extend(completed.ok().filter(|key| key != typed));
    }
    keys
}

/// Shows one twin with what crossed last.
#[utoipa::path(get, path = "/twins/{id}", tag = "twins", params(("id" = String, Path)), responses((status = 200, body = WholeTwin)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<TwinId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let mut twin = visible_twin(&node, &caller, *id).await?;
    let (local_replica, remote_replica) = (twin.memory.sent.take(), twin.memory.received.take());
    let twin = body_of(&node, twin).await?;
    Ok(HttpResponse::Ok().json(WholeTwin { twin, local_replica, remote_replica }))
}

/// A twin's story, newest first.
#[utoipa::path(get, path = "/twins/{id}/history", tag = "twins", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = List<HistoryBody>)))]
pub async fn history(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<TwinId>,
    asked: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let twin = visible_twin(&node, &caller, *id).await?;
    let read = node.store.read("api.twin.history", move |tx| Box::pin(async move { tx.history_of_twin(twin.id, &page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, HistoryBody::from)))
}

/// Stops a twin on both sides; both records keep their values.
#[utoipa::path(delete, path = "/twins/{id}", tag = "twins", params(("id" = String, Path)), responses((status = 200, body = TwinBody)))]
pub async fn stop(node: web::Data<Node>, caller: Caller, id: web::Path<TwinId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let twin = visible_twin(&node, &caller, *id).await?;
    let stopped = node.engine.stop_twin(twin.id).await?;
    audit(&node, caller.audit(node.now(), "twin.stop", stopped.id.to_string(), record(&stopped))).await?;
    Ok(HttpResponse::Ok().json(body_of(&node, stopped).await?))
}
