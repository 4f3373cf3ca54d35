//! A partner that starts over and over: it is followed a few times, then a person is asked. Everything would be sent anew
//! each time.

use serde_json::{Value, json};
use wicketgate::config::Role;

use crate::{
    link::Ours,
    support::{
        stranger::{Ledger, Mate, id, sync},
        stranger_node::StrangerNode,
        until_said,
    },
};

/// So many are joined at once.
const AT_ONCE: u64 = 5;

fn waits(errors: &[String]) -> bool {
    errors.iter().any(|title| title.contains("disagree again"))
}

async fn begins(mate: &mut Mate, epoch: u64) -> (u16, String) {
    mate.book = Ledger { epoch, ..Ledger::default() };
    let said = mate.partner.exchange(mate.book.words()).await;
    (said.status, said.code().to_owned())
}

async fn allow(ours: &Ours) {
    let errors = ours.node.get("/errors?scope=connection").await;
    let error = errors["items"].as_array().expect("a list").iter().find(|one| one["title"].to_string().contains("disagree"));
    let error = error.expect("an error")["id"].as_str().expect("an id").to_owned();
    ours.node.post(&format!("/errors/{error}/retry"), json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_begins_epoch_after_epoch_is_not_followed_for_ever() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    mate.turn(0).await;
    for epoch in 2..2 + AT_ONCE {
        assert_eq!(begins(&mut mate, epoch).await, (200, String::new()), "epoch {epoch}");
    }
    assert!(!waits(&ours.errors().await));
    let next = 2 + AT_ONCE;
    for epoch in [next, next, next + 90] {
        assert_eq!(begins(&mut mate, epoch).await, (503, "try_later".to_owned()), "epoch {epoch}");
    }
    assert!(waits(&ours.errors().await), "people are told: {:?}", ours.errors().await);
    // The one that is on still counts.
    mate.book = Ledger { epoch: next - 1, ..Ledger::default() };
    let twin = id();
    mate.put(json!({"kind": "resynced", "twin": null}));
    mate.put(sync(&twin, "T-1", json!({"summary": "in the present epoch"})));
    mate.until_result(&twin, "applied").await;
    // A person allows it.
    allow(&ours).await;
    assert_eq!(begins(&mut mate, next).await, (200, String::new()));
    assert!(!waits(&ours.errors().await));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_we_dial_is_not_followed_for_ever_either() {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    ours.joins(&theirs).await;
    let begins = async || {
        // Told to a request that is held: one that comes later is refused, and would begin an epoch of our own.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        {
            let mut state = theirs.state();
            state.book = Ledger { epoch: state.book.epoch + 1, ..Ledger::default() };
        }
        theirs.put(json!({"kind": "resynced", "twin": null}));
    };
    let resynced = || theirs.state().book.got.iter().any(|event: &Value| event["kind"] == "resynced");
    for _ in 0..AT_ONCE {
        begins().await;
        until_said("a word in the new epoch", async || resynced()).await;
    }
    assert_eq!(theirs.state().book.epoch, 1 + AT_ONCE);
    assert!(!waits(&ours.errors().await));
    begins().await;
    until_said("that a person is asked", async || waits(&ours.errors().await)).await;
    assert!(!resynced(), "{:?}", theirs.state().book.got);
    ours.stop().await;
    theirs.stop();
}
