//! Sync status: find a record, see its pair, its whole story, and act on it ("where is my case?").

mod find;
mod link;
mod one;

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::{
    address::form,
    text::{self, State, When},
};
use crate::{
    clock::Time,
    domain::{
        error::ErrorRecord,
        history::{Direction, FieldChange, Outcome},
        ids::{ConnectionId, EntityRef, TwinId},
        replica::Fields,
        twin::{RemoteOutcome, Status},
    },
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/twins").route(get().to(find::page)))
        .service(form("/twins/sync", "/twins").route(post().to(find::sync_now)))
        .service(resource("/twins/{id}").route(get().to(one::page)))
        .service(form("/twins/{id}/sync", "/twins/{id}").route(post().to(one::sync_now)))
        .service(resource("/twins/{id}/stop").route(get().to(one::stop_page)).route(post().to(one::stop)))
        .service(resource("/connections/{id}/link").route(get().to(link::page)).route(post().to(link::link)))
        .service(resource("/connections/{id}/twins.csv").route(get().to(link::export)));
}

/// A pair of records, as far as pages show it.
#[derive(Debug, Deserialize)]
pub(super) struct Twin {
    pub id: TwinId,
    pub connection_id: ConnectionId,
    pub status: Status,
    pub local: Option<EntityRef>,
    pub remote: Option<EntityRef>,
    pub remote_outcome: Option<RemoteOutcome>,
    pub error: Option<ErrorRecord>,
    pub created_at: Time,
    pub last_synced_at: Option<Time>,
    #[serde(default)]
    pub local_replica: Option<Fields>,
    #[serde(default)]
    pub remote_replica: Option<Fields>,
}

impl Twin {
    pub(super) fn state(&self) -> State {
        State::of_twin(self.status)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.status == Status::Stopped
    }

    /// Our record in words.
    pub(super) fn here(&self) -> String {
        record(self.local.as_ref())
    }

    /// Theirs.
    pub(super) fn there(&self) -> String {
        record(self.remote.as_ref())
    }

    /// Address of our record's own page.
    pub(super) fn here_link(&self) -> Option<String> {
        text::link(self.local.as_ref()?.url.as_deref())
    }

    /// Of theirs.
    pub(super) fn there_link(&self) -> Option<String> {
        text::link(self.remote.as_ref()?.url.as_deref())
    }
}

fn record(entity: Option<&EntityRef>) -> String {
    entity.map_or_else(|| "not made yet".to_owned(), |entity| format!("{} {}", entity.entity_type, entity.key))
}

/// One step of a record's story.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub at: Time,
    pub direction: Direction,
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub changes: Vec<FieldChange>,
    pub took_ms: i64,
}

impl Step {
    pub(super) fn when(&self) -> When {
        When(self.at)
    }

    pub(super) fn state(&self) -> State {
        State::of_outcome(self.outcome)
    }

    pub(super) fn way(&self) -> &'static str {
        match self.direction {
            Direction::Out => "outgoing",
            Direction::In => "incoming",
        }
    }

    pub(super) fn took(&self) -> String {
        text::span(self.took_ms)
    }

    /// What changed, in words.
    pub(super) fn told(&self) -> impl Iterator<Item = Told<'_>> {
        self.changes.iter().map(|change| Told {
            field: &change.field,
            from: value(&change.from),
            to: value(&change.to),
            conflict: change.conflict,
        })
    }
}

/// A change of a field, in words.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub field: &'a str,
    pub from: String,
    pub to: String,
    pub conflict: bool,
}

/// A value as people read it.
fn value(value: &Value) -> String {
    const MOST: usize = 400;
    let whole = match value {
        Value::Null => "empty".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if whole.chars().count() <= MOST {
        return whole;
    }
    whole.chars().take(MOST).chain(" …".chars()).collect()
}

/// One field of both replicas.
#[derive(Debug)]
pub(super) struct Both {
    pub name: String,
    pub ours: String,
    pub theirs: String,
    pub differ: bool,
}

/// Both replicas, field by field, those that differ first.
pub(super) fn compared(ours: Option<&Fields>, theirs: Option<&Fields>) -> Vec<Both> {
    let empty = Fields::new();
    let (ours, theirs) = (ours.unwrap_or(&empty), theirs.unwrap_or(&empty));
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))).collect();
    names.sort();
    let mut fields: Vec<Both> = names
        .into_iter()
        .map(|name| {
            let (a, b) = (ours.get(name).unwrap_or(&Value::Null), theirs.get(name).unwrap_or(&Value::Null));
            // Each side has its own key, always.
            let differ = name != "key" && !crate::domain::replica::same(a, b);
            Both { name: name.clone(), ours: value(a), theirs: value(b), differ }
        })
        .collect();
    fields.sort_by_key(|field| !field.differ);
    fields
}
