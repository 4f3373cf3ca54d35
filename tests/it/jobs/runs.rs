//! Bulk runs of a trigger.

use serde_json::{Value, json};
use wicketgate::sandbox::org::{Fault, FaultKind};

use super::{asleep, ended};
use crate::support::{World, until, until_said};

fn cases(many: usize) -> Vec<Value> {
    (0..many).map(|n| json!({"Subject": format!("Old {n}"), "Priority": if n % 2 == 0 { "High" } else { "Low" }})).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_syncs_all_that_match_and_nothing_twice() {
    let world = World::start().await;
    let known = world.new_case(json!({"Subject": "Known", "Priority": "High"}));
    world.issue_with("Known").await;
    world.quiet().await;
    let (trigger, made) = asleep(&world, &cases(230)).await;
    assert_eq!(world.tracker.handle.count(), 1, "nobody was told of the others");
    world.public.patch(&trigger, json!({"filter": "Priority = 'High'"})).await;
    let reads = |world: &World| {
        let calls = world.org.handle.calls();
        ["query", "query_more", "retrieve", "record_read"].iter().filter_map(|kind| calls.get(*kind)).sum::<u64>()
    };
    let before = reads(&world);
    let started = world.public.call("POST", &format!("{trigger}/run"), None).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let again = world.public.call("POST", &format!("{trigger}/run"), None).await;
    assert_eq!((again.status, again.body["code"].as_str()), (409, Some("invalid_state")), "{}", again.body);
    let job = ended(&world.public, &started.body["id"]).await;
    assert_eq!((job["status"].as_str(), &job["done"], &job["total"]), (Some("done"), &json!(116), &json!(116)), "{job}");
    assert_eq!(job["counts"], json!({"sent": 115, "already_synced": 1}), "{job}");
    until("all issues", || world.tracker.handle.count() == 116).await;
    assert!(reads(&world) - before <= 8, "{} reads for 115 records: {:?}", reads(&world) - before, world.org.handle.calls());
    world.quiet().await;
    let second = world.public.post(&format!("{trigger}/run"), json!({})).await;
    let job = ended(&world.public, &second["id"]).await;
    assert_eq!(job["counts"], json!({"already_synced": 116}), "{job}");
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 116);
    // Each of them is under sync as if it had been told of.
    world.edit_case(&made[0], json!({"Subject": "Old and edited"}));
    world.issue_with("Old and edited").await;
    assert!(world.public.twin_of(&known).await.is_some());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_paused_resumed_and_cancelled() {
    let world = World::start().await;
    let (trigger, _) = asleep(&world, &cases(400)).await;
    // Nothing is answered there, so the run cannot get far.
    world.private.post(&format!("/connections/{}/deactivate", world.connection), json!({})).await;
    until_said("both to know", async || {
        world.public.get(&format!("/connections/{}", world.connection)).await["remote"]["state"] == "deactivated"
    })
    .await;
    let job = world.public.post(&format!("{trigger}/run"), json!({})).await;
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    until_said("some", async || world.public.get(&path).await["done"].as_u64() >= Some(30)).await;
    let paused = world.public.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!((&paused["status"], &paused["paused"]), (&json!("running"), &json!(true)), "{paused}");
    world.private.post(&format!("/connections/{}/activate", world.connection), json!({})).await;
    until("those that were left", || world.tracker.handle.count() >= 30).await;
    world.quiet().await;
    let stood = world.public.get(&path).await;
    assert!(stood["done"].as_u64() < Some(400) && world.tracker.handle.count() < 400, "it stands still: {stood}");
    world.public.post(&format!("{path}/resume"), json!({})).await;
    until_said("more", async || world.public.get(&path).await["done"].as_u64() > stood["done"].as_u64()).await;
    assert_eq!(world.public.call("DELETE", &path, None).await.status, 204);
    let cancelled = world.public.get(&path).await;
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    assert_eq!(world.public.call("DELETE", &path, None).await.status, 204, "what has ended stays");
    let resumed = world.public.call("POST", &format!("{path}/resume"), None).await;
    assert_eq!((resumed.status, resumed.body["code"].as_str()), (409, Some("invalid_state")), "{}", resumed.body);
    world.quiet().await;
    let so_far = world.tracker.handle.count();
    let next = world.public.post(&format!("{trigger}/run"), json!({})).await;
    let next = ended(&world.public, &next["id"]).await;
    assert_eq!(next["counts"]["already_synced"], json!(so_far), "{next}");
    until("all", || world.tracker.handle.count() == 400).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_behind_a_restart_and_an_org_that_is_away() {
    let mut world = World::start().await;
    let (trigger, _) = asleep(&world, &cases(300)).await;
    world.private.post(&format!("/connections/{}/deactivate", world.connection), json!({})).await;
    let job = world.public.post(&format!("{trigger}/run"), json!({})).await;
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    until_said("some", async || world.public.get(&path).await["done"].as_u64() >= Some(30)).await;
    world.public.stop().await;
    world.org.handle.fail(Fault::at("/query", 2, FaultKind::Html503));
    world.public.start().await;
    world.private.post(&format!("/connections/{}/activate", world.connection), json!({})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!((job["status"].as_str(), &job["done"]), (Some("done"), &json!(300)), "{job}");
    until("all issues", || world.tracker.handle.count() == 300).await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 300, "none twice");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_cannot_be_asked_says_so() {
    let world = World::start().await;
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = world.private.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
    let refused = world.private.call("POST", &format!("{path}/{trigger}/run"), None).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (409, Some("invalid_state")), "{}", refused.body);
    let unknown = world.public.call("POST", &format!("{path}/00000000-0000-0000-0000-000000000000/run"), None).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    assert_eq!(world.public.call("GET", "/jobs/00000000-0000-0000-0000-000000000000", None).await.status, 404);
    world.stop().await;
}
