//! Two nodes with nothing beside them: enough for what joins nodes. Their trackers are never called.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::{Clock, SystemClock},
    config::Role,
};

use super::{HOOK_SECRET, TestNode, provider};

/// What lets test nodes call each other.
pub const ALLOW: &str = "[link]\nallow_addresses = [\"127.0.0.0/8\"]\n";

/// A node with one `webhook` tracker, `desk`, that leads nowhere.
pub fn bare(name: &str, dir: &Path, role: Role, clock: Arc<dyn Clock>, more: &str) -> TestNode {
    let desk = format!("[trackers.desk]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nsecret = \"{HOOK_SECRET}\"\n");
    TestNode::new(name, dir, role, clock, &format!("{more}{desk}"))
}

/// A public and a private node, not joined.
pub struct Pair {
    pub public: TestNode,
    pub private: TestNode,
    pub dir: TempDir,
}

impl Pair {
    /// On the system's clock.
    pub async fn start() -> Self {
        Self::with(Role::Private, ALLOW, ALLOW).await
    }

    /// The second node's role, and each node's further sections.
    pub async fn with(second: Role, public_more: &str, second_more: &str) -> Self {
        provider();
        let dir = TempDir::new().expect("a folder");
        let mut public = bare("public", dir.path(), Role::Public, Arc::new(SystemClock), public_more);
        let mut private = bare("private", dir.path(), second, Arc::new(SystemClock), second_more);
        public.start().await;
        private.start().await;
        Self { public, private, dir }
    }

    /// A further node, started.
    pub async fn third(&self, name: &str, role: Role) -> TestNode {
        let mut node = bare(name, self.dir.path(), role, Arc::new(SystemClock), ALLOW);
        node.start().await;
        node
    }

    /// Joins the two; returns the connection's id.
    pub async fn join(&self, more: Value) -> String {
        let made = self.public.post("/connections", wanted(more)).await;
        let joined = self.private.post("/invitations/accept", acceptance(code_of(&made))).await;
        assert_eq!(joined["id"], made["id"], "the connection's id is the same on both nodes");
        text(&made["id"])
    }

    pub async fn stop(mut self) {
        self.private.stop().await;
        self.public.stop().await;
    }
}

/// Body of `POST /connections`, with other members where given.
pub fn wanted(more: Value) -> Value {
    let mut body = json!({"tracker": "desk", "destination_url": null, "mode": "basic",
        "local_short_name": "support", "remote_short_name": "helpdesk"});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Body of `POST /invitations/accept`.
pub fn acceptance(code: &str) -> Value {
    json!({"code": code, "tracker": "desk"})
}

/// The code in the answer of `POST /connections`.
pub fn code_of(made: &Value) -> &str {
    made["invitation"]["code"].as_str().expect("a code")
}

/// A text member.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Checks that an object has these members and no others.
pub fn members(object: &Value, names: &str) {
    let mut wanted: Vec<&str> = names.split_whitespace().collect();
    wanted.sort_unstable();
    let mut found: Vec<&str> =
        object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, wanted, "{object}");
}
