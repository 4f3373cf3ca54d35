//! What events may do, and what hostile ones may not.

use serde_json::{Value, json};
use wicketgate::{config::Role, domain::ids};

use super::Ours;
use crate::support::{
    stranger::{Mate, id, sync},
    until_said,
};

/// The id of the twin that our node would start for this record: anybody can compute it.
fn our_twin(mate: &Mate, side: ids::Side, key: &str) -> String {
    ids::twin_id(mate.partner.connection.parse().expect("an id"), side, "issue", key).to_string()
}

async fn summary(ours: &Ours, key: &str) -> Value {
    ours.tracker.handle.get(key).expect("there").fields.get("summary").cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_a_wish_that_the_connection_grants() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let path = format!("/connections/{}", mate.partner.connection);
    let triggers = ours.node.get(&format!("{path}/triggers")).await;
    let trigger = format!("{path}/triggers/{}", triggers["items"][0]["id"].as_str().expect("an id"));
    // Nothing here matches but what is important; the records are made before anybody looks at them.
    ours.node
        .patch(&trigger, json!({"filter": "entity.fields ? entity.fields.priority === 'High' : entity.priority === 'High'"}))
        .await;
    let plain = ours.tracker.handle.create(&json!({"summary": "plain", "priority": "Low"}));
    let second = ours.tracker.handle.create(&json!({"summary": "second", "priority": "Low"}));
    let third = ours.tracker.handle.create(&json!({"summary": "third", "priority": "Low"}));
    mate.turn(0).await;
    let link = |twin: &str, key: &str| {
        json!({"kind": "link", "twin": twin, "local": {"entity_type": "ticket", "key": "T-9"},
            "remote": {"entity_type": "issue", "key": key}, "start": "none"})
    };
    let change = |twin: &str, what: &str| {
        let mut event = sync(twin, "T-9", json!({"summary": what}));
        event["changed"] = json!({"summary": "2026-11-24T00:00:00Z"});
        event
    };
    // matching: it matches no trigger, so an admin is asked; until then nothing is written.
    let first = id();
    mate.put(link(&first, &plain));
    mate.put(change(&first, "taken over"));
    mate.until("the question", |event| event["twin"] == json!(first) && event["outcome"] == "parked").await;
    assert_eq!(summary(&ours, &plain).await, "plain");
    let error = ours.node.get("/errors").await["items"][0].clone();
    assert_eq!(
        (&error["twin_id"], error["detail"].as_str().is_some_and(|text| text.contains(&plain))),
        (&json!(first), true),
        "{error}"
    );
    ours.node.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
    mate.until_result(&first, "applied").await;
    until_said("the change", async || summary(&ours, &plain).await == "taken over").await;
    // ask: the same, whatever matches. accept: at once.
    ours.node.patch(&trigger, json!({"filter": ""})).await;
    ours.node.patch(&path, json!({"links": "ask"})).await;
    let asked = id();
    mate.put(link(&asked, &second));
    mate.until_result(&asked, "parked").await;
    ours.node.patch(&path, json!({"links": "accept"})).await;
    let granted = id();
    mate.put(link(&granted, &third));
    mate.until_result(&granted, "applied").await;
    assert_eq!(ours.node.twin_of(&third).await.expect("a twin")["remote"]["key"], "T-9");
    // Each stands in the audit log.
    let audit = ours.node.get("/audit").await["items"].to_string();
    for key in [&plain, &second, &third] {
        assert!(audit.contains(key.as_str()), "{key} in {audit}");
    }
    // A record that is under sync is not taken, one that is not there is told.
    let again = id();
    mate.put(link(&again, &third));
    mate.until_result(&again, "skipped").await;
    let nowhere = id();
    mate.put(link(&nowhere, "ISSUE-4711"));
    mate.until_result(&nowhere, "parked").await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_ours_inside_a_sync_is_a_wish_too() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let path = format!("/connections/{}", mate.partner.connection);
    ours.node.patch(&path, json!({"links": "ask"})).await;
    ours.start_nothing(&mate.partner.connection).await;
    let victim = ours.tracker.handle.create(&json!({"summary": "victim"}));
    for twin in [
        our_twin(&mate, ids::Side::Inviting, &victim),
        ids::linked_twin_id(mate.partner.connection.parse().expect("an id"), ("issue", &victim), ("ticket", "T-1")).to_string(),
    ] {
        let mut event = sync(&twin, "T-1", json!({"summary": "hijacked"}));
        event["remote"] = json!({"entity_type": "issue", "key": victim});
        mate.put(event);
        mate.until_result(&twin, "parked").await;
    }
    // Under an id that no key of ours makes it is a record of theirs like any other: a new one is made here.
    let made = id();
    let mut event = sync(&made, "T-2", json!({"summary": "new"}));
    event["remote"] = json!({"entity_type": "issue", "key": victim});
    mate.put(event);
    assert_ne!(mate.until_result(&made, "applied").await["key"], json!(victim));
    assert_eq!(summary(&ours, &victim).await, "victim");
    assert_eq!(ours.issues().len(), 2);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_of_another_connection_is_unknown() {
    let ours = Ours::start(Role::Public).await;
    let mut owner = ours.joined().await;
    let mut thief = ours.joined_by(json!({"name": "thief"})).await;
    let twin = id();
    owner.put(sync(&twin, "T-1", json!({"summary": "owned"})));
    let key = owner.until_result(&twin, "applied").await["key"].as_str().expect("a key").to_owned();
    for event in [
        sync(&twin, "X-1", json!({"summary": "stolen"})),
        json!({"kind": "link", "twin": twin, "local": {"entity_type": "ticket", "key": "X"}, "remote": {"entity_type": "issue", "key": key}}),
        json!({"kind": "deleted", "twin": twin, "key": "X-1"}),
        json!({"kind": "stop", "twin": twin}),
        json!({"kind": "result", "twin": twin, "up_to": 99, "outcome": "parked", "title": "no", "key": "X-1"}),
    ] {
        let says = event["kind"] != "stop" && event["kind"] != "result";
        thief.put(event);
        thief.turn(0).await;
        if says {
            let told = thief.until_result(&twin, "skipped").await;
            assert!(told["title"].as_str().is_some_and(|title| title.contains("unknown")), "{told}");
            assert!(told.get("key").is_none_or(Value::is_null), "nothing of the record is told: {told}");
        }
    }
    let still = ours.node.get(&format!("/twins/{twin}")).await;
    assert_eq!((&still["status"], &still["connection_id"]), (&json!("in_sync"), &json!(owner.partner.connection)));
    assert_eq!(summary(&ours, &key).await, "owned");
    // The issue matches the second connection's trigger; there is nothing else.
    let theirs = format!("/twins?connection_id={}", thief.partner.connection);
    until_said("one twin", async || ours.node.get(&theirs).await["items"].as_array().map(Vec::len) == Some(1)).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_on_twins_that_never_were_do_nothing() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let gone = id();
    mate.put(json!({"kind": "deleted", "twin": gone, "key": "T-1"}));
    mate.until_result(&gone, "skipped").await;
    mate.put(json!({"kind": "stop", "twin": id()}));
    mate.put(json!({"kind": "result", "twin": id(), "up_to": u64::MAX, "outcome": "applied", "key": "T-1"}));
    // Made and deleted before we looked: nothing is made here.
    let short = id();
    mate.put(sync(&short, "T-2", json!({"summary": "short"})));
    mate.put(json!({"kind": "deleted", "twin": short, "key": "T-2"}));
    let end = id();
    mate.put(sync(&end, "T-3", json!({"summary": "end"})));
    mate.until_result(&end, "applied").await;
    assert!(ours.issues().iter().all(|issue| issue.get("summary").is_some()), "no empty record: {:?}", ours.issues());
    let twins = ours.node.get("/twins").await;
    assert!(!twins.to_string().contains(&gone), "{twins}");
    // A result from the future, and the same one again, change no count.
    let key = ours.tracker.handle.create(&json!({"summary": "ours"}));
    let event = mate.until("our event", |event| event["replica"]["summary"] == "ours").await;
    let twin = event["twin"].as_str().expect("an id").to_owned();
    for _ in 0..2 {
        mate.put(
            json!({"kind": "result", "twin": twin, "up_to": u64::MAX, "outcome": "applied", "entity_type": "ticket", "key": "T-4",
            "url": "javascript:alert(1)", "title": "t".repeat(5_000)}),
        );
    }
    mate.turn(0).await;
    until_said("their key", async || ours.node.twin_of(&key).await.is_some_and(|twin| twin["remote"]["key"] == "T-4")).await;
    let twin = ours.node.twin_of(&key).await.expect("a twin");
    assert_eq!(twin["remote"]["url"], Value::Null, "no page opens a script");
    assert!(twin["remote_outcome"]["title"].as_str().is_some_and(|title| title.len() <= 1_000));
    // Concurrent with what they have not seen, all the same.
    ours.tracker.handle.edit(&key, &json!({"summary": "ours again"}));
    mate.until("our edit", |event| event["replica"]["summary"] == "ours again").await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_used_parks_its_twin_alone() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let deep = (0..60).fold(json!(1), |inner, _| json!({"x": inner}));
    let abyss = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let good = |twin: &str| sync(twin, "T", json!({"summary": "s"}));
    let with = |name: &'static str, value: Value| {
        move |mut event: Value| {
            event[name] = value.clone();
            event
        }
    };
    type Bend = Box<dyn Fn(Value) -> Value>;
    let bent: Vec<(&str, Bend)> = vec![
        ("too deep", Box::new(with("replica", json!({"a": deep})))),
        ("too large", Box::new(with("replica", json!({"a": "x".repeat(1_000_001)})))),
        (
            "no replica",
            Box::new(|mut event| {
                event.as_object_mut().expect("members").remove("replica");
                event
            }),
        ),
        ("a list for a replica", Box::new(with("replica", json!([1])))),
        ("no key", Box::new(with("key", Value::Null))),
        ("an empty key", Box::new(with("key", json!("")))),
        ("a long key", Box::new(with("key", json!("k".repeat(2_000))))),
        ("a number for a key", Box::new(with("key", json!(7)))),
        ("a kind of tomorrow", Box::new(with("kind", json!("of_tomorrow")))),
        ("no kind", Box::new(with("kind", Value::Null))),
        ("times that are none", Box::new(with("changed", json!({"summary": "yesterday"})))),
        ("a list of changes", Box::new(with("changed", json!(["summary"])))),
        ("a time that is none", Box::new(with("modified_at", json!("31 February")))),
        ("no time", Box::new(with("at", Value::Null))),
        ("a text for seen", Box::new(with("seen", json!("many")))),
        ("a way that is none", Box::new(with("via", json!({"a": 1})))),
        ("too large before", Box::new(with("applied", json!({"a": "x".repeat(1_000_001)})))),
    ];
    let mut twins = Vec::new();
    for (name, bend) in &bent {
        let twin = id();
        mate.put(bend(good(&twin)));
        twins.push((*name, twin));
    }
    for (name, twin) in &twins {
        mate.until_result(twin, "parked").await;
        assert_eq!(ours.node.get(&format!("/twins/{twin}")).await["status"], "parked", "{name}");
    }
    // Names of no twin: stored, told on the connection, and passed over.
    for twin in [json!("no-id"), json!(7), json!({"a": [1]}), Value::Null] {
        mate.put(sync("x", "T", json!({"summary": "s"})));
        let last = mate.book.sent.last_mut().expect("sent");
        last["twin"] = twin;
    }
    let free = id();
    mate.put(sync(&free, "T-free", json!({"summary": "free"})));
    mate.until_result(&free, "applied").await;
    assert_eq!(mate.book.acked, mate.book.sent.len(), "no batch was refused");
    assert!(ours.errors().await.iter().any(|title| title.contains("cannot be used")));
    // Deeper than any reader goes: by hand, for our own JSON could not.
    let n = mate.book.sent.len() + 1;
    let text = format!(
        "{{\"run\":\"{}\",\"epoch\":1,\"ack\":0,\"events\":[{{\"n\":{n},\"id\":\"{}\",\"kind\":\"sync\",\"twin\":{abyss},\"at\":\"2026-11-24T00:00:00Z\",\"replica\":{abyss}}}]}}",
        mate.partner.run,
        id()
    );
    let token = mate.partner.key.sign(&mate.partner.claims(&mate.partner.path(), text.as_bytes()));
    let said = mate.partner.send(&mate.partner.path(), text.into_bytes(), &token, &[]).await.good();
    assert_eq!(said["ack"], json!(n));
    // A whole record that comes later heals a twin.
    mate.book.sent.push(json!({"n": n, "id": said["ack_id"], "twin": null}));
    mate.book.acked = n;
    let (_, healed) = &twins[2];
    mate.put(good(healed));
    mate.until_result(healed, "applied").await;
    assert_eq!(ours.node.get(&format!("/twins/{healed}")).await["status"], "in_sync");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_replicas_are_data() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let many: serde_json::Map<String, Value> = (0..60_000).map(|n| (format!("f{n}"), json!(n))).collect();
    for replica in [
        json!({"summary": "proto", "__proto__": {"summary": "polluted"}, "constructor": {"prototype": {"x": 1}}, "toString": 1, "hasOwnProperty": null}),
        json!({"summary": "names", "": 1, "\u{0}": 2, "a.b[0]": 3, "'; DROP TABLE twins; --": 4, "𝕊\u{202e}": 5}),
        json!({"summary": {"an": "object"}, "description": ["a", "list"], "status": 1e308, "priority": true}),
        json!({"summary": "text\u{0}with\u{1f}control \u{fffd} and 😀", "description": "<script>alert(1)</script>"}),
        json!({"deleted": true, "key": "K", "summary": "a field that is called deleted", "addedComments": "no list"}),
        Value::Object(many.clone()),
        json!({}),
    ] {
        let twin = id();
        mate.put(sync(&twin, "T", replica));
        mate.until("an outcome", |event| event["kind"] == "result" && event["twin"] == json!(twin)).await;
    }
    // Every one of sixty thousand fields changes: judged within seconds, whatever the rule makes of it, and nobody waits.
    let twin = id();
    let begun = std::time::Instant::now();
    for round in 0..2 {
        let mut many = many.clone();
        many.values_mut().for_each(|value| *value = json!(value.as_i64().unwrap_or(0) + round));
        many.insert("summary".to_owned(), json!("many"));
        let changed: serde_json::Map<String, Value> =
            many.keys().map(|name| (name.clone(), json!("2026-11-24T00:00:00Z"))).collect();
        let mut event = sync(&twin, "T", Value::Object(many));
        event["changed"] = if round == 0 { json!({}) } else { Value::Object(changed) };
        mate.put(event);
        mate.turn(0).await;
    }
    let free = id();
    mate.put(sync(&free, "T-free", json!({"summary": "free"})));
    mate.until_result(&free, "applied").await;
    mate.until("an outcome", |event| event["kind"] == "result" && event["twin"] == json!(twin)).await;
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inviting_side_decides_and_says_so() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let key = ours.tracker.handle.create(&json!({"summary": "v0", "description": "d0"}));
    let first = mate.until("our event", |event| event["replica"]["summary"] == "v0").await;
    let twin = first["twin"].as_str().expect("an id").to_owned();
    mate.put(
        json!({"kind": "result", "twin": twin, "up_to": first["n"], "outcome": "applied", "entity_type": "ticket", "key": "T-1"}),
    );
    mate.turn(0).await;
    let at = |seconds: i64| wicketgate::clock::Time::from_seconds(mate_now() + seconds).to_string();
    // Both change the same field, and they a second one: not seen by each other.
    let clash = async |mate: &mut Mate, value: &str, seconds: i64, more: Value| {
        let before = summary(&ours, &key).await;
        ours.tracker.handle.edit(&key, &json!({"summary": format!("ours against {value}")}));
        let sent = mate.until("our edit", |event| event["replica"]["summary"] == json!(format!("ours against {value}"))).await;
        let seen = sent["n"].as_u64().expect("a number") - 1;
        let mut event = sync(&twin, "T-1", json!({"summary": value, "description": more}));
        event["changed"] = json!({"summary": at(seconds), "description": at(seconds)});
        event["modified_at"] = json!(at(seconds));
        event["seen"] = json!(seen);
        let put = mate.put(event);
        mate.until_result(&twin, "applied").await;
        (before, put)
    };
    // Theirs is older: ours stays, and is said again; their other field goes through.
    clash(&mut mate, "old", -60, json!("d1")).await;
    let word = mate
        .until("our word", |event| {
            event["kind"] == "sync"
                && event["replica"]["summary"] == "ours against old"
                && event["seen"].as_u64().unwrap_or(0) > 0
        })
        .await;
    assert!(word["changed"]["summary"].is_string(), "{word}");
    assert_eq!(summary(&ours, &key).await, "ours against old");
    assert_eq!(ours.tracker.handle.get(&key).expect("there").fields["description"], "d1");
    let history = ours.node.get(&format!("/twins/{twin}/history")).await.to_string();
    assert!(history.contains("\"conflict\":true") && history.contains("old"), "{history}");
    // Theirs says it comes from the future: no later than now, so within two seconds our `prefer` decides.
    clash(&mut mate, "of 2100", 3_000_000_000 / 2, json!("d2")).await;
    assert_eq!(summary(&ours, &key).await, "ours against of 2100");
    ours.stop().await;
}

fn mate_now() -> i64 {
    wicketgate::clock::Clock::now(&wicketgate::clock::SystemClock).seconds()
}
