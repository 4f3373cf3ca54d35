//! Accounts: made, renamed, given another role or password, signed out, deleted.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::{Done, NOT_TWICE, ROLES, Role, Session, Tab, is_role, path_part, typed_twice, word};
use crate::{
    clock::Time,
    domain::{ids::UserId, token::Scope},
    server::{
        console::{
            connections::List,
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room, Way},
            text::When,
        },
        kit::Problem,
    },
};

/// An account.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub id: UserId,
    pub name: String,
    pub role: Scope,
    pub created_at: Time,
    pub last_sign_in_at: Option<Time>,
}

impl User {
    pub(crate) fn role(&self) -> &'static str {
        word(self.role)
    }
}

/// What was typed; a password is not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    pub name: String,
    pub role: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        Self { name: form.get("name").to_owned(), role: form.get("role").to_owned() }
    }
}

const NO_ROLE: &str = "Choose one of the roles.";
const FIELDS: [&str; 3] = ["name", "role", "password"];

#[derive(Template)]
#[template(path = "settings/users.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub tabs: Vec<Way>,
    pub users: Vec<User>,
    pub next: Option<String>,
    pub own: UserId,
    pub roles: [Role; 4],
    pub typed: Typed,
    pub errors: Errors,
}

impl ListPage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

async fn listed(person: &Person, cursor: &str, typed: Typed, errors: Errors) -> Result<ListPage, Refusal> {
    let after = if cursor.is_empty() { String::new() } else { format!("&cursor={}", path_part(cursor)) };
    let users: List<User> = person.api.get(format!("/users?limit=100{after}")).await?;
    Ok(ListPage {
        frame: Frame::of(person, Room::Settings, "Accounts").await?,
        tabs: Tab::Users.ways(person),
        users: users.items,
        next: users.next.map(|next| path_part(&next)),
        own: person.user.id,
        roles: ROLES,
        typed,
        errors,
    })
}

/// `GET /settings/users`
pub(super) async fn list(person: Person, asked: web::Query<Done>) -> Result<HttpResponse, Refusal> {
    let typed = Typed { role: "read".to_owned(), ..Typed::default() };
    page::ok(&listed(&person, &asked.cursor, typed, Errors::default()).await?)
}

/// `POST /settings/users`
pub(super) async fn create(signed: Signed) -> Result<HttpResponse, Refusal> {
    let Signed { person, form } = &signed;
    person.require(Scope::Admin)?;
    let typed = Typed::of(form);
    if !typed_twice(&signed) {
        return page::unfit(&listed(person, "", typed, Errors::one("again", NOT_TWICE)).await?);
    }
    if !is_role(&typed.role) {
        return page::unfit(&listed(person, "", typed, Errors::one("role", NO_ROLE)).await?);
    }
    let body = json!({"name": typed.name, "role": typed.role, "password": form.get("password")});
    match person.api.post::<User>("/users", body).await {
        Ok(user) => Ok(page::go(&format!("/settings/users/{}", user.id))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &listed(person, "", typed, Errors::of(&problem, &FIELDS)).await?)
        }
    }
}

#[derive(Template)]
#[template(path = "settings/user.html", config = "src/server/console/askama.toml")]
pub(crate) struct OnePage {
    pub frame: Frame,
    pub tabs: Vec<Way>,
    pub user: User,
    /// Whoever looks looks at the own account.
    pub is_own: bool,
    pub sessions: Vec<Session>,
    /// Forms about sessions begin with this address.
    pub base: String,
    pub roles: [Role; 4],
    pub typed: Typed,
    pub done: Option<&'static str>,
    pub errors: Errors,
}

impl OnePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    /// There is a session to be ended here.
    pub(crate) fn elsewhere(&self) -> bool {
        self.sessions.iter().any(|session| !session.own)
    }
}

async fn shown(person: &Person, id: UserId, typed: Option<Typed>, errors: Errors) -> Result<OnePage, Refusal> {
    // Before the API is asked: everybody may see the own account there, but this page changes accounts.
    person.require(Scope::Admin)?;
    let user: User = person.api.get(format!("/users/{id}")).await?;
    let sessions: List<Session> = person.api.get(format!("/users/{id}/sessions")).await?;
    Ok(OnePage {
        frame: Frame::of(person, Room::Settings, user.name.clone()).await?,
        tabs: Tab::Users.ways(person),
        typed: typed.unwrap_or_else(|| Typed { name: user.name.clone(), role: user.role().to_owned() }),
        user,
        is_own: person.user.id == id,
        sessions: sessions.items,
        base: format!("/settings/users/{id}"),
        roles: ROLES,
        done: None,
        errors,
    })
}

/// `GET /settings/users/{user}`
pub(super) async fn page(person: Person, id: web::Path<UserId>, asked: web::Query<Done>) -> Result<HttpResponse, Refusal> {
    let page = shown(&person, *id, None, Errors::default()).await?;
    page::ok(&OnePage { done: asked.sentence(), ..page })
}

async fn back(person: &Person, id: UserId, typed: Option<Typed>, done: Result<&str, Problem>) -> Result<HttpResponse, Refusal> {
    match done {
        Ok(word) => Ok(page::go(&format!("/settings/users/{id}?done={word}"))),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &shown(person, id, typed, Errors::of(&problem, &FIELDS)).await?)
        }
    }
}

/// `POST /settings/users/{user}`
pub(super) async fn change(Signed { person, form }: Signed, id: web::Path<UserId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Admin)?;
    let typed = Typed::of(&form);
    if !is_role(&typed.role) {
        return page::unfit(&shown(&person, *id, Some(typed), Errors::one("role", NO_ROLE)).await?);
    }
    let body = json!({"name": typed.name, "role": typed.role});
    let changed: Result<User, Problem> = person.api.json(Method::PATCH, format!("/users/{id}"), Some(body)).await;
    match changed {
        // Whoever gives up the role may not see this page any more.
        Ok(user) if user.id == person.user.id && user.role != Scope::Admin => Ok(page::go("/settings?done=saved")),
        Ok(_) => back(&person, *id, None, Ok("saved")).await,
        Err(problem) => back(&person, *id, Some(typed), Err(problem)).await,
    }
}

/// `POST /settings/users/{user}/password`
pub(super) async fn password(signed: Signed, id: web::Path<UserId>) -> Result<HttpResponse, Refusal> {
    let Signed { person, form } = &signed;
    person.require(Scope::Admin)?;
    if !typed_twice(&signed) {
        return page::unfit(&shown(person, *id, None, Errors::one("again", NOT_TWICE)).await?);
    }
    let body = json!({"password": form.get("password")});
    let done = person.api.send(Method::POST, format!("/users/{id}/password"), Some(body)).await;
    back(person, *id, None, done.map(|()| "password")).await
}

/// `POST /settings/users/{user}/sessions`
pub(super) async fn end_all(Signed { person, .. }: Signed, id: web::Path<UserId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Admin)?;
    let done = person.api.send(Method::DELETE, format!("/users/{id}/sessions"), None).await;
    back(&person, *id, None, done.map(|()| "sessions")).await
}

/// `POST /settings/users/{user}/sessions/{session}`
pub(super) async fn end_one(Signed { person, .. }: Signed, path: web::Path<(UserId, String)>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Admin)?;
    let (id, session) = path.into_inner();
    let done = person.api.send(Method::DELETE, format!("/users/{id}/sessions/{}", path_part(&session)), None).await;
    back(&person, id, None, done.map(|()| "sessions")).await
}

#[derive(Template)]
#[template(path = "settings/user_delete.html", config = "src/server/console/askama.toml")]
pub(crate) struct DeletePage {
    pub frame: Frame,
    pub user: User,
    pub is_own: bool,
    pub errors: Errors,
}

async fn delete_shown(person: &Person, id: UserId, errors: Errors) -> Result<DeletePage, Refusal> {
    let OnePage { user, is_own, .. } = shown(person, id, None, Errors::default()).await?;
    let frame = Frame::of(person, Room::Settings, format!("Delete {}", user.name)).await?;
    Ok(DeletePage { frame, user, is_own, errors })
}

/// `GET /settings/users/{user}/delete`: what will happen.
pub(super) async fn delete_page(person: Person, id: web::Path<UserId>) -> Result<HttpResponse, Refusal> {
    page::ok(&delete_shown(&person, *id, Errors::default()).await?)
}

/// `POST /settings/users/{user}/delete`
pub(super) async fn delete(Signed { person, .. }: Signed, id: web::Path<UserId>) -> Result<HttpResponse, Refusal> {
    match person.api.send(Method::DELETE, format!("/users/{id}"), None).await {
        Ok(()) => Ok(page::go("/settings/users")),
        Err(problem) => {
            let problem = page::closed(problem)?;
            page::again(&problem, &delete_shown(&person, *id, Errors::of(&problem, &[])).await?)
        }
    }
}
