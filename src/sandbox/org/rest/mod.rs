//! The REST resources, as one function from a call to a reply. Composite calls it again for each of its parts, so a
//! resource is written once. Sessions, allowance and faults are settled before, in `http`.
//!
//! To add a resource: an arm in [`dispatch`] and a line in `usage::kind_of`.

mod collections;
mod composite;
mod describe;
mod records;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{errors::ApiError, save::SaveOptions, state::State};
use crate::sandbox::wire::pick;

/// One call, on its own or as a part of a composite one.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// Who calls.
    pub(super) user: String,
}

impl Call {
    /// The body as an object.
    fn object(&self) -> Result<Map<String, Value>, ApiError> {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(ApiError::new(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")),
            Err(error) => {
                let message = format!(
                    "Unexpected character or end of input: {error} at [line:{}, column:{}]",
                    error.line(),
                    error.column()
                );
                Err(ApiError::new(400, "JSON_PARSER_ERROR", message))
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// What the headers say about saving.
    fn options(&self) -> SaveOptions {
        let duplicates = self.header("sforce-duplicate-rule-header").unwrap_or_default().replace(' ', "").to_lowercase();
        SaveOptions {
            auto_assign: !self.header("sforce-auto-assign").is_some_and(|value| value.eq_ignore_ascii_case("false")),
            allow_duplicates: duplicates.contains("allowsave=true"),
        }
    }

    /// A true or false parameter.
    fn flag(&self, name: &str) -> bool {
        pick(&self.query, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) headers: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Json(Value),
    Bytes(Vec<u8>),
}

impl Reply {
    fn json(value: Value) -> Self {
        Self { status: 200, body: Body::Json(value), headers: Vec::new() }
    }

    fn empty(status: u16) -> Self {
        Self { status, body: Body::Empty, headers: Vec::new() }
    }

    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

/// Versions that the org speaks, oldest first.
pub(super) fn versions() -> Value {
    let seasons = ["Spring", "Summer", "Winter"];
    let all = (31..=68u32).map(|version| {
        // v66 is Spring '26; three releases make a year.
        let since = version + 6;
        let season = seasons[usize::try_from(since % 3).unwrap_or(0)];
        let year = since / 3 + 2;
        let year = if season == "Winter" { year + 1 } else { year };
        json!({"label": format!("{season} '{year:02}"), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0")})
    });
    Value::Array(all.collect())
}

/// Answers one call.
pub(super) fn dispatch(state: &mut State, call: &Call) -> Result<Reply, ApiError> {
    let rest = call.path.strip_prefix("/services/data/").ok_or_else(ApiError::not_found)?;
    let parts = rest.split('/').filter(|part| !part.is_empty()).map(decode).collect::<Vec<_>>();
    let parts = parts.iter().map(String::as_str).collect::<Vec<_>>();
    let (version, parts) = parts.split_first().ok_or_else(ApiError::not_found)?;
    let number = version.strip_prefix('v').and_then(|text| text.strip_suffix(".0")).and_then(|text| text.parse::<u32>().ok());
    if !number.is_some_and(|number| (31..=68).contains(&number)) {
        return Err(ApiError::not_found());
    }
    let base = format!("/services/data/{version}");
    match (call.method.as_str(), parts) {
        ("GET", ["limits"]) => Ok(Reply::json(limits(state))),
        ("GET", [resource @ ("query" | "queryAll")]) => {
            let text = pick(&call.query, "q")
                .ok_or_else(|| ApiError::new(400, "MALFORMED_QUERY", "A query string has to be specified"))?;
            state.query(text, *resource == "queryAll", batch(call).min(state.settings.page), &base).map(Reply::json)
        }
        ("GET", ["query" | "queryAll", locator]) => state.more(locator, &base).map(Reply::json),
        ("GET", ["sobjects"]) => Ok(Reply::json(describe::all(state, &base))),
        ("GET", ["sobjects", object, "describe"]) => describe::asked(state, object, call),
        ("GET", ["sobjects", object, "updated"]) => records::updated(state, object, call),
        ("GET", ["sobjects", object, "deleted"]) => records::deleted(state, object, call),
        (_, ["sobjects", object]) => records::whole(state, object, call),
        (_, ["sobjects", object, id]) => records::by_id(state, object, id, call),
        (_, ["sobjects", object, field, value]) => records::by_field(state, object, field, value, call),
        ("POST", ["composite"]) => composite::composite(state, call),
        ("POST", ["composite", "batch"]) => composite::batch(state, call),
        (_, ["composite", "sobjects"]) => collections::mixed(state, call),
        ("GET" | "POST", ["composite", "sobjects", object]) => collections::retrieve(state, object, call),
        ("PATCH", ["composite", "sobjects", object, field]) => collections::upsert(state, object, field, call),
        ("GET", ["chatter" | "ui-api", ..]) => Err(ApiError::not_found()),
        (_, ["limits" | "query" | "queryAll" | "composite", ..]) => Err(not_allowed(&call.method)),
        _ => Err(ApiError::not_found()),
    }
}

fn decode(part: &str) -> String {
    // A path keeps its plus signs; a form would not.
    let guarded = part.replace('+', "%2B");
    url::form_urlencoded::parse(format!("p={}", guarded.replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn not_allowed(method: &str) -> ApiError {
    ApiError::new(405, "METHOD_NOT_ALLOWED", format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST"))
}

/// Rows in a page, as `Sforce-Query-Options` asks: 200 to 2000.
fn batch(call: &Call) -> usize {
    let options = call.header("sforce-query-options").unwrap_or_default();
    let asked = options.split([',', ';']).find_map(|option| option.trim().strip_prefix("batchSize=")?.parse::<usize>().ok());
    asked.unwrap_or(2000).clamp(200, 2000)
}

fn limits(state: &mut State) -> Value {
    let now = state.now();
    let (max, used) = (state.settings.daily_limit, state.usage.used(now));
    json!({
        "DailyApiRequests": {"Max": max, "Remaining": max.saturating_sub(used)},
        "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 10000},
        "HourlyPublishedPlatformEvents": {"Max": 50000, "Remaining": 50000},
        "DailyDeliveredPlatformEvents": {"Max": 10000, "Remaining": 10000},
        "DataStorageMB": {"Max": 5, "Remaining": 5},
        "FileStorageMB": {"Max": 20, "Remaining": 20},
    })
}
