//! "Initiate connection": the destination, the type, the information, and the code for the partner.
//!
//! ```text
//!   destination ──next──▶ type ──next──▶ information ──next──▶ made: the code
//!        ◀──previous──────────◀─────previous──┘   (a refusal leads back to the step of its field)
//! ```
//!
//! Nothing is kept before the last step: what was typed travels with the form, so closing the wizard leaves nothing half
//! made, and Previous shows what was there. The last step carries a key, so that a reload makes no second connection.

use actix_web::{
    HttpResponse,
    http::header::{ContentDisposition, DispositionParam, DispositionType},
    web,
};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{List, Tracker};
use crate::{
    clock::Time,
    domain::{connection::Mode, ids::ConnectionId, token::Scope},
    link::Destination,
    server::{
        console::{
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::{State, Tone, When},
        },
        kit::{Code, Node, Problem},
    },
};

/// Where a person is in the wizard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Destination,
    Type,
    Information,
}

impl Step {
    fn of(word: &str) -> Self {
        match word {
            "type" => Self::Type,
            "information" => Self::Information,
            _ => Self::Destination,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Type => "type",
            Self::Information => "information",
        }
    }
}

/// What was typed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    pub url: String,
    /// "I don't have a URL".
    pub no_url: bool,
    pub script: bool,
    pub tracker: String,
    pub local: String,
    pub remote: String,
    pub name: String,
    pub description: String,
    pub confirm: bool,
    /// Names the last step's request, so that a repeat makes nothing.
    pub key: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        Self {
            url: form.get("destination_url").trim().to_owned(),
            no_url: form.has("no_url"),
            script: form.get("mode") != "basic",
            tracker: form.get("tracker").to_owned(),
            local: form.get("local_short_name").to_owned(),
            remote: form.get("remote_short_name").to_owned(),
            name: form.get("name").to_owned(),
            description: form.get("description").to_owned(),
            confirm: form.has("confirm"),
            key: form.get("_key").to_owned(),
        }
    }

    pub(crate) const fn mode_word(&self) -> &'static str {
        if self.script { "script" } else { "basic" }
    }

    const fn mode(&self) -> Mode {
        if self.script { Mode::Script } else { Mode::Basic }
    }
}

#[derive(Template)]
#[template(path = "connections/new.html", config = "src/server/console/askama.toml")]
pub(crate) struct NewPage {
    pub frame: Frame,
    pub step: Step,
    pub typed: Typed,
    pub errors: Errors,
    pub trackers: Vec<Tracker>,
    /// What the destination answered.
    pub found: Option<State>,
}

/// The fields of each step, as the API names them.
const DESTINATION: [&str; 1] = ["destination_url"];
const TYPE: [&str; 1] = ["mode"];
const INFORMATION: [&str; 5] = ["tracker", "local_short_name", "remote_short_name", "name", "description"];

async fn shown(person: &Person, step: Step, typed: Typed, errors: Errors) -> Result<NewPage, Refusal> {
    let trackers: List<Tracker> = person.api.get("/trackers").await?;
    let frame = Frame::of(person, Room::Connections, "Initiate connection").await?;
    Ok(NewPage { frame, step, typed, errors, trackers: trackers.items, found: None })
}

/// `GET /connections/new`
pub(super) async fn page(node: web::Data<Node>, person: Person) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    let typed = Typed { script: true, key: node.clock.id().to_string(), ..Typed::default() };
    page::ok(&shown(&person, Step::Destination, typed, Errors::default()).await?)
}

/// `POST /connections/new`
pub(super) async fn step(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    let (at, typed) = (Step::of(form.get("step")), Typed::of(&form));
    if form.has("previous") {
        let before = if at == Step::Information { Step::Type } else { Step::Destination };
        return page::ok(&shown(&person, before, typed, Errors::default()).await?);
    }
    match at {
        Step::Destination => destination(&person, typed, form.has("private")).await,
        Step::Type => page::ok(&shown(&person, Step::Information, typed, Errors::default()).await?),
        Step::Information => make(&person, typed).await,
    }
}

async fn destination(person: &Person, mut typed: Typed, private: bool) -> Result<HttpResponse, Refusal> {
    typed.no_url = private;
    if private {
        return page::ok(&shown(person, Step::Type, typed, Errors::default()).await?);
    }
    if typed.url.is_empty() {
        let message = "Enter the address of your partner's node, or choose “I don't have a URL”.";
        return page::unfit(&shown(person, Step::Destination, typed, Errors::one("destination_url", message)).await?);
    }
    match ask(person, &typed.url).await {
        Ok(found) => {
            let found = told(&found);
            if found.tone != Tone::Good {
                let errors = Errors::one("destination_url", &found.word);
                return page::unfit(&shown(person, Step::Destination, typed, errors).await?);
            }
            let page = shown(person, Step::Type, typed, Errors::default()).await?;
            page::ok(&NewPage { found: Some(found), ..page })
        }
        Err(problem) => {
            let problem = page::closed(problem)?;
            let problem = Problem { errors: Vec::new(), detail: told_problem(&problem), ..problem }.at("destination_url");
            page::again(&problem, &shown(person, Step::Destination, typed, Errors::of(&problem, &DESTINATION)).await?)
        }
    }
}

async fn ask(person: &Person, url: &str) -> Result<Destination, Problem> {
    person.api.post("/destinations/check", json!({"url": url})).await
}

/// The check's word in a sentence.
fn told(found: &Destination) -> State {
    match (&found.version, found.is_node) {
        (Some(version), true) => State::new(Tone::Good, format!("A Wicketgate node, version {version}")),
        (None, true) => State::new(Tone::Good, "A Wicketgate node"),
        _ => State::new(
            Tone::Bad,
            "No Wicketgate node answers there. Look for a slip in the address, or choose “I don't have a URL”.",
        ),
    }
}

fn told_problem(problem: &Problem) -> String {
    problem.errors.first().map_or_else(|| problem.detail.clone(), |error| format!("The address {}.", error.message))
}

#[derive(Template)]
#[template(path = "connections/found.html", config = "src/server/console/askama.toml")]
struct Found {
    found: State,
}

/// `POST /connections/new/check`: the live check beside the field, as a fragment.
pub(super) async fn check(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    let found = match ask(&person, form.get("destination_url").trim()).await {
        Ok(found) => told(&found),
        Err(problem) => State::new(Tone::Bad, told_problem(&problem)),
    };
    page::ok(&Found { found })
}

/// What making a connection answers.
#[derive(Debug, Deserialize)]
struct Made {
    id: ConnectionId,
    name: String,
    invitation: Invitation,
}

/// A code for the partner.
#[derive(Debug, Deserialize)]
pub(crate) struct Invitation {
    pub code: String,
    pub expires_at: Time,
}

#[derive(Template)]
#[template(path = "connections/invitation.html", config = "src/server/console/askama.toml")]
pub(crate) struct InvitationPage {
    pub frame: Frame,
    pub id: ConnectionId,
    pub name: String,
    pub invitation: Invitation,
    /// It has nothing that starts a sync.
    pub no_trigger: bool,
    /// It replaces the other end of a connection that was accepted.
    pub rekeys: bool,
}

impl InvitationPage {
    pub(crate) fn until(&self) -> When {
        When(self.invitation.expires_at)
    }
}

async fn make(person: &Person, typed: Typed) -> Result<HttpResponse, Refusal> {
    let some = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
    let body = json!({
        "tracker": typed.tracker,
        "destination_url": if typed.no_url { None } else { some(&typed.url) },
        "mode": typed.mode(),
        "local_short_name": typed.local.trim(),
        "remote_short_name": typed.remote.trim(),
        "name": some(&typed.name),
        "description": typed.description,
        "confirm": typed.confirm,
    });
    let made: Result<Made, Problem> = person.api.post_once("/connections", body, &typed.key).await;
    match made {
        Ok(Made { id, name, invitation }) => {
            let frame = Frame::of(person, Room::Connections, "Invitation").await?;
            page::ok(&InvitationPage { frame, id, name, invitation, no_trigger: true, rekeys: false })
        }
        // The page was loaded again: the connection is there, and its code was shown.
        Err(problem) if problem.code == Code::IdempotencySecret => Ok(page::go("/connections")),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let errors = Errors::of(&problem, &[&DESTINATION[..], &TYPE, &INFORMATION].concat());
            let step = if errors.any(&DESTINATION) {
                Step::Destination
            } else if errors.any(&TYPE) {
                Step::Type
            } else {
                Step::Information
            };
            page::again(&problem, &shown(person, step, typed, errors).await?)
        }
    }
}

/// `POST /invitation-file`: the code as a file, for those who cannot copy.
pub(super) async fn file(Signed { form, .. }: Signed) -> Result<HttpResponse, Refusal> {
    let name: String = form.get("name").chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(format!("{name}.invitation"))],
    };
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(disposition)
        .body(format!("{}\n", form.get("code").trim())))
}
