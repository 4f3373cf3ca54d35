//! The page of one pair: both records, what differs, what holds it up, and its story.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{Both, Step, Twin, compared};
use crate::{
    clock::Time,
    domain::{ids::TwinId, token::Scope},
    server::{
        console::{
            connections::{Connection, List},
            form::Errors,
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::When,
        },
        kit::Problem,
    },
};

/// Which part of the story.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    cursor: String,
}

#[derive(Template)]
#[template(path = "twins/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub twin: Twin,
    pub connection: Connection,
    pub fields: Vec<Both>,
    pub story: Vec<Step>,
    /// Cursor of the next part of the story.
    pub next: Option<String>,
    pub errors: Errors,
    pub may_operate: bool,
}

impl OnePage {
    pub(crate) fn title(&self) -> String {
        let there = self.twin.remote.as_ref().map_or_else(|| "unknown".to_owned(), |there| there.key.clone());
        format!("{} ↔ {there}", self.twin.here())
    }

    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

async fn shown(person: &Person, id: TwinId, cursor: &str, errors: Errors) -> Result<OnePage, Refusal> {
    let twin: Twin = person.api.get(format!("/twins/{id}")).await?;
    let connection: Connection = person.api.get(format!("/connections/{}", twin.connection_id)).await?;
    let cursor = if cursor.is_empty() { String::new() } else { format!("&cursor={}", escaped(cursor)) };
    let story: List<Step> = person.api.get(format!("/twins/{id}/history?limit=50{cursor}")).await?;
    let frame = Frame::of(person, Room::Twins, twin.here()).await?;
    let fields = compared(twin.local_replica.as_ref(), twin.remote_replica.as_ref());
    let next = story.next.map(|cursor| escaped(&cursor));
    Ok(OnePage { frame, twin, connection, fields, story: story.items, next, errors, may_operate: person.may(Scope::Operate) })
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// `GET /twins/{id}`
pub(super) async fn page(person: Person, id: web::Path<TwinId>, part: web::Query<Part>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, *id, &part.cursor, Errors::default()).await?)
}

/// `POST /twins/{id}/sync`: reads the record and sends what is new; a stopped pair is started again.
pub(super) async fn sync_now(Signed { person, .. }: Signed, id: web::Path<TwinId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    let twin: Twin = person.api.get(format!("/twins/{id}")).await?;
    let done = match &twin.local {
        Some(local) => {
            let body = json!({"entity_type": local.entity_type, "key": local.key});
            person.api.send(Method::POST, format!("/connections/{}/twins", twin.connection_id), Some(body)).await
        }
        None => Err(Problem::field("key", "the record here is not made yet; retry its error instead")),
    };
    match done {
        Ok(()) => Ok(page::go(&format!("/twins/{id}"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(&person, *id, "", Errors::of(&problem, &[])).await?)
        }
    }
}

#[derive(Template)]
#[template(path = "twins/stop.html", config = "src/server/console/askama.toml")]
pub(crate) struct StopPage {
    pub frame: Frame,
    pub twin: Twin,
}

/// `GET /twins/{id}/stop`: what will happen.
pub(super) async fn stop_page(person: Person, id: web::Path<TwinId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    let twin: Twin = person.api.get(format!("/twins/{id}")).await?;
    page::ok(&StopPage { frame: Frame::of(&person, Room::Twins, "Stop sync").await?, twin })
}

/// `POST /twins/{id}/stop`
pub(super) async fn stop(Signed { person, .. }: Signed, id: web::Path<TwinId>) -> Result<HttpResponse, Refusal> {
    person.api.send(Method::DELETE, format!("/twins/{id}"), None).await?;
    Ok(page::go(&format!("/twins/{id}")))
}
