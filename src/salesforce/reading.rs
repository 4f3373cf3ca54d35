//! Records by their ids: many in one call, deleted ones told apart from hidden ones.
//!
//! A collection answers `null` for what it does not find. One queryAll for all of those tells which are in the bin;
//! what even that does not know is gone for good or hidden from the integration user, which is not the same as deleted.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{describe::Described, error, ids, matching::batches, rest::Call, tracker::Salesforce};
use crate::{
    clock::Time,
    domain::{
        replica::Fields,
        tracker::{Caller, Entity, Found, Read, TrackerError},
    },
};

/// Records in one retrieve.
pub(super) const READ_BATCH: usize = 2_000;

/// What is needed to make an [`Entity`] of a record.
pub(super) struct Shape<'a> {
    pub entity_type: &'a str,
    pub instance_url: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub mark_field: Option<&'a str>,
}

/// Turns a record of REST into an entity; `None` where it has no id.
pub(super) fn entity(shape: &Shape<'_>, record: &Value) -> Option<Entity> {
    let mut fields: Fields = record.as_object()?.clone();
    fields.shift_remove("attributes");
    let key = ids::complete(fields.get("Id")?.as_str()?)?;
    let time = |name: &str| fields.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok());
    let editor = fields.get("LastModifiedById").and_then(Value::as_str);
    Some(Entity {
        entity_type: shape.entity_type.to_owned(),
        url: shape.instance_url.map(|base| page(base, shape.entity_type, &key)),
        modified_at: time("LastModifiedDate"),
        stamp: time("SystemModstamp"),
        edited_by_us: editor.zip(shape.user_id).map(|(editor, us)| ids::same(editor, us)),
        mark: shape.mark_field.and_then(|name| fields.get(name)?.as_str()?.parse().ok()),
        key,
        fields,
    })
}

/// Where a person sees a record.
pub(super) fn page(instance_url: &str, entity_type: &str, key: &str) -> String {
    format!("{instance_url}/lightning/r/{entity_type}/{key}/view")
}

impl Salesforce {
    /// See [`crate::domain::tracker::Tracker::read`].
    pub(super) async fn read_records(&self, caller: Caller, entity_type: &str, keys: &[String]) -> Result<Read, TrackerError> {
        let mut found: Vec<Option<Found>> = vec![None; keys.len()];
        // One malformed id would spoil the whole call for its neighbours.
        let mut places = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            match check_key(key) {
                Ok(()) => places.push(place),
                Err(error) => found[place] = Some(Found::Failed(error)),
            }
        }
        let mut tracker_time = None;
        for places in places.chunks(READ_BATCH) {
            let chunk: Vec<String> = places.iter().map(|place| keys[*place].clone()).collect();
            let (records, date) = self.retrieve(caller, entity_type, &chunk).await?;
            // The earliest of several answers: a record may have changed after it was read.
            tracker_time = tracker_time.or(date);
            for (place, record) in places.iter().zip(records) {
                found[*place] = record.map(|entity| Found::Here(Box::new(entity)));
            }
        }
        let missing: Vec<String> =
            keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| key.clone()).collect();
        let deleted = self.deleted_among(caller, entity_type, &missing).await?;
        let told = keys.iter().zip(found).map(|(key, found)| match found {
            Some(found) => found,
            None if deleted.get(short(key)).copied().unwrap_or(false) => Found::Deleted,
            None => Found::NotVisible,
        });
        Ok(Read { found: told.collect(), tracker_time, clock_offset_ms: self.offset_ms() })
    }

    /// One retrieve: a place for each key, empty where nothing was found.
    pub(super) async fn retrieve(
        &self,
        caller: Caller,
        entity_type: &str,
        keys: &[String],
    ) -> Result<(Vec<Option<Entity>>, Option<Time>), TrackerError> {
        let mut described = self.descriptions.get(&self.rest, caller, entity_type).await?;
        let mut hidden: Vec<String> = Vec::new();
        loop {
            let body = retrieve_body(&described, keys, &hidden);
            let path = format!("/composite/sobjects/{entity_type}");
            match self.rest.call(caller, Call::ask(path, body)).await {
                Ok(answer) => return Ok((self.entities(entity_type, keys, &answer.json()?), answer.date)),
                // A field was removed or hidden since it was described: the read goes on without it.
                Err(error) if error.code == "INVALID_FIELD" && hidden.len() < 20 => {
                    let named = described.readable.iter().find(|name| !hidden.contains(name) && mentions(&error.detail, name));
                    let Some(named) = named.cloned() else { return Err(error) };
                    hidden.push(named);
                    self.descriptions.forget(entity_type).await;
                    described = self.descriptions.get(&self.rest, caller, entity_type).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts the records of a retrieve at the places of their keys.
    pub(super) fn entities(&self, entity_type: &str, keys: &[String], records: &Value) -> Vec<Option<Entity>> {
        let login = self.rest.tokens.last();
        let shape = Shape {
            entity_type,
            instance_url: login.as_ref().map(|login| login.instance_url.as_str()),
            user_id: login.as_ref().map(|login| login.user_id.as_str()),
            mark_field: self.mark_field(entity_type),
        };
        let mut by_id: HashMap<String, Entity> = HashMap::new();
        for record in records.as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(entity) = entity(&shape, record) {
                by_id.insert(short(&entity.key).to_owned(), entity);
            }
        }
        // By id, not by place: that holds even if a gateway leaves the nulls out.
        keys.iter().map(|key| by_id.get(short(key)).cloned()).collect()
    }

    /// Of ids that were not found, those that Salesforce knows: whether it calls them deleted.
    async fn deleted_among(
        &self,
        caller: Caller,
        entity_type: &str,
        keys: &[String],
    ) -> Result<HashMap<String, bool>, TrackerError> {
        let mut known = HashMap::new();
        for batch in batches(keys, 400) {
            let soql = format!("SELECT Id, IsDeleted FROM {entity_type} WHERE Id IN ({})", list(batch));
            for record in self.query(caller, &soql, true, READ_BATCH).await?.records {
                if let Some(id) = record.get("Id").and_then(Value::as_str) {
                    known.insert(short(id).to_owned(), record.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false));
                }
            }
        }
        Ok(known)
    }
}

/// Body of a retrieve.
pub(super) fn retrieve_body(described: &Described, keys: &[String], hidden: &[String]) -> Value {
    let fields: Vec<&String> = described.readable.iter().filter(|name| !hidden.contains(name)).collect();
    json!({ "ids": keys, "fields": fields })
}

/// Ids as they stand in `IN (…)`.
pub(super) fn list(keys: &[String]) -> String {
    keys.iter().map(|key| ids::quoted(key)).collect::<Vec<_>>().join(",")
}

fn short(key: &str) -> &str {
    key.get(..15).unwrap_or(key)
}

fn mentions(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').any(|word| word == name)
}

/// Refuses what cannot be a record's id before it reaches a query.
pub(super) fn check_key(key: &str) -> Result<(), TrackerError> {
    if ids::complete(key).is_some() {
        return Ok(());
    }
    let detail = format!("`{}` is no record id: 15 or 18 letters and digits.", error::short(key));
    Err(error::record("MALFORMED_ID", "This is no Salesforce id", detail, "Copy the id or the address of the record's page."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_an_entity() {
        let shape = Shape {
            entity_type: "Case",
            instance_url: Some("https://acme.my.salesforce.com"),
            user_id: Some("0055i000003sTuVAAU"),
            mark_field: Some("Wicketgate_Id__c"),
        };
        let record = json!({"attributes": {"type": "Case"}, "Id": "5005i00000KfR1aAAF", "Subject": null,
            "SystemModstamp": "2026-11-23T02:41:07.000+0000", "LastModifiedById": "0055i000003sTuVAAU",
            "Wicketgate_Id__c": "018f4a3e-0000-8000-8000-000000000001"});
        let entity = entity(&shape, &record).expect("an entity");
        assert_eq!(entity.stamp, Some("2026-11-23T02:41:07Z".parse().expect("a time")));
        assert_eq!(entity.edited_by_us, Some(true));
        assert!(entity.mark.is_some() && entity.fields.contains_key("Subject") && !entity.fields.contains_key("attributes"));
        assert_eq!(entity.url.as_deref(), Some("https://acme.my.salesforce.com/lightning/r/Case/5005i00000KfR1aAAF/view"));
    }

    #[test]
    fn words_are_found_whole() {
        assert!(mentions("INVALID_FIELD: No such column 'Foo__c' on sobject", "Foo__c"));
        assert!(!mentions("INVALID_FIELD: No such column 'Foo__c' on sobject", "Foo"));
    }
}
