//! What new rules would change, and bringing them to what exists.

use serde_json::{Value, json};

use super::{ended, report};
use crate::support::{Settings, World, put_rules, until};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");

/// A pair in script mode with so many Cases in step.
async fn in_step(many: usize) -> (World, Vec<String>) {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let cases: Vec<String> =
        (0..many).map(|n| world.new_case(json!({"Subject": format!("Case {n}"), "Priority": "Low"}))).collect();
    until("all issues", || world.tracker.handle.count() == many).await;
    world.quiet().await;
    (world, cases)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_names_the_twins_that_would_change_and_writes_nothing() {
    let (world, cases) = in_step(5).await;
    let issue = world.issue_with("Case 0").await;
    world.tracker.handle.edit(&issue, &json!({"summary": "Case 0 there"}));
    until("the edit", || world.case_field(&cases[0], "Subject") == "Case 0 there").await;
    world.quiet().await;
    let before = (world.org.handle.all("Case"), world.tracker.handle.all().len());
    let path = format!("/connections/{}/rules", world.connection);
    let outgoing = format!("{CASE_OUT}\nif (entity.Subject === 'Case 3') replica.summary = 'three';");
    let incoming = format!("{CASE_IN}\nentity.Priority = 'High';");
    let job = world.public.post(&format!("{path}/preview"), json!({"outgoing": outgoing, "incoming": incoming})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!((&job["status"], &job["total"]), (&json!("done"), &json!(5)), "{job}");
    assert_eq!(job["counts"], json!({"would_change": 2, "unchanged": 3}), "{job}");
    let found = report(&world.public, &job).await;
    let of = |key: &str| found.iter().find(|line| line["key"] == key).cloned().expect("a line");
    let ways = |line: &Value| (line["detail"]["outgoing"].clone(), line["detail"]["incoming"].clone());
    let (out, back) = ways(&of(&cases[3]));
    assert_eq!((&out[0]["field"], &out[0]["to"], &back), (&json!("summary"), &json!("three"), &json!([])), "{out}");
    // Only what came from there goes through the incoming rule.
    let (out, back) = ways(&of(&cases[0]));
    assert_eq!((&out, &back[0]["field"], &back[0]["to"]), (&json!([]), &json!("Priority"), &json!("High")), "{back}");
    let job = world.public.post(&format!("{path}/preview"), json!({"outgoing": "throw new Error('no')", "sample": 3})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!((&job["total"], &job["counts"]), (&json!(3), &json!({"would_fail": 3})), "{job}");
    world.quiet().await;
    assert_eq!((world.org.handle.all("Case"), world.tracker.handle.all().len()), before, "nothing was written");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_rules_are_brought_to_what_exists() {
    let (world, cases) = in_step(60).await;
    let issue = world.issue_with("Case 7").await;
    world.tracker.handle.edit(&issue, &json!({"description": "from there"}));
    until("the edit", || world.case_field(&cases[7], "Description") == "from there").await;
    world.quiet().await;
    let path = format!("/connections/{}/rules", world.connection);
    let outgoing = format!("{CASE_OUT}\nreplica.summary = 'Acme: ' + entity.Subject;");
    let incoming = format!("{CASE_IN}\nentity.Priority = 'High';");
    put_rules(&world.public, &world.connection, &outgoing, &incoming).await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Case 7", "publishing alone reaches nobody");
    // A record that is worked on meanwhile brings its new replica along: what was never sent is not taken for known there.
    let busy = world.issue_with("Case 9").await;
    world.tracker.handle.edit(&busy, &json!({"description": "meanwhile"}));
    until("the new rule's word", || world.issue_field(&busy, "summary") == "Acme: Case 9").await;
    world.quiet().await;
    let job = world.public.post(&format!("{path}/reapply"), json!({})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!((&job["status"], &job["done"], &job["total"]), (&json!("done"), &json!(60), &json!(60)), "{job}");
    assert_eq!(job["counts"], json!({"reapplied": 60}), "{job}");
    until("each summary", || {
        let all = world.tracker.handle.all();
        all.iter().all(|issue| issue.fields["summary"].as_str().is_some_and(|text| text.starts_with("Acme: ")))
    })
    .await;
    until("the incoming rule", || world.case_field(&cases[7], "Priority") == "High").await;
    world.quiet().await;
    assert_eq!(world.case_field(&cases[8], "Priority"), "Low", "nothing of theirs was ever applied there");
    assert_eq!(world.case_field(&cases[7], "Subject"), "Case 7", "the other side sends no field back");
    // Once more finds nothing to do.
    let writes = world.tracker.handle.log().len();
    let job = world.public.post(&format!("{path}/reapply"), json!({})).await;
    ended(&world.public, &job["id"]).await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.log().len(), writes);
    world.stop().await;
}
