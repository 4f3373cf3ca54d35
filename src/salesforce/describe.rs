//! What an object is made of, as the integration user sees it; kept for ten minutes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::Value;

use super::{
    error, ids,
    rest::{Call, Rest},
};
use crate::domain::tracker::{Caller, Description, Field, TrackerError};

/// How long a description is believed.
const KEPT: Duration = Duration::from_secs(600);

/// What the integration user may do with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub createable: bool,
    pub updateable: bool,
}

/// A described object.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub description: Description,
    pub rights: HashMap<String, Rights>,
    /// Fields that a read asks for: no blobs, and of compound fields the parts.
    pub readable: Vec<String>,
    pub createable: bool,
    pub updateable: bool,
}

/// Descriptions by object name.
pub(super) struct Descriptions {
    cache: Cache<String, Arc<Described>>,
}

impl Descriptions {
    pub fn new() -> Self {
        Self { cache: Cache::builder().max_capacity(500).time_to_live(KEPT).build() }
    }

    /// The description, asked for once however many want it.
    pub async fn get(&self, rest: &Rest, caller: Caller, entity_type: &str) -> Result<Arc<Described>, TrackerError> {
        if !ids::is_name(entity_type) {
            let detail = format!("`{entity_type}` is no API name of an object.");
            return Err(error::record("INVALID_TYPE", "No such object", detail, "Use the object's API name, like Case."));
        }
        let fetch = async {
            let answer = rest.call(caller, Call::get(format!("/sobjects/{entity_type}/describe"))).await?;
            read(&answer.json()?).map(Arc::new).ok_or_else(|| error::unexpected("The description has no fields.", false))
        };
        self.cache.try_get_with(entity_type.to_owned(), fetch).await.map_err(|error| (*error).clone())
    }

    /// Forgets one, since it turned out to be out of date.
    pub async fn forget(&self, entity_type: &str) {
        self.cache.invalidate(entity_type).await;
    }
}

fn read(value: &Value) -> Option<Described> {
    let mut out =
        Described { createable: flag(value, "createable"), updateable: flag(value, "updateable"), ..Described::default() };
    out.description.entity_type = value.get("name")?.as_str()?.to_owned();
    for field in value.get("fields")?.as_array()? {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let field_type = field.get("type").and_then(Value::as_str).unwrap_or("string").to_owned();
        if !matches!(field_type.as_str(), "base64" | "address" | "location" | "complexvalue") {
            out.readable.push(name.to_owned());
        }
        let rights = Rights { createable: flag(field, "createable"), updateable: flag(field, "updateable") };
        out.rights.insert(name.to_owned(), rights);
        out.description.fields.push(Field {
            name: name.to_owned(),
            label: field.get("label").and_then(Value::as_str).unwrap_or(name).to_owned(),
            length: field.get("length").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            writable: rights.createable || rights.updateable,
            required: rights.createable && !flag_or(field, "nillable", true) && !flag(field, "defaultedOnCreate"),
            values: values(field, &field_type),
            default: default_of(field, &field_type),
            field_type,
        });
    }
    Some(out)
}

fn flag(value: &Value, name: &str) -> bool {
    flag_or(value, name, false)
}

fn flag_or(value: &Value, name: &str, otherwise: bool) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
}

fn values(field: &Value, field_type: &str) -> Option<Vec<String>> {
    if !matches!(field_type, "picklist" | "multipicklist") {
        return None;
    }
    let entries = field.get("picklistValues").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let active = entries.iter().filter(|entry| flag_or(entry, "active", true));
    Some(active.filter_map(|entry| entry.get("value").and_then(Value::as_str).map(str::to_owned)).collect())
}

/// A picklist names its default among its values; other types name it themselves, or start empty.
fn default_of(field: &Value, field_type: &str) -> Option<Value> {
    let listed = field.get("picklistValues").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let chosen = listed.iter().find(|entry| flag(entry, "defaultValue")).and_then(|entry| entry.get("value"));
    let named = if field_type == "picklist" { chosen } else { field.get("defaultValue").filter(|value| !value.is_null()) };
    let empty = flag_or(field, "nillable", false) && !flag(field, "defaultedOnCreate");
    named.cloned().or_else(|| empty.then_some(Value::Null))
}

/// Names of the objects that can be synced: those that can be read, written and asked for what changed.
pub(super) async fn entity_types(rest: &Rest, caller: Caller) -> Result<Vec<String>, TrackerError> {
    let answer = rest.call(caller, Call::get("/sobjects")).await?.json()?;
    let objects = answer.get("sobjects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let usable = objects.iter().filter(|object| {
        flag_or(object, "queryable", true)
            && flag_or(object, "retrieveable", true)
            && flag_or(object, "createable", true)
            && flag_or(object, "updateable", true)
            && !flag(object, "deprecatedAndHidden")
    });
    let mut names: Vec<String> = usable.filter_map(|object| object.get("name")?.as_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_description_tells_rights_and_active_values() {
        let described = read(&json!({"name": "Case", "createable": true, "updateable": true, "fields": [
            {"name": "Id", "type": "id", "length": 18, "nillable": false, "defaultedOnCreate": true},
            {"name": "Subject", "type": "string", "length": 255, "createable": true, "updateable": true, "nillable": true},
            {"name": "Status", "type": "picklist", "createable": true, "updateable": true, "nillable": false,
             "picklistValues": [{"value": "New", "active": true, "defaultValue": true}, {"value": "Old", "active": false}]},
            {"name": "BillingAddress", "type": "address"}, {"name": "Body", "type": "base64"},
        ]}))
        .expect("reads");
        assert_eq!(described.readable, ["Id", "Subject", "Status"]);
        let status = described.description.field("Status").expect("there");
        assert_eq!(status.values.as_deref(), Some(&["New".to_owned()][..]));
        assert!(status.required);
        assert_eq!(status.default, Some(json!("New")));
        assert_eq!(described.description.field("Subject").expect("there").default, Some(Value::Null));
        assert_eq!(described.description.field("Id").expect("there").default, None);
        assert!(!described.description.field("Id").expect("there").writable);
        assert_eq!(described.description.field("Subject").expect("there").length, Some(255));
    }
}
