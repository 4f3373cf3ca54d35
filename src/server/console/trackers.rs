//! Trackers: what each is, whether it works, its allowance over a day; checked step by step, signed in to, its token drawn anew.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{
    address::form,
    chart::Chart,
    connections::List,
    dashboard::{self, Figures},
    form::Errors,
    gate::{Person, Refusal, Signed},
    page::{self, Frame, Room},
    text::{State, Tone, When, link, number, span},
};
use crate::{
    clock::Time,
    domain::{
        connection::Paused,
        token::Scope,
        tracker::{ApiCalls, CheckStatus, CheckStep},
    },
    server::kit::Problem,
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/trackers").route(get().to(list)))
        .service(resource("/trackers/{name}").route(get().to(page)))
        .service(form("/trackers/{name}/check", "/trackers/{name}").route(post().to(check)))
        .service(form("/trackers/{name}/rotate-token", "/trackers/{name}").route(post().to(rotate)))
        .service(form("/trackers/{name}/sign-in", "/trackers/{name}").route(post().to(sign_in)));
}

/// A system beside this node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tracker {
    pub name: String,
    pub kind: String,
    pub url: String,
    pub paused: Option<Paused>,
    pub org_id: Option<String>,
    /// Absent or null: another kind, or not for this person's eyes.
    #[serde(default)]
    pub outbound_message_url: Option<String>,
    #[serde(default)]
    pub webhook_url: Option<String>,
    pub api_calls: Option<ApiCalls>,
    pub person_signs_in: bool,
    pub login_expires_at: Option<Time>,
    pub last_notice_at: Option<Time>,
}

/// From this share of a hundred on, an allowance is worth a word.
const MUCH: u64 = 80;

impl Tracker {
    pub(crate) fn state(&self) -> State {
        match (&self.paused, self.nearly_used_up()) {
            (Some(_), _) => State::new(Tone::Bad, "Paused"),
            (None, true) => State::new(Tone::Wait, "API calls run low"),
            (None, false) => State::new(Tone::Good, "Works"),
        }
    }

    pub(crate) fn is_salesforce(&self) -> bool {
        self.kind == "salesforce"
    }

    pub(crate) fn nearly_used_up(&self) -> bool {
        self.api_calls.is_some_and(|calls| share(calls) >= MUCH)
    }

    /// "812 of 15,000 (5 %)".
    pub(crate) fn calls(&self) -> String {
        self.api_calls.map(told).unwrap_or_default()
    }

    /// Where a meter turns to its second colour.
    pub(crate) fn much(&self) -> u64 {
        self.api_calls.map_or(0, |calls| calls.limit / 100 * MUCH)
    }

    /// What the other system is to be told, to reach this node.
    pub(crate) fn address(&self) -> Option<&str> {
        self.outbound_message_url.as_deref().or(self.webhook_url.as_deref())
    }

    pub(crate) fn link(&self) -> Option<String> {
        link(Some(&self.url))
    }
}

/// Of a hundred.
fn share(calls: ApiCalls) -> u64 {
    calls.used.saturating_mul(100).checked_div(calls.limit).unwrap_or(100)
}

/// Calls of an allowance in words.
pub(super) fn told(calls: ApiCalls) -> String {
    format!("{} of {} ({} %)", number(calls.used), number(calls.limit), share(calls))
}

#[derive(Template)]
#[template(path = "trackers/list.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub trackers: Vec<Tracker>,
}

impl ListPage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

/// `GET /trackers`
async fn list(person: Person) -> Result<HttpResponse, Refusal> {
    let frame = Frame::of(&person, Room::Trackers, "Trackers").await?;
    let trackers: List<Tracker> = person.api.get("/trackers").await?;
    page::ok(&ListPage { frame, trackers: trackers.items })
}

/// What a walk through the steps found.
#[derive(Debug, Deserialize)]
pub(crate) struct Check {
    pub ok: bool,
    pub steps: Vec<CheckStep>,
}

#[derive(Template)]
#[template(path = "trackers/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub tracker: Tracker,
    /// The allowance over a day.
    pub curve: Option<Chart>,
    /// What was found just now.
    pub check: Option<Check>,
    /// Where the person signs in, for a quarter of an hour.
    pub sign_in: Option<String>,
    pub errors: Errors,
    pub may_operate: bool,
    pub may_configure: bool,
    pub may_admin: bool,
}

impl OnePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    pub(crate) fn state(&self, step: &CheckStep) -> State {
        match step.status {
            CheckStatus::Ok => State::new(Tone::Good, "Well"),
            CheckStatus::Failed => State::new(Tone::Bad, "Failed"),
            CheckStatus::Skipped => State::new(Tone::Off, "Skipped"),
        }
    }

    pub(crate) fn took(&self, step: &CheckStep) -> String {
        span(i64::try_from(step.took_ms).unwrap_or(i64::MAX))
    }
}

/// An answer takes the name from the address: it goes to the API as one part of a path.
fn part(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

async fn shown(person: &Person, name: &str, errors: Errors) -> Result<OnePage, Refusal> {
    let tracker: Tracker = person.api.get(format!("/trackers/{}", part(name))).await?;
    let curve = match tracker.api_calls {
        Some(_) => dashboard::allowance(&person.api.get::<Figures>("/figures?span=day").await?, name),
        None => None,
    };
    Ok(OnePage {
        frame: Frame::of(person, Room::Trackers, tracker.name.clone()).await?,
        tracker,
        curve,
        check: None,
        sign_in: None,
        errors,
        may_operate: person.may(Scope::Operate),
        may_configure: person.may(Scope::Configure),
        may_admin: person.may(Scope::Admin),
    })
}

/// `GET /trackers/{name}`
async fn page(person: Person, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, &name, Errors::default()).await?)
}

async fn again(person: &Person, name: &str, problem: Problem) -> Result<HttpResponse, Refusal> {
    let problem = page::closed(problem)?;
    page::again(&problem, &shown(person, name, Errors::of(&problem, &[])).await?)
}

/// `POST /trackers/{name}/check`: nothing of it is kept, so the page answers the form itself.
async fn check(Signed { person, .. }: Signed, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    match person.api.post::<Check>(format!("/trackers/{}/check", part(&name)), json!({})).await {
        Ok(check) => {
            let shown = shown(&person, &name, Errors::default()).await?;
            page::ok(&OnePage { check: Some(check), ..shown })
        }
        Err(problem) => again(&person, &name, problem).await,
    }
}

/// `POST /trackers/{name}/rotate-token`
async fn rotate(Signed { person, form }: Signed, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let body = json!({"at_once": form.has("at_once")});
    match person.api.post::<Tracker>(format!("/trackers/{}/rotate-token", part(&name)), body).await {
        Ok(_) => Ok(page::go(&format!("/trackers/{}", part(&name)))),
        Err(problem) => again(&person, &name, problem).await,
    }
}

#[derive(Deserialize)]
struct Begun {
    url: String,
}

/// `POST /trackers/{name}/sign-in`: a link, for browsers follow no redirect of a form to another origin (`form-action`).
async fn sign_in(Signed { person, .. }: Signed, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    match person.api.post::<Begun>(format!("/trackers/{}/sign-in", part(&name)), json!({})).await {
        Ok(Begun { url }) => {
            let shown = shown(&person, &name, Errors::default()).await?;
            page::ok(&OnePage { sign_in: link(Some(&url)), ..shown })
        }
        Err(problem) => again(&person, &name, problem).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_told_in_numbers_and_by_its_share() {
        let told_of = |used, limit| {
            let body = json!({"name": "a", "kind": "salesforce", "url": "ftp://x", "paused": null, "org_id": null,
                "api_calls": {"used": used, "limit": limit}, "person_signs_in": false, "login_expires_at": null,
                "last_notice_at": null});
            let tracker: Tracker = serde_json::from_value(body).expect("as the API has it");
            (tracker.calls(), tracker.state().tone, tracker.link())
        };
        assert_eq!(told_of(812, 15_000), ("812 of 15,000 (5 %)".to_owned(), Tone::Good, None));
        assert_eq!(told_of(12_000, 15_000), ("12,000 of 15,000 (80 %)".to_owned(), Tone::Wait, None));
        assert_eq!(told_of(0, 0).1, Tone::Wait, "nothing is allowed at all");
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(part("../users?x#y z"), "..%2Fusers%3Fx%23y%20z");
    }
}
