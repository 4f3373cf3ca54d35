//! The link's doors: bytes in, bytes out. What they mean is decided in `link`.
//!
//! A body is read whole before anything is judged, since the token is bound to it; it has a limit, and a larger one is
//! answered with a signed `too_large`. A held request that its caller gave up is dropped here, and the link takes that
//! as the end of its run: the listener must have half-closed connections off (`h1_allow_half_closed(false)`). Calls that
//! nobody can vouch for are counted per address, like failures at every door.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    dev::Decompress,
    error::PayloadError,
    http::{StatusCode, header},
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::{
    domain::ids::{ConnectionId, InvitationId},
    link::{
        Answer, Call, Link,
        protocol::{MAX_BODY, MAX_SMALL, PROOF, Refusal, RefusalHeard, SIGNATURE},
    },
    server::kit::{
        Node, address,
        limiter::{Door, too_many},
    },
};

/// Mounts the doors; app data: `web::Data<Link>`.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.route("/link/v1", web::get().to(discover))
        .route("/link/v1/connections/{id}/exchange", web::post().to(exchange))
        .route("/link/v1/invitations/{id}/accept", web::post().to(accept));
}

async fn discover(link: web::Data<Link>) -> HttpResponse {
    HttpResponse::Ok().json(link.discovery())
}

async fn exchange(link: web::Data<Link>, id: web::Path<String>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let refuse = |refusal| respond(link.refuse(Some(&id), &call(&request, None), &refusal));
    let Ok(known) = id.parse::<ConnectionId>() else { return refuse(Refusal::UnknownConnection) };
    match read(&request, payload, MAX_BODY).await {
        Ok(body) => counted(&request, Door::Link, link.answer_exchange(known, call(&request, body)).await),
        Err(refusal) => refuse(refusal),
    }
}

async fn accept(link: web::Data<Link>, id: web::Path<String>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let refuse = |refusal| respond(link.refuse(None, &call(&request, None), &refusal));
    let Ok(id) = id.parse::<InvitationId>() else { return refuse(Refusal::InvitationUnknown) };
    match read(&request, payload, MAX_SMALL).await {
        Ok(body) => counted(&request, Door::Codes, link.answer_accept(id, call(&request, body)).await),
        Err(refusal) => refuse(refusal),
    }
}

fn call(request: &HttpRequest, body: Option<Bytes>) -> Call {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let token = header(header::AUTHORIZATION.as_str()).and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    Call { method: request.method().as_str().to_owned(), path: request.path().to_owned(), token, proof: header(PROOF), body }
}

/// The body, content encoding undone; `None` where it is larger than `most` bytes.
async fn read(request: &HttpRequest, payload: web::Payload, most: usize) -> Result<Option<Bytes>, Refusal> {
    let mut payload = Decompress::from_headers(payload.into_inner(), request.headers());
    let mut body = BytesMut::new();
    let (mut larger, mut seen) = (false, 0);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error: PayloadError| Refusal::Malformed(format!("the body broke off: {error}")))?;
        seen += chunk.len();
        if seen <= most {
            body.extend_from_slice(&chunk);
            continue;
        }
        // Read on without keeping, up to a bound: a caller that is still sending would not see the answer.
        larger = true;
        body.clear();
        if seen > most.saturating_mul(4) {
            break;
        }
    }
    Ok((!larger).then(|| body.freeze()))
}

/// Beyond the limit a caller that nobody can vouch for is told to wait. Refusals that only a partner gets are none of that.
fn counted(request: &HttpRequest, door: Door, answer: Answer) -> HttpResponse {
    if !matches!(answer.status, 401 | 404) {
        return respond(answer);
    }
    let refusal: RefusalHeard = serde_json::from_slice(&answer.body).unwrap_or_default();
    let guessed = matches!(refusal.code.as_str(), "bad_signature" | "unknown_connection" | "invitation_unknown");
    // A link without a node around it (a test of the wire) has no limits.
    let wait = request.app_data::<web::Data<Node>>().filter(|_| guessed).and_then(|node| {
        let from = address::of_request(request, &node.trusted_proxies);
        node.limiter.count(door, from)
    });
    wait.map_or_else(|| respond(answer), |wait| too_many(wait).error_response())
}

fn respond(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(if status.is_success() { "application/json" } else { "application/problem+json" });
    if let Some(signature) = answer.signature {
        response.insert_header((SIGNATURE, signature));
    }
    if let Some(seconds) = answer.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    response.body(answer.body)
}

#[cfg(test)]
mod tests;
