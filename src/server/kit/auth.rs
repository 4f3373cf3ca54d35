//! Who calls the API: bearer tokens, their scopes, and the connections that a partner's token is bound to; or a person who is
//! signed in, whose role is such a scope.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};

use super::{
    address,
    limiter::Door,
    node::Node,
    problem::{Code, Problem},
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, TokenId, UserId},
        token::{Scope, Token},
        user::{Session, SessionId, User},
    },
    secret::{Secret, base64url, sha256},
    store::rows::AuditLine,
};

/// Every token begins with this, so that a leaked one is found by searching.
pub const PREFIX: &str = "wg_";
/// Longest header that is looked at.
const LONGEST: usize = 512;
/// A configured token of fewer bytes might be guessed by many tries.
const UNGUESSABLE: usize = 24;

/// Draws a token: the secret for its owner, the hash for the store.
pub fn draw(clock: &dyn crate::clock::Clock) -> (Secret, [u8; 32]) {
    let mut random = [0u8; 32];
    clock.random(&mut random);
    let secret = format!("{PREFIX}{}", base64url(&random));
    let hash = sha256(secret.as_bytes());
    (Secret::new(secret), hash)
}

/// A person who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub id: UserId,
    /// In which session.
    pub session: SessionId,
    /// With which role, when the session was looked up.
    pub role: Scope,
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token; `None` for the one in the configuration, and for people.
    pub token: Option<TokenId>,
    /// The person, where one is signed in.
    pub user: Option<SignedIn>,
    /// For people.
    pub name: String,
    /// The highest scope.
    scope: Option<Scope>,
    /// Only these connections; `None` is all.
    connections: Option<Arc<[ConnectionId]>>,
}

impl Caller {
    /// The token of the configuration.
    pub fn configured() -> Self {
        Self { token: None, user: None, name: "configuration".to_owned(), scope: Some(Scope::Admin), connections: None }
    }

    /// A stored token, unless it has expired.
    pub fn of(token: Token, now: Time) -> Option<Self> {
        if token.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        Some(Self {
            token: Some(token.id),
            user: None,
            name: token.name,
            scope: token.scopes.into_iter().max(),
            connections: token.connections.map(Into::into),
        })
    }

    /// A person, signed in.
    pub fn of_user(user: &User, session: &Session) -> Self {
        let signed_in = SignedIn { id: user.id, session: session.id, role: user.role };
        Self { token: None, user: Some(signed_in), name: user.name.clone(), scope: Some(user.role), connections: None }
    }

    /// Whether the caller has the scope, here or above.
    pub fn may(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|own| own >= scope)
    }

    /// 403 unless the caller has the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        let word = serde_json::to_value(scope).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        let needs = if self.user.is_some() { "an account with the role" } else { "a token with the scope" };
        Err(Problem::new(Code::Forbidden, format!("This needs {needs} `{word}`.")))
    }

    /// 403 unless the caller has the scope and is bound to no connections: for what concerns the whole node.
    pub fn require_node(&self, scope: Scope) -> Result<(), Problem> {
        self.require(scope)?;
        match self.connections {
            None => Ok(()),
            Some(_) => {
                Err(Problem::new(Code::Forbidden, "This token is bound to certain connections; this concerns the whole node."))
            }
        }
    }

    /// Whether the caller may know of this connection.
    pub fn sees(&self, connection: ConnectionId) -> bool {
        self.connections.as_ref().is_none_or(|own| own.contains(&connection))
    }

    /// 404 unless the caller may know of this connection.
    pub fn require_sight(&self, connection: ConnectionId) -> Result<(), Problem> {
        if self.sees(connection) { Ok(()) } else { Err(Problem::not_found("connection")) }
    }

    /// The connections that it is bound to, for filters.
    pub fn only(&self) -> Option<Vec<ConnectionId>> {
        self.connections.as_ref().map(|own| own.to_vec())
    }

    /// Bound to certain connections.
    pub fn is_bound(&self) -> bool {
        self.connections.is_some()
    }

    /// Names the caller for saved answers.
    pub fn key(&self) -> String {
        let person = self.user.map(|user| user.id.to_string());
        person.or_else(|| self.token.map(|id| id.to_string())).unwrap_or_else(|| "configuration".to_owned())
    }

    /// A line for the audit log.
    pub fn audit(&self, at: Time, action: &str, subject: impl Into<String>, detail: impl Into<String>) -> AuditLine {
        AuditLine {
            at,
            token_id: self.token,
            user_id: self.user.map(|user| user.id),
            by: self.name.clone(),
            action: action.to_owned(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(missing))
    }
}

fn missing() -> Problem {
    Problem::new(Code::Unauthenticated, "Send `Authorization: Bearer wg_…` with a valid token.")
}

/// Finds out who calls; 401 for nobody we know. Wrong tokens are counted per address.
pub async fn identify(node: &Node, request: &HttpRequest) -> Result<Caller, Problem> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(typed) = header.and_then(bearer) else { return Err(missing()) };
    let from = address::of_request(request, &node.trusted_proxies);
    if let Some(admin) = &node.admin_token {
        let may_guess = admin.expose().len() < UNGUESSABLE && node.limiter.wait(Door::Tokens, from).is_some();
        if !may_guess && admin.equals(typed) {
            return Ok(Caller::configured());
        }
    }
    let hash = sha256(typed.as_bytes());
    let token = node.store.read("auth.token", move |tx| Box::pin(async move { tx.token_by_hash(&hash).await })).await?;
    match token.and_then(|token| Caller::of(token, node.now())) {
        Some(caller) => Ok(caller),
        None => {
            let wrong = Problem::new(Code::Unauthenticated, "This token is unknown, expired or deleted.");
            Err(node.limiter.failed(Door::Tokens, from, wrong))
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && header.len() <= LONGEST).then_some(token)
}

/// Puts the [`Caller`] beside the request, or answers 401.
pub async fn authenticate<B: MessageBody + 'static>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let node = request.app_data::<web::Data<Node>>().cloned().expect("every application is given its node");
    let caller = identify(&node, request.request()).await?;
    request.extensions_mut().insert(caller);
    next.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn scopes_hold_the_ones_before_them() {
        let (secret, hash) = draw(&SystemClock);
        assert!(secret.expose().starts_with(PREFIX) && secret.expose().len() == PREFIX.len() + 43);
        let connection = ConnectionId(uuid::Uuid::nil());
        let token = Token {
            id: TokenId(uuid::Uuid::nil()),
            name: "partner".into(),
            scopes: vec![Scope::Operate],
            connections: Some(vec![connection]),
            expires_at: Some(Time(10)),
            created_at: Time(0),
            hash,
        };
        assert!(Caller::of(token.clone(), Time(10)).is_none(), "expired");
        let caller = Caller::of(token, Time(9)).expect("good");
        assert!(caller.require(Scope::Read).is_ok());
        assert_eq!(caller.require(Scope::Configure).expect_err("too high").code, Code::Forbidden);
        assert_eq!(caller.require_node(Scope::Read).expect_err("bound").code, Code::Forbidden);
        assert!(caller.sees(connection));
        assert_eq!(caller.require_sight(ConnectionId(uuid::Uuid::max())).expect_err("other").code, Code::NotFound);
    }

    #[test]
    fn reads_the_header() {
        assert_eq!(bearer("Bearer wg_abc"), Some("wg_abc"));
        assert_eq!(bearer("bearer  wg_abc "), Some("wg_abc"));
        for wrong in ["wg_abc", "Basic wg_abc", "Bearer ", ""] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }
}
