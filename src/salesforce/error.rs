//! From what Salesforce says to an error that answers questions: one table for logins, one for calls.
//!
//! Every documented shape of a body is read (an array of errors, a bare object, `errorCode` or `statusCode`, HTML,
//! nothing at all). The code decides before the status does, because the same code comes with different statuses.
//! To add a row: a code, a part of the message if one code means several things, and what a person should do. The
//! first row that fits counts.

use std::time::Duration;

use serde_json::Value;

use super::error_table::{CALLS, LOGIN, Row, SOON, by_status};
use crate::domain::tracker::{
    Fault::{Configuration, Login, Network, Record, Tracker},
    Retry::{Hourly, Newer, Soon},
    TrackerError,
};
use crate::http_client::{Kind, why};

/// Longest piece of foreign text that is passed on.
const MOST_TEXT: usize = 1_000;
/// Code of [`too_large`].
pub(super) const TOO_LARGE: &str = "TOO_LARGE";

/// One error out of a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ApiError {
    /// `errorCode` or `statusCode`.
    pub code: String,
    /// Salesforce's words.
    pub message: String,
    /// Fields that are meant.
    pub fields: Vec<String>,
}

/// The errors in a body, whatever its shape; none where it holds no JSON of a known one.
pub(super) fn read_body(body: &[u8]) -> Vec<ApiError> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    read_value(&value)
}

/// As [`read_body`], of JSON already read.
pub(super) fn read_value(value: &Value) -> Vec<ApiError> {
    match value {
        Value::Array(items) => items.iter().filter_map(read_one).collect(),
        Value::Object(map) => match map.get("errors") {
            Some(Value::Array(items)) if !items.is_empty() => items.iter().filter_map(read_one).collect(),
            _ => read_one(value).into_iter().collect(),
        },
        _ => Vec::new(),
    }
}

fn read_one(value: &Value) -> Option<ApiError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let code = text("errorCode").or_else(|| text("statusCode"))?;
    let mut message = text("message").unwrap_or_default();
    // The misspelt name is what some versions send.
    let duplicates = value.get("duplicateResut").or_else(|| value.get("duplicateResult"));
    let found: Vec<&str> = duplicates
        .and_then(|result| result.get("matchResults"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|result| result.get("matchRecords").and_then(Value::as_array))
        .flatten()
        .filter_map(|record| record.pointer("/record/Id").and_then(Value::as_str))
        .take(10)
        .collect();
    if !found.is_empty() {
        message = format!("{message} Found: {}", found.join(", "));
    }
    let fields = value.get("fields").and_then(Value::as_array).into_iter().flatten();
    Some(ApiError { code, message, fields: fields.filter_map(Value::as_str).map(str::to_owned).collect() })
}

fn find<'a>(table: &'a [Row], code: &str, message: &str) -> Option<&'a Row> {
    let message = message.to_lowercase();
    table.iter().find(|row| row.code.eq_ignore_ascii_case(code) && message.contains(row.part))
}

/// The error that an answer of the API means. `wrote`: the call could have changed something.
pub(super) fn of_answer(status: u16, body: &[u8], wrote: bool) -> TrackerError {
    let errors = read_body(body);
    let mut error = match errors.first() {
        Some(first) => of_record(status, first),
        None => of_status(status, &plain(body)),
    };
    // A refusal of the record is certain, whatever its status (a locked row was seen with 500); a failure of the server
    // is not.
    error.in_doubt = wrote && status >= 500 && error.fault != Record;
    error
}

/// The same error, tried again no sooner than the answer's `Retry-After` asked.
pub(super) fn not_before(mut error: TrackerError, wish: Option<Duration>) -> TrackerError {
    if let (Some(wish), Soon(known)) = (wish, error.retry) {
        error.retry = Soon(Some(known.map_or(wish, |known| known.max(wish))));
    }
    error
}

/// The error that one entry of an error list means.
pub(super) fn of_record(status: u16, error: &ApiError) -> TrackerError {
    let (fault, retry, title, advice) = match find(CALLS, &error.code, &error.message) {
        Some(row) => (row.fault, row.retry, row.title, row.advice),
        // An unknown code with a status of refusal concerns what was sent, not the way there.
        None if status == 400 || status < 300 => (Record, Newer, "Salesforce refuses the record", "Read Salesforce's words."),
        None => by_status(status),
    };
    let mut detail = format!("{}: {}", error.code, short(&error.message));
    if !error.fields.is_empty() {
        detail.push_str(&format!(" (fields: {})", short(&error.fields.join(", "))));
    }
    TrackerError {
        fault,
        retry,
        code: error.code.clone(),
        title: title.to_owned(),
        detail,
        advice: advice.to_owned(),
        in_doubt: false,
    }
}

/// The error that a status without a readable body means.
pub(super) fn of_status(status: u16, text: &str) -> TrackerError {
    let (fault, retry, title, advice) = by_status(status);
    let detail = if text.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {text}") };
    TrackerError {
        fault,
        retry,
        code: format!("HTTP_{status}"),
        title: title.to_owned(),
        detail,
        advice: advice.to_owned(),
        in_doubt: false,
    }
}

/// The error that a refused login means. `body` is an answer that is no token.
pub(super) fn of_login(status: u16, body: &[u8]) -> TrackerError {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, description) = (text("error"), text("error_description"));
    if code.is_empty() {
        // Of JSON nothing is shown: under an odd status it could be a token.
        let text = if value.is_null() { plain(body) } else { String::new() };
        let mut error = of_status(status, &text);
        if status < 500 && error.fault == Record {
            error.fault = Configuration;
            error.advice = "Check `login_url`: no login was found at this address.".to_owned();
        }
        return error;
    }
    of_login_words(code, description)
}

/// As [`of_login`], from the two words themselves, as they also stand in the browser's way back.
pub(super) fn of_login_words(code: &str, description: &str) -> TrackerError {
    let (fault, retry, title, advice) = match find(LOGIN, code, description) {
        Some(row) => (row.fault, row.retry, row.title, row.advice),
        None => {
            (Login, Hourly, "Salesforce refuses the login", "Read Salesforce's words; check the app's policies and the user.")
        }
    };
    TrackerError {
        fault,
        retry,
        code: short(code),
        title: title.to_owned(),
        detail: format!("{}: {}", short(code), short(description)),
        advice: advice.to_owned(),
        in_doubt: false,
    }
}

/// The error of a call that got no answer. `wrote`: it could have changed something.
pub(super) fn of_transport(error: &reqwest::Error, wrote: bool) -> TrackerError {
    let trouble = why(error);
    let title = match trouble.kind {
        Kind::Dns => "The name is not found",
        Kind::Tls => "The connection to Salesforce is not safe",
        Kind::Proxy => "The proxy does not lead to Salesforce",
        Kind::Timeout => "Salesforce did not answer in time",
        Kind::Reset | Kind::Body => "The connection broke",
        Kind::Connect | Kind::Blocked | Kind::Request => "Salesforce cannot be reached",
    };
    TrackerError {
        fault: Network,
        retry: SOON,
        code: trouble.kind.as_str().to_owned(),
        title: title.to_owned(),
        detail: short(&trouble.what),
        advice: trouble.advice,
        in_doubt: wrote && trouble.in_doubt,
    }
}

/// An error of ours about one record.
pub(super) fn record(code: &str, title: &str, detail: String, advice: &str) -> TrackerError {
    TrackerError {
        fault: Record,
        retry: Newer,
        code: code.to_owned(),
        title: title.to_owned(),
        detail,
        advice: advice.to_owned(),
        in_doubt: false,
    }
}

/// An answer that the documentation does not know.
pub(super) fn unexpected(what: &str, wrote: bool) -> TrackerError {
    TrackerError {
        fault: Tracker,
        retry: SOON,
        code: "UNEXPECTED".to_owned(),
        title: "Salesforce answered in an undocumented way".to_owned(),
        detail: what.to_owned(),
        advice: "Look for a proxy that answers in its place; if there is none, report it with this text.".to_owned(),
        in_doubt: wrote,
    }
}

/// A good status with a body that Salesforce would not send: something between answers in its place.
pub(super) fn impostor(what: &str) -> TrackerError {
    TrackerError {
        fault: Network,
        code: "NOT_SALESFORCE".to_owned(),
        title: "Something else answers in Salesforce's place".to_owned(),
        advice: "Check `login_url`, and look for a proxy or a network's sign-in page on the way.".to_owned(),
        ..unexpected(what, false)
    }
}

/// An answer beyond what is read. Of a read, half of the records may fit.
pub(super) fn too_large(most: usize, wrote: bool) -> TrackerError {
    TrackerError { code: TOO_LARGE.to_owned(), ..unexpected(&format!("The answer is larger than {most} bytes."), wrote) }
}

/// A page's words without its tags.
fn plain(body: &[u8]) -> String {
    let head = &body[..body.len().min(20_000)];
    let text = String::from_utf8_lossy(head);
    let mut out = String::new();
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                out.push(' ');
            }
            _ if !inside => out.push(letter),
            _ => {}
        }
    }
    short(&out.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect::<String>())
}

/// Foreign text, shortened.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= MOST_TEXT {
        return text.to_owned();
    }
    text.chars().take(MOST_TEXT).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
