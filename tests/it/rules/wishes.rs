//! What a rule asks for beside its values: another record as the twin, a word back, an end, another record's sync.

use serde_json::{Value, json};

use crate::support::{Settings, World, put_rules, until};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");

async fn scripted() -> World {
    World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await
}

/// The reasons in the history of a record's twin here.
async fn reasons(world: &World, issue: &str) -> Vec<String> {
    let found = world.private.get(&format!("/trackers/helpdesk/entities/issue/{issue}")).await;
    let id = found["twins"][0]["id"].as_str().expect("a twin").to_owned();
    let lines = world.private.get(&format!("/twins/{id}/history")).await;
    let items = lines["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_adopts_a_record_that_is_there_and_many_may_share_it() {
    let world = scripted().await;
    let out = format!("if (entity.status === 'umbrella') skip('told by nobody');\n{ISSUE_OUT}");
    let incoming = "if (firstSync && replica.priority === 'High') { syncHelper.linkTo('ISSUE-1'); return; }
        entity.entityType = 'issue';
        entity.description = (firstSync ? 'made: ' : 'linked: ') + replica.summary;";
    put_rules(&world.private, &world.connection, &out, incoming).await;
    let umbrella = world.tracker.handle.create(&json!({"summary": "Umbrella", "status": "umbrella"}));
    assert_eq!(umbrella, "ISSUE-1");
    world.quiet().await;
    let first = world.new_case(json!({"Subject": "Pump", "Priority": "High"}));
    until("the first", || world.issue_field(&umbrella, "description") == "linked: Pump").await;
    world.new_case(json!({"Subject": "Valve", "Priority": "High"}));
    until("the second", || world.issue_field(&umbrella, "description") == "linked: Valve").await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 1, "nothing was made");
    assert_eq!(world.issue_field(&umbrella, "summary"), "Umbrella", "what the rule does not name stays");
    assert!(reasons(&world, &umbrella).await.iter().any(|reason| reason.contains("linked by the incoming rule")));
    world.edit_case(&first, json!({"Subject": "Pump leaks"}));
    until("an edit of the first", || world.issue_field(&umbrella, "description") == "linked: Pump leaks").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_nowhere_parks_with_what_to_do() {
    let world = scripted().await;
    put_rules(&world.private, &world.connection, ISSUE_OUT, "syncHelper.linkTo('ISSUE-99');").await;
    world.new_case(json!({"Subject": "Pump"}));
    let errors = async || world.private.get("/errors").await["items"].as_array().cloned().unwrap_or_default();
    crate::support::until_said("an error", async || !errors().await.is_empty()).await;
    let error: Value = errors().await[0].clone();
    assert_eq!(error["title"], "The record that the rule links to is not there", "{error}");
    assert!(error["advice"].as_str().is_some_and(|advice| advice.contains("linkTo")), "{error}");
    assert_eq!(world.tracker.handle.count(), 0, "nothing was made");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_comes_back_where_the_rule_asks_for_it() {
    let world = scripted().await;
    let incoming = format!("{ISSUE_IN}\nif (firstSync) syncHelper.syncBackAfterProcessing();");
    put_rules(&world.private, &world.connection, ISSUE_OUT, &incoming).await;
    put_rules(&world.public, &world.connection, CASE_OUT, "entity.Description = 'partner: ' + replica.key;").await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let issue = world.issue_with("Pump").await;
    until("its key", || world.case_field(&case, "Description") == format!("partner: {issue}")).await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_ends_the_sync_on_either_way() {
    let world = scripted().await;
    let incoming = format!("{ISSUE_IN}\nif (replica.status === 'Closed') syncHelper.unExalateAfterProcessing();");
    put_rules(&world.private, &world.connection, ISSUE_OUT, &incoming).await;
    let outgoing = format!("{CASE_OUT}\nif (entity.Subject === 'Enough') syncHelper.stopAfterProcessing();");
    put_rules(&world.public, &world.connection, &outgoing, CASE_IN).await;
    for (subject, last) in [("Pump", json!({"Status": "Closed"})), ("Valve", json!({"Subject": "Enough"}))] {
        let case = world.new_case(json!({"Subject": subject}));
        let issue = world.issue_with(subject).await;
        world.quiet().await;
        world.edit_case(&case, last);
        world.quiet().await;
        let stopped = async || {
            let mut all = Vec::new();
            for (node, path) in [
                (&world.public, format!("/trackers/support/entities/Case/{case}")),
                (&world.private, format!("/trackers/helpdesk/entities/issue/{issue}")),
            ] {
                all.push(node.get(&path).await["twins"][0]["status"].clone());
            }
            all
        };
        crate::support::until_said("both ends to stop", async || stopped().await == [json!("stopped"), json!("stopped")]).await;
        world.edit_case(&case, json!({"Description": "after the end"}));
        world.quiet().await;
        assert_ne!(world.issue_field(&issue, "description"), "after the end", "{subject}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_starts_another_records_sync_once() {
    let world = scripted().await;
    // The parent matches no trigger.
    let triggers = format!("/connections/{}/triggers", world.connection);
    let first = world.public.get(&triggers).await["items"][0]["id"].as_str().expect("a trigger").to_owned();
    world.public.patch(&format!("{triggers}/{first}"), json!({"filter": "Priority = 'High'"})).await;
    let outgoing = format!("{CASE_OUT}\nif (entity.ParentId) syncHelper.sync('Case', entity.ParentId);");
    put_rules(&world.public, &world.connection, &outgoing, CASE_IN).await;
    let parent = world.new_case(json!({"Subject": "Plant", "Priority": "Low"}));
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 0);
    let child = world.new_case(json!({"Subject": "Pump", "Priority": "High", "ParentId": parent}));
    world.issue_with("Pump").await;
    world.issue_with("Plant").await;
    // Each names the other: they come to rest.
    world.edit_case(&parent, json!({"ParentId": child}));
    world.edit_case(&child, json!({"Subject": "Pump leaks"}));
    world.issue_with("Pump leaks").await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 2);
    world.stop().await;
}
