//! Versions: who published what, when and why; compared with what runs, and published again.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{
    Published,
    publish::{Comparison, Line, lines},
};
use crate::{
    clock::Time,
    domain::{ids::ConnectionId, token::Scope},
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

/// A version without its texts.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub version: u32,
    pub at: Option<Time>,
    pub by: Option<String>,
    pub note: Option<String>,
}

impl Version {
    pub(crate) fn when(&self) -> Option<When> {
        self.at.map(When)
    }
}

#[derive(Template)]
#[template(path = "rules/versions.html", config = "src/server/console/askama.toml")]
pub(crate) struct VersionsPage {
    pub frame: Frame,
    pub connection: Connection,
    pub versions: Vec<Version>,
    /// There are others.
    pub more: bool,
    pub may_configure: bool,
}

/// `GET /connections/{id}/rules/versions`
pub(super) async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let versions: List<Version> = person.api.get(format!("/connections/{id}/rules/versions?limit=200")).await?;
    let frame = Frame::of(&person, Room::Connections, format!("Versions of {}", connection.name)).await?;
    let (more, may_configure) = (versions.next.is_some(), person.may(Scope::Configure));
    page::ok(&VersionsPage { frame, connection, versions: versions.items, more, may_configure })
}

#[derive(Template)]
#[template(path = "rules/version.html", config = "src/server/console/askama.toml")]
pub(crate) struct VersionPage {
    pub frame: Frame,
    pub connection: Connection,
    pub version: Published,
    /// From this version to the one that runs.
    pub outgoing: Vec<Line>,
    pub incoming: Vec<Line>,
    pub note: String,
    pub errors: Errors,
    pub may_configure: bool,
}

async fn shown(person: &Person, id: ConnectionId, version: u32, errors: Errors) -> Result<VersionPage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let published: Published = person.api.get(format!("/connections/{id}/rules/versions/{version}")).await?;
    let differs: Comparison = person.api.get(format!("/connections/{id}/rules/compare?from={version}&to=published")).await?;
    Ok(VersionPage {
        frame: Frame::of(person, Room::Connections, format!("Version {version} of {}", connection.name)).await?,
        connection,
        version: published,
        outgoing: lines(&differs.outgoing),
        incoming: lines(&differs.incoming),
        note: String::new(),
        errors,
        may_configure: person.may(Scope::Configure),
    })
}

/// `GET /connections/{id}/rules/versions/{version}`
pub(super) async fn one(person: Person, path: web::Path<(ConnectionId, u32)>) -> Result<HttpResponse, Refusal> {
    let (id, version) = path.into_inner();
    page::ok(&shown(&person, id, version, Errors::default()).await?)
}

/// `POST /connections/{id}/rules/rollback`
pub(super) async fn rollback(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let version = form.get("version").parse::<u32>().unwrap_or_default();
    let body = json!({"version": version, "note": form.get("note")});
    let done: Result<Published, Problem> = person.api.post(format!("/connections/{id}/rules/rollback"), body).await;
    match done {
        Ok(_) => Ok(page::go(&format!("/connections/{id}/rules/versions"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let mut page = shown(&person, *id, version, Errors::of(&problem, &["note"])).await?;
            page.frame.address = Some(format!("/connections/{id}/rules/versions/{version}"));
            page::again(&problem, &VersionPage { note: form.get("note").to_owned(), ..page })
        }
    }
}
