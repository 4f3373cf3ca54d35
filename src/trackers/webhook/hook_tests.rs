use proptest::prelude::*;
use serde_json::json;

use super::{super::MAX_KEY, *};
use crate::clock::ManualClock;

fn now() -> Time {
    "2026-11-24T04:00:00Z".parse().expect("a time")
}

fn parse(body: &Value) -> Result<NewChange, HookError> {
    parse_hook(body.to_string().as_bytes(), "helpdesk", "msg_1", now(), &ManualClock::new(now()))
}

#[test]
fn a_message_becomes_a_change() {
    let change = parse(&json!({
        "type": "entity.updated", "timestamp": "2026-11-24T03:59:59Z",
        "data": {"entity_type": "bug", "key": " T-1 ", "fields": {"summary": "x"}, "url": "https://t.example/1", "more": 1}
    }))
    .expect("a change");
    assert_eq!((change.tracker.as_str(), change.entity_type.as_str(), change.key.as_str()), ("helpdesk", "bug", "T-1"));
    assert_eq!(change.notice_id.as_deref(), Some("msg_1"));
    let content = change.content.expect("content");
    assert!(content.whole && !content.deleted);
    assert_eq!(content.stamp, Some("2026-11-24T03:59:59Z".parse().expect("a time")));

    let content = |data: Value, kind: &str| parse(&json!({"type": kind, "data": data})).expect("a change");
    let partial = content(json!({"key": 7, "fields": {"a": 1}, "partial": true}), "entity.updated");
    assert_eq!((partial.key.as_str(), partial.entity_type.as_str()), ("7", "issue"));
    assert!(!partial.content.expect("content").whole);
    let deleted = content(json!({"key": "7"}), "entity.deleted").content.expect("content");
    assert!(deleted.deleted && !deleted.whole);
    assert!(!content(json!({"key": "7"}), "entity.updated").content.expect("content").whole, "no fields: unknown, not empty");
}

#[test]
fn a_senseless_message_names_its_member() {
    let good = json!({"type": "entity.updated", "data": {"key": "1", "fields": {}}});
    let cases = [
        ("/type", json!("entity.moved"), "type"),
        ("/type", json!(1), "type"),
        ("/data", json!([]), "data"),
        ("/data/key", json!(null), "data.key"),
        ("/data/key", json!("a\u{0}b"), "data.key"),
        ("/data/key", json!(1.5), "data.key"),
        ("/data/fields", json!([]), "data.fields"),
    ];
    for (pointer, value, expected) in cases {
        let mut message = good.clone();
        *message.pointer_mut(pointer).expect("a member") = value;
        assert!(matches!(parse(&message), Err(HookError::Member { member, .. }) if member == expected), "{message}");
    }
    for (name, value, expected) in [
        ("partial", json!("yes"), "data.partial"),
        ("url", json!("javascript:x"), "data.url"),
        ("entity_type", json!(""), "data.entity_type"),
    ] {
        let mut message = good.clone();
        message["data"][name] = value;
        assert!(matches!(parse(&message), Err(HookError::Member { member, .. }) if member == expected), "{message}");
    }
    let mut late = good.clone();
    late["timestamp"] = json!("yesterday");
    assert!(matches!(parse(&late), Err(HookError::Member { member: "timestamp", .. })));

    let mut deep = good;
    deep["data"]["fields"]["a"] = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert!(matches!(parse(&deep), Err(HookError::TooDeep(_))));
    let clock = ManualClock::new(now());
    let large = vec![b' '; MAX_BODY + 1];
    assert_eq!(parse_hook(&large, "t", "m", now(), &clock), Err(HookError::TooLarge(MAX_BODY + 1)));
    assert!(matches!(parse_hook(b"[]", "t", "m", now(), &clock), Err(HookError::Json(_))));
}

proptest! {
    #[test]
    fn the_parser_never_panics(bytes: Vec<u8>) {
        let _ = parse_hook(&bytes, "t", "m", now(), &ManualClock::new(now()));
    }

    #[test]
    fn nor_on_nearly_good_messages(kind in "entity\\.(created|deleted|x)", key in ".{0,300}", text in ".{0,40}", flag: bool) {
        let message = json!({"type": kind, "timestamp": text, "data": {"key": key, "url": text, "partial": flag, "fields": {text: flag}}});
        if let Ok(change) = parse(&message) {
            prop_assert!(!change.key.is_empty() && change.key.chars().count() <= MAX_KEY);
        }
    }
}
