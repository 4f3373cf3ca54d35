//! The stream: what changes, as it changes.

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use crate::support::{PATIENCE, TOKEN, TestNode, World, described::Described, http};

struct Events {
    answer: reqwest::Response,
    kept: String,
}

impl Events {
    async fn open(node: &TestNode, token: &str) -> Self {
        let answer = http().get(format!("{}/api/v1/stream", node.url)).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut events = Self { answer, kept: String::new() };
        assert_eq!(events.block().await.as_deref(), Some(": listening"));
        events
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.kept.split_once("\n\n") {
                let block = block.to_owned();
                self.kept = rest.to_owned();
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("something in time").ok()??;
            self.kept.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event that passes.
    async fn find(&mut self, name: &str, passes: impl Fn(&Value) -> bool) -> Value {
        loop {
            let block = self.block().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            let Some(rest) = block.strip_prefix("event: ") else { continue };
            let (event, data) = rest.split_once("\ndata: ").expect("an event and its data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            if event == name && passes(&data) {
                return data;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_told_with_the_changed_object() {
    let world = World::start().await;
    let described = Described::new();
    let mut events = Events::open(&world.private, TOKEN).await;
    world.new_case(json!({"Subject": "Seen"}));
    let twin = events.find("twin", |twin| twin["status"] == "in_sync").await;
    assert_eq!(described.differs_from("Twin", &twin), Vec::<String>::new());
    assert_eq!(twin["connection_id"], json!(world.connection));
    world.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Refuse("no".to_owned())));
    world.new_case(json!({"Subject": "Refused"}));
    let error = events.find("error", |_| true).await;
    assert_eq!(described.differs_from("Error", &error), Vec::<String>::new());
    let id = error["id"].as_str().expect("an id");
    world.private.call("POST", &format!("/errors/{id}/retry"), None).await.good();
    let closed = events.find("error", |error| error["deleted"] == true).await;
    assert_eq!(closed["id"], error["id"]);
    world.private.post(&format!("/connections/{}/deactivate", world.connection), json!({})).await;
    let connection = events.find("connection", |one| one["status"] == "deactivated").await;
    assert_eq!(described.differs_from("Connection", &connection), Vec::<String>::new());
    world.private.post("/trackers/helpdesk/rotate-token", json!({})).await;
    let tracker = events.find("tracker", |_| true).await;
    assert_eq!((&tracker["name"], &tracker["webhook_url"]), (&json!("helpdesk"), &Value::Null), "no secret on a stream");
    world.stop().await;
    assert_eq!(events.block().await, None, "a node that stops ends it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_token_hears_of_its_own_connection_and_a_deleted_one_of_nothing() {
    let world = World::start().await;
    let other = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "x", "remote_short_name": "y"});
    let other = world.public.post("/connections", other).await["id"].as_str().expect("an id").to_owned();
    let body = json!({"name": "partner", "scopes": ["operate"], "connections": [other]});
    let made = world.public.post("/tokens", body).await;
    let secret = made["secret"].as_str().expect("a secret");
    let mut events = Events::open(&world.public, secret).await;
    world.new_case(json!({"Subject": "Not theirs"}));
    world.issue_with("Not theirs").await;
    world.public.post("/trackers/support/rotate-token", json!({})).await;
    world.quiet().await;
    world.public.patch(&format!("/connections/{other}"), json!({"description": "theirs"})).await;
    let first = events.block().await.expect("an event");
    assert!(first.starts_with("event: connection\n") && first.contains(&other), "nothing before its own: {first}");
    world.public.delete(&format!("/tokens/{}", made["id"].as_str().expect("an id"))).await;
    while let Some(block) = events.block().await {
        assert!(!block.starts_with("event: twin"), "{block}");
    }
    world.stop().await;
}
