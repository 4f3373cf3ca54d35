//! The bytes that leave for a `webhook` tracker, and what its answers mean.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{super::answer, tidy_key};
use crate::{
    clock::Time,
    domain::{
        replica::Fields,
        tracker::{Entity, Fault, Found, Retry, TrackerError, Written},
        twin::PendingWrite,
    },
    http_client::Trouble,
};

#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: Time,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    entity_type: &'a str,
    key: Option<&'a str>,
    fields: &'a Fields,
    comments: [Value; 0],
    attachments: [Value; 0],
    changed: Vec<&'a str>,
}

/// The body of a write: a function of what is kept with it and nothing else, so that a repeat has the same bytes.
pub(super) fn message(pending: &PendingWrite) -> Bytes {
    let message = Message {
        r#type: if pending.key.is_none() { "entity.created" } else { "entity.updated" },
        timestamp: pending.started_at,
        data: Data {
            entity_type: &pending.entity_type,
            key: pending.key.as_deref(),
            fields: &pending.fields,
            comments: [],
            attachments: [],
            changed: pending.fields.keys().map(String::as_str).collect(),
        },
    };
    serde_json::to_vec(&message).expect("texts, numbers and maps with text keys are always JSON").into()
}

/// An answer's body as far as it was read.
pub(super) enum Body {
    /// All of it.
    Whole(Bytes),
    /// More than is read.
    TooLarge,
    /// It broke off.
    Broken(Trouble),
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// When it was read, by our clock.
    pub(super) now: Time,
}

impl Answer {
    fn text(&self) -> String {
        match &self.body {
            Body::Whole(bytes) => answer::clean_text(bytes),
            Body::TooLarge | Body::Broken(_) => String::new(),
        }
    }
}

/// What a 2xx or a 409 may carry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Receipt {
    key: Option<Key>,
    url: Option<String>,
}

/// Some systems count their records.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    Text(String),
    Number(i64),
}

impl Receipt {
    /// What is no receipt is passed over: an update needs none.
    fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    fn key(&self) -> Option<String> {
        match self.key.as_ref()? {
            Key::Text(text) => tidy_key(text).ok(),
            Key::Number(number) => Some(number.to_string()),
        }
    }

    fn url(&self) -> Option<String> {
        self.url.as_deref().and_then(answer::shown_url)
    }
}

/// What the answer to a write means. `key`: that of the record; `None` for a create.
pub(super) fn written(answer: Answer, key: Option<&str>) -> Result<Written, TrackerError> {
    let status = answer.status;
    if !status.is_success() && status != StatusCode::CONFLICT {
        return Err(refusal(&answer));
    }
    let bytes = match &answer.body {
        Body::Whole(bytes) => bytes,
        Body::TooLarge => return Err(no_receipt("the answer is larger than 1 MB", status)),
        Body::Broken(trouble) => return Err(TrackerError { in_doubt: true, ..answer::no_answer(trouble.clone()) }),
    };
    let receipt = Receipt::read(bytes);
    let written = |key: String, existed| Written { key, url: receipt.url(), read_back: None, existed };
    match (status == StatusCode::CONFLICT, key, receipt.key()) {
        (false, Some(key), _) => Ok(written(key.to_owned(), false)),
        (false, None, Some(made)) => Ok(written(made, false)),
        (false, None, None) => Err(no_receipt("the answer to a create names no `key` of 1 to 255 characters", status)),
        (true, None, Some(held)) => Ok(written(held, true)),
        // A repeat of this very write: what it asked for is there.
        (true, Some(key), Some(held)) if key == held => Ok(written(held, false)),
        (true, ..) => Err(refusal(&answer)),
    }
}

fn no_receipt(what: &str, status: StatusCode) -> TrackerError {
    TrackerError {
        fault: Fault::Tracker,
        retry: Retry::Hourly,
        code: "no_receipt".to_owned(),
        title: "The tracker's answer cannot be used".to_owned(),
        detail: format!("HTTP {}: {what}", status.as_u16()),
        advice: "Let the receiver answer a create with {\"key\": \"…\"}. The record may have been made; the repeat comes with \
                 the same webhook-id, by which the receiver knows it."
            .to_owned(),
        in_doubt: true,
    }
}

/// What an answer that is no yes means.
pub(super) fn refusal(answer: &Answer) -> TrackerError {
    let number = answer.status.as_u16();
    let text = answer.text();
    let pause = answer::retry_after(&answer.headers, answer.now);
    let (fault, retry, title, advice) = meaning(number, Retry::Soon(pause));
    TrackerError {
        fault,
        retry,
        code: if number == 410 { "gone".to_owned() } else { number.to_string() },
        title: title.to_owned(),
        detail: if text.is_empty() { format!("HTTP {number}") } else { format!("HTTP {number}: {text}") },
        advice: advice.to_owned(),
        in_doubt: matches!(number, 408 | 500..),
    }
}

/// What a status means that came without anything having been asked: detail and advice.
pub(super) fn told(status: StatusCode) -> (String, &'static str) {
    let number = status.as_u16();
    let (_, _, title, advice) = meaning(number, Retry::Newer);
    (format!("HTTP {number} to HEAD: {title}"), advice)
}

/// Fault, what a repeat would do, title and advice. `soon` holds the pause that was asked for.
fn meaning(status: u16, soon: Retry) -> (Fault, Retry, &'static str, &'static str) {
    match status {
        410 => (Fault::Record, Retry::Newer, "The record is gone", "Nothing: the twin ends, the other record stays."),
        429 => (Fault::Network, soon, "The tracker asks for a pause", "Nothing: the node waits as long as it was asked to."),
        407 => (Fault::Configuration, soon, "The proxy asks for a login", "Set the user name and password in `proxy`."),
        300..=399 => (
            Fault::Configuration,
            soon,
            "The tracker's address redirects",
            "Redirects are not followed: put the address that it leads to into `url` or `read_url`.",
        ),
        408 | 500.. => (
            Fault::Network,
            soon,
            "The tracker is not available",
            "This usually passes by itself; if it stays, look at the receiver's own log.",
        ),
        401 | 403 => (
            Fault::Record,
            Retry::Newer,
            "The tracker refused the message",
            "Check that `secret` is the same on both sides, both clocks are right, and nothing in between asks for a login.",
        ),
        _ => (
            Fault::Record,
            Retry::Newer,
            "The tracker refused the record",
            "See its own words; change the record or the incoming rule, then try again.",
        ),
    }
}

/// What the answer to a read means.
pub(super) fn found(answer: Answer, entity_type: &str, key: &str) -> Result<Found, TrackerError> {
    match answer.status {
        StatusCode::NOT_FOUND => return Ok(Found::NotVisible),
        StatusCode::GONE => return Ok(Found::Deleted),
        status if !status.is_success() => return Err(refusal(&answer)),
        _ => {}
    }
    let unusable = |what: &str| TrackerError {
        fault: Fault::Tracker,
        retry: Retry::Hourly,
        code: "bad_entity".to_owned(),
        title: "The tracker's answer cannot be used".to_owned(),
        detail: format!("GET {{read_url}}/{key}: {what}"),
        advice: "Let `read_url` answer {\"entity_type\", \"key\", \"url\", \"fields\": {…}} as JSON.".to_owned(),
        in_doubt: false,
    };
    let bytes = match answer.body {
        Body::Whole(bytes) => bytes,
        Body::TooLarge => return Err(unusable("more than 1 MB")),
        Body::Broken(trouble) => return Err(answer::no_answer(trouble)),
    };
    let mut object: Fields = serde_json::from_slice(&bytes).map_err(|error| unusable(&format!("no JSON object: {error}")))?;
    let told_type = object.get("entity_type").and_then(Value::as_str).unwrap_or(entity_type).to_owned();
    let url = object.get("url").and_then(Value::as_str).and_then(answer::shown_url);
    // A system that answers its bare record is understood too.
    let fields = match object.get_mut("fields") {
        Some(Value::Object(fields)) => std::mem::take(fields),
        _ => object,
    };
    crate::domain::replica::check(&fields).map_err(|error| unusable(&error.to_string()))?;
    Ok(Found::Here(Box::new(Entity { entity_type: told_type, key: key.to_owned(), url, fields, ..Entity::default() })))
}

/// `{read_url}/{key}`, the key as one segment whatever it holds.
pub(super) fn record_url(read_url: &Url, key: &str) -> Url {
    let mut url = read_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(key);
    }
    url
}

/// What to add to the tracker's times to get ours, in milliseconds. `Date` has whole seconds: what is within two of
/// them is no difference.
pub(super) fn clock_offset(date: Time, now: Time) -> i64 {
    let offset = now.millis().saturating_sub(date.millis());
    if offset.abs() < 2000 { 0 } else { offset }
}
