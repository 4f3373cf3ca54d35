//! Two switches, deleting, and what each side sees of the other.

use serde_json::{Value, json};

use crate::support::{
    World,
    pair::{Pair, text},
    until, until_said,
};

async fn state_there(world: &World, seen_from_private: bool) -> Value {
    let node = if seen_from_private { &world.private } else { &world.public };
    node.get(&format!("/connections/{}", world.connection)).await["remote"]["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_either_side_is_off_is_kept_and_flows_merged() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump", "Description": "v0"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let path = format!("/connections/{}", world.connection);
    for private_switches in [false, true] {
        let node = if private_switches { &world.private } else { &world.public };
        let off = node.post(&format!("{path}/deactivate"), json!({})).await;
        assert_eq!((off["status"].as_str(), off["remote"]["state"].as_str()), (Some("deactivated"), Some("active")));
        until_said("the other side to hear of it", || async { state_there(&world, !private_switches).await == "deactivated" })
            .await;
        let other = if private_switches { &world.public } else { &world.private };
        assert_eq!(other.get(&path).await["status"], "active", "each side has its own switch");

        let writes = world.tracker.handle.log().len();
        for n in 1..=5 {
            world.edit_case(&case, json!({"Description": format!("{private_switches} {n}")}));
        }
        world.new_case(json!({"Subject": format!("New {private_switches}")}));
        world.tracker.handle.edit(&issue, &json!({"priority": format!("p {private_switches}")}));
        until("the far systems to have told all", || {
            world.org.handle.deliveries().is_empty() && world.tracker.handle.hooks_waiting() == 0
        })
        .await;
        until_said("all to be looked at", || async {
            let changes = |queue: &Value| queue["trackers"][0]["changes"].as_u64();
            changes(&world.public.get("/queue").await) == Some(0) && changes(&world.private.get("/queue").await) == Some(0)
        })
        .await;
        assert_eq!(world.tracker.handle.log().len(), writes, "nothing is written while a switch is off");
        assert!(world.public.get(&path).await["health"]["waiting"].as_u64() > Some(0), "what waits is shown");
        let waiting = world.public.twin_of(&case).await.expect("a twin");
        assert_eq!(waiting["error"], Value::Null, "{waiting}");

        let on = node.post(&format!("{path}/activate"), json!({})).await;
        assert_eq!(on["status"], "active");
        until("the newest description", || world.issue_field(&issue, "description") == format!("{private_switches} 5")).await;
        world.issue_with(&format!("New {private_switches}")).await;
        world.quiet().await;
        let log = world.tracker.handle.log();
        let updates =
            log[writes..].iter().filter(|one| one.kind == "entity.updated" && one.key.as_deref() == Some(issue.as_str()));
        assert_eq!(updates.count(), 1, "five edits are one write");
        assert_eq!(world.issue_field(&issue, "priority"), format!("p {private_switches}"), "an edit of another field stays");
        until_said("the switch to be seen", || async { state_there(&world, !private_switches).await == "active" }).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_both_switches_off_both_must_come_back() {
    let world = World::start().await;
    let path = format!("/connections/{}", world.connection);
    world.public.post(&format!("{path}/deactivate"), json!({})).await;
    world.private.post(&format!("{path}/deactivate"), json!({})).await;
    let again = world.private.call("POST", &format!("{path}/deactivate"), Some(json!({}))).await;
    assert_eq!((again.status, again.body["status"].as_str()), (200, Some("deactivated")), "twice does no harm");
    for seen_from_private in [false, true] {
        until_said("both to know", || async { state_there(&world, seen_from_private).await == "deactivated" }).await;
    }
    world.new_case(json!({"Subject": "Patient"}));
    world.public.post(&format!("{path}/activate"), json!({})).await;
    until_said("the word to be through", || async { state_there(&world, true).await == "active" }).await;
    assert_eq!(world.tracker.handle.count(), 0, "one switch is not enough");
    world.private.post(&format!("{path}/activate"), json!({})).await;
    world.issue_with("Patient").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_connection_is_told_to_the_other_side() {
    for private_deletes in [false, true] {
        let world = World::start().await;
        let case = world.new_case(json!({"Subject": "Pump"}));
        let issue = world.issue_with("Pump").await;
        world.quiet().await;
        let path = format!("/connections/{}", world.connection);
        let (node, other) = if private_deletes { (&world.private, &world.public) } else { (&world.public, &world.private) };
        assert_eq!(node.call("DELETE", &path, None).await.status, 204);
        assert_eq!(node.call("GET", &path, None).await.status, 404);
        until_said("the other side to know", || async { other.get(&path).await["remote"]["state"] == "gone" }).await;
        let seen = other.get(&path).await;
        assert!(text(&seen["health"]["paused"]["reason"]).contains("deleted"), "{seen}");
        let errors = other.get(&format!("/errors?connection_id={}", world.connection)).await;
        let told = &errors["items"][0];
        assert_eq!((told["scope"].as_str(), told["retryable"].as_bool()), (Some("connection"), Some(false)), "{errors}");
        assert!(
            text(&told["title"]).contains("deleted") && text(&told["advice"]).contains("Delete the connection here too"),
            "{told}"
        );
        // Records keep their values; edits go nowhere and say so.
        world.edit_case(&case, json!({"Subject": "Alone"}));
        world.tracker.handle.edit(&issue, &json!({"summary": "Alone too"}));
        until("the notices", || world.org.handle.deliveries().is_empty() && world.tracker.handle.hooks_waiting() == 0).await;
        assert_eq!(world.case_field(&case, "Subject"), "Alone");
        assert_eq!(world.issue_field(&issue, "summary"), "Alone too");
        assert_eq!(node.get("/twins").await["items"].as_array().map(Vec::len), Some(0), "its twins go with it");
        assert_eq!(other.call("DELETE", &path, None).await.status, 204);
        assert_eq!(other.get("/errors").await["items"].as_array().map(Vec::len), Some(0), "its errors go with it");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_deleting_on_both_sides_the_two_may_join_anew() {
    let pair = Pair::start().await;
    let first = pair.join(json!({})).await;
    for node in [&pair.private, &pair.public] {
        assert_eq!(node.call("DELETE", &format!("/connections/{first}"), None).await.status, 204);
    }
    let second = pair.join(json!({})).await;
    assert_ne!(first, second);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pending_connection_cannot_do_is_told() {
    let pair = Pair::start().await;
    let made = pair.public.post("/connections", crate::support::pair::wanted(json!({}))).await;
    let path = format!("/connections/{}", text(&made["id"]));
    for action in ["activate", "deactivate", "confirm"] {
        let early = pair.public.call("POST", &format!("{path}/{action}"), Some(json!({}))).await;
        assert_eq!((early.status, early.code()), (409, "invalid_state"), "{action}");
        assert!(text(&early.body["detail"]).contains("accept"), "{}", early.body);
    }
    assert_eq!(pair.public.call("DELETE", &path, None).await.status, 204);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_is_off_stays_off_when_the_other_takes_its_place_again() {
    for private_is_off in [false, true] {
        let pair = Pair::start().await;
        let id = pair.join(json!({})).await;
        let path = format!("/connections/{id}");
        let (off, on) = if private_is_off { (&pair.private, &pair.public) } else { (&pair.public, &pair.private) };
        off.post(&format!("{path}/deactivate"), json!({})).await;
        let code = pair.public.post(&format!("{path}/invitation"), json!({})).await;
        let accepted = crate::support::pair::acceptance(code["code"].as_str().expect("a code"));
        let joined = pair.private.post("/invitations/accept", accepted).await;
        assert_eq!(joined["awaiting"], "confirmation", "{joined}");
        assert_eq!(off.get(&path).await["status"], "deactivated");
        pair.public.post(&format!("{path}/confirm"), json!({})).await;
        // The other side's word is in, and the switch was not touched.
        until_said("each to know the other's switch", || async {
            let seen = [on.get(&path).await, off.get(&path).await].map(|one| one["remote"]["state"].clone());
            seen == [json!("deactivated"), json!("active")] || (!private_is_off && seen[0] == "deactivated")
        })
        .await;
        assert_eq!(off.get(&path).await["status"], "deactivated", "private is off: {private_is_off}");
        off.post(&format!("{path}/activate"), json!({})).await;
        until_said("both to be on", || async {
            pair.public.get(&path).await["status"] == "active" && pair.private.get(&path).await["status"] == "active"
        })
        .await;
        let more = [&pair.public, &pair.private].map(|node| node.get(&path));
        for seen in futures_util::future::join_all(more).await {
            assert_eq!(seen["awaiting"], serde_json::Value::Null, "{seen}");
        }
        pair.stop().await;
    }
}
