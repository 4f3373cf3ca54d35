//! One twin that is held up holds back nobody else; its error says what happened, whose fault it is and what to do.

use serde_json::{Value, json};
use wicketgate::sandbox::{
    org::{Automation, OrgSettings},
    tracker::{TrackerFault, TrackerFaultKind},
};

use crate::support::{
    Settings, TestNode, World,
    pair::{members, text},
    put_rules, until, until_said,
};

const ERROR: &str =
    "id scope connection_id twin_id tracker code title detail advice retryable attempts occurred_at next_attempt_at";

async fn errors(node: &TestNode) -> Vec<Value> {
    node.get("/errors").await["items"].as_array().expect("a list").clone()
}

async fn parked(node: &TestNode, key: &str) -> Value {
    until_said("the twin to be parked", || async { node.twin_of(key).await.is_some_and(|twin| twin["status"] == "parked") })
        .await;
    node.twin_of(key).await.expect("it was there")
}

/// The tracker says no to every write that holds this text.
fn refuse(world: &World, part: &str) {
    let kind = TrackerFaultKind::Refuse(format!("no customer called {part}"));
    world.tracker.handle.fail(TrackerFault { kind, times: 1_000, reads: false, body: Some(part.to_owned()) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tracker_refuses_parks_its_twin_only() {
    let world = World::start().await;
    refuse(&world, "Stuck");
    let stuck = world.new_case(json!({"Subject": "Stuck"}));
    world.new_case(json!({"Subject": "Free"}));
    world.issue_with("Free").await;
    let here = parked(&world.private, &stuck).await;
    members(&here["error"], ERROR);
    let error = &here["error"];
    assert_eq!(
        (error["scope"].as_str(), &error["connection_id"], &error["twin_id"]),
        (Some("twin"), &json!(world.connection), &here["id"])
    );
    assert!(text(&error["detail"]).contains("no customer called Stuck"), "the tracker's own words: {error}");
    assert!(!text(&error["title"]).is_empty() && !text(&error["advice"]).is_empty(), "{error}");
    assert!(error["attempts"].as_u64() >= Some(1), "{error}");
    assert_eq!(errors(&world.private).await, std::slice::from_ref(error));
    assert_eq!(world.private.get(&format!("/errors/{}", text(&error["id"]))).await, *error);
    // The other side sees it beside its own.
    until_said("the far outcome", || async {
        world.public.twin_of(&stuck).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == "parked")
    })
    .await;
    let there = world.public.twin_of(&stuck).await.expect("a twin");
    assert_eq!(there["remote_outcome"]["title"], error["title"], "{there}");
    let connection = world.private.get(&format!("/connections/{}", world.connection)).await;
    assert_eq!(connection["health"]["parked"], 1);
    // A newer change is tried at once, with the newest state.
    world.tracker.handle.clear_faults();
    world.edit_case(&stuck, json!({"Subject": "Loose", "Description": "later"}));
    let issue = world.issue_with("Loose").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "description"), "later");
    assert!(errors(&world.private).await.is_empty(), "it closed by itself");
    assert_eq!(world.public.twin_of(&stuck).await.expect("a twin")["status"], "in_sync");
    assert_eq!(world.tracker.handle.count(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validation_rule_of_the_org_parks_its_twin_only() {
    let org = OrgSettings { automation: Automation { validation_rule: true, ..Automation::default() }, ..OrgSettings::default() };
    let world = World::with(Settings { org, ..Settings::default() }).await;
    let bad = world.tracker.handle.create(&json!({"summary": "an INVALID thing"}));
    world.tracker.handle.create(&json!({"summary": "a good thing"}));
    world.case_with("a good thing").await;
    let twin = parked(&world.public, &bad).await;
    let error = &twin["error"];
    assert!(text(&error["detail"]).contains("The subject must not say INVALID."), "{error}");
    assert_eq!(error["retryable"], false, "another try helps only once somebody mends the record or the rule: {error}");
    world.tracker.handle.edit(&bad, &json!({"summary": "a mended thing"}));
    world.case_with("a mended thing").await;
    world.quiet().await;
    assert!(errors(&world.public).await.is_empty());
    assert_eq!(world.org.handle.count("Case"), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_retries_or_skips() {
    let world = World::start().await;
    refuse(&world, "Stuck");
    let (one, two) = (world.new_case(json!({"Subject": "Stuck one"})), world.new_case(json!({"Subject": "Stuck two"})));
    let first = parked(&world.private, &one).await["error"].clone();
    let second = parked(&world.private, &two).await["error"].clone();
    // In vain: the error stays, with one more attempt.
    let retried = world.private.call("POST", &format!("/errors/{}/retry", text(&first["id"])), Some(json!({}))).await;
    assert_eq!((retried.status, &retried.body["id"]), (202, &first["id"]));
    until_said("another attempt", || async {
        errors(&world.private)
            .await
            .iter()
            .any(|error| error["id"] == first["id"] && error["attempts"].as_u64() > first["attempts"].as_u64())
    })
    .await;
    world.tracker.handle.clear_faults();
    world.private.post(&format!("/errors/{}/retry", text(&first["id"])), json!({})).await;
    world.issue_with("Stuck one").await;

    let skipped = world.private.call("POST", &format!("/errors/{}/skip", text(&second["id"])), Some(json!({}))).await;
    assert_eq!(skipped.status, 202);
    world.quiet().await;
    assert!(errors(&world.private).await.is_empty());
    assert_eq!(world.private.call("GET", &format!("/errors/{}", text(&second["id"])), None).await.status, 404);
    assert_eq!(world.tracker.handle.count(), 1, "what was given up is not done");
    let history = world.private.get(&format!("/twins/{}/history", text(&second["twin_id"]))).await;
    assert_eq!(history["items"][0]["outcome"], "skipped", "{history}");
    assert!(text(&history["items"][0]["reason"]).contains("skipped by a person"), "{history}");
    until_said("the far outcome", || async {
        world.public.twin_of(&two).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == "skipped")
    })
    .await;
    // The next change of it is a new chance.
    world.edit_case(&two, json!({"Subject": "Stuck no more"}));
    world.issue_with("Stuck no more").await;
    let audit = world.private.get("/audit").await;
    assert!(audit["items"].as_array().expect("a list").iter().any(|line| line["action"] == "error.skip"), "{audit}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_errors_are_retried_or_skipped_at_once() {
    let world = World::start().await;
    refuse(&world, "Stuck");
    let cases: Vec<String> = (0..6).map(|n| world.new_case(json!({"Subject": format!("Stuck {n}")}))).collect();
    until_said("all to be parked", || async { errors(&world.private).await.len() == 6 }).await;
    let page = world.private.get("/errors?limit=4").await;
    let next = text(&page["next"]);
    assert_eq!(world.private.get(&format!("/errors?limit=4&cursor={next}")).await["items"].as_array().map(Vec::len), Some(2));
    for wrong in
        [json!({}), json!({"filter": {}}), json!({"ids": [], "filter": {"scope": "twin"}}), json!({"filter": {"scop": "twin"}})]
    {
        assert_eq!(world.private.call("POST", "/errors/retry", Some(wrong.clone())).await.code(), "validation_failed", "{wrong}");
    }
    let nobody = "00000000-0000-0000-0000-000000000000";
    let first = text(&world.private.twin_of(&cases[0]).await.expect("a twin")["error"]["id"]);
    let done = world.private.post("/errors/skip", json!({"ids": [first, nobody]})).await;
    assert_eq!(
        (done["done"].as_u64(), done["failed"][0]["field"].as_str(), done["more"].as_bool()),
        (Some(1), Some(nobody), Some(false))
    );
    world.tracker.handle.clear_faults();
    let done = world.private.post("/errors/retry", json!({"filter": {"connection_id": world.connection}})).await;
    assert_eq!((done["done"].as_u64(), done["failed"].as_array().map(Vec::len)), (Some(5), Some(0)), "{done}");
    until("five issues", || world.tracker.handle.count() == 5).await;
    world.quiet().await;
    assert!(errors(&world.private).await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_throws_parks_its_twin_and_waits_for_a_person() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let rules = async |incoming: &str| {
        let outgoing = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
        put_rules(&world.private, &world.connection, outgoing, incoming).await;
    };
    rules("if (replica.summary.includes('Stuck')) throw new Error('who wrote this?');\nif (firstSync) entity.entityType = 'issue';\nentity.summary = replica.summary;").await;
    let stuck = world.new_case(json!({"Subject": "Stuck"}));
    world.new_case(json!({"Subject": "Free"}));
    world.issue_with("Free").await;
    let twin = parked(&world.private, &stuck).await;
    let error = &twin["error"];
    assert!(text(&error["title"]).contains("incoming rule"), "{error}");
    assert!(text(&error["detail"]).contains("who wrote this?"), "the script's own words: {error}");
    assert_eq!(
        (error["retryable"].as_bool(), &error["next_attempt_at"]),
        (Some(false), &Value::Null),
        "only a person helps: {error}"
    );
    // Newer changes wait and merge.
    world.edit_case(&stuck, json!({"Description": "one"}));
    world.edit_case(&stuck, json!({"Subject": "Stuck still"}));
    world.new_case(json!({"Subject": "Free too"}));
    world.issue_with("Free too").await;
    assert_eq!(world.tracker.handle.count(), 2);
    rules(include_str!("../../../src/rules/builtin/webhook.incoming.js")).await;
    world.private.post(&format!("/errors/{}/retry", text(&error["id"])), json!({})).await;
    let issue = world.issue_with("Stuck still").await;
    assert_eq!(world.issue_field(&issue, "description"), "one");
    world.quiet().await;
    let log = world.tracker.handle.log();
    assert_eq!(log.iter().filter(|write| write.kind == "entity.created").count(), 3, "the newest state, once");
    world.stop().await;
}
