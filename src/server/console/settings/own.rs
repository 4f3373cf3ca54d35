//! The node, and the account of whoever looks: its password and its sessions.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{Done, NOT_TWICE, Session, Tab, path_part, typed_twice, word};
use crate::{
    clock::Time,
    domain::connection::Kind,
    server::{
        console::{
            connections::List,
            form::Errors,
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room, Way},
            text::{State, Tone, When},
        },
        kit::Problem,
    },
};

/// How the node does.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub name: String,
    pub version: String,
    pub kind: Kind,
    pub public_url: Option<String>,
    pub key_fingerprint: String,
    pub started_at: Time,
    pub ready: bool,
    pub reasons: Vec<String>,
}

impl Status {
    pub(crate) fn is_private(&self) -> bool {
        self.kind == Kind::Private
    }

    pub(crate) fn started(&self) -> When {
        When(self.started_at)
    }

    pub(crate) fn state(&self) -> State {
        if self.ready {
            State::new(Tone::Good, "Ready")
        } else {
            State::new(Tone::Bad, format!("Cannot store: {}", self.reasons.join("; ")))
        }
    }
}

#[derive(Template)]
#[template(path = "settings/own.html", config = "src/server/console/askama.toml")]
pub(crate) struct OwnPage {
    pub frame: Frame,
    pub tabs: Vec<Way>,
    pub status: Status,
    pub name: String,
    pub role: &'static str,
    pub sessions: Vec<Session>,
    /// Forms about sessions begin with this address.
    pub base: String,
    pub done: Option<&'static str>,
    pub errors: Errors,
}

impl OwnPage {
    /// Signed in elsewhere, too.
    pub(crate) fn elsewhere(&self) -> bool {
        self.sessions.iter().any(|session| !session.own)
    }
}

async fn shown(person: &Person, done: Option<&'static str>, errors: Errors) -> Result<OwnPage, Refusal> {
    let sessions: List<Session> = person.api.get(format!("/users/{}/sessions", person.user.id)).await?;
    Ok(OwnPage {
        frame: Frame::of(person, Room::Settings, "Settings").await?,
        tabs: Tab::Own.ways(person),
        status: person.api.get("/status").await?,
        name: person.user.name.clone(),
        role: word(person.user.role),
        sessions: sessions.items,
        base: "/settings".to_owned(),
        done,
        errors,
    })
}

/// `GET /settings`
pub(super) async fn page(person: Person, asked: web::Query<Done>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, asked.sentence(), Errors::default()).await?)
}

async fn back(person: &Person, done: Result<(), Problem>, word: &str) -> Result<HttpResponse, Refusal> {
    match done {
        Ok(()) => Ok(page::go(&format!("/settings?done={word}"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(person, None, Errors::of(&problem, &["old_password", "password"])).await?)
        }
    }
}

/// `POST /settings/password`
pub(super) async fn password(signed: Signed) -> Result<HttpResponse, Refusal> {
    let Signed { person, form } = &signed;
    if !typed_twice(&signed) {
        return page::unfit(&shown(person, None, Errors::one("again", NOT_TWICE)).await?);
    }
    let body = json!({"password": form.get("password"), "old_password": form.get("old_password")});
    let done = person.api.send(Method::POST, format!("/users/{}/password", person.user.id), Some(body)).await;
    back(person, done, "password").await
}

/// `POST /settings/sessions`: all others end.
pub(super) async fn end_others(Signed { person, .. }: Signed) -> Result<HttpResponse, Refusal> {
    let done = person.api.send(Method::DELETE, format!("/users/{}/sessions", person.user.id), None).await;
    back(&person, done, "sessions").await
}

/// `POST /settings/sessions/{session}`
pub(super) async fn end_one(Signed { person, .. }: Signed, session: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let session = path_part(&session);
    let done = person.api.send(Method::DELETE, format!("/users/{}/sessions/{session}", person.user.id), None).await;
    back(&person, done, "sessions").await
}
