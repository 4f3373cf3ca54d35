//! The order of notices is not the order of changes, and anybody who knows a door could send one.

use std::time::Duration;

use serde_json::{Value, json};

use super::{by, says};
use crate::support::{Settings, World, clock::MovableClock, soap, until};

fn stamp(world: &World, case: &str) -> String {
    world.case_field(case, "SystemModstamp").as_str().expect("a stamp").replace("+0000", "Z")
}

fn message(case: &str, subject: &str, stamp: &str) -> Value {
    json!({"Id": case, "Subject": subject, "Description": "d", "Priority": "High", "Status": "New", "SystemModstamp": stamp})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_says_look_whoever_sent_it_and_whenever() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "First"}));
    let issue = world.issue_with("First").await;
    let early = stamp(&world, &case);
    world.edit_case(&case, json!({"Subject": "Second"}));
    until("the edit", || world.issue_field(&issue, "summary") == "Second").await;
    world.quiet().await;
    let writes = world.writes();
    let late = message(&case, "First", &early);
    let forged = message(&case, "Forged", "2031-01-01T00:00:00.000Z");
    let twice = soap::notification(1);
    for (id, fields) in [(twice.clone(), &late), (twice, &late), (soap::notification(2), &forged)] {
        let (status, answer) = soap::post(&world, &[(&id, fields.clone())]).await;
        assert_eq!(status, 200);
        assert!(answer.contains("<Ack>true</Ack>"), "{answer}");
    }
    world.quiet().await;
    assert_eq!(world.writes(), writes, "nothing of them was believed");
    assert_eq!(world.issue_field(&issue, "summary"), "Second");
    let story = world.story(&world.public, &case).await;
    assert!(says(&story[0], "unchanged", "") || story[0]["outcome"] == "superseded", "{story:#?}");
    world.edit_case(&case, json!({"Subject": "Third"}));
    until("a true edit after the forged stamp", || world.issue_field(&issue, "summary") == "Third").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_stands_in_for_the_read_only_where_it_is_trusted_and_holds_all_that_the_rule_needs() {
    let support = "look = \"off\"\ntrust_messages = true\n".to_owned();
    let world = World::with(Settings { support, ..Settings::default() }).await;
    let case = world.new_case(json!({"Subject": "Whole", "Description": "all is said", "Priority": "High"}));
    let issue = world.issue_with("Whole").await;
    assert_eq!(world.issue_field(&issue, "description"), "all is said");
    world.quiet().await;
    assert_eq!(world.calls("retrieve"), 0, "nothing had to be read");
    let early = stamp(&world, &case);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.edit_case(&case, json!({"Subject": "Whole again"}));
    until("the edit", || world.issue_field(&issue, "summary") == "Whole again").await;
    world.quiet().await;
    assert_eq!(world.calls("retrieve"), 0);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.edit_case(&case, json!({"Description": null}));
    until("a field that the message could not name", || world.issue_field(&issue, "description").is_null()).await;
    world.quiet().await;
    let reads = world.calls("retrieve");
    assert!(reads > 0, "a missing field is unknown, never empty");
    let writes = world.writes();
    soap::post(&world, &[(&soap::notification(1), message(&case, "Whole", &early))]).await;
    soap::post(&world, &[(&soap::notification(2), message(&case, "Ahead", "2031-01-01T00:00:00.000Z"))]).await;
    world.quiet().await;
    assert_eq!(world.writes(), writes, "neither one that is late nor one from the future is believed");
    world.edit_case(&case, json!({"Subject": "Still heard"}));
    until("an edit after it", || world.issue_field(&issue, "summary") == "Still heard").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_in_the_second_of_our_read_is_not_lost() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "0"}));
    let issue = world.issue_with("0").await;
    // Each edit follows at once on the read of the one before it: most share its second and its stamp.
    for round in 1..=12 {
        let subject = round.to_string();
        world.edit_case(&case, json!({"Subject": subject}));
        until("the edit", || world.issue_field(&issue, "summary") == subject.as_str()).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_without_sense_does_not_hold_up_its_neighbours() {
    let world = World::start().await;
    world.org.handle.remove_outbound_messages("Case");
    let (one, two) = (world.new_case(json!({"Subject": "One"})), world.new_case(json!({"Subject": "Two"})));
    let ids: Vec<String> = (1..=3).map(soap::notification).collect();
    let told = [
        (ids[0].as_str(), json!({"Id": one, "Subject": "One"})),
        (ids[1].as_str(), json!({"Id": "no id at all"})),
        (ids[2].as_str(), json!({"Id": two, "Subject": "Two"})),
    ];
    let (status, answer) = soap::post(&world, &told).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("<Ack>true</Ack>"), "{answer}");
    world.issue_with("One").await;
    world.issue_with("Two").await;
    let errors = world.public.get("/errors").await;
    let kept = errors["items"].as_array().expect("a list").iter().find(|error| error["scope"] == "tracker");
    assert!(kept.is_some_and(|error| error["detail"].as_str().unwrap_or_default().contains(&ids[1])), "{errors}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_costs_no_call_and_our_own_users_edits_sync() {
    let clock = MovableClock::default();
    let world = World::with(by(&clock)).await;
    let us = world.org.handle.integration_user();
    world.org.handle.permit_sending(&us, true);
    let case = world.new_case(json!({"Subject": "Echo", "Description": "d", "Priority": "Low"}));
    let issue = world.issue_with("Echo").await;
    world.quiet().await;
    let before = world.org.handle.calls();
    world.tracker.handle.edit(&issue, &json!({"summary": "Echo two"}));
    until("the edit", || world.case_field(&case, "Subject") == "Echo two").await;
    until("the echo is delivered", || world.org.handle.deliveries().is_empty()).await;
    world.quiet().await;
    let after = world.org.handle.calls();
    let more = |kind: &str| after.get(kind).copied().unwrap_or(0) - before.get(kind).copied().unwrap_or(0);
    assert_eq!((more("composite"), more("retrieve")), (1, 1), "read before, written and read back; the echo cost nothing");
    let writes = world.writes();
    world.org.handle.update(&case, &json!({"Subject": "By our own user"}), &us).expect("taken");
    until("it syncs", || world.issue_field(&issue, "summary") == "By our own user").await;
    world.quiet().await;
    assert_eq!(world.writes(), writes + 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_is_my_case_is_answered_without_a_twin() {
    let mut world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let early = world.new_case(json!({"Subject": "Before anything"}));
    world.told(&world.public, &early, "a reason", |line| says(line, "skipped", "no connection syncs Case")).await;
    world.join(json!({})).await;
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = world.public.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
    world.public.patch(&format!("{path}/{trigger}"), json!({"filter": "Priority = 'High'"})).await;
    let low = world.new_case(json!({"Subject": "Not urgent", "Priority": "Low"}));
    let line = world.told(&world.public, &low, "a reason", |line| says(line, "skipped", "no trigger matches")).await;
    assert!(line["twin_id"].is_null(), "{line}");
    let high = world.new_case(json!({"Subject": "Urgent", "Priority": "High"}));
    world.issue_with("Urgent").await;
    world.told(&world.public, &high, "what became of it", |line| line["outcome"] == "sent").await;
    world.edit_case(&high, json!({"Priority": "Low", "Subject": "Calm"}));
    world.issue_with("Calm").await;
    assert_eq!(world.tracker.handle.count(), 1, "what has a twin flows whatever the filter says");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_shares_its_reads_and_every_change_has_one_outcome() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "0"}));
    let issue = world.issue_with("0").await;
    world.quiet().await;
    let reads = world.calls("retrieve");
    for round in 1..=40 {
        world.edit_case(&case, json!({"Subject": round.to_string()}));
    }
    until("the last of them", || world.issue_field(&issue, "summary") == "40").await;
    world.quiet().await;
    let reads = world.calls("retrieve") - reads;
    assert!(reads <= 20, "{reads} reads for forty saves");
    let story = world.story(&world.public, &case).await;
    let out: Vec<&Value> = story.iter().filter(|line| line["direction"] == "out").collect();
    assert_eq!(out.len(), 41, "one outcome for each: {out:#?}");
    for line in out.iter().filter(|line| line["outcome"] == "superseded") {
        assert!(says(line, "superseded", "carried by the change of"), "{line}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_cannot_be_asked_is_known_by_its_messages() {
    let world = World::with(Settings { readable: false, ..Settings::default() }).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Unreadable", "description": "d"}));
    let case = world.case_with("Unreadable").await;
    world.quiet().await;
    world.edit_case(&case, json!({"Subject": "From the org"}));
    until("there", || world.issue_field(&issue, "summary") == "From the org").await;
    world.tracker.handle.edit(&issue, &json!({"description": "from the tracker"}));
    until("and back", || world.case_field(&case, "Description") == "from the tracker").await;
    let other = world.new_case(json!({"Subject": "Made by the org"}));
    let made = world.issue_with("Made by the org").await;
    world.tracker.handle.edit(&made, &json!({"summary": "Edited by the tracker"}));
    until("its edit", || world.case_field(&other, "Subject") == "Edited by the tracker").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (2, 2));
    assert_eq!(world.case_field(&case, "Subject"), "From the org");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_echo_of_our_create_starts_no_second_twin() {
    let support = "look = \"off\"\ntrust_messages = true\n".to_owned();
    let world = World::with(Settings { support, ..Settings::default() }).await;
    let us = world.org.handle.integration_user();
    world.org.handle.permit_sending(&us, true);
    let rows: Vec<String> = (0..10).map(|n| format!("Echoed {n}")).collect();
    for summary in &rows {
        world.tracker.handle.create(&json!({"summary": summary, "description": "d", "priority": "Low"}));
    }
    until("all of them", || world.org.handle.count("Case") == 10).await;
    until("the echoes are delivered", || world.org.handle.deliveries().is_empty()).await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (10, 10));
    let twins = world.public.get("/twins?limit=100").await;
    assert_eq!(twins["items"].as_array().map(Vec::len), Some(10), "{twins}");
    world.stop().await;
}
