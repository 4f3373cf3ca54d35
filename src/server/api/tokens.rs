//! Tokens of programs, and the audit log.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bodies::{List, TokenBody},
    common::secret,
    connections::NAME,
    governing::{self, Without, governs},
    twins::PageQuery,
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, TokenId},
        token::{Scope, Token},
    },
    server::kit::{Body, Caller, Code, Node, Problem, auth, query},
    store::{Notice, rows::AuditLine},
};

/// Most connections of one token.
const MOST: usize = 500;

/// A token as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For people.
    name: String,
    /// What it may do; each holds the ones before it.
    scopes: Vec<Scope>,
    /// Only these connections; null is all.
    connections: Option<Vec<ConnectionId>>,
    /// After this it is refused; null: never.
    expires_at: Option<Time>,
}

/// A token that was just made: its secret is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeToken {
    /// The token.
    #[serde(flatten)]
    pub token: TokenBody,
    /// To be sent as `Authorization: Bearer …`.
    pub secret: String,
}

/// Lists the tokens of this node.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = List<TokenBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let all = node.store.read("api.tokens", |tx| Box::pin(async move { tx.tokens().await })).await?;
    let items: Vec<TokenBody> = all.into_iter().map(TokenBody::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Makes a token; its secret is in this answer only.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken, responses((status = 201, body = MadeToken)))]
pub async fn create(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let asked: NewToken = body.json()?;
    query::all([
        query::text("name", &asked.name, 1, NAME),
        check_scopes(&asked.scopes),
        check_connections(&node, asked.connections.as_deref()).await,
        match asked.expires_at {
            Some(at) if at <= node.now() => Err(Problem::field("expires_at", "lies in the past")),
            _ => Ok(()),
        },
    ])?;
    let (made, hash) = auth::draw(&*node.clock);
    let token = Token {
        id: TokenId(node.clock.id()),
        name: asked.name.trim().to_owned(),
        scopes: asked.scopes,
        connections: asked.connections,
        expires_at: asked.expires_at,
        created_at: node.now(),
        hash,
    };
    let line = caller.audit(node.now(), "token.create", token.id.to_string(), token.name.clone());
    let kept = token.clone();
    let write = node.store.write("api.token.create", move |tx| {
        Box::pin(async move {
            tx.insert_token(&kept).await?;
            tx.add_audit(&line).await
        })
    });
    write.await?;
    Ok(secret(HttpResponse::Created().json(MadeToken { token: token.into(), secret: made.expose().to_owned() })))
}

fn check_scopes(scopes: &[Scope]) -> Result<(), Problem> {
    let mut sorted = scopes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    match scopes {
        [] => Err(Problem::field("scopes", "names none: give read, operate, configure or admin")),
        _ if sorted.len() != scopes.len() => Err(Problem::field("scopes", "names one twice")),
        _ => Ok(()),
    }
}

async fn check_connections(node: &Node, connections: Option<&[ConnectionId]>) -> Result<(), Problem> {
    let Some(asked) = connections else { return Ok(()) };
    if asked.is_empty() || asked.len() > MOST {
        return Err(Problem::field("connections", format!("names 1 to {MOST} connections; null is all")));
    }
    let known = node.store.read("api.token.connections", |tx| Box::pin(async move { tx.connections().await })).await?;
    match asked.iter().find(|id| known.iter().all(|one| one.id != **id)) {
        Some(unknown) => Err(Problem::field("connections", format!("there is no connection {unknown}"))),
        None => Ok(()),
    }
}

/// Deletes a token: it is refused from now on.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)), responses((status = 204)))]
pub async fn delete(node: web::Data<Node>, caller: Caller, id: web::Path<TokenId>) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let (id, now, configured) = (id.into_inner(), node.now(), node.admin_token.is_some());
    let deleted = node
        .store
        .write("api.token.delete", move |tx| {
            Box::pin(async move {
                let all = tx.tokens().await?;
                let Some(token) = all.iter().find(|token| token.id == id) else { return Ok(Err(Problem::not_found("token"))) };
                if governs(token, now) && !governing::goes_on(tx, configured, now, Without::Token(id)).await? {
                    return Ok(Err(last_one()));
                }
                tx.delete_token(id).await?;
                tx.tell(Notice::Access);
                tx.add_audit(&caller.audit(now, "token.delete", id.to_string(), token.name.clone())).await?;
                Ok(Ok(()))
            })
        })
        .await?;
    deleted.map(|()| HttpResponse::NoContent().finish())
}

fn last_one() -> Problem {
    let detail = "This is the last token with the scope `admin`, and no account has that role: without it nobody could make another. \
                  Make its successor first, or set `[api] admin_token`.";
    Problem::new(Code::State, detail)
}

/// Who did what, newest first.
#[utoipa::path(get, path = "/audit", tag = "tokens", params(PageQuery), responses((status = 200, body = List<AuditLine>)))]
pub async fn audit(node: web::Data<Node>, caller: Caller, asked: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let read = node.store.read("api.audit.list", move |tx| Box::pin(async move { tx.list_audit(&page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, |line| line)))
}
