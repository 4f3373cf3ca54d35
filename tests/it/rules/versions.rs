//! A published version works from the next change on; what is refused changes nothing.

use serde_json::{Value, json};

use crate::support::{Settings, World, until};

const OUTGOING: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");

/// The tracker's side is scripted; Salesforce's side sends as it always does.
async fn scripted() -> (World, String) {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let path = format!("/connections/{}/rules", world.connection);
    (world, path)
}

/// An incoming rule that marks what passed it.
fn marking(mark: &str) -> String {
    format!("if (firstSync) entity.entityType = 'issue';\nentity.summary = '{mark}' + replica.summary;\n")
}

fn draft(mark: &str, base: u32) -> Value {
    json!({"outgoing": OUTGOING, "incoming": marking(mark), "base": base})
}

fn version(mark: &str, base: u32) -> Value {
    let mut body = draft(mark, base);
    body["note"] = mark.into();
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_rule_changes_what_crosses_from_the_next_change_on() {
    let (world, path) = scripted().await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let saved = world.private.call("PUT", &path, Some(draft("one: ", 0))).await.good();
    assert_eq!((&saved["draft"]["base"], &saved["published"]["version"]), (&json!(0), &json!(0)), "{saved}");
    world.edit_case(&case, json!({"Subject": "Pump stops"}));
    until("a draft does not run", || world.issue_field(&issue, "summary") == "Pump stops").await;
    world.private.post(&format!("{path}/publish"), json!({"note": "marks"})).await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Pump stops", "publishing alone writes nothing");
    world.edit_case(&case, json!({"Subject": "Pump leaks"}));
    until("the new version's mark", || world.issue_field(&issue, "summary") == "one: Pump leaks").await;
    // What is refused changes nothing.
    let broken = json!({"outgoing": OUTGOING, "incoming": "entity.summary = );", "base": 1});
    let refused = world.private.call("POST", &format!("{path}/publish"), Some(broken)).await;
    assert_eq!((refused.status, refused.code()), (422, "rule_invalid"));
    let error = &refused.body["errors"][0];
    assert_eq!(
        (&error["line"], &error["column"], &error["text"]),
        (&json!(1), &json!(18), &json!("entity.summary = );")),
        "{error}"
    );
    world.edit_case(&case, json!({"Subject": "Pump hums"}));
    until("version 1 to go on", || world.issue_field(&issue, "summary") == "one: Pump hums").await;
    world.private.post(&format!("{path}/publish"), version("two: ", 1)).await;
    world.edit_case(&case, json!({"Subject": "Pump rests"}));
    until("version 2", || world.issue_field(&issue, "summary") == "two: Pump rests").await;
    let back = world.private.post(&format!("{path}/rollback"), json!({"version": 1})).await;
    assert_eq!(back["version"], 3, "{back}");
    world.edit_case(&case, json!({"Subject": "Pump runs"}));
    until("version 1's text again", || world.issue_field(&issue, "summary") == "one: Pump runs").await;
    world.quiet().await;
    let rules = world.private.get(&path).await;
    assert_eq!((&rules["published"]["version"], &rules["published"]["note"]), (&json!(3), &json!("Back to version 1")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_to_script_mode_changes_nothing_else() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump", "Description": "E-17"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let path = format!("/connections/{}", world.connection);
    let (before, writes) = (world.private.get(&path).await, world.tracker.handle.log().len());
    let twin = world.private.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    let told = async || {
        let mut all = Vec::new();
        for node in [&world.public, &world.private] {
            for part in ["", "/history"] {
                all.push(node.get(&format!("/twins/{twin}{part}")).await);
            }
        }
        all
    };
    let twins = told().await;
    let rules = world.private.get(&format!("{path}/rules")).await;
    let mut after = world.private.patch(&path, json!({"mode": "script"})).await;
    assert_eq!(after["mode"], "script");
    after["mode"] = json!("basic");
    for part in ["health", "remote"] {
        // Times go on.
        after[part] = before[part].clone();
    }
    assert_eq!(after, before);
    assert_eq!(world.private.get(&format!("{path}/rules")).await, rules);
    world.quiet().await;
    assert_eq!(world.tracker.handle.log().len(), writes);
    assert_eq!(told().await, twins, "no twin changes, and no event is sent");
    world.edit_case(&case, json!({"Subject": "Pump stops"}));
    until("the built-in pair to go on", || world.issue_field(&issue, "summary") == "Pump stops").await;
    assert_eq!(world.public.get(&path).await["mode"], "basic", "each side decides for itself");
    assert_eq!(world.private.call("PATCH", &path, Some(json!({"mode": "basic"}))).await.code(), "invalid_state");
    world.private.post(&format!("{path}/rules/publish"), version("ours: ", 0)).await;
    world.edit_case(&case, json!({"Subject": "Pump leaks"}));
    until("our own rule", || world.issue_field(&issue, "summary") == "ours: Pump leaks").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_publish_from_one_base_exactly_one_wins() {
    let (world, path) = scripted().await;
    for base in 0..3 {
        let marks: Vec<String> = (0..8).map(|n| format!("{base}.{n} ")).collect();
        let at = format!("{path}/publish");
        let publish = |mark: &String| {
            let (body, at, node) = (version(mark, base), at.clone(), &world.private);
            async move { node.call("POST", &at, Some(body)).await }
        };
        let answers = futures_util::future::join_all(marks.iter().map(publish)).await;
        let won: Vec<&Value> = answers.iter().filter(|answer| answer.status == 201).map(|answer| &answer.body).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let lost = answers.iter().filter(|answer| answer.status == 409 && answer.body["code"] == "rule_changed");
        assert_eq!(lost.count(), 7, "{answers:?}");
        assert_eq!(world.private.get(&path).await["published"], *won[0], "the winner runs");
    }
    let listed = world.private.get(&format!("{path}/versions")).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(4), "{listed}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_the_draft_outlive_the_node() {
    let (mut world, path) = scripted().await;
    world.private.post(&format!("{path}/publish"), version("kept: ", 0)).await;
    world.private.call("PUT", &path, Some(draft("draft: ", 1))).await.good();
    let (rules, versions) = (world.private.get(&path).await, world.private.get(&format!("{path}/versions")).await);
    world.private.stop().await;
    world.private.start().await;
    assert_eq!(world.private.get(&path).await, rules);
    assert_eq!(world.private.get(&format!("{path}/versions")).await, versions);
    world.new_case(json!({"Subject": "Pump"}));
    world.issue_with("kept: Pump").await;
    world.stop().await;
}
