//! What waits for a person: equal errors as one row, each with what to do; retried, skipped, or edited and retried.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    address::form,
    connections::{Connection, List},
    form::{Errors, Form},
    gate::{Person, Refusal, Signed},
    page::{self, Frame, Room},
    text::When,
    twins::Twin,
};
use crate::{
    clock::Time,
    domain::{
        error::ErrorRecord,
        ids::{ConnectionId, ErrorId, TwinId},
        token::Scope,
    },
    server::kit::Problem,
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/errors").route(get().to(page)))
        .service(form("/errors/many", "/errors").route(post().to(many)))
        .service(resource("/errors/{id}").route(get().to(one_page)))
        .service(form("/errors/{id}/act", "/errors/{id}").route(post().to(act)));
}

/// Which errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    connection: String,
    code: String,
    title: String,
    cursor: String,
    done: String,
}

/// Equal errors.
#[derive(Debug, Deserialize)]
pub(crate) struct Group {
    pub count: u64,
    pub connection_id: Option<ConnectionId>,
    pub code: String,
    pub title: String,
    pub newest: ErrorRecord,
}

#[derive(Template)]
#[template(path = "errors/groups.html", config = "src/server/console/askama.toml")]
pub(crate) struct GroupsPage {
    pub frame: Frame,
    pub groups: Vec<Group>,
    pub connections: Vec<Connection>,
    pub connection: String,
    /// What was done just now.
    pub done: Option<String>,
    pub errors: Errors,
    pub may_operate: bool,
}

#[derive(Template)]
#[template(path = "errors/alike.html", config = "src/server/console/askama.toml")]
pub(crate) struct AlikePage {
    pub frame: Frame,
    pub errors: Vec<ErrorRecord>,
    pub asked: Asked,
    pub next: Option<String>,
    pub may_operate: bool,
}

impl GroupsPage {
    pub(crate) fn name(&self, id: &Option<ConnectionId>) -> String {
        match id {
            None => "this node".to_owned(),
            Some(id) => self
                .connections
                .iter()
                .find(|one| one.id == *id)
                .map_or_else(|| "a connection".to_owned(), |one| one.name.clone()),
        }
    }

    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    /// Query of the list of all in a group.
    pub(crate) fn alike(&self, group: &Group) -> String {
        query(group.connection_id, &group.code, &group.title, "")
    }
}

impl AlikePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

fn query(connection: Option<ConnectionId>, code: &str, title: &str, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("connection", &connection.map(|id| id.to_string()).unwrap_or_default());
    query.append_pair("code", code).append_pair("title", title);
    if !cursor.is_empty() {
        query.append_pair("cursor", cursor);
    }
    query.finish()
}

/// `GET /errors`: all, grouped; or the ones that say the same.
async fn page(person: Person, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    let asked = asked.into_inner();
    if asked.code.is_empty() {
        return page::ok(&groups(&person, asked, Errors::default()).await?);
    }
    let mut api = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in
        [("connection_id", &asked.connection), ("code", &asked.code), ("title", &asked.title), ("cursor", &asked.cursor)]
    {
        if !value.is_empty() {
            api.append_pair(name, value);
        }
    }
    let list: List<ErrorRecord> = person.api.get(format!("/errors?{}", api.finish())).await?;
    let frame = Frame::of(&person, Room::Errors, asked.title.clone()).await?;
    let next = list.next.map(|cursor| query(asked.connection.parse().ok(), &asked.code, &asked.title, &cursor));
    page::ok(&AlikePage { frame, errors: list.items, next, asked, may_operate: person.may(Scope::Operate) })
}

async fn groups(person: &Person, asked: Asked, errors: Errors) -> Result<GroupsPage, Refusal> {
    let filter = if asked.connection.is_empty() { String::new() } else { query_of("connection_id", &asked.connection) };
    let groups: List<Group> = person.api.get(format!("/errors/groups{filter}")).await?;
    let connections: List<Connection> = person.api.get("/connections?limit=500").await?;
    let done = asked.done.parse::<u64>().ok().map(|done| match done {
        0 => "Nothing was done: what was meant has ended meanwhile.".to_owned(),
        1 => "1 error was worked on.".to_owned(),
        many => format!("{many} errors were worked on."),
    });
    Ok(GroupsPage {
        frame: Frame::of(person, Room::Errors, "Errors").await?,
        groups: groups.items,
        connections: connections.items,
        connection: asked.connection,
        done,
        errors,
        may_operate: person.may(Scope::Operate),
    })
}

fn query_of(name: &str, value: &str) -> String {
    format!("?{}", url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish())
}

/// What became of many.
#[derive(Debug, Deserialize)]
struct Done {
    done: u64,
    next: Option<String>,
}

/// So many calls for one press of a button: each ends after twenty seconds at the latest.
const MOST_CALLS: usize = 3;

/// `POST /errors/many`: all of a group, retried or skipped.
async fn many(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    let word = if form.has("skip") { "skip" } else { "retry" };
    let mut filter = serde_json::Map::new();
    for (name, field) in [("connection_id", "connection"), ("code", "code"), ("title", "title")] {
        if let Some(value) = form.typed(field) {
            filter.insert(name.to_owned(), Value::String(value));
        }
    }
    let (mut done, mut cursor) = (0, None);
    for _ in 0..MOST_CALLS {
        let body = json!({"filter": filter, "cursor": cursor});
        match person.api.post::<Done>(format!("/errors/{word}"), body).await {
            Ok(part) => {
                done += part.done;
                cursor = part.next;
            }
            Err(problem) => return page::again(&problem, &groups(&person, Asked::default(), Errors::of(&problem, &[])).await?),
        }
        if cursor.is_none() {
            break;
        }
    }
    Ok(page::go(&format!("/errors?done={done}")))
}

#[derive(Template)]
#[template(path = "errors/one.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub error: ErrorRecord,
    pub twin: Option<Twin>,
    /// What arrived, to be edited; empty where nothing arrived.
    pub replica: String,
    pub errors: Errors,
    pub may_operate: bool,
}

impl OnePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

async fn one_shown(person: &Person, id: ErrorId, typed: Option<&Form>, errors: Errors) -> Result<OnePage, Refusal> {
    let error: ErrorRecord = person.api.get(format!("/errors/{id}")).await?;
    let twin = match error.twin_id {
        Some(twin) => Some(twin_of(person, twin).await?),
        None => None,
    };
    let arrived = twin.as_ref().and_then(|twin| twin.remote_replica.as_ref());
    let replica =
        typed.map(|form| form.get("replica").to_owned()).or_else(|| arrived.and_then(|it| serde_json::to_string_pretty(it).ok()));
    let frame = Frame::of(person, Room::Errors, error.title.clone()).await?;
    Ok(OnePage { frame, error, twin, replica: replica.unwrap_or_default(), errors, may_operate: person.may(Scope::Operate) })
}

async fn twin_of(person: &Person, id: TwinId) -> Result<Twin, Problem> {
    person.api.get(format!("/twins/{id}")).await
}

/// `GET /errors/{id}`
async fn one_page(person: Person, id: web::Path<ErrorId>) -> Result<HttpResponse, Refusal> {
    page::ok(&one_shown(&person, *id, None, Errors::default()).await?)
}

/// `POST /errors/{id}/act`: retry, skip, or retry with another replica.
async fn act(Signed { person, form }: Signed, id: web::Path<ErrorId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Operate)?;
    let (word, body) = if form.has("skip") {
        ("skip", json!({}))
    } else if form.has("edit") {
        match serde_json::from_str::<Value>(form.get("replica")) {
            Ok(replica) => ("retry", json!({"replica": replica})),
            Err(error) => {
                let errors = Errors::one("replica", &format!("This is not JSON: {error}."));
                return page::unfit(&one_shown(&person, *id, Some(&form), errors).await?);
            }
        }
    } else {
        ("retry", json!({}))
    };
    match person.api.post::<ErrorRecord>(format!("/errors/{id}/{word}"), body).await {
        Ok(error) => Ok(page::go(&error.twin_id.map_or_else(|| "/errors?done=1".to_owned(), |twin| format!("/twins/{twin}")))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &one_shown(&person, *id, Some(&form), Errors::of(&problem, &["replica"])).await?)
        }
    }
}
