//! Work over many records: how far it is, what it found; paused, resumed, cancelled. A reload finds it as it is.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    address::form,
    connections::{Connection, List},
    form::Errors,
    gate::{Person, Refusal, Signed},
    page::{self, Frame, Room},
    text::{State, Tone, When, number},
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, JobId},
        job::Status,
        token::Scope,
    },
    server::kit::Problem,
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/jobs").route(get().to(list)))
        .service(resource("/jobs/{id}").route(get().to(page)))
        .service(form("/jobs/{id}/act", "/jobs/{id}").route(post().to(act)));
}

/// A job.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    pub id: JobId,
    pub kind: String,
    pub connection_id: ConnectionId,
    pub status: Status,
    pub paused: bool,
    pub done: u64,
    pub total: Option<u64>,
    pub counts: BTreeMap<String, u64>,
    pub detail: Option<String>,
    pub created_at: Time,
    pub ended_at: Option<Time>,
    pub by: String,
}

impl Job {
    /// What it does.
    pub(crate) fn name(&self) -> &str {
        match self.kind.as_str() {
            "trigger_run" => "Run of a trigger",
            "rules_preview" => "Preview of rules",
            "rules_reapply" => "Rules applied again",
            "reconcile" => "Reconcile",
            other => other,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.status {
            Status::Queued | Status::Running if self.paused => State::new(Tone::Wait, "Paused"),
            Status::Queued => State::new(Tone::Wait, "Waiting to begin"),
            Status::Running => State::new(Tone::Wait, "Running"),
            Status::Done => State::new(Tone::Good, "Done"),
            Status::Failed => State::new(Tone::Bad, "Failed"),
            Status::Cancelled => State::new(Tone::Off, "Cancelled"),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, Status::Queued | Status::Running)
    }

    pub(crate) fn progress(&self) -> String {
        match self.total {
            Some(total) => format!("{} of {}", number(self.done), number(total)),
            None => number(self.done),
        }
    }

    pub(crate) fn begun(&self) -> When {
        When(self.created_at)
    }
}

#[derive(Template)]
#[template(path = "jobs/list.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub jobs: Vec<Job>,
    /// There are others.
    pub more: bool,
}

/// `GET /jobs`
async fn list(person: Person) -> Result<HttpResponse, Refusal> {
    let frame = Frame::of(&person, Room::Queue, "Jobs").await?;
    let jobs: List<Job> = person.api.get("/jobs?limit=50").await?;
    page::ok(&ListPage { frame, more: jobs.next.is_some(), jobs: jobs.items })
}

/// A line of the report.
#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    pub what: String,
    pub entity_type: String,
    pub key: String,
    pub detail: Value,
}

impl Finding {
    pub(crate) fn told(&self) -> String {
        match &self.detail {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

#[derive(Template)]
#[template(path = "jobs/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub job: Job,
    pub connection: Option<Connection>,
    pub report: Vec<Finding>,
    /// The report has others.
    pub more: bool,
    pub errors: Errors,
    pub may_operate: bool,
}

impl OnePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

async fn shown(person: &Person, id: JobId, errors: Errors) -> Result<OnePage, Refusal> {
    let job: Job = person.api.get(format!("/jobs/{id}")).await?;
    let report: List<Finding> = person.api.get(format!("/jobs/{id}/report?limit=200")).await?;
    let frame = Frame::of(person, Room::Queue, job.name().to_owned()).await?;
    // It may have been deleted since.
    let connection = person.api.get(format!("/connections/{}", job.connection_id)).await.ok();
    let (more, may_operate) = (report.next.is_some(), person.may(Scope::Operate));
    Ok(OnePage { frame, job, connection, report: report.items, more, errors, may_operate })
}

/// `GET /jobs/{id}`
async fn page(person: Person, id: web::Path<JobId>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, *id, Errors::default()).await?)
}

/// `POST /jobs/{id}/act`
async fn act(Signed { person, form }: Signed, id: web::Path<JobId>) -> Result<HttpResponse, Refusal> {
    let done: Result<(), Problem> = if form.has("cancel") {
        person.api.send(Method::DELETE, format!("/jobs/{id}"), None).await
    } else {
        let word = if form.has("pause") { "pause" } else { "resume" };
        person.api.send(Method::POST, format!("/jobs/{id}/{word}"), Some(json!({}))).await
    };
    match done {
        Ok(()) => Ok(page::go(&format!("/jobs/{id}"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(&person, *id, Errors::of(&problem, &[])).await?)
        }
    }
}
