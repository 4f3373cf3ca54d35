//! What rules are shown.

use super::{
    outgoing::Worker,
    settle::{Again, Trouble},
};
use crate::domain::{
    connection::Connection,
    rule::{ConnectionView, EntityView, Listed, RulePair},
    tracker::{Description, Entity},
};

/// The connection's published pair, or the built-in one of our tracker's kind.
pub(super) async fn rules(worker: &Worker, connection: &Connection) -> Result<RulePair, Trouble> {
    if connection.mode == crate::domain::connection::Mode::Script {
        let id = connection.id;
        let published = worker.parts.store.read("rules", move |tx| Box::pin(async move { tx.rules(id).await })).await;
        match published {
            Ok(Some(pair)) => return Ok(pair),
            Ok(None) => {}
            Err(error) => return Err(trouble("store", &error.to_string(), Again::Soon)),
        }
    }
    worker.parts.rules.built_in(worker.tracker.kind()).ok_or_else(|| {
        trouble("no_rules", &format!("there is no built-in pair of rules for a {} tracker", worker.tracker.kind()), Again::Person)
    })
}

fn trouble(code: &str, detail: &str, again: Again) -> Trouble {
    Trouble {
        code: code.to_owned(),
        title: "The rules could not be had".to_owned(),
        detail: detail.to_owned(),
        advice: "Publish rules for this connection, then retry.".to_owned(),
        again,
    }
}

/// A record as a rule sees it.
pub(super) fn entity(entity: &Entity) -> EntityView {
    EntityView { entity_type: entity.entity_type.clone(), key: entity.key.clone(), fields: entity.fields.clone() }
}

/// A connection as a rule sees it.
pub(super) fn connection(connection: &Connection) -> ConnectionView {
    ConnectionView {
        id: connection.id.to_string(),
        name: connection.name.clone(),
        mode: connection.mode,
        local_short_name: connection.local_short_name.clone(),
        remote_short_name: connection.remote_short_name.clone(),
    }
}

/// Picklist values by field.
pub(super) fn listed(description: &Description) -> Listed {
    description.fields.iter().filter_map(|field| Some((field.name.clone(), field.values.clone()?))).collect()
}
