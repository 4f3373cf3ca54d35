//! Triggers: what starts a sync.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bodies::{List, TriggerBody},
    common::visible,
    connections::{NAME, TEXT},
};
use crate::{
    domain::{
        connection::{Connection, Mode},
        ids::{ConnectionId, TriggerId},
        token::Scope,
        tracker::{Caller as Asker, Entity, Tracker},
        trigger::Trigger,
        twin,
    },
    server::kit::{Body, Caller, Code, Node, Problem, query},
    store::{
        Notice,
        rows::{Page, TwinFilter},
    },
};

/// Longest filter.
const FILTER: usize = 10_000;
/// Most triggers of a connection.
const MOST: usize = 100;

/// A trigger as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrigger {
    /// By the tracker's name, such as `Case`.
    entity_type: String,
    /// In the tracker's own query language; empty matches all.
    #[serde(default)]
    filter: String,
    /// True unless told.
    enabled: Option<bool>,
    /// For people.
    #[serde(default)]
    notes: String,
}

/// How a trigger is changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in NewTrigger")]
pub struct TriggerPatch {
    pub entity_type: Option<String>,
    pub filter: Option<String>,
    pub enabled: Option<bool>,
    pub notes: Option<String>,
}

/// Lists the triggers of a connection.
#[utoipa::path(get, path = "/connections/{id}/triggers", tag = "triggers", params(("id" = String, Path)),
    responses((status = 200, body = List<TriggerBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let items = of_connection(&node, connection.id).await?.into_iter().map(TriggerBody::from).collect();
    Ok(HttpResponse::Ok().json(List::<TriggerBody> { items, next: None }))
}

/// Makes a trigger; the tracker checks its filter.
#[utoipa::path(post, path = "/connections/{id}/triggers", tag = "triggers", params(("id" = String, Path)), request_body = NewTrigger,
    responses((status = 201, body = TriggerBody)))]
pub async fn create(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: NewTrigger = body.json()?;
    if of_connection(&node, connection.id).await?.len() >= MOST {
        return Err(Problem::field("entity_type", format!("a connection has at most {MOST} triggers")));
    }
    let trigger = Trigger {
        id: TriggerId(node.clock.id()),
        connection_id: connection.id,
        entity_type: asked.entity_type.trim().to_owned(),
        filter: asked.filter.trim().to_owned(),
        enabled: asked.enabled.unwrap_or(true),
        notes: asked.notes,
        created_at: node.now(),
    };
    check(&node, &connection, &trigger).await?;
    keep(&node, &caller, &trigger, "trigger.create").await?;
    Ok(HttpResponse::Created().json(TriggerBody::from(trigger)))
}

/// What a trigger would start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountQuestion {
    /// By the tracker's name, such as `Case`.
    entity_type: String,
    /// In the tracker's own query language; empty matches all.
    #[serde(default)]
    filter: String,
}

/// How much a trigger would start.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counted {
    /// Records that match.
    pub matching: u64,
    /// Of these, records under sync on this connection.
    pub already_synced: u64,
}

/// Counts what matches, before it is synced: one call for the number, and few for those under sync.
#[utoipa::path(post, path = "/connections/{id}/triggers/count", tag = "triggers", params(("id" = String, Path)),
    request_body = CountQuestion, responses((status = 200, body = Counted)))]
pub async fn count(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: CountQuestion = body.json()?;
    let (entity_type, filter) = (asked.entity_type.trim(), asked.filter.trim());
    let tracker = check_filter(&node, &connection, entity_type, filter).await?;
    let Some(matching) = tracker.count(Asker::Person, entity_type, filter).await? else {
        return Err(untold());
    };
    let already_synced = synced(&node, &connection, tracker, entity_type, filter).await?;
    Ok(HttpResponse::Ok().json(Counted { matching, already_synced }))
}

async fn synced(
    node: &Node,
    connection: &Connection,
    tracker: &dyn Tracker,
    entity_type: &str,
    filter: &str,
) -> Result<u64, Problem> {
    let (mut count, mut after) = (0, None);
    loop {
        let wanted =
            TwinFilter { connection_id: Some(connection.id), entity_type: Some(entity_type.to_owned()), ..TwinFilter::default() };
        let page = Page { after, limit: 500 };
        let part =
            node.store.read("api.trigger.synced", move |tx| Box::pin(async move { tx.list_twins(&wanted, &page).await })).await?;
        let records: Vec<Entity> = part
            .items
            .into_iter()
            .filter(|twin| twin.status != twin::Status::Stopped)
            .filter_map(|twin| twin.local)
            .map(|local| Entity { entity_type: local.entity_type, key: local.key, ..Entity::default() })
            .collect();
        let asked: Vec<&Entity> = records.iter().collect();
        let matches = tracker.matches(Asker::Person, entity_type, filter, &asked).await?;
        count += matches.into_iter().filter(|matches| *matches).count() as u64;
        after = part.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// 409 where the tracker cannot be asked for what matches, so that a run would have nothing to go over.
pub(super) async fn can_list(node: &Node, connection: &Connection, trigger: &Trigger) -> Result<(), Problem> {
    let tracker = check_filter(node, connection, &trigger.entity_type, &trigger.filter).await?;
    if tracker.traits().lists { Ok(()) } else { Err(untold()) }
}

fn untold() -> Problem {
    Problem::new(
        Code::State,
        "This tracker tells of its records one by one and cannot be asked how many match. The filter itself is good.",
    )
}

/// Shows one trigger.
#[utoipa::path(get, path = "/connections/{id}/triggers/{trigger}", tag = "triggers",
    params(("id" = String, Path), ("trigger" = String, Path)), responses((status = 200, body = TriggerBody)))]
pub async fn get(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(ConnectionId, TriggerId)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let (_, trigger) = find(&node, &caller, *path).await?;
    Ok(HttpResponse::Ok().json(TriggerBody::from(trigger)))
}

/// Changes a trigger.
#[utoipa::path(patch, path = "/connections/{id}/triggers/{trigger}", tag = "triggers",
    params(("id" = String, Path), ("trigger" = String, Path)), request_body = TriggerPatch,
    responses((status = 200, body = TriggerBody)))]
pub async fn patch(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(ConnectionId, TriggerId)>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let (connection, present) = find(&node, &caller, *path).await?;
    let asked: TriggerPatch = body.json()?;
    let trigger = Trigger {
        entity_type: asked.entity_type.map_or(present.entity_type, |text| text.trim().to_owned()),
        filter: asked.filter.map_or(present.filter, |text| text.trim().to_owned()),
        enabled: asked.enabled.unwrap_or(present.enabled),
        notes: asked.notes.unwrap_or(present.notes),
        ..present
    };
    check(&node, &connection, &trigger).await?;
    keep(&node, &caller, &trigger, "trigger.change").await?;
    Ok(HttpResponse::Ok().json(TriggerBody::from(trigger)))
}

/// Removes a trigger; its twins stay.
#[utoipa::path(delete, path = "/connections/{id}/triggers/{trigger}", tag = "triggers",
    params(("id" = String, Path), ("trigger" = String, Path)), responses((status = 204)))]
pub async fn delete(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(ConnectionId, TriggerId)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let (connection, trigger) = find(&node, &caller, *path).await?;
    let line = caller.audit(node.now(), "trigger.delete", trigger.id.to_string(), connection.name);
    node.store
        .write("api.trigger.delete", move |tx| {
            Box::pin(async move {
                tx.delete_trigger(trigger.connection_id, trigger.id).await?;
                tx.add_audit(&line).await
            })
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn of_connection(node: &Node, id: ConnectionId) -> Result<Vec<Trigger>, Problem> {
    Ok(node.store.read("api.triggers", move |tx| Box::pin(async move { tx.triggers(id).await })).await?)
}

pub(super) async fn find(
    node: &Node,
    caller: &Caller,
    (id, trigger): (ConnectionId, TriggerId),
) -> Result<(Connection, Trigger), Problem> {
    let connection = visible(node, caller, id).await?;
    let found = of_connection(node, id).await?.into_iter().find(|one| one.id == trigger);
    Ok((connection, found.ok_or_else(|| Problem::not_found("trigger"))?))
}

async fn check(node: &Node, connection: &Connection, trigger: &Trigger) -> Result<(), Problem> {
    query::text("notes", &trigger.notes, 0, TEXT)?;
    check_filter(node, connection, &trigger.entity_type, &trigger.filter).await.map(|_| ())
}

/// The tracker, once it has taken the filter.
async fn check_filter<'n>(
    node: &'n Node,
    connection: &Connection,
    entity_type: &str,
    filter: &str,
) -> Result<&'n dyn Tracker, Problem> {
    query::all([query::text("entity_type", entity_type, 1, NAME), query::text("filter", filter, 0, FILTER)])?;
    let Some(tracker) = node.trackers.get(&connection.tracker) else {
        return Err(Problem::not_found("tracker any more in this node's configuration"));
    };
    let only = tracker.default_entity_type();
    if connection.mode == Mode::Basic && entity_type != only {
        return Err(Problem::field(
            "entity_type",
            format!("a connection in basic mode syncs `{only}` only; script mode syncs others"),
        ));
    }
    match tracker.check_filter(entity_type, filter).await {
        Ok(()) => Ok(&**tracker),
        Err(error) if error.concerns_all() => Err(error.into()),
        Err(error) => Err(Problem::field("filter", format!("{}: {}", error.title, error.detail))),
    }
}

async fn keep(node: &Node, caller: &Caller, trigger: &Trigger, action: &'static str) -> Result<(), Problem> {
    let line = caller.audit(node.now(), action, trigger.id.to_string(), trigger.entity_type.clone());
    let trigger = trigger.clone();
    let kept = node.store.write("api.trigger.keep", move |tx| {
        Box::pin(async move {
            tx.put_trigger(&trigger).await?;
            tx.tell(Notice::Connection(trigger.connection_id));
            tx.add_audit(&line).await
        })
    });
    Ok(kept.await?)
}
