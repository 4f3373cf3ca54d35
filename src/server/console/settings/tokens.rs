//! Tokens of programs: made, shown once, deleted.

use std::time::Duration;

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{ROLES, Role, Tab, is_role, word};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, TokenId},
        token::Scope,
    },
    server::{
        console::{
            connections::{Connection, List},
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room, Way},
            text::{State, Tone, When},
        },
        kit::{Code, Node, Problem},
    },
};

/// A token, without its secret.
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub connections: Option<Vec<ConnectionId>>,
    pub expires_at: Option<Time>,
}

impl Token {
    pub(crate) fn scopes(&self) -> String {
        self.scopes.iter().map(|scope| word(*scope)).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn state(&self, now: &Time) -> State {
        match self.expires_at {
            Some(at) if at <= *now => State::new(Tone::Bad, "Expired"),
            _ => State::new(Tone::Good, "Good"),
        }
    }
}

/// How long a token may be good, in days.
const TERMS: [(&str, &str); 5] =
    [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("never", "Until it is deleted")];

/// What was typed.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub name: String,
    pub scope: String,
    /// Bound to the connections that are ticked.
    pub bound: bool,
    pub ticked: Vec<String>,
    pub days: String,
    /// When the form was made: its term counts from here, so that a form that is sent again asks for the same.
    pub from: Time,
    /// Names the request, so that a repeat makes nothing.
    pub key: String,
}

impl Typed {
    fn new(node: &Node) -> Self {
        Self {
            name: String::new(),
            scope: "read".to_owned(),
            bound: false,
            ticked: Vec::new(),
            days: "90".to_owned(),
            from: node.now(),
            key: node.clock.id().to_string(),
        }
    }

    fn of(form: &Form, now: Time) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        Self {
            name: text("name"),
            scope: text("scopes"),
            bound: form.get("reach") == "some",
            ticked: form.all("connections").map(str::to_owned).collect(),
            days: text("days"),
            from: form.get("from").parse().unwrap_or(now),
            key: text("key"),
        }
    }

    pub(crate) fn ticks(&self, id: &ConnectionId) -> bool {
        self.ticked.iter().any(|one| *one == id.to_string())
    }

    /// The moment at which it ends, or what is wrong with it.
    fn ends(&self) -> Result<Option<Time>, Errors> {
        if self.days == "never" {
            return Ok(None);
        }
        match self.days.parse::<u64>() {
            Ok(days) if TERMS.iter().any(|(known, _)| *known == self.days) => {
                Ok(Some(self.from.plus(Duration::from_secs(days * 24 * 3600))))
            }
            _ => Err(Errors::one("days", "Choose one of the terms.")),
        }
    }
}

const FIELDS: [&str; 4] = ["name", "scopes", "connections", "days"];

#[derive(Template)]
#[template(path = "settings/tokens.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub tabs: Vec<Way>,
    pub tokens: Vec<Token>,
    pub connections: Vec<Connection>,
    pub scopes: [Role; 4],
    pub terms: [(&'static str, &'static str); 5],
    pub now: Time,
    pub typed: Typed,
    pub errors: Errors,
}

impl ListPage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    /// The names of those that a token is bound to; one may have been deleted since.
    pub(crate) fn names(&self, ids: &[ConnectionId]) -> String {
        let name = |id: &ConnectionId| {
            let known = self.connections.iter().find(|one| one.id == *id);
            known.map_or_else(|| "one that is deleted".to_owned(), |one| one.name.clone())
        };
        ids.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

async fn shown(person: &Person, now: Time, typed: Typed, errors: Errors) -> Result<ListPage, Refusal> {
    let tokens: List<Token> = person.api.get("/tokens").await?;
    let connections: List<Connection> = person.api.get("/connections?limit=500").await?;
    Ok(ListPage {
        frame: Frame::of(person, Room::Settings, "Tokens").await?,
        tabs: Tab::Tokens.ways(person),
        tokens: tokens.items,
        connections: connections.items,
        scopes: ROLES,
        terms: TERMS,
        now,
        typed,
        errors,
    })
}

/// `GET /settings/tokens`
pub(super) async fn list(node: web::Data<Node>, person: Person) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, node.now(), Typed::new(&node), Errors::default()).await?)
}

/// A token that was just made.
#[derive(Debug, Deserialize)]
struct Made {
    name: String,
    secret: String,
}

#[derive(Template)]
#[template(path = "settings/token_made.html", config = "src/server/console/askama.toml")]
pub(crate) struct MadePage {
    pub frame: Frame,
    pub name: String,
    pub secret: String,
    /// The API's address, for a first try.
    pub api: String,
}

/// `POST /settings/tokens`: the secret is on this page alone.
pub(super) async fn create(node: web::Data<Node>, Signed { person, form }: Signed) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Admin)?;
    let (now, typed) = (node.now(), Typed::of(&form, node.now()));
    let ends = match typed.ends() {
        Ok(ends) => ends,
        Err(errors) => return page::unfit(&shown(&person, now, typed, errors).await?),
    };
    if !is_role(&typed.scope) {
        return page::unfit(&shown(&person, now, typed, Errors::one("scopes", "Choose one of the scopes.")).await?);
    }
    if !typed.bound && !typed.ticked.is_empty() {
        // Taken as it stands, it would open more than was meant.
        let errors = Errors::one("connections", "Connections are ticked, but the token is for all: choose one of the two.");
        return page::unfit(&shown(&person, now, typed, errors).await?);
    }
    let body = json!({
        "name": typed.name,
        "scopes": [typed.scope],
        "connections": typed.bound.then_some(&typed.ticked),
        "expires_at": ends,
    });
    match person.api.post_once::<Made>("/tokens", body, &typed.key).await {
        Ok(Made { name, secret }) => {
            let frame = Frame::of(&person, Room::Settings, "New token").await?;
            page::ok(&MadePage { frame, name, secret, api: node.address("/api/v1") })
        }
        // The page was loaded again: the token is there, and its secret was shown.
        Err(problem) if problem.code == Code::IdempotencySecret => Ok(page::go("/settings/tokens")),
        Err(problem) => {
            let problem = page::closed(problem)?;
            // A key stands for one body, and the next will be another.
            let Typed { from, key, .. } = Typed::new(&node);
            let typed = Typed { from, key, ..typed };
            page::again(&problem, &shown(&person, now, typed, at_field(problem.clone())).await?)
        }
    }
}

/// What concerns the moment is said at the term.
fn at_field(mut problem: Problem) -> Errors {
    for error in &mut problem.errors {
        if error.field == "expires_at" {
            "days".clone_into(&mut error.field);
        }
    }
    Errors::of(&problem, &FIELDS)
}

#[derive(Template)]
#[template(path = "settings/token_delete.html", config = "src/server/console/askama.toml")]
pub(crate) struct DeletePage {
    pub frame: Frame,
    pub token: Token,
    pub errors: Errors,
}

async fn delete_shown(person: &Person, id: TokenId, errors: Errors) -> Result<DeletePage, Refusal> {
    let tokens: List<Token> = person.api.get("/tokens").await?;
    let token = tokens.items.into_iter().find(|token| token.id == id).ok_or_else(|| Problem::not_found("token"))?;
    let frame = Frame::of(person, Room::Settings, format!("Delete {}", token.name)).await?;
    Ok(DeletePage { frame, token, errors })
}

/// `GET /settings/tokens/{token}/delete`: what will happen.
pub(super) async fn delete_page(person: Person, id: web::Path<TokenId>) -> Result<HttpResponse, Refusal> {
    page::ok(&delete_shown(&person, *id, Errors::default()).await?)
}

/// `POST /settings/tokens/{token}/delete`
pub(super) async fn delete(Signed { person, .. }: Signed, id: web::Path<TokenId>) -> Result<HttpResponse, Refusal> {
    match person.api.send(Method::DELETE, format!("/tokens/{id}"), None).await {
        Ok(()) => Ok(page::go("/settings/tokens")),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &delete_shown(&person, *id, Errors::of(&problem, &[])).await?)
        }
    }
}
