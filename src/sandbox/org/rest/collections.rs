//! Collections: up to 200 writes or 2,000 reads in one call, each item with its own outcome.

use serde_json::{Map, Value, json};

use super::{Call, Reply, not_allowed, records};
use crate::sandbox::{
    org::{errors::ApiError, state::State},
    wire::pick,
};

const MOST_WRITES: usize = 200;
const MOST_READS: usize = 2000;

type Outcome = Result<(String, Option<bool>), ApiError>;

/// `/composite/sobjects`: create, update, delete.
pub(super) fn mixed(state: &mut State, call: &Call) -> Result<Reply, ApiError> {
    match call.method.as_str() {
        "POST" => writes(state, call, |state, record| {
            let id = state.create(type_of(record)?, record, &call.user, call.options())?;
            Ok((id, None))
        }),
        "PATCH" => writes(state, call, |state, record| {
            let (name, id) = take_id(record)?;
            let values =
                record.iter().filter(|(key, _)| **key != name).map(|(key, value)| (key.clone(), value.clone())).collect();
            state.update(type_of(record)?, &id, &values, &call.user, call.options())?;
            Ok((id, None))
        }),
        "DELETE" => {
            let ids = pick(&call.query, "ids")
                .unwrap_or_default()
                .split(',')
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>();
            run(state, &ids, call.flag("allOrNone"), |state, id| {
                state.delete(None, id, &call.user)?;
                Ok((id.clone(), None))
            })
        }
        method => Err(not_allowed(method)),
    }
}

/// `PATCH /composite/sobjects/Case/{ExternalId}`.
pub(super) fn upsert(state: &mut State, object: &str, field: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = state.object_type(object)?.name.clone();
    writes(state, call, |state, record| {
        let key = record.keys().find(|key| key.eq_ignore_ascii_case(field)).cloned();
        let value = key.as_ref().and_then(|key| record[key.as_str()].as_str()).map(str::to_owned);
        let value = value.ok_or_else(|| ApiError::new(400, "MISSING_ARGUMENT", format!("{field} not specified")))?;
        let body = record
            .iter()
            .filter(|(name, _)| Some(*name) != key.as_ref())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match records::upsert(state, &name, field, &value, &body, call, false)? {
            records::Upserted::Done { id, created } => Ok((id, Some(created))),
            records::Upserted::Several(_) => {
                Err(ApiError::new(400, "DUPLICATE_EXTERNAL_ID", format!("{field}: more than one record found")))
            }
        }
    })
}

/// `/composite/sobjects/Case`: read many.
pub(super) fn retrieve(state: &State, object: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = &state.object_type(object)?.name;
    let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (ids, fields) = if call.method == "GET" {
        (list(pick(&call.query, "ids").unwrap_or_default()), list(pick(&call.query, "fields").unwrap_or_default()))
    } else {
        let body = call.object()?;
        let texts = |key: &str| {
            let items = body.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        (texts("ids"), texts("fields"))
    };
    if ids.len() > MOST_READS {
        return Err(ApiError::new(
            400,
            "EXCEEDED_ID_LIMIT",
            format!("record limit reached. cannot submit more than {MOST_READS} records into this call"),
        ));
    }
    if fields.is_empty() {
        return Err(ApiError::new(400, "MISSING_ARGUMENT", "fields not specified"));
    }
    records::many(state, name, &ids, &fields.join(",")).map(|rows| Reply::json(Value::Array(rows)))
}

fn type_of(record: &Map<String, Value>) -> Result<&str, ApiError> {
    let name = record.get("attributes").and_then(|attributes| attributes["type"].as_str());
    name.ok_or_else(|| ApiError::new(400, "INVALID_TYPE", "The type attribute is missing."))
}

fn take_id(record: &Map<String, Value>) -> Result<(String, String), ApiError> {
    let found = record.iter().find(|(name, _)| name.eq_ignore_ascii_case("id"));
    let found = found.and_then(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    found.ok_or_else(|| ApiError::new(400, "MISSING_ARGUMENT", "Id not specified in an update call"))
}

fn writes(
    state: &mut State,
    call: &Call,
    act: impl FnMut(&mut State, &Map<String, Value>) -> Outcome,
) -> Result<Reply, ApiError> {
    let body = call.object()?;
    let Some(Value::Array(records)) = body.get("records") else {
        return Err(ApiError::new(400, "JSON_PARSER_ERROR", "a list `records` is needed at [line:1, column:1]"));
    };
    let records = records.iter().map(|record| record.as_object().cloned().unwrap_or_default()).collect::<Vec<_>>();
    let all_or_none = body.get("allOrNone") == Some(&Value::Bool(true));
    run(state, &records, all_or_none, act)
}

fn run<T>(
    state: &mut State,
    items: &[T],
    all_or_none: bool,
    mut act: impl FnMut(&mut State, &T) -> Outcome,
) -> Result<Reply, ApiError> {
    if items.len() > MOST_WRITES {
        let message = format!("record limit reached. cannot submit more than {MOST_WRITES} records into this call");
        return Err(ApiError::new(400, "LIMIT_EXCEEDED", message));
    }
    let mark = state.mark();
    let mut outcomes = items.iter().map(|item| act(state, item)).collect::<Vec<_>>();
    if all_or_none && outcomes.iter().any(Result::is_err) {
        state.roll_back(mark);
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
            *outcome = Err(ApiError::rolled_back());
        }
    }
    let rows = outcomes.into_iter().map(|outcome| match outcome {
        Ok((id, None)) => json!({"id": id, "success": true, "errors": []}),
        Ok((id, Some(created))) => json!({"id": id, "success": true, "errors": [], "created": created}),
        Err(error) => json!({"success": false, "errors": [error.item()]}),
    });
    Ok(Reply::json(Value::Array(rows.collect())))
}
