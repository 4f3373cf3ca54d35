//! Errors that somebody should see: list, try again, give up, one or many.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bodies::List,
    common::audit,
    many::{self, MOST, ManyDone},
};
use crate::{
    clock::Time,
    domain::{
        error::{ErrorRecord, Scope as ErrorScope},
        ids::{ConnectionId, ErrorId, TwinId},
        replica::Fields,
        token::Scope,
        twin::Status,
    },
    server::kit::{Body, Caller, Code, FieldError, Node, Problem, query},
    store::{
        Store,
        rows::{ErrorFilter, Page},
    },
    sync,
};

/// Which errors, and which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ErrorsQuery {
    /// Of this connection.
    connection_id: Option<String>,
    /// Of this twin.
    twin_id: Option<String>,
    /// Of this tracker, or of a connection of it.
    tracker: Option<String>,
    /// `twin`, `connection`, `tracker` or `node`.
    scope: Option<String>,
    /// With this code.
    code: Option<String>,
    /// With this title.
    title: Option<String>,
    /// Of a twin in this status: `waiting`, `in_sync`, `parked` or `stopped`.
    status: Option<String>,
    /// Open since this time or later.
    since: Option<String>,
    /// 1 to 500; 50 unless told.
    limit: Option<String>,
    /// `next` of the part before.
    cursor: Option<String>,
}

/// Which errors: by id, or all that a filter passes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Many {
    /// At most 500.
    ids: Option<Vec<ErrorId>>,
    /// In place of ids: all that pass, however many.
    filter: Option<ManyFilter>,
    /// With a filter: `next` of the answer before.
    cursor: Option<String>,
}

/// All that pass each of its members; at least one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManyFilter {
    connection_id: Option<ConnectionId>,
    twin_id: Option<TwinId>,
    /// Of this tracker, or of a connection of it.
    tracker: Option<String>,
    scope: Option<ErrorScope>,
    code: Option<String>,
    title: Option<String>,
    /// Of a twin in this status.
    status: Option<Status>,
    /// Open since this time or later.
    since: Option<Time>,
}

/// How to try again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryWith {
    /// Takes the place of what arrived from the other side.
    #[schema(value_type = Option<Object>)]
    replica: Option<Fields>,
}

#[derive(Clone, Copy)]
enum Wish {
    Retry,
    Skip,
}

impl Wish {
    const fn action(self) -> &'static str {
        match self {
            Self::Retry => "error.retry",
            Self::Skip => "error.skip",
        }
    }
}

/// Lists open errors, newest first.
#[utoipa::path(get, path = "/errors", tag = "errors", params(ErrorsQuery), responses((status = 200, body = List<ErrorRecord>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<ErrorsQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let filter = asked.filter(&caller)?;
    let read = node.store.read("api.errors", move |tx| Box::pin(async move { tx.list_errors(&filter, &page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, |error| error)))
}

impl ErrorsQuery {
    fn filter(&self, caller: &Caller) -> Result<ErrorFilter, Problem> {
        Ok(ErrorFilter {
            connection_id: query::part("connection_id", self.connection_id.as_deref(), "the id of a connection")?,
            connections: caller.only(),
            twin_id: query::part("twin_id", self.twin_id.as_deref(), "the id of a twin")?,
            scope: query::word("scope", self.scope.as_deref())?,
            tracker: self.tracker.clone(),
            code: self.code.clone(),
            title: self.title.clone(),
            detail: None,
            status: query::part("status", self.status.as_deref(), "one of waiting, in_sync, parked, stopped")?,
            since: query::part("since", self.since.as_deref(), "a time like 2026-11-24T03:41:00Z")?,
        })
    }
}

/// Equal errors together: those that say the same of one connection or tracker.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorGroupBody {
    /// How many there are.
    pub count: u64,
    /// Where all of them are: this connection's, if any.
    pub connection_id: Option<ConnectionId>,
    /// Their short word.
    pub code: String,
    /// Their line.
    pub title: String,
    /// The one that was opened last.
    pub newest: ErrorRecord,
}

/// Most groups of one answer.
const GROUPS: u32 = 200;

/// Lists open errors, equal ones as one, those with the newest first; `limit` and `cursor` are not taken, for at most 200
/// groups are told.
#[utoipa::path(get, path = "/errors/groups", tag = "errors", params(ErrorsQuery),
    responses((status = 200, body = List<ErrorGroupBody>)))]
pub async fn groups(node: web::Data<Node>, caller: Caller, asked: web::Query<ErrorsQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    if asked.limit.is_some() || asked.cursor.is_some() {
        return Err(Problem::field("limit", "is not taken here: all groups come at once, 200 at most"));
    }
    let filter = asked.filter(&caller)?;
    let read = node.store.read("api.error_groups", move |tx| Box::pin(async move { tx.error_groups(&filter, GROUPS).await }));
    let items = read.await?.into_iter().map(|group| ErrorGroupBody {
        count: group.count,
        connection_id: group.newest.connection_id,
        code: group.newest.code.clone(),
        title: group.newest.title.clone(),
        newest: group.newest,
    });
    Ok(HttpResponse::Ok().json(List { items: items.collect(), next: None }))
}

/// Shows one error.
#[utoipa::path(get, path = "/errors/{id}", tag = "errors", params(("id" = String, Path)), responses((status = 200, body = ErrorRecord)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<ErrorId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    Ok(HttpResponse::Ok().json(find(&node, &caller, *id).await?))
}

/// Tries again what an error holds up; also with another replica in the place of the one that arrived.
#[utoipa::path(post, path = "/errors/{id}/retry", tag = "errors", params(("id" = String, Path)),
    request_body = Option<RetryWith>, responses((status = 202, body = ErrorRecord)))]
pub async fn retry(node: web::Data<Node>, caller: Caller, id: web::Path<ErrorId>, body: Body) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let RetryWith { replica } = body.json_or_empty()?;
    let Some(replica) = replica else { return one(&node, &caller, *id, Wish::Retry).await };
    let error = find(&node, &caller, *id).await?;
    node.engine.retry_with(error.id, replica, &caller.name).await?;
    let detail = format!("{}: with an edited replica", error.title);
    audit(&node, caller.audit(node.now(), "error.edit", id.to_string(), detail)).await?;
    after(&node, error).await
}

/// Gives up what an error holds up: it ends as skipped.
#[utoipa::path(post, path = "/errors/{id}/skip", tag = "errors", params(("id" = String, Path)),
    responses((status = 202, body = ErrorRecord)))]
pub async fn skip(node: web::Data<Node>, caller: Caller, id: web::Path<ErrorId>) -> Result<HttpResponse, Problem> {
    one(&node, &caller, *id, Wish::Skip).await
}

/// Tries many again.
#[utoipa::path(post, path = "/errors/retry", tag = "errors", request_body = Many, responses((status = 200, body = ManyDone)))]
pub async fn retry_many(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    many(&node, &caller, body, Wish::Retry).await
}

/// Gives up many.
#[utoipa::path(post, path = "/errors/skip", tag = "errors", request_body = Many, responses((status = 200, body = ManyDone)))]
pub async fn skip_many(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    many(&node, &caller, body, Wish::Skip).await
}

async fn find(node: &Node, caller: &Caller, id: ErrorId) -> Result<ErrorRecord, Problem> {
    let found = node.store.read("api.error", move |tx| Box::pin(async move { tx.error(id).await })).await?;
    found
        .filter(|error| error.connection_id.map_or(!caller.is_bound(), |connection| caller.sees(connection)))
        .ok_or_else(|| Problem::not_found("error"))
}

async fn one(node: &Node, caller: &Caller, id: ErrorId, wish: Wish) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let error = find(node, caller, id).await?;
    grant(node, &error, wish).await?;
    audit(node, caller.audit(node.now(), wish.action(), id.to_string(), error.title.clone())).await?;
    after(node, error).await
}

/// The error as it stands now, or as it was where that closed it.
async fn after(node: &Node, error: ErrorRecord) -> Result<HttpResponse, Problem> {
    let id = error.id;
    let now = node.store.read("api.error.after", move |tx| Box::pin(async move { tx.error(id).await })).await?;
    Ok(HttpResponse::Accepted().json(now.unwrap_or(error)))
}

async fn grant(node: &Node, error: &ErrorRecord, wish: Wish) -> Result<(), Problem> {
    if matches!(wish, Wish::Retry) && !error.has_something_to_try() {
        let detail = format!("Trying again changes nothing here. {}", error.advice);
        return Err(Problem::new(Code::State, detail));
    }
    if let (Wish::Retry, "epoch_waits", Some(connection)) = (wish, error.code.as_str(), error.connection_id) {
        node.link.allow_epoch(connection).await?;
        return Ok(());
    }
    let granted = match wish {
        Wish::Retry => node.engine.retry(error.id).await,
        Wish::Skip => node.engine.skip(error.id).await,
    };
    match (granted, wish, &error.tracker) {
        // What a person should know of a door holds nothing up: to skip it is to have read it.
        (Err(sync::Refused::NotFound(_) | sync::Refused::State(_)), Wish::Skip, Some(tracker))
            if error.code.starts_with("door_") =>
        {
            let id = error.id;
            node.store.write("api.error.read", move |tx| Box::pin(async move { tx.close_error(id).await })).await?;
            node.doors.closed(tracker, &error.code);
            Ok(())
        }
        (granted, ..) => Ok(granted?),
    }
}

async fn many(node: &Node, caller: &Caller, body: Body, wish: Wish) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let asked: Many = body.json()?;
    let act = |error: ErrorRecord| async move {
        match grant(node, &error, wish).await {
            Ok(()) => Ok(true),
            // Another one's end closed it meanwhile; where it is open still, something else is missing.
            Err(problem) if problem.code == Code::NotFound && is_closed(&node.store, error.id).await => Ok(true),
            Err(problem) => Err(FieldError::new(error.id.to_string(), problem.detail)),
        }
    };
    let done = match (asked.ids, asked.filter) {
        (Some(ids), None) if ids.len() <= MOST => {
            let (errors, failed) = named(node, caller, ids).await;
            let mut done = ManyDone { failed, ..ManyDone::default() };
            many::these(errors, act, &mut done).await;
            done
        }
        (Some(_), None) => return Err(Problem::field("ids", format!("at most {MOST} in one call"))),
        (None, Some(filter)) => {
            let filter = filter.checked(caller.only())?;
            let page = |page: Page| {
                let filter = filter.clone();
                let read =
                    node.store.read("api.errors.many", move |tx| Box::pin(async move { tx.list_errors(&filter, &page).await }));
                async move { Ok(read.await?) }
            };
            many::all(node, asked.cursor, page, act).await?
        }
        _ => return Err(Problem::field("ids", "give either `ids` or `filter`")),
    };
    audit(node, caller.audit(node.now(), wish.action(), "many", format!("{} done, {} failed", done.done, done.failed.len())))
        .await?;
    Ok(HttpResponse::Ok().json(done))
}

async fn is_closed(store: &Store, id: ErrorId) -> bool {
    matches!(store.read("api.error.closed", move |tx| Box::pin(async move { tx.error(id).await })).await, Ok(None))
}

/// The errors of these ids, and why some are none.
async fn named(node: &Node, caller: &Caller, ids: Vec<ErrorId>) -> (Vec<ErrorRecord>, Vec<FieldError>) {
    let (mut errors, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        match find(node, caller, id).await {
            Ok(error) => errors.push(error),
            Err(problem) => failed.push(FieldError::new(id.to_string(), problem.detail)),
        }
    }
    (errors, failed)
}

impl ManyFilter {
    /// The filter, within what the caller may see. One that passes all is nobody's wish.
    fn checked(self, connections: Option<Vec<ConnectionId>>) -> Result<ErrorFilter, Problem> {
        let Self { connection_id, twin_id, tracker, scope, code, title, status, since } = self;
        let filter = ErrorFilter { connection_id, twin_id, tracker, scope, code, title, status, since, ..ErrorFilter::default() };
        if filter == ErrorFilter::default() {
            return Err(Problem::field(
                "filter",
                "names nothing: give connection_id, twin_id, tracker, scope, code, title, status or since",
            ));
        }
        Ok(ErrorFilter { connections, ..filter })
    }
}
