//! The main job: there, back, and nothing more than that.

use serde_json::json;

use crate::support::{World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_crosses_and_an_edit_comes_back() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump stops", "Description": "E-17", "Priority": "High"}));
    let issue = world.issue_with("Pump stops").await;
    assert_eq!(world.issue_field(&issue, "description"), "E-17");
    assert_eq!(world.issue_field(&issue, "priority"), "High");
    world.tracker.handle.edit(&issue, &json!({"summary": "Pump stops: valve"}));
    until("the edit in the org", || world.case_field(&case, "Subject") == "Pump stops: valve").await;
    world.edit_case(&case, json!({"Status": "Working"}));
    until("the status in the tracker", || world.issue_field(&issue, "status") == "Working").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    let twin = world.public.twin_of(&case).await.expect("a twin");
    assert_eq!(twin["status"], "in_sync", "{twin}");
    assert_eq!(twin["remote"]["key"], issue);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_becomes_a_case_with_its_constants() {
    let world = World::start().await;
    let key = world.tracker.handle.create(&json!({"summary": "Printer on fire", "description": "smoke", "status": "open"}));
    let case = world.case_with("Printer on fire").await;
    assert_eq!(world.case_field(&case, "Description"), "smoke");
    assert_eq!(world.case_field(&case, "Origin"), "Web");
    assert_eq!(world.case_field(&case, "Status"), "New");
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.issue_field(&key, "status"), "open", "what the create made there does not come back as an edit");
    let twin = world.private.twin_of(&key).await.expect("a twin");
    assert_eq!(twin["status"], "in_sync", "{twin}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_writes_nothing() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Echo"}));
    let issue = world.issue_with("Echo").await;
    world.quiet().await;
    let (writes, cases) = (world.tracker.handle.log().len(), world.case_field(&case, "SystemModstamp"));
    world.tracker.handle.edit(&issue, &json!({"summary": "Echo"}));
    world.edit_case(&case, json!({"Type": "Electrical"}));
    world.quiet().await;
    assert_eq!(world.tracker.handle.log().len(), writes);
    assert!(world.case_field(&case, "SystemModstamp").as_str() >= cases.as_str());
    assert_eq!(world.case_field(&case, "Subject"), "Echo");
    world.stop().await;
}
