//! How members are read that strangers write in their own way: null for "none", dates with a fraction, keys as JWK.
//!
//! What link.md leaves open is taken either way; what it says is not bent here.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::protocol::MAX_EVENTS;
use crate::{
    domain::connection::Awaiting,
    secret::{base64url, from_base64url},
};

/// A member that may be null.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Who takes more events than we ever send takes all.
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = Option::<u64>::deserialize(deserializer)?;
    Ok(number.map_or(MAX_EVENTS, |number| u32::try_from(number).unwrap_or(u32::MAX)))
}

/// A key as base64url of its bytes, padded or not, or as a JWK.
pub(super) fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Object(jwk) => jwk.get("x").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Value::String(text) => text,
        _ => String::new(),
    };
    let bytes = from_base64url(text.trim_end_matches('=')).ok_or_else(|| serde::de::Error::custom("the key cannot be read"))?;
    Ok(base64url(&bytes))
}

/// Whatever the other side waits for, the connection is not active there yet.
pub(super) fn awaiting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Awaiting>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|_| Awaiting::Confirmation))
}

/// A JWT's date: a number of seconds that may have a fraction (RFC 7519).
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    #[allow(clippy::cast_possible_truncation, reason = "a cast of what is out of range stays at the end")]
    let whole = |float: f64| float.floor() as i64;
    number.as_i64().or_else(|| number.as_f64().map(whole)).ok_or_else(|| serde::de::Error::custom("a number is expected"))
}
