//! What an answer is held against: the design's bodies, member by member, and the document.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::Value;

use crate::support::{Answer, TestNode, described::Described};

/// The design's members; behind the bar what the answer may add.
const BODIES: [(&str, &str, &str); 16] = [
    (
        "connection",
        "id name status kind mode tracker local_short_name remote_short_name description created_at activated_at prefer links \
         share_internal_comments awaiting remote health",
        "",
    ),
    (
        "inspected",
        "connection_name mode kind node url tracker_kind local_short_name remote_short_name description expires_at key_fingerprint",
        "",
    ),
    ("trigger", "id entity_type filter enabled notes", ""),
    ("twin", "id connection_id status local remote remote_outcome error created_at last_synced_at", ""),
    (
        "whole twin",
        "id connection_id status local remote remote_outcome error created_at last_synced_at local_replica remote_replica",
        "",
    ),
    ("history", "at direction outcome reason changes took_ms", "connection_id twin_id"),
    (
        "error",
        "id scope connection_id twin_id tracker title detail advice retryable attempts occurred_at next_attempt_at",
        "code",
    ),
    (
        "tracker",
        "name kind url status org_id api_calls login_expires_at",
        "outbound_message_url webhook_url paused last_notice_at person_signs_in",
    ),
    ("check", "ok steps", ""),
    ("figures", "span step since until ended latency_ms points trackers", ""),
    ("draft", "outgoing incoming base", "at by"),
    ("published", "outgoing incoming version at by note", ""),
    ("job", "id kind status done total counts", "connection_id paused detail created_at ended_at by"),
    ("token", "id name scopes connections expires_at", ""),
    ("user", "id name role created_at last_sign_in_at", ""),
    ("audit", "at token_id user_id by action subject detail", ""),
];

pub(super) fn looks_like(kind: &str, body: &Value) {
    let (_, must, may) = BODIES.iter().find(|(name, ..)| *name == kind).expect("a body of the design");
    let has: BTreeSet<&str> = body.as_object().unwrap_or_else(|| panic!("{kind}: {body}")).keys().map(String::as_str).collect();
    let must: BTreeSet<&str> = must.split_whitespace().collect();
    let may: BTreeSet<&str> = may.split_whitespace().collect();
    assert!(must.is_subset(&has), "{kind} lacks {:?}: {body}", must.difference(&has));
    let more: Vec<_> = has.iter().filter(|name| !must.contains(*name) && !may.contains(*name)).collect();
    assert!(more.is_empty(), "{kind} has {more:?} beyond the design");
}

/// Calls a node and holds every answer against the document.
pub(super) struct Judge<'n> {
    pub(super) node: &'n TestNode,
    pub(super) described: &'n Described,
    pub(super) seen: &'n RefCell<BTreeSet<String>>,
}

impl Judge<'_> {
    pub(super) async fn call(
        &self,
        method: &str,
        template: &str,
        filled: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Value {
        let mut path = template.to_owned();
        for (name, value) in filled {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        self.call_at(method, template, &path, body, status).await
    }

    pub(super) async fn call_at(&self, method: &str, template: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let Answer { status: answered, body } = self.node.call(method, path, body).await;
        assert_eq!(answered, status, "{method} {path}: {body}");
        let faults = self.described.faults(method, template, status, &body);
        assert!(faults.is_empty(), "{method} {path}: {faults:#?}\n{body:#}");
        self.seen.borrow_mut().insert(format!("{} {template}", method.to_lowercase()));
        body
    }

    pub(super) async fn get(&self, template: &str, filled: &[(&str, &str)]) -> Value {
        self.call("GET", template, filled, None, 200).await
    }
}
