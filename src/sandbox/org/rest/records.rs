//! Single records: create, read, update, delete, upsert; and what was updated or deleted in a span.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{Body, Call, Reply, not_allowed};
use crate::{
    clock::Time,
    sandbox::{
        org::{
            errors::ApiError,
            schema::Kind,
            state::{Record, State, rest_time},
        },
        wire::pick,
    },
};

/// `/sobjects/Case`.
pub(super) fn whole(state: &mut State, object: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = state.object_type(object)?.name.clone();
    match call.method.as_str() {
        "GET" => Ok(Reply::json(json!({"objectDescribe": super::describe::head(state, &name), "recentItems": []}))),
        "POST" => {
            let id = state.create(&name, &call.object()?, &call.user, call.options())?;
            let mut reply = Reply::json(json!({"id": id, "success": true, "errors": []})).with_status(201);
            reply.headers.push(("Location", format!("{}/{id}", call.path.trim_end_matches('/'))));
            Ok(reply)
        }
        method => Err(not_allowed(method)),
    }
}

/// `/sobjects/Case/{id}`.
pub(super) fn by_id(state: &mut State, object: &str, id: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = state.object_type(object)?.name.clone();
    match call.method.as_str() {
        "GET" => read(state, &name, id, call),
        "PATCH" => state.update(&name, id, &call.object()?, &call.user, call.options()).map(|()| Reply::empty(204)),
        "DELETE" => state.delete(Some(&name), id, &call.user).map(|()| Reply::empty(204)),
        method => Err(not_allowed(method)),
    }
}

fn read(state: &State, object: &str, id: &str, call: &Call) -> Result<Reply, ApiError> {
    let id = state.id_of(object, id)?;
    let record = state.records.get(&id).filter(|record| record.deleted.is_none()).ok_or_else(ApiError::not_found)?;
    let names = names(state, object, pick(&call.query, "fields"))?;
    Ok(Reply::json(Value::Object(state.show(record, names.as_deref()))))
}

/// The wanted field names, checked.
fn names(state: &State, object: &str, wanted: Option<&str>) -> Result<Option<Vec<String>>, ApiError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let kind = state.object_type(object)?;
    let mut names = Vec::new();
    for name in wanted.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        names.push(kind.field(name).ok_or_else(|| ApiError::no_column(object, name))?.name.clone());
    }
    Ok(Some(names))
}

/// `/sobjects/Case/{field}/{value}` by an external id, or `/sobjects/ContentVersion/{id}/VersionData`.
pub(super) fn by_field(state: &mut State, object: &str, field: &str, value: &str, call: &Call) -> Result<Reply, ApiError> {
    let kind = state.object_type(object)?;
    let name = kind.name.clone();
    if call.method == "GET" && kind.field(value).is_some_and(|field| field.kind == Kind::Base64) {
        let record = state.alive(&name, field)?;
        let bytes = STANDARD.decode(record.text(value)).unwrap_or_default();
        return Ok(Reply { status: 200, body: Body::Bytes(bytes), headers: Vec::new() });
    }
    if field.eq_ignore_ascii_case("Id") && call.method == "PATCH" {
        return by_id(state, object, value, call);
    }
    match call.method.as_str() {
        "GET" => {
            let found = matches(state, &name, field, value)?;
            match found.as_slice() {
                [] => Err(ApiError::not_found()),
                [id] => read(state, &name, id, call),
                several => Ok(choices(&name, several)),
            }
        }
        "PATCH" => {
            let body = call.object()?;
            match upsert(state, &name, field, value, &body, call, call.flag("updateOnly"))? {
                Upserted::Done { id, created } => {
                    let reply = Reply::json(json!({"id": id, "success": true, "errors": [], "created": created}));
                    Ok(reply.with_status(if created { 201 } else { 200 }))
                }
                Upserted::Several(ids) => Ok(choices(&name, &ids)),
            }
        }
        "DELETE" => match matches(state, &name, field, value)?.first() {
            Some(id) => state.delete(Some(&name), id, &call.user).map(|()| Reply::empty(204)),
            None => Err(ApiError::not_found()),
        },
        method => Err(not_allowed(method)),
    }
}

fn choices(object: &str, ids: &[String]) -> Reply {
    let urls = ids.iter().map(|id| json!(format!("/services/data/v68.0/sobjects/{object}/{id}"))).collect();
    Reply::json(Value::Array(urls)).with_status(300)
}

/// How an upsert ended.
pub(super) enum Upserted {
    Done { id: String, created: bool },
    Several(Vec<String>),
}

/// Updates the one record with this external id, or makes it.
pub(super) fn upsert(
    state: &mut State,
    object: &str,
    field: &str,
    value: &str,
    body: &Map<String, Value>,
    call: &Call,
    update_only: bool,
) -> Result<Upserted, ApiError> {
    if body.keys().any(|name| name.eq_ignore_ascii_case(field)) {
        let message = format!("The {field} field should not be specified in the sobject data.");
        return Err(ApiError::new(400, "INVALID_FIELD", message));
    }
    let found = matches(state, object, field, value)?;
    match found.as_slice() {
        [] if update_only => Err(ApiError::not_found()),
        [] => {
            let mut values = body.clone();
            values.insert(field.to_owned(), json!(value));
            let id = state.create(object, &values, &call.user, call.options())?;
            Ok(Upserted::Done { id, created: true })
        }
        [id] => {
            state.update(object, id, body, &call.user, call.options())?;
            Ok(Upserted::Done { id: id.clone(), created: false })
        }
        _ => Ok(Upserted::Several(found)),
    }
}

/// Ids of the living records with this external id.
fn matches(state: &State, object: &str, field: &str, value: &str) -> Result<Vec<String>, ApiError> {
    let kind = state.object_type(object)?;
    let field = kind.field(field).filter(|field| field.external_id).ok_or_else(|| {
        let message = format!("Provided external ID field does not exist or is not accessible: {field}");
        ApiError::new(404, "NOT_FOUND", message)
    })?;
    let hits = state.of(&kind.name).filter(|record| record.deleted.is_none() && record.text(&field.name) == value);
    Ok(hits.map(|record| record.text("Id").to_owned()).collect())
}

/// The asked span, in whole minutes as the resource counts.
fn span(call: &Call) -> Result<(Time, Time), ApiError> {
    let read = |name: &str| {
        let text = pick(&call.query, name).unwrap_or_default().replace(' ', "+");
        let time = text
            .parse::<Time>()
            .map_err(|_| ApiError::new(400, "INVALID_REPLICATION_DATE", format!("{name} is not a date-time: {text}")))?;
        Ok(Time::from_seconds(time.seconds().div_euclid(60) * 60))
    };
    let (start, end) = (read("start")?, read("end")?);
    if end.seconds() - start.seconds() < 60 {
        return Err(ApiError::new(400, "INVALID_REPLICATION_DATE", "endDate must be at least one minute greater than startDate"));
    }
    Ok((start, end))
}

/// `/sobjects/Case/updated`.
pub(super) fn updated(state: &State, object: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = &state.object_type(object)?.name;
    let (start, end) = span(call)?;
    if start < state.now().minus(Duration::from_secs(30 * 24 * 3600)) {
        return Err(ApiError::new(400, "INVALID_REPLICATION_DATE", "startDate is before the earliest date available"));
    }
    let inside = |record: &Record| record.time("SystemModstamp").is_some_and(|at| at >= start && at < end);
    let ids = state
        .of(name)
        .filter(|record| record.deleted.is_none() && inside(record))
        .map(|record| record.text("Id"))
        .collect::<Vec<_>>();
    Ok(Reply::json(json!({"ids": ids, "latestDateCovered": rest_time(covered(state, end))})))
}

/// `/sobjects/Case/deleted`.
pub(super) fn deleted(state: &State, object: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = &state.object_type(object)?.name;
    let (start, end) = span(call)?;
    let earliest = state.now().minus(Duration::from_secs(15 * 24 * 3600));
    if start < earliest {
        return Err(ApiError::new(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date"));
    }
    let available = state.bin_emptied.map_or(earliest, |emptied| emptied.max(earliest));
    let gone =
        state.of(name).filter_map(|record| record.deleted.map(|at| (record, at))).filter(|(_, at)| *at >= start && *at < end);
    let rows =
        gone.map(|(record, at)| json!({"id": record.text("Id"), "deletedDate": rest_time(Time::from_seconds(at.seconds()))}));
    Ok(Reply::json(json!({
        "deletedRecords": rows.collect::<Vec<_>>(),
        "earliestDateAvailable": rest_time(Time::from_seconds(available.seconds())),
        "latestDateCovered": rest_time(covered(state, end)),
    })))
}

/// Nothing is known of the minute that is not over.
fn covered(state: &State, end: Time) -> Time {
    end.min(Time::from_seconds(state.now().seconds().div_euclid(60) * 60))
}

/// Shows records by id, null where there is none to see.
pub(super) fn many(state: &State, object: &str, ids: &[String], fields: &str) -> Result<Vec<Value>, ApiError> {
    let names = names(state, object, Some(fields))?;
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        // One id of another type spoils the call for all.
        let id = state.id_of(object, id)?;
        let record = state.records.get(&id).filter(|record| record.deleted.is_none() && record.object == object);
        out.push(record.map_or(Value::Null, |record| Value::Object(state.show(record, names.as_deref()))));
    }
    Ok(out)
}
