//! Connections: make, see, change, switch, delete.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use url::Url;
use utoipa::ToSchema;

use super::{
    bodies::{ConnectionBody, InvitationBody, InvitedConnection, List},
    common::{change_connection, secret, visible},
};
use crate::{
    domain::{
        connection::{Awaiting, Connection, Kind, Links, Mode, Prefer, Refused, Status},
        ids::{ConnectionId, Side},
        token::Scope,
    },
    link::Link,
    server::kit::{Body, Caller, Code, Node, Problem, query},
    store::{Notice, Topic},
};

/// Longest name of anything.
pub(super) const NAME: usize = 100;
/// Longest text for people.
pub(super) const TEXT: usize = 2_000;
/// How long an invitation is good unless told otherwise.
pub(super) const INVITATION_LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
/// Longest life of an invitation.
const LONGEST_INVITATION: u64 = 90 * 24 * 3600;

/// How a connection is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Our tracker's name.
    tracker: String,
    /// The other node's address; null: "I don't have a URL", the other side dials.
    #[serde(default)]
    destination_url: Option<String>,
    /// Who writes the rules.
    mode: Mode,
    /// Short name of our side.
    local_short_name: String,
    /// Short name of the other side.
    remote_short_name: String,
    /// This node's own name for it; `{local}_to_{remote}` unless told.
    name: Option<String>,
    /// For people.
    description: Option<String>,
    /// Whose value wins where both changed a field at the same time.
    prefer: Option<Prefer>,
    /// Wait for `POST …/confirm` after the other side has accepted.
    confirm: Option<bool>,
    /// Life of the invitation in seconds; three days unless told.
    expires_in: Option<u64>,
}

/// How a connection is changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPatch {
    name: Option<String>,
    /// From `basic` to `script`: the rules are yours to write. There is no way back.
    mode: Option<Mode>,
    description: Option<String>,
    links: Option<Links>,
    share_internal_comments: Option<bool>,
    /// On the inviting side only.
    prefer: Option<Prefer>,
    remote: Option<RemotePatch>,
}

/// How the other side's entry is changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemotePatch {
    /// Where the other node is reached now.
    url: String,
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ConnectionsQuery {
    /// Only the one of this name.
    name: Option<String>,
    /// Only those in this status.
    status: Option<String>,
    /// 1 to 500; 50 unless told.
    limit: Option<String>,
    /// `next` of the part before.
    cursor: Option<String>,
}

/// Life of an invitation that was asked for.
pub(super) fn lifetime(expires_in: Option<u64>) -> Result<Duration, Problem> {
    match expires_in {
        None => Ok(INVITATION_LIFE),
        Some(seconds) if (60..=LONGEST_INVITATION).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Problem::field("expires_in", format!("must be from 60 to {LONGEST_INVITATION} seconds"))),
    }
}

/// Only a node that others can reach may invite.
pub(super) fn require_address(node: &Node) -> Result<(), Problem> {
    match node.public_url {
        Some(_) => Ok(()),
        None => Err(Problem::new(
            Code::CannotInvite,
            "Two private nodes cannot be joined, and this node has no address that others can reach. Let the side that has a public node make the invitation and accept it here, or set `[node] public_url`.",
        )),
    }
}

/// Makes a pending connection and the invitation to it.
#[utoipa::path(post, path = "/connections", tag = "connections", request_body = NewConnection,
    responses((status = 201, body = InvitedConnection)))]
pub async fn create(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Configure)?;
    let asked: NewConnection = body.json()?;
    let lifetime = asked.check(&node)?;
    require_address(&node)?;
    if let Some(url) = &asked.destination_url {
        check_node(&node, "destination_url", url).await?;
    }
    let connection = asked.connection(&node);
    let line = caller.audit(node.now(), "connection.create", connection.id.to_string(), connection.name.clone());
    let (kept, now) = (connection.clone(), node.now());
    let shown = node
        .store
        .write("api.connection.create", move |tx| {
            Box::pin(async move {
                tx.insert_connection(&kept).await?;
                tx.add_audit(&line).await?;
                tx.tell(Notice::Connection(kept.id));
                tx.wake(Topic::Connections);
                ConnectionBody::load(tx, kept, now).await
            })
        })
        .await
        .map_err(|error| super::common::taken(error, &connection.name))?;
    match node.link.invite(&connection, lifetime).await {
        Ok(code) => {
            let whole = InvitedConnection { connection: shown, invitation: InvitationBody::from(code) };
            Ok(secret(HttpResponse::Created().json(whole)))
        }
        Err(refused) => {
            // Without its code the connection is of no use to anybody.
            let id = connection.id;
            node.store.write("api.connection.undo", move |tx| Box::pin(async move { tx.delete_connection(id).await })).await?;
            Err(refused.into())
        }
    }
}

impl NewConnection {
    fn check(&self, node: &Node) -> Result<Duration, Problem> {
        let lifetime = lifetime(self.expires_in);
        query::all([
            super::common::known_tracker(node, &self.tracker),
            query::text("local_short_name", &self.local_short_name, 1, NAME),
            query::text("remote_short_name", &self.remote_short_name, 1, NAME),
            self.name.as_deref().map_or(Ok(()), |name| query::text("name", name, 1, NAME)),
            self.description.as_deref().map_or(Ok(()), |text| query::text("description", text, 0, TEXT)),
            lifetime.clone().map(|_| ()),
        ])?;
        lifetime
    }

    fn connection(self, node: &Node) -> Connection {
        let default_name = || format!("{}_to_{}", self.local_short_name.trim(), self.remote_short_name.trim());
        Connection {
            id: ConnectionId(node.clock.id()),
            name: self.name.as_deref().map_or_else(default_name, |name| name.trim().to_owned()),
            status: Status::Pending,
            kind: if self.destination_url.is_some() { Kind::Public } else { Kind::Private },
            mode: self.mode,
            tracker: self.tracker,
            side: Side::Inviting,
            local_short_name: self.local_short_name.trim().to_owned(),
            remote_short_name: self.remote_short_name.trim().to_owned(),
            description: self.description.unwrap_or_default(),
            created_at: node.now(),
            activated_at: None,
            prefer: self.prefer.unwrap_or(Prefer::Local),
            links: Links::Matching,
            share_internal_comments: false,
            awaiting: Some(Awaiting::Acceptance),
            confirm: self.confirm.unwrap_or(false),
            destination_url: self.destination_url,
            remote: None,
            paused: None,
        }
    }
}

/// Reads an address that somebody typed.
pub(super) fn address(field: &'static str, typed: &str) -> Result<Url, Problem> {
    if typed.len() > TEXT {
        return Err(Problem::field(field, format!("has more than {TEXT} characters")));
    }
    let url = Url::parse(typed.trim()).map_err(|error| Problem::field(field, format!("is no address: {error}")))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(Problem::field(field, "must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::field(field, "must not hold a name or a password"));
    }
    Ok(url)
}

async fn check_node(node: &Node, field: &'static str, typed: &str) -> Result<(), Problem> {
    let url = address(field, typed)?;
    let found = node
        .link
        .check_destination(&url)
        .await
        .map_err(Problem::from)
        .map_err(|problem| Problem { errors: Vec::new(), ..problem }.at(field))?;
    if found.is_self {
        return Err(Problem::field(field, "leads to this node itself; a connection joins two nodes"));
    }
    if found.is_node {
        return Ok(());
    }
    let detail = "What answers there is not a Wicketgate node, or nothing answers. If your partner has no address, leave it empty: then they dial.";
    Err(Problem::new(Code::NotANode, detail).at(field))
}

/// Lists connections by name.
#[utoipa::path(get, path = "/connections", tag = "connections", params(ConnectionsQuery),
    responses((status = 200, body = List<ConnectionBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<ConnectionsQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let status: Option<Status> = query::word("status", asked.status.as_deref())?;
    let (name, now) = (asked.into_inner().name, node.now());
    let all = node.store.read("api.connections", |tx| Box::pin(async move { tx.connections().await })).await?;
    let mut seen: Vec<Connection> = all
        .into_iter()
        .filter(|one| caller.sees(one.id) && status.is_none_or(|status| one.status == status))
        .filter(|one| name.as_ref().is_none_or(|name| one.name == *name))
        .collect();
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    let part = query::cut(seen, &page, |one| one.name.clone())?;
    let shown = node
        .store
        .read("api.connections.health", move |tx| {
            Box::pin(async move {
                let mut items = Vec::with_capacity(part.items.len());
                for connection in part.items {
                    items.push(ConnectionBody::load(tx, connection, now).await?);
                }
                Ok(List { items, next: part.next })
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(shown))
}

/// Shows one connection.
#[utoipa::path(get, path = "/connections/{id}", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    Ok(HttpResponse::Ok().json(super::common::connection_body(&node, connection).await?))
}

/// Changes a connection.
#[utoipa::path(patch, path = "/connections/{id}", tag = "connections", params(("id" = String, Path)), request_body = ConnectionPatch,
    responses((status = 200, body = ConnectionBody)))]
pub async fn patch(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let present = visible(&node, &caller, *id).await?;
    let asked: ConnectionPatch = body.json()?;
    query::all([
        asked.name.as_deref().map_or(Ok(()), |name| query::text("name", name, 1, NAME)),
        asked.description.as_deref().map_or(Ok(()), |text| query::text("description", text, 0, TEXT)),
        match asked.prefer {
            Some(_) if present.side != Side::Inviting => {
                Err(Problem::field("prefer", "is set by the side that made the invitation"))
            }
            _ => Ok(()),
        },
    ])?;
    if let Some(remote) = &asked.remote {
        if present.remote.as_ref().is_none_or(|known| known.url.is_none()) {
            return Err(Problem::field("remote.url", "the other side of this connection has no address: it dials"));
        }
        check_node(&node, "remote.url", &remote.url).await?;
    }
    let name = asked.name.clone().unwrap_or_default();
    let shown = change_connection(&node, &caller, *id, "connection.change", move |connection| asked.apply(connection))
        .await
        .map_err(|problem| if problem.code == Code::NameTaken { super::common::name_taken(&name) } else { problem })?;
    Ok(HttpResponse::Ok().json(shown))
}

impl ConnectionPatch {
    fn apply(self, connection: Connection) -> Result<Connection, Refused> {
        let mode = self.mode.unwrap_or(connection.mode);
        let mut connection = connection.in_mode(mode)?;
        if let Some(name) = self.name {
            connection.name = name.trim().to_owned();
        }
        if let Some(description) = self.description {
            connection.description = description;
        }
        connection.links = self.links.unwrap_or(connection.links);
        connection.share_internal_comments = self.share_internal_comments.unwrap_or(connection.share_internal_comments);
        connection.prefer = self.prefer.unwrap_or(connection.prefer);
        if let (Some(patch), Some(remote)) = (self.remote, connection.remote.as_mut()) {
            remote.url = Some(patch.url.trim().to_owned());
        }
        Ok(connection)
    }
}

/// Deletes a connection; the other side is told where it can be.
#[utoipa::path(delete, path = "/connections/{id}", tag = "connections", params(("id" = String, Path)),
    responses((status = 204)))]
pub async fn delete(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    let connection = visible(&node, &caller, *id).await?;
    node.link.say_goodbye(&connection).await;
    let line = caller.audit(node.now(), "connection.delete", connection.id.to_string(), connection.name.clone());
    node.store
        .write("api.connection.delete", move |tx| {
            Box::pin(async move {
                tx.delete_connection(connection.id).await?;
                Link::forget(tx, connection.id).await?;
                tx.add_audit(&line).await?;
                tx.tell(Notice::Connection(connection.id));
                tx.wake(Topic::Connections);
                tx.wake(Topic::Outbox(connection.id));
                Ok(())
            })
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Switches our side on: what was kept flows.
#[utoipa::path(post, path = "/connections/{id}/activate", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn activate(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    caller.require_sight(*id)?;
    let now = node.now();
    let changed = change_connection(&node, &caller, *id, "connection.activate", move |one| one.activate(now)).await?;
    Ok(HttpResponse::Ok().json(changed))
}

/// Switches our side off: changes are kept.
#[utoipa::path(post, path = "/connections/{id}/deactivate", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn deactivate(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    caller.require_sight(*id)?;
    let changed = change_connection(&node, &caller, *id, "connection.deactivate", Connection::deactivate).await?;
    Ok(HttpResponse::Ok().json(changed))
}

/// The inviting admin has seen who accepted.
#[utoipa::path(post, path = "/connections/{id}/confirm", tag = "connections", params(("id" = String, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn confirm(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Configure)?;
    caller.require_sight(*id)?;
    let now = node.now();
    let changed = change_connection(&node, &caller, *id, "connection.confirm", move |one| one.confirmed(now)).await?;
    Ok(HttpResponse::Ok().json(changed))
}
