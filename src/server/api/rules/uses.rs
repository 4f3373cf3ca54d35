//! What the rules of a tracker's connections use of it: the names of fields, for whoever gives rights or registers messages.
//!
//! Drafts count too: publishing asks whether our user may use the fields, so the right has to be there before. Where there
//! is no connection yet, it tells what the built-in pair would use.
//!
//! Trap: a rule does not say which of its entity types has a field. The names stand beside the types, unmatched; the
//! tracker's descriptions tell which type has which.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::both;
use crate::{
    domain::{connection::Connection, ids::ConnectionId, token::Scope},
    rules::checks,
    server::{
        api::{bodies::List, trackers::require_tracker},
        kit::{Caller, Node, Problem},
    },
};

/// What the rules of one connection use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Use)]
pub struct UseBody {
    /// The connection; null where there is none yet and this is the built-in pair.
    pub connection_id: Option<ConnectionId>,
    /// Its name.
    pub connection: Option<String>,
    /// Entity types of its triggers, twins and rules.
    pub entity_types: BTreeSet<String>,
    /// Fields that are read.
    pub read: BTreeSet<String>,
    /// Fields that are assigned.
    pub written: BTreeSet<String>,
    /// There are no others; false where a rule makes up the name of a field while it runs.
    pub whole: bool,
}

/// What the rules of this tracker's connections use of it.
#[utoipa::path(get, path = "/trackers/{name}/uses", tag = "trackers", operation_id = "uses", params(("name" = String, Path)),
    responses((status = 200, body = List<UseBody>)))]
pub async fn uses(node: web::Data<Node>, caller: Caller, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let tracker = require_tracker(&node, &caller, &name).await?;
    let wanted = name.into_inner();
    let all = node.store.read("api.uses", |tx| Box::pin(async move { tx.connections().await })).await?;
    let mut items = Vec::new();
    for connection in all.into_iter().filter(|one| one.tracker == wanted && caller.sees(one.id)) {
        items.push(of_connection(&node, connection, tracker.default_entity_type()).await?);
    }
    if let (true, Some(pair)) = (items.is_empty(), node.rules.built_in(tracker.kind())) {
        let default = BTreeSet::from([tracker.default_entity_type().to_owned()]);
        items.push(body(None, default, &[(&pair.outgoing, &pair.incoming)]));
    }
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

async fn of_connection(node: &Node, connection: Connection, default: &str) -> Result<UseBody, Problem> {
    let (tracker, id) = (connection.tracker.clone(), connection.id);
    let types = node.store.read("api.uses.types", move |tx| Box::pin(async move { tx.types_of_connection(&tracker, id).await }));
    let mut types: BTreeSet<String> = types.await?.into_iter().collect();
    let (running, draft) = both(node, &connection).await?;
    let mut pairs = vec![(running.outgoing.as_str(), running.incoming.as_str())];
    pairs.extend(draft.as_ref().map(|draft| (draft.outgoing.as_str(), draft.incoming.as_str())));
    types.extend(pairs.iter().flat_map(|(outgoing, incoming)| checks::named_types(outgoing, incoming)));
    types.insert(default.to_owned());
    Ok(body(Some(&connection), types, &pairs))
}

fn body(connection: Option<&Connection>, entity_types: BTreeSet<String>, pairs: &[(&str, &str)]) -> UseBody {
    let (mut read, mut written, mut whole) = (BTreeSet::new(), BTreeSet::new(), true);
    for (outgoing, incoming) in pairs {
        let used = checks::field_use(outgoing, incoming);
        read.extend(used.read);
        written.extend(used.written);
        whole &= used.whole;
    }
    let (connection_id, connection) = (connection.map(|one| one.id), connection.map(|one| one.name.clone()));
    UseBody { connection_id, connection, entity_types, read, written, whole }
}
