//! A stranger's node that we dial: what only a signature makes true, and what its refusals teach.

use std::time::Duration;

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::Ours;
use crate::support::{
    stranger::{id, sync},
    stranger_node::{Mischief, StrangerNode},
    until_said,
};

async fn pair() -> (Ours, std::sync::Arc<StrangerNode>) {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::with(Role::Private, std::sync::Arc::new(wicketgate::clock::SystemClock), "wait = \"2s\"").await;
    ours.joins(&theirs).await;
    until_said("a first exchange", async || !theirs.state().asked.is_empty()).await;
    (ours, theirs)
}

async fn ends(ours: Ours, theirs: &StrangerNode) {
    assert_eq!(theirs.state().faults, Vec::<String>::new());
    ours.stop().await;
    theirs.stop();
}

/// Something still crosses, both ways, once.
async fn both_ways(ours: &Ours, theirs: &StrangerNode, mark: &str) {
    theirs.put(sync(&id(), mark, json!({"summary": format!("{mark} in")})));
    ours.tracker.handle.create(&json!({"summary": format!("{mark} out")}));
    until_said("both ways", async || {
        let inside = ours.issues().iter().any(|issue| issue["summary"] == json!(format!("{mark} in")));
        inside && count(theirs, &format!("{mark} out")) == 1
    })
    .await;
    let there = ours.issues().iter().filter(|issue| issue["summary"] == json!(format!("{mark} in"))).count();
    assert_eq!(there, 1);
}

fn count(theirs: &StrangerNode, summary: &str) -> usize {
    theirs.state().book.got.iter().filter(|event| event["replica"]["summary"] == summary).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_vouches_for_is_a_network_error_and_nothing_more() {
    let (ours, theirs) = pair().await;
    let words = || {
        let mut words = theirs.state().book.words();
        (words["ack"], words["ack_id"]) = (json!(0), Value::Null);
        words
    };
    let invented = || {
        let mut words = words();
        let next = theirs.state().book.sent.len() + 1;
        let mut event = sync(&id(), "EVIL", json!({"summary": "invented"}));
        (event["n"], event["id"], event["at"]) = (json!(next), json!(id()), json!("2026-11-24T00:00:00Z"));
        (words["events"], words["max_events"]) = (json!([event]), json!(1000));
        words
    };
    let gone = json!({"code": "connection_gone", "status": 410});
    let lies = [
        Mischief::Unsigned(200, invented()),
        Mischief::Unsigned(410, gone.clone()),
        Mischief::Unsigned(404, json!({"code": "unknown_connection"})),
        Mischief::Unsigned(409, json!({"code": "epoch", "present": 77})),
        Mischief::Unsigned(401, json!({"code": "clock_skew", "seconds": 100_000})),
        Mischief::Unsigned(302, json!({})),
        Mischief::Unsigned(200, json!("<html>please log in</html>")),
        Mischief::OtherKey,
        Mischief::Claim("jti", json!(id())),
        Mischief::Claim("jti", Value::Null),
        Mischief::Claim("aud", json!("x")),
        Mischief::Claim("aud", json!(theirs.key.fingerprint())),
        Mischief::Claim("iss", json!("x")),
        Mischief::Claim("status", json!(201)),
        Mischief::Claim("bh", json!("x")),
        Mischief::Claim("iat", json!("now")),
        Mischief::Claim("sub", json!(id())),
        Mischief::Drop,
    ];
    // A failure costs a pause that grows: a few at a time.
    for part in lies.chunks(3) {
        for lie in part {
            theirs.do_next(lie.clone());
        }
        until_said("the lies told", async || theirs.state().mischief.is_empty()).await;
        theirs.put(sync(&id(), "T", json!({"summary": "true"})));
        let so_far = theirs.state().book.sent.len();
        until_said("the truth", async || theirs.state().book.acked == so_far).await;
    }
    both_ways(&ours, &theirs, "after").await;
    assert!(!ours.issues().iter().any(|issue| issue["summary"] == "invented"));
    let there = ours.connection(&theirs.connection).await;
    assert_eq!((&there["status"], &there["remote"]["state"]), (&json!("active"), &json!("active")));
    let asked = theirs.state().asked.clone();
    assert!(asked.iter().all(|asked| asked["epoch"] == 1), "no epoch began");
    ends(ours, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_refusals_are_obeyed_and_end() {
    let (ours, theirs) = pair().await;
    theirs.do_next(Mischief::Refuse(503, json!({"code": "try_later"})));
    theirs.do_next(Mischief::Refuse(409, json!({"code": "second_copy"})));
    theirs.do_next(Mischief::Slow(Duration::from_secs(3)));
    both_ways(&ours, &theirs, "after").await;
    theirs.do_next(Mischief::Refuse(410, json!({"code": "connection_gone", "title": "Gone"})));
    until_said("that it is gone", async || ours.connection(&theirs.connection).await["remote"]["state"] == "gone").await;
    assert!(ours.errors().await.iter().any(|title| title.contains("deleted")), "{:?}", ours.errors().await);
    ends(ours, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_ten_minutes_off_is_followed_and_told() {
    for ahead in [600, -600] {
        let theirs = StrangerNode::start("").await;
        theirs.state().ahead = ahead;
        let ours = Ours::start(Role::Private).await;
        ours.joins(&theirs).await;
        both_ways(&ours, &theirs, "first").await;
        until_said("the difference", async || {
            let told = theirs.state().asked.last().map_or(Value::Null, |asked| asked["clock_offset_ms"].clone());
            told.as_i64().is_some_and(|told| (told - ahead * 1000).abs() < 30_000)
        })
        .await;
        ends(ours, &theirs).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_never_comes_round_is_not_hammered() {
    let (ours, theirs) = pair().await;
    for refusal in [
        json!({"code": "epoch", "present": 0}),
        json!({"code": "clock_skew", "seconds": 5}),
        json!({"code": "of_tomorrow"}),
        json!({}),
    ] {
        for _ in 0..200 {
            theirs.do_next(Mischief::Refuse(409, refusal.clone()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = theirs.state().mischief.len();
        assert!(left > 170, "{} calls within a second for {refusal}", 200 - left);
        theirs.state().mischief.clear();
        if refusal["code"] != "epoch" && refusal["code"] != "clock_skew" {
            break;
        }
    }
    ends(ours, &theirs).await;
    // One that answers in an epoch that is over, or holds nothing, neither.
    let (ours, theirs) = pair().await;
    theirs.state().hasty = true;
    let before = theirs.state().asked.len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = theirs.state().asked.len() - before;
    assert!(asked < 30, "{asked} calls to a node that does not hold");
    ends(ours, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_halved_and_what_cannot_pass_goes_empty() {
    let (ours, theirs) = pair().await;
    both_ways(&ours, &theirs, "first").await;
    theirs.state().book.room = 0;
    theirs.put(sync(&id(), "T", json!({"summary": "says that there is no room"})));
    until_said("no room", async || theirs.all_acked()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for n in 0..40 {
        ours.tracker.handle.create(&json!({"summary": format!("small {n}"), "description": "x".repeat(500)}));
    }
    let big = ours.tracker.handle.create(&json!({"summary": "big", "description": "x".repeat(20_000)}));
    ours.tracker.handle.create(&json!({"summary": "after the big one"}));
    until_said("all drafts", async || {
        ours.connection(&theirs.connection).await["health"]["waiting"].as_u64().is_some_and(|waiting| waiting >= 42)
    })
    .await;
    theirs.state().above = Some(6_000);
    theirs.state().book.room = 1000;
    theirs.put(sync(&id(), "T2", json!({"summary": "room again"})));
    until_said("what is behind it", async || count(&theirs, "after the big one") == 1).await;
    until_said("that the big one cannot pass", async || {
        ours.node.twin_of(&big).await.is_some_and(|twin| twin["status"] == "parked")
    })
    .await;
    until_said("the small ones", async || (0..40).all(|n| count(&theirs, &format!("small {n}")) == 1)).await;
    let twin = ours.node.twin_of(&big).await.expect("a twin");
    let numbered = || theirs.state().book.got.iter().any(|event| event["twin"] == twin["id"]);
    until_said("its number", async || numbered()).await;
    let got = theirs.state().book.got.clone();
    let empty = got.iter().find(|event| event["twin"] == twin["id"]).expect("something under its number");
    assert!(empty.get("replica").is_none(), "{empty}");
    assert!(got.iter().enumerate().all(|(at, event)| event["n"] == json!(at + 1)), "no number is missing");
    ends(ours, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_and_nothing_doubles() {
    let (ours, theirs) = pair().await;
    for n in 0..6 {
        theirs.do_next(Mischief::Drop);
        both_ways(&ours, &theirs, &format!("round {n}")).await;
    }
    let got = theirs.state().book.got.clone();
    for event in &got {
        let same = theirs
            .state()
            .asked
            .iter()
            .flat_map(|asked| asked["events"].as_array().cloned().unwrap_or_default())
            .any(|it| it["n"] == event["n"] && it != *event);
        assert!(!same, "the same number with other bytes");
    }
    ends(ours, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_goodbye_and_a_restart_goes_on() {
    let (mut ours, theirs) = pair().await;
    both_ways(&ours, &theirs, "before").await;
    let run = theirs.state().asked.last().expect("asked")["run"].clone();
    ours.node.stop().await;
    assert_eq!(theirs.state().asked.last().expect("asked")["goodbye"], json!(true));
    ours.node.start().await;
    both_ways(&ours, &theirs, "after").await;
    assert_ne!(theirs.state().asked.last().expect("asked")["run"], run);
    ends(ours, &theirs).await;
}
