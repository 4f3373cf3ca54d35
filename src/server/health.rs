//! `/healthz`, `/readyz`, `/metrics`: for machines.

use std::fmt::Write as _;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::kit::{Node, Problem, auth};
use crate::{domain::token::Scope, telemetry::describe};

/// `/healthz` and `/readyz` need no token: they say nothing of what is inside.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(alive)))
        .service(web::resource("/readyz").route(web::get().to(ready)));
}

/// `/metrics` for a token with `read`.
pub(super) fn guarded_metrics(config: &mut web::ServiceConfig) {
    config.service(web::resource("/metrics").route(web::get().to(guarded)));
}

/// `/metrics` on its own listener.
pub(super) fn open_metrics(config: &mut web::ServiceConfig) {
    config.service(web::resource("/metrics").route(web::get().to(metrics)));
}

/// The process runs and answers.
async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// It can take in work: the store accepts writes and nobody asked it to stop.
async fn ready(node: web::Data<Node>) -> HttpResponse {
    let mut reasons: Vec<String> = node.store_health().await.err().into_iter().collect();
    if node.lifecycle.is_stopping() {
        reasons.push("the node is stopping".to_owned());
    }
    let mut answer = if reasons.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(json!({"ready": reasons.is_empty(), "reasons": reasons, "version": env!("CARGO_PKG_VERSION")}))
}

async fn guarded(node: web::Data<Node>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let caller = auth::identify(&node, &request).await?;
    caller.require_node(Scope::Read)?;
    metrics(node).await
}

/// Counters, and gauges as the store shows them now. No ids in labels; trackers' names are the operator's own few.
async fn metrics(node: web::Data<Node>) -> Result<HttpResponse, Problem> {
    let trackers: Vec<String> = node.trackers.keys().cloned().collect();
    let (waiting, changes) = node
        .store
        .read("metrics", move |tx| {
            Box::pin(async move {
                let mut sums = crate::store::rows::Waiting::default();
                for connection in tx.connections().await? {
                    let there = tx.waiting(connection.id).await?;
                    sums.outbox += there.outbox;
                    sums.inbox += there.inbox;
                    sums.inbox_bytes += there.inbox_bytes;
                    sums.parked += there.parked;
                }
                let mut changes = Vec::with_capacity(trackers.len());
                for tracker in trackers {
                    let count = tx.count_changes(&tracker).await?;
                    changes.push((tracker, count));
                }
                Ok((sums, changes))
            })
        })
        .await?;
    let mut out = node.metrics.render();
    let gauges = [
        ("wicketgate_outbox_events", "Events that wait to be handed over or acknowledged.", waiting.outbox),
        ("wicketgate_inbox_events", "Events of other nodes that wait to be applied.", waiting.inbox),
        ("wicketgate_inbox_bytes", "Bytes of those.", waiting.inbox_bytes),
        ("wicketgate_twins_parked", "Twins that are parked.", waiting.parked),
    ];
    for (name, help, value) in gauges {
        describe(&mut out, name, "gauge", help);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name} {value}");
    }
    describe(&mut out, "wicketgate_changes_waiting", "gauge", "Changes that wait to be looked at, by tracker.");
    for (tracker, count) in changes {
        let label = tracker.replace('\\', "\\\\").replace('"', "\\\"");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "wicketgate_changes_waiting{{tracker=\"{label}\"}} {count}");
    }
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(out))
}
