//! A message's text in the form that REST has, so that both compare equal.

use serde_json::{Number, Value};

use crate::{
    clock::Time,
    domain::{replica::Fields, tracker::Description},
    salesforce::{describe::is_masked, ids},
};

/// Gives each value the type that describe tells; text of an unknown field or of a form that does not fit stays text.
/// Left out, since a missing value is an unknown one: the mask of an encrypted value, and text of several lines, whose
/// line ends XML does not keep apart.
pub fn typed(fields: &Fields, description: &Description) -> Fields {
    let is_kept = |name: &str, value: &Value| {
        let text = value.as_str().unwrap_or_default();
        match description.field(name).map(|field| field.field_type.as_str()) {
            Some("encryptedstring") => !is_masked(text),
            _ => !text.contains('\n'),
        }
    };
    fields
        .iter()
        .filter(|(name, value)| is_kept(name, value))
        .map(|(name, value)| {
            let typed = value.as_str().zip(description.field(name)).and_then(|(text, field)| one(text, &field.field_type));
            (name.clone(), typed.unwrap_or_else(|| value.clone()))
        })
        .collect()
}

fn one(text: &str, field_type: &str) -> Option<Value> {
    match field_type {
        "boolean" => match text.trim() {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        "int" | "long" => text.trim().parse::<i64>().ok().map(Value::from),
        "double" | "currency" | "percent" => text.trim().parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
        "datetime" => rest_form(text.trim().parse().ok()?).map(Value::from),
        "id" | "reference" => ids::complete(text.trim()).map(Value::from),
        _ => None,
    }
}

/// `2026-11-23T02:41:07.000+0000`.
fn rest_form(time: Time) -> Option<String> {
    time.to_string().strip_suffix('Z').map(|text| format!("{text}+0000"))
}
