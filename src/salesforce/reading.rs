//! Records by their ids: many in one call, deleted ones told apart from hidden ones.
//!
//! A collection answers `null` for what it does not find. One queryAll for all of those tells which are in the bin;
//! what even that does not know is gone for good or hidden from the integration user, which is not the same as deleted.
//!
//! One id that Salesforce calls malformed, or records too large to come together, would spoil a whole call: it is parted
//! until the guilty one stands alone. The mask of an encrypted value is left out: it is no value.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    describe::{Described, is_masked},
    error, ids,
    matching::batches,
    rest::Call,
    tracker::Salesforce,
};
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
    pub encrypted: &'a [String],
}

/// Turns a record of REST into an entity; `None` where it has no id.
pub(super) fn entity(shape: &Shape<'_>, record: &Value) -> Option<Entity> {
    let mut fields: Fields = record.as_object()?.clone();
    fields.shift_remove("attributes");
    for name in shape.encrypted {
        if fields.get(name).and_then(Value::as_str).is_some_and(is_masked) {
            fields.shift_remove(name);
        }
    }
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
            let (records, date) = self.retrieve_in_parts(caller, entity_type, &chunk).await?;
            // The earliest of several answers: a record may have changed after it was read.
            tracker_time = tracker_time.or(date);
            for (place, record) in places.iter().zip(records) {
                found[*place] = record;
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

    async fn retrieve_in_parts(
        &self,
        caller: Caller,
        entity_type: &str,
        keys: &[String],
    ) -> Result<(Vec<Option<Found>>, Option<Time>), TrackerError> {
        let error = match self.retrieve(caller, entity_type, keys).await {
            Ok((records, date)) => {
                return Ok((
                    records.into_iter().map(|record| record.map(|entity| Found::Here(Box::new(entity)))).collect(),
                    date,
                ));
            }
            Err(error) if spoils_neighbours(&error) => error,
            Err(error) => return Err(error),
        };
        if keys.len() == 1 {
            return Ok((vec![Some(Found::Failed(error))], None));
        }
        let guilty = |key: &String| error.detail.contains(short(key));
        let first = keys.iter().position(guilty).map_or(keys.len() / 2, |place| place.max(1));
        let (left, right) = keys.split_at(first);
        let (mut found, date) = Box::pin(self.retrieve_in_parts(caller, entity_type, left)).await?;
        let (rest, later) = Box::pin(self.retrieve_in_parts(caller, entity_type, right)).await?;
        found.extend(rest);
        Ok((found, date.or(later)))
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
                Ok(answer) => return Ok((self.entities(&described, keys, &answer.json()?), answer.date)),
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
    pub(super) fn entities(&self, described: &Described, keys: &[String], records: &Value) -> Vec<Option<Entity>> {
        let mut by_id: HashMap<String, Entity> = HashMap::new();
        for record in records.as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(entity) = self.entity(described, record) {
                by_id.insert(short(&entity.key).to_owned(), entity);
            }
        }
        // By id, not by place: that holds even if a gateway leaves the nulls out.
        keys.iter().map(|key| by_id.get(short(key)).cloned()).collect()
    }

    /// One record of REST as an entity.
    pub(super) fn entity(&self, described: &Described, record: &Value) -> Option<Entity> {
        let login = self.rest.tokens.last();
        let entity_type = described.description.entity_type.as_str();
        let shape = Shape {
            entity_type,
            instance_url: login.as_ref().map(|login| login.instance_url.as_str()),
            user_id: login.as_ref().map(|login| login.user_id.as_str()),
            mark_field: self.mark_field(entity_type),
            encrypted: &described.encrypted,
        };
        entity(&shape, record)
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

fn spoils_neighbours(error: &TrackerError) -> bool {
    matches!(error.code.as_str(), "MALFORMED_ID" | "INVALID_ID_FIELD" | "EXCEEDED_ID_LIMIT" | "HTTP_413" | error::TOO_LARGE)
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
            encrypted: &["Card__c".to_owned(), "Pin__c".to_owned()],
        };
        let record = json!({"attributes": {"type": "Case"}, "Id": "5005i00000KfR1aAAF", "Subject": null,
            "SystemModstamp": "2026-11-23T02:41:07.000+0000", "LastModifiedById": "0055i000003sTuVAAU",
            "Wicketgate_Id__c": "018f4a3e-0000-8000-8000-000000000001", "Card__c": "****1234", "Pin__c": "77"});
        let entity = entity(&shape, &record).expect("an entity");
        assert!(!entity.fields.contains_key("Card__c") && entity.fields["Pin__c"] == "77");
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
