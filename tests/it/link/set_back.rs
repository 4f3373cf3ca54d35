//! A side that remembers less than it said: the three findings, on each side, and the day's one epoch.

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::Ours;
use crate::support::{
    stranger::{Mate, id, sync},
    stranger_node::StrangerNode,
    until_said,
};

/// A stranger with one twin that both know.
pub async fn with_twin(ours: &Ours) -> (Mate, String) {
    let mut mate = ours.joined().await;
    let twin = id();
    mate.put(sync(&twin, "T-1", json!({"summary": "s"})));
    mate.until_result(&twin, "applied").await;
    (mate, twin)
}

/// The new epoch brings every twin once, then `resynced`; nothing is doubled.
pub async fn resynced(ours: &Ours, mate: &mut Mate, twin: &str, epoch: u64) {
    assert_eq!(mate.book.epoch, epoch);
    mate.until("the end of it", |event| event["kind"] == "resynced").await;
    let again: Vec<&Value> = mate.book.got.iter().filter(|event| event["kind"] == "sync").collect();
    assert_eq!(again.len(), 1, "{again:#?}");
    let again = again[0].clone();
    assert_eq!(
        (&again["twin"], &again["replica"]["summary"], &again["applied"]["summary"]),
        (&json!(twin), &json!("s"), &json!("s"))
    );
    assert!(again["remote"]["key"] == "T-1" && again["key"].is_string(), "both keys: {again}");
    assert_eq!(mate.book.got[0]["n"], 1);
    // No create leaves until they have sent theirs.
    let early = id();
    mate.put(sync(&early, "T-2", json!({"summary": "early"})));
    mate.turn(0).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(ours.issues().len(), 1);
    let mut word = sync(twin, "T-1", json!({"summary": "s"}));
    (word["applied"], word["remote"]) = (again["replica"].clone(), json!({"entity_type": "issue", "key": again["key"]}));
    mate.put(word);
    mate.put(json!({"kind": "resynced", "twin": null}));
    mate.until_result(&early, "applied").await;
    assert_eq!(ours.issues().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_of_what_was_never_sent() {
    let ours = Ours::start(Role::Public).await;
    let (mut mate, twin) = with_twin(&ours).await;
    let writes = ours.tracker.handle.log().len();
    let mut words = mate.book.words();
    (words["ack"], words["ack_id"]) = (json!(77), json!(id()));
    let said = mate.partner.exchange(words).await.good();
    assert_eq!((&said["epoch"], &said["ack"]), (&json!(2), &json!(0)));
    mate.book.take(&said);
    resynced(&ours, &mut mate, &twin, 2).await;
    assert_eq!(ours.tracker.handle.log().len(), writes + 1, "only the new one was written");
    // The second of the day waits for a person.
    let mut words = mate.book.words();
    words["ack_id"] = json!(id());
    let said = mate.partner.exchange(words.clone()).await;
    said.refused(503, "try_later");
    assert!(said.retry_after.is_some());
    mate.partner.exchange(mate.book.words()).await.good();
    let error = ours.node.get("/errors").await["items"][0].clone();
    ours.node.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
    until_said("the third epoch", async || {
        let said = mate.partner.exchange(words.clone()).await;
        said.status == 200 && said.body["epoch"] == 3
    })
    .await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_event_at_the_cursors_number() {
    for inside in [true, false] {
        let ours = Ours::start(Role::Public).await;
        let (mut mate, twin) = with_twin(&ours).await;
        let mut words = mate.book.words();
        let mut event = sync(&id(), "T-9", json!({"summary": "other"}));
        (event["n"], event["id"], event["at"]) = (json!(if inside { 1 } else { 2 }), json!(id()), json!("2026-11-24T00:00:00Z"));
        (words["events"], words["after_id"]) = (json!([event]), if inside { Value::Null } else { json!(id()) });
        let said = mate.partner.exchange(words).await.good();
        assert_eq!((&said["epoch"], &said["ack"]), (&json!(2), &json!(0)), "inside: {inside}");
        mate.book.take(&said);
        resynced(&ours, &mut mate, &twin, 2).await;
        ours.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_higher_epoch_is_joined_and_a_lower_refused() {
    let ours = Ours::start(Role::Public).await;
    let (mut mate, twin) = with_twin(&ours).await;
    mate.book = crate::support::stranger::Ledger { epoch: 7, ..Default::default() };
    mate.turn(0).await;
    let said = mate.partner.exchange(json!({"epoch": 6})).await;
    said.refused(409, "epoch");
    assert_eq!(said.body["present"], 7);
    resynced(&ours, &mut mate, &twin, 7).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_relay_follows_every_finding_of_a_strangers_node() {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    ours.joins(&theirs).await;
    let twin = id();
    theirs.put(sync(&twin, "T-1", json!({"summary": "s"})));
    until_said("a result", async || theirs.state().book.got.iter().any(|event| event["outcome"] == "applied")).await;
    // They were set back: they acknowledge less than we have forgotten... no, more than we remember; then they begin one.
    {
        let mut state = theirs.state();
        state.book = crate::support::stranger::Ledger { epoch: 4, ..Default::default() };
    }
    theirs.put(json!({"kind": "resynced", "twin": null}));
    let back = async || theirs.state().book.got.iter().any(|event| event["kind"] == "resynced");
    until_said("our twins in a higher epoch", back).await;
    let got = theirs.state().book.got.clone();
    let epoch = theirs.state().book.epoch;
    assert!(got.iter().any(|event| event["twin"] == json!(twin) && event["replica"]["summary"] == "s"), "{got:#?}");
    assert!(epoch >= 4);
    assert_eq!(ours.issues().len(), 1);
    // We find that an event of theirs is not the one we stored.
    theirs.put(sync(&twin, "T-1", json!({"summary": "s"})));
    until_said("stored", async || theirs.all_acked()).await;
    {
        let mut state = theirs.state();
        for event in &mut state.book.sent {
            event["id"] = json!(id());
        }
    }
    theirs.put(sync(&id(), "T-2", json!({"summary": "other"})));
    until_said("a new epoch, or a person asked", async || theirs.state().book.epoch > epoch).await;
    assert_eq!(theirs.state().faults, Vec::<String>::new());
    ours.stop().await;
    theirs.stop();
}
