//! A side lost its key or moved: a code made on the accepted connection replaces it; rules, triggers and twins stay.

use std::sync::Arc;

use serde_json::json;
use wicketgate::{clock::SystemClock, config::Role, sandbox::tracker::Hook, secret::Secret};

use crate::support::{
    HOOK_SECRET, TestNode, World, helpdesk_section,
    pair::{ALLOW, Pair, acceptance, text},
    until, until_said,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_node_that_lost_all_is_given_its_place_back() {
    let mut world = World::start().await;
    let case = world.new_case(json!({"Subject": "Before"}));
    let issue = world.issue_with("Before").await;
    world.quiet().await;
    let path = format!("/connections/{}", world.connection);
    let old = world.public.get(&path).await;
    let rest = format!("{ALLOW}{}", helpdesk_section(&world.tracker, true, ""));
    world.private.stop().await;
    let heir = TestNode::new("heir", world.dir.path(), Role::Private, Arc::new(SystemClock), &rest);
    let mut lost = std::mem::replace(&mut world.private, heir);
    world.private.start().await;
    let door = world.private.get("/trackers/helpdesk").await;
    let hook = Hook { url: text(&door["webhook_url"]), secret: Secret::new(HOOK_SECRET) };
    world.tracker.handle.set_hook(Some(hook));

    let code = world.public.post(&format!("{path}/invitation"), json!({})).await;
    let still = world.public.get(&path).await;
    assert_eq!(
        (still["status"].as_str(), &still["remote"]["key_fingerprint"]),
        (Some("active"), &old["remote"]["key_fingerprint"]),
        "making a code changes nothing"
    );
    let joined = world.private.post("/invitations/accept", json!({"code": code["code"], "tracker": "helpdesk"})).await;
    assert_eq!((&joined["id"], joined["awaiting"].as_str()), (&json!(world.connection), Some("confirmation")));
    let here = world.public.get(&path).await;
    assert_eq!(
        (here["status"].as_str(), here["awaiting"].as_str()),
        (Some("pending"), Some("confirmation")),
        "a re-key code always waits"
    );
    assert_eq!(here["remote"]["key_fingerprint"], world.private.get("/status").await["key_fingerprint"]);
    assert_ne!(here["remote"]["key_fingerprint"], old["remote"]["key_fingerprint"]);
    for (name, value) in
        [("name", &old["name"]), ("mode", &old["mode"]), ("prefer", &old["prefer"]), ("created_at", &old["created_at"])]
    {
        assert_eq!(&here[name], value, "{name}");
    }
    assert_eq!(world.public.get(&format!("{path}/triggers")).await["items"].as_array().map(Vec::len), Some(1), "triggers stay");

    // What happens while it waits is kept: an edit, and a record that is new.
    world.edit_case(&case, json!({"Description": "meanwhile"}));
    world.new_case(json!({"Subject": "Meanwhile"}));
    until("the notices to come", || world.org.handle.deliveries().is_empty()).await;
    assert_eq!(world.tracker.handle.count(), 1);
    world.public.post(&format!("{path}/confirm"), json!({})).await;
    world.issue_with("Meanwhile").await;
    until("the edit", || world.issue_field(&issue, "description") == "meanwhile").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (2, 2), "nothing is doubled");
    // The twin is the same, and edits come back.
    world.tracker.handle.edit(&issue, &json!({"summary": "After"}));
    until("the edit in the org", || world.case_field(&case, "Subject") == "After").await;

    // The lost node comes back from somewhere: its key opens nothing any more.
    lost.start().await;
    until_said("the former key to be refused", || async { lost.get(&path).await["health"]["paused"]["reason"].is_string() })
        .await;
    assert_eq!(world.public.get(&path).await["remote"]["state"], "active", "the heir is not disturbed");
    lost.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_node_with_a_new_key_is_followed() {
    let mut world = World::start().await;
    let case = world.new_case(json!({"Subject": "Before"}));
    let issue = world.issue_with("Before").await;
    world.quiet().await;
    let path = format!("/connections/{}", world.connection);
    let old = world.public.get("/status").await["key_fingerprint"].clone();
    // Its key is lost, its data is not.
    let store = world.public.node.as_ref().expect("it runs").store.clone();
    store.write("test.lose", |tx| Box::pin(async move { tx.delete_secret("node.key").await })).await.expect("deleted");
    drop(store);
    world.public.stop().await;
    world.public.start().await;
    let new = world.public.get("/status").await["key_fingerprint"].clone();
    assert_ne!(old, new);
    world.private.patch(&path, json!({"description": "still here"})).await;

    let code = world.public.post(&format!("{path}/invitation"), json!({})).await;
    let read = world.private.post("/invitations/inspect", json!({"code": code["code"]})).await;
    assert_eq!(read["key_fingerprint"], new, "people compare before they join");
    let known = world.private.get(&path).await["name"].clone();
    assert_eq!(read["rekeys"], json!({"name": known, "key_fingerprint": old}), "and see what it replaces");
    let joined = world.private.post("/invitations/accept", json!({"code": code["code"], "tracker": "helpdesk"})).await;
    assert_eq!((joined["status"].as_str(), &joined["remote"]["key_fingerprint"]), (Some("pending"), &new));
    assert_eq!(joined["description"], "still here", "what is ours stays");
    let audit = world.private.get("/audit").await;
    assert!(audit["items"].as_array().expect("a list").iter().any(|line| line["action"] == "connection.rekeyed"), "{audit}");
    world.edit_case(&case, json!({"Subject": "Kept"}));
    world.tracker.handle.edit(&issue, &json!({"description": "kept too"}));
    world.public.post(&format!("{path}/confirm"), json!({})).await;
    until("the edit", || world.issue_field(&issue, "summary") == "Kept").await;
    until("the other edit", || world.case_field(&case, "Description") == "kept too").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.private.get(&path).await["status"], "active");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_re_key_code_is_single_and_shows_that_it_waits() {
    let pair = Pair::start().await;
    let id = pair.join(json!({})).await;
    let path = format!("/connections/{id}");
    let first = pair.public.post(&format!("{path}/invitation"), json!({})).await;
    let second = pair.public.post(&format!("{path}/invitation"), json!({})).await;
    let stranger = pair.third("stranger", Role::Private).await;
    let dead = stranger.call("POST", "/invitations/accept", Some(acceptance(&text(&first["code"])))).await;
    assert_eq!((dead.status, dead.code()), (410, "invitation_revoked"));
    stranger.call("POST", "/invitations/accept", Some(acceptance(&text(&second["code"])))).await.good();
    // The admin sees a key that is not the partner's: a new code, and the right node takes its place back.
    let third = pair.public.post(&format!("{path}/invitation"), json!({})).await;
    let back = pair.private.call("POST", "/invitations/accept", Some(acceptance(&text(&third["code"])))).await.good();
    assert_eq!((back["id"].as_str(), back["awaiting"].as_str()), (Some(id.as_str()), Some("confirmation")));
    let here = pair.public.post(&format!("{path}/confirm"), json!({})).await;
    assert_eq!(here["remote"]["key_fingerprint"], pair.private.get("/status").await["key_fingerprint"]);
    until_said("both to be active", || async { pair.private.get(&path).await["status"] == "active" }).await;
    let mut stranger = stranger;
    stranger.stop().await;
    pair.stop().await;
}
