//! An update whose answer was lost, and which is in effect all the same: its values are ours, and what came since counts.

use std::time::Duration;

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::by;
use crate::support::{World, clock::MovableClock, until, until_said};

/// A pair whose newest summary, `v1`, stands there; the node does not know that, and its repeats do not get through.
async fn unheard(clock: &MovableClock) -> (World, String, String) {
    let world = World::with(by(clock)).await;
    let case = world.new_case(json!({"Subject": "v0", "Description": "d"}));
    let issue = world.issue_with("v0").await;
    world.quiet().await;
    let tracker = &world.tracker.handle;
    tracker.fail(TrackerFault::on_writes(1, TrackerFaultKind::LoseAnswer));
    tracker.fail(TrackerFault::on_writes(1000, TrackerFaultKind::ResetBefore));
    world.edit_case(&case, json!({"Subject": "v1"}));
    until("the update", || world.issue_field(&issue, "summary") == "v1").await;
    (world, case, issue)
}

/// The repeat gets through.
fn heal(world: &World, clock: &MovableClock) {
    world.tracker.handle.clear_faults();
    clock.advance(Duration::from_secs(120));
}

fn written(world: &World) -> Vec<Value> {
    let done = world.tracker.handle.log().into_iter().filter(|write| write.applied && write.kind == "entity.updated");
    done.map(|write| write.body["data"]["fields"]["summary"].clone()).collect()
}

/// The update in doubt and the newer one.
async fn both_wait(world: &World) {
    until_said("both to wait there", || async {
        world.private.get("/queue").await["items"][0]["inbox"].as_u64().is_some_and(|inbox| inbox >= 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_echo_of_an_update_in_doubt_is_no_edit() {
    let clock = MovableClock::default();
    let (world, case, issue) = unheard(&clock).await;
    // While its side is off, events stay where they are and notices are looked at.
    world.switch(&world.private, false).await;
    heal(&world, &clock);
    world.quiet_changes().await;
    let story = world.story(&world.private, &issue).await;
    assert!(!story.iter().any(|line| line["outcome"] == "sent"), "{story:#?}");
    world.edit_case(&case, json!({"Subject": "v2"}));
    world.switch(&world.private, true).await;
    until("the newer update", || world.issue_field(&issue, "summary") == "v2").await;
    world.quiet().await;
    assert_eq!((world.case_field(&case, "Subject"), world.issue_field(&issue, "summary")), (json!("v2"), json!("v2")));
    assert_eq!(written(&world), ["v1", "v2"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_before_the_answer_is_taken_back_there() {
    let clock = MovableClock::default();
    let (world, case, issue) = unheard(&clock).await;
    world.edit_case(&case, json!({"Subject": "v0"}));
    both_wait(&world).await;
    heal(&world, &clock);
    until("the first value again", || world.issue_field(&issue, "summary") == "v0").await;
    world.quiet().await;
    assert_eq!((world.case_field(&case, "Subject"), world.issue_field(&issue, "summary")), (json!("v0"), json!("v0")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_value_is_no_conflict_with_an_update_in_doubt() {
    let clock = MovableClock::default();
    let (world, case, issue) = unheard(&clock).await;
    world.edit_case(&case, json!({"Subject": "v2"}));
    both_wait(&world).await;
    // Something else that people did makes the node look closer.
    world.private.post(&format!("/connections/{}/deactivate", world.connection), json!({})).await;
    world.tracker.handle.edit(&issue, &json!({"priority": "High"}));
    heal(&world, &clock);
    world.switch(&world.private, true).await;
    until("the newer update", || world.issue_field(&issue, "summary") == "v2").await;
    world.quiet().await;
    assert_eq!((world.case_field(&case, "Subject"), world.issue_field(&issue, "summary")), (json!("v2"), json!("v2")));
    assert_eq!(written(&world), ["v1", "v2"]);
    world.stop().await;
}
