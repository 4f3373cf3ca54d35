//! The moments in which a kill would hurt most, each met for certain: the commit that has not happened yet, and the write
//! that is done and whose answer never comes.
//!
//! A commit is held by a transaction of the test on the node's own file: the node waits for it (five seconds, then it
//! says that it cannot store), and is killed before it gets it.

use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions as _, SqliteConnection};
use wicketgate::sandbox::{
    org::{Fault, FaultKind},
    tracker::{TrackerFault, TrackerFaultKind},
};

use super::stage::{Side, Stage};
use crate::support::{Settings, TestNode, sum, until};

/// What acknowledges before the commit does so within milliseconds.
const LONG_ENOUGH: Duration = Duration::from_millis(1500);
/// An answer that will not come while the node lives.
const NEVER: u64 = 60_000;

/// Far systems that try again soon.
async fn stage() -> Stage {
    let mut settings = Settings::default();
    settings.org.outbound.haste = 300.0;
    Stage::with(settings).await
}

/// Nothing can be committed to this node's file until what this gives back is dropped.
async fn hold_commits(node: &TestNode) -> SqliteConnection {
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(node.dir.join("wicketgate.db"));
    let mut line = file.busy_timeout(Duration::from_secs(5)).connect().await.expect("the database");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut line).await.expect("nobody else may write");
    line
}

async fn nothing_is_acknowledged_before_its_commit(side: Side) {
    let mut stage = stage().await;
    let case = stage.world.new_case(json!({"Subject": "Before"}));
    let issue = stage.world.issue_with("Before").await;
    stage.quiet().await;
    let heard = |stage: &Stage| match side {
        Side::Public => stage.world.org.handle.acknowledged().len(),
        Side::Private => stage.world.tracker.handle.hooks_taken().len(),
    };
    let before = heard(&stage);
    let (held, other) = match side {
        Side::Public => (hold_commits(&stage.world.public).await, &stage.world.private),
        Side::Private => (hold_commits(&stage.world.private).await, &stage.world.public),
    };
    // One notice from its tracker, one event from the other node.
    stage.world.edit_case(&case, json!({"Subject": "Held"}));
    assert!(stage.world.tracker.handle.edit(&issue, &json!({"description": "held"})));
    tokio::time::sleep(LONG_ENOUGH).await;
    assert_eq!(heard(&stage), before, "a notice was acknowledged before it was stored");
    let waits = other.get("/queue").await;
    assert!(sum(&waits) > 0, "an event was acknowledged before it was stored: {waits}");
    stage.node(side).kill();
    drop(held);
    stage.node(side).start().await;
    until("the notice that was not acknowledged", || stage.world.issue_field(&issue, "summary") == "Held").await;
    until("the event that was not acknowledged", || stage.world.case_field(&case, "Description") == "held").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_node_acknowledges_nothing_before_its_commit() {
    nothing_is_acknowledged_before_its_commit(Side::Public).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_node_acknowledges_nothing_before_its_commit() {
    nothing_is_acknowledged_before_its_commit(Side::Private).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_made_right_before_the_kill_is_adopted_with_what_people_did_since() {
    let mut stage = stage().await;
    stage.world.org.handle.fail(Fault::on_writes(1, FaultKind::HangAfterCommit(NEVER)));
    let issue = stage.world.tracker.handle.create(&json!({"summary": "Lost", "description": "from there"}));
    let case = stage.world.case_with("Lost").await;
    stage.public.kill();
    stage.world.edit_case(&case, json!({"Subject": "Found by Mira", "Priority": "High"}));
    stage.public.start().await;
    until("her edit there", || stage.world.issue_field(&issue, "summary") == "Found by Mira").await;
    stage.quiet().await;
    assert_eq!(stage.world.case_field(&case, "Subject"), "Found by Mira");
    assert_eq!(stage.world.case_field(&case, "Description"), "from there");
    assert_eq!(stage.world.issue_field(&issue, "priority"), "High");
    assert_eq!((stage.world.org.handle.count("Case"), stage.world.tracker.handle.count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_made_right_before_the_kill_is_asked_for_by_the_same_create() {
    let mut stage = stage().await;
    let tracker = stage.world.tracker.handle.clone();
    tracker.fail(TrackerFault::on_writes(1, TrackerFaultKind::HangAfterWork(NEVER)));
    let case = stage.world.new_case(json!({"Subject": "Lost", "Description": "from there"}));
    let issue = stage.world.issue_with("Lost").await;
    stage.private.kill();
    assert!(tracker.edit(&issue, &json!({"summary": "Found by Jonas"})));
    stage.private.start().await;
    until("his edit there", || stage.world.case_field(&case, "Subject") == "Found by Jonas").await;
    stage.quiet().await;
    assert_eq!(stage.world.issue_field(&issue, "summary"), "Found by Jonas");
    assert_eq!((stage.world.org.handle.count("Case"), tracker.count()), (1, 1));
    let writes = tracker.log();
    assert!(writes.len() == 2 && writes[0].webhook_id == writes[1].webhook_id, "{writes:?}");
    assert_eq!(writes[0].body, writes[1].body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_done_right_before_the_kill_is_repeated_before_anything_newer() {
    let mut stage = stage().await;
    let case = stage.world.new_case(json!({"Subject": "v0", "Description": "d"}));
    let issue = stage.world.issue_with("v0").await;
    stage.quiet().await;
    let tracker = stage.world.tracker.handle.clone();
    let before = tracker.log().len();
    tracker.fail(TrackerFault::on_writes(1, TrackerFaultKind::HangAfterWork(NEVER)));
    stage.world.edit_case(&case, json!({"Subject": "v1"}));
    until("the update", || stage.world.issue_field(&issue, "summary") == "v1").await;
    stage.private.kill();
    stage.world.edit_case(&case, json!({"Subject": "v2"}));
    stage.private.start().await;
    until("the newer update", || stage.world.issue_field(&issue, "summary") == "v2").await;
    stage.quiet().await;
    let writes = tracker.log().split_off(before);
    let values: Vec<_> = writes.iter().map(|write| &write.body["data"]["fields"]["summary"]).collect();
    assert_eq!(values, ["v1", "v1", "v2"], "{writes:?}");
    assert_eq!((&writes[0].webhook_id, &writes[0].body), (&writes[1].webhook_id, &writes[1].body));
    assert_ne!(writes[1].webhook_id, writes[2].webhook_id);
    assert_eq!((writes[0].applied, writes[1].applied), (true, false), "the tracker knew it");
}
