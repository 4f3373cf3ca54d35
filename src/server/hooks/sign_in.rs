//! The browser that comes back from a tracker's sign-in page.
//!
//! Nothing that stands in the address is shown or believed before its `state` is known: anybody can make a link to here.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use url::Url;

use super::page;
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
    let parts = [&came.state, &came.code, &came.error, &came.error_description];
    if parts.into_iter().flatten().any(|part| part.len() > LONGEST) {
        return Ok(page(400, "Not signed in", "The address is too long."));
    }
    let came_back = match came {
        Came { state: Some(state), error: Some(error), error_description, .. } => {
            Err(sign_in.refused(&state, &error, error_description.as_deref().unwrap_or_default()).await)
        }
        Came { state: Some(state), code: Some(code), .. } => sign_in.finish(&redirect(&node, &tracker)?, &state, &code).await,
        _ => return Ok(page(400, "Not signed in", "The address lacks its state or code. Begin again from the tracker's page.")),
    };
    match came_back {
        Ok(()) => Ok(page(200, "Signed in", "The node has its access now. You can close this window.")),
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
