//! Created once: our own create comes back early, answers are lost, people edit meanwhile.

use serde_json::json;
use wicketgate::sandbox::{
    org::{Fault, FaultKind},
    tracker::{TrackerFault, TrackerFaultKind},
};

use crate::support::{Settings, World, until, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_create_comes_back_early_and_is_held_while_its_answer_is_lost() {
    let world = World::start().await;
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::LoseAnswer));
    world.tracker.handle.fail(TrackerFault::on_writes(2, TrackerFaultKind::ResetBefore));
    let case = world.new_case(json!({"Subject": "Once"}));
    let issue = world.issue_with("Once").await;
    until("its hook is taken", || world.tracker.handle.hooks_waiting() == 0).await;
    let found = world.private.get(&format!("/trackers/helpdesk/entities/issue/{issue}")).await;
    assert_eq!(found["twins"].as_array().map(Vec::len), Some(0), "nobody knows yet whose it is: {found}");
    assert_eq!(found["waiting"].as_array().map(Vec::len), Some(1), "so its notice waits: {found}");
    // A person goes on with the record in the meantime.
    world.tracker.handle.edit(&issue, &json!({"description": "by a person"}));
    world.twin_in(&world.private, &issue, "in_sync").await;
    until("the person's edit", || world.case_field(&case, "Description") == "by a person").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.issue_field(&issue, "description"), "by a person", "the create's repeat wrote nothing over it");
    let twins = world.private.get("/twins").await;
    assert_eq!(twins["items"].as_array().map(Vec::len), Some(1), "{twins}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_whose_create_lost_its_answer_is_adopted() {
    let world = World::start().await;
    let us = world.org.handle.integration_user();
    world.org.handle.permit_sending(&us, true);
    world.org.handle.fail(Fault::on_writes(1, FaultKind::ResetAfterCommit));
    let issue = world.tracker.handle.create(&json!({"summary": "Adopted", "description": "from the issue"}));
    let case = world.case_with("Adopted").await;
    world.edit_case(&case, json!({"Description": "by a person"}));
    until("the person's edit", || world.issue_field(&issue, "description") == "by a person").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.case_field(&case, "Description"), "by a person", "never the create's values over what people did");
    world.tracker.handle.edit(&issue, &json!({"summary": "Adopted, and in sync"}));
    until("the next edit", || world.case_field(&case, "Subject") == "Adopted, and in sync").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_was_deleted_before_its_answer_parks_the_twin() {
    let world = World::start().await;
    world.org.handle.fail(Fault::on_writes(1, FaultKind::HangAfterCommit(400)));
    let issue = world.tracker.handle.create(&json!({"summary": "Short life"}));
    let case = world.case_with("Short life").await;
    world.org.handle.delete(&case, &world.org.handle.agent_user()).expect("deleted");
    let twin = world.twin_in(&world.public, &issue, "parked").await;
    assert_eq!(twin["error"]["title"], "The record was made here and has been deleted", "{twin}");
    assert_eq!(world.org.handle.count("Case"), 0, "it is not made again");
    until_said("the other side knows", || async {
        world.private.twin_of(&issue).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == "parked")
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_id_field_a_lost_create_asks_a_person() {
    let org = wicketgate::sandbox::org::OrgSettings { external_id: false, ..Default::default() };
    let world = World::with(Settings { org, marks: false, ..Settings::default() }).await;
    world.org.handle.fail(Fault::on_writes(1, FaultKind::ResetAfterCommit));
    let issue = world.tracker.handle.create(&json!({"summary": "Who knows"}));
    world.case_with("Who knows").await;
    let twin = world.twin_in(&world.public, &issue, "parked").await;
    assert_eq!(twin["error"]["title"], "Nobody can tell whether the record was made", "{twin}");
    assert_eq!(world.org.handle.count("Case"), 1, "asking a person beats a second Case");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_gone_before_it_crossed_makes_none() {
    let world = World::start().await;
    world.switch(&world.private, false).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Never mind"}));
    until_said("it waits", || async { world.private.twin_of(&issue).await.is_some() }).await;
    world.quiet_changes().await;
    world.tracker.handle.delete(&issue);
    world.twin_in(&world.private, &issue, "stopped").await;
    world.switch(&world.private, true).await;
    until_said("the end is known", || async {
        world.public.twin_of(&issue).await.is_none_or(|twin| twin["status"] == "stopped")
    })
    .await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Case"), 0);
    world.stop().await;
}
