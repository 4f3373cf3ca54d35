//! Several calls in one: `composite` with references between its parts and one transaction where asked for, `batch`
//! without either.
//!
//! A reference `@{name.path}` in an address or a body stands for a value of an earlier part's answer; `path` walks
//! members by dots and items by brackets. A part that refers to a failed one is halted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Body, Call, Reply, dispatch};
use crate::sandbox::{
    org::{errors::ApiError, state::State},
    wire::pairs,
};

const MOST: usize = 25;
/// Of them queries and collections.
const MOST_HEAVY: usize = 5;

/// `POST /composite`.
pub(super) fn composite(state: &mut State, call: &Call) -> Result<Reply, ApiError> {
    let body = call.object()?;
    let all_or_none = body.get("allOrNone") == Some(&Value::Bool(true));
    let parts = body.get("compositeRequest").and_then(Value::as_array).cloned().unwrap_or_default();
    check_size(&parts)?;
    let mark = state.mark();
    let mut answers = BTreeMap::<String, (u16, Value)>::new();
    let mut order = Vec::new();
    let mut failed = false;
    for part in &parts {
        let name = part["referenceId"].as_str().unwrap_or_default().to_owned();
        let (status, shown, headers) = if failed && all_or_none { halted() } else { run_part(state, call, part, &answers) };
        failed |= status >= 400;
        answers.insert(name.clone(), (status, shown));
        order.push((name, headers));
    }
    let rolled_back = failed && all_or_none;
    if rolled_back {
        state.roll_back(mark);
    }
    let rows = order.into_iter().map(|(name, headers)| {
        let (status, shown) = answers.remove(&name).unwrap_or((500, Value::Null));
        let (status, shown) = if rolled_back && status < 400 { (400, ApiError::halted().rest()) } else { (status, shown) };
        json!({"body": shown, "httpHeaders": headers, "httpStatusCode": status, "referenceId": name})
    });
    let rows = rows.collect::<Vec<_>>();
    Ok(Reply::json(json!({"compositeResponse": rows})))
}

fn check_size(parts: &[Value]) -> Result<(), ApiError> {
    let heavy = |part: &&Value| {
        let url = part["url"].as_str().unwrap_or_default();
        url.contains("/query") || url.contains("/composite/sobjects")
    };
    if parts.is_empty() || parts.len() > MOST || parts.iter().filter(heavy).count() > MOST_HEAVY {
        let message = format!("Limit exceeded: 1 to {MOST} subrequests, of them at most {MOST_HEAVY} queries or collections");
        return Err(ApiError::new(400, "LIMIT_EXCEEDED", message));
    }
    let mut names = parts.iter().map(|part| part["referenceId"].as_str().unwrap_or_default()).collect::<Vec<_>>();
    names.sort_unstable();
    if names.first() == Some(&"") || names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ApiError::new(400, "INVALID_INPUT", "each subrequest needs a referenceId of its own"));
    }
    Ok(())
}

fn halted() -> (u16, Value, Value) {
    (400, ApiError::halted().rest(), json!({}))
}

fn run_part(state: &mut State, call: &Call, part: &Value, answers: &BTreeMap<String, (u16, Value)>) -> (u16, Value, Value) {
    let refuse = |error: ApiError| (error.status, error.rest(), json!({}));
    let prepared = fill(&part["url"], answers).and_then(|url| Ok((url, fill(&part["body"], answers)?)));
    let (url, body) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(error),
    };
    let url = url.as_str().unwrap_or_default();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    if path.trim_end_matches('/').ends_with("/composite") {
        return refuse(ApiError::new(400, "INVALID_INPUT", "a composite request cannot hold another"));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in part["httpHeaders"].as_object().into_iter().flatten() {
        headers.insert(name.to_lowercase(), value.as_str().unwrap_or_default().to_owned());
    }
    let inner = Call {
        method: part["method"].as_str().unwrap_or_default().to_uppercase(),
        path: path.to_owned(),
        query: pairs(query.as_bytes()),
        headers,
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        user: call.user.clone(),
    };
    let mark = state.mark();
    match dispatch(state, &inner) {
        Ok(reply) => {
            let shown = match reply.body {
                Body::Json(value) => value,
                Body::Empty | Body::Bytes(_) => Value::Null,
            };
            let headers = reply.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            (reply.status, shown, Value::Object(headers))
        }
        Err(error) => {
            state.roll_back(mark);
            refuse(error)
        }
    }
}

/// Replaces references in all texts of a value.
fn fill(value: &Value, answers: &BTreeMap<String, (u16, Value)>) -> Result<Value, ApiError> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, answers)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, answers)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let mut out = serde_json::Map::new();
            for (name, member) in members {
                out.insert(name.clone(), fill(member, answers)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

fn fill_text(text: &str, answers: &BTreeMap<String, (u16, Value)>) -> Result<String, ApiError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let Some((reference, tail)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&resolve(reference, answers)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn resolve(reference: &str, answers: &BTreeMap<String, (u16, Value)>) -> Result<String, ApiError> {
    let invalid = |what: &str| {
        let message = format!("Invalid reference specified. {what}: {reference}. Provide a valid reference.");
        ApiError::new(400, "PROCESSING_HALTED", message)
    };
    let split = reference.find(['.', '[']).unwrap_or(reference.len());
    let (name, path) = reference.split_at(split);
    let (status, mut here) = match answers.get(name) {
        Some((status, value)) => (*status, value),
        None => return Err(invalid("No such earlier subrequest")),
    };
    if status >= 400 {
        return Err(invalid("The subrequest referred to failed"));
    }
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let found = match step.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| here.get(index)),
            None => here.get(step),
        };
        here = found.ok_or_else(|| invalid("No value for this path"))?;
    }
    match here {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(here.to_string()),
        _ => Err(invalid("The value is no text")),
    }
}

/// `POST /composite/batch`.
pub(super) fn batch(state: &mut State, call: &Call) -> Result<Reply, ApiError> {
    let body = call.object()?;
    let halt = body.get("haltOnError") == Some(&Value::Bool(true));
    let parts = body.get("batchRequests").and_then(Value::as_array).cloned().unwrap_or_default();
    if parts.is_empty() || parts.len() > MOST {
        return Err(ApiError::new(400, "LIMIT_EXCEEDED", format!("1 to {MOST} subrequests")));
    }
    let (mut results, mut failed) = (Vec::new(), false);
    for part in &parts {
        if failed && halt {
            let skipped = ApiError::new(
                412,
                "BATCH_PROCESSING_HALTED",
                "Batch processing is halted due to an error in a previous subrequest",
            );
            results.push(json!({"statusCode": 412, "result": skipped.rest()}));
            continue;
        }
        let url = format!(
            "/services/data/{}",
            part["url"].as_str().unwrap_or_default().trim_start_matches("/services/data").trim_start_matches('/')
        );
        let whole = json!({"method": part["method"], "url": url, "body": part["richInput"]});
        let (status, shown, _) = run_part(state, call, &whole, &BTreeMap::new());
        failed |= status >= 400;
        results.push(json!({"statusCode": status, "result": shown}));
    }
    Ok(Reply::json(json!({"hasErrors": failed, "results": results})))
}
