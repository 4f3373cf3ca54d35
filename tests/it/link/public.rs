//! Our node against a stranger's that is public too: each posts to the other, and neither holds.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::Ours;
use crate::support::{
    clock::MovableClock,
    stranger::{Invited, Partner, id, sync},
    stranger_node::{Mischief, StrangerNode},
    until_said,
};

/// Two public nodes, joined; the stranger's other end that posts.
struct Public {
    ours: Ours,
    theirs: Arc<StrangerNode>,
    posts: Partner,
    clock: MovableClock,
}

impl Public {
    /// The stranger invites.
    async fn invited() -> Self {
        let clock = MovableClock::default();
        let theirs = StrangerNode::start("").await;
        theirs.state().terms = json!({"kind": "public"});
        let ours = Ours::with(Role::Public, Arc::new(clock.clone()), "").await;
        ours.joins(&theirs).await;
        let told = theirs.state().accepted[0]["url"].clone();
        assert_eq!(told, json!(ours.node.url), "who is public says where it is");
        let posts = theirs.dials(&ours.node.url);
        Self { ours, theirs, posts, clock }
    }

    /// Ours invites.
    async fn inviting() -> Self {
        let clock = MovableClock::default();
        let theirs = StrangerNode::start("/with/a/base").await;
        let ours = Ours::with(Role::Public, Arc::new(clock.clone()), "").await;
        let (id, code) = ours.invite(json!({"destination_url": theirs.url})).await;
        let invited = Invited { key: theirs.key.clone(), ..Invited::new(&code) };
        assert_eq!(invited.code["connection"]["kind"], "public");
        theirs.joins(&invited);
        invited.accept(&invited.body(Some(&theirs.url))).await.good();
        ours.node.post(&format!("/connections/{id}/triggers"), json!({"entity_type": "issue", "filter": ""})).await;
        let posts = invited.partner();
        Self { ours, theirs, posts, clock }
    }

    /// The stranger posts what it has, and takes in what is answered.
    async fn posts(&self) -> Value {
        let words = self.theirs.state().book.words();
        let said = self.posts.exchange(words).await.good();
        self.theirs.state().book.take(&said);
        said
    }

    fn got(&self, summary: &str) -> usize {
        self.theirs.state().book.got.iter().filter(|event| event["replica"]["summary"] == summary).count()
    }

    async fn both_ways(&self, mark: &str) {
        let twin = id();
        self.theirs.put(sync(&twin, mark, json!({"summary": format!("{mark} in")})));
        assert_eq!(self.posts().await["ack"], json!(self.theirs.state().book.sent.len()), "stored at once");
        self.ours.tracker.handle.create(&json!({"summary": format!("{mark} out")}));
        until_said("our record", async || self.got(&format!("{mark} out")) == 1).await;
        until_said("our word on theirs", async || {
            self.theirs.state().book.got.iter().any(|event| event["twin"] == json!(twin) && event["outcome"] == "applied")
        })
        .await;
        assert_eq!(self.ours.issues().iter().filter(|issue| issue["summary"] == json!(format!("{mark} in"))).count(), 1);
    }

    /// Nothing was held, and nothing came under another number than its own.
    async fn ends(self) {
        {
            let state = self.theirs.state();
            assert_eq!(state.faults, Vec::<String>::new());
            assert!(state.asked.iter().all(|asked| asked["wait_seconds"] == 0), "a public node holds nothing");
            assert!(state.book.got.iter().enumerate().all(|(at, event)| event["n"] == json!(at + 1)));
        }
        self.ours.stop().await;
        self.theirs.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_stranger_invites_and_both_post() {
    let both = Public::invited().await;
    let seen = both.ours.connection(&both.theirs.connection).await;
    assert_eq!((&seen["kind"], &seen["remote"]["url"]), (&json!("public"), &json!(both.theirs.url)));
    both.both_ways("first").await;
    // Each posts a pile at the same moment: all of it crosses once.
    for n in 0..15 {
        both.theirs.put(sync(&id(), &format!("P-{n}"), json!({"summary": format!("pile in {n}")})));
        both.ours.tracker.handle.create(&json!({"summary": format!("pile out {n}")}));
        both.posts().await;
    }
    until_said("ours", async || (0..15).all(|n| both.got(&format!("pile out {n}")) == 1)).await;
    until_said("theirs", async || {
        let issues = both.ours.issues();
        (0..15).all(|n| issues.iter().filter(|issue| issue["summary"] == json!(format!("pile in {n}"))).count() == 1)
    })
    .await;
    both.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_stranger_accepts_and_both_post() {
    let both = Public::inviting().await;
    let seen = both.ours.connection(&both.posts.connection).await;
    assert_eq!((&seen["kind"], &seen["remote"]["url"]), (&json!("public"), &json!(both.theirs.url)));
    both.both_ways("first").await;
    // What our posts do not bring over is in the answers to theirs.
    for _ in 0..2 {
        both.theirs.do_next(Mischief::Unsigned(502, json!("<html>")));
    }
    both.ours.tracker.handle.create(&json!({"summary": "answered"}));
    until_said("a failed post", async || both.theirs.state().mischief.len() < 2).await;
    until_said("our record", async || {
        both.posts().await;
        both.got("answered") == 1
    })
    .await;
    until_said("the posts again", async || both.theirs.state().mischief.is_empty()).await;
    both.both_ways("after").await;
    both.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_to_say_a_post_comes_now_and_then() {
    let mut both = Public::invited().await;
    both.both_ways("first").await;
    both.posts.clock = Arc::new(both.clock.clone());
    let asked = || both.theirs.state().asked.len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = asked();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(asked(), before, "quiet while there is nothing to say");
    // At the latest after 80 seconds: so a switch, or a silence, is noticed.
    both.theirs.state().ahead += 81;
    both.clock.advance(Duration::from_secs(81));
    until_said("a word", async || asked() > before).await;
    both.theirs.state().book.state = "deactivated";
    both.posts().await;
    until_said("their switch", async || both.ours.connection(&both.theirs.connection).await["remote"]["state"] == "deactivated")
        .await;
    both.ends().await;
}
