//! Every life of an invitation: made, read, accepted, lost, used, expired, revoked, renewed, altered, misdirected.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::{Clock, ManualClock, SystemClock, Time},
    config::Role,
};

use crate::support::{
    Answer, Settings, TestNode, World, free_address,
    pair::{ALLOW, Pair, acceptance, bare, code_of, members, text, wanted},
    provider,
    wire::Line,
};

pub(super) const CONNECTION: &str = "id name status kind mode tracker local_short_name remote_short_name description created_at \
     activated_at prefer links share_internal_comments awaiting remote health";
const REMOTE: &str = "node url tracker_kind state last_seen_at key_fingerprint version";

pub(super) async fn accept(node: &TestNode, code: &str) -> Answer {
    node.call("POST", "/invitations/accept", Some(acceptance(code))).await
}

async fn connections(node: &TestNode) -> Vec<Value> {
    node.get("/connections").await["items"].as_array().expect("a list").clone()
}

pub(super) fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().expect("a detail")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_made_read_and_accepted() {
    let mut pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({"description": "for pumps", "prefer": "remote"}))).await;
    members(&made, &format!("{CONNECTION} invitation"));
    members(&made["health"], "paused paused_by waiting parked latency_ms");
    members(&made["health"]["latency_ms"], "p50 p95");
    members(&made["invitation"], "code expires_at");
    let expected = json!({"name": "support_to_helpdesk", "status": "pending", "kind": "private", "mode": "basic", "tracker": "desk",
        "local_short_name": "support", "remote_short_name": "helpdesk", "description": "for pumps", "activated_at": null,
        "prefer": "remote", "links": "matching", "share_internal_comments": false, "awaiting": "acceptance", "remote": null});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&made[name], value, "{name}");
    }
    let time = |value: &Value| text(value).parse::<Time>().expect("a time");
    let life = time(&made["invitation"]["expires_at"]).since(time(&made["created_at"]));
    assert!((Duration::from_secs(259_195)..Duration::from_secs(259_205)).contains(&life), "three days: {life:?}");

    let id = text(&made["id"]);
    let fingerprint = pair.public.get("/status").await["key_fingerprint"].clone();
    // Reading a code calls nobody.
    pair.public.stop().await;
    let read = pair.private.post("/invitations/inspect", json!({"code": code_of(&made)})).await;
    assert_eq!(
        read,
        json!({"connection_name": "support_to_helpdesk", "mode": "basic", "kind": "private", "node": "public", "url": pair.public.url,
            "tracker_kind": "webhook", "local_short_name": "helpdesk", "remote_short_name": "support", "description": "for pumps",
            "expires_at": made["invitation"]["expires_at"], "key_fingerprint": fingerprint})
    );
    pair.public.start().await;

    let mine = json!({"code": code_of(&made), "tracker": "desk", "name": "to acme", "description": "ours"});
    let joined = pair.private.call("POST", "/invitations/accept", Some(mine)).await;
    assert_eq!(joined.status, 201);
    let joined = joined.good();
    members(&joined, CONNECTION);
    members(&joined["remote"], REMOTE);
    let expected = json!({"id": id, "name": "to acme", "status": "active", "kind": "private", "mode": "basic", "tracker": "desk",
        "local_short_name": "helpdesk", "remote_short_name": "support", "description": "ours", "prefer": "local", "awaiting": null});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&joined[name], value, "{name}");
    }
    let there = json!({"node": "public", "url": pair.public.url, "tracker_kind": "webhook", "state": "active", "key_fingerprint": fingerprint,
        "version": env!("CARGO_PKG_VERSION")});
    for (name, value) in there.as_object().expect("an object") {
        assert_eq!(&joined["remote"][name], value, "{name}");
    }
    let here = pair.public.get(&format!("/connections/{id}")).await;
    members(&here, CONNECTION);
    members(&here["remote"], REMOTE);
    assert_eq!(
        (here["status"].as_str(), &here["awaiting"], here["name"].as_str()),
        (Some("active"), &Value::Null, Some("support_to_helpdesk"))
    );
    assert!(here["activated_at"].is_string());
    assert_eq!((here["remote"]["node"].as_str(), &here["remote"]["url"]), (Some("private"), &Value::Null), "nobody dials it");
    assert_eq!(here["remote"]["key_fingerprint"], pair.private.get("/status").await["key_fingerprint"]);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_unique_on_a_node_and_each_nodes_own() {
    let pair = Pair::start().await;
    let first = pair.public.post("/connections", wanted(json!({}))).await;
    let taken = pair.public.call("POST", "/connections", Some(wanted(json!({})))).await;
    assert_eq!((taken.status, taken.code()), (409, "name_taken"));
    assert_eq!(taken.body["errors"][0]["field"], "name");
    assert!(detail(&taken).contains("support_to_helpdesk"), "{}", taken.body);
    assert_eq!(connections(&pair.public).await.len(), 1, "nothing half made");
    let second = pair.public.post("/connections", wanted(json!({"name": "second"}))).await;

    accept(&pair.private, code_of(&first)).await.good();
    let same = json!({"code": code_of(&second), "tracker": "desk", "name": "support_to_helpdesk"});
    let taken = pair.private.call("POST", "/invitations/accept", Some(same)).await;
    assert_eq!((taken.status, taken.code()), (409, "name_taken"));
    assert_eq!(taken.body["errors"][0]["field"], "name");
    assert_eq!(
        pair.public.get(&format!("/connections/{}", text(&second["id"]))).await["status"],
        "pending",
        "the code is not used up"
    );
    accept(&pair.private, code_of(&second)).await.good();
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_may_be_repeated_by_the_same_node_and_no_other() {
    provider();
    let dir = TempDir::new().expect("a folder");
    let address = free_address();
    let line = Line::to(address).await;
    let mut public = bare("public", dir.path(), Role::Public, Arc::new(SystemClock), ALLOW);
    // Others reach it by the line.
    public.config = public.config.replace(&public.url, &format!("http://{}", line.address));
    public.config = public.config.replace(public.url.trim_start_matches("http://"), &address.to_string());
    public.url = format!("http://{address}");
    public.start().await;
    let mut private = bare("private", dir.path(), Role::Private, Arc::new(SystemClock), ALLOW);
    private.start().await;
    let mut other = bare("other", dir.path(), Role::Private, Arc::new(SystemClock), ALLOW);
    other.start().await;

    let made = public.post("/connections", wanted(json!({}))).await;
    line.swallow(true);
    let lost = accept(&private, code_of(&made)).await;
    assert_eq!((lost.status, lost.code()), (502, "peer_unreachable"));
    assert!(connections(&private).await.is_empty(), "nothing half made");
    let path = format!("/connections/{}", text(&made["id"]));
    assert_eq!(public.get(&path).await["status"], "active", "there it was heard");
    line.swallow(false);

    let late = accept(&other, code_of(&made)).await;
    assert_eq!((late.status, late.code()), (409, "already_accepted"));
    assert!(detail(&late).contains("ask for a new one"), "{}", late.body);
    assert!(connections(&other).await.is_empty());

    let again = accept(&private, code_of(&made)).await;
    assert_eq!((again.status, &again.body["id"], again.body["status"].as_str()), (201, &made["id"], Some("active")));
    // Once more, after all is well: the same, and our own switch stays as it is.
    private.post(&format!("{path}/deactivate"), json!({})).await;
    let again = accept(&private, code_of(&made)).await;
    assert_eq!((again.status, again.body["status"].as_str()), (201, Some("deactivated")));
    assert_eq!(connections(&private).await.len(), 1);
    private.stop().await;
    other.stop().await;
    public.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_expires_by_both_clocks() {
    provider();
    let dir = TempDir::new().expect("a folder");
    let now = SystemClock.now();
    let (theirs, ours) = (ManualClock::new(now), ManualClock::new(now));
    let mut public = bare("public", dir.path(), Role::Public, Arc::new(theirs.clone()), ALLOW);
    let mut private = bare("private", dir.path(), Role::Private, Arc::new(ours.clone()), ALLOW);
    public.start().await;
    private.start().await;
    let made = public.post("/connections", wanted(json!({"expires_in": 600}))).await;
    theirs.advance(Duration::from_secs(601));
    // Our clock is ten minutes behind: the inviting node says no.
    let late = accept(&private, code_of(&made)).await;
    assert_eq!((late.status, late.code()), (410, "invitation_expired"));
    assert!(detail(&late).contains("ask for a new one"), "{}", late.body);
    // Our clock says so too: nobody is called.
    ours.advance(Duration::from_secs(601));
    public.stop().await;
    let late = accept(&private, code_of(&made)).await;
    assert_eq!((late.status, late.code()), (410, "invitation_expired"));
    assert!(detail(&late).contains("ask for a new one"), "{}", late.body);
    assert!(connections(&private).await.is_empty());
    private.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_revoked_and_renewed() {
    let pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    let path = format!("/connections/{}/invitation", text(&made["id"]));
    assert_eq!(pair.public.call("DELETE", &path, None).await.status, 204);
    assert_eq!(pair.public.call("DELETE", &path, None).await.status, 204, "once more does no harm");
    let dead = accept(&pair.private, code_of(&made)).await;
    assert_eq!((dead.status, dead.code()), (410, "invitation_revoked"));
    assert!(detail(&dead).contains("ask for a new one"), "{}", dead.body);

    let second = pair.public.call("POST", &path, None).await;
    assert_eq!(second.status, 201);
    let second = second.good();
    members(&second, "code expires_at");
    let third = pair.public.post(&path, json!({"expires_in": 3600})).await;
    let dead = accept(&pair.private, &text(&second["code"])).await;
    assert_eq!((dead.status, dead.code()), (410, "invitation_revoked"), "a new code ends the one before");
    assert!(connections(&pair.private).await.is_empty());
    accept(&pair.private, &text(&third["code"])).await.good();
    // What was accepted cannot be revoked any more: say so, and what can be done.
    let late = pair.public.call("DELETE", &path, None).await;
    assert_eq!((late.status, late.code()), (409, "invalid_state"));
    assert!(detail(&late).contains("accepted"), "{}", late.body);
    for wrong in [59, 7_776_001] {
        let refused = pair.public.call("POST", &path, Some(json!({"expires_in": wrong}))).await;
        assert_eq!((refused.code(), refused.body["errors"][0]["field"].as_str()), ("validation_failed", Some("expires_in")));
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_connections_code_is_unknown() {
    let pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    assert_eq!(pair.public.call("DELETE", &format!("/connections/{}", text(&made["id"])), None).await.status, 204);
    let unknown = accept(&pair.private, code_of(&made)).await;
    assert_eq!((unknown.status, unknown.code()), (422, "invitation_unknown"));
    assert!(detail(&unknown).contains("ask for a new one"), "{}", unknown.body);
    assert!(connections(&pair.private).await.is_empty());
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_code_is_told_so() {
    let pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    let code = code_of(&made);
    let parts: Vec<&str> = code.split('.').collect();
    for part in 0..3 {
        let mut altered: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let at = altered[part].len() / 2;
        let other = if altered[part].as_bytes()[at] == b'A' { "B" } else { "A" };
        altered[part].replace_range(at..=at, other);
        for path in ["/invitations/inspect", "/invitations/accept"] {
            let mut body = json!({"code": altered.join(".")});
            if path.ends_with("accept") {
                body["tracker"] = json!("desk");
            }
            let refused = pair.private.call("POST", path, Some(body)).await;
            assert_eq!((refused.status, refused.code()), (422, "invitation_invalid"), "part {part}");
            assert_eq!(refused.body["errors"][0]["field"], "code");
            assert!(detail(&refused).contains("copy"), "part {part}: {}", refused.body);
        }
    }
    let other = pair.public.post("/connections", wanted(json!({"name": "second"}))).await;
    let mixed = format!("{}.{}", code.rsplit_once('.').expect("parts").0, code_of(&other).rsplit_once('.').expect("parts").1);
    for wrong in
        ["hello", "a.b.c", &code[..code.len() - 5], &mixed, &"x".repeat(9_000), &"x".repeat(20_000), "https://sync.acme.example"]
    {
        let refused = accept(&pair.private, wrong).await;
        assert_eq!((refused.status, refused.code()), (422, "invitation_invalid"), "{wrong}");
        assert_eq!(refused.body["errors"][0]["field"], "code");
    }
    let empty = accept(&pair.private, "  ").await;
    assert_eq!((empty.status, empty.code(), empty.body["errors"][0]["field"].as_str()), (422, "validation_failed", Some("code")));
    assert!(connections(&pair.private).await.is_empty());
    // As a mail breaks it: line breaks, spaces.
    let broken = format!("\n {}\r\n  {}\t", &code[..70], &code[70..]);
    accept(&pair.private, &broken).await.good();
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_join_itself() {
    let pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    let own = accept(&pair.public, code_of(&made)).await;
    assert_eq!((own.status, own.code()), (422, "cannot_join"));
    assert!(detail(&own).contains("the other node"), "{}", own.body);
    let own =
        pair.public.call("POST", "/connections", Some(wanted(json!({"name": "own", "destination_url": pair.public.url})))).await;
    assert_eq!((own.status, own.code()), (422, "validation_failed"), "{}", own.body);
    assert_eq!(own.body["errors"][0]["field"], "destination_url");
    assert!(detail(&own).contains("this node"), "{}", own.body);
    assert_eq!(connections(&pair.public).await.len(), 1);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_be_reached_leaves_nothing_half_made() {
    let mut pair = Pair::start().await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    pair.public.stop().await;
    let silent = accept(&pair.private, code_of(&made)).await;
    assert_eq!((silent.status, silent.code()), (502, "peer_unreachable"));
    assert!(detail(&silent).contains(&pair.public.url) && detail(&silent).contains("same code"), "{}", silent.body);
    assert!(connections(&pair.private).await.is_empty());
    pair.public.start().await;
    accept(&pair.private, code_of(&made)).await.good();
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inside_address_in_a_code_or_a_wish_is_not_called() {
    let pair = Pair::with(Role::Private, "", "").await;
    let made = pair.public.post("/connections", wanted(json!({}))).await;
    let inside = accept(&pair.private, code_of(&made)).await;
    assert_eq!((inside.status, inside.code()), (422, "address_not_allowed"));
    assert_eq!(inside.body["errors"][0]["field"], "code");
    assert!(detail(&inside).contains("allow_addresses"), "{}", inside.body);
    assert!(connections(&pair.private).await.is_empty());
    for url in [pair.private.url.as_str(), "http://localhost:1/", "https://127.1/", "https://[::1]/", "https://2130706433/"] {
        let inside = pair.public.call("POST", "/connections", Some(wanted(json!({"name": "x", "destination_url": url})))).await;
        assert_eq!((inside.status, inside.code()), (422, "address_not_allowed"), "{url}");
        assert_eq!(inside.body["errors"][0]["field"], "destination_url");
        let asked = pair.public.call("POST", "/destinations/check", Some(json!({"url": url}))).await;
        assert_eq!((asked.status, asked.code()), (422, "address_not_allowed"), "{url}");
    }
    for url in ["ftp://sync.acme.example", "sync.acme.example", "https://me:secret@sync.acme.example", ""] {
        let wrong = pair.public.call("POST", "/connections", Some(wanted(json!({"name": "x", "destination_url": url})))).await;
        assert_eq!((wrong.status, wrong.body["errors"][0]["field"].as_str()), (422, Some("destination_url")), "{url}");
    }
    assert_eq!(connections(&pair.public).await.len(), 1);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_no_node_is_told_so() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let wish = |url: &str| json!({"tracker": "support", "destination_url": url, "mode": "basic", "local_short_name": "a", "remote_short_name": "b"});
    for url in [world.tracker.url.clone(), format!("http://{}", free_address())] {
        let refused = world.public.call("POST", "/connections", Some(wish(&url))).await;
        assert_eq!((refused.status, refused.code()), (422, "not_a_node"), "{url}");
        assert_eq!(refused.body["errors"][0]["field"], "destination_url");
        let checked = world.public.post("/destinations/check", json!({"url": url})).await;
        assert_eq!(checked["is_node"], false, "{checked}");
    }
    let checked = world.private.post("/destinations/check", json!({"url": world.public.url})).await;
    assert_eq!((checked["is_node"].as_bool(), checked["version"].as_str()), (Some(true), Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!(checked["modes"], json!(["basic", "script"]));
    assert!(connections(&world.public).await.is_empty());

    // A code whose address is somebody else's by now.
    let made = world
        .public
        .post("/connections", json!({"tracker": "support", "mode": "basic", "local_short_name": "a", "remote_short_name": "b"}))
        .await;
    let mut world = world;
    world.public.stop().await;
    let address = world.public.url.trim_start_matches("http://").parse().expect("an address");
    let settings = wicketgate::sandbox::tracker::TrackerSettings { addr: address, ..Settings::default().tracker };
    let squatter = wicketgate::sandbox::tracker::SandboxTracker::start(settings, Arc::new(SystemClock)).await.expect("starts");
    let refused =
        world.private.call("POST", "/invitations/accept", Some(json!({"code": code_of(&made), "tracker": "helpdesk"}))).await;
    assert_eq!((refused.status, refused.code()), (422, "not_a_node"));
    assert!(!detail(&refused).contains("HTTP"), "what a stranger answered is not told: {}", refused.body);
    squatter.stop().await;
    world.public.start().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_private_nodes_are_told_what_to_do() {
    let pair = Pair::start().await;
    let refused = pair.private.call("POST", "/connections", Some(wanted(json!({})))).await;
    assert_eq!((refused.status, refused.code()), (422, "cannot_invite"));
    assert!(detail(&refused).contains("public_url") && detail(&refused).contains("accept it here"), "{}", refused.body);
    assert!(connections(&pair.private).await.is_empty());
    pair.stop().await;
}
