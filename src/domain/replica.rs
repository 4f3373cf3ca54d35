//! The neutral JSON copy of an entity, its limits, and the comparisons that decide what is a difference.

use serde_json::{Map, Value};

/// Fields by name. Order is kept as written; equality ignores it.
pub type Fields = Map<String, Value>;

/// Largest replica on the link, in bytes of JSON (link.md, "Events").
pub const MAX_BYTES: usize = 1_000_000;
/// Deepest nesting of a replica on the link.
pub const MAX_DEPTH: usize = 32;

/// What stands at the end of a text that was cut.
pub const CUT_MARK: &str = "… [cut]";

/// Why a replica may not travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooBig {
    /// More bytes than [`MAX_BYTES`].
    #[error("the replica has {0} bytes; at most {MAX_BYTES} may travel")]
    Bytes(usize),
    /// Deeper than [`MAX_DEPTH`].
    #[error("the replica is nested {0} deep; at most {MAX_DEPTH} may travel")]
    Depth(usize),
}

/// Checks size and depth.
pub fn check(replica: &Fields) -> Result<(), TooBig> {
    let depth = replica.values().map(depth).max().unwrap_or(0) + 1;
    if depth > MAX_DEPTH {
        return Err(TooBig::Depth(depth));
    }
    let bytes = serde_json::to_vec(replica).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > MAX_BYTES { Err(TooBig::Bytes(bytes)) } else { Ok(()) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether two values say the same: null and a missing value are one, `1` and `1.0` are one, objects ignore order.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && a.as_f64().is_some_and(|n| n.abs() < 9e15),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => differences(a, b).is_empty(),
        _ => a == b,
    }
}

/// Whether two values say the same to a tracker that cleans text: line ends and trailing space do not count, an empty
/// text is no value.
pub fn same_loosely(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => tidy(a) == tidy(b),
        (Value::String(text), Value::Null) | (Value::Null, Value::String(text)) => tidy(text).is_empty(),
        _ => same(a, b),
    }
}

fn tidy(text: &str) -> String {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    unified.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Names whose values differ, in order of first mention.
pub fn differences(a: &Fields, b: &Fields) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, value) in a {
        if !same(value, b.get(name).unwrap_or(&Value::Null)) {
            names.push(name.clone());
        }
    }
    for (name, value) in b {
        if !a.contains_key(name) && !same(value, &Value::Null) {
            names.push(name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn missing_is_null_and_order_does_not_count() {
        let a = fields(json!({"a": 1, "b": null, "c": {"x": 1, "y": 2}}));
        let b = fields(json!({"c": {"y": 2, "x": 1.0}, "a": 1.0}));
        assert!(differences(&a, &b).is_empty());
        assert_eq!(differences(&a, &fields(json!({"a": 2, "d": 1}))), ["a", "c", "d"]);
    }

    #[test]
    fn big_numbers_are_not_rounded_into_equality() {
        assert!(!same(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
    }

    #[test]
    fn limits_are_told() {
        let mut value = json!(1);
        for _ in 0..40 {
            value = json!([value]);
        }
        assert!(matches!(check(&fields(json!({"a": value}))), Err(TooBig::Depth(_))));
        assert!(matches!(check(&fields(json!({"a": "x".repeat(MAX_BYTES)}))), Err(TooBig::Bytes(_))));
    }
}
