//! People's accounts, and where they are signed in.
//!
//! Accounts are an admin's. A person may see the own account, change the own password (knowing the present one), and see
//! and end the own sessions; what is done so spares the session in which it is done.
//!
//! The trap: somebody must be left who can make accounts and tokens ([`governing`]); whether that is so is asked in the
//! transaction that takes an admin away, or two admins could take each other's role.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bodies::List,
    governing::{self, Without},
    twins::PageQuery,
};
use crate::{
    clock::Time,
    domain::{
        ids::UserId,
        token::Scope,
        user::{Session, SessionId, User, name_key},
    },
    secret::Secret,
    server::kit::{Body, Caller, Code, Node, Problem, accounts, query},
    store::{Notice, StoreError},
};

/// An account as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What is typed at sign-in; unique without regard to case.
    name: String,
    /// What the person may do.
    role: Scope,
    /// 12 to 200 characters.
    #[schema(value_type = String, format = "password")]
    password: Secret,
}

/// What is to change; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// What is typed at sign-in from now on.
    name: Option<String>,
    /// What the person may do from now on; open sessions go on with it.
    role: Option<Scope>,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// 12 to 200 characters.
    #[schema(value_type = String, format = "password")]
    password: Secret,
    /// The present one: needed for one's own account.
    #[schema(value_type = Option<String>, format = "password")]
    old_password: Option<Secret>,
}

/// A person's account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    /// Its id.
    pub id: UserId,
    /// What is typed at sign-in.
    pub name: String,
    /// What the person may do.
    pub role: Scope,
    /// When it was made.
    pub created_at: Time,
    /// When somebody last signed in with it.
    pub last_sign_in_at: Option<Time>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        let User { id, name, role, created_at, last_sign_in_at } = user;
        Self { id, name, role, created_at, last_sign_in_at }
    }
}

/// A person who is signed in, in one browser.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionBody {
    /// Its id.
    pub id: SessionId,
    /// When the person signed in.
    pub made_at: Time,
    /// When it was last used, to the minute.
    pub seen_at: Time,
    /// From where the person signed in.
    pub address: String,
    /// What the browser called itself then.
    pub browser: String,
    /// It is the one that asks.
    pub own: bool,
}

/// The account's person, or an admin.
fn may(caller: &Caller, id: UserId) -> Result<(), Problem> {
    if is_own(caller, id) { Ok(()) } else { caller.require_node(Scope::Admin) }
}

fn is_own(caller: &Caller, id: UserId) -> bool {
    caller.user.is_some_and(|user| user.id == id)
}

/// The session that asks, where it is one of this account.
fn own_session(caller: &Caller, id: UserId) -> Option<SessionId> {
    caller.user.filter(|user| user.id == id).map(|user| user.session)
}

async fn found(node: &Node, id: UserId) -> Result<(User, Secret), Problem> {
    let read = node.store.read_one("api.user", move |tx| Box::pin(async move { tx.user(id).await }));
    read.await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("account")
}

fn taken(error: StoreError, name: &str) -> Problem {
    match error {
        StoreError::Taken(_) => {
            Problem::new(Code::NameTaken, format!("An account of this node is called `{name}` already; choose another name."))
                .at("name")
        }
        other => other.into(),
    }
}

/// Lists the accounts of this node, by name.
#[utoipa::path(get, path = "/users", tag = "users", params(PageQuery), responses((status = 200, body = List<UserBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let all = node.store.read_one("api.users", |tx| Box::pin(async move { tx.users().await })).await?;
    let part = query::cut(all, &page, |user| name_key(&user.name))?;
    Ok(HttpResponse::Ok().json(List::of(part, UserBody::from)))
}

/// Makes an account.
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUser, responses((status = 201, body = UserBody)))]
pub async fn create(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let NewUser { name, role, password } = body.json()?;
    let (user, hash) = accounts::new_user(&node, &name, &password, role).await?;
    let line = caller.audit(node.now(), "user.create", user.id.to_string(), format!("{}, {}", user.name, word(role)));
    let kept = user.clone();
    let write = node.store.write("api.user.create", move |tx| {
        Box::pin(async move {
            tx.insert_user(&kept, &hash).await?;
            tx.add_audit(&line).await
        })
    });
    write.await.map_err(|error| taken(error, &user.name))?;
    node.accounts.somebody_has_one();
    Ok(HttpResponse::Created().json(UserBody::from(user)))
}

fn word(role: Scope) -> &'static str {
    match role {
        Scope::Read => "read",
        Scope::Operate => "operate",
        Scope::Configure => "configure",
        Scope::Admin => "admin",
    }
}

/// One account.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = String, Path)), responses((status = 200, body = UserBody)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>) -> Result<HttpResponse, Problem> {
    may(&caller, *id)?;
    let (user, _) = found(&node, *id).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user)))
}

/// Gives an account another name or role. The last admin keeps that role.
#[utoipa::path(patch, path = "/users/{id}", tag = "users", params(("id" = String, Path)), request_body = UserPatch,
    responses((status = 200, body = UserBody)))]
pub async fn patch(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>, body: Body) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let (id, now, configured) = (*id, node.now(), node.admin_token.is_some());
    found(&node, id).await?;
    let UserPatch { name, role } = body.json()?;
    let name = name.map(|name| accounts::checked_name(&name)).transpose()?;
    let shown = name.clone().unwrap_or_default();
    let write = node.store.write("api.user.change", move |tx| {
        Box::pin(async move {
            let Some((before, _)) = tx.user(id).await? else { return Ok(Err(missing())) };
            let after = User { name: name.unwrap_or_else(|| before.name.clone()), role: role.unwrap_or(before.role), ..before };
            if before.role == Scope::Admin
                && after.role != Scope::Admin
                && !governing::goes_on(tx, configured, now, Without::User(id)).await?
            {
                return Ok(Err(last_one()));
            }
            tx.update_user(&after).await?;
            if after.role != before.role {
                tx.tell(Notice::Access);
            }
            let detail = format!("{}, {}: now {}, {}", before.name, word(before.role), after.name, word(after.role));
            tx.add_audit(&caller.audit(now, "user.change", id.to_string(), detail)).await?;
            Ok(Ok(after))
        })
    });
    let after = write.await.map_err(|error| taken(error, &shown))??;
    Ok(HttpResponse::Ok().json(UserBody::from(after)))
}

/// Deletes an account: its sessions end at once. The last admin's stays.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", params(("id" = String, Path)), responses((status = 204)))]
pub async fn delete(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>) -> Result<HttpResponse, Problem> {
    caller.require_node(Scope::Admin)?;
    let (id, now, configured) = (*id, node.now(), node.admin_token.is_some());
    let write = node.store.write("api.user.delete", move |tx| {
        Box::pin(async move {
            let Some((user, _)) = tx.user(id).await? else { return Ok(Err(missing())) };
            if user.role == Scope::Admin && !governing::goes_on(tx, configured, now, Without::User(id)).await? {
                return Ok(Err(last_one()));
            }
            tx.delete_user(id).await?;
            tx.tell(Notice::Access);
            tx.add_audit(&caller.audit(now, "user.delete", id.to_string(), user.name)).await?;
            Ok(Ok(()))
        })
    });
    write.await?.map(|()| HttpResponse::NoContent().finish())
}

fn last_one() -> Problem {
    let detail = "This is the last account with the role `admin`, and no token has that scope: nobody could make another. Make \
                  another admin first, or set `[api] admin_token`.";
    Problem::new(Code::State, detail)
}

/// Gives an account a new password: its sessions end at once, except the one that asks.
#[utoipa::path(post, path = "/users/{id}/password", tag = "users", params(("id" = String, Path)), request_body = NewPassword,
    responses((status = 204)))]
pub async fn password(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>, body: Body) -> Result<HttpResponse, Problem> {
    let id = *id;
    may(&caller, id)?;
    let (user, hash) = found(&node, id).await?;
    let NewPassword { password, old_password } = body.json()?;
    if is_own(&caller, id) {
        let old = old_password.ok_or_else(|| Problem::field("old_password", "is needed to change your own password"))?;
        if !accounts::knows_password(&node, &user, hash, old).await? {
            return Err(Problem::field("old_password", "is not your present password"));
        }
    }
    let hash = accounts::new_password(&node, &user, &password).await?;
    let (but, now) = (own_session(&caller, id), node.now());
    let write = node.store.write("api.user.password", move |tx| {
        Box::pin(async move {
            tx.put_password(id, &hash).await?;
            let ended = accounts::end_sessions(tx, id, but).await?;
            let detail = format!("{}; sessions ended: {ended}", user.name);
            tx.add_audit(&caller.audit(now, "user.password", id.to_string(), detail)).await
        })
    });
    write.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Where an account is signed in, newest first.
#[utoipa::path(get, path = "/users/{id}/sessions", tag = "users", params(("id" = String, Path)),
    responses((status = 200, body = List<SessionBody>)))]
pub async fn sessions(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, node.now());
    may(&caller, id)?;
    found(&node, id).await?;
    let all = node.store.read_one("api.user.sessions", move |tx| Box::pin(async move { tx.sessions(id).await })).await?;
    let own = own_session(&caller, id);
    let body = |session: Session| {
        let Session { id, made_at, seen_at, address, browser, .. } = session;
        SessionBody { id, made_at, seen_at, address, browser, own: own == Some(id) }
    };
    let items = all.into_iter().filter(|session| !session.is_over(now)).map(body).collect();
    Ok(HttpResponse::Ok().json(List { items, next: None }))
}

/// Signs an account out everywhere, except in the session that asks.
#[utoipa::path(delete, path = "/users/{id}/sessions", tag = "users", params(("id" = String, Path)), responses((status = 204)))]
pub async fn end_all(node: web::Data<Node>, caller: Caller, id: web::Path<UserId>) -> Result<HttpResponse, Problem> {
    let (id, now) = (*id, node.now());
    may(&caller, id)?;
    let (user, _) = found(&node, id).await?;
    let write = node.store.write("api.user.sessions.end", move |tx| {
        Box::pin(async move {
            let ended = accounts::end_sessions(tx, id, own_session(&caller, id)).await?;
            let detail = format!("{}; sessions ended: {ended}", user.name);
            tx.add_audit(&caller.audit(now, "user.sign_out", id.to_string(), detail)).await
        })
    });
    write.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends one session: whoever uses it is signed out at once.
#[utoipa::path(delete, path = "/users/{id}/sessions/{session}", tag = "users",
    params(("id" = String, Path), ("session" = String, Path)), responses((status = 204)))]
pub async fn end_one(node: web::Data<Node>, caller: Caller, path: web::Path<(UserId, String)>) -> Result<HttpResponse, Problem> {
    let (id, session) = path.into_inner();
    may(&caller, id)?;
    let (user, _) = found(&node, id).await?;
    let session: SessionId = session.parse().map_err(|_| Problem::not_found("session"))?;
    let now = node.now();
    let write = node.store.write("api.user.session.end", move |tx| {
        Box::pin(async move {
            if !tx.end_session(id, session).await? {
                return Ok(false);
            }
            tx.tell(Notice::Access);
            let detail = format!("{}; sessions ended: 1", user.name);
            tx.add_audit(&caller.audit(now, "user.sign_out", id.to_string(), detail)).await?;
            Ok(true)
        })
    });
    if write.await? { Ok(HttpResponse::NoContent().finish()) } else { Err(Problem::not_found("session")) }
}
