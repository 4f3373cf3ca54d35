//! Salesforce does not tell everything: the light look beside the messages.

use std::time::Duration;

use serde_json::json;

use super::{by, says};
use crate::support::{Settings, World, clock::MovableClock, until};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A world that looks every five minutes, by its clock, and has looked once.
async fn looking(clock: &MovableClock) -> World {
    let world = World::with(Settings { support: String::new(), ..by(clock) }).await;
    first_looks(&world, clock).await;
    world
}

/// The first look only makes the cursor, and costs nothing; the second asks.
async fn first_looks(world: &World, clock: &MovableClock) {
    for _ in 0..20 {
        clock.advance(FIVE_MINUTES + Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if world.calls("deleted") > 0 {
            break;
        }
    }
    world.quiet().await;
}

/// Moves the clock on to the next look and waits until it is over.
async fn next_look(world: &World, clock: &MovableClock) {
    let looked = || world.calls("deleted");
    let before = looked();
    clock.advance(FIVE_MINUTES + Duration::from_secs(1));
    until("a look", || looked() > before).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_and_silent_users_are_found() {
    let clock = MovableClock::default();
    let world = looking(&clock).await;
    let silent = world.org.handle.add_user("night@example.com", "Night", "Shift", false);
    let case = world.new_case(json!({"Subject": "Told"}));
    let issue = world.issue_with("Told").await;
    world.org.handle.update(&case, &json!({"Subject": "Said nothing"}), &silent).expect("taken");
    let made = world.org.handle.create("Case", &json!({"Subject": "Made in silence"}), &silent).expect("taken");
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Told", "nobody said so");
    next_look(&world, &clock).await;
    until("the silent edit", || world.issue_field(&issue, "summary") == "Said nothing").await;
    let other = world.issue_with("Made in silence").await;
    world.org.handle.delete(&case, &silent).expect("deleted");
    next_look(&world, &clock).await;
    world.twin_in(&world.public, &case, "stopped").await;
    let twin = world.twin_in(&world.private, &issue, "stopped").await;
    assert!(world.tracker.handle.get(&issue).is_some_and(|issue| !issue.deleted), "the other record stays: {twin}");
    world.told(&world.private, &issue, "the end", |line| says(line, "applied", "the other side's record was deleted")).await;
    world.org.handle.undelete(&case, &silent).expect("undeleted");
    world.org.handle.update(&case, &json!({"Subject": "Back again"}), &silent).expect("taken");
    next_look(&world, &clock).await;
    until("undelete resumes", || world.issue_field(&issue, "summary") == "Back again").await;
    world.twin_in(&world.private, &issue, "in_sync").await;
    assert_eq!((world.tracker.handle.count(), world.org.handle.count("Case")), (2, 2));
    assert!(world.public.twin_of(&made).await.is_some_and(|twin| twin["remote"]["key"] == other.as_str()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_costs_two_calls_however_many_records() {
    let clock = MovableClock::default();
    let world = looking(&clock).await;
    let silent = world.org.handle.add_user("night@example.com", "Night", "Shift", false);
    let rows: Vec<_> = (0..30).map(|n| json!({"Subject": format!("Case {n}")})).collect();
    let cases = world.org.handle.create_many("Case", &rows, &world.org.handle.agent_user()).expect("taken");
    until("all issues", || world.tracker.handle.count() == 30).await;
    world.quiet().await;
    clock.advance(Duration::from_secs(10));
    let before = world.org.handle.api_calls_total();
    next_look(&world, &clock).await;
    let told = world.org.handle.api_calls_total() - before;
    assert!(told <= 2, "{told} calls for what the messages had brought");
    for case in &cases {
        world.org.handle.update(case, &json!({"Description": "in silence"}), &silent).expect("taken");
    }
    let before = world.org.handle.api_calls_total();
    next_look(&world, &clock).await;
    until("all edits", || world.tracker.handle.all().iter().all(|issue| issue.fields["description"] == "in silence")).await;
    world.quiet().await;
    let found = world.org.handle.api_calls_total() - before;
    assert!(found <= 2, "{found} calls for thirty silent edits");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_look_brings_no_history() {
    let clock = MovableClock::default();
    let mut world = World::with(Settings { support: String::new(), joined: false, ..by(&clock) }).await;
    // Late enough to lie within the overlap of the first looks, which come at five and ten minutes.
    clock.advance(Duration::from_secs(280));
    let old = world.new_case(json!({"Subject": "From before"}));
    world.told(&world.public, &old, "its end", |line| line["outcome"] == "skipped").await;
    clock.advance(Duration::from_secs(5));
    world.join(json!({})).await;
    clock.advance(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    next_look(&world, &clock).await;
    let shown = |line: &serde_json::Value| line["reason"].as_str().unwrap_or_default().contains("no trigger matches");
    world.told(&world.public, &old, "that the look showed it", shown).await;
    let silent = world.org.handle.add_user("night@example.com", "Night", "Shift", false);
    let new = world.org.handle.create("Case", &json!({"Subject": "From after"}), &silent).expect("taken");
    next_look(&world, &clock).await;
    world.issue_with("From after").await;
    next_look(&world, &clock).await;
    assert!(world.public.twin_of(&new).await.is_some());
    assert!(world.public.twin_of(&old).await.is_none(), "running the trigger is for that");
    world.org.handle.update(&old, &json!({"Subject": "Touched since"}), &silent).expect("taken");
    next_look(&world, &clock).await;
    world.issue_with("Touched since").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_edit_in_the_second_of_a_look_is_found_by_the_next() {
    let clock = MovableClock::default();
    let world = looking(&clock).await;
    let silent = world.org.handle.add_user("night@example.com", "Night", "Shift", false);
    let case = world.new_case(json!({"Subject": "0"}));
    let issue = world.issue_with("0").await;
    for round in 1..=3 {
        let subject = round.to_string();
        // Saved, looked at, and saved again in the same second.
        clock.advance(FIVE_MINUTES + Duration::from_secs(1));
        world.org.handle.update(&case, &json!({"Subject": format!("{subject}, first")}), &silent).expect("taken");
        tokio::time::sleep(Duration::from_millis(100 * round)).await;
        world.org.handle.update(&case, &json!({"Subject": subject}), &silent).expect("taken");
        world.quiet().await;
        next_look(&world, &clock).await;
        until("the later one", || world.issue_field(&issue, "summary") == subject.as_str()).await;
    }
    world.stop().await;
}
