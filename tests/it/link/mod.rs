//! The link from outside: nodes of ours against a partner's own program, as client and as node.

mod anything;
mod events;
mod exchange;
mod forgotten;
mod joining;
mod node;
mod public;
mod set_back;
mod tokens;
mod undecided;

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::Clock,
    clock::SystemClock,
    config::Role,
    sandbox::tracker::{self, Hook, SandboxTracker, TrackerSettings},
    secret::Secret,
};

use crate::support::{
    HOOK_SECRET, TestNode, helpdesk_section, provider,
    stranger::{Mate, Partner},
    stranger_node::StrangerNode,
};

/// A node of ours beside a sandbox tracker.
pub struct Ours {
    pub node: TestNode,
    pub tracker: tracker::RunningTracker,
    _dir: TempDir,
}

impl Ours {
    pub async fn start(role: Role) -> Self {
        Self::with(role, Arc::new(SystemClock), "").await
    }

    pub async fn with(role: Role, clock: Arc<dyn Clock>, link: &str) -> Self {
        provider();
        let dir = TempDir::new().expect("a folder");
        let settings = TrackerSettings { secret: Secret::new(HOOK_SECRET), ..TrackerSettings::default() };
        let tracker = SandboxTracker::start(settings, clock.clone()).await.expect("the tracker starts");
        let rest = format!("[link]\nallow_addresses = [\"127.0.0.0/8\"]\n{link}\n{}", helpdesk_section(&tracker, true, ""));
        let mut node = TestNode::new("ours", dir.path(), role, clock, &rest);
        node.start().await;
        let url = node.get("/trackers/helpdesk").await["webhook_url"].as_str().expect("a door").to_owned();
        tracker.handle.set_hook(Some(Hook { url, secret: Secret::new(HOOK_SECRET) }));
        Self { node, tracker, _dir: dir }
    }

    /// A pending connection, and its code.
    pub async fn invite(&self, more: Value) -> (String, String) {
        let mut wanted = json!({"tracker": "helpdesk", "destination_url": null, "mode": "basic",
            "local_short_name": "ours", "remote_short_name": "theirs"});
        for (name, value) in more.as_object().into_iter().flatten() {
            wanted[name] = value.clone();
        }
        let made = self.node.post("/connections", wanted).await;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&made["id"]), text(&made["invitation"]["code"]))
    }

    /// A connection with a stranger that dials, and a trigger for everything.
    pub async fn joined(&self) -> Mate {
        self.joined_by(json!({})).await
    }

    pub async fn joined_by(&self, more: Value) -> Mate {
        let (id, code) = self.invite(more).await;
        let partner = Partner::join(&code, None).await;
        self.node.post(&format!("/connections/{id}/triggers"), json!({"entity_type": "issue", "filter": ""})).await;
        Mate::new(partner)
    }

    /// Joins a stranger's node, and makes a trigger for everything.
    pub async fn joins(&self, theirs: &StrangerNode) {
        let joined = self.node.post("/invitations/accept", json!({"code": theirs.code(), "tracker": "helpdesk"})).await;
        assert_eq!((&joined["id"], &joined["status"]), (&json!(theirs.connection), &json!("active")));
        let path = format!("/connections/{}/triggers", theirs.connection);
        self.node.post(&path, json!({"entity_type": "issue", "filter": ""})).await;
    }

    /// Takes the connection's triggers away.
    pub async fn start_nothing(&self, id: &str) {
        let path = format!("/connections/{id}/triggers");
        for trigger in self.node.get(&path).await["items"].as_array().expect("a list") {
            self.node.delete(&format!("{path}/{}", trigger["id"].as_str().expect("an id"))).await;
        }
    }

    /// Errors that are open, by code.
    pub async fn errors(&self) -> Vec<String> {
        let said = self.node.get("/errors").await;
        said["items"].as_array().expect("a list").iter().map(|it| it["title"].as_str().expect("text").to_owned()).collect()
    }

    pub async fn connection(&self, id: &str) -> Value {
        self.node.get(&format!("/connections/{id}")).await
    }

    /// Issues that are there.
    pub fn issues(&self) -> Vec<Value> {
        self.tracker.handle.all().into_iter().filter(|it| !it.deleted).map(|it| Value::Object(it.fields)).collect()
    }

    pub async fn stop(mut self) {
        self.node.stop().await;
        self.tracker.stop().await;
    }
}
