//! `Idempotency-Key` on POST: the same request again is given the first one's answer, for a day.
//!
//! ```text
//!   (none) ──reserve──▶ at work (status 0) ──2xx──▶ saved ──a day──▶ (none)
//!                            └── anything else ──▶ (none): the next may try
//! ```
//!
//! An answer that held a secret is saved without its body; a repeat is told so. A reservation that outlived its node
//! (it crashed at work) counts as none.

use std::time::Duration;

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{BoxBody, MessageBody, to_bytes_limited},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
    web,
};

use super::{
    auth::Caller,
    body::{self, API_LIMIT},
    node::Node,
    problem::{Code, Problem},
};
use crate::store::rows::SavedAnswer;

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Longest key.
const LONGEST: usize = 255;
/// Largest answer that is kept: a pair of rules whose every character JSON has to escape.
const LARGEST: usize = 1_100_000;

/// Marks an answer as holding a secret: put into the response's extensions.
#[derive(Clone, Copy, Debug)]
pub struct HeldSecret;

enum Found {
    Reserved,
    Answer(SavedAnswer),
}

/// See the module. Runs after [`super::auth::authenticate`].
pub async fn repeat<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(key) = request.headers().get("idempotency-key").filter(|_| request.method() == Method::POST) else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST).map(str::to_owned);
    let key = key.ok_or_else(|| {
        Problem::new(Code::MalformedRequest, format!("`Idempotency-Key` is 1 to {LONGEST} visible characters."))
    })?;
    let node = request.app_data::<web::Data<Node>>().cloned().expect("every application is given its node");
    let caller = request.extensions().get::<Caller>().map(Caller::key).expect("authenticated before");

    let mut payload = request.extract::<web::Payload>().await?;
    let bytes = body::read(&mut payload, API_LIMIT).await?;
    let print = fingerprint(&request, &bytes);
    request.set_payload(bytes.into());

    if let Found::Answer(saved) = reserve(&node, &caller, &key, print).await? {
        return Ok(request.into_response(again(&saved, print)?));
    }
    let answered = next.call(request).await;
    match answered {
        Ok(response) if response.status().is_success() => settle(&node, caller, key, print, response).await,
        other => {
            forget(&node, caller, key).await;
            other.map(ServiceResponse::map_into_boxed_body)
        }
    }
}

fn fingerprint(request: &ServiceRequest, body: &[u8]) -> [u8; 32] {
    let mut text = format!("{}\n{}\n{}\n", request.method(), request.path(), request.query_string()).into_bytes();
    if request.path().contains("/users") {
        text.extend_from_slice(&without_passwords(body));
    } else {
        text.extend_from_slice(body);
    }
    crate::secret::sha256(&text)
}

/// A fingerprint is quickly made, and so are guesses at what a short text in it was: passwords are left out.
fn without_passwords(body: &[u8]) -> Vec<u8> {
    let parsed = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    // What cannot be read will be refused, and the reservation given back.
    let mut members = parsed.unwrap_or_default();
    members.retain(|name, _| !name.ends_with("password"));
    serde_json::to_vec(&members).unwrap_or_default()
}

async fn reserve(node: &Node, caller: &str, key: &str, print: [u8; 32]) -> Result<Found, Problem> {
    let (caller, key, now, started) = (caller.to_owned(), key.to_owned(), node.now(), node.started_at);
    let found = node
        .store
        .write("idempotency.reserve", move |tx| {
            Box::pin(async move {
                if let Some(saved) = tx.saved_answer(&caller, &key).await?
                    && now.since(saved.at) < KEPT
                    && (saved.status != 0 || saved.at >= started)
                {
                    return Ok(Found::Answer(saved));
                }
                tx.save_answer(&caller, &key, &SavedAnswer { request: print, status: 0, body: None, at: now }).await?;
                Ok(Found::Reserved)
            })
        })
        .await?;
    Ok(found)
}

fn again(saved: &SavedAnswer, print: [u8; 32]) -> Result<HttpResponse, Problem> {
    if saved.request != print {
        return Err(Problem::new(Code::IdempotencyMismatch, "This key came before with another request; draw a new key."));
    }
    match (saved.status, &saved.body) {
        (0, _) => Err(Problem::new(
            Code::IdempotencyInProgress,
            "The first request with this key is still at work; ask again in a moment.",
        )
        .after(Duration::from_secs(1))),
        (_, None) => Err(Problem::new(
            Code::IdempotencySecret,
            "The request was done, but its answer held a secret, and secrets are shown once. Make a new one.",
        )),
        (status, Some(body)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok(HttpResponse::build(status).content_type("application/json").body(body.clone()))
        }
    }
}

async fn settle<B: MessageBody + 'static>(
    node: &Node,
    caller: String,
    key: String,
    print: [u8; 32],
    response: ServiceResponse<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let held_secret = response.response().extensions().get::<HeldSecret>().is_some();
    let status = response.status().as_u16();
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let bytes = match to_bytes_limited(body, LARGEST).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(actix_web::error::ErrorInternalServerError(error.into())),
        Err(_) => return Err(Problem::new(Code::Internal, "The answer is too large to be kept under a key.").into()),
    };
    let kept = (!held_secret).then(|| String::from_utf8_lossy(&bytes).into_owned());
    let answer = SavedAnswer { request: print, status, body: kept, at: node.now() };
    let saved = node
        .store
        .write("idempotency.settle", move |tx| Box::pin(async move { tx.save_answer(&caller, &key, &answer).await }))
        .await;
    if let Err(error) = saved {
        // The work is done and the caller is here: it is told so. A repeat finds the reservation and is told to wait.
        tracing::warn!(%error, "an answer could not be kept for repeats");
    }
    Ok(ServiceResponse::new(request, head.set_body(bytes).map_into_boxed_body()))
}

async fn forget(node: &Node, caller: String, key: String) {
    let forgotten =
        node.store.write("idempotency.forget", move |tx| Box::pin(async move { tx.forget_answer(&caller, &key).await })).await;
    if let Err(error) = forgotten {
        tracing::warn!(%error, "a reservation under an idempotency key could not be given back");
    }
}
