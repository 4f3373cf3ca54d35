//! "Accept invitation": the code, who invites to what, and the connection.
//!
//! The code is only read at first, nobody is called. A private node then tries the way to the inviting node before it
//! accepts, so that a closed proxy is known before the code is used up.

use actix_web::HttpResponse;
use askama::Template;
use serde_json::json;

use super::{Connection, List, Tracker, mode_name};
use crate::{
    domain::{connection::Kind, token::Scope},
    link::{Destination, Inspected},
    server::{
        console::{
            form::Errors,
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::{State, Tone, When},
        },
        kit::Problem,
    },
};

#[derive(Template)]
#[template(path = "connections/accept.html", config = "src/server/console/askama.toml")]
pub(crate) struct AcceptPage {
    pub frame: Frame,
    pub code: String,
    /// What the code says, once it was read.
    pub inspected: Option<Inspected>,
    /// Whether the inviting node answers from here.
    pub reached: Option<State>,
    pub trackers: Vec<Tracker>,
    pub tracker: String,
    pub name: String,
    pub description: String,
    pub errors: Errors,
}

impl AcceptPage {
    pub(crate) fn mode(&self, inspected: &Inspected) -> &'static str {
        mode_name(inspected.mode)
    }

    pub(crate) fn is_private(&self, inspected: &Inspected) -> bool {
        inspected.kind == Kind::Private
    }

    pub(crate) fn until(&self, inspected: &Inspected) -> When {
        When(inspected.expires_at)
    }
}

async fn shown(person: &Person, code: &str, errors: Errors) -> Result<AcceptPage, Refusal> {
    let trackers: List<Tracker> = person.api.get("/trackers").await?;
    let frame = Frame::of(person, Room::Connections, "Accept invitation").await?;
    Ok(AcceptPage {
        frame,
        code: code.to_owned(),
        inspected: None,
        reached: None,
        trackers: trackers.items,
        tracker: String::new(),
        name: String::new(),
        description: String::new(),
        errors,
    })
}

/// `GET /connections/accept`
pub(super) async fn page(person: Person) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    page::ok(&shown(&person, "", Errors::default()).await?)
}

/// `POST /connections/accept`: reads the code, then joins.
pub(super) async fn step(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    let code = form.get("code").trim();
    if form.has("previous") {
        return page::ok(&shown(&person, code, Errors::default()).await?);
    }
    let inspected: Inspected = match person.api.post("/invitations/inspect", json!({"code": code})).await {
        Ok(inspected) => inspected,
        Err(problem) => {
            let problem = page::closed(problem)?;
            let problem = at_code(problem);
            return page::again(&problem, &shown(&person, code, Errors::of(&problem, &["code"])).await?);
        }
    };
    if !form.has("accept") {
        let page = shown(&person, code, Errors::default()).await?;
        let reached = reach(&person, &inspected.url).await;
        let (name, description) = (inspected.connection_name.clone(), inspected.description.clone());
        return page::ok(&AcceptPage { inspected: Some(inspected), reached: Some(reached), name, description, ..page });
    }
    let body = json!({
        "code": code,
        "tracker": form.get("tracker"),
        "name": form.typed("name"),
        "description": form.typed("description"),
    });
    match person.api.post::<Connection>("/invitations/accept", body).await {
        Ok(connection) => Ok(page::go(&format!("/connections/{}", connection.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let page = shown(&person, code, Errors::of(&problem, &["name", "tracker", "description"])).await?;
            let reached = reach(&person, &inspected.url).await;
            page::again(
                &problem,
                &AcceptPage {
                    inspected: Some(inspected),
                    reached: Some(reached),
                    tracker: form.get("tracker").to_owned(),
                    name: form.get("name").to_owned(),
                    description: form.get("description").to_owned(),
                    ..page
                },
            )
        }
    }
}

/// What is wrong with a code is shown at the code, by whatever name the API gives it.
fn at_code(problem: Problem) -> Problem {
    if problem.errors.is_empty() { problem.at("code") } else { problem }
}

/// Tries the way to the inviting node.
async fn reach(person: &Person, url: &str) -> State {
    match person.api.post::<Destination>("/destinations/check", json!({"url": url})).await {
        Ok(found) if found.is_node => State::new(Tone::Good, "The inviting node answers from here."),
        Ok(_) => State::new(
            Tone::Bad,
            "The inviting node does not answer from here. Look at `[network] proxy` of this node and at the firewall.",
        ),
        Err(problem) => State::new(Tone::Bad, problem.detail),
    }
}
