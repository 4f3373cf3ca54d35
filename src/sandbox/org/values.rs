//! Values: what each kind of field accepts, and how it keeps it.

use serde_json::{Value, json};

use super::{
    errors::ApiError,
    ids::to_18,
    save::malformed,
    schema::{Field, Kind},
    state::rest_time,
};
use crate::clock::Time;

/// Checks one value and brings it into the form in which it is kept. An empty text is null.
pub(super) fn check_value(field: &Field, value: &Value) -> Result<Value, ApiError> {
    if value.is_null() || value.as_str().is_some_and(str::is_empty) {
        return Ok(Value::Null);
    }
    match &field.kind {
        Kind::Checkbox => {
            value.as_bool().or_else(|| value.as_str()?.parse().ok()).map(Value::Bool).ok_or_else(|| wrong_type(field, value))
        }
        Kind::Number => number(field, value).map(|number| json!(number)),
        Kind::Whole => number(field, value).map(|number| json!(number.trunc())),
        Kind::Date => {
            let text = text(field, value)?;
            text.parse::<jiff::civil::Date>().map(|day| json!(day.to_string())).map_err(|_| wrong_type(field, value))
        }
        Kind::DateTime => {
            let text = text(field, value)?;
            text.parse::<Time>()
                .map(|time| json!(rest_time(Time::from_seconds(time.seconds()))))
                .map_err(|_| wrong_type(field, value))
        }
        Kind::Id | Kind::Reference(_) => {
            let text = text(field, value)?;
            to_18(text)
                .map(|id| json!(id))
                .ok_or_else(|| ApiError { fields: vec![field.name.clone()], ..malformed(&field.label, text) })
        }
        Kind::Picklist => {
            let text = text(field, value)?;
            listed(field, text)?;
            measured(field, text)
        }
        Kind::MultiPicklist => {
            let text = text(field, value)?;
            text.split(';').try_for_each(|part| listed(field, part))?;
            measured(field, text)
        }
        Kind::Email => {
            let text = text(field, value)?;
            let sound = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
            if !sound {
                let message = format!("{}: invalid email address: {text}", field.label);
                return Err(ApiError::field("INVALID_EMAIL_ADDRESS", message, &field.name));
            }
            measured(field, text)
        }
        Kind::Base64 => text(field, value).map(|text| json!(text)),
        Kind::Text | Kind::Encrypted | Kind::TextArea | Kind::Phone | Kind::Url => measured(field, text(field, value)?),
    }
}

fn text<'a>(field: &Field, value: &'a Value) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| wrong_type(field, value))
}

fn number(field: &Field, value: &Value) -> Result<f64, ApiError> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|number| number.is_finite())
        .ok_or_else(|| wrong_type(field, value))
}

fn listed(field: &Field, value: &str) -> Result<(), ApiError> {
    if !field.restricted || field.choices.iter().any(|choice| choice.active && choice.value == value) {
        return Ok(());
    }
    let message = format!("{}: bad value for restricted picklist field: {value}", field.label);
    Err(ApiError::field("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &field.name))
}

fn measured(field: &Field, text: &str) -> Result<Value, ApiError> {
    // A case comment is measured in bytes; all other texts in characters.
    let size = if field.name == "CommentBody" && field.length == 4000 { text.len() } else { text.chars().count() };
    if field.length == 0 || size <= field.length {
        return Ok(json!(text));
    }
    let begin = text.chars().take(60).collect::<String>();
    let message = format!("{}: data value too large: {begin} (max length={})", field.label, field.length);
    Err(ApiError::field("STRING_TOO_LONG", message, &field.name))
}

fn wrong_type(field: &Field, value: &Value) -> ApiError {
    let token = match value {
        Value::Bool(_) => "VALUE_BOOLEAN",
        Value::Number(_) => "VALUE_NUMBER",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        _ => "START_OBJECT",
    };
    let message = format!(
        "Cannot deserialize instance of {} from {token} value {value} or request may be missing a required field at [line:1, column:1]",
        field.kind.name()
    );
    ApiError::new(400, "JSON_PARSER_ERROR", message)
}

/// Text as most comparisons of an org see it: case does not matter.
pub(super) fn same_text(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}
