//! `[notify]`: the operator hears of what stands still, and of who joined.

use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock as _, SystemClock},
    sandbox::{
        org::{Fault, FaultKind},
        tracker::{TrackerFault, TrackerFaultKind},
    },
    secret::Secret,
    trackers::standard_webhooks::{Headers, Secrets, Signer},
};

use crate::support::{
    HOOK_SECRET, Settings, World,
    receiver::{Got, Receiver},
    until, until_said,
};

fn section(receiver: &Receiver) -> String {
    format!("[notify]\nurl = \"{}/in\"\nsecret = \"{HOOK_SECRET}\"\n", receiver.url)
}

/// Verified as a stranger would, by the specification.
fn verified(got: &Got) -> Value {
    let signer = Signer::new(&Secrets::One(Secret::new(HOOK_SECRET))).expect("a secret");
    let header = |name: &str| Some(got.header(name));
    let headers =
        Headers { id: header("webhook-id"), timestamp: header("webhook-timestamp"), signature: header("webhook-signature") };
    signer.verify(headers, &got.body, SystemClock.now()).expect("signed");
    assert_eq!((got.method.as_str(), got.path.as_str(), got.header("content-type")), ("POST", "/in", "application/json"));
    got.json()
}

fn of_kind(receiver: &Receiver, kind: &str) -> Vec<Value> {
    receiver.seen().iter().map(verified).filter(|news| news["type"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_still_and_who_joined_is_told_and_told_again_until_it_is_heard() {
    // The first try of each is refused: once as if the receiver were away, once for its content.
    let receiver = Receiver::start(|got, before| match before {
        0 => (503, vec![("retry-after", "1".to_owned())], "later".to_owned()),
        1 => (422, Vec::new(), format!("what is {}?", got.header("webhook-id"))),
        _ => (204, Vec::new(), String::new()),
    });
    let settings = Settings { public: section(&receiver), private_link: section(&receiver), ..Settings::default() };
    let world = World::with(settings).await;
    until("the acceptance", || of_kind(&receiver, "connection.accepted").len() >= 2).await;
    let first = receiver.seen()[0].clone();
    let accepted = verified(&first);
    assert_eq!(
        (&accepted["data"]["id"], &accepted["data"]["remote"]),
        (&json!(world.connection), &json!("private")),
        "{accepted}"
    );
    assert!(accepted["data"]["key_fingerprint"].is_string(), "what people compare: {accepted}");
    let again =
        receiver.seen().iter().skip(1).find(|got| got.json()["type"] == "connection.accepted").cloned().expect("a repeat");
    assert_eq!(
        (again.header("webhook-id"), &again.body),
        (first.header("webhook-id"), &first.body),
        "a repeat is known by its id"
    );

    // The tracker refuses a record: its twin is parked at the private node, and a person tries again.
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Refuse("not blue".to_owned())));
    world.new_case(json!({"Subject": "Blue"}));
    until("the error", || !of_kind(&receiver, "error.opened").is_empty()).await;
    let opened = of_kind(&receiver, "error.opened")[0].clone();
    assert!(opened["data"]["detail"].as_str().is_some_and(|text| text.contains("not blue")), "{opened}");
    assert!(opened["data"]["title"].is_string() && opened["data"]["advice"].is_string(), "{opened}");
    let id = opened["data"]["id"].as_str().expect("an id").to_owned();
    world.private.call("POST", &format!("/errors/{id}/retry"), None).await.good();
    until("its end", || of_kind(&receiver, "error.closed").iter().any(|news| news["data"]["id"] == json!(id))).await;
    world.issue_with("Blue").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_told_and_a_receiver_that_is_away_holds_up_nothing() {
    let receiver = Receiver::start(|_, _| (204, Vec::new(), String::new()));
    let world = World::with(Settings { public: section(&receiver), ..Settings::default() }).await;
    world.new_case(json!({"Subject": "Before"}));
    world.issue_with("Before").await;
    world.org.handle.fail(Fault::at("/services/", 1_000, FaultKind::ServerUnavailableArray));
    world.new_case(json!({"Subject": "Held up"}));
    until_said("the pause", || async {
        !world.public.get(&format!("/connections/{}", world.connection)).await["health"]["paused"].is_null()
    })
    .await;
    until("news of it", || !of_kind(&receiver, "error.opened").is_empty() || !of_kind(&receiver, "connection.paused").is_empty())
        .await;
    world.org.handle.clear_faults();
    world.issue_with("Held up").await;
    until("news of the end", || !of_kind(&receiver, "error.closed").is_empty()).await;
    world.stop().await;

    // Nobody listens there: work goes on.
    let gone = "[notify]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"".to_owned() + HOOK_SECRET + "\"\n";
    let world = World::with(Settings { public: gone, ..Settings::default() }).await;
    world.new_case(json!({"Subject": "All the same"}));
    world.issue_with("All the same").await;
    world.stop().await;
}
