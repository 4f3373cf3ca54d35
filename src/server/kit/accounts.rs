//! People who sign in: the first account, sign-in, sessions.
//!
//! ```text
//!   no account ──set_up: the secret printed at the start──▶ the first, an admin
//!   name and password ──sign_in──▶ a secret for the cookie; its hash is the session's id
//!   cookie ──session──▶ who it is        cookie ──sign_out──▶ (none)
//! ```
//!
//! Only the browser has the secret: the store knows its hash, and what forms carry against forged requests
//! ([`SessionSecret::form_token`]) is derived from it, so there is nothing more to keep and nothing to steal from a backup.
//!
//! Traps. A wrong name must cost the same time and earn the same words as a wrong password: every way through [`sign_in`]
//! that ends in a refusal reads once, hashes once and, at the end of a streak, writes once. A password may be replaced while
//! it is being looked at: the session is made only if the hash is still the same, or a new password would not end what the
//! old one opened. Whoever changes accounts tells [`Notice::Access`], so that streams of those who lost access end.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    auth::Caller,
    guesses::{Guesses, Try},
    limiter::Door,
    node::Node,
    passwords::Passwords,
    problem::{Code, Problem},
};
use crate::{
    clock::{Clock, Time},
    domain::{
        ids::UserId,
        token::Scope,
        user::{self, Session, SessionId, User},
    },
    secret::{Secret, base64url, from_base64url, same_bytes, sha256},
    store::{Notice, Store, StoreError, Tx, rows::AuditLine},
};

/// Sessions of one account: beyond, the oldest end.
const MOST_SESSIONS: u32 = 50;
/// So much is kept of what a browser calls itself.
const BROWSER: usize = 200;
/// What the form token is derived with; no other use of the secret begins like this.
const FORM: &[u8] = b"wicketgate form token\0";

/// What the node needs for its people.
#[derive(Debug)]
pub struct Accounts {
    passwords: Passwords,
    guesses: Guesses,
    /// While there is no account: what makes the first.
    set_up: Mutex<Option<Secret>>,
}

impl Accounts {
    /// At the start of a node. Where it has no account, a secret is drawn that makes the first.
    pub async fn open(store: &Store, clock: &Arc<dyn Clock>) -> Result<Self, StoreError> {
        let any = store.read("accounts.any", |tx| Box::pin(async move { tx.any_user().await })).await?;
        Ok(Self {
            passwords: Passwords::new(clock.clone()),
            guesses: Guesses::new(clock.clone()),
            set_up: Mutex::new((!any).then(|| SessionSecret::draw(&**clock).0)),
        })
    }

    /// Forgets whose passwords have not been guessed at for a while: called now and then.
    pub fn forget_quiet(&self) {
        self.guesses.forget_quiet();
    }

    fn set_up_secret(&self) -> Option<Secret> {
        self.set_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody has an account from now on: the set-up link is void, and no page offers it.
    pub fn somebody_has_one(&self) {
        *self.set_up.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Who sits at the other end.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// From where.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub browser: String,
}

/// What a session's cookie holds.
#[derive(Clone, Debug)]
pub struct SessionSecret(Secret);

impl SessionSecret {
    fn draw(clock: &dyn Clock) -> Self {
        let mut random = [0u8; 32];
        clock.random(&mut random);
        Self(Secret::new(base64url(&random)))
    }

    /// Out of a cookie; `None` where it is none of ours.
    pub fn read(cookie: &str) -> Option<Self> {
        // Its length before the work: a cookie may be long.
        (cookie.len() == 43 && from_base64url(cookie).is_some()).then(|| Self(Secret::new(cookie)))
    }

    /// The cookie's value.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The id of the session.
    pub fn id(&self) -> SessionId {
        SessionId(sha256(self.0.expose().as_bytes()))
    }

    /// What every form of the session carries.
    pub fn form_token(&self) -> String {
        base64url(&sha256(&[FORM, self.0.expose().as_bytes()].concat()))
    }

    /// Whether a form carried it.
    pub fn is_form_token(&self, given: &str) -> bool {
        same_bytes(self.form_token().as_bytes(), given.as_bytes())
    }
}

/// The address that makes the first account; `None` where there was one at the start, or one was made since. It holds a
/// secret: it is printed for who starts the node, and never logged.
pub fn set_up_link(node: &Node) -> Option<String> {
    let secret = node.accounts.set_up_secret()?;
    // Behind `#`, so that no proxy's log has it.
    Some(format!("{}#{}", node.address("/setup"), secret.expose()))
}

/// Makes the first account, with the role `admin`, and signs in.
pub async fn set_up(
    node: &Node,
    secret: &str,
    name: &str,
    password: Secret,
    from: &Visitor,
) -> Result<(SessionSecret, User), Problem> {
    let Some(known) = node.accounts.set_up_secret() else { return Err(there_is_one()) };
    if !known.equals(secret) {
        let detail = "This set-up link is not the one that the node printed at its last start; each start prints a new one.";
        return Err(node.limiter.failed(Door::SetUp, from.address, Problem::new(Code::SignInRefused, detail)));
    }
    let (user, hash) = new_user(node, name, &password, Scope::Admin).await?;
    let (cookie, session) = new_session(node, user.id, from);
    let user = User { last_sign_in_at: Some(session.made_at), ..user };
    let line = Caller::of_user(&user, &session).audit(node.now(), "user.set_up", user.id.to_string(), user.name.clone());
    let made = user.clone();
    let first = node.store.write("accounts.set_up", move |tx| {
        Box::pin(async move {
            if tx.any_user().await? {
                return Ok(false);
            }
            tx.insert_user(&made, &hash).await?;
            tx.insert_session(&session, MOST_SESSIONS).await?;
            tx.add_audit(&line).await?;
            Ok(true)
        })
    });
    let first = first.await?;
    node.accounts.somebody_has_one();
    if first { Ok((cookie, user)) } else { Err(there_is_one()) }
}

fn there_is_one() -> Problem {
    Problem::new(Code::State, "This node has an account already; sign in. An admin can make further accounts.")
}

/// Signs a person in: the secret for the cookie, and who it is.
pub async fn sign_in(node: &Node, name: &str, password: Secret, from: &Visitor) -> Result<(SessionSecret, User), Problem> {
    let tried = node.accounts.guesses.begin(name, Some(from.address)).map_err(too_many)?;
    let found = match look(node, name, password).await {
        Ok(found) => found,
        Err(problem) => {
            node.accounts.guesses.unknown(tried);
            return Err(problem);
        }
    };
    let (user, hash) = match found {
        Ok(found) => found,
        Err(known) => return Err(wrong(node, known, &tried, from).await),
    };
    let (cookie, session) = new_session(node, user.id, from);
    let signed_in = User { last_sign_in_at: Some(session.made_at), ..user.clone() };
    let wrong_before = match tried.in_a_row() {
        1 => String::new(),
        row => format!("; wrong passwords before: {}", row - 1),
    };
    let detail = format!("{}, from {}{wrong_before}", user.name, from.address);
    let line = Caller::of_user(&user, &session).audit(node.now(), "user.sign_in", user.id.to_string(), detail);
    let kept = signed_in.clone();
    let write = node.store.write("accounts.sign_in", move |tx| {
        Box::pin(async move {
            let now = tx.user(kept.id).await?;
            let Some((now, _)) = now.filter(|(_, other)| *other == hash) else { return Ok(None) };
            let now = User { last_sign_in_at: kept.last_sign_in_at, ..now };
            tx.update_user(&now).await?;
            tx.insert_session(&session, MOST_SESSIONS).await?;
            tx.add_audit(&line).await?;
            Ok(Some(now))
        })
    });
    match write.await {
        Ok(Some(user)) => {
            node.accounts.guesses.right(tried);
            Ok((cookie, user))
        }
        Ok(None) => Err(refused()),
        Err(error) => {
            node.accounts.guesses.unknown(tried);
            Err(error.into())
        }
    }
}

/// The account and its hash where the password is right, else the account if there is one.
type Looked = Result<(User, Secret), Option<User>>;

async fn look(node: &Node, name: &str, password: Secret) -> Result<Looked, Problem> {
    let typed = name.to_owned();
    let read = node.store.read_one("accounts.name", |tx| Box::pin(async move { tx.user_by_name(&typed).await }));
    let (user, hash) = read.await?.unzip();
    let right = node.accounts.passwords.is(password, hash.clone()).await?;
    Ok(user.clone().zip(hash).filter(|_| right).ok_or(user))
}

/// Answers a wrong password; a streak goes to the audit log, also where there is no such account: else time would tell.
async fn wrong(node: &Node, known: Option<User>, tried: &Try, from: &Visitor) -> Problem {
    if tried.is_streak() {
        let row = tried.in_a_row();
        let detail = match &known {
            Some(user) => format!("{}: {row} wrong passwords in a row, the last from {}", user.name, from.address),
            // What was typed is not kept: it may be a password in the wrong field.
            None => format!("{row} wrong passwords in a row for a name without an account, the last from {}", from.address),
        };
        let line = AuditLine {
            at: node.now(),
            token_id: None,
            user_id: None,
            by: "unknown".to_owned(),
            action: "user.sign_in_failed".to_owned(),
            subject: known.map(|user| user.id.to_string()).unwrap_or_default(),
            detail,
        };
        let written = node.store.write("accounts.streak", |tx| Box::pin(async move { tx.add_audit(&line).await }));
        if let Err(error) = written.await {
            tracing::warn!(%error, "a streak of wrong passwords could not be noted");
        }
    }
    refused()
}

fn refused() -> Problem {
    Problem::new(Code::SignInRefused, "The name or the password is wrong.")
}

fn too_many(wait: Duration) -> Problem {
    let detail = "Too many wrong passwords for this name or from this address; wait before the next try.";
    Problem::new(Code::RateLimited, detail).after(wait)
}

fn new_session(node: &Node, user: UserId, from: &Visitor) -> (SessionSecret, Session) {
    let cookie = SessionSecret::draw(&*node.clock);
    let now = node.now();
    let browser = from.browser.chars().filter(|one| !one.is_control()).take(BROWSER).collect();
    let address = from.address.to_string();
    let session = Session { id: cookie.id(), user, made_at: now, seen_at: now, address, browser };
    (cookie, session)
}

/// What a session is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// By what a person does.
    ByHand,
    /// By a page that keeps itself up to date: it keeps no session from going idle.
    ByItself,
}

/// Who holds this cookie; `None` where the session is over.
pub async fn session(node: &Node, cookie: &SessionSecret, used: Used) -> Result<Option<(Session, User)>, Problem> {
    let (id, now) = (cookie.id(), node.now());
    let read = node.store.read_one("accounts.session", move |tx| Box::pin(async move { tx.session(id).await }));
    let found = read.await?.filter(|(session, _)| !session.is_over(now));
    if used == Used::ByHand && found.as_ref().is_some_and(|(session, _)| session.is_to_be_seen(now)) {
        let seen = node.store.write("accounts.seen", move |tx| Box::pin(async move { tx.see_session(id, now).await }));
        if let Err(error) = seen.await {
            // Pages can be read while the disk is full.
            tracing::debug!(%error, "a session could not be noted as in use");
        }
    }
    Ok(found)
}

/// Ends the session of this cookie, if it has one.
pub async fn sign_out(node: &Node, cookie: &SessionSecret) -> Result<(), Problem> {
    let (id, now) = (cookie.id(), node.now());
    let write = node.store.write("accounts.sign_out", move |tx| {
        Box::pin(async move {
            let Some((session, user)) = tx.session(id).await? else { return Ok(()) };
            tx.end_session(user.id, id).await?;
            tx.tell(Notice::Access);
            let caller = Caller::of_user(&user, &session);
            tx.add_audit(&caller.audit(now, "user.sign_out", user.id.to_string(), user.name.clone())).await
        })
    });
    Ok(write.await?)
}

/// Ends all sessions of an account, but this one: those who use them are signed out at once.
pub async fn end_sessions(tx: &mut dyn Tx, user: UserId, but: Option<SessionId>) -> Result<u64, StoreError> {
    tx.tell(Notice::Access);
    tx.end_sessions(user, but).await
}

/// An account to be, with the hash of its password; `errors` names what will not do.
pub async fn new_user(node: &Node, name: &str, password: &Secret, role: Scope) -> Result<(User, Secret), Problem> {
    let kept = checked_name(name);
    let fits = checked_password(password, name, "password");
    super::query::all([kept.as_ref().map(drop).map_err(Clone::clone), fits])?;
    let hash = node.accounts.passwords.hash(password.clone()).await?;
    let user = User { id: UserId(node.clock.id()), name: kept?, role, created_at: node.now(), last_sign_in_at: None };
    Ok((user, hash))
}

/// The name as it is kept.
pub fn checked_name(name: &str) -> Result<String, Problem> {
    user::check_name(name).map_err(|why| Problem::field("name", why))
}

fn checked_password(password: &Secret, name: &str, field: &str) -> Result<(), Problem> {
    user::check_password(password.expose(), name).map_err(|why| Problem::field(field, why))
}

/// The hash of a new password for this account.
pub async fn new_password(node: &Node, user: &User, password: &Secret) -> Result<Secret, Problem> {
    checked_password(password, &user.name, "password")?;
    node.accounts.passwords.hash(password.clone()).await
}

/// Whether a person who is signed in knows the password; wrong ones are counted as at the sign-in.
pub async fn knows_password(node: &Node, user: &User, hash: Secret, password: Secret) -> Result<bool, Problem> {
    let tried = node.accounts.guesses.begin(&user.name, None).map_err(too_many)?;
    match node.accounts.passwords.is(password, Some(hash)).await {
        Ok(true) => {
            node.accounts.guesses.right(tried);
            Ok(true)
        }
        Ok(false) => Ok(false),
        Err(problem) => {
            node.accounts.guesses.unknown(tried);
            Err(problem)
        }
    }
}

/// Whether a caller may still act at this moment: its session lives with the same role, its token is neither deleted nor
/// expired.
pub async fn is_still_good(node: &Node, caller: &Caller) -> Result<bool, StoreError> {
    let (caller, now) = (caller.clone(), node.now());
    let read = node.store.read("accounts.access", move |tx| Box::pin(async move { still_good(tx, &caller, now).await }));
    read.await
}

async fn still_good(tx: &mut dyn Tx, caller: &Caller, now: Time) -> Result<bool, StoreError> {
    if let Some(signed_in) = caller.user {
        let found = tx.session(signed_in.session).await?;
        return Ok(found.is_some_and(|(session, user)| !session.is_over(now) && user.role == signed_in.role));
    }
    let Some(id) = caller.token else { return Ok(true) };
    let all = tx.tokens().await?;
    Ok(all.iter().any(|token| token.id == id && token.expires_at.is_none_or(|at| at > now)))
}
