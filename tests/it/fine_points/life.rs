//! The life of a twin: starting, stopping, linking, deletes.

use serde_json::json;
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::says;
use crate::support::{World, until, until_said};

async fn pair(world: &World, name: &str) -> (String, String) {
    let case = world.new_case(json!({"Subject": name, "Description": "d"}));
    let issue = world.issue_with(name).await;
    world.quiet().await;
    (case, issue)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_twin_is_passed_over_and_starts_again_with_the_record_it_had() {
    let world = World::start().await;
    let (case, issue) = pair(&world, "Stop and go").await;
    let twin = world.public.twin_of(&case).await.expect("a twin");
    let id = twin["id"].as_str().expect("an id").to_owned();
    world.public.delete(&format!("/twins/{id}")).await;
    world.twin_in(&world.private, &issue, "stopped").await;
    world.edit_case(&case, json!({"Subject": "Not heard"}));
    world.told(&world.public, &case, "passed over", |line| says(line, "skipped", "stopped")).await;
    world.tracker.handle.edit(&issue, &json!({"description": "not heard either"}));
    world.told(&world.private, &issue, "passed over there", |line| says(line, "skipped", "stopped")).await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Stop and go");
    let again = world
        .private
        .post(&format!("/connections/{}/twins", world.connection), json!({"entity_type": "issue", "key": issue}))
        .await;
    assert_eq!(again["id"], id.as_str(), "the same twin");
    world.twin_in(&world.public, &case, "in_sync").await;
    world.twin_in(&world.private, &issue, "in_sync").await;
    world.edit_case(&case, json!({"Subject": "Heard again"}));
    until("it flows again", || world.issue_field(&issue, "summary") == "Heard again").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_before_a_stop_arrives_and_a_start_after_it_too() {
    let world = World::start().await;
    let (case, issue) = pair(&world, "Order").await;
    let id = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    world.switch(&world.public, false).await;
    world.edit_case(&case, json!({"Subject": "Before the stop"}));
    world.told(&world.public, &case, "it waits to leave", |line| line["outcome"] == "sent").await;
    world.quiet_changes().await;
    world.public.delete(&format!("/twins/{id}")).await;
    world.switch(&world.public, true).await;
    until("the edit", || world.issue_field(&issue, "summary") == "Before the stop").await;
    world.twin_in(&world.private, &issue, "stopped").await;
    // Stopped and started again before the other side hears of anything: it goes on.
    let start = json!({"entity_type": "Case", "key": case});
    world.public.post(&format!("/connections/{}/twins", world.connection), start.clone()).await;
    world.twin_in(&world.private, &issue, "in_sync").await;
    world.quiet().await;
    world.switch(&world.public, false).await;
    world.edit_case(&case, json!({"Subject": "While off"}));
    world.quiet_changes().await;
    world.public.delete(&format!("/twins/{id}")).await;
    world.public.post(&format!("/connections/{}/twins", world.connection), start).await;
    world.quiet_changes().await;
    world.switch(&world.public, true).await;
    until("the edit", || world.issue_field(&issue, "summary") == "While off").await;
    world.quiet().await;
    world.twin_in(&world.private, &issue, "in_sync").await;
    world.twin_in(&world.public, &case, "in_sync").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_ends_the_twin_and_not_the_other_record() {
    let world = World::start().await;
    let (case, issue) = pair(&world, "Deleted there").await;
    let subject = world.case_field(&case, "Subject");
    world.tracker.handle.delete(&issue);
    world.twin_in(&world.private, &issue, "stopped").await;
    world.twin_in(&world.public, &case, "stopped").await;
    world.told(&world.public, &case, "a line", |line| says(line, "applied", "the other side's record was deleted")).await;
    assert_eq!((world.org.handle.count("Case"), world.case_field(&case, "Subject")), (1, subject));
    world.edit_case(&case, json!({"Subject": "Alone now"}));
    world.told(&world.public, &case, "passed over", |line| says(line, "skipped", "stopped")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undelete_on_either_side_resumes_the_twin_both_ways() {
    let world = World::start().await;
    let agent = world.org.handle.agent_user();
    let (case, issue) = pair(&world, "Back and forth").await;
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].clone();
    let stopped = async || {
        world.twin_in(&world.private, &issue, "stopped").await;
        world.twin_in(&world.public, &case, "stopped").await;
        world.quiet().await;
    };
    let flows = async |words: &str| {
        world.twin_in(&world.private, &issue, "in_sync").await;
        world.twin_in(&world.public, &case, "in_sync").await;
        world.edit_case(&case, json!({"Subject": format!("{words}, there")}));
        until("the way there", || world.issue_field(&issue, "summary") == format!("{words}, there")).await;
        world.tracker.handle.edit(&issue, &json!({"description": format!("{words}, back")}));
        until("the way back", || world.case_field(&case, "Description") == format!("{words}, back")).await;
        world.quiet().await;
    };
    // The tracker's record: what was edited here meanwhile was passed over, and is no reason to overwrite it.
    world.tracker.handle.delete(&issue);
    stopped().await;
    assert!(world.tracker.handle.undelete(&issue));
    flows("The issue is back").await;
    // The org's: nobody deletes by message, so the word comes with the next write.
    world.org.handle.delete(&case, &agent).expect("deleted");
    world.tracker.handle.edit(&issue, &json!({"summary": "Too late"}));
    stopped().await;
    world.org.handle.undelete(&case, &agent).expect("undeleted");
    world.edit_case(&case, json!({"Priority": "High"}));
    flows("The Case is back").await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.public.twin_of(&case).await.expect("a twin")["id"], twin, "the same twin");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_not_found_parks_the_twin_and_the_sight_of_it_heals() {
    let world = World::start().await;
    let (case, issue) = pair(&world, "Hidden").await;
    world.tracker.handle.fail(TrackerFault::on_reads(1, TrackerFaultKind::Missing));
    world.tracker.handle.edit(&issue, &json!({"summary": "Seen by nobody"}));
    let twin = world.twin_in(&world.private, &issue, "parked").await;
    assert_eq!(twin["error"]["title"], "The record is no longer visible to the integration user", "{twin}");
    assert_eq!(world.public.twin_of(&case).await.expect("a twin")["status"], "in_sync", "nothing was called deleted");
    world.tracker.handle.edit(&issue, &json!({"description": "seen again"}));
    until("all that waited", || world.case_field(&case, "Subject") == "Seen by nobody").await;
    assert_eq!(world.case_field(&case, "Description"), "seen again");
    world.twin_in(&world.private, &issue, "in_sync").await;
    world.quiet().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_for_a_record_that_a_waiting_link_names_joins_that_link() {
    let world = World::start().await;
    world.switch(&world.private, false).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Known already", "description": "theirs"}));
    until_said("its create waits", || async { world.private.twin_of(&issue).await.is_some() }).await;
    world.switch(&world.public, false).await;
    world.org.handle.remove_outbound_messages("Case");
    let case = world.new_case(json!({"Subject": "Known to us", "Description": "ours"}));
    let link = json!({"local": {"entity_type": "Case", "key": case}, "remote": {"entity_type": "issue", "key": issue}});
    let linked = world.public.post(&format!("/connections/{}/twins/link", world.connection), link).await;
    world.switch(&world.public, true).await;
    world.switch(&world.private, true).await;
    until_said("the link is joined", || async {
        let twin = world.private.call("GET", &format!("/twins/{}", linked["id"].as_str().expect("an id")), None).await;
        twin.body["status"] == "in_sync"
    })
    .await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1), "no second Case");
    assert_eq!(world.case_field(&case, "Subject"), "Known to us", "linking writes nothing");
    assert_eq!(world.issue_field(&issue, "summary"), "Known already");
    let twins = world.private.get("/twins").await;
    let states: Vec<_> = twins["items"].as_array().expect("a list").iter().map(|twin| twin["status"].clone()).collect();
    assert!(states.iter().filter(|status| **status != "stopped").count() == 1, "{twins}");
    world.tracker.handle.edit(&issue, &json!({"summary": "One for both"}));
    until("later edits flow", || world.case_field(&case, "Subject") == "One for both").await;
    assert_eq!(world.case_field(&case, "Description"), "ours");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_makes_equal_only_what_it_is_told_to() {
    for (start, subject) in [("send", "ours"), ("receive", "theirs")] {
        let world = World::start().await;
        for path in ["public", "private"] {
            let node = if path == "public" { &world.public } else { &world.private };
            let triggers = node.get(&format!("/connections/{}/triggers", world.connection)).await;
            let id = triggers["items"][0]["id"].as_str().expect("an id").to_owned();
            node.patch(&format!("/connections/{}/triggers/{id}", world.connection), json!({"enabled": false})).await;
        }
        world.private.patch(&format!("/connections/{}", world.connection), json!({"links": "accept"})).await;
        world.switch(&world.public, false).await;
        let case = world.new_case(json!({"Subject": "ours", "Description": "same"}));
        let issue = world.tracker.handle.create(&json!({"summary": "theirs", "description": "same"}));
        world.quiet_changes().await;
        let link = json!({"local": {"entity_type": "Case", "key": case}, "remote": {"entity_type": "issue", "key": issue},
            "start": start});
        world.public.post(&format!("/connections/{}/twins/link", world.connection), link).await;
        world.quiet_changes().await;
        world.switch(&world.public, true).await;
        until("both equal", || world.case_field(&case, "Subject") == subject && world.issue_field(&issue, "summary") == subject)
            .await;
        world.quiet().await;
        assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
        world.twin_in(&world.public, &case, "in_sync").await;
        world.twin_in(&world.private, &issue, "in_sync").await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_link_makes_no_record() {
    let world = World::start().await;
    let (_, issue) = pair(&world, "Taken").await;
    world.org.handle.remove_outbound_messages("Case");
    let other = world.new_case(json!({"Subject": "Too late"}));
    let link = json!({"local": {"entity_type": "Case", "key": other}, "remote": {"entity_type": "issue", "key": issue}});
    let refused = world.public.call("POST", &format!("/connections/{}/twins/link", world.connection), Some(link)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    world.private.patch(&format!("/connections/{}", world.connection), json!({"links": "ask"})).await;
    let free = world.org.handle.create("Case", &json!({"Subject": "Ask first"}), &world.org.handle.agent_user()).expect("taken");
    world.tracker.handle.set_hook(None);
    let alone = world.tracker.handle.create(&json!({"summary": "Alone"}));
    let link = json!({"local": {"entity_type": "Case", "key": free}, "remote": {"entity_type": "issue", "key": alone}});
    world.public.post(&format!("/connections/{}/twins/link", world.connection), link).await;
    let twin = world.twin_in(&world.private, &free, "parked").await;
    let error = twin["error"]["id"].as_str().expect("an id").to_owned();
    world.private.post(&format!("/errors/{error}/skip"), json!({})).await;
    world.twin_in(&world.public, &free, "stopped").await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 2, "what an admin refused is not made instead");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_gone_when_it_is_to_be_written_ends_the_twin() {
    let world = World::start().await;
    let (case, issue) = pair(&world, "Gone").await;
    // Nobody tells: the read before the write finds it out.
    world.tracker.handle.set_hook(None);
    world.tracker.handle.delete(&issue);
    world.edit_case(&case, json!({"Subject": "Too late"}));
    world.twin_in(&world.private, &issue, "stopped").await;
    world.twin_in(&world.public, &case, "stopped").await;
    world.told(&world.private, &issue, "why", |line| says(line, "skipped", "the record was deleted here")).await;
    assert_eq!(world.case_field(&case, "Subject"), "Too late", "the other record stays as it is");
    world.quiet().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_tracker_has_already_is_adopted() {
    let world = World::start().await;
    let hook = world.private.get("/trackers/helpdesk").await["webhook_url"].as_str().expect("a door").to_owned();
    world.tracker.handle.set_hook(None);
    let issue = world.tracker.handle.create(&json!({"summary": "Theirs", "description": "kept"}));
    let secret = wicketgate::secret::Secret::new(crate::support::HOOK_SECRET);
    world.tracker.handle.set_hook(Some(wicketgate::sandbox::tracker::Hook { url: hook, secret }));
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Conflict(issue.clone())));
    let case = world.new_case(json!({"Subject": "Ours", "Description": "lost"}));
    let twin = world.twin_in(&world.public, &case, "in_sync").await;
    assert_eq!(twin["remote"]["key"], issue.as_str());
    until("what people did there", || world.case_field(&case, "Description") == "kept").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Theirs", "never the create's values over it");
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    world.stop().await;
}
