//! What flows when a stranger dials us: acknowledgements, gaps, holds, switches, runs, room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock, SystemClock, Time},
    config::Role,
};

use super::Ours;
use crate::support::{
    stranger::{id, sync},
    until_said,
};

/// The system's clock, put forward by a test.
#[derive(Debug, Default)]
struct Shifted(AtomicI64);

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> Time {
        Time(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(span).await;
    }
    fn random(&self, bytes: &mut [u8]) {
        SystemClock.random(bytes);
    }
}

impl Shifted {
    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

fn numbered(from: u64, to: u64) -> Vec<Value> {
    (from..=to)
        .map(|n| {
            let mut event = sync(&uuid(n), &format!("T-{n}"), json!({"summary": format!("s{n}")}));
            (event["n"], event["id"], event["at"]) = (json!(n), json!(uuid(1000 + n)), json!("2026-11-24T00:00:00Z"));
            event
        })
        .collect()
}

fn uuid(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_taken_from_the_cursor_on() {
    let ours = Ours::start(Role::Public).await;
    let partner = ours.joined().await.partner;
    let hand =
        async |events: Vec<Value>, after: Value| partner.exchange(json!({"events": events, "after_id": after})).await.good();
    let at = |said: &Value| (said["ack"].clone(), said["ack_id"].clone());
    assert_eq!(at(&hand(vec![], Value::Null).await), (json!(0), Value::Null));
    assert_eq!(at(&hand(numbered(2, 3), json!(uuid(1001))).await), (json!(0), Value::Null), "a gap at first");
    assert_eq!(at(&hand(numbered(1, 3), Value::Null).await), (json!(3), json!(uuid(1003))));
    assert_eq!(at(&hand(numbered(1, 3), Value::Null).await), (json!(3), json!(uuid(1003))), "a repeat");
    assert_eq!(at(&hand(numbered(2, 5), json!(uuid(1001))).await), (json!(5), json!(uuid(1005))), "an overlap");
    assert_eq!(at(&hand(numbered(8, 9), json!(uuid(1007))).await), (json!(5), json!(uuid(1005))), "a gap");
    let torn = numbered(6, 7).into_iter().chain(numbered(9, 9)).collect();
    assert_eq!(at(&hand(torn, Value::Null).await), (json!(7), json!(uuid(1007))), "a gap inside, and no id before");
    let mut turned = numbered(8, 9);
    turned.reverse();
    assert_eq!(at(&hand(turned, json!(uuid(1007))).await).0, json!(8), "out of order");
    // Two calls with the same events at once.
    let (a, b) = tokio::join!(hand(numbered(8, 40), json!(uuid(1007))), hand(numbered(9, 50), json!(uuid(1008))));
    let highest = a["ack"].as_u64().max(b["ack"].as_u64());
    assert_eq!(highest, Some(50));
    until_said("50 issues", async || ours.issues().len() == 50).await;
    assert_eq!(ours.connection(&partner.connection).await["health"]["paused"], Value::Null);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_events_keep_number_and_bytes_and_wait_for_room() {
    let mut ours = Ours::start(Role::Public).await;
    let partner = ours.joined().await.partner;
    for n in 0..5 {
        ours.tracker.handle.create(&json!({"summary": format!("s{n}")}));
    }
    partner.exchange(json!({"max_events": 0})).await.good();
    until_said("five drafts", async || ours.connection(&partner.connection).await["health"]["waiting"] == 5).await;
    assert_eq!(partner.exchange(json!({"max_events": 0})).await.good()["events"], json!([]));
    let said = partner.exchange(json!({"max_events": 2})).await.good();
    assert_eq!(
        (said["events"].as_array().map(Vec::len), &said["more"], &said["after_id"]),
        (Some(2), &json!(true), &Value::Null)
    );
    // The answer was lost and the node stopped: the same bytes again, the rest behind them.
    ours.node.stop().await;
    ours.node.start().await;
    let again = loop {
        let again = partner.exchange(json!({"max_events": null})).await;
        if again.status == 200 {
            break again.good();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let events = again["events"].as_array().expect("a list").clone();
    assert_eq!(events[..2], said["events"].as_array().expect("a list")[..]);
    assert_eq!(events.iter().map(|event| event["n"].as_u64().expect("a number")).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let part = partner.exchange(json!({"ack": 2, "ack_id": events[1]["id"], "max_events": 1_000_000_000_000_u64})).await.good();
    assert_eq!((part["events"].as_array().map(Vec::as_slice), &part["after_id"]), (Some(&events[2..]), &events[1]["id"]));
    let none = partner.exchange(json!({"ack": 5, "ack_id": events[4]["id"]})).await.good();
    assert_eq!((&none["events"], &none["more"]), (&json!([]), &json!(false)));
    // A late request with a lower acknowledgement is no set-back: it is answered from what is kept.
    let late = partner.exchange(json!({"ack": 1, "ack_id": events[0]["id"]})).await.good();
    assert_eq!((late["events"].as_array().map(Vec::as_slice), &late["epoch"]), (Some(&events[1..]), &json!(1)));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optional_members_may_be_missing_null_or_many() {
    let ours = Ours::start(Role::Public).await;
    let partner = ours.joined().await.partner;
    let say = async |body: Value| {
        let body = body.to_string().into_bytes();
        let token = partner.key.sign(&partner.claims(&partner.path(), &body));
        partner.send(&partner.path(), body, &token, &[]).await
    };
    say(json!({"run": partner.run, "epoch": 1, "ack": 0})).await.good();
    say(json!({"run": partner.run, "epoch": 1, "ack": 0, "ack_id": null, "after_id": null, "events": null, "want": null,
        "max_events": null, "wait_seconds": null}))
    .await
    .good();
    let said = say(json!({"want": ["sha", {"any": 1}], "x": 1, "state": "active", "run": partner.run, "epoch": 1, "ack": 0,
        "events": numbered(1, 1), "wait_seconds": 0}))
    .await
    .good();
    assert_eq!((&said["ack"], &said["want"]), (&json!(1), &json!([])));
    for (name, value) in [("ack", json!(u64::MAX)), ("ack", json!(i64::MAX))] {
        let said = say(json!({"run": partner.run, "epoch": 1, name: value})).await;
        assert!(said.signed() && said.status < 500 || said.code() == "try_later", "{} {}", said.status, said.body);
    }
    say(json!({"run": partner.run, "epoch": u64::MAX, "ack": 0})).await.refused(400, "malformed");
    for run in [json!(""), json!("r".repeat(101)), json!(7), Value::Null] {
        say(json!({"run": run, "epoch": 1, "ack": 0})).await.refused(400, "malformed");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_exchange_is_answered_when_there_is_something_to_say() {
    let mut ours = Ours::start(Role::Public).await;
    let partner = ours.joined().await.partner;
    let held = |more: Value| {
        let mut asked = json!({"wait_seconds": 900});
        asked.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        let partner = partner.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            (partner.exchange(asked).await, begun.elapsed())
        })
    };
    let soon = async |task: tokio::task::JoinHandle<(crate::support::stranger::Said, Duration)>, why: &str| {
        let (said, took) = tokio::time::timeout(Duration::from_secs(20), task).await.expect(why).expect("answered");
        assert!(took > Duration::from_millis(50), "{why}: it was not held");
        said.good()
    };
    // An event.
    partner.exchange(json!({})).await.good();
    let waiting = held(json!({}));
    tokio::time::sleep(Duration::from_millis(200)).await;
    ours.tracker.handle.create(&json!({"summary": "news"}));
    let said = soon(waiting, "an event").await;
    let event = said["events"][0].clone();
    assert_eq!(event["replica"]["summary"], "news");
    let acked = json!({"ack": 1, "ack_id": event["id"]});
    // A second held exchange ends the first.
    let first = held(acked.clone());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = held(acked.clone());
    soon(first, "a second held exchange").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A switch.
    ours.node.post(&format!("/connections/{}/deactivate", partner.connection), json!({})).await;
    assert_eq!(soon(second, "a switch").await["state"], "deactivated");
    ours.node.post(&format!("/connections/{}/activate", partner.connection), json!({})).await;
    // What is handed over in a held exchange is acknowledged at once.
    let begun = Instant::now();
    let mut words = acked.clone();
    (words["events"], words["wait_seconds"]) = (json!(numbered(1, 1)), json!(60));
    assert_eq!(partner.exchange(words).await.good()["ack"], 1);
    assert!(begun.elapsed() < Duration::from_secs(15));
    // The node stops.
    let result = partner.exchange(acked.clone()).await.good();
    let last = result["events"].as_array().and_then(|events| events.last().cloned());
    let acked = last.map_or(acked, |last| json!({"ack": last["n"], "ack_id": last["id"]}));
    let waiting = held(acked);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    ours.node.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(waiting.await.expect("answered").0.signed());
    ours.tracker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_speaks_at_a_time() {
    let clock = Arc::new(Shifted::default());
    let ours = Ours::with(Role::Public, clock.clone(), "").await;
    let mut first = ours.joined().await.partner;
    first.clock = clock.clone();
    let mut second = first.clone();
    (second.run, second.clock) = (id(), clock.clone());
    first.exchange(json!({})).await.good();
    second.exchange(json!({})).await.refused(409, "second_copy");
    assert_eq!(first.exchange(json!({"goodbye": true})).await.good()["events"], json!([]));
    second.exchange(json!({})).await.good();
    first.exchange(json!({})).await.refused(409, "second_copy");
    // Ten silent seconds end a run.
    clock.forward(11);
    first.exchange(json!({})).await.good();
    // A held exchange keeps it alive, for longer than that; then people are told.
    let holding = first.clone();
    let held = tokio::spawn(async move { holding.exchange(json!({"wait_seconds": 60, "max_events": 0})).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    second.exchange(json!({})).await.refused(409, "second_copy");
    clock.forward(20);
    second.exchange(json!({})).await.refused(409, "second_copy");
    assert!(!ours.errors().await.iter().any(|title| title.contains("copies")));
    clock.forward(20);
    second.exchange(json!({})).await.refused(409, "second_copy");
    assert!(ours.errors().await.iter().any(|title| title.contains("wo copies")), "{:?}", ours.errors().await);
    // Its connection breaks: the next goes on at once.
    held.abort();
    until_said("the second run", async || second.exchange(json!({})).await.status == 200).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_flow_while_both_switches_are_on() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    mate.turn(0).await;
    mate.book.state = "deactivated";
    mate.put(sync(&id(), "T-1", json!({"summary": "in"})));
    mate.turn(0).await;
    until_said("their switch", async || ours.connection(&mate.partner.connection).await["remote"]["state"] == "deactivated")
        .await;
    ours.tracker.handle.create(&json!({"summary": "out"}));
    until_said("a draft", async || ours.connection(&mate.partner.connection).await["health"]["waiting"] == 1).await;
    assert_eq!(mate.turn(0).await["ack"], 0);
    assert!(mate.book.got.is_empty() && ours.issues().len() == 1);
    mate.book.state = "active";
    mate.until("what was kept", |event| event["replica"]["summary"] == "out").await;
    until_said("theirs", async || ours.issues().len() == 2).await;
    mate.book.state = "gone";
    mate.turn(0).await;
    let there = ours.connection(&mate.partner.connection).await;
    assert_eq!((&there["remote"]["state"], there["health"]["paused"].is_object()), (&json!("gone"), true));
    // A call that left before that word and arrives after it.
    mate.book.state = "active";
    mate.turn(0).await;
    assert_eq!(ours.connection(&mate.partner.connection).await["remote"]["state"], "gone");
    // Restored from a backup there: another run has it again. Deleted here, that one is told whenever it asks, signed.
    mate.partner.exchange(json!({"state": "gone", "goodbye": true})).await.good();
    mate.partner.run = id();
    mate.turn(0).await;
    assert_eq!(ours.connection(&mate.partner.connection).await["remote"]["state"], "active");
    ours.node.delete(&format!("/connections/{}", mate.partner.connection)).await;
    mate.partner.exchange(mate.book.words()).await.refused(410, "connection_gone");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_takes_no_more_and_stops_nobody_else() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let mut other = ours.joined_by(json!({"name": "other"})).await;
    // One twin that waits for a person, and its events behind it.
    ours.start_nothing(&mate.partner.connection).await;
    ours.start_nothing(&other.partner.connection).await;
    let issue = ours.tracker.handle.create(&json!({"summary": "mine"}));
    ours.node.patch(&format!("/connections/{}", mate.partner.connection), json!({"links": "ask"})).await;
    let twin = id();
    mate.put(json!({"kind": "link", "twin": twin, "local": {"entity_type": "ticket", "key": "T"}, "remote": {"entity_type": "issue", "key": issue}}));
    mate.until_result(&twin, "parked").await;
    for _ in 0..10_500 {
        mate.put(sync(&twin, "T", json!({"summary": "more"})));
    }
    let mut room = Value::Null;
    for _ in 0..12 {
        room = mate.turn(0).await["max_events"].clone();
    }
    assert_eq!((room, mate.book.acked), (json!(0), 10_000));
    let free = id();
    other.put(sync(&free, "O-1", json!({"summary": "other"})));
    other.until_result(&free, "applied").await;
    // What waits here for them merges, and leaves once there is room there.
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_merges_while_there_is_no_room() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    mate.book.room = 0;
    mate.turn(0).await;
    let key = ours.tracker.handle.create(&json!({"summary": "v0"}));
    for n in 1..=20 {
        ours.tracker.handle.edit(&key, &json!({"summary": format!("v{n}")}));
        mate.turn(0).await;
    }
    until_said("the last edit", async || {
        let twin = ours.node.twin_of(&key).await;
        let Some(twin) = twin else { return false };
        let detail = ours.node.get(&format!("/twins/{}", twin["id"].as_str().expect("an id"))).await;
        detail["local_replica"]["summary"] == "v20"
    })
    .await;
    mate.book.room = 1000;
    let last = mate.until("the newest state", |event| event["replica"]["summary"] == "v20").await;
    assert_eq!((&last["n"], mate.book.got.len()), (&json!(1), 1), "one event, numbered when it left");
    assert!(last["changed"]["summary"].is_string());
    ours.stop().await;
}
