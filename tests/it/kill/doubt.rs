//! Creates in Salesforce whose answers are lost after the work was done: adopted, never made twice, and never the
//! create's values over what people did since.

use serde_json::json;
use wicketgate::sandbox::org::{Fault, FaultKind};

use crate::support::{World, until, until_said};

/// The create of this issue's Case is done and nobody heard of it; the Case's id, at once.
async fn made_unheard(world: &World, summary: &str) -> String {
    world.org.handle.fail(Fault::on_writes(1, FaultKind::ResetAfterCommit));
    world.tracker.handle.create(&json!({"summary": summary, "description": "from there"}));
    world.case_with(summary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_people_edited_since_is_adopted_with_their_edits() {
    let world = World::start().await;
    let case = made_unheard(&world, "Lost").await;
    world.edit_case(&case, json!({"Subject": "Found by Mira", "Priority": "High"}));
    let issue = world.issue_with("Found by Mira").await;
    until("the priority there", || world.issue_field(&issue, "priority") == "High").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.case_field(&case, "Subject"), "Found by Mira");
    assert_eq!(world.case_field(&case, "Description"), "from there");
    world.tracker.handle.edit(&issue, &json!({"description": "more from there"}));
    until("the next edit", || world.case_field(&case, "Description") == "more from there").await;
    let twin = world.public.twin_of(&case).await.expect("a twin");
    assert_eq!((twin["status"].as_str(), twin["remote"]["key"].as_str()), (Some("in_sync"), Some(&*issue)), "{twin}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_that_was_deleted_since_parks_its_twin() {
    let world = World::start().await;
    let case = made_unheard(&world, "Lost and deleted").await;
    let agent = world.org.handle.agent_user();
    world.org.handle.delete(&case, &agent).expect("deleted");
    until_said("an error", || async {
        let errors = world.public.get("/errors").await;
        errors["items"].as_array().into_iter().flatten().any(|error| error["scope"] == "twin")
    })
    .await;
    let errors = world.public.get("/errors?scope=twin").await;
    let error = &errors["items"][0];
    assert!(error["title"].as_str().is_some_and(|title| title.contains("deleted")), "{error}");
    assert_eq!(world.org.handle.count("Case"), 0, "it is not made again");
    let parked = world.public.get("/twins?status=parked").await;
    assert_eq!(parked["items"].as_array().map(Vec::len), Some(1), "{parked}");
    // The advice: undelete it and retry.
    world.org.handle.undelete(&case, &agent).expect("undeleted");
    world.public.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
    until_said("the twin in sync", || async {
        world.public.twin_of(&case).await.is_some_and(|twin| twin["status"] == "in_sync")
    })
    .await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_creates_whose_answers_are_lost_are_found_by_one_query() {
    let world = World::start().await;
    world.org.handle.fail(Fault::on_writes(1, FaultKind::ResetBefore));
    let keys: Vec<String> =
        (0..20).map(|n| world.tracker.handle.create(&json!({"summary": format!("Lost {n}"), "description": "d"}))).collect();
    world.org.handle.fail(Fault::on_writes(3, FaultKind::ResetAfterCommit));
    until("all Cases", || world.org.handle.count("Case") == keys.len()).await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (keys.len(), keys.len()));
    let twins = world.public.get("/twins?status=in_sync").await;
    assert_eq!(twins["items"].as_array().map(Vec::len), Some(keys.len()));
    let asked = world.org.handle.log().iter().filter(|call| call.kind == "query_all" && call.status == 200).count();
    assert!(asked <= 6, "{asked} queries for {} lost creates", keys.len());
    world.stop().await;
}
