//! Where trackers knock: Salesforce's outbound messages, webhooks, and the browser that comes back from a sign-in.
//!
//! The order is always: token, size, sense, store, answer. What cannot be kept is never acknowledged, so the sender
//! repeats it; what a person should know stands as an error of the tracker ([`kit::door`](super::kit::door)).
//!
//! These doors are busy: a token is compared in memory, nothing is read from the database, and many messages share one
//! commit ([`intake`]).

mod intake;
mod outbound;
mod sign_in;
mod webhook;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::kit::{Code, Node, Problem, address, door::Trouble, limiter::Door};
use crate::telemetry::Counter;

/// Largest webhook.
const LIMIT: usize = 2_000_000;

/// Mounts the doors of one worker.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::Data::new(intake::Intake::default()))
        .service(
            web::resource("/salesforce/{tracker}/outbound-messages/{token}")
                .route(web::post().to(outbound::take))
                .route(web::get().to(outbound::show)),
        )
        .service(web::resource("/salesforce/{tracker}/oauth/callback").route(web::get().to(sign_in::finish)))
        .service(web::resource("/hooks/{tracker}/{token}").route(web::post().to(webhook::take)));
}

/// Refuses a wrong token: counted per address, shown to the operator.
async fn check_token(node: &Node, request: &HttpRequest, tracker: &str, token: &str) -> Result<(), Problem> {
    if node.doors.opens(tracker, token) {
        return Ok(());
    }
    let refused = guess(node, request);
    let from = address::of_request(request, &node.trusted_proxies);
    node.doors
        .report(
            &node.store,
            tracker,
            Trouble::WrongToken,
            format!("A message came from {from} with a token that is not this tracker's."),
        )
        .await;
    Err(refused)
}

/// The refusal of a token that opens nothing, counted against its address.
fn guess(node: &Node, request: &HttpRequest) -> Problem {
    let from = address::of_request(request, &node.trusted_proxies);
    node.metrics.add(Counter::HooksRefused, 1);
    let wrong = Problem::new(Code::WrongDoorToken, "The token in this address is wrong or was rotated; nothing was taken in.");
    node.limiter.failed(Door::Hooks, from, wrong)
}

/// A page of one paragraph, for a person whose browser came to a door.
fn page(status: u16, title: &str, text: &str) -> HttpResponse {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><h1>{0}</h1><p>{1}</p></html>",
        escape(title),
        escape(text)
    );
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::OK))
        .content_type("text/html; charset=utf-8")
        .body(body)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
