//! Who looks at a page, and whether a form came from one of our pages.
//!
//! [`Person`] is a signed-in user with the API as they may use it; without one, a page sends to the sign-in and back. A
//! [`Signed`] form was sent by a page of this very session: its `Origin` or `Sec-Fetch-Site` is this node's, and it carries
//! the session's token. The two are the only ways into a handler that changes something; a test walks all routes.
//!
//! The trap: the cookie's name depends on the scheme that the browser sees. `__Host-` needs https; on plain loopback it
//! would be dropped, and nobody could sign in.

use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    cookie::{Cookie, SameSite},
    dev::Payload,
    http::{Method, StatusCode, Uri, header},
    web,
};

use super::{address::PageAddress, form::Form, page};
use crate::{
    domain::{token::Scope, user::User},
    server::kit::{
        Caller, Code, Node, Problem,
        accounts::{self, SessionSecret, Used},
        body,
        inside::Api,
    },
};

type Wait<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>>>>;

/// Carries the session's token where a script sends the form.
const TOKEN_HEADER: &str = "x-wicketgate-token";
/// The same in a form.
pub(super) const TOKEN_FIELD: &str = "_token";

/// Why a page is not shown.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody is signed in; afterwards the browser goes on to this address.
    SignIn(String),
    /// The form belongs to a session that was, and somebody is signed in anew: the page is shown again.
    Anew(String),
    /// As the API says it.
    Problem(Problem),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SignIn(_) => f.write_str("sign in first"),
            Self::Anew(_) => f.write_str("the form is of another session"),
            Self::Problem(problem) => problem.fmt(f),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<crate::store::StoreError> for Refusal {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignIn(_) | Self::Anew(_) => StatusCode::SEE_OTHER,
            Self::Problem(problem) => problem.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::SignIn(next) => {
                let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                page::go(&format!("/sign-in?next={next}"))
            }
            Self::Anew(path) => page::go(&format!("{path}#anew")),
            Self::Problem(problem) => page::refused(problem),
        }
    }
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub user: User,
    pub api: Api,
    /// Where the page that answers this request stands, if not at its own address.
    pub page: Option<String>,
    secret: SessionSecret,
}

impl Person {
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.api.caller().may(scope)
    }

    /// Refuses what the role does not allow, where a page has work of its own before it asks the API.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Problem> {
        self.api.caller().require(scope)
    }

    /// What forms of this session carry.
    pub(super) fn token(&self) -> String {
        self.secret.form_token()
    }
}

impl FromRequest for Person {
    type Error = Refusal;
    type Future = Wait<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            if let Some(known) = request.extensions().get::<Self>() {
                return Ok(known.clone());
            }
            let node = request.app_data::<web::Data<Node>>().cloned().expect("every application is given its node");
            let secret = cookie(&request, &node).ok_or_else(|| Refusal::SignIn(back(&request)))?;
            let known = accounts::session(&node, &secret, used(&request)).await?;
            let (session, user) = known.ok_or_else(|| Refusal::SignIn(back(&request)))?;
            let caller = Caller::of_user(&user, &session);
            let page = request.extensions().get::<PageAddress>().map(|PageAddress(path)| path.clone());
            let person = Self { user, api: Api::new(&request, caller), page, secret };
            request.extensions_mut().insert(person.clone());
            Ok(person)
        })
    }
}

/// The secret of the browser's session.
pub(super) fn cookie(request: &HttpRequest, node: &Node) -> Option<SessionSecret> {
    SessionSecret::read(request.cookie(cookie_name(request, node))?.value())
}

/// Where to go on after signing in: the page that was asked for, or the one whose form was sent.
fn back(request: &HttpRequest) -> String {
    if request.method() == Method::GET && !is_script(request) {
        return request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    }
    let referer = request.headers().get(header::REFERER).and_then(|value| value.to_str().ok());
    referer.and_then(|referer| referer.parse::<Uri>().ok()).map_or_else(|| "/".to_owned(), |uri| uri.path().to_owned())
}

fn used(request: &HttpRequest) -> Used {
    let by_itself = request.method() == Method::GET && (is_script(request) || request.path() == "/live");
    if by_itself { Used::ByItself } else { Used::ByHand }
}

/// Asked for by the module, not by going to a page.
fn is_script(request: &HttpRequest) -> bool {
    request.headers().contains_key(TOKEN_HEADER)
}

/// Whether the browser came over https, to us or to the proxy in front.
pub(super) fn is_https(request: &HttpRequest, node: &Node) -> bool {
    let by_proxy = || {
        let peer = request.peer_addr().map(|peer| peer.ip());
        let trusted = peer.is_some_and(|peer| node.trusted_proxies.iter().any(|net| net.contains(&peer)));
        let told = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        trusted && told == Some("https")
    };
    let by_name = |url: &url::Url| url.scheme() == "https" && url.authority() == host(request);
    request.app_config().secure() || by_proxy() || node.public_url.as_ref().is_some_and(by_name)
}

/// What the browser called this node.
fn host(request: &HttpRequest) -> String {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    header.or_else(|| request.uri().authority().map(|it| it.as_str())).unwrap_or_default().to_owned()
}

fn cookie_name(request: &HttpRequest, node: &Node) -> &'static str {
    if is_https(request, node) { "__Host-wicketgate" } else { "wicketgate" }
}

/// The cookie of a session that was just made; an empty one ends it in the browser.
pub(super) fn session_cookie(request: &HttpRequest, node: &Node, secret: &str) -> Cookie<'static> {
    let mut cookie = Cookie::build(cookie_name(request, node), secret.to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_https(request, node))
        .finish();
    if secret.is_empty() {
        cookie.make_removal();
    }
    cookie
}

/// Whether a browser says that the request was made by a page of ours.
fn is_ours(request: &HttpRequest) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = header("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = header("origin") else { return false };
    let own = host(request);
    origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(|it| it.as_str().eq_ignore_ascii_case(&own))).unwrap_or(false)
}

fn foreign() -> Problem {
    Problem::new(Code::Forbidden, "This form was not sent by a page of this console. Open the page again and send it from there.")
}

/// A form that a page of ours sent before anybody was signed in.
#[derive(Debug)]
pub(super) struct Open(pub Form);

impl FromRequest for Open {
    type Error = Refusal;
    type Future = Wait<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = body::read(&mut payload, super::form::OPEN_LIMIT).await?;
            if !is_ours(&request) {
                return Err(foreign().into());
            }
            Ok(Self(Form::read(&bytes)))
        })
    }
}

/// A form that a page of this session sent.
#[derive(Debug)]
pub(super) struct Signed {
    pub person: Person,
    pub form: Form,
}

impl FromRequest for Signed {
    type Error = Refusal;
    type Future = Wait<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // Who it is comes first: a stranger's form is not read.
            let person = Person::from_request(&request, &mut Payload::None).await?;
            let bytes = body::read(&mut payload, super::form::LIMIT).await?;
            let form = Form::read(&bytes);
            let header = request.headers().get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let typed = if header.is_empty() { form.get(TOKEN_FIELD) } else { header };
            if !is_ours(&request) || typed.is_empty() {
                return Err(foreign().into());
            }
            if !person.secret.is_form_token(typed) {
                // A page of ours, of another session: it is shown anew, and its module gives back what was typed.
                return Err(Refusal::Anew(back(&request)));
            }
            Ok(Self { person, form })
        })
    }
}
