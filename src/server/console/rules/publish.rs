//! Publishing: what differs from what runs, what was found in it, how many records it would change, and why.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{Found, Published, Rules, found};
use crate::{
    domain::ids::ConnectionId,
    server::{
        console::{
            connections::{Connection, List},
            form::Errors,
            gate::{Person, Refusal, Signed},
            jobs::Job,
            page::{self, Frame, Room},
        },
        kit::{Code, Problem},
    },
};

/// What differs between two pairs.
#[derive(Debug, Deserialize)]
pub(crate) struct Comparison {
    pub outgoing: String,
    pub incoming: String,
}

/// A line of a diff.
#[derive(Debug)]
pub(crate) struct Line {
    pub kind: &'static str,
    pub text: String,
}

/// A diff, line by line.
pub(crate) fn lines(diff: &str) -> Vec<Line> {
    let kind = |line: &str| match line.chars().next() {
        Some('+') => "added",
        Some('-') => "removed",
        _ => "same",
    };
    diff.lines().map(|line| Line { kind: kind(line), text: line.to_owned() }).collect()
}

#[derive(Template)]
#[template(path = "rules/publish.html", config = "src/server/console/askama.toml")]
pub(crate) struct PublishPage {
    pub frame: Frame,
    pub connection: Connection,
    pub rules: Rules,
    pub outgoing: Vec<Line>,
    pub incoming: Vec<Line>,
    pub found: Vec<Found>,
    pub note: String,
    pub errors: Errors,
    /// It does not fit the tracker; `force` publishes it all the same.
    pub unfit: bool,
    /// Previews of this connection, newest first.
    pub previews: Vec<Job>,
}

async fn shown(person: &Person, id: ConnectionId, errors: Errors) -> Result<PublishPage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let rules: Rules = person.api.get(format!("/connections/{id}/rules")).await?;
    let differs = match rules.draft {
        Some(_) => person.api.get::<Comparison>(format!("/connections/{id}/rules/compare?from=published&to=draft")).await?,
        None => Comparison { outgoing: String::new(), incoming: String::new() },
    };
    let jobs: List<Job> = person.api.get(format!("/jobs?connection_id={id}&limit=20")).await?;
    let found = found(&rules.problems);
    Ok(PublishPage {
        frame: Frame::of(person, Room::Connections, format!("Publish rules of {}", connection.name)).await?,
        connection,
        outgoing: lines(&differs.outgoing),
        incoming: lines(&differs.incoming),
        unfit: found.iter().any(|one| one.grave),
        found,
        rules,
        note: String::new(),
        errors,
        previews: jobs.items.into_iter().filter(|job| job.kind.starts_with("rules_")).take(5).collect(),
    })
}

/// `GET /connections/{id}/rules/publish`
pub(super) async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, *id, Errors::default()).await?)
}

/// `POST /connections/{id}/rules/publish`
pub(super) async fn publish(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let base = form.get("base").parse::<u32>().ok();
    // What was looked at is what is published, not what somebody saved meanwhile.
    let body = json!({"note": form.get("note"), "base": base, "over": form.typed("over"), "force": form.has("force")});
    let done: Result<Published, Problem> = person.api.post(format!("/connections/{id}/rules/publish"), body).await;
    match done {
        Ok(_) => Ok(page::go(&format!("/connections/{id}/rules/versions"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let page = shown(&person, *id, Errors::of(&problem, &["note"])).await?;
            let found = if problem.code == Code::RuleUnfit { found(&problem.errors) } else { page.found };
            page::again(&problem, &PublishPage { note: form.get("note").to_owned(), found, ..page })
        }
    }
}

/// `POST /connections/{id}/rules/preview`: how many records the draft would change; a job.
pub(super) async fn preview(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let body = match form.typed("sample").and_then(|sample| sample.parse::<u32>().ok()) {
        Some(sample) => json!({ "sample": sample }),
        None => json!({}),
    };
    match person.api.post::<Job>(format!("/connections/{id}/rules/preview"), body).await {
        Ok(job) => Ok(page::go(&format!("/jobs/{}", job.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(&person, *id, Errors::of(&problem, &[])).await?)
        }
    }
}

/// `POST /connections/{id}/rules/reapply`: brings what exists to what runs; a job.
pub(super) async fn reapply(Signed { person, .. }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    match person.api.post::<Job>(format!("/connections/{id}/rules/reapply"), json!({})).await {
        Ok(job) => Ok(page::go(&format!("/jobs/{}", job.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(&person, *id, Errors::of(&problem, &[])).await?)
        }
    }
}
