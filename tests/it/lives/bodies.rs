//! What the API answers with has the design's members, on both nodes.

use serde_json::{Value, json};

use crate::support::{
    World,
    pair::{members, text},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trackers_checks_rules_and_types_have_their_members() {
    let world = World::start().await;
    for (node, name, door, kind) in
        [(&world.public, "support", "outbound_message_url", "salesforce"), (&world.private, "helpdesk", "webhook_url", "webhook")]
    {
        let tracker = node.get(&format!("/trackers/{name}")).await;
        members(
            &tracker,
            &format!("name kind url status org_id {door} api_calls person_signs_in login_expires_at paused last_notice_at"),
        );
        assert_eq!(
            (tracker["name"].as_str(), tracker["kind"].as_str(), tracker["status"].as_str()),
            (Some(name), Some(kind), Some("ok"))
        );
        assert!(text(&tracker[door]).starts_with(&node.url), "{tracker}");
        assert_eq!(node.get("/trackers").await["items"], json!([tracker]));
        let check = node.post(&format!("/trackers/{name}/check"), json!({})).await;
        members(&check, "ok steps");
        assert_eq!(check["ok"], true, "{check}");
        for step in check["steps"].as_array().expect("steps") {
            members(step, "name status detail advice took_ms");
            assert!(["ok", "failed", "skipped"].contains(&step["status"].as_str().expect("a status")), "{step}");
        }
        let rules = node.get(&format!("/connections/{}/rules", world.connection)).await;
        members(&rules, "draft published");
        members(&rules["published"], "outgoing incoming version at by note");
        assert_eq!(rules["draft"], Value::Null);
        let types = node.get(&format!("/trackers/{name}/types")).await;
        members(&types, "items next");
        let own = if kind == "salesforce" { "Case" } else { "issue" };
        assert!(types["items"].as_array().expect("a list").iter().any(|one| one["name"] == own), "{types}");
        let described = node.get(&format!("/trackers/{name}/types/{own}")).await;
        for field in described["fields"].as_array().expect("fields") {
            members(field, "name label type length writable required unique external_id permissionable values");
        }
        assert_eq!(described["fields"].as_array().is_some_and(|fields| !fields.is_empty()), kind == "salesforce", "{described}");
    }
    let support = world.public.get("/trackers/support").await;
    members(&support["api_calls"], "used limit");
    assert_eq!(support["org_id"].as_str(), Some(world.org.handle.org_id().as_str()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_crossed_is_shown_on_both_sides_with_reasons_and_times() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Shown", "Description": "d"}));
    let issue = world.issue_with("Shown").await;
    world.quiet().await;
    world.tracker.handle.edit(&issue, &json!({"description": "e"}));
    crate::support::until("the edit", || world.case_field(&case, "Description") == "e").await;
    world.quiet().await;
    let listed = [world.public.twin_of(&case).await.expect("a twin"), world.private.twin_of(&issue).await.expect("a twin")];
    assert_eq!(listed[0]["id"], listed[1]["id"], "its id is the same on both nodes");
    assert_eq!(listed[0]["local"], listed[1]["remote"]);
    assert_eq!(listed[0]["remote"], listed[1]["local"]);
    for (node, sent, other) in [(&world.public, "summary", &world.private), (&world.private, "description", &world.public)] {
        let twin = node.get(&format!("/twins/{}", text(&listed[0]["id"]))).await;
        assert_eq!((twin["status"].as_str(), twin["connection_id"].as_str()), (Some("in_sync"), Some(world.connection.as_str())));
        assert!(twin["local_replica"][sent].is_string() && twin["remote_replica"].is_object(), "{twin}");
        assert!(twin["created_at"].is_string() && twin["last_synced_at"].is_string(), "{twin}");
        assert_eq!(twin["remote_outcome"]["outcome"], "applied", "the far side's outcome comes back: {twin}");
        let there = other.get(&format!("/twins/{}", text(&listed[0]["id"]))).await;
        assert_eq!(twin["local_replica"]["summary"], there["remote_replica"]["summary"], "what one sent the other has");
        let history = node.get(&format!("/twins/{}/history", text(&listed[0]["id"]))).await;
        let lines = history["items"].as_array().expect("a list");
        for (direction, outcome) in [("out", "sent"), ("in", "applied")] {
            let line = lines.iter().find(|line| line["direction"] == direction && line["outcome"] == outcome).expect(outcome);
            assert!(line["took_ms"].is_u64() && line["at"].is_string(), "{line}");
            members(&line["changes"][0], "field from to");
        }
    }
    let page = world.public.get(&format!("/twins/{}/history?limit=1", text(&listed[0]["id"]))).await;
    assert!(page["next"].is_string(), "{page}");
    for (query, found) in [
        ("status=in_sync", 1),
        ("status=parked", 0),
        ("tracker=support", 1),
        ("tracker=x", 0),
        ("entity_type=Case", 1),
        ("entity_type=issue", 0),
    ] {
        assert_eq!(world.public.get(&format!("/twins?{query}")).await["items"].as_array().map(Vec::len), Some(found), "{query}");
    }
    for key in [&case, &issue] {
        assert!(world.public.twin_of(key).await.is_some(), "by either key");
    }
    world.stop().await;
}
