//! Link existing: two records that are there already become a pair. And all pairs of a connection as a file.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde_json::json;

use super::Twin;
use crate::{
    domain::{ids::ConnectionId, token::Scope},
    server::{
        console::{
            connections::Connection,
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
        },
        kit::Problem,
    },
};

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    pub local_type: String,
    pub local_key: String,
    pub remote_type: String,
    pub remote_key: String,
    pub start: String,
}

#[derive(Template)]
#[template(path = "twins/link.html", config = "src/server/console/askama.toml")]
pub(crate) struct LinkPage {
    pub frame: Frame,
    pub connection: Connection,
    pub typed: Typed,
    pub errors: Errors,
}

async fn shown(person: &Person, id: ConnectionId, typed: Typed, errors: Errors) -> Result<LinkPage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let frame = Frame::of(person, Room::Twins, "Link existing records").await?;
    Ok(LinkPage { frame, connection, typed, errors })
}

/// `GET /connections/{id}/link`
pub(super) async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    page::ok(&shown(&person, *id, Typed::default(), Errors::default()).await?)
}

fn typed(form: &Form) -> Typed {
    let text = |name: &str| form.get(name).trim().to_owned();
    Typed {
        local_type: text("local.entity_type"),
        local_key: text("local.key"),
        remote_type: text("remote.entity_type"),
        remote_key: text("remote.key"),
        start: text("start"),
    }
}

/// `POST /connections/{id}/link`
pub(super) async fn link(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let typed = typed(&form);
    let body = json!({
        "local": {"entity_type": typed.local_type, "key": typed.local_key},
        "remote": {"entity_type": typed.remote_type, "key": typed.remote_key},
        "start": if typed.start.is_empty() { "none" } else { &typed.start },
    });
    let made: Result<Twin, Problem> = person.api.post(format!("/connections/{id}/twins/link"), body).await;
    match made {
        Ok(twin) => Ok(page::go(&format!("/twins/{}", twin.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let fields = ["local.entity_type", "local.key", "remote.entity_type", "remote.key"];
            page::again(&problem, &shown(&person, *id, typed, Errors::of(&problem, &fields)).await?)
        }
    }
}

/// `GET /connections/{id}/twins.csv`
pub(super) async fn export(person: Person, id: web::Path<ConnectionId>) -> HttpResponse {
    let answer = person.api.raw(Method::GET, format!("/connections/{id}/twins.csv")).await;
    let mut response = HttpResponse::build(answer.status);
    for (name, value) in &answer.headers {
        response.append_header((name.clone(), value.clone()));
    }
    response.body(answer.body)
}
