//! Webhooks of local systems (Standard Webhooks): 202 once stored.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{LIMIT, check_token, intake::Intake};
use crate::{
    server::kit::{
        Code, Node, Problem, body,
        door::{HookHeaders, HookRefusal, Trouble},
        shell,
    },
    telemetry::Counter,
};

/// `POST /hooks/{tracker}/{token}`
pub(super) async fn take(
    node: web::Data<Node>,
    intake: web::Data<Intake>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (tracker, token) = path.into_inner();
    let Some(door) = node.hooks.get(&tracker) else { return Err(Problem::not_found("door")) };
    check_token(&node, &request, &tracker, &token).await?;
    let bytes = body::read(&mut payload, LIMIT).await?;
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let headers =
        HookHeaders { id: header("webhook-id"), timestamp: header("webhook-timestamp"), signature: header("webhook-signature") };
    let mut change = match door.accept(&headers, &bytes) {
        Ok(change) => change,
        Err(refusal) => return Err(refuse(&node, &tracker, refusal).await),
    };
    // The sender was told this id with the answer; it follows the change through both nodes.
    change.correlation = shell::correlation(&request, &node);
    intake.add(&node.store, vec![change]).await?;
    node.metrics.add(Counter::WebhookChanges, 1);
    node.doors.good(&node.store, &tracker).await;
    Ok(HttpResponse::Accepted().finish())
}

async fn refuse(node: &Node, tracker: &str, refusal: HookRefusal) -> Problem {
    node.metrics.add(Counter::HooksRefused, 1);
    let (trouble, code, detail) = match refusal {
        HookRefusal::WrongSignature(detail) => (Trouble::WrongSignature, Code::WrongSignature, detail),
        HookRefusal::Stale(detail) => (Trouble::WrongSignature, Code::StaleMessage, detail),
        HookRefusal::Malformed(detail) => (Trouble::Malformed, Code::Invalid, detail),
    };
    node.doors.report(&node.store, tracker, trouble, detail.clone()).await;
    let problem = Problem::new(code, detail);
    if code == Code::Invalid { problem.at("body") } else { problem }
}
