//! A rule that fails for every record pauses its direction, once told; what waits goes on by itself when it works again.

use serde_json::{Value, json};

use crate::support::{Settings, TestNode, World, pair::text, put_rules, until, until_said};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");
const THROWS: &str = "throw new Error('who wrote this?');";

async fn scripted() -> World {
    World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await
}

async fn errors(node: &TestNode, scope: &str) -> Vec<Value> {
    node.get(&format!("/errors?limit=500&scope={scope}")).await["items"].as_array().cloned().expect("a list")
}

/// Waits until the direction is paused, and gives the error that tells of it.
async fn paused(node: &TestNode) -> Value {
    until_said("a pause", || async { !errors(node, "connection").await.is_empty() }).await;
    errors(node, "connection").await.remove(0)
}

async fn waits(world: &World, node: &TestNode, many: usize) {
    let path = format!("/connections/{}", world.connection);
    let words = format!("; {many} more wait");
    until_said("the rest to wait", || async { text(&node.get(&path).await["health"]["paused"]["reason"]).contains(&words) })
        .await;
}

async fn all_well(world: &World, issues: usize, by_people: usize) {
    until("all issues", || world.tracker.handle.count() == issues).await;
    world.quiet().await;
    for node in [&world.public, &world.private] {
        let open = node.get("/errors").await;
        assert_eq!(open["items"], json!([]), "{open}");
        let connection = node.get(&format!("/connections/{}", world.connection)).await;
        assert_eq!((&connection["health"]["paused"], &connection["health"]["parked"]), (&Value::Null, &json!(0)));
    }
    let log = world.tracker.handle.log();
    assert_eq!(log.iter().filter(|write| write.kind == "entity.created").count(), issues - by_people, "none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incoming_rule_that_fails_for_all_pauses_once_and_a_new_version_ends_it() {
    let mut world = scripted().await;
    put_rules(&world.private, &world.connection, ISSUE_OUT, THROWS).await;
    let cases: Vec<String> = (0..40).map(|n| world.new_case(json!({"Subject": format!("Pump {n}")}))).collect();
    let error = paused(&world.private).await;
    waits(&world, &world.private, 30).await;
    assert!(text(&error["detail"]).contains("who wrote this?") && text(&error["title"]).contains("incoming"), "{error}");
    assert_ne!(error["next_attempt_at"], Value::Null, "{error}");
    assert_eq!(errors(&world.private, "twin").await.len(), 10, "thirty others only wait");
    // Its other direction goes on.
    let issue = world.tracker.handle.create(&json!({"summary": "The way back"}));
    world.case_with("The way back").await;
    until_said("the word on it", || async {
        world.private.twin_of(&issue).await.is_some_and(|twin| twin["status"] == "in_sync")
    })
    .await;
    // It outlives the node, and newer changes wait too.
    world.private.stop().await;
    world.private.start().await;
    world.edit_case(&cases[39], json!({"Subject": "Pump, newest"}));
    world.new_case(json!({"Subject": "Pump 40"}));
    waits(&world, &world.private, 31).await;
    assert_eq!(errors(&world.private, "twin").await.len(), 10);
    let kept = paused(&world.private).await;
    assert_eq!((&kept["id"], &kept["occurred_at"]), (&error["id"], &error["occurred_at"]));
    // Nothing is given up for a whole direction.
    let skipped = world.private.call("POST", &format!("/errors/{}/skip", text(&error["id"])), None).await;
    assert_eq!(skipped.code(), "invalid_state");
    put_rules(&world.private, &world.connection, ISSUE_OUT, ISSUE_IN).await;
    world.issue_with("Pump, newest").await;
    all_well(&world, 42, 1).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outgoing_rule_does_so_too() {
    let mut world = scripted().await;
    put_rules(&world.public, &world.connection, THROWS, CASE_IN).await;
    let cases: Vec<String> = (0..25).map(|n| world.new_case(json!({"Subject": format!("Pump {n}")}))).collect();
    let error = paused(&world.public).await;
    waits(&world, &world.public, 15).await;
    assert!(text(&error["title"]).contains("outgoing"), "{error}");
    assert_eq!(errors(&world.public, "twin").await.len(), 10);
    world.public.stop().await;
    world.public.start().await;
    world.edit_case(&cases[24], json!({"Subject": "Pump, newest"}));
    waits(&world, &world.public, 15).await;
    // What is still to be released stands in the store.
    put_rules(&world.public, &world.connection, CASE_OUT, CASE_IN).await;
    world.public.stop().await;
    world.public.start().await;
    world.issue_with("Pump, newest").await;
    all_well(&world, 25, 0).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_works_ends_the_pause_by_itself() {
    let world = scripted().await;
    let picky = format!("if (replica.summary.includes('Bad')) throw new Error('bad');\n{ISSUE_IN}");
    put_rules(&world.private, &world.connection, ISSUE_OUT, &picky).await;
    for n in 0..10 {
        world.new_case(json!({"Subject": format!("Bad {n}")}));
    }
    let error = paused(&world.private).await;
    world.new_case(json!({"Subject": "Good"}));
    world.issue_with("Good").await;
    until_said("the pause to end", || async {
        world.private.call("GET", &format!("/errors/{}", text(&error["id"])), None).await.status == 404
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_one_tried_now_and_a_failed_probe_waits_longer() {
    let world = scripted().await;
    put_rules(&world.private, &world.connection, ISSUE_OUT, THROWS).await;
    for n in 0..12 {
        world.new_case(json!({"Subject": format!("Pump {n}")}));
    }
    let error = paused(&world.private).await;
    waits(&world, &world.private, 2).await;
    let path = format!("/errors/{}", text(&error["id"]));
    let before = world.private.get(&path).await["attempts"].as_u64().expect("a count");
    let tried = world.private.post(&format!("{path}/retry"), json!({})).await;
    assert!(tried["attempts"].as_u64() > Some(before), "{tried}");
    waits(&world, &world.private, 2).await;
    assert_eq!(errors(&world.private, "twin").await.len(), 10, "the one that was tried waits again");
    world.stop().await;
}
