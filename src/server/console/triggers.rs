//! Triggers: what starts a sync, how much it matches, and running one over all that match.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{
    address::form,
    connections::{Connection, List},
    form::{Errors, Form},
    gate::{Person, Refusal, Signed},
    jobs::Job,
    page::{self, Frame, Room},
    text::{State, Tone, number},
};
use crate::{
    domain::{
        ids::{ConnectionId, TriggerId},
        token::Scope,
    },
    server::kit::Problem,
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/triggers").route(get().to(all_page)))
        .service(resource("/connections/{id}/triggers").route(get().to(page)).route(post().to(create)))
        .service(form("/connections/{id}/triggers/count", "/connections/{id}/triggers").route(post().to(count)))
        .service(resource("/connections/{id}/triggers/{trigger}").route(get().to(one_page)).route(post().to(change)))
        .service(form("/connections/{id}/triggers/{trigger}/run", "/connections/{id}/triggers/{trigger}").route(post().to(run)))
        .service(
            form("/connections/{id}/triggers/{trigger}/delete", "/connections/{id}/triggers/{trigger}").route(post().to(delete)),
        );
}

/// A trigger.
#[derive(Debug, Deserialize)]
pub(crate) struct Trigger {
    pub id: TriggerId,
    pub entity_type: String,
    pub filter: String,
    pub enabled: bool,
    pub notes: String,
}

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    pub entity_type: String,
    pub filter: String,
    pub notes: String,
    pub enabled: bool,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        Self { entity_type: text("entity_type"), filter: text("filter"), notes: text("notes"), enabled: form.has("enabled") }
    }

    fn body(&self) -> serde_json::Value {
        json!({"entity_type": self.entity_type, "filter": self.filter, "notes": self.notes, "enabled": self.enabled})
    }
}

const FIELDS: [&str; 3] = ["entity_type", "filter", "notes"];

/// A connection with its triggers.
#[derive(Debug)]
pub(crate) struct Of {
    pub connection: Connection,
    pub triggers: Vec<Trigger>,
}

#[derive(Template)]
#[template(path = "triggers/all.html", config = "src/server/console/askama.toml")]
pub(crate) struct AllPage {
    pub frame: Frame,
    pub connections: Vec<Of>,
}

/// `GET /triggers`: those of all connections.
async fn all_page(person: Person) -> Result<HttpResponse, Refusal> {
    let frame = Frame::of(&person, Room::Triggers, "Triggers").await?;
    let list: List<Connection> = person.api.get("/connections?limit=500").await?;
    let mut connections = Vec::new();
    for connection in list.items {
        let triggers = of_connection(&person, connection.id).await?;
        connections.push(Of { connection, triggers });
    }
    page::ok(&AllPage { frame, connections })
}

async fn of_connection(person: &Person, id: ConnectionId) -> Result<Vec<Trigger>, Problem> {
    Ok(person.api.get::<List<Trigger>>(format!("/connections/{id}/triggers")).await?.items)
}

#[derive(Template)]
#[template(path = "triggers/list.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub connection: Connection,
    pub triggers: Vec<Trigger>,
    /// The newest first.
    pub jobs: Vec<Job>,
    pub types: Vec<String>,
    pub typed: Typed,
    pub errors: Errors,
    pub may_operate: bool,
    pub may_configure: bool,
}

#[derive(Deserialize)]
struct TypeName {
    name: String,
}

async fn shown(person: &Person, id: ConnectionId, typed: Typed, errors: Errors) -> Result<ListPage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let jobs: List<Job> = person.api.get(format!("/jobs?connection_id={id}&limit=10")).await?;
    Ok(ListPage {
        frame: Frame::of(person, Room::Triggers, format!("Triggers of {}", connection.name)).await?,
        triggers: of_connection(person, id).await?,
        types: types(person, &connection.tracker).await,
        connection,
        jobs: jobs.items.into_iter().filter(|job| job.kind == "trigger_run").collect(),
        typed,
        errors,
        may_operate: person.may(Scope::Operate),
        may_configure: person.may(Scope::Configure),
    })
}

/// Names to choose from; none where the tracker does not answer now.
async fn types(person: &Person, tracker: &str) -> Vec<String> {
    let list: Result<List<TypeName>, Problem> = person.api.get(format!("/trackers/{tracker}/types")).await;
    list.map(|list| list.items.into_iter().map(|one| one.name).collect()).unwrap_or_default()
}

/// `GET /connections/{id}/triggers`
async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let typed = Typed { enabled: true, ..Typed::default() };
    page::ok(&shown(&person, *id, typed, Errors::default()).await?)
}

/// `POST /connections/{id}/triggers`
async fn create(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let typed = Typed::of(&form);
    match person.api.post::<Trigger>(format!("/connections/{id}/triggers"), typed.body()).await {
        Ok(_) => Ok(page::go(&format!("/connections/{id}/triggers"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(&person, *id, typed, at_filter(&problem)).await?)
        }
    }
}

/// What the tracker says of a filter is said at the filter.
fn at_filter(problem: &Problem) -> Errors {
    let errors = Errors::of(problem, &FIELDS);
    match (&errors.whole, problem.errors.is_empty() && problem.code == crate::server::kit::Code::TrackerRefused) {
        (Some(text), true) => Errors::one("filter", text),
        _ => errors,
    }
}

#[derive(Deserialize)]
struct Counted {
    matching: u64,
    already_synced: u64,
}

#[derive(Template)]
#[template(path = "connections/found.html", config = "src/server/console/askama.toml")]
struct Told {
    found: State,
}

/// `POST /connections/{id}/triggers/count`: how much would match, as a fragment beside the filter.
async fn count(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    let body = json!({"entity_type": form.get("entity_type"), "filter": form.get("filter")});
    let found = match person.api.post::<Counted>(format!("/connections/{id}/triggers/count"), body).await {
        Ok(Counted { matching, already_synced }) => {
            State::new(Tone::Good, format!("{} match, {} of them under sync already", number(matching), number(already_synced)))
        }
        Err(problem) => State::new(Tone::Bad, problem.detail),
    };
    page::ok(&Told { found })
}

#[derive(Template)]
#[template(path = "triggers/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub connection: Connection,
    pub trigger: Trigger,
    pub typed: Typed,
    pub errors: Errors,
    pub may_operate: bool,
    pub may_configure: bool,
}

async fn one_shown(
    person: &Person,
    (id, trigger): (ConnectionId, TriggerId),
    typed: Option<Typed>,
    errors: Errors,
) -> Result<OnePage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let trigger: Trigger = person.api.get(format!("/connections/{id}/triggers/{trigger}")).await?;
    let known = || Typed {
        entity_type: trigger.entity_type.clone(),
        filter: trigger.filter.clone(),
        notes: trigger.notes.clone(),
        enabled: trigger.enabled,
    };
    Ok(OnePage {
        frame: Frame::of(person, Room::Triggers, format!("Trigger of {}", connection.name)).await?,
        typed: typed.unwrap_or_else(known),
        connection,
        trigger,
        errors,
        may_operate: person.may(Scope::Operate),
        may_configure: person.may(Scope::Configure),
    })
}

/// `GET /connections/{id}/triggers/{trigger}`
async fn one_page(person: Person, ids: web::Path<(ConnectionId, TriggerId)>) -> Result<HttpResponse, Refusal> {
    page::ok(&one_shown(&person, ids.into_inner(), None, Errors::default()).await?)
}

/// `POST /connections/{id}/triggers/{trigger}`
async fn change(Signed { person, form }: Signed, ids: web::Path<(ConnectionId, TriggerId)>) -> Result<HttpResponse, Refusal> {
    let (id, trigger) = ids.into_inner();
    let typed = Typed::of(&form);
    match person.api.send(Method::PATCH, format!("/connections/{id}/triggers/{trigger}"), Some(typed.body())).await {
        Ok(()) => Ok(page::go(&format!("/connections/{id}/triggers"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &one_shown(&person, (id, trigger), Some(typed), at_filter(&problem)).await?)
        }
    }
}

/// `POST /connections/{id}/triggers/{trigger}/run`
async fn run(Signed { person, .. }: Signed, ids: web::Path<(ConnectionId, TriggerId)>) -> Result<HttpResponse, Refusal> {
    let (id, trigger) = ids.into_inner();
    match person.api.post::<Job>(format!("/connections/{id}/triggers/{trigger}/run"), json!({})).await {
        Ok(job) => Ok(page::go(&format!("/jobs/{}", job.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &one_shown(&person, (id, trigger), None, at_filter(&problem)).await?)
        }
    }
}

/// `POST /connections/{id}/triggers/{trigger}/delete`
async fn delete(Signed { person, .. }: Signed, ids: web::Path<(ConnectionId, TriggerId)>) -> Result<HttpResponse, Refusal> {
    let (id, trigger) = ids.into_inner();
    person.api.send(Method::DELETE, format!("/connections/{id}/triggers/{trigger}"), None).await?;
    Ok(page::go(&format!("/connections/{id}/triggers")))
}
