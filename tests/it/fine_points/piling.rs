//! Changes that pile up behind a create or a parked event, and refusals that are not for ever.

use std::time::Duration;

use serde_json::json;
use wicketgate::sandbox::{
    org::{Fault, FaultKind},
    tracker::{TrackerFault, TrackerFaultKind},
};

use super::{by, says};
use crate::support::{World, clock::MovableClock, until, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_queue_behind_the_create() {
    let world = World::start().await;
    world.tracker.handle.fail(TrackerFault::on_writes(2, TrackerFaultKind::Unavailable(None)));
    let case = world.new_case(json!({"Subject": "1"}));
    until_said("the twin is there", || async { world.public.twin_of(&case).await.is_some() }).await;
    for subject in ["2", "3", "4"] {
        tokio::time::sleep(Duration::from_millis(60)).await;
        world.edit_case(&case, json!({"Subject": subject}));
    }
    let issue = world.issue_with("4").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    let twins = world.public.get("/twins").await;
    assert_eq!(twins["items"].as_array().map(Vec::len), Some(1), "{twins}");
    world.twin_in(&world.public, &case, "in_sync").await;
    for line in world.story(&world.public, &case).await {
        assert!(["sent", "superseded", "unchanged"].contains(&line["outcome"].as_str().expect("an outcome")), "{line}");
    }
    assert_eq!(world.issue_field(&issue, "summary"), "4");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_merge_behind_a_parked_event_and_a_newer_one_heals_it() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Good", "Description": "0"}));
    let issue = world.issue_with("Good").await;
    world.quiet().await;
    let refuse = |body: &str| TrackerFault {
        body: Some(body.to_owned()),
        ..TrackerFault::on_writes(100, TrackerFaultKind::Refuse("no such words here".to_owned()))
    };
    world.tracker.handle.fail(refuse("Bad"));
    world.edit_case(&case, json!({"Subject": "Bad", "Description": "1"}));
    let twin = world.twin_in(&world.private, &case, "parked").await;
    assert!(twin["error"]["detail"].as_str().is_some_and(|text| text.contains("no such words here")), "{twin}");
    let other = world.word_of(&world.public, &case, "parked").await;
    assert!(other["remote_outcome"]["title"].is_string(), "{other}");
    world.edit_case(&case, json!({"Description": "2"}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.issue_field(&issue, "description"), "0", "it waits behind the parked one");
    let writes = world.writes();
    world.edit_case(&case, json!({"Subject": "Better"}));
    until("the newest state", || world.issue_field(&issue, "summary") == "Better").await;
    assert_eq!(world.issue_field(&issue, "description"), "2", "what waited came with it");
    world.twin_in(&world.private, &case, "in_sync").await;
    world.quiet().await;
    assert_eq!(world.writes(), writes + 1, "applied once");
    let story = world.story(&world.private, &issue).await;
    assert!(story.iter().any(|line| says(line, "superseded", "was carried by event")), "{story:#?}");
    assert_eq!(story.iter().filter(|line| line["outcome"] == "parked").count(), 1, "{story:#?}");
    assert_eq!(world.private.get("/errors").await["items"].as_array().map(Vec::len), Some(0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_releases_or_gives_up_a_parked_event() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Good"}));
    let issue = world.issue_with("Good").await;
    world.quiet().await;
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Refuse("not now".to_owned())));
    world.edit_case(&case, json!({"Subject": "Later"}));
    let twin = world.twin_in(&world.private, &case, "parked").await;
    let error = twin["error"]["id"].as_str().expect("an id").to_owned();
    world.private.post(&format!("/errors/{error}/retry"), json!({})).await;
    until("the retry", || world.issue_field(&issue, "summary") == "Later").await;
    world.quiet().await;
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Refuse("never".to_owned())));
    world.edit_case(&case, json!({"Subject": "Given up"}));
    let twin = world.twin_in(&world.private, &case, "parked").await;
    let error = twin["error"]["id"].as_str().expect("an id").to_owned();
    world.private.post(&format!("/errors/{error}/skip"), json!({})).await;
    world.told(&world.private, &issue, "the end", |line| says(line, "skipped", "skipped by a person")).await;
    world.twin_in(&world.private, &case, "in_sync").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Later");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_tried_again_within_the_hour() {
    let clock = MovableClock::default();
    let world = World::with(by(&clock)).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Approval"}));
    let case = world.case_with("Approval").await;
    world.quiet().await;
    world.org.handle.lock(&case, true);
    world.tracker.handle.edit(&issue, &json!({"summary": "Approved"}));
    let twin = world.twin_in(&world.public, &issue, "parked").await;
    assert!(twin["error"]["retryable"] == true, "{twin}");
    world.org.handle.lock(&case, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.case_field(&case, "Subject"), "Approval", "nobody asks before the hour is over");
    clock.advance(Duration::from_secs(3700));
    until("the hourly try", || world.case_field(&case, "Subject") == "Approved").await;
    world.twin_in(&world.public, &issue, "in_sync").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_record_holds_back_nobody_else() {
    let world = World::start().await;
    world.org.handle.fail(Fault { times: 4, ..Fault::on_writes(4, FaultKind::LockRow) });
    let bad =
        TrackerFault { body: Some("Bad".to_owned()), ..TrackerFault::on_writes(100, TrackerFaultKind::Refuse("no".to_owned())) };
    world.tracker.handle.fail(bad);
    let (one, two) = (world.new_case(json!({"Subject": "Bad"})), world.new_case(json!({"Subject": "Fine"})));
    world.issue_with("Fine").await;
    world.twin_in(&world.public, &two, "in_sync").await;
    until_said("the bad one is told", || async {
        world.public.twin_of(&one).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == "parked")
    })
    .await;
    world.org.handle.clear_faults();
    world.stop().await;
}
