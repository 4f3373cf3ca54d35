//! Errors that somebody should see: list, try again, give up, one or many.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{bodies::List, common::audit};
use crate::{
    domain::{
        error::{ErrorRecord, Scope as ErrorScope},
        ids::{ConnectionId, ErrorId, TwinId},
        token::Scope,
    },
    server::kit::{Body, Caller, FieldError, Node, Problem, query},
    store::rows::{ErrorFilter, Page},
    sync,
};

/// Most errors of one call.
const MOST: usize = 500;

/// Which errors, and which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ErrorsQuery {
    /// Of this connection.
    connection_id: Option<String>,
    /// Of this twin.
    twin_id: Option<String>,
    /// `twin`, `connection`, `tracker` or `node`.
    scope: Option<String>,
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
    /// In place of ids: the first 500 that pass; `more` says whether there are others.
    filter: Option<ManyFilter>,
}

/// All that pass; at least one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManyFilter {
    connection_id: Option<ConnectionId>,
    twin_id: Option<TwinId>,
    scope: Option<ErrorScope>,
}

/// What became of many.
#[derive(Debug, Serialize, ToSchema)]
pub struct ManyDone {
    /// How many were done.
    pub done: usize,
    /// Ids that were not, each with the reason.
    pub failed: Vec<FieldError>,
    /// The filter passes others: call again.
    pub more: bool,
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
    let filter = ErrorFilter {
        connection_id: query::part("connection_id", asked.connection_id.as_deref(), "the id of a connection")?,
        connections: caller.only(),
        twin_id: query::part("twin_id", asked.twin_id.as_deref(), "the id of a twin")?,
        scope: query::word("scope", asked.scope.as_deref())?,
        ..ErrorFilter::default()
    };
    let read = node.store.read("api.errors", move |tx| Box::pin(async move { tx.list_errors(&filter, &page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, |error| error)))
}

/// Shows one error.
#[utoipa::path(get, path = "/errors/{id}", tag = "errors", params(("id" = String, Path)), responses((status = 200, body = ErrorRecord)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<ErrorId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    Ok(HttpResponse::Ok().json(find(&node, &caller, *id).await?))
}

/// Tries again what an error holds up.
#[utoipa::path(post, path = "/errors/{id}/retry", tag = "errors", params(("id" = String, Path)),
    responses((status = 202, body = ErrorRecord)))]
pub async fn retry(node: web::Data<Node>, caller: Caller, id: web::Path<ErrorId>) -> Result<HttpResponse, Problem> {
    one(&node, &caller, *id, Wish::Retry).await
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
    let after = node.store.read("api.error.after", move |tx| Box::pin(async move { tx.error(id).await })).await?;
    Ok(HttpResponse::Accepted().json(after.unwrap_or(error)))
}

async fn grant(node: &Node, error: &ErrorRecord, wish: Wish) -> Result<(), Problem> {
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
    let (errors, mut failed, more) = chosen(node, caller, body.json()?).await?;
    let mut done = 0;
    for error in errors {
        match grant(node, &error, wish).await {
            Ok(()) => done += 1,
            Err(problem) => failed.push(FieldError::new(error.id.to_string(), problem.detail)),
        }
    }
    audit(node, caller.audit(node.now(), wish.action(), "many", format!("{done} done, {} failed", failed.len()))).await?;
    Ok(HttpResponse::Ok().json(ManyDone { done, failed, more }))
}

async fn chosen(node: &Node, caller: &Caller, asked: Many) -> Result<(Vec<ErrorRecord>, Vec<FieldError>, bool), Problem> {
    match (asked.ids, asked.filter) {
        (Some(ids), None) if ids.len() <= MOST => {
            let (mut errors, mut failed) = (Vec::new(), Vec::new());
            for id in ids {
                match find(node, caller, id).await {
                    Ok(error) => errors.push(error),
                    Err(problem) => failed.push(FieldError::new(id.to_string(), problem.detail)),
                }
            }
            Ok((errors, failed, false))
        }
        (Some(_), None) => Err(Problem::field("ids", format!("at most {MOST} in one call"))),
        (None, Some(ManyFilter { connection_id: None, twin_id: None, scope: None })) => {
            Err(Problem::field("filter", "names nothing: give connection_id, twin_id or scope"))
        }
        (None, Some(ManyFilter { connection_id, twin_id, scope })) => {
            let filter = ErrorFilter { connection_id, connections: caller.only(), twin_id, scope, ..ErrorFilter::default() };
            let page = Page { after: None, limit: u32::try_from(MOST).unwrap_or(u32::MAX) };
            let read =
                node.store.read("api.errors.many", move |tx| Box::pin(async move { tx.list_errors(&filter, &page).await }));
            let part = read.await?;
            Ok((part.items, Vec::new(), part.next.is_some()))
        }
        _ => Err(Problem::field("ids", "give either `ids` or `filter`")),
    }
}
