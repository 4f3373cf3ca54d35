//! Messages that a `webhook` tracker sends us.

use serde_json::Value;

use super::{super::answer, VerifyError, tidy_key};
use crate::{
    clock::{Clock, Time},
    domain::{
        change::{Content, NewChange, Source},
        ids::CorrelationId,
        replica::{self, Fields, TooBig},
    },
};

/// Largest message, in bytes.
pub const MAX_BODY: usize = 1_000_000;
/// Longest name of an entity type, in characters.
const MAX_TYPE: usize = 80;

/// A message that makes no sense. The text names the member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// Too many bytes.
    #[error("the message has {0} bytes; at most {MAX_BODY} are accepted")]
    TooLarge(usize),
    /// Not JSON, or no object.
    #[error("the message is no JSON object: {0}")]
    Json(String),
    /// Nested too deep.
    #[error("`data.fields` is nested {0} deep; at most {max} levels are accepted", max = replica::MAX_DEPTH)]
    TooDeep(usize),
    /// A member is missing or of another sort.
    #[error("`{member}` {problem}")]
    Member {
        /// Its path.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It holds no field, and the record cannot be asked for.
    #[error("`data.fields` is empty, and this tracker has no `read_url` where the record could be read")]
    NothingTold,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not to be trusted (401).
    #[error(transparent)]
    Untrusted(#[from] VerifyError),
    /// It makes no sense (400).
    #[error(transparent)]
    Senseless(#[from] HookError),
}

fn wrong(member: &'static str, problem: impl Into<String>) -> HookError {
    HookError::Member { member, problem: problem.into() }
}

/// Reads a message whose signature was checked. `notice_id` is its `webhook-id`; `tracker` the name in the
/// configuration.
///
/// The content's stamp is the message's `timestamp`: it orders messages where nothing else does.
pub fn parse_hook(
    body: &[u8],
    tracker: &str,
    notice_id: &str,
    received_at: Time,
    clock: &dyn Clock,
) -> Result<NewChange, HookError> {
    if body.len() > MAX_BODY {
        return Err(HookError::TooLarge(body.len()));
    }
    let mut message: Fields = serde_json::from_slice(body).map_err(|error| HookError::Json(error.to_string()))?;
    let deleted = deleted(&message)?;
    let stamp = stamp(&message)?;
    let mut data = match message.remove("data") {
        Some(Value::Object(data)) => data,
        Some(_) => return Err(wrong("data", "must be an object")),
        None => return Err(wrong("data", "is missing")),
    };
    let content = content(&mut data, deleted, stamp)?;
    Ok(NewChange {
        tracker: tracker.to_owned(),
        entity_type: entity_type(&data)?,
        key: key(&data)?,
        source: Source::Webhook,
        notice_id: Some(notice_id.to_owned()),
        connection: None,
        content: Some(content),
        received_at,
        due_at: received_at,
        correlation: CorrelationId(clock.id()),
    })
}

fn deleted(message: &Fields) -> Result<bool, HookError> {
    match text(message, "type", "type")? {
        Some("entity.created" | "entity.updated") => Ok(false),
        Some("entity.deleted") => Ok(true),
        Some(other) => {
            let other = answer::clean_text(other.as_bytes());
            Err(wrong("type", format!("is `{other}`; expected entity.created, entity.updated or entity.deleted")))
        }
        None => Err(wrong("type", "is missing")),
    }
}

fn stamp(message: &Fields) -> Result<Option<Time>, HookError> {
    let stamp = text(message, "timestamp", "timestamp")?.map(str::parse).transpose();
    stamp.map_err(|problem: String| wrong("timestamp", format!("is no time: {}", answer::clean_text(problem.as_bytes()))))
}

fn content(data: &mut Fields, deleted: bool, stamp: Option<Time>) -> Result<Content, HookError> {
    let url = text(data, "url", "data.url")?
        .map(|url| answer::shown_url(url).ok_or_else(|| wrong("data.url", "must be an http:// or https:// address")))
        .transpose()?;
    let partial = match data.get("partial") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(partial)) => *partial,
        Some(_) => return Err(wrong("data.partial", "must be true or false")),
    };
    let told = match data.remove("fields") {
        None | Some(Value::Null) => None,
        Some(Value::Object(fields)) => Some(fields),
        Some(_) => return Err(wrong("data.fields", "must be an object")),
    };
    // Without fields the message only says "look": nothing is known, least of all that all is empty.
    let whole = told.is_some() && !partial && !deleted;
    let fields = told.unwrap_or_default();
    match replica::check(&fields) {
        Err(TooBig::Depth(depth)) => Err(HookError::TooDeep(depth)),
        Err(TooBig::Bytes(bytes)) => Err(HookError::TooLarge(bytes)),
        Ok(()) => Ok(Content { fields, whole, deleted, url, stamp, told_at: stamp, ..Content::default() }),
    }
}

fn text<'a>(object: &'a Fields, name: &str, member: &'static str) -> Result<Option<&'a str>, HookError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(member, "must be a text")),
    }
}

fn entity_type(data: &Fields) -> Result<String, HookError> {
    let name = text(data, "entity_type", "data.entity_type")?.unwrap_or(super::ISSUE).trim();
    if name.is_empty() || name.chars().count() > MAX_TYPE || name.chars().any(char::is_control) {
        return Err(wrong("data.entity_type", format!("must have 1 to {MAX_TYPE} characters, none of them control characters")));
    }
    Ok(name.to_owned())
}

fn key(data: &Fields) -> Result<String, HookError> {
    match data.get("key") {
        None | Some(Value::Null) => Err(wrong("data.key", "is missing")),
        Some(Value::String(key)) => tidy_key(key).map_err(|reason| wrong("data.key", format!("is no key: {reason}"))),
        // Some systems count their records.
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Some(_) => Err(wrong("data.key", "must be a text")),
    }
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
