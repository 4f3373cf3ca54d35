//! Bulk work under `kill -9`: it goes on where it was and does nothing twice.

use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::{Settings, put_rules, until, until_said};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
const CASES: usize = 300;

async fn stage() -> Stage {
    Stage::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await
}

/// Cases that nobody was told of, and the path of the trigger that matches them.
async fn asleep(stage: &Stage) -> String {
    let world = &stage.world;
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = world.public.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("{path}/{trigger}");
    world.public.patch(&path, json!({"enabled": false})).await;
    let cases: Vec<Value> = (0..CASES).map(|n| json!({"Subject": format!("Old {n}")})).collect();
    world.org.handle.create_many("Case", &cases, &world.org.handle.agent_user()).expect("made");
    stage.quiet().await;
    world.public.patch(&path, json!({"enabled": true})).await;
    path
}

/// Kills the node each time the job has got so far, until it has ended.
async fn killed_on_the_way(stage: &mut Stage, job: &Value, at: &[u64]) -> Value {
    let path = format!("/jobs/{}", job["id"].as_str().expect("an id"));
    for done in at {
        until_said("some of it", async || stage.world.public.get(&path).await["done"].as_u64() >= Some(*done)).await;
        stage.public.kill();
        stage.public.start().await;
    }
    until_said("its end", async || stage.world.public.get(&path).await["status"] == "done").await;
    stage.world.public.get(&path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_run_and_a_reapply_survive_kills_and_do_nothing_twice() {
    let mut stage = stage().await;
    let trigger = asleep(&stage).await;
    let job = stage.world.public.post(&format!("{trigger}/run"), json!({})).await;
    let job = killed_on_the_way(&mut stage, &job, &[40, 120, 250]).await;
    assert_eq!((&job["done"], &job["total"]), (&json!(CASES), &json!(CASES)), "{job}");
    until("all issues", || stage.world.tracker.handle.count() == CASES).await;
    stage.quiet().await;
    assert_eq!(stage.world.tracker.handle.count(), CASES, "none was made twice");
    let applied = stage.world.tracker.handle.applied();
    assert!(applied.values().all(|times| *times == 1), "each write once in effect: {applied:?}");
    assert_eq!(applied.len(), CASES, "and no other write");

    let outgoing = format!("{CASE_OUT}\nreplica.summary = 'Acme: ' + entity.Subject;");
    put_rules(&stage.world.public, &stage.world.connection, &outgoing, CASE_IN).await;
    let path = format!("/connections/{}/rules/reapply", stage.world.connection);
    let job = stage.world.public.post(&path, json!({})).await;
    let job = killed_on_the_way(&mut stage, &job, &[40, 150]).await;
    assert_eq!(job["counts"], json!({"reapplied": CASES}), "{job}");
    until("each summary", || {
        let all = stage.world.tracker.handle.all();
        all.iter().all(|issue| issue.fields["summary"].as_str().is_some_and(|text| text.starts_with("Acme: ")))
    })
    .await;
    stage.quiet().await;
    let applied = stage.world.tracker.handle.applied();
    assert_eq!((applied.len(), applied.values().all(|times| *times == 1)), (CASES * 2, true), "one more write for each");
    stage.end();
}
