//! Invitations and destinations: what joins two nodes.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    bodies::{ConnectionBody, InvitationBody},
    common::{audit, connection_body, known_tracker, secret, visible},
    connections::{NAME, TEXT, address as typed_address, lifetime, require_address},
};
use crate::{
    domain::{ids::ConnectionId, token::Scope},
    link::{Destination, Inspected},
    server::kit::{Body, Caller, Code, Node, Problem, address, limiter::Door, query},
};

/// An address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationQuestion {
    /// Of a node, perhaps.
    url: String,
}

/// How a new code is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Life in seconds; three days unless told.
    expires_in: Option<u64>,
}

/// A code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeQuestion {
    /// As the other side gave it.
    code: String,
}

/// A code, and what this side adds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// As the other side gave it.
    code: String,
    /// Our tracker's name.
    tracker: String,
    /// This node's own name for the connection.
    name: Option<String>,
    /// For people.
    description: Option<String>,
}

/// Is that a Wicketgate node?
#[utoipa::path(post, path = "/destinations/check", tag = "connections", request_body = DestinationQuestion,
    responses((status = 200, body = Destination)))]
pub async fn check_destination(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Configure)?;
    let asked: DestinationQuestion = body.json()?;
    let url = typed_address("url", &asked.url)?;
    Ok(HttpResponse::Ok().json(node.link.check_destination(&url).await?))
}

/// Makes a new code; the one before dies. On an accepted connection it re-keys the other end.
#[utoipa::path(post, path = "/connections/{id}/invitation", tag = "connections", params(("id" = String, Path)),
    request_body = NewInvitation, responses((status = 201, body = InvitationBody)))]
pub async fn invite(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: NewInvitation = body.json_or_empty()?;
    let lifetime = lifetime(asked.expires_in)?;
    require_address(&node)?;
    let code = node.link.invite(&connection, lifetime).await?;
    audit(&node, caller.audit(node.now(), "invitation.create", connection.id.to_string(), connection.name)).await?;
    Ok(secret(HttpResponse::Created().json(InvitationBody::from(code))))
}

/// Withdraws the open code.
#[utoipa::path(delete, path = "/connections/{id}/invitation", tag = "connections", params(("id" = String, Path)),
    responses((status = 204)))]
pub async fn revoke(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let connection = visible(&node, &caller, *id).await?;
    node.link.revoke(connection.id).await?;
    audit(&node, caller.audit(node.now(), "invitation.revoke", connection.id.to_string(), connection.name)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What would I join? Calls nobody.
#[utoipa::path(post, path = "/invitations/inspect", tag = "connections", request_body = CodeQuestion,
    responses((status = 200, body = Inspected)))]
pub async fn inspect(node: web::Data<Node>, request: HttpRequest, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Configure)?;
    let asked: CodeQuestion = body.json()?;
    require_code(&asked.code)?;
    let inspected = node.link.inspect(&asked.code).await.map_err(|refused| counted(&node, &request, refused.into()))?;
    Ok(HttpResponse::Ok().json(inspected))
}

/// Joins: calls the inviting node.
#[utoipa::path(post, path = "/invitations/accept", tag = "connections", request_body = Acceptance,
    responses((status = 201, body = ConnectionBody)))]
pub async fn accept(node: web::Data<Node>, request: HttpRequest, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Configure)?;
    let asked: Acceptance = body.json()?;
    query::all([
        known_tracker(&node, &asked.tracker),
        asked.name.as_deref().map_or(Ok(()), |name| query::text("name", name, 1, NAME)),
        asked.description.as_deref().map_or(Ok(()), |text| query::text("description", text, 0, TEXT)),
    ])?;
    require_code(&asked.code)?;
    let name = asked.name.map(|name| name.trim().to_owned());
    let accepted = node.link.accept(&asked.code, &asked.tracker, name, asked.description).await;
    let connection = accepted.map_err(|refused| counted(&node, &request, refused.into()))?;
    audit(&node, caller.audit(node.now(), "invitation.accept", connection.id.to_string(), connection.name.clone())).await?;
    Ok(HttpResponse::Created().json(connection_body(&node, connection).await?))
}

/// An empty field is a slip, not a guess.
fn require_code(code: &str) -> Result<(), Problem> {
    if code.trim().is_empty() {
        Err(Problem::field("code", "is empty: paste the invitation that the other side gave you"))
    } else {
        Ok(())
    }
}

/// Codes that fail are counted per caller, so that nobody guesses.
fn counted(node: &Node, request: &HttpRequest, problem: Problem) -> Problem {
    let guessed = matches!(
        problem.code,
        Code::InvitationInvalid
            | Code::InvitationUnknown
            | Code::InvitationExpired
            | Code::InvitationRevoked
            | Code::AlreadyAccepted
    );
    if guessed { node.limiter.failed(Door::Codes, address::of_request(request, &node.trusted_proxies), problem) } else { problem }
}
