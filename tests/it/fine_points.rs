//! The design's "Fine points that decide whether the promises hold", each by two full nodes over real HTTP.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Settings, TestNode, World, clock::MovableClock, until_said};

mod circles;
mod conflicts;
mod creates;
mod late;
mod life;
mod looks;
mod notices;
mod piling;
mod undecided;
mod values;

/// Settings in which both nodes and both systems live by one clock that can be moved on.
fn by(clock: &MovableClock) -> Settings {
    let clock = Arc::new(clock.clone());
    Settings { public_clock: clock.clone(), private_clock: clock, ..Settings::default() }
}

impl World {
    /// What the history of a record says, newest first.
    async fn story(&self, node: &TestNode, key: &str) -> Vec<Value> {
        let (tracker, entity_type) = if node.url == self.public.url { ("support", "Case") } else { ("helpdesk", "issue") };
        let found = node.get(&format!("/trackers/{tracker}/entities/{entity_type}/{key}?limit=200")).await;
        found["history"].as_array().expect("a history").clone()
    }

    /// Waits until a record's twin is in this state, and gives it.
    async fn twin_in(&self, node: &TestNode, key: &str, status: &str) -> Value {
        until_said(&format!("twin of {key} {status}"), || async {
            node.twin_of(key).await.is_some_and(|twin| twin["status"] == status)
        })
        .await;
        node.twin_of(key).await.expect("it was there")
    }

    /// Waits until a record's history holds such a line.
    async fn told(&self, node: &TestNode, key: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let story = self.story(node, key).await;
            if let Some(line) = story.iter().find(|line| fits(line)) {
                return line.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what} in {story:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the other side has said this of a record's twin.
    async fn word_of(&self, node: &TestNode, key: &str, outcome: &str) -> Value {
        until_said(&format!("the other side's {outcome} on {key}"), || async {
            node.twin_of(key).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == outcome)
        })
        .await;
        node.twin_of(key).await.expect("it was there")
    }

    /// Waits until neither node has a change to look at; what waits to cross may wait on.
    async fn quiet_changes(&self) {
        until_said("no change waits", || {
            let hooks = self.tracker.handle.hooks_waiting() + self.org.handle.deliveries().len();
            async move {
                let mut waiting = hooks as u64;
                for node in [&self.public, &self.private] {
                    let queue = node.get("/queue").await;
                    waiting +=
                        queue["trackers"].as_array().into_iter().flatten().filter_map(|one| one["changes"].as_u64()).sum::<u64>();
                }
                waiting == 0
            }
        })
        .await;
    }

    /// Calls of a kind that the org has had.
    fn calls(&self, kind: &str) -> u64 {
        self.org.handle.calls().get(kind).copied().unwrap_or(0)
    }

    /// Writes that the tracker has carried out.
    fn writes(&self) -> u64 {
        self.tracker.handle.calls().get("write").copied().unwrap_or(0)
    }

    /// This node's side of the connection, off or on.
    async fn switch(&self, node: &TestNode, on: bool) {
        let what = if on { "activate" } else { "deactivate" };
        node.post(&format!("/connections/{}/{what}", self.connection), json!({})).await;
    }
}

/// Whether a line has this outcome and its reason holds these words.
fn says(line: &Value, outcome: &str, words: &str) -> bool {
    line["outcome"] == outcome && line["reason"].as_str().unwrap_or_default().contains(words)
}
