//! Two public nodes: each posts to the other, and holds nothing.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use wicketgate::{
    clock::SystemClock,
    config::Role,
    sandbox::{
        org::{Org, OutboundMessage},
        tracker::{Hook, SandboxTracker},
    },
    secret::Secret,
};

use crate::support::{
    HOOK_SECRET, Settings, TestNode, World, free_address, helpdesk_section,
    pair::{ALLOW, text},
    provider, support_section, until, until_said,
    wire::Line,
};

/// A world whose second node is public too, reached by a line of its own.
async fn two_public() -> (World, Line) {
    provider();
    let dir = TempDir::new().expect("a folder");
    let settings = Settings::default();
    let clock: Arc<SystemClock> = Arc::new(SystemClock);
    let org = Org::start(settings.org, clock.clone()).await.expect("the org starts");
    let tracker = SandboxTracker::start(settings.tracker, clock.clone()).await.expect("the tracker starts");
    let rest = format!("{ALLOW}{}", support_section(&org, &settings.support));
    let public = TestNode::new("public", dir.path(), Role::Public, clock.clone(), &rest);
    let rest = format!("{ALLOW}{}", helpdesk_section(&tracker, true, ""));
    let mut private = TestNode::new("partner", dir.path(), Role::Public, clock, &rest);
    let line = Line::to(private.url.trim_start_matches("http://").parse().expect("an address")).await;
    private.config = private
        .config
        .replace(&format!("public_url = \"{}\"", private.url), &format!("public_url = \"http://{}\"", line.address));
    let mut world = World { org, tracker, public, private, connection: String::new(), dir };
    world.public.start().await;
    world.private.start().await;
    assert_eq!(world.public.post("/trackers/support/check", json!({})).await["ok"], true);
    let door = |node: serde_json::Value, name: &str| text(&node[name]);
    world.org.handle.set_outbound_message(OutboundMessage {
        object: "Case".to_owned(),
        url: door(world.public.get("/trackers/support").await, "outbound_message_url"),
        fields: vec!["Subject".to_owned()],
    });
    let url = door(world.private.get("/trackers/helpdesk").await, "webhook_url");
    world.tracker.handle.set_hook(Some(Hook { url, secret: Secret::new(HOOK_SECRET) }));
    let there = format!("http://{}", line.address);
    world.join(json!({"destination_url": there})).await;
    (world, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_public_nodes_post_to_each_other() {
    let (world, line) = two_public().await;
    let path = format!("/connections/{}", world.connection);
    for (node, url) in [(&world.public, format!("http://{}", line.address)), (&world.private, world.public.url.clone())] {
        let seen = node.get(&path).await;
        assert_eq!((seen["kind"].as_str(), seen["remote"]["url"].as_str()), (Some("public"), Some(url.as_str())));
    }
    let case = world.new_case(json!({"Subject": "There"}));
    let issue = world.issue_with("There").await;
    world.tracker.handle.edit(&issue, &json!({"summary": "And back"}));
    until("the edit in the org", || world.case_field(&case, "Subject") == "And back").await;
    world.quiet().await;
    // Nothing is held: both stop at once, and the switch is heard all the same.
    world.public.post(&format!("{path}/deactivate"), json!({})).await;
    until_said("the switch", || async { world.private.get(&path).await["remote"]["state"] == "deactivated" }).await;
    world.private.post(&format!("{path}/deactivate"), json!({})).await;
    until_said("the other switch", || async { world.public.get(&path).await["remote"]["state"] == "deactivated" }).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_moved_is_found_at_its_new_address() {
    let (world, line) = two_public().await;
    let path = format!("/connections/{}", world.connection);
    let case = world.new_case(json!({"Subject": "Before"}));
    let issue = world.issue_with("Before").await;
    world.quiet().await;
    drop(line);
    let new = Line::to(world.private.url.trim_start_matches("http://").parse().expect("an address")).await;
    let new_url = format!("http://{}", new.address);
    world.edit_case(&case, json!({"Subject": "Moved"}));

    let wrong = world.public.call("PATCH", &path, Some(json!({"remote": {"url": world.tracker.url}}))).await;
    assert_eq!((wrong.status, wrong.code(), wrong.body["errors"][0]["field"].as_str()), (422, "not_a_node", Some("remote.url")));
    let nobody = format!("http://{}", free_address());
    assert_eq!(world.public.call("PATCH", &path, Some(json!({"remote": {"url": nobody}}))).await.code(), "not_a_node");
    let own = world.public.call("PATCH", &path, Some(json!({"remote": {"url": world.public.url}}))).await;
    assert_eq!((own.status, own.body["errors"][0]["field"].as_str()), (422, Some("remote.url")), "{}", own.body);
    let patched = world.public.patch(&path, json!({"remote": {"url": new_url}})).await;
    assert_eq!(patched["remote"]["url"].as_str(), Some(new_url.as_str()));
    until("the edit at the new address", || world.issue_field(&issue, "summary") == "Moved").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_may_change_is_changed() {
    let (world, _line) = two_public().await;
    let path = format!("/connections/{}", world.connection);
    let patched = world
        .public
        .patch(
            &path,
            json!({"name": " support ", "description": "d", "links": "ask", "share_internal_comments": true, "prefer": "remote"}),
        )
        .await;
    for (name, value) in [
        ("name", json!("support")),
        ("description", json!("d")),
        ("links", json!("ask")),
        ("share_internal_comments", json!(true)),
        ("prefer", json!("remote")),
    ] {
        assert_eq!(patched[name], value, "{name}");
    }
    let refused = world.private.call("PATCH", &path, Some(json!({"prefer": "local"}))).await;
    assert_eq!((refused.status, refused.body["errors"][0]["field"].as_str()), (422, Some("prefer")));
    for (name, value) in
        [("mode", json!("visual")), ("tracker", json!("x")), ("status", json!("active")), ("remote", json!({"node": "x"}))]
    {
        let refused = world.public.call("PATCH", &path, Some(json!({name: value}))).await;
        assert_eq!(refused.status, 422, "{name}");
    }
    assert_eq!(world.public.patch(&path, json!({})).await["links"], "ask", "nothing asked, nothing changed");
    world.stop().await;
}
