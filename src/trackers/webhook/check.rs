//! Proving the way to a `webhook` tracker step by step, without sending it anything that it would act on.
//!
//! `HEAD {url}` proves name, connection and TLS: any HTTP answer will do, since the receiver is made for POST. The
//! secret can only be proved where a record can be read.

use std::time::Duration;

use http::StatusCode;

use super::{Webhook, wire};
use crate::{
    clock::Time,
    domain::tracker::{CheckStatus, CheckStep},
    http_client::{Kind, Trouble, why},
};

/// A key that no record has.
const NOBODY: &str = "wicketgate-check";

fn step(name: &str, status: CheckStatus, detail: impl Into<String>, advice: impl Into<String>, took: Duration) -> CheckStep {
    CheckStep {
        name: name.to_owned(),
        status,
        detail: detail.into(),
        advice: advice.into(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// All steps; after one that fails the rest is skipped.
pub(super) async fn steps(tracker: &Webhook) -> Vec<CheckStep> {
    let started = tracker.clock.now();
    let request = tracker.http.head(tracker.settings.url.clone()).timeout(tracker.settings.timeout.0);
    let outcome = request.send().await.map(|response| response.status()).map_err(|error| why(&error));
    let took = tracker.clock.now().since(started);
    let mut steps = way(&outcome, tracker.settings.url.scheme() == "https", took);
    steps.push(match steps.last() {
        Some(last) if last.status == CheckStatus::Ok => login(tracker).await,
        _ => step("secret", CheckStatus::Skipped, "not tried", "", Duration::ZERO),
    });
    steps
}

/// Which steps of the way one call proved.
fn way(outcome: &Result<StatusCode, Trouble>, tls: bool, took: Duration) -> Vec<CheckStep> {
    let names = ["name", "connection", "tls", "answer"];
    let failed_at = outcome.as_ref().err().map(|trouble| match trouble.kind {
        Kind::Dns | Kind::Blocked | Kind::Request => 0,
        Kind::Connect | Kind::Proxy => 1,
        Kind::Tls => 2,
        Kind::Timeout if !trouble.in_doubt => 1,
        Kind::Timeout | Kind::Reset | Kind::Body => 3,
    });
    let mut steps = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate().filter(|(_, name)| tls || *name != "tls") {
        steps.push(match (outcome, failed_at) {
            (Err(trouble), Some(failed)) if at == failed => step(name, CheckStatus::Failed, &trouble.what, &trouble.advice, took),
            (_, Some(failed)) if at > failed => step(name, CheckStatus::Skipped, "not tried", "", Duration::ZERO),
            (Ok(status), _) if name == "answer" && matches!(status.as_u16(), 300..=399 | 407 | 500..) => {
                let (detail, advice) = wire::told(*status);
                step(name, CheckStatus::Failed, detail, advice, took)
            }
            (Ok(status), _) if name == "answer" => {
                step(name, CheckStatus::Ok, format!("HTTP {} to HEAD", status.as_u16()), "", took)
            }
            _ => step(name, CheckStatus::Ok, "well", "", Duration::ZERO),
        });
    }
    steps
}

async fn login(tracker: &Webhook) -> CheckStep {
    let Some(read_url) = &tracker.settings.read_url else {
        let detail = "without `read_url` nothing can be asked; the first record that is sent will show it";
        return step("secret", CheckStatus::Skipped, detail, "", Duration::ZERO);
    };
    let started: Time = tracker.clock.now();
    let answer = tracker.get(read_url, NOBODY).await;
    let took = tracker.clock.now().since(started);
    match answer {
        Err(error) => step("secret", CheckStatus::Failed, error.detail, error.advice, took),
        Ok(answer) => match answer.status.as_u16() {
            300..=399 | 401 | 403 | 407 | 408 | 429 | 500.. => {
                let error = wire::refusal(&answer);
                step("secret", CheckStatus::Failed, error.detail, error.advice, took)
            }
            status => step("secret", CheckStatus::Ok, format!("HTTP {status} to a signed GET"), "", took),
        },
    }
}
