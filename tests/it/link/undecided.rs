//! Our node as the side that accepted: a stranger decides what both changed, and ours leaves it alone until then.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock, SystemClock, Time},
    config::Role,
};

use super::Ours;
use crate::support::{
    stranger::{id, sync},
    stranger_node::StrangerNode,
    until_said,
};

/// A stranger that decides, ours, and one twin whose summary we changed; they change it too without having heard of ours.
struct Clash {
    theirs: Arc<StrangerNode>,
    ours: Ours,
    twin: String,
    key: String,
    /// Our edit of the summary.
    our_edit: Value,
    /// Theirs, which says "theirs" and changes the description too.
    their_edit: Value,
}

impl Clash {
    /// Their clock is so many seconds ahead.
    async fn start(ahead: i64) -> Self {
        let theirs = StrangerNode::start("").await;
        theirs.state().ahead = ahead;
        let ours = Ours::start(Role::Private).await;
        ours.joins(&theirs).await;
        let twin = id();
        theirs.put(sync(&twin, "T-1", json!({"summary": "both", "description": "d0"})));
        let mut clash = Self { theirs, ours, twin, key: String::new(), our_edit: Value::Null, their_edit: Value::Null };
        clash.result().await;
        clash.key = clash.ours.tracker.handle.all()[0].key.clone();
        clash.ours.tracker.handle.edit(&clash.key, &json!({"summary": "ours"}));
        clash.our_edit = clash.said("our edit", |event| event["replica"]["summary"] == "ours").await;
        clash
    }

    /// Their edit has come, too.
    async fn both_edited(ahead: i64) -> Self {
        let mut clash = Self::start(ahead).await;
        clash.their_edit = clash.word(json!({"summary": "theirs", "description": "d1"}), &["summary", "description"], 0);
        clash.result().await;
        clash
    }

    /// Hands over the twin's state as it is there: what changed, and up to which event of ours they had applied.
    fn word(&self, replica: Value, changed: &[&str], seen: u64) -> Value {
        self.theirs.put(self.event(replica, changed, seen))
    }

    fn event(&self, replica: Value, changed: &[&str], seen: u64) -> Value {
        let at = Time(SystemClock.now().0 + self.theirs.state().ahead * 1000).to_string();
        let mut event = sync(&self.twin, "T-1", replica);
        event["changed"] = changed.iter().map(|name| ((*name).to_owned(), json!(at))).collect();
        (event["seen"], event["modified_at"]) = (json!(seen), json!(at));
        event
    }

    /// Waits for our word that their last event is applied.
    async fn result(&self) {
        let n = self.theirs.state().book.sent.len();
        self.said("a result", |event| event["outcome"] == "applied" && event["up_to"] == json!(n)).await;
    }

    async fn said(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let find = || self.theirs.state().book.got.iter().rev().find(|event| fits(event)).cloned();
        until_said(what, async || find().is_some()).await;
        find().expect("it was there")
    }

    /// Our record's summary and description.
    fn record(&self) -> (Value, Value) {
        let fields = self.ours.tracker.handle.get(&self.key).expect("there").fields;
        (fields["summary"].clone(), fields["description"].clone())
    }

    /// Number of our last event.
    fn last(&self) -> u64 {
        self.theirs.state().book.got.len() as u64
    }

    /// Nothing more about the record is told once all is quiet.
    async fn quiet_after(&self, n: u64) {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let state = self.theirs.state();
        let more: Vec<&Value> = state.book.got.iter().filter(|it| it["kind"] == "sync" && it["n"].as_u64() > Some(n)).collect();
        assert!(more.is_empty(), "an answer to the decider's word: {more:#?}");
    }

    async fn stop(self) {
        assert_eq!(self.theirs.state().faults, Vec::<String>::new());
        self.ours.stop().await;
        self.theirs.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_changed_is_left_alone_until_the_decider_speaks() {
    let clash = Clash::both_edited(0).await;
    assert_eq!(clash.our_edit["changed"].as_object().expect("members").keys().collect::<Vec<_>>(), ["summary"]);
    assert_eq!(clash.record(), (json!("ours"), json!("d1")), "the other field goes through");
    // Neither side's further edits of another field decide it.
    clash.ours.tracker.handle.edit(&clash.key, &json!({"description": "d2"}));
    let ours = clash.said("our second edit", |event| event["replica"]["description"] == "d2").await;
    assert_eq!(ours["replica"]["summary"], "ours");
    assert!(ours["seen"].as_u64() < clash.their_edit["n"].as_u64(), "it would pass for an answer to theirs: {ours}");
    clash.word(json!({"summary": "theirs", "description": "d3"}), &["description"], 0);
    clash.result().await;
    assert_eq!(clash.record().0, "ours");
    // The decider has heard of ours, and says what stands.
    let heard = clash.last();
    clash.word(json!({"summary": "theirs", "description": "d3"}), &["summary", "description"], heard);
    clash.result().await;
    assert_eq!(clash.record(), (json!("theirs"), json!("d3")));
    let history = clash.ours.node.get(&format!("/twins/{}/history", clash.twin)).await;
    let lost = |change: &Value| change["conflict"] == true && change["from"] == "ours" && change["to"] == "theirs";
    let lines = history["items"].as_array().expect("a list");
    let lost = lines.iter().any(|line| line["changes"].as_array().is_some_and(|changes| changes.iter().any(lost)));
    assert!(lost, "the value that lost is kept: {history}");
    clash.quiet_after(heard).await;
    clash.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decider_that_lets_ours_stand_ends_the_conflict_too() {
    let clash = Clash::both_edited(0).await;
    let (writes, heard) = (clash.ours.tracker.handle.log().len(), clash.last());
    let word = clash.word(json!({"summary": "ours", "description": "d1"}), &["summary"], heard);
    clash.result().await;
    assert_eq!((clash.record(), clash.ours.tracker.handle.log().len()), ((json!("ours"), json!("d1")), writes));
    // It is no conflict any more: each side's next edit is heard, and says that the word was.
    clash.ours.tracker.handle.edit(&clash.key, &json!({"summary": "ours again"}));
    let next = clash.said("our next edit", |event| event["replica"]["summary"] == "ours again").await;
    assert_eq!(next["seen"], word["n"], "{next}");
    let heard = clash.last();
    clash.word(json!({"summary": "theirs again", "description": "d1"}), &["summary"], heard);
    clash.result().await;
    assert_eq!(clash.record().0, "theirs again");
    clash.quiet_after(heard).await;
    clash.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_times_are_on_the_deciders_clock() {
    for ahead in [600, -600] {
        let clash = Clash::both_edited(ahead).await;
        let there = SystemClock.now().seconds() + ahead;
        for at in [&clash.our_edit["modified_at"], &clash.our_edit["changed"]["summary"]] {
            let at: Time = at.as_str().expect("a time").parse().expect("a time");
            assert!((at.seconds() - there).abs() < 30, "{at} at {there} for a clock {ahead} s off");
        }
        assert_eq!(clash.record(), (json!("ours"), json!("d1")));
        clash.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_comes_together_with_their_edit_counts() {
    for after_a_set_back in [false, true] {
        let clash = Clash::start(0).await;
        let heard = clash.last();
        // The edit of before they heard of ours, and what they decided then: one answer carries both.
        let mut edit = clash.event(json!({"summary": "theirs", "description": "d0"}), &["summary"], 0);
        if after_a_set_back {
            edit["confirmed"] = json!({"summary": "both"});
        }
        let decided = clash.event(json!({"summary": "theirs", "description": "d0"}), &["summary"], heard);
        clash.theirs.put_all([edit, decided]);
        clash.result().await;
        assert_eq!(clash.record().0, "theirs", "after a set-back: {after_a_set_back}");
        clash.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_field_in_the_same_answer_decides_nothing() {
    let clash = Clash::start(0).await;
    let heard = clash.last();
    let edit = clash.event(json!({"summary": "theirs", "description": "d0"}), &["summary"], 0);
    let another = clash.event(json!({"summary": "theirs", "description": "d1"}), &["description"], heard);
    clash.theirs.put_all([edit, another]);
    clash.result().await;
    assert_eq!(clash.record(), (json!("ours"), json!("d1")), "their word on the summary is still to come");
    clash.stop().await;
}
