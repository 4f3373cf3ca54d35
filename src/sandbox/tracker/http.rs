//! The doors of the `webhook` contract: signed writes in, reads out; and faults on demand.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::{Value, json};

use super::{
    Shared,
    book::{Answer, Book, Received},
    faults::{self, TrackerFault, TrackerFaultKind as Kind},
    signature::verify,
};
use crate::sandbox::{
    page::same_site,
    wire::{http_date, reset},
};

/// Largest message: 16 MB.
pub(super) const LARGEST_BODY: usize = 16 * 1024 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/entities", web::post().to(receive))
        .route("/entities/{key}", web::get().to(read))
        .route("/sandbox/faults", web::to(set_faults));
}

fn answer((status, body): &Answer, retry_after: Option<u64>) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if let Some(seconds) = retry_after {
        response.insert_header(("Retry-After", seconds.to_string()));
    }
    match body {
        Value::String(text) => response.content_type("text/plain; charset=utf-8").body(text.clone()),
        body => response.json(body),
    }
}

/// What a fault answers in place of any work; `None` for those that come after it.
fn broken(fault: &Kind) -> Option<(Answer, Option<u64>)> {
    Some(match fault {
        Kind::TooMany(seconds) => ((429, json!({"error": "too many"})), Some(*seconds)),
        Kind::Unavailable(seconds) => ((503, json!({"error": "down for a moment"})), *seconds),
        Kind::Refuse(text) => ((400, Value::String(text.clone())), None),
        Kind::Missing => ((404, json!({"error": "no such record"})), None),
        Kind::Gone => ((410, json!({"error": "gone"})), None),
        Kind::Conflict(key) => ((409, json!({"key": key})), None),
        Kind::LoseAnswer | Kind::HangAfterWork(_) | Kind::ResetBefore | Kind::Hang(_) => return None,
    })
}

async fn receive(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let now = shared.clock.now();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id").to_owned();
    let message = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
    let mut entry = Received {
        at: now,
        webhook_id: id.clone(),
        kind: message["type"].as_str().unwrap_or_default().to_owned(),
        key: message["data"]["key"].as_str().map(str::to_owned),
        status: 0,
        applied: false,
        body: message,
    };
    let fault = faults::meet(&mut shared.lock().faults, false, &body);
    if let Some(Kind::Hang(_) | Kind::ResetBefore) = fault {
        shared.lock().note(entry);
        if let Some(Kind::Hang(millis)) = fault {
            shared.clock.sleep(Duration::from_millis(millis)).await;
        }
        return reset();
    }
    let lost = fault.as_ref().is_some_and(Kind::loses_answer);
    let (reply, retry_after) = {
        let mut book = shared.lock();
        let stamp = (header("webhook-timestamp"), header("webhook-signature"));
        let (reply, retry_after) = match fault.as_ref().and_then(broken) {
            Some(broken) => {
                book.count("refused");
                broken
            }
            None if verify(&book.settings.secret, &id, stamp.0, stamp.1, now, &body) => (taken(&mut book, &mut entry), None),
            None => {
                book.count("unsigned");
                ((401, json!({"error": "the signature does not fit, or its time is off by more than five minutes"})), None)
            }
        };
        entry.status = if lost { 0 } else { reply.0 };
        book.note(entry);
        (reply, retry_after)
    };
    shared.wake.notify_one();
    if let Some(Kind::HangAfterWork(millis)) = fault {
        shared.clock.sleep(Duration::from_millis(millis)).await;
    }
    if lost {
        return reset();
    }
    dated(answer(&reply, retry_after), &shared)
}

/// Gives a verified write to the book and notes how it went.
fn taken(book: &mut Book, entry: &mut Received) -> Answer {
    let (reply, applied) = book.receive(&entry.webhook_id, &entry.body);
    entry.applied = applied;
    entry.key = entry.key.take().or_else(|| reply.1["key"].as_str().map(str::to_owned));
    book.count(match (applied, reply.0) {
        (true, _) => "write",
        (false, ..300) => "repeat",
        (false, _) => "refused",
    });
    reply
}

async fn read(shared: web::Data<Shared>, key: web::Path<String>) -> HttpResponse {
    let fault = {
        let mut book = shared.lock();
        book.count("read");
        faults::meet(&mut book.faults, true, b"")
    };
    match &fault {
        Some(Kind::Hang(millis) | Kind::HangAfterWork(millis)) => {
            shared.clock.sleep(Duration::from_millis(*millis)).await;
            return reset();
        }
        Some(Kind::ResetBefore | Kind::LoseAnswer) => return reset(),
        _ => {}
    }
    if let Some((reply, retry_after)) = fault.as_ref().and_then(broken) {
        return answer(&reply, retry_after);
    }
    let book = shared.lock();
    let reply = match book.entities.get(key.as_str()) {
        None => (404, json!({"error": "no such record"})),
        Some(entity) if entity.deleted => (410, json!({"error": "deleted"})),
        Some(entity) => (200, book.shown(entity)),
    };
    drop(book);
    dated(answer(&reply, None), &shared)
}

fn dated(mut response: HttpResponse, shared: &Shared) -> HttpResponse {
    if let Ok(date) = http_date(shared.clock.now()).parse() {
        response.headers_mut().insert(actix_web::http::header::DATE, date);
    }
    response
}

async fn set_faults(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    if request.method() == actix_web::http::Method::DELETE {
        shared.lock().faults.clear();
        return HttpResponse::NoContent().finish();
    }
    match serde_json::from_slice::<TrackerFault>(&body) {
        Ok(fault) => {
            shared.lock().faults.push(fault);
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    }
}
