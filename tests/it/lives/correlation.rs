//! One id follows one change through the logs of both nodes.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::SystemClock,
    config::Role,
    sandbox::{
        org::{Org, OutboundMessage},
        tracker::{Hook, SandboxTracker},
    },
    secret::Secret,
};

use crate::support::{
    HOOK_SECRET, Settings, TestNode, helpdesk_section,
    pair::{ALLOW, text},
    process::Process,
    provider, support_section, until,
};

fn process(command: &'static str, folder: &TempDir, role: Role, rest: &str) -> Process {
    let node = TestNode::new(command, folder.path(), role, Arc::new(SystemClock), &format!("{ALLOW}{rest}"));
    let log = "workers = 1\nlog = { format = \"json\", filter = \"wicketgate=debug\" }\n";
    Process::new(command, &node.url, folder.path(), &node.config.replace("workers = 1\n", log))
}

async fn good(process: &Process, method: &str, path: &str, body: Option<Value>) -> Value {
    let (status, body) = process.api(method, path, body).await;
    assert!((200..300).contains(&status), "{path}: {status} {body}");
    body
}

/// Ids of ends of this sort in a log.
fn ids(process: &Process, message: &str, outcome: &str) -> Vec<String> {
    let lines = process.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == message && line["outcome"] == outcome)
        .map(|line| {
            assert!(line["tracker"].is_string() && line["connection"].is_string() && line["twin"].is_string(), "{line}");
            text(&line["correlation"])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_follows_one_change_through_both_logs() {
    provider();
    let folder = TempDir::new().expect("a folder");
    let clock = Arc::new(SystemClock);
    let settings = Settings::default();
    let org = Org::start(settings.org, clock.clone()).await.expect("the org starts");
    let tracker = SandboxTracker::start(settings.tracker, clock).await.expect("the tracker starts");
    let mut public = process("serve", &folder, Role::Public, &support_section(&org, "look = \"off\""));
    let mut private = process("relay", &folder, Role::Private, &helpdesk_section(&tracker, true, ""));
    public.start().await;
    private.start().await;
    assert_eq!(good(&public, "POST", "/trackers/support/check", Some(json!({}))).await["ok"], true);
    let url = text(&good(&public, "GET", "/trackers/support", None).await["outbound_message_url"]);
    org.handle.set_outbound_message(OutboundMessage { object: "Case".to_owned(), url, fields: vec!["Subject".to_owned()] });
    let url = text(&good(&private, "GET", "/trackers/helpdesk", None).await["webhook_url"]);
    tracker.handle.set_hook(Some(Hook { url, secret: Secret::new(HOOK_SECRET) }));
    let wanted = json!({"tracker": "support", "mode": "basic", "local_short_name": "a", "remote_short_name": "b"});
    let made = good(&public, "POST", "/connections", Some(wanted)).await;
    let acceptance = json!({"code": made["invitation"]["code"], "tracker": "helpdesk"});
    good(&private, "POST", "/invitations/accept", Some(acceptance)).await;
    let triggers = format!("/connections/{}/triggers", text(&made["id"]));
    good(&public, "POST", &triggers, Some(json!({"entity_type": "Case"}))).await;

    let agent = org.handle.agent_user();
    let case = org.handle.create("Case", &json!({"Subject": "Followed"}), &agent).expect("the org takes it");
    until("the change in both logs", || {
        let there = ids(&private, "a change ended", "applied");
        ids(&public, "a change ended", "sent").iter().any(|id| there.contains(id))
    })
    .await;
    until("the issue", || tracker.handle.count() == 1).await;
    let issue = tracker.handle.all().remove(0).key;
    tracker.handle.edit(&issue, &json!({"summary": "And back"}));
    until("the edit in both logs", || {
        let there = ids(&public, "a change ended", "applied");
        ids(&private, "a change ended", "sent").iter().any(|id| there.contains(id))
    })
    .await;
    until("the edit", || org.handle.get(&case).is_some_and(|case| case["Subject"] == "And back")).await;
    for log in [public.log(), private.log()] {
        assert!(!log.contains("Followed") && !log.contains("And back"), "what a record holds is in no log");
    }
    private.kill();
    public.kill();
    org.stop().await;
    tracker.stop().await;
}
