//! What all pages share: the frame around them, how they leave, and how a refusal looks.

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode, header},
};
use askama::Template;
use serde::Deserialize;

use super::{
    assets,
    gate::{Person, Refusal},
};
use crate::{
    domain::{connection::Kind, token::Scope},
    server::kit::{Code, Problem, problem::UNSEEN},
};

/// No inline script or style, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The main rooms, in the order of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Dashboard,
    Connections,
    Twins,
    Queue,
    Errors,
    Triggers,
    Trackers,
    Settings,
}

impl Room {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Dashboard, "/", "Dashboard"),
        (Self::Connections, "/connections", "Connections"),
        (Self::Twins, "/twins", "Sync status"),
        (Self::Queue, "/queue", "Queue"),
        (Self::Errors, "/errors", "Errors"),
        (Self::Triggers, "/triggers", "Triggers"),
        (Self::Trackers, "/trackers", "Trackers"),
        (Self::Settings, "/settings", "Settings"),
    ];
}

/// One entry of the navigation.
#[derive(Debug)]
pub(super) struct Way {
    pub path: &'static str,
    pub name: &'static str,
    pub here: bool,
    /// How much there waits for a person.
    pub count: u64,
}

/// What stands around a page.
#[derive(Debug)]
pub(super) struct Frame {
    pub title: String,
    /// Where the page is found, if not at the address that answered with it.
    pub address: Option<String>,
    pub ways: Vec<Way>,
    /// Who is signed in; empty before.
    pub person: String,
    pub node: String,
    pub kind: &'static str,
    /// What forms carry.
    pub token: String,
    /// Why the node cannot store at the moment.
    pub trouble: Option<String>,
}

/// The part of the node's status that every page shows.
#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    kind: Kind,
    parked: u64,
    ready: bool,
    reasons: Vec<String>,
}

impl Frame {
    /// For a page of this title.
    pub(super) async fn of(person: &Person, here: Room, title: impl Into<String>) -> Result<Self, Refusal> {
        let status: Status = person.api.get("/status").await?;
        let count = |room| if room == Room::Errors { status.parked } else { 0 };
        let ways = Room::ALL.into_iter().map(|(room, path, name)| Way { path, name, here: room == here, count: count(room) });
        Ok(Self {
            title: title.into(),
            address: person.page.clone(),
            ways: ways.collect(),
            person: person.user.name.clone(),
            node: status.name,
            kind: match status.kind {
                Kind::Public => "public",
                Kind::Private => "private",
            },
            token: person.token(),
            trouble: (!status.ready).then(|| status.reasons.join("; ")),
        })
    }

    /// For a page that nobody is signed in to see.
    pub(super) fn open(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            address: None,
            ways: Vec::new(),
            person: String::new(),
            node: String::new(),
            kind: "",
            token: String::new(),
            trouble: None,
        }
    }

    /// Address of an asset.
    pub(super) fn asset(&self, name: &str) -> String {
        assets::path(name)
    }
}

/// A page.
pub(super) fn show(status: StatusCode, template: &impl Template) -> HttpResponse {
    match template.render() {
        Ok(html) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header(policy())
            // A form whose session has ended leads back to its page.
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .body(html),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            HttpResponse::InternalServerError().body("The page could not be written; the node's log says more.")
        }
    }
}

fn policy() -> (header::HeaderName, &'static str) {
    (header::CONTENT_SECURITY_POLICY, POLICY)
}

/// A page that is as it should be.
pub(super) fn ok(template: &impl Template) -> Result<HttpResponse, Refusal> {
    Ok(show(StatusCode::OK, template))
}

/// A refusal that leaves no form to be shown again: the person may not, or what was meant is not there.
pub(super) fn closed(problem: Problem) -> Result<Problem, Refusal> {
    if matches!(problem.code, Code::Forbidden | Code::NotFound) { Err(problem.into()) } else { Ok(problem) }
}

/// A form that the API refused, again with what was typed.
pub(super) fn again(problem: &Problem, template: &impl Template) -> Result<HttpResponse, Refusal> {
    Ok(show(StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), template))
}

/// A form that the page itself cannot take.
pub(super) fn unfit(template: &impl Template) -> Result<HttpResponse, Refusal> {
    Ok(show(StatusCode::UNPROCESSABLE_ENTITY, template))
}

/// Sends the browser on, with a GET.
pub(super) fn go(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// Where to go on: only within this console. Browsers read over tabs in an address and take a backslash for a slash.
pub(super) fn within(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") { next } else { "/" }
}

#[derive(Template)]
#[template(path = "refused.html", config = "src/server/console/askama.toml")]
struct Refused<'a> {
    frame: Frame,
    told: &'a str,
}

/// A refusal as a page.
pub(super) fn refused(problem: &Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (title, told) = in_words(problem);
    show(status, &Refused { frame: Frame::open(title), told: &told })
}

/// The API speaks of tokens to programs; a person has a role and eyes.
fn in_words(problem: &Problem) -> (&'static str, String) {
    let detail = problem.detail.as_str();
    match (problem.code, detail.strip_suffix(UNSEEN)) {
        (Code::Forbidden, _) => ("You may not do this", detail.to_owned()),
        (Code::NotFound, Some(missing)) => ("There is nothing here", format!("{missing}, or you may not see it.")),
        (Code::NotFound, None) => ("There is nothing here", detail.to_owned()),
        (code, _) => (code.title(), detail.to_owned()),
    }
}

/// `GET /live`: the API's stream, for the session's person.
pub(super) async fn live(person: Person) -> HttpResponse {
    let answer = person.api.raw(Method::GET, "/stream").await;
    let mut response = HttpResponse::build(answer.status);
    for (name, value) in &answer.headers {
        response.append_header((name.clone(), value.clone()));
    }
    response.body(answer.body)
}

/// What a person needs to be shown a button.
pub(super) fn may_configure(person: &Person) -> bool {
    person.may(Scope::Configure)
}
