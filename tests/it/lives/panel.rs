//! What a panel beside a record is told, and what not: the calls of the class in `salesforce/`, as it makes them.

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use crate::support::{Settings, World, pair::text, until_said};

async fn panel(world: &World, token: &str, key: &str) -> Value {
    world.public.call_as(token, "GET", &format!("/trackers/support/entities/Case/{key}/status"), None).await.good()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_syncs_links_and_stops_with_a_token_for_one_connection() {
    let mut world = World::with(Settings { joined: false, ..Settings::default() }).await;
    world.join(json!({"name": "other"})).await;
    world.join(json!({"name": "own"})).await;
    let own = world.connection.clone();
    for connection in world.public.get("/connections").await["items"].as_array().expect("a list") {
        let path = format!("/connections/{}/triggers", text(&connection["id"]));
        let trigger = text(&world.public.get(&path).await["items"][0]["id"]);
        world.public.patch(&format!("{path}/{trigger}"), json!({"filter": "Subject = 'Nobody'"})).await;
    }
    let made = world.public.post("/tokens", json!({"name": "panel", "scopes": ["operate"], "connections": [own]})).await;
    let token = text(&made["secret"]);
    let case = world.new_case(json!({"Subject": "Quiet secret"}));
    world.quiet().await;
    let told = panel(&world, &token, &case).await;
    assert_eq!(
        (&told["twins"], &told["connections"]),
        (&json!([]), &json!([{"id": own, "name": "own"}])),
        "its own alone: {told}"
    );
    let whole = panel(&world, crate::support::TOKEN, &case).await;
    assert_eq!(
        (&whole["last"]["outcome"], whole["connections"].as_array().map(Vec::len)),
        (&json!("skipped"), Some(2)),
        "{whole}"
    );
    assert!(whole["last"]["reason"].is_string(), "{whole}");
    let used = world.public.call_as(&token, "GET", "/trackers/support/uses", None).await.good();
    assert!(used["items"].as_array().is_some_and(|all| all.len() == 1 && all[0]["connection"] == "own"), "{used}");
    let call = async |method: &str, path: String, body| world.public.call_as(&token, method, &path, body).await;
    let record = json!({"entity_type": "Case", "key": case});
    call("POST", format!("/connections/{own}/twins"), Some(record.clone())).await.good();
    until_said("in sync", || async { panel(&world, &token, &case).await["twins"][0]["status"] == "in_sync" }).await;
    let told = panel(&world, &token, &case).await;
    let twin = &told["twins"][0];
    assert_eq!((&twin["connection"], &twin["remote"]["entity_type"]), (&json!("own"), &json!("issue")), "{told}");
    let stopped = call("DELETE", format!("/twins/{}", text(&twin["id"])), None).await.good();
    assert_eq!(stopped["status"], "stopped");
    let other = world.new_case(json!({"Subject": "Linked"}));
    let issue = world.tracker.handle.create(&json!({"summary": "Linked there", "description": "", "status": "open"}));
    let link = json!({"local": {"entity_type": "Case", "key": other}, "remote": {"entity_type": "issue", "key": issue}});
    call("POST", format!("/connections/{own}/twins/link"), Some(link)).await.good();
    assert_eq!(panel(&world, &token, &other).await["twins"][0]["remote"]["key"], issue);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_is_told_what_is_held_up_without_a_value() {
    let world = World::start().await;
    let kind = TrackerFaultKind::Refuse("no customer called Secret".to_owned());
    world.tracker.handle.fail(TrackerFault { kind, times: 1_000, reads: false, body: Some("Secret".to_owned()) });
    let case = world.new_case(json!({"Subject": "Secret"}));
    let told = async || panel(&world, crate::support::TOKEN, &case).await;
    until_said("the far outcome", || async { told().await["twins"][0]["remote_outcome"]["outcome"] == "parked" }).await;
    let seen = told().await;
    assert!(seen["twins"][0]["remote_outcome"]["title"].is_string() && !seen.to_string().contains("Secret"), "{seen}");
    let beside = world.private.twin_of(&case).await.expect("a twin");
    assert!(beside["error"]["detail"].as_str().is_some_and(|detail| detail.contains("Secret")), "{beside}");
    world.stop().await;
}
