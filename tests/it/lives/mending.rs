//! Edit and retry, and what is done to all errors that a filter passes.

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use crate::support::{Settings, TestNode, World, pair::text, put_rules, until, until_said};

const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");

async fn error_of(node: &TestNode, key: &str) -> Value {
    let twin = || async { node.twin_of(key).await.filter(|twin| twin["status"] == "parked") };
    until_said("the twin to be parked", || async { twin().await.is_some() }).await;
    twin().await.expect("it was there")["error"].clone()
}

fn refuse(world: &World, part: &str) {
    let kind = TrackerFaultKind::Refuse(format!("no customer called {part}"));
    world.tracker.handle.fail(TrackerFault { kind, times: 10_000, reads: false, body: Some(part.to_owned()) });
}

async fn open(node: &TestNode, query: &str) -> usize {
    node.get(&format!("/errors?limit=500&{query}")).await["items"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_puts_another_replica_in_the_place_of_what_arrived() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let strict = format!("if (replica.priority === 'Odd') throw new Error('odd priority');\n{ISSUE_IN}");
    put_rules(&world.private, &world.connection, ISSUE_OUT, &strict).await;
    let case = world.new_case(json!({"Subject": "Pump", "Priority": "Odd"}));
    let error = error_of(&world.private, &case).await;
    assert_eq!(error["code"], "rule_failed", "{error}");
    let path = format!("/errors/{}/retry", text(&error["id"]));
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    for (wrong, code) in [
        (json!({"replica": {"summary": deep}}), "validation_failed"),
        (json!({"replica": "text"}), "validation_failed"),
        (json!({"replcia": {}}), "validation_failed"),
        (json!({"replica": {"summary": "x".repeat(1_000_100)}}), "too_large"),
    ] {
        assert_eq!(world.private.call("POST", &path, Some(wrong)).await.code(), code);
    }
    assert_eq!(world.tracker.handle.count(), 0);
    let edited = json!({"key": case, "summary": "Pump, edited", "description": null, "status": "New", "priority": "High"});
    world.private.post(&path, json!({"replica": edited})).await;
    let issue = world.issue_with("Pump, edited").await;
    assert_eq!(world.issue_field(&issue, "priority"), "High");
    until_said("the error to close", || async { open(&world.private, "").await == 0 }).await;
    // Who did it, and what stood there, is kept.
    let history = world.private.get(&format!("/twins/{}/history", text(&error["twin_id"]))).await;
    let line = history["items"].as_array().expect("lines").iter().find(|line| line["outcome"] == "superseded").expect("a line");
    assert!(text(&line["reason"]).contains("edited"), "{line}");
    let changed = line["changes"].as_array().expect("steps");
    assert!(changed.iter().any(|one| one["field"] == "priority" && one["from"] == "Odd" && one["to"] == "High"), "{line}");
    let audit = world.private.get("/audit").await;
    assert_eq!((&audit["items"][0]["action"], &audit["items"][0]["by"]), (&json!("error.edit"), &json!("configuration")));
    // An update too, also of a field that the event did not name as changed.
    world.edit_case(&case, json!({"Priority": "Medium"}));
    until("a good value", || world.issue_field(&issue, "priority") == "Medium").await;
    world.quiet().await;
    world.edit_case(&case, json!({"Priority": "Odd", "Description": "later"}));
    let error = error_of(&world.private, &case).await;
    let edited = json!({"key": case, "summary": "Pump, again", "description": "later", "status": "New", "priority": "Low"});
    world.private.post(&format!("/errors/{}/retry", text(&error["id"])), json!({"replica": edited})).await;
    until("the edited fields", || world.issue_field(&issue, "summary") == "Pump, again").await;
    assert_eq!((world.issue_field(&issue, "priority"), world.issue_field(&issue, "description")), (json!("Low"), json!("later")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_the_way_out_has_no_replica_to_edit() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let case_in = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
    put_rules(&world.public, &world.connection, "throw new Error('no');", case_in).await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let error = error_of(&world.public, &case).await;
    let path = format!("/errors/{}/retry", text(&error["id"]));
    assert_eq!(world.public.call("POST", &path, Some(json!({"replica": {}}))).await.code(), "invalid_state");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_chooses_among_many_errors_however_many_there_are() {
    let world = World::start().await;
    refuse(&world, "Stuck");
    for n in 0..506 {
        world.new_case(json!({"Subject": format!("Stuck {n}")}));
    }
    let all = format!("connection_id={}", world.connection);
    let path = format!("/connections/{}", world.connection);
    until_said("all to be parked", || async { world.private.get(&path).await["health"]["parked"] == 506 }).await;
    let newest = world.private.get("/errors?limit=1").await;
    let titles =
        ["code=nothing", "tracker=support", "status=in_sync", "scope=node", "title=nothing", "since=2099-01-01T00:00:00Z"];
    for none in titles {
        assert_eq!(open(&world.private, none).await, 0, "{none}");
    }
    let since = text(&newest["items"][0]["occurred_at"]);
    for some in ["tracker=helpdesk", "status=parked", "scope=twin", all.as_str(), &format!("since={since}")] {
        assert_ne!(open(&world.private, some).await, 0, "{some}");
    }
    for wrong in [
        json!({"filter": {"since": "yesterday"}}),
        json!({"filter": {"status": "odd"}}),
        json!({"filter": {}}),
        json!({"filter": {"code": "refused"}, "cursor": "nonsense"}),
    ] {
        assert_eq!(world.private.call("POST", "/errors/skip", Some(wrong.clone())).await.code(), "validation_failed", "{wrong}");
    }
    let none =
        world.private.post("/errors/skip", json!({"filter": {"connection_id": world.connection, "code": "nothing"}})).await;
    assert_eq!((none["done"].as_u64(), none["more"].as_bool(), &none["next"]), (Some(0), Some(false), &Value::Null));
    // More than a page holds, in one call.
    world.tracker.handle.clear_faults();
    let filter = json!({"tracker": "helpdesk", "scope": "twin", "status": "parked", "since": "2000-01-01T00:00:00Z"});
    let done = world.private.post("/errors/skip", json!({"filter": filter})).await;
    assert_eq!((done["done"].as_u64(), &done["failed"], &done["more"]), (Some(506), &json!([]), &json!(false)), "{done}");
    assert_eq!(open(&world.private, "").await, 0);
    assert_eq!(world.private.get(&path).await["health"]["parked"], 0);
    world.stop().await;
}
