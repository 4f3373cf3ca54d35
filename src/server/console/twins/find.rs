//! Find a record by its key or address; or the pairs of a connection, a status.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Step, Twin};
use crate::{
    clock::Time,
    domain::{ids::ConnectionId, token::Scope},
    server::{
        console::{
            connections::{Connection, List, Tracker},
            form::Errors,
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::When,
        },
        kit::Problem,
    },
};

/// What a person looks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Asked {
    key: String,
    connection: String,
    status: String,
    cursor: String,
}

/// What was typed to start a sync by hand, beside the key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    pub entity_type: String,
    pub connection: String,
}

/// What the node knows of a record that has no twin.
#[derive(Debug, Deserialize)]
pub(crate) struct WhereIs {
    pub tracker: String,
    pub entity_type: String,
    pub key: String,
    pub history: Vec<Step>,
    pub waiting: Vec<serde_json::Value>,
}

#[derive(Template)]
#[template(path = "twins/find.html", config = "src/server/console/askama.toml")]
pub(crate) struct FindPage {
    pub frame: Frame,
    pub asked: Asked,
    pub twins: Vec<Twin>,
    /// Query of the next part.
    pub next: Option<String>,
    pub connections: Vec<Connection>,
    /// Records of that key that no twin has.
    pub elsewhere: Vec<WhereIs>,
    pub typed: Typed,
    pub errors: Errors,
    pub may_operate: bool,
}

impl FindPage {
    pub(crate) fn connection_name(&self, id: &ConnectionId) -> &str {
        self.connections.iter().find(|one| one.id == *id).map_or("a connection that you may not see", |one| one.name.as_str())
    }

    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    pub(crate) fn is_filtered(&self) -> bool {
        !self.asked.key.trim().is_empty() || !self.asked.connection.is_empty() || !self.asked.status.is_empty()
    }
}

/// A query of those parts that say something.
fn query(parts: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parts.iter().filter(|(_, value)| !value.trim().is_empty()) {
        query.append_pair(name, value.trim());
    }
    query.finish()
}

/// `GET /twins`
pub(super) async fn page(person: Person, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, asked.into_inner(), Errors::default()).await?)
}

async fn shown(person: &Person, asked: Asked, errors: Errors) -> Result<FindPage, Refusal> {
    let frame = Frame::of(person, Room::Twins, "Sync status").await?;
    let parts = [
        ("connection_id", asked.connection.as_str()),
        ("status", &asked.status),
        ("key", &asked.key),
        ("cursor", &asked.cursor),
        ("limit", "50"),
    ];
    let (twins, errors) = match person.api.get::<List<Twin>>(format!("/twins?{}", query(&parts))).await {
        Ok(twins) => (twins, errors),
        Err(problem) => (List { items: Vec::new(), next: None }, Errors::of(&problem, &[])),
    };
    let connections: List<Connection> = person.api.get("/connections?limit=500").await?;
    let elsewhere =
        if twins.items.is_empty() && !asked.key.trim().is_empty() { elsewhere(person, &asked.key).await? } else { Vec::new() };
    let next = twins.next.map(|cursor| {
        query(&[("key", &asked.key), ("connection", &asked.connection), ("status", &asked.status), ("cursor", &cursor)])
    });
    let may_operate = person.may(Scope::Operate);
    Ok(FindPage {
        frame,
        asked,
        twins: twins.items,
        next,
        connections: connections.items,
        elsewhere,
        typed: Typed::default(),
        errors,
        may_operate,
    })
}

/// What each tracker here was told of a record of that key, where it was told anything.
async fn elsewhere(person: &Person, key: &str) -> Result<Vec<WhereIs>, Refusal> {
    let trackers: List<Tracker> = person.api.get("/trackers").await?;
    let part = |text: &str| -> String {
        url::form_urlencoded::byte_serialize(text.trim().as_bytes()).collect::<String>().replace('+', "%20")
    };
    let mut found = Vec::new();
    for tracker in trackers.items {
        let entity_type = if tracker.kind == "salesforce" { "Case" } else { "issue" };
        let path = format!("/trackers/{}/entities/{entity_type}/{}", part(&tracker.name), part(key));
        // A key that this tracker cannot have is no fault of the person.
        let Ok(there) = person.api.get::<WhereIs>(path).await else { continue };
        if !there.history.is_empty() || !there.waiting.is_empty() {
            found.push(there);
        }
    }
    Ok(found)
}

/// `POST /twins/sync`: starts the sync of a record by its key.
pub(super) async fn sync_now(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    let typed = Typed { entity_type: form.get("entity_type").to_owned(), connection: form.get("connection").to_owned() };
    let body = json!({"entity_type": form.get("entity_type"), "key": form.get("key")});
    let asked = Asked { key: form.get("key").to_owned(), ..Asked::default() };
    let Ok(id) = typed.connection.parse::<ConnectionId>() else {
        let errors = Errors::one("connection", "Choose a connection.");
        return page::unfit(&FindPage { typed, ..shown(&person, asked, errors).await? });
    };
    let made: Result<Twin, Problem> = person.api.post(format!("/connections/{id}/twins"), body).await;
    match made {
        Ok(twin) => Ok(page::go(&format!("/twins/{}", twin.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let errors = Errors::of(&problem, &["entity_type", "key", "connection"]);
            page::again(&problem, &FindPage { typed, ..shown(&person, asked, errors).await? })
        }
    }
}
