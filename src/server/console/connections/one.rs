//! The page of one connection: how it does, its two sides, its switches, its end.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Connection, List,
    invite::{Invitation, InvitationPage},
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Links, Prefer, Status},
        ids::ConnectionId,
        token::Scope,
    },
    server::{
        console::{
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::When,
        },
        kit::Problem,
    },
};

/// A trigger, as far as this page shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Trigger {
    pub entity_type: String,
    pub filter: String,
    pub enabled: bool,
}

/// What was typed under "Change".
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub name: String,
    pub description: String,
    pub links: String,
    pub share_internal_comments: bool,
    /// Ticked: from basic mode to script mode.
    pub script: bool,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        Self {
            name: text("name"),
            description: text("description"),
            links: text("links"),
            share_internal_comments: form.has("share_internal_comments"),
            script: form.has("mode"),
        }
    }

    fn known(connection: &Connection) -> Self {
        let links = match connection.links {
            Links::Matching => "matching",
            Links::Accept => "accept",
            Links::Ask => "ask",
        };
        Self {
            name: connection.name.clone(),
            description: connection.description.clone(),
            links: links.to_owned(),
            share_internal_comments: connection.share_internal_comments,
            script: false,
        }
    }
}

#[derive(Template)]
#[template(path = "connections/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub connection: Connection,
    pub triggers: Vec<Trigger>,
    pub typed: Typed,
    pub errors: Errors,
    /// May switch, retry and skip.
    pub may_operate: bool,
    /// May change, invite and delete.
    pub may_configure: bool,
}

impl OnePage {
    pub(crate) fn awaits_confirmation(&self) -> bool {
        self.connection.awaiting == Some(Awaiting::Confirmation)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.connection.status == Status::Pending
    }

    pub(crate) fn is_active(&self) -> bool {
        self.connection.status == Status::Active
    }

    pub(crate) fn prefers_ours(&self) -> bool {
        self.connection.prefer == Prefer::Local
    }

    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

async fn shown(person: &Person, id: ConnectionId, errors: Errors) -> Result<OnePage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let triggers: List<Trigger> = person.api.get(format!("/connections/{id}/triggers")).await?;
    let frame = Frame::of(person, Room::Connections, connection.name.clone()).await?;
    let (may_operate, may_configure) = (person.may(Scope::Operate), person.may(Scope::Configure));
    let typed = Typed::known(&connection);
    Ok(OnePage { frame, connection, triggers: triggers.items, typed, errors, may_operate, may_configure })
}

/// `GET /connections/{id}`
pub(super) async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, *id, Errors::default()).await?)
}

/// The page again: as it is now, or with what was refused.
async fn back(person: &Person, id: ConnectionId, done: Result<(), Problem>) -> Result<HttpResponse, Refusal> {
    match done {
        Ok(()) => Ok(page::go(&format!("/connections/{id}"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(person, id, Errors::of(&problem, &[])).await?)
        }
    }
}

/// `POST /connections/{id}/change`
pub(super) async fn change(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let mut body = json!({
        "name": form.get("name"),
        "description": form.get("description"),
        "links": form.get("links"),
        "share_internal_comments": form.has("share_internal_comments"),
    });
    for (field, value) in [("prefer", form.typed("prefer")), ("mode", form.typed("mode"))] {
        if let Some(value) = value {
            body[field] = Value::String(value);
        }
    }
    match person.api.send(Method::PATCH, format!("/connections/{id}"), Some(body)).await {
        Ok(()) => back(&person, *id, Ok(())).await,
        Err(problem) => {
            let problem = page::closed(problem)?;
            let page = shown(&person, *id, Errors::of(&problem, &["name", "description"])).await?;
            page::again(&problem, &OnePage { typed: Typed::of(&form), ..page })
        }
    }
}

async fn switch(person: &Person, id: ConnectionId, word: &str) -> Result<HttpResponse, Refusal> {
    let done = person.api.send(Method::POST, format!("/connections/{id}/{word}"), Some(json!({}))).await;
    back(person, id, done).await
}

/// `POST /connections/{id}/activate`
pub(super) async fn activate(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    switch(&person, *id, "activate").await
}

/// `POST /connections/{id}/deactivate`
pub(super) async fn deactivate(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    switch(&person, *id, "deactivate").await
}

/// `POST /connections/{id}/confirm`
pub(super) async fn confirm(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    switch(&person, *id, "confirm").await
}

/// `POST /connections/{id}/invitation`: a new code, shown once.
pub(super) async fn invite(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let made: Result<Invitation, Problem> = person.api.post(format!("/connections/{id}/invitation"), json!({})).await;
    match made {
        Ok(invitation) => {
            let OnePage { frame, connection, triggers, .. } = shown(&person, *id, Errors::default()).await?;
            page::ok(&InvitationPage {
                frame,
                id: *id,
                rekeys: connection.remote.is_some(),
                name: connection.name,
                invitation,
                no_trigger: triggers.is_empty(),
            })
        }
        Err(problem) => back(&person, *id, Err(problem)).await,
    }
}

/// `POST /connections/{id}/revoke`
pub(super) async fn revoke(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let done = person.api.send(Method::DELETE, format!("/connections/{id}/invitation"), None).await;
    back(&person, *id, done).await
}

#[derive(Template)]
#[template(path = "connections/delete.html", config = "src/server/console/askama.toml")]
pub(crate) struct DeletePage {
    pub frame: Frame,
    pub connection: Connection,
    pub errors: Errors,
}

async fn delete_shown(person: &Person, id: ConnectionId, errors: Errors) -> Result<DeletePage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let frame = Frame::of(person, Room::Connections, format!("Delete {}", connection.name)).await?;
    Ok(DeletePage { frame, connection, errors })
}

/// `GET /connections/{id}/delete`: what will happen.
pub(super) async fn delete_page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    page::ok(&delete_shown(&person, *id, Errors::default()).await?)
}

/// `POST /connections/{id}/delete`
pub(super) async fn delete(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    let page = delete_shown(&person, *id, Errors::default()).await?;
    if form.get("name").trim() != page.connection.name {
        let errors = Errors::one("name", "Type the connection's name exactly as it stands above.");
        return page::unfit(&DeletePage { errors, ..page });
    }
    person.api.send(Method::DELETE, format!("/connections/{id}"), None).await?;
    Ok(page::go("/connections"))
}
