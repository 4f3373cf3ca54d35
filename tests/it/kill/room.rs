//! A disk without room: nothing is acknowledged, the node says why, and it goes on by itself once there is room.
//!
//! The disk is full for one process: its limit on the size of files (`RLIMIT_FSIZE`) is lowered while it runs. That holds
//! for root too, and every write to a file fails, the log's as well.
#![cfg(target_os = "linux")]

use serde_json::{Value, json};

use super::stage::{Side, Stage};
use crate::support::{Settings, TestNode, http, until, until_said};

async fn ready(node: &TestNode) -> (u16, Value) {
    let answer = http().get(format!("{}/readyz", node.url)).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn waits(node: &TestNode, what: &str) -> u64 {
    node.get("/queue").await["items"][0][what].as_u64().unwrap_or(0)
}

fn hasty() -> Settings {
    let mut settings = Settings::default();
    settings.org.outbound.haste = 300.0;
    settings
}

async fn says_why(node: &TestNode) {
    until_said("that it is not ready", || async { ready(node).await.0 == 503 }).await;
    let (_, said) = ready(node).await;
    let reason = said["reasons"][0].as_str().unwrap_or_default();
    assert!(reason.contains("the database cannot be written"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_public_node_acknowledges_nothing_and_heals() {
    let mut stage = Stage::with(hasty()).await;
    let case = stage.world.new_case(json!({"Subject": "Before"}));
    let issue = stage.world.issue_with("Before").await;
    stage.quiet().await;
    let taken = stage.world.org.handle.acknowledged().len();
    stage.public.limit_files(Some(0));
    says_why(&stage.world.public).await;
    // An outbound message, and an event of the other node.
    stage.world.edit_case(&case, json!({"Subject": "Held back"}));
    stage.world.tracker.handle.edit(&issue, &json!({"description": "held back"}));
    let refused = || stage.world.org.handle.deliveries().iter().any(|line| line.attempts >= 2 && line.failure.is_some());
    until("a message that is refused twice", refused).await;
    until_said("an event that waits on the other node", || async { waits(&stage.world.private, "outbox").await > 0 }).await;
    assert_eq!(stage.world.org.handle.acknowledged().len(), taken);
    assert!(stage.world.org.handle.deliveries()[0].failure.as_ref().is_some_and(|why| why.contains("503")));
    assert_eq!(stage.world.case_field(&case, "Description"), Value::Null);
    assert!(stage.public.runs(), "{}", stage.public.log());
    stage.public.limit_files(None);
    until("what was held back, there", || stage.world.issue_field(&issue, "summary") == "Held back").await;
    until("what was held back, here", || stage.world.case_field(&case, "Description") == "held back").await;
    until_said("that it is ready", || async { ready(&stage.world.public).await.0 == 200 }).await;
    stage.quiet().await;
    assert_eq!((stage.world.org.handle.count("Case"), stage.world.tracker.handle.count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_private_node_acknowledges_nothing_and_heals() {
    let mut stage = Stage::with(hasty()).await;
    let case = stage.world.new_case(json!({"Subject": "Before"}));
    let issue = stage.world.issue_with("Before").await;
    stage.quiet().await;
    let taken = stage.world.tracker.handle.hooks_taken().len();
    stage.node(Side::Private).limit_files(Some(0));
    says_why(&stage.world.private).await;
    stage.world.edit_case(&case, json!({"Subject": "Held back"}));
    stage.world.tracker.handle.edit(&issue, &json!({"description": "held back"}));
    let refused = || stage.world.tracker.handle.calls().get("hook_failed").copied().unwrap_or(0) >= 2;
    until("a webhook that is refused twice", refused).await;
    until_said("an event that waits on the other node", || async { waits(&stage.world.public, "outbox").await > 0 }).await;
    assert_eq!(stage.world.tracker.handle.hooks_taken().len(), taken);
    assert_eq!(stage.world.issue_field(&issue, "summary"), "Before");
    assert!(stage.private.runs(), "{}", stage.private.log());
    stage.private.limit_files(None);
    until("what was held back, there", || stage.world.issue_field(&issue, "summary") == "Held back").await;
    until("what was held back, here", || stage.world.case_field(&case, "Description") == "held back").await;
    until_said("that it is ready", || async { ready(&stage.world.private).await.0 == 200 }).await;
    stage.quiet().await;
    assert_eq!((stage.world.org.handle.count("Case"), stage.world.tracker.handle.count()), (1, 1));
}
