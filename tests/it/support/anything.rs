//! Arbitrary JSON, and events bent in every way that a stranger may bend them. The properties beside the parsers
//! (`src/sync/fold/tests.rs`, `src/link/exchange/tests.rs`) draw from here too.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Members that events have, or might.
const NAMES: [&str; 24] = [
    "n",
    "id",
    "kind",
    "twin",
    "seen",
    "at",
    "correlation",
    "entity_type",
    "key",
    "url",
    "replica",
    "modified_at",
    "changed",
    "via",
    "applied",
    "confirmed",
    "remote",
    "up_to",
    "outcome",
    "title",
    "traces",
    "local",
    "start",
    "x_of_tomorrow",
];

/// Said after all else: names twice, numbers beyond any, halves of letters.
const TAILS: [&str; 9] = [
    r#","kind":"sync""#,
    r#","key":"twice""#,
    r#","replica":{}"#,
    r#","x":"\ud800""#,
    r#","title":"\udfff","url":"\ud83d""#,
    r#","x":1e999"#,
    r#","x":-0,"y":123456789012345678901234567890123456789"#,
    r#","":null,"":null"#,
    r#","x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"#,
];

/// Values at the edges of what members hold.
fn edge() -> impl Strategy<Value = Value> {
    let deep = (0..40).fold(json!(1), |inner, _| json!({"x": inner}));
    select(vec![
        Value::Null,
        json!(""),
        json!("\u{0}\u{202e}'; --"),
        json!("k".repeat(1_001)),
        json!("0000-01-01T00:00:00Z"),
        json!("-009999-01-01T00:00:00Z"),
        json!("9999-12-30T22:00:00Z"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("javascript:alert(1)"),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(-1),
        json!(1.0),
        json!([]),
        json!({}),
        json!({"a": deep}),
        json!({"summary": "9999-12-30T22:00:00Z", "": "0000-01-01T00:00:00Z"}),
        json!("resynced"),
        json!("sync"),
        json!("deleted"),
    ])
}

/// Any JSON of no great size.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        edge(),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let name = prop_oneof![select(&NAMES[..]).prop_map(str::to_owned), "[a-z]{0,3}"];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A replica that most trackers would take.
fn replica() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![4 => "[a-z ]{0,9}", 1 => any::<String>()].prop_map(Value::from);
    (text(), option::of(text()), option::weighted(0.2, json())).prop_map(|(summary, description, more)| {
        let mut fields = Map::from_iter([("summary".to_owned(), summary)]);
        fields.extend(description.map(|value| ("description".to_owned(), value)));
        fields.extend(more.map(|value| ("more".to_owned(), value)));
        Value::Object(fields)
    })
}

/// A good event's own members.
fn body() -> impl Strategy<Value = Value> {
    let plain = replica()
        .prop_map(|replica| json!({"kind": "sync", "entity_type": "ticket", "url": null, "replica": replica, "via": []}));
    let whole = (replica(), replica(), replica()).prop_map(|(replica, applied, confirmed)| {
        json!({"kind": "sync", "entity_type": "ticket", "replica": replica, "applied": applied, "confirmed": confirmed,
            "modified_at": "2026-11-24T03:40:58Z", "changed": {"summary": "2026-11-24T03:40:58Z"}, "via": ["v"],
            "remote": {"entity_type": "issue", "key": "ISSUE-0"}})
    });
    prop_oneof![
        4 => plain,
        2 => whole,
        1 => select(vec![
            json!({"kind": "result", "up_to": 1, "outcome": "applied", "title": null, "entity_type": "ticket", "url": null, "traces": []}),
            json!({"kind": "link", "local": {"entity_type": "ticket", "key": "T"}, "remote": {"entity_type": "issue", "key": "ISSUE-0"}, "start": "none"}),
            json!({"kind": "deleted"}),
            json!({"kind": "stop"}),
            json!({"kind": "empty"}),
            json!({"kind": "of_tomorrow"}),
        ]),
    ]
}

/// An event and how it is bent.
#[derive(Clone, Debug)]
pub struct Bent {
    body: Value,
    gone: Vec<&'static str>,
    other: Vec<(&'static str, Value)>,
    tail: Option<&'static str>,
}

/// One event in a few is as it should be.
pub fn event() -> impl Strategy<Value = Bent> {
    let value = || prop_oneof![edge(), json()];
    (body(), vec(select(&NAMES[..]), 0..2), vec((select(&NAMES[..]), value()), 0..3), option::weighted(0.2, select(&TAILS[..])))
        .prop_map(|(body, gone, other, tail)| Bent { body, gone, other, tail })
}

impl Bent {
    /// What travels under this number for this twin. What is named in `kept` is as it should be.
    pub fn text(&self, n: u64, id: &str, twin: &str, kept: &[&str]) -> String {
        let mut event = json!({"n": n, "id": id, "twin": twin, "seen": 0, "at": "2026-11-24T00:00:00Z", "key": format!("T-{n}")});
        let members = event.as_object_mut().expect("members");
        members.extend(self.body.as_object().expect("members").clone());
        for name in self.gone.iter().filter(|name| !kept.contains(name)) {
            members.remove(*name);
        }
        for (name, value) in self.other.iter().filter(|(name, _)| !kept.contains(name)) {
            members.insert((*name).to_owned(), value.clone());
        }
        let text = event.to_string();
        let open = text.strip_suffix('}').expect("an object");
        format!("{open}{}}}", self.tail.unwrap_or_default())
    }
}
