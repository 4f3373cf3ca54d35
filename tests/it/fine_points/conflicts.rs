//! Both sides changed: one winner on both nodes, the loser kept, different fields both alive; and ping-pong.

use std::time::Duration;

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::by;
use crate::support::{Settings, World, clock::MovableClock, until};

const A_WHILE: Duration = Duration::from_secs(10);

/// A pair in sync whose link is off, so that nobody hears of the other's edits.
async fn apart(clock: &MovableClock, connection: Value) -> (World, String, String) {
    let world = World::with(Settings { connection, ..by(clock) }).await;
    let case = world.new_case(json!({"Subject": "Both", "Description": "Both"}));
    let issue = world.issue_with("Both").await;
    world.quiet().await;
    clock.advance(A_WHILE);
    world.switch(&world.public, false).await;
    (world, case, issue)
}

async fn joined(world: &World, case: &str, issue: &str, winner: &str) {
    // Both edits have been taken in before the sides hear of each other.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.switch(&world.public, true).await;
    until("the same winner on both sides", || {
        world.case_field(case, "Subject") == winner && world.issue_field(issue, "summary") == winner
    })
    .await;
    world.quiet().await;
    assert_eq!((world.case_field(case, "Subject"), world.issue_field(issue, "summary")), (json!(winner), json!(winner)));
}

/// Whether a history shows this value as one that lost.
fn lost(line: &Value, value: &str) -> bool {
    line["changes"].as_array().is_some_and(|changes| changes.iter().any(|one| one["conflict"] == true && one["from"] == value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_wins_where_the_other_side_is_newer() {
    let clock = MovableClock::default();
    let (world, case, issue) = apart(&clock, json!({})).await;
    world.edit_case(&case, json!({"Subject": "of the org"}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(A_WHILE);
    world.tracker.handle.edit(&issue, &json!({"summary": "of the tracker"}));
    joined(&world, &case, &issue, "of the tracker").await;
    world.told(&world.public, &case, "the loser", |line| lost(line, "of the org")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_wins_where_the_deciding_side_is_newer() {
    let clock = MovableClock::default();
    let (world, case, issue) = apart(&clock, json!({})).await;
    world.tracker.handle.edit(&issue, &json!({"summary": "of the tracker"}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(A_WHILE);
    world.edit_case(&case, json!({"Subject": "of the org"}));
    joined(&world, &case, &issue, "of the org").await;
    world.told(&world.public, &case, "the loser", |line| lost(line, "of the tracker")).await;
    world.told(&world.private, &issue, "the loser, there too", |line| lost(line, "of the tracker")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_two_seconds_the_preferred_side_wins() {
    for (prefer, winner) in [("local", "of the org"), ("remote", "of the tracker")] {
        let clock = MovableClock::default();
        let (world, case, issue) = apart(&clock, json!({"prefer": prefer})).await;
        world.edit_case(&case, json!({"Subject": "of the org"}));
        world.tracker.handle.edit(&issue, &json!({"summary": "of the tracker"}));
        joined(&world, &case, &issue, winner).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_another_field_while_a_conflict_is_open_does_not_decide_it() {
    let clock = MovableClock::default();
    let (world, case, issue) = apart(&clock, json!({})).await;
    // The private side hears of the org's newer subject while its own older one still waits to leave.
    world.tracker.handle.edit(&issue, &json!({"summary": "of the tracker"}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(A_WHILE);
    world.edit_case(&case, json!({"Subject": "of the org"}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    clock.advance(A_WHILE);
    world.tracker.handle.edit(&issue, &json!({"description": "of the tracker"}));
    joined(&world, &case, &issue, "of the org").await;
    assert_eq!(world.case_field(&case, "Description"), "of the tracker");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_different_fields_both_survive() {
    let clock = MovableClock::default();
    let (world, case, issue) = apart(&clock, json!({})).await;
    world.edit_case(&case, json!({"Subject": "of the org"}));
    world.tracker.handle.edit(&issue, &json!({"description": "of the tracker"}));
    joined(&world, &case, &issue, "of the org").await;
    assert_eq!(world.case_field(&case, "Description"), "of the tracker");
    assert_eq!(world.issue_field(&issue, "description"), "of the tracker");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ping_pong_is_stopped_with_both_values_shown() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Ping"}));
    let issue = world.issue_with("Ping").await;
    world.quiet().await;
    // An automation on each side that wants its own word.
    let parked = || async {
        for node in [&world.public, &world.private] {
            if let Some(twin) = node.twin_of(&issue).await
                && twin["status"] == "parked"
            {
                return Some(twin);
            }
        }
        None
    };
    let mut found = None;
    for _ in 0..2000 {
        if world.issue_field(&issue, "summary") == "Ping" {
            world.tracker.handle.edit(&issue, &json!({"summary": "Pong"}));
        }
        if world.case_field(&case, "Subject") == "Pong" {
            world.edit_case(&case, json!({"Subject": "Ping"}));
        }
        found = parked().await;
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let twin = found.expect("it was stopped");
    let detail = twin["error"]["detail"].as_str().expect("words").to_owned();
    assert!(twin["error"]["title"].as_str().is_some_and(|title| title.contains("back and forth")), "{twin}");
    assert!(detail.contains("Ping") && detail.contains("Pong"), "{detail}");
    // It waits for a person: another edit changes nothing, a retry lets the newest state go.
    let node = if world.public.twin_of(&issue).await.is_some_and(|twin| twin["status"] == "parked") {
        &world.public
    } else {
        &world.private
    };
    world.edit_case(&case, json!({"Subject": "Peace"}));
    world.tracker.handle.edit(&issue, &json!({"summary": "Peace"}));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(node.twin_of(&issue).await.expect("a twin")["status"], "parked");
    node.post(&format!("/errors/{}/retry", twin["error"]["id"].as_str().expect("an id")), json!({})).await;
    world.twin_in(node, &issue, "in_sync").await;
    world.edit_case(&case, json!({"Description": "in peace"}));
    until("it flows again", || world.issue_field(&issue, "description") == "in peace").await;
    assert_eq!(world.issue_field(&issue, "summary"), "Peace");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_counts_from_when_it_was_made_not_from_when_we_heard_of_it() {
    let clock = MovableClock::default();
    let mut world = World::with(by(&clock)).await;
    let case = world.new_case(json!({"Subject": "Both"}));
    let issue = world.issue_with("Both").await;
    world.quiet().await;
    world.private.stop().await;
    world.tracker.handle.edit(&issue, &json!({"summary": "older"}));
    clock.advance(A_WHILE);
    world.edit_case(&case, json!({"Subject": "newer"}));
    world.told(&world.public, &case, "it waits to leave", |line| line["changes"].to_string().contains("newer")).await;
    world.public.stop().await;
    clock.advance(A_WHILE);
    world.private.start().await;
    // The tracker repeats its notice: from it alone the node knows when the edit was made.
    world.told(&world.private, &issue, "it waits to leave", |line| line["changes"].to_string().contains("older")).await;
    world.public.start().await;
    until("the newer edit there", || world.issue_field(&issue, "summary") == "newer").await;
    world.quiet().await;
    assert_eq!(world.case_field(&case, "Subject"), "newer");
    assert_eq!(world.issue_field(&issue, "summary"), "newer");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_write_does_not_land_on_what_people_did_since() {
    let clock = MovableClock::default();
    let world = World::with(by(&clock)).await;
    let case = world.new_case(json!({"Subject": "A", "Description": "A"}));
    let issue = world.issue_with("A").await;
    world.quiet().await;
    let fault = TrackerFault { body: Some("B".to_owned()), ..TrackerFault::on_writes(1000, TrackerFaultKind::ResetBefore) };
    world.tracker.handle.fail(fault);
    let attempts = || world.tracker.handle.log().iter().filter(|one| one.status == 0).count();
    world.edit_case(&case, json!({"Subject": "B", "Description": "B"}));
    until("a write without an answer", || attempts() > 0).await;
    clock.advance(A_WHILE);
    world.tracker.handle.edit(&issue, &json!({"summary": "C"}));
    until("the person's edit is told", || world.tracker.handle.hooks_waiting() == 0).await;
    world.tracker.handle.clear_faults();
    clock.advance(Duration::from_secs(60));
    until("the newer edit stays and flows", || world.case_field(&case, "Subject") == "C").await;
    until("the other field arrives", || world.issue_field(&issue, "description") == "B").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "C");
    world.stop().await;
}
