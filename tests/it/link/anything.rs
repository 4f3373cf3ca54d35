//! Events bent in every way, handed to a running node: each is stored and told, none stops what comes after it.

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use wicketgate::config::Role;

use super::Ours;
use crate::support::{
    anything::{self, Bent},
    stranger::{Mate, id, sync},
    until_said,
};

/// The same events at every run.
fn drawn(count: usize) -> Vec<Bent> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| anything::event().new_tree(&mut runner).expect("drawn").current()).collect()
}

/// Hands over events as text, which need not be what our own JSON could write; they have the next numbers.
async fn hand(mate: &mut Mate, texts: &[(String, String)], between: &[&str]) -> Value {
    let mut words = mate.partner.asked(mate.book.words());
    words["events"] = json!("EVENTS");
    let mut events: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    for (at, stray) in between.iter().enumerate() {
        events.insert((at * 3 + 1).min(events.len()), stray);
    }
    let body = words.to_string().replace("\"EVENTS\"", &format!("[{}]", events.join(",")));
    let token = mate.partner.key.sign(&mate.partner.claims(&mate.partner.path(), body.as_bytes()));
    let said = mate.partner.send(&mate.partner.path(), body.into_bytes(), &token, &[]).await.good();
    for (twin, _) in texts {
        let n = mate.book.sent.len() + 1;
        mate.book.sent.push(json!({"n": n, "id": Value::Null, "twin": twin}));
    }
    if let Some(last) = mate.book.sent.last_mut() {
        last["id"] = said["ack_id"].clone();
    }
    mate.book.take(&said);
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_arrives_is_stored_told_and_stops_nobody() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    mate.turn(0).await;
    let texts: Vec<(String, String)> = drawn(40)
        .iter()
        .zip(1..)
        .map(|(bent, n)| {
            let twin = id();
            let text = bent.text(n, &id(), &twin, &["n", "twin"]);
            (twin, text)
        })
        .collect();
    // Among them what has no number, or names no twin.
    let strays = ["7", "null", r#"{"n":"1","kind":"sync"}"#, r#"{"n":1.0}"#, "[[]]"];
    let said = hand(&mut mate, &texts, &strays).await;
    assert_eq!(said["ack"], 40, "a batch is never refused for an event");
    let nameless: Vec<(String, String)> = drawn(4)
        .iter()
        .zip(41..)
        .map(|(bent, n)| (String::new(), bent.text(n, "no id", "no id", &["n", "id", "twin"])))
        .collect();
    let said = hand(&mut mate, &nameless, &[]).await;
    assert_eq!((&said["ack"], &said["ack_id"]), (&json!(44), &Value::Null), "an id that is none is not said again");

    // All that the other side has to hear of is answered; a word on twins that never were needs no answer.
    let quiet = |text: &str| ["result", "stop", "resynced"].iter().any(|kind| text.contains(&format!("\"kind\":\"{kind}\"")));
    let mut links = Vec::new();
    for ((twin, text), n) in texts.iter().zip(1..) {
        if quiet(text) {
            continue;
        }
        let word =
            mate.until(&format!("a word on {text}"), |event| event["kind"] == "result" && event["twin"] == json!(twin)).await;
        assert!(word["up_to"].as_u64() >= Some(n), "{word} on {text}");
        if word["outcome"] == "parked" {
            let shown = ours.node.get(&format!("/twins/{twin}")).await;
            assert_eq!(shown["status"], "parked", "{text}");
            if shown.to_string().contains("link_not_found") || text.contains("\"kind\":\"link\"") {
                links.push(twin.clone());
            }
        }
    }
    until_said("what names no twin", async || ours.errors().await.iter().any(|title| title.contains("cannot be used"))).await;
    assert!(ours.errors().await.iter().any(|title| title.contains("has no number")), "{:?}", ours.errors().await);

    // A whole record goes through afterwards, on each of those twins and on a new one. Only a wish for a record of ours
    // waits until it is granted.
    let free = id();
    let twins: Vec<String> = texts.into_iter().map(|(twin, _)| twin).filter(|twin| !links.contains(twin)).chain([free]).collect();
    for twin in &twins {
        mate.put(sync(twin, &format!("H-{twin}"), json!({"summary": format!("good {twin}")})));
    }
    for twin in &twins {
        mate.until_result(twin, "applied").await;
        let summary = json!(format!("good {twin}"));
        assert_eq!(ours.issues().iter().filter(|issue| issue["summary"] == summary).count(), 1);
        assert_eq!(ours.node.get(&format!("/twins/{twin}")).await["status"], "in_sync");
    }
    ours.stop().await;
}

/// A twin that both know, with two fields.
async fn known(ours: &Ours, mate: &mut Mate) -> String {
    let twin = id();
    mate.put(sync(&twin, "T-1", json!({"summary": "s0", "description": "d0"})));
    mate.until_result(&twin, "applied").await;
    twin_is(ours, &twin, "in_sync").await;
    twin
}

async fn twin_is(ours: &Ours, twin: &str, status: &str) {
    assert_eq!(ours.node.get(&format!("/twins/{twin}")).await["status"], status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_spoilt_event_changed_comes_with_the_next_whole_record() {
    for spoilt in [json!({"kind": "sync", "replica": [1]}), json!({"kind": "empty"})] {
        let ours = Ours::start(Role::Public).await;
        let mut mate = ours.joined().await;
        let twin = known(&ours, &mut mate).await;
        let mut event = spoilt.clone();
        event["twin"] = json!(twin);
        let n = mate.put(event)["n"].clone();
        mate.until_result(&twin, "parked").await;
        // It changed the summary; the next one, which is about the description, says so no more.
        let mut next = sync(&twin, "T-1", json!({"summary": "s1", "description": "d1"}));
        next["changed"] = json!({"description": "2026-11-24T00:00:00Z"});
        mate.put(next);
        mate.until_result(&twin, "applied").await;
        let issue = ours.issues()[0].clone();
        assert_eq!((&issue["summary"], &issue["description"]), (&json!("s1"), &json!("d1")), "after {spoilt}");
        let history = ours.node.get(&format!("/twins/{twin}/history")).await.to_string();
        assert!(history.contains(&format!("event {n} was carried by event 3")), "{history}");
        ours.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_read_starts_no_twin_again() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let twin = known(&ours, &mut mate).await;
    ours.node.delete(&format!("/twins/{twin}")).await;
    mate.put(json!({"kind": "sync", "twin": twin, "replica": [1]}));
    let told = mate.until_result(&twin, "skipped").await;
    assert!(told["title"].as_str().is_some_and(|title| title.contains("cannot be used")), "{told}");
    twin_is(&ours, &twin, "stopped").await;
    // Said before they could know of the stop: it does not go on either.
    let event = sync(&twin, "T-1", json!({"summary": "late", "description": "d0"}));
    mate.put(event);
    mate.until_result(&twin, "skipped").await;
    twin_is(&ours, &twin, "stopped").await;
    assert_eq!(ours.issues()[0]["summary"], "s0");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_endless_is_not_carried_on() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let twin = known(&ours, &mut mate).await;
    for via in [json!(vec!["v"; 5_000]), json!(["v".repeat(5_000)])] {
        let mut event = sync(&twin, "T-1", json!({"summary": "endless", "description": "d0"}));
        event["via"] = via;
        mate.put(event);
        mate.until_result(&twin, "parked").await;
    }
    mate.put(sync(&twin, "T-1", json!({"summary": "short", "description": "d0"})));
    mate.until_result(&twin, "applied").await;
    ours.stop().await;
}
