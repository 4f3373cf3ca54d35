//! Comparing what is there with what is known.

use serde_json::json;

use super::{ended, report};
use crate::support::{Settings, World, until, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_message_told_is_found_and_put_right() {
    let world = World::start().await;
    let cases: Vec<String> = (0..6).map(|n| world.new_case(json!({"Subject": format!("Case {n}")}))).collect();
    until("all issues", || world.tracker.handle.count() == 6).await;
    world.quiet().await;
    // A user without the right to send messages: Salesforce tells nobody.
    let silent = world.org.handle.add_user("silent@acme.example", "Sil", "Ent", false);
    let org = &world.org.handle;
    org.update(&cases[0], &json!({"Subject": "Case 0, in silence"}), &silent).expect("edited");
    org.update(&cases[1], &json!({"Status": "Working"}), &silent).expect("edited");
    org.delete(&cases[2], &silent).expect("deleted");
    org.create("Case", &json!({"Subject": "Born in silence"}), &silent).expect("made");
    world.quiet().await;
    let path = format!("/connections/{}/reconcile", world.connection);
    let job = world.public.post(&path, json!({})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!(job["status"], "done", "{job}");
    assert_eq!(job["counts"], json!({"in_step": 3, "missed_update": 2, "deleted": 1, "missing": 1}), "{job}");
    let found = report(&world.public, &job).await;
    let line = found.iter().find(|line| line["key"] == cases[0].as_str()).expect("a line");
    assert_eq!((&line["what"], &line["detail"]["fields"]), (&json!("missed_update"), &json!(["summary"])), "{line}");
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 6, "it only tells");
    let job = world.public.post(&path, json!({"repair": true})).await;
    ended(&world.public, &job["id"]).await;
    world.issue_with("Case 0, in silence").await;
    world.issue_with("Born in silence").await;
    until_said("the delete", async || world.public.twin_of(&cases[2]).await.is_some_and(|twin| twin["status"] == "stopped"))
        .await;
    world.quiet().await;
    let job = world.public.post(&path, json!({"repair": true})).await;
    let job = ended(&world.public, &job["id"]).await;
    assert_eq!(job["counts"], json!({"in_step": 6}), "{job}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_asks_where_the_configuration_says_so_and_only_tells() {
    let world = World::with(Settings { support: "reconcile = \"1s\"".to_owned(), ..Settings::default() }).await;
    let case = world.new_case(json!({"Subject": "Case"}));
    world.issue_with("Case").await;
    world.quiet().await;
    let silent = world.org.handle.add_user("silent@acme.example", "Sil", "Ent", false);
    world.org.handle.update(&case, &json!({"Subject": "In silence"}), &silent).expect("edited");
    let newest = async || world.public.get("/jobs").await["items"][0].clone();
    until_said("a reconcile that found it", async || newest().await["counts"]["missed_update"] == 1).await;
    let job = newest().await;
    assert_eq!((&job["kind"], &job["by"]), (&json!("reconcile"), &json!("schedule")), "{job}");
    assert_eq!(world.private.get("/jobs").await["items"], json!([]), "nobody asked there");
    world.quiet().await;
    world.issue_with("Case").await;
    world.stop().await;
}
