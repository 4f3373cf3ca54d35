//! Collections and composites as they stand on the wire: built and read, without a call.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    describe::{Described, is_masked},
    error, ids, reading,
};
use crate::domain::{replica::Fields, tracker::TrackerError};

/// Records of one collection.
pub(super) const COLLECTION: usize = 200;

/// A record on its way.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Place among the writes.
    pub index: usize,
    pub key: Option<String>,
    pub record: Map<String, Value>,
}

/// What Salesforce says of one record of a collection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Saved {
    pub id: String,
    pub created: Option<bool>,
}

pub(super) type Saves = Vec<Result<Saved, TrackerError>>;

/// Lets only what the user may write leave, and only listed values: an unrestricted picklist would take any text and
/// show it as an inactive value ever after.
pub(super) fn sanitise(
    described: &Described,
    fields: &Fields,
    creates: bool,
    mark: Option<&str>,
    record: &mut Map<String, Value>,
) -> Result<(), TrackerError> {
    for (name, value) in fields {
        if creates && (mark == Some(name.as_str()) || name == "Id") {
            continue;
        }
        let Some(rights) = described.rights.get(name) else {
            let detail = format!(
                "`{name}` does not exist on {} or is hidden from the integration user.",
                described.description.entity_type
            );
            let advice = "Check the field's API name in the incoming rule, and the integration user's right to see it.";
            return Err(error::record("INVALID_FIELD", "A field does not exist or is hidden", detail, advice));
        };
        if !(if creates { rights.createable } else { rights.updateable }) {
            let detail = format!("`{name}` is read-only for the integration user.");
            let advice = "Take the field out of the incoming rule, or give the integration user edit right on it.";
            return Err(error::record(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                "The integration user may not write a field",
                detail,
                advice,
            ));
        }
        let text = value.as_str().unwrap_or_default();
        if described.encrypted.contains(name) && is_masked(text) {
            let detail = format!("The value for the encrypted field `{name}` is only its mask.");
            let advice =
                "Give the user who reads the original the permission View Encrypted Data, or take the field out of the rule.";
            return Err(error::record("MASKED_VALUE", "A masked value is not written", detail, advice));
        }
        let field = described.description.field(name);
        if let Some((field, values)) = field.and_then(|field| Some((field, field.values.as_ref()?))) {
            check_listed(name, values, field.field_type == "multipicklist", text)?;
        }
        record.insert(name.clone(), value.clone());
    }
    Ok(())
}

fn check_listed(name: &str, values: &[String], several: bool, text: &str) -> Result<(), TrackerError> {
    if values.is_empty() || text.is_empty() {
        return Ok(());
    }
    let is_listed = |text: &str| values.iter().any(|value| value == text);
    match if several { text.split(';').all(is_listed) } else { is_listed(text) } {
        true => Ok(()),
        false => {
            let listed = values.iter().take(50).map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("`{}` is no value of `{name}`. There are: {listed}.", error::short(text));
            Err(error::record(
                "UNLISTED_VALUE",
                "The picklist has no such value",
                detail,
                "Translate the value in the incoming rule.",
            ))
        }
    }
}

/// Splits so that no record stands twice in one round; order per record is kept.
pub(super) fn rounds(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut rounds: Vec<Vec<Item>> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let round = seen.entry(item.key.clone().unwrap_or_default()).or_insert(0);
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(item);
        *round += 1;
    }
    rounds
}

/// The body of a composite: per 200 records the write and its read-back.
pub(super) fn composite(base: &str, entity_type: &str, described: &Described, items: &[Item]) -> Value {
    let mut requests = Vec::new();
    for (pair, items) in items.chunks(COLLECTION).enumerate() {
        let records: Vec<&Map<String, Value>> = items.iter().map(|item| &item.record).collect();
        let keys: Vec<String> = items.iter().filter_map(|item| item.key.clone()).collect();
        requests.push(json!({
            "method": "PATCH", "url": format!("{base}/composite/sobjects"), "referenceId": format!("write{pair}"),
            "httpHeaders": { "Sforce-Auto-Assign": "FALSE", "Sforce-Call-Options": "client=wicketgate" },
            "body": { "allOrNone": false, "records": records },
        }));
        requests.push(json!({
            "method": "POST", "url": format!("{base}/composite/sobjects/{entity_type}"), "referenceId": format!("read{pair}"),
            "body": reading::retrieve_body(described, &keys, &[]),
        }));
    }
    json!({ "allOrNone": false, "collateSubrequests": false, "compositeRequest": requests })
}

pub(super) fn subanswer<'a>(answer: &'a Value, reference: &str) -> Option<(u16, &'a Value)> {
    let parts = answer.get("compositeResponse")?.as_array()?;
    let part = parts.iter().find(|part| part.get("referenceId").and_then(Value::as_str) == Some(reference))?;
    Some((u16::try_from(part.get("httpStatusCode")?.as_u64()?).ok()?, part.get("body").unwrap_or(&Value::Null)))
}

/// The results of a collection, one for each record.
pub(super) fn read_saves(status: u16, body: &Value, expected: usize) -> Saves {
    let parts = body.as_array().map(Vec::as_slice).unwrap_or_default();
    if !(200..300).contains(&status) || parts.len() != expected {
        let error = match error::read_value(body).first() {
            Some(first) if parts.len() != expected || status >= 300 => {
                TrackerError { in_doubt: status >= 500, ..error::of_record(status, first) }
            }
            _ if status >= 300 => TrackerError { in_doubt: status >= 500, ..error::of_status(status, "") },
            _ => error::unexpected("The collection's answer has another number of records.", true),
        };
        return vec![Err(error); expected];
    }
    parts.iter().map(read_save).collect()
}

fn read_save(part: &Value) -> Result<Saved, TrackerError> {
    let id = part.get("id").and_then(Value::as_str).and_then(ids::complete);
    if let (Some(true), Some(id)) = (part.get("success").and_then(Value::as_bool), id) {
        return Ok(Saved { id, created: part.get("created").and_then(Value::as_bool) });
    }
    match error::read_value(part).first() {
        Some(first) => Err(error::of_record(400, first)),
        None => Err(error::unexpected("A record was refused without a reason.", false)),
    }
}

/// A create that found its own mark taken: the record is there already.
pub(super) fn adopt(save: Result<Saved, TrackerError>, mark: Option<&str>) -> Result<Saved, TrackerError> {
    let Err(error) = &save else { return save };
    let Some(mark) = mark.filter(|_| error.code == "DUPLICATE_VALUE") else { return save };
    // Another unique field names somebody else's record: that is for a person.
    if !error.detail.contains(mark) {
        return save;
    }
    let words = error.detail.split(|letter: char| !letter.is_ascii_alphanumeric());
    match words
        .filter(|word| matches!(word.len(), 15 | 18))
        .filter_map(ids::complete)
        .find(|id| id.starts_with(|c: char| c.is_ascii_digit() || c == 'a'))
    {
        Some(id) => Ok(Saved { id, created: Some(false) }),
        None => save,
    }
}
