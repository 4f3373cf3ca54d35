//! The browser that comes back from a tracker's sign-in page.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use url::Url;

use crate::server::kit::{Code, Node, Problem, address, limiter::Door};

/// What the tracker's page appends; others are its own business.
#[derive(Debug, Deserialize)]
pub(super) struct Came {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Longest part that is looked at.
const LONGEST: usize = 4_000;

/// `GET /salesforce/{tracker}/oauth/callback`
pub(super) async fn finish(
    node: web::Data<Node>,
    request: HttpRequest,
    tracker: web::Path<String>,
    came: web::Query<Came>,
) -> Result<HttpResponse, Problem> {
    let Some(sign_in) = node.sign_ins.get(tracker.as_str()) else { return Err(Problem::not_found("sign-in")) };
    let came = came.into_inner();
    if let Some(error) = came.error {
        let words = came.error_description.unwrap_or(error);
        return Ok(page(400, "Not signed in", &format!("The tracker answered: {}", cut(&words))));
    }
    let (Some(state), Some(code)) = (came.state, came.code) else {
        return Ok(page(400, "Not signed in", "The address lacks its state or code. Begin again from the tracker's page."));
    };
    if state.len() > LONGEST || code.len() > LONGEST {
        return Ok(page(400, "Not signed in", "The address is too long."));
    }
    let redirect = redirect(&node, &tracker)?;
    match sign_in.finish(&redirect, &state, &code).await {
        Ok(()) => Ok(page(200, "Signed in", "You can close this window.")),
        Err(error) => {
            let from = address::of_request(&request, &node.trusted_proxies);
            let problem = node.limiter.failed(Door::Codes, from, Problem::new(Code::TrackerRefused, String::new()));
            if problem.code == Code::RateLimited {
                return Err(problem);
            }
            Ok(page(400, "Not signed in", &format!("{} {} {}", error.title, cut(&error.detail), error.advice)))
        }
    }
}

/// This node's callback for a tracker.
fn redirect(node: &Node, tracker: &str) -> Result<Url, Problem> {
    Url::parse(&node.address(&format!("/salesforce/{tracker}/oauth/callback")))
        .map_err(|_| Problem::new(Code::Internal, "This node does not know its own address."))
}

fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}

fn page(status: u16, title: &str, text: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::OK);
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><h1>{0}</h1><p>{1}</p></html>",
        escape(title),
        escape(text)
    );
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(body)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
