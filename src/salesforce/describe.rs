//! What an object is made of, as the integration user sees it; believed for ten minutes, then asked with
//! `If-Modified-Since`, which costs a call but no transfer. Whether a change of the user's rights counts as a
//! modification is not documented, so it is asked for whole once an hour, and whenever it turned out to be wrong.

use std::{collections::HashMap, sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::Value;

use super::{
    error, ids,
    rest::{Call, Rest, http_date},
};
use crate::{
    clock::Time,
    domain::tracker::{Caller, Description, Field, TrackerError},
};

/// How long a description is believed.
const KEPT: Duration = Duration::from_secs(600);
/// How long one is asked for only as far as it was modified.
const KNOWN: Duration = Duration::from_secs(3600);

/// What the integration user may do with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub createable: bool,
    pub updateable: bool,
    pub unique: bool,
    pub external_id: bool,
}

/// A described object.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub description: Description,
    pub rights: HashMap<String, Rights>,
    /// Fields that a read asks for: no blobs, and of compound fields the parts.
    pub readable: Vec<String>,
    /// Fields of classic encryption: who may not see them gets `****1234`.
    pub encrypted: Vec<String>,
    pub createable: bool,
    pub updateable: bool,
}

/// Descriptions by object name.
pub(super) struct Descriptions {
    cache: Cache<String, Arc<Described>>,
    /// With the sender's time of the answer.
    known: Cache<String, (Arc<Described>, Time)>,
}

impl Descriptions {
    pub fn new() -> Self {
        let cache = Cache::builder().max_capacity(500).time_to_live(KEPT).build();
        Self { cache, known: Cache::builder().max_capacity(500).time_to_live(KNOWN).build() }
    }

    /// The description, asked for once however many want it.
    pub async fn get(&self, rest: &Rest, caller: Caller, entity_type: &str) -> Result<Arc<Described>, TrackerError> {
        if !ids::is_name(entity_type) {
            let detail = format!("`{entity_type}` is no API name of an object.");
            return Err(error::record("INVALID_TYPE", "No such object", detail, "Use the object's API name, like Case."));
        }
        self.cache
            .try_get_with(entity_type.to_owned(), self.fetch(rest, caller, entity_type))
            .await
            .map_err(|error| (*error).clone())
    }

    async fn fetch(&self, rest: &Rest, caller: Caller, entity_type: &str) -> Result<Arc<Described>, TrackerError> {
        let known = self.known.get(entity_type).await;
        let mut call = Call::get(format!("/sobjects/{entity_type}/describe"));
        if let Some(since) = known.as_ref().and_then(|(_, at)| http_date(*at)) {
            call = call.header("If-Modified-Since", since);
        }
        let answer = rest.call(caller, call).await?;
        if let (304, Some((described, _))) = (answer.status, known) {
            return Ok(described);
        }
        let described = read(&answer.json()?).map(Arc::new);
        let described = described.ok_or_else(|| error::unexpected("The description has no fields.", false))?;
        if let Some(at) = answer.date {
            self.known.insert(entity_type.to_owned(), (Arc::clone(&described), at)).await;
        }
        Ok(described)
    }

    /// Forgets one, since it turned out to be out of date.
    pub async fn forget(&self, entity_type: &str) {
        self.known.invalidate(entity_type).await;
        self.cache.invalidate(entity_type).await;
    }

    /// Forgets all, to see what somebody has just changed.
    pub fn forget_all(&self) {
        self.known.invalidate_all();
        self.cache.invalidate_all();
    }

    /// As if ten minutes had passed.
    #[cfg(test)]
    pub fn age(&self) {
        self.cache.invalidate_all();
    }
}

fn read(value: &Value) -> Option<Described> {
    let mut out =
        Described { createable: flag(value, "createable"), updateable: flag(value, "updateable"), ..Described::default() };
    out.description.entity_type = value.get("name")?.as_str()?.to_owned();
    (out.description.createable, out.description.updateable) = (Some(out.createable), Some(out.updateable));
    for field in value.get("fields")?.as_array()? {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let field_type = field.get("type").and_then(Value::as_str).unwrap_or("string").to_owned();
        if !matches!(field_type.as_str(), "base64" | "address" | "location" | "complexvalue") {
            out.readable.push(name.to_owned());
        }
        if field_type == "encryptedstring" {
            out.encrypted.push(name.to_owned());
        }
        let rights = Rights {
            createable: flag(field, "createable"),
            updateable: flag(field, "updateable"),
            unique: flag(field, "unique"),
            external_id: flag(field, "externalId"),
        };
        out.rights.insert(name.to_owned(), rights);
        out.description.fields.push(Field {
            name: name.to_owned(),
            label: field.get("label").and_then(Value::as_str).unwrap_or(name).to_owned(),
            length: field.get("length").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            writable: rights.createable || rights.updateable,
            required: rights.createable && !flag_or(field, "nillable", true) && !flag(field, "defaultedOnCreate"),
            unique: rights.unique,
            external_id: rights.external_id,
            permissionable: flag(field, "permissionable"),
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

/// Whether a value of an encrypted field is only its mask. The signs are `*` or `X`, of all characters or of all but the
/// last few.
pub(super) fn is_masked(text: &str) -> bool {
    text.contains("**") || text.starts_with('*') || text.starts_with("XX")
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
            {"name": "Card__c", "type": "encryptedstring", "externalId": false, "unique": true},
        ]}))
        .expect("reads");
        assert_eq!(described.readable, ["Id", "Subject", "Status", "Card__c"]);
        assert_eq!((described.encrypted.as_slice(), described.rights["Card__c"].unique), (&["Card__c".to_owned()][..], true));
        assert!(is_masked("************1234") && is_masked("XXX-XX-1234") && !is_masked("4111 1111") && !is_masked("Xaver"));
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
