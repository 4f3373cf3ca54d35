//! Who accepted is shown, announced and, where that was asked for, confirmed before anything flows.

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::invitations::{CONNECTION, accept, detail};
use crate::support::{
    HOOK_SECRET, Settings, World,
    pair::{ALLOW, Pair, code_of, members, text, wanted},
    until, until_said,
    wire::{Listening, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_waited_for_before_anything_flows() {
    let world = World::with(Settings { connection: json!({"confirm": true}), ..Settings::default() }).await;
    let path = format!("/connections/{}", world.connection);
    let here = world.public.get(&path).await;
    assert_eq!((here["status"].as_str(), here["awaiting"].as_str()), (Some("pending"), Some("confirmation")));
    assert_eq!(here["remote"]["key_fingerprint"], world.private.get("/status").await["key_fingerprint"], "what people compare");
    assert_eq!((here["remote"]["node"].as_str(), &here["activated_at"]), (Some("private"), &Value::Null));
    let there = world.private.get(&path).await;
    assert_eq!((there["status"].as_str(), there["awaiting"].as_str()), (Some("pending"), Some("confirmation")));
    for node in [&world.public, &world.private] {
        let early = node.call("POST", &format!("{path}/activate"), Some(json!({}))).await;
        assert_eq!((early.status, early.code()), (409, "invalid_state"));
        assert!(detail(&early).contains("confirmation"), "{}", early.body);
        let early = node.call("POST", &format!("{path}/twins"), Some(json!({"entity_type": "Case", "key": "x"}))).await;
        assert_eq!((early.status, early.code()), (409, "invalid_state"), "{}", early.body);
    }
    // The one who waits cannot confirm itself.
    let own = world.private.call("POST", &format!("{path}/confirm"), Some(json!({}))).await;
    assert_eq!((own.status, own.code()), (409, "invalid_state"), "{}", own.body);

    let early = world.new_case(json!({"Subject": "Too early"}));
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 0);
    let found = world.public.get(&format!("/trackers/support/entities/Case/{early}")).await;
    assert_eq!(
        (found["history"][0]["outcome"].as_str(), found["twins"].as_array().map(Vec::len)),
        (Some("skipped"), Some(0)),
        "{found}"
    );
    assert!(text(&found["history"][0]["reason"]).contains("pending"), "{found}");

    let confirmed = world.public.post(&format!("{path}/confirm"), json!({})).await;
    assert_eq!((confirmed["status"].as_str(), &confirmed["awaiting"]), (Some("active"), &Value::Null));
    until_said("the other side to hear of it", || async { world.private.get(&path).await["status"] == "active" }).await;
    assert_eq!(world.private.get(&path).await["awaiting"], Value::Null);
    let twice = world.public.call("POST", &format!("{path}/confirm"), Some(json!({}))).await;
    assert_eq!((twice.status, twice.code()), (409, "invalid_state"));
    world.new_case(json!({"Subject": "In time"}));
    world.issue_with("In time").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_is_announced() {
    let receiver = Receiver::start().await;
    let notify = format!("{ALLOW}[notify]\nurl = \"{}\"\nsecret = \"{HOOK_SECRET}\"\n", receiver.url);
    let mut pair = Pair::with(Role::Private, &notify, ALLOW).await;
    let made = pair.public.post("/connections", wanted(json!({"confirm": true}))).await;
    // A restart in between makes no difference.
    pair.public.stop().await;
    pair.public.start().await;
    let mut stream = Listening::as_admin(&pair.public).await;
    accept(&pair.private, code_of(&made)).await.good();
    let told = stream.event("connection", |one| one["awaiting"] == "confirmation").await;
    members(&told, CONNECTION);
    until("the notice", || !receiver.of("connection.accepted").is_empty()).await;
    let notice = receiver.of("connection.accepted").remove(0);
    let fingerprint = pair.private.get("/status").await["key_fingerprint"].clone();
    for (name, value) in [
        ("id", &made["id"]),
        ("remote", &json!("private")),
        ("key_fingerprint", &fingerprint),
        ("awaiting", &json!("confirmation")),
    ] {
        assert_eq!(&notice["data"][name], value, "{name}");
    }
    let path = format!("/connections/{}", text(&made["id"]));
    pair.public.post(&format!("{path}/confirm"), json!({})).await;
    stream.event("connection", |one| one["status"] == "active").await;
    // A re-key is an acceptance too.
    let code = pair.public.post(&format!("{path}/invitation"), json!({})).await;
    let mut heir = pair.third("heir", Role::Private).await;
    accept(&heir, &text(&code["code"])).await.good();
    until("the second notice", || receiver.of("connection.accepted").len() == 2).await;
    assert_eq!(receiver.of("connection.accepted")[1]["data"]["remote"], "heir");
    let audit = pair.public.get("/audit").await;
    let actions: Vec<&str> =
        audit["items"].as_array().expect("a list").iter().filter_map(|line| line["action"].as_str()).collect();
    assert_eq!(
        &actions[..5],
        ["connection.rekeyed", "invitation.create", "connection.confirm", "connection.accepted", "connection.create"]
    );
    heir.stop().await;
    pair.stop().await;
}
