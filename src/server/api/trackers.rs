//! Trackers: see, check, sign in, rotate the door's token, describe, and "where is my record?".

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::{
    bodies::{HistoryBody, List, TrackerBody, TwinBody},
    common::{audit, secret},
    connections::NAME,
    twins::PageQuery,
};
use crate::{
    clock::Time,
    domain::{
        change::Source,
        token::Scope,
        tracker::{Caller as Asker, CheckStatus, CheckStep, Description, Field, Tracker},
    },
    server::kit::{Body, Caller, Code, Node, Problem, query},
    store::Notice,
};

/// What a walk through a tracker's steps found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckBody {
    /// No step failed.
    pub ok: bool,
    /// In order; those after the first that failed were not tried.
    pub steps: Vec<CheckStep>,
}

/// How a door's token is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The old one dies now, not after a day.
    #[serde(default)]
    at_once: bool,
}

/// Where a person signs in.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignInBody {
    /// To be opened in a browser.
    pub url: String,
}

/// An entity type.
#[derive(Debug, Serialize, ToSchema)]
pub struct TypeBody {
    /// Name as rules use it.
    pub name: String,
}

/// An entity type with its fields.
#[derive(Debug, Serialize, ToSchema)]
pub struct DescribedType {
    /// Name as rules use it.
    pub name: String,
    /// Our user may make records; null where the tracker does not tell.
    pub createable: Option<bool>,
    /// Our user may change records; null where the tracker does not tell.
    pub updateable: Option<bool>,
    /// The field that carries the twin's id, as the configuration names it.
    pub external_id_field: Option<String>,
    /// Empty where the tracker tells nothing.
    pub fields: Vec<Field>,
}

/// A change that waits.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingChange {
    /// What told us.
    pub source: Source,
    /// When.
    pub received_at: Time,
    /// Looked at not before.
    pub due_at: Time,
}

/// Where a record is.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhereIs {
    /// Our tracker.
    pub tracker: String,
    /// By its name.
    pub entity_type: String,
    /// In the tracker's own form.
    pub key: String,
    /// Its twins on every connection.
    pub twins: Vec<TwinBody>,
    /// Changes that wait to be looked at.
    pub waiting: Vec<WaitingChange>,
    /// What became of its changes, newest first, also where no twin exists.
    pub history: Vec<HistoryBody>,
    /// `cursor` for older history.
    pub next: Option<String>,
}

/// Whether a bound token's connections touch this tracker; 404 otherwise.
pub(super) async fn require_tracker<'n>(node: &'n Node, caller: &Caller, name: &str) -> Result<&'n dyn Tracker, Problem> {
    let tracker = node.trackers.get(name).ok_or_else(|| Problem::not_found("tracker"))?;
    if caller.is_bound() && !touched(node, caller).await?.iter().any(|own| own == name) {
        return Err(Problem::not_found("tracker"));
    }
    Ok(&**tracker)
}

async fn touched(node: &Node, caller: &Caller) -> Result<Vec<String>, Problem> {
    let all = node.store.read("api.trackers.touched", |tx| Box::pin(async move { tx.connections().await })).await?;
    Ok(all.into_iter().filter(|one| caller.sees(one.id)).map(|one| one.tracker).collect())
}

async fn load(node: &web::Data<Node>, names: Vec<String>, with_secrets: bool) -> Result<Vec<TrackerBody>, Problem> {
    let inner = node.clone().into_inner();
    let read = node.store.read("api.trackers", move |tx| {
        Box::pin(async move {
            let mut items = Vec::with_capacity(names.len());
            for name in names {
                items.extend(TrackerBody::load(tx, &inner, &name, with_secrets).await?);
            }
            Ok(items)
        })
    });
    Ok(read.await?)
}

fn sees_secrets(caller: &Caller) -> bool {
    caller.require_node(Scope::Configure).is_ok()
}

/// Lists the trackers of this node.
#[utoipa::path(get, path = "/trackers", tag = "trackers", responses((status = 200, body = List<TrackerBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let mut names: Vec<String> = node.trackers.keys().cloned().collect();
    if caller.is_bound() {
        let own = touched(&node, &caller).await?;
        names.retain(|name| own.contains(name));
    }
    let items = load(&node, names, sees_secrets(&caller)).await?;
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Shows one tracker, with the address to register in it.
#[utoipa::path(get, path = "/trackers/{name}", tag = "trackers", params(("name" = String, Path)),
    responses((status = 200, body = TrackerBody)))]
pub async fn get(node: web::Data<Node>, caller: Caller, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    require_tracker(&node, &caller, &name).await?;
    let items = load(&node, vec![name.into_inner()], sees_secrets(&caller)).await?;
    Ok(HttpResponse::Ok().json(items.first()))
}

/// Walks through each step to the tracker and says what to do about the first that fails.
#[utoipa::path(post, path = "/trackers/{name}/check", tag = "trackers", params(("name" = String, Path)),
    responses((status = 200, body = CheckBody)))]
pub async fn check(node: web::Data<Node>, caller: Caller, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let mut steps = require_tracker(&node, &caller, &name).await?.check().await;
    if node.doors.token(&name).is_some() {
        steps.push(last_message(&node, &name).await?);
    }
    let ok = steps.iter().all(|step| step.status != CheckStatus::Failed);
    Ok(HttpResponse::Ok().json(CheckBody { ok, steps }))
}

/// When the tracker's system last told us something. Nobody is asked to save a record here: a program may be calling; the
/// command does that on a terminal.
async fn last_message(node: &Node, name: &str) -> Result<CheckStep, Problem> {
    let tracker = name.to_owned();
    let state = node.store.read("api.last_message", move |tx| Box::pin(async move { tx.tracker_state(&tracker).await })).await?;
    let (status, detail, advice) = match state.last_notice_at.max(node.doors.last_notice(name)) {
        Some(at) => (CheckStatus::Ok, format!("The last one came at {at}."), ""),
        None => (
            CheckStatus::Skipped,
            "None has come yet.".to_owned(),
            "Register the address that the tracker's page shows, then have a person (not our own user) save a record.",
        ),
    };
    Ok(CheckStep { name: "last message".to_owned(), status, detail, advice: advice.to_owned(), took_ms: 0 })
}

/// Draws a new token for the tracker's door. The old one lives on for a day unless told otherwise.
#[utoipa::path(post, path = "/trackers/{name}/rotate-token", tag = "trackers", params(("name" = String, Path)),
    request_body = Rotation, responses((status = 200, body = TrackerBody)))]
pub async fn rotate(node: web::Data<Node>, caller: Caller, name: web::Path<String>, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let name = name.into_inner();
    require_tracker(&node, &caller, &name).await?;
    let Rotation { at_once } = body.json_or_empty()?;
    if node.doors.token(&name).is_none() {
        return Err(Problem::new(Code::State, "This tracker has no door with a token: nothing knocks there."));
    }
    node.doors.rotate(&node.store, &name, at_once).await?;
    let detail = if at_once { "the old token died at once" } else { "the old token lives on for a day" };
    audit(&node, caller.audit(node.now(), "tracker.rotate_token", name.clone(), detail)).await?;
    node.store.wakes().tell(Notice::Tracker(name.clone()));
    let items = load(&node, vec![name], true).await?;
    Ok(secret(HttpResponse::Ok().json(items.first())))
}

/// Begins a sign-in by a person.
#[utoipa::path(post, path = "/trackers/{name}/sign-in", tag = "trackers", params(("name" = String, Path)),
    responses((status = 200, body = SignInBody)))]
pub async fn sign_in(node: web::Data<Node>, caller: Caller, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    require_tracker(&node, &caller, &name).await?;
    let Some(sign_in) = node.sign_ins.get(name.as_str()) else {
        return Err(Problem::new(
            Code::State,
            "This tracker logs in by itself; only `flow = \"authorization-code\"` takes a person.",
        ));
    };
    let redirect = Url::parse(&node.address(&format!("/salesforce/{name}/oauth/callback")))
        .map_err(|_| Problem::new(Code::Internal, "This node does not know its own address."))?;
    let url = sign_in.begin(&redirect).await?;
    audit(&node, caller.audit(node.now(), "tracker.sign_in", name.into_inner(), "")).await?;
    Ok(secret(HttpResponse::Ok().json(SignInBody { url: url.into() })))
}

/// Names of entity types that can be synced.
#[utoipa::path(get, path = "/trackers/{name}/types", tag = "trackers", params(("name" = String, Path)),
    responses((status = 200, body = List<TypeBody>)))]
pub async fn types(node: web::Data<Node>, caller: Caller, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let names = require_tracker(&node, &caller, &name).await?.entity_types(Asker::Person).await?;
    let items: Vec<TypeBody> = names.into_iter().map(|name| TypeBody { name }).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// One entity type with its fields.
#[utoipa::path(get, path = "/trackers/{name}/types/{type}", tag = "trackers", params(("name" = String, Path), ("type" = String, Path)),
    responses((status = 200, body = DescribedType)))]
pub async fn describe(node: web::Data<Node>, caller: Caller, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let (name, entity_type) = path.into_inner();
    query::text("type", &entity_type, 1, NAME)?;
    let tracker = require_tracker(&node, &caller, &name).await?;
    let Description { entity_type, fields, createable, updateable } = tracker.describe(Asker::Person, &entity_type).await?;
    let external_id_field = tracker.mark_field(&entity_type).map(str::to_owned);
    Ok(HttpResponse::Ok().json(DescribedType { name: entity_type, createable, updateable, external_id_field, fields }))
}

/// Where is it? A record's twins, what waits, and what became of its changes.
#[utoipa::path(get, path = "/trackers/{name}/entities/{type}/{key}", tag = "trackers",
    params(("name" = String, Path), ("type" = String, Path), ("key" = String, Path), PageQuery),
    responses((status = 200, body = WhereIs)))]
pub async fn entity(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(String, String, String)>,
    asked: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let (tracker, entity_type, typed) = path.into_inner();
    query::all([query::text("type", &entity_type, 1, NAME), query::text("key", &typed, 1, 1_000)])?;
    let key = require_tracker(&node, &caller, &tracker).await?.key(&entity_type, &typed)?;
    let found = node
        .store
        .read("api.entity", move |tx| {
            Box::pin(async move {
                let mut twins = Vec::new();
                for twin in tx.twins_of_record(&tracker, &entity_type, &key).await? {
                    if caller.sees(twin.connection_id) {
                        twins.push(TwinBody::load(tx, twin).await?);
                    }
                }
                let changes = tx.changes(&tracker, &entity_type, &key).await?.into_iter().map(|stored| stored.change);
                let waiting = changes
                    .filter(|change| !caller.is_bound() || change.connection.is_some_and(|id| caller.sees(id)))
                    .map(|change| WaitingChange { source: change.source, received_at: change.received_at, due_at: change.due_at })
                    .collect();
                let story = tx.history_of_record(&tracker, &entity_type, &key, &page).await?;
                let history = story
                    .items
                    .into_iter()
                    .filter(|line| !caller.is_bound() || line.connection_id.is_some_and(|id| caller.sees(id)))
                    .map(HistoryBody::from)
                    .collect();
                Ok(WhereIs { tracker, entity_type, key, twins, waiting, history, next: story.next })
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(found))
}
