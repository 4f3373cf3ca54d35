//! What waits for a person: equal errors as one row, each with what to do; retried, skipped, or edited and retried.

use std::collections::BTreeMap;

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
    text::{When, number},
    twins::Twin,
};
use crate::{
    clock::Time,
    domain::{
        error::ErrorRecord,
        ids::{ConnectionId, ErrorId, TwinId},
        token::Scope,
    },
    server::kit::{FieldError, Problem},
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
    /// Where no connection is meant: whose, and what is held up.
    tracker: String,
    scope: String,
    code: String,
    title: String,
    cursor: String,
    done: String,
    failed: String,
    more: String,
}

impl Asked {
    /// The API's filter for the errors that say the same. Without a connection those of connections are never meant: a
    /// tracker's or the node's are.
    fn filter(&self) -> Vec<(&'static str, &str)> {
        let scope = match (self.connection.as_str(), self.scope.as_str(), self.tracker.as_str()) {
            ("", "", "") => "node",
            ("", "", _) => "tracker",
            (_, scope, _) => scope,
        };
        let all = [
            ("connection_id", self.connection.as_str()),
            ("tracker", &self.tracker),
            ("scope", scope),
            ("code", &self.code),
            ("title", &self.title),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The console's own query for the same, from `cursor` on.
    fn query(&self, cursor: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.fields());
        if !cursor.is_empty() {
            query.append_pair("cursor", cursor);
        }
        query.finish()
    }

    /// What forms and links carry of it.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("connection", &self.connection),
            ("tracker", &self.tracker),
            ("scope", &self.scope),
            ("code", &self.code),
            ("title", &self.title),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())).collect()
    }

    /// What became of many.
    fn done(&self) -> Option<String> {
        let done = self.done.parse::<u64>().ok()?;
        let failed = self.failed.parse::<u64>().unwrap_or_default();
        let mut told = match (done, failed) {
            (0, 0) => "Nothing was done: what was meant has ended meanwhile.".to_owned(),
            (0, _) => "Nothing was done.".to_owned(),
            (1, _) => "1 error was worked on.".to_owned(),
            (many, _) => format!("{} errors were worked on.", number(many)),
        };
        match failed {
            0 => {}
            1 => told.push_str(" 1 could not be and stays open; its own page says why when you try there."),
            many => told
                .push_str(&format!(" {} could not be and stay open; each one's page says why when you try there.", number(many))),
        }
        if !self.more.is_empty() {
            told.push_str(" There are more than one press of the button takes: press it again for the rest.");
        }
        Some(told)
    }
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

/// So many groups come in one answer of the API.
const MOST_GROUPS: usize = 200;

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

    /// The API tells no more groups than these, so there may be others.
    pub(crate) fn is_full(&self) -> bool {
        self.groups.len() >= MOST_GROUPS
    }

    /// Whose these are.
    pub(crate) fn owner(&self, group: &Group) -> String {
        group.newest.tracker.clone().unwrap_or_else(|| self.name(&group.connection_id))
    }

    /// Query of the list of all in a group.
    pub(crate) fn alike(&self, group: &Group) -> String {
        group.asked().query("")
    }
}

impl Group {
    /// What finds them again, and no others.
    pub(crate) fn asked(&self) -> Asked {
        let error = &self.newest;
        // A connection's are told by it; what is held up tells a tracker's from the node's.
        let scope = if error.connection_id.is_some() { String::new() } else { error.scope.as_str().to_owned() };
        Asked {
            connection: self.connection_id.map(|id| id.to_string()).unwrap_or_default(),
            tracker: error.tracker.clone().unwrap_or_default(),
            scope,
            code: self.code.clone(),
            title: self.title.clone(),
            ..Asked::default()
        }
    }
}

impl AlikePage {
    pub(crate) fn can_retry(&self) -> bool {
        self.errors.iter().any(ErrorRecord::has_something_to_try)
    }

    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

/// `GET /errors`: all, grouped; or the ones that say the same.
async fn page(person: Person, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    let asked = asked.into_inner();
    if asked.code.is_empty() {
        return page::ok(&groups(&person, asked, Errors::default()).await?);
    }
    let mut api = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked.filter() {
        api.append_pair(name, value);
    }
    if !asked.cursor.is_empty() {
        api.append_pair("cursor", &asked.cursor);
    }
    let list: List<ErrorRecord> = person.api.get(format!("/errors?{}", api.finish())).await?;
    let frame = Frame::of(&person, Room::Errors, asked.title.clone()).await?;
    let next = list.next.map(|cursor| asked.query(&cursor));
    page::ok(&AlikePage { frame, errors: list.items, next, asked, may_operate: person.may(Scope::Operate) })
}

async fn groups(person: &Person, asked: Asked, errors: Errors) -> Result<GroupsPage, Refusal> {
    let filter = if asked.connection.is_empty() { String::new() } else { query_of("connection_id", &asked.connection) };
    let groups: List<Group> = person.api.get(format!("/errors/groups{filter}")).await?;
    let connections: List<Connection> = person.api.get("/connections?limit=500").await?;
    Ok(GroupsPage {
        frame: Frame::of(person, Room::Errors, "Errors").await?,
        groups: groups.items,
        connections: connections.items,
        done: asked.done(),
        connection: asked.connection,
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
    failed: Vec<FieldError>,
    next: Option<String>,
}

/// So many calls for one press of a button: each ends after twenty seconds at the latest.
const MOST_CALLS: usize = 3;

/// `POST /errors/many`: all of a group, retried or skipped.
async fn many(Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    let word = if form.has("skip") { "skip" } else { "retry" };
    let text = |name: &str| form.typed(name).unwrap_or_default();
    let asked = Asked {
        connection: text("connection"),
        tracker: text("tracker"),
        scope: text("scope"),
        code: text("code"),
        title: text("title"),
        ..Asked::default()
    };
    let filter: BTreeMap<&str, &str> = asked.filter().into_iter().collect();
    let (mut done, mut failed, mut cursor) = (0, 0, None);
    for _ in 0..MOST_CALLS {
        let body = json!({"filter": filter, "cursor": cursor});
        match person.api.post::<Done>(format!("/errors/{word}"), body).await {
            Ok(part) => {
                done += part.done;
                failed += part.failed.len();
                cursor = part.next;
            }
            Err(problem) => return page::again(&problem, &groups(&person, Asked::default(), Errors::of(&problem, &[])).await?),
        }
        if cursor.is_none() {
            break;
        }
    }
    let failed = if failed == 0 { String::new() } else { format!("&failed={failed}") };
    let more = if cursor.is_some() { "&more=1" } else { "" };
    Ok(page::go(&format!("/errors?done={done}{failed}{more}")))
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
    /// What failed on the way out: nothing arrived that could be edited.
    pub(crate) fn is_outgoing(&self) -> bool {
        self.error.title.contains("outgoing rule")
    }

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
