//! From the wire to the resources: reads a request, meets faults, checks session and allowance, logs, answers.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::StatusCode, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Shared,
    auth::OauthError,
    errors::ApiError,
    faults::{Fault, FaultKind},
    pages,
    rest::{self, Body, Call, Reply},
    settings::LimitHeader,
    state::State,
    usage::{LoggedCall, kind_of},
};
use crate::sandbox::wire::{http_date, pairs, pick, reset};

/// Largest request body: 50 MB, as the real API.
pub(super) const LARGEST_BODY: usize = 50 * 1024 * 1024;
/// Longest address with its headers.
const LONGEST_HEAD: usize = 16_384;

/// Every request that is not for the agent's page.
pub(super) async fn any(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let kind = kind_of(&method, &path);
    let now = shared.clock.now();
    let fault = shared.lock().faults.meet(&method, &path, kind, &body);
    let mut call = LoggedCall { at: now, method: method.clone(), path: path.clone(), size: body.len(), kind, status: 0 };
    if let Some(FaultKind::Hang(_) | FaultKind::ResetBefore) = fault {
        shared.lock().usage.note(call);
        if let Some(FaultKind::Hang(millis)) = fault {
            shared.clock.sleep(Duration::from_millis(millis)).await;
        }
        return reset();
    }
    let mut response = {
        let mut state = shared.lock();
        let response = match kind {
            "login" | "authorize" | "revoke" | "introspect" => {
                fault.and_then(|fault| broken(&mut state, fault, "")).unwrap_or_else(|| oauth(&mut state, kind, &request, &body))
            }
            _ => data(&mut state, kind, &request, &body, fault),
        };
        let lost = matches!(fault, Some(FaultKind::ResetAfterCommit | FaultKind::HangAfterCommit(_)));
        call.status = if lost { 0 } else { response.status().as_u16() };
        state.usage.note(call);
        response
    };
    shared.wake.notify_one();
    match fault {
        Some(FaultKind::ResetAfterCommit) => return reset(),
        Some(FaultKind::HangAfterCommit(millis)) => {
            shared.clock.sleep(Duration::from_millis(millis)).await;
            return reset();
        }
        Some(FaultKind::Late(millis)) => shared.clock.sleep(Duration::from_millis(millis)).await,
        _ => {}
    }
    if let Ok(date) = http_date(now).parse() {
        response.headers_mut().insert(actix_web::http::header::DATE, date);
    }
    response
}

/// The answer that a fault gives in place of the right one, if it is of that sort.
fn broken(state: &mut State, fault: FaultKind, token: &str) -> Option<HttpResponse> {
    match fault {
        FaultKind::ServerUnavailableArray => Some(refusal(&ApiError::new(503, "SERVER_UNAVAILABLE", "Server Unavailable"))),
        FaultKind::Html503 => Some(
            HttpResponse::ServiceUnavailable()
                .content_type("text/html; charset=UTF-8")
                .body("<html><head><title>Maintenance</title></head><body><h1>We are down for maintenance.</h1></body></html>"),
        ),
        FaultKind::Error500 => {
            let text = "An unexpected error occurred. Please include this ErrorId if you contact support: 1234-5678 (-910)";
            Some(refusal(&ApiError::new(500, "UNKNOWN_EXCEPTION", text)))
        }
        FaultKind::Unauthorized => {
            state.auth.kill(token);
            Some(refusal(&ApiError::session()))
        }
        FaultKind::LimitExceeded => Some(refusal(&ApiError::allowance())),
        FaultKind::ConcurrentLimit => Some(refusal(&ApiError::new(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ))),
        FaultKind::NotForRest => {
            Some(refusal(&ApiError::new(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")))
        }
        FaultKind::Busy(millis) => {
            let mut response = refusal(&ApiError::new(503, "SERVER_UNAVAILABLE", "Server is too busy"));
            response.headers_mut().insert(actix_web::http::header::RETRY_AFTER, millis.div_ceil(1000).into());
            Some(response)
        }
        FaultKind::UnknownHost => Some(builder(420).body("")),
        FaultKind::CaptivePage => Some(
            HttpResponse::Ok().content_type("text/html").body("<html><body><h1>Welcome to the guest network</h1></body></html>"),
        ),
        FaultKind::EmptyGateway => Some(HttpResponse::BadGateway().finish()),
        FaultKind::LostLocator => Some(refusal(&ApiError::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator"))),
        FaultKind::LockRow
        | FaultKind::Hang(_)
        | FaultKind::HangAfterCommit(_)
        | FaultKind::Late(_)
        | FaultKind::ResetAfterCommit
        | FaultKind::ResetBefore => None,
    }
}

/// REST, userinfo, identity.
fn data(state: &mut State, kind: &str, request: &HttpRequest, body: &[u8], fault: Option<FaultKind>) -> HttpResponse {
    if kind == "versions" {
        return HttpResponse::Ok().json(rest::versions());
    }
    if kind == "page" {
        return pages::other(state, request, body);
    }
    let head = request.uri().to_string().len()
        + request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if request.uri().to_string().len() > LONGEST_HEAD {
        return refusal(&ApiError::new(414, "URI_TOO_LONG", "The URI is longer than 16384 bytes"));
    }
    if head > LONGEST_HEAD {
        return refusal(&ApiError::new(431, "REQUEST_HEADERS_TOO_LONG", "URI and headers are longer than 16384 bytes"));
    }
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("OAuth ")).unwrap_or_default().to_owned();
    if let Some(response) = fault.and_then(|fault| broken(state, fault, &token)) {
        return response;
    }
    let Some(session) = state.session(&token) else {
        return if kind == "identity" {
            HttpResponse::Forbidden().body(if token.is_empty() { "Missing_OAuth_Token" } else { "Bad_OAuth_Token" })
        } else {
            refusal(&ApiError::session())
        };
    };
    match kind {
        "userinfo" => HttpResponse::Ok().json(state.userinfo(&session.user)),
        "identity" => identity(state, request.path()),
        _ => counted(state, kind, request, body, &session.user, fault == Some(FaultKind::LockRow)),
    }
}

fn identity(state: &State, path: &str) -> HttpResponse {
    let mut parts = path.trim_start_matches("/id/").split('/');
    if parts.next() != Some(state.settings.org_id.as_str()) {
        return HttpResponse::Forbidden().body("Wrong_Org");
    }
    match parts.next().and_then(|user| state.user(user)) {
        Some(user) => HttpResponse::Ok().json(state.userinfo(&user)),
        None => HttpResponse::NotFound().body("Bad_Id"),
    }
}

/// A call that counts against the allowance.
fn counted(state: &mut State, kind: &str, request: &HttpRequest, body: &[u8], user: &str, lock: bool) -> HttpResponse {
    let (now, max) = (state.now(), state.settings.daily_limit);
    // The one call that tells how much is left stays possible when nothing is.
    let result = if state.usage.used(now) >= max && kind != "limits" {
        Err(ApiError::allowance())
    } else {
        state.usage.spend(now);
        state.begin();
        state.lock_next = lock;
        let mark = state.mark();
        let result = rest::dispatch(state, &call(request, body, user));
        if result.is_err() {
            state.roll_back(mark);
        }
        state.lock_next = false;
        result
    };
    let mut response = match result {
        Ok(reply) => shown(reply),
        Err(error) => refusal(&error),
    };
    let usage = match state.settings.limit_header {
        LimitHeader::Org => Some(format!("api-usage={}/{max}", state.usage.used(now))),
        LimitHeader::AppAndOrg => {
            Some(format!("per-app-api-usage=17/250(appName=sync); api-usage={}/{max}", state.usage.used(now)))
        }
        LimitHeader::Absent => None,
    };
    if let Some(value) = usage.and_then(|usage| usage.parse().ok()) {
        response.headers_mut().insert(actix_web::http::header::HeaderName::from_static("sforce-limit-info"), value);
    }
    response
}

fn call(request: &HttpRequest, body: &[u8], user: &str) -> Call {
    let mut headers = BTreeMap::new();
    for (name, value) in request.headers() {
        headers.insert(name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
    }
    Call {
        method: request.method().as_str().to_owned(),
        path: request.path().to_owned(),
        query: pairs(request.query_string().as_bytes()),
        headers,
        body: body.to_vec(),
        user: user.to_owned(),
    }
}

fn builder(status: u16) -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

fn shown(reply: Reply) -> HttpResponse {
    let mut response = builder(reply.status);
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    match reply.body {
        Body::Empty => response.finish(),
        Body::Json(value) => response.content_type("application/json;charset=UTF-8").body(value.to_string()),
        Body::Bytes(bytes) => response.content_type("application/octet-stream").body(bytes),
    }
}

fn refusal(error: &ApiError) -> HttpResponse {
    let mut response = builder(error.status);
    if error.status == 401 {
        response.insert_header(("WWW-Authenticate", "Token"));
    }
    response.content_type("application/json;charset=UTF-8").body(error.rest().to_string())
}

/// The OAuth endpoints.
fn oauth(state: &mut State, kind: &str, request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let query = pairs(request.query_string().as_bytes());
    let mut form = pairs(body);
    if let Some((id, secret)) = basic(request) {
        form.push(("client_id".to_owned(), id));
        form.push(("client_secret".to_owned(), secret));
    }
    let post = request.method() == actix_web::http::Method::POST;
    match kind {
        "authorize" => pages::authorize(state, &query, &form, post),
        "revoke" => {
            let token = pick(&form, "token").or_else(|| pick(&query, "token")).unwrap_or_default().to_owned();
            if state.revoke(&token) {
                HttpResponse::Ok().finish()
            } else {
                oauth_answer(Err(OauthError("invalid_token", "invalid token".to_owned())))
            }
        }
        "introspect" => oauth_answer(state.introspect(&form)),
        _ if !post => oauth_answer(Err(OauthError("unsupported_grant_type", "grant type not supported".to_owned()))),
        _ => {
            let host = request.connection_info().host().to_owned();
            oauth_answer(state.token(&form, &host))
        }
    }
}

fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let text = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn oauth_answer(result: Result<Value, OauthError>) -> HttpResponse {
    let (status, body) = match result {
        Ok(value) => (200, value),
        Err(error) => (400, error.json()),
    };
    builder(status)
        .content_type("application/json;charset=UTF-8")
        .insert_header(("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private"))
        .body(body.to_string())
}

/// `POST /sandbox/faults`, `DELETE /sandbox/faults`.
pub(super) fn faults(state: &mut State, method: &str, body: &[u8]) -> HttpResponse {
    if method == "DELETE" {
        state.faults.clear();
        return HttpResponse::NoContent().finish();
    }
    match serde_json::from_slice::<Fault>(body) {
        Ok(fault) => {
            state.faults.add(fault);
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    }
}
