//! Writes: many records in few calls, each with its own result and read back at once.
//!
//! Updates leave as composites of two pairs (a collection of up to 200 and its read-back), so 1,000 records take three
//! calls. Creates leave as upserts by the field that carries the twin's id, then one read-back for all.
//!
//! Traps. `Sforce-Auto-Assign` is on unless each request says FALSE, and a composite hands it to no subrequest. A
//! collection that Salesforce cannot even parse fails as a whole: it is halved until the guilty record stands alone. A
//! locked row is tried again here, since the lock is gone in a moment. An answer that did not come leaves all its
//! records in doubt.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    collections::{COLLECTION, Item, Saved, Saves, adopt, composite, read_saves, rounds, sanitise, subanswer},
    describe::Described,
    error, ids, reading,
    rest::Call,
    tracker::Salesforce,
};
use crate::{
    domain::{
        ids::TwinId,
        tracker::{Caller, Created, Entity, TrackerError, Write, WriteKind, Written},
        twin::PendingWrite,
    },
    retry::Backoff,
};

/// Marks in one query.
const MARKS: usize = 250;
/// Collections of one composite; each has its read-back beside it, and five such subrequests are allowed.
const PAIRS: usize = 2;
/// Tries of a record whose row is locked, beside the first.
const LOCK_TRIES: u32 = 3;
const LOCK_PAUSE: Backoff = Backoff { first: Duration::from_millis(400), most: Duration::from_secs(3) };

type Results = Vec<Option<Result<Written, TrackerError>>>;

impl Salesforce {
    /// See [`crate::domain::tracker::Tracker::write`].
    pub(super) async fn write_records(&self, writes: &[Write]) -> Vec<Result<Written, TrackerError>> {
        let mut results: Results = vec![None; writes.len()];
        let mut by_type: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, write) in writes.iter().enumerate() {
            by_type.entry(&write.pending.entity_type).or_default().push(index);
        }
        for (entity_type, indexes) in by_type {
            let described = match self.descriptions.get(&self.rest, Caller::Sync, entity_type).await {
                Ok(described) => described,
                Err(error) => {
                    indexes.iter().for_each(|index| results[*index] = Some(Err(error.clone())));
                    continue;
                }
            };
            let (mut updates, mut creates) = (Vec::new(), Vec::new());
            for index in indexes {
                match self.item(&described, index, &writes[index]) {
                    Ok(item) if item.key.is_some() => updates.push(item),
                    Ok(item) => creates.push(item),
                    Err(error) => results[index] = Some(Err(error)),
                }
            }
            self.update(entity_type, &described, updates, &mut results).await;
            self.create(entity_type, creates, &mut results).await;
        }
        let lost = || Err(error::unexpected("A record has no place in the answer.", true));
        results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
    }

    fn item(&self, described: &Described, index: usize, write: &Write) -> Result<Item, TrackerError> {
        let entity_type = &write.pending.entity_type;
        let mark = self.mark_field(entity_type);
        let creates = write.kind == WriteKind::Create;
        let mut record = Map::new();
        record.insert("attributes".to_owned(), json!({ "type": entity_type }));
        let key = match (creates, &write.pending.key) {
            (true, _) => None,
            (false, Some(key)) => {
                reading::check_key(key)?;
                record.insert("id".to_owned(), Value::from(key.as_str()));
                Some(key.clone())
            }
            (false, None) => return Err(error::unexpected("An update without a key.", false)),
        };
        sanitise(described, &write.pending.fields, creates, mark, &mut record)?;
        if let (true, Some(mark)) = (creates, mark) {
            record.insert(mark.to_owned(), Value::from(write.twin.to_string()));
        }
        Ok(Item { index, key, record })
    }

    async fn update(&self, entity_type: &str, described: &Described, items: Vec<Item>, results: &mut Results) {
        // A record twice in one collection is an error: the second waits for the next round.
        for round in rounds(items) {
            let mut open = round;
            for attempt in 0..=LOCK_TRIES {
                if attempt > 0 {
                    self.rest.clock.sleep(LOCK_PAUSE.pause(attempt, &*self.rest.clock)).await;
                }
                for chunk in open.chunks(COLLECTION * PAIRS) {
                    self.update_chunk(entity_type, described, chunk, results).await;
                }
                open.retain(|item| is_locked(&results[item.index]));
                if open.is_empty() {
                    break;
                }
            }
        }
    }

    async fn update_chunk(&self, entity_type: &str, described: &Described, items: &[Item], results: &mut Results) {
        let base = match self.base_path().await {
            Ok(base) => base,
            Err(error) => return fail(items, &error, results),
        };
        let body = composite(&base, entity_type, described, items);
        let answer = match self.rest.call(Caller::Sync, Call::write(Method::POST, "/composite", body)).await {
            Ok(answer) => answer,
            // Refused as a whole, for its form or its size: nothing was done, and no neighbour is to suffer for it.
            Err(error) if !error.in_doubt && !error.concerns_all() => {
                return self.update_plainly(entity_type, items, results).await;
            }
            Err(error) => return fail(items, &error, results),
        };
        let Ok(answer) = answer.json() else {
            return fail(items, &error::unexpected("The composite's answer is no JSON.", true), results);
        };
        for (pair, items) in items.chunks(COLLECTION).enumerate() {
            let Some((status, body)) = subanswer(&answer, &format!("write{pair}")) else {
                fail(items, &error::unexpected("The composite left a part unanswered.", true), results);
                continue;
            };
            if (400..500).contains(&status) {
                self.update_plainly(entity_type, items, results).await;
                continue;
            }
            let saves = read_saves(status, body, items.len());
            let keys: Vec<String> = items.iter().filter_map(|item| item.key.clone()).collect();
            let read = match subanswer(&answer, &format!("read{pair}")) {
                Some((200, records)) => self.entities(described, &keys, records),
                _ => vec![None; keys.len()],
            };
            self.settle(entity_type, items, saves, read, results);
        }
    }

    /// One collection, then its read-back, without a composite.
    async fn update_plainly(&self, entity_type: &str, items: &[Item], results: &mut Results) {
        for items in items.chunks(COLLECTION) {
            let saves = self.collection(&Method::PATCH, "/composite/sobjects", false, items).await;
            let read = self.read_back(entity_type, &saves).await;
            self.settle(entity_type, items, saves, read, results);
        }
    }

    async fn create(&self, entity_type: &str, items: Vec<Item>, results: &mut Results) {
        let (method, path) = match self.mark_field(entity_type) {
            Some(mark) => (Method::PATCH, format!("/composite/sobjects/{entity_type}/{mark}")),
            None => (Method::POST, "/composite/sobjects".to_owned()),
        };
        let (owned, free): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.record.contains_key("OwnerId"));
        let mut saved: Vec<(Item, Result<Saved, TrackerError>)> = Vec::new();
        for (assign, items) in [(true, free), (false, owned)] {
            let mut open = items;
            for attempt in 0..=LOCK_TRIES {
                if attempt > 0 {
                    self.rest.clock.sleep(LOCK_PAUSE.pause(attempt, &*self.rest.clock)).await;
                }
                let mut locked = Vec::new();
                for chunk in open.chunks(COLLECTION) {
                    let saves = self.collection(&method, &path, assign, chunk).await;
                    for (item, save) in chunk.iter().zip(saves) {
                        match &save {
                            Err(error) if attempt < LOCK_TRIES && locks(error) => locked.push(item.clone()),
                            _ => saved.push((item.clone(), save)),
                        }
                    }
                }
                open = locked;
                if open.is_empty() {
                    break;
                }
            }
        }
        let (items, mut saves): (Vec<Item>, Saves) =
            saved.into_iter().map(|(item, save)| (item, adopt(save, self.mark_field(entity_type)))).unzip();
        self.adopt_unnamed(entity_type, &items, &mut saves).await;
        let read = self.read_back(entity_type, &saves).await;
        self.settle(entity_type, &items, saves, read, results);
    }

    /// Creates that were refused for a duplicate that Salesforce does not name: if it is our own mark, it is found by it.
    async fn adopt_unnamed(&self, entity_type: &str, items: &[Item], saves: &mut Saves) {
        let Some(mark) = self.mark_field(entity_type) else { return };
        let unnamed = |save: &Result<Saved, TrackerError>| {
            save.as_ref().is_err_and(|error| error.code == "DUPLICATE_VALUE" && error.detail.contains("<unknown>"))
        };
        let marks: Vec<String> = items
            .iter()
            .zip(saves.iter())
            .filter(|(_, save)| unnamed(save))
            .filter_map(|(item, _)| item.record.get(mark)?.as_str().map(str::to_owned))
            .collect();
        for batch in marks.chunks(MARKS) {
            let soql = format!("SELECT Id, {mark} FROM {entity_type} WHERE {mark} IN ({})", reading::list(batch));
            let Ok(rows) = self.query(Caller::Sync, &soql, false, usize::MAX).await else { return };
            for row in rows.records {
                let found = row.get("Id").and_then(Value::as_str).and_then(ids::complete);
                let (Some(found), Some(known)) = (found, row.get(mark)) else { continue };
                let place =
                    items.iter().zip(saves.iter()).position(|(item, save)| unnamed(save) && item.record.get(mark) == Some(known));
                if let Some(place) = place {
                    saves[place] = Ok(Saved { id: found, created: Some(false) });
                }
            }
        }
    }

    /// Sends one collection; halves it where Salesforce refuses it as a whole.
    async fn collection(&self, method: &Method, path: &str, assign: bool, items: &[Item]) -> Saves {
        let records: Vec<&Map<String, Value>> = items.iter().map(|item| &item.record).collect();
        let call = Call::write(method.clone(), path, json!({ "allOrNone": false, "records": records }))
            .header("Sforce-Auto-Assign", if assign { "TRUE" } else { "FALSE" });
        match self.rest.call(Caller::Sync, call).await {
            Ok(answer) => match answer.json() {
                Ok(body) => read_saves(answer.status, &body, items.len()),
                Err(error) => vec![Err(TrackerError { in_doubt: true, ..error }); items.len()],
            },
            Err(error) if items.len() > 1 && is_refusal_of_all(&error) => {
                let (left, right) = items.split_at(items.len() / 2);
                let mut saves = Box::pin(self.collection(method, path, assign, left)).await;
                saves.extend(Box::pin(self.collection(method, path, assign, right)).await);
                saves
            }
            Err(error) => vec![Err(error); items.len()],
        }
    }

    /// Reads what was saved, in one call; a failure only leaves the read-back out.
    async fn read_back(&self, entity_type: &str, saves: &Saves) -> Vec<Option<Entity>> {
        let keys: Vec<String> = saves.iter().flatten().map(|saved| saved.id.clone()).collect();
        let mut read = Vec::new();
        for chunk in keys.chunks(reading::READ_BATCH) {
            match self.retrieve(Caller::Sync, entity_type, chunk).await {
                Ok((entities, _)) => read.extend(entities),
                Err(_) => read.extend(vec![None; chunk.len()]),
            }
        }
        let mut read = read.into_iter();
        saves.iter().map(|save| if save.is_ok() { read.next().flatten() } else { None }).collect()
    }

    fn settle(&self, entity_type: &str, items: &[Item], saves: Saves, read: Vec<Option<Entity>>, results: &mut Results) {
        let login = self.rest.tokens.last();
        for ((item, save), read_back) in items.iter().zip(saves).zip(read) {
            results[item.index] = Some(save.map(|saved| Written {
                url: login.as_ref().map(|login| reading::page(&login.instance_url, entity_type, &saved.id)),
                key: saved.id,
                read_back: read_back.map(Box::new),
                existed: item.key.is_none() && saved.created == Some(false),
            }));
        }
    }

    /// See [`crate::domain::tracker::Tracker::find_created`].
    pub(super) async fn find_marked(
        &self,
        entity_type: &str,
        writes: &[(TwinId, PendingWrite)],
    ) -> Result<Vec<Created>, TrackerError> {
        let Some(mark) = self.mark_field(entity_type) else { return Ok(vec![Created::CannotTell; writes.len()]) };
        let mut keys: BTreeMap<TwinId, (String, bool)> = BTreeMap::new();
        for batch in writes.chunks(MARKS) {
            let twins: Vec<String> = batch.iter().map(|(twin, _)| twin.to_string()).collect();
            let soql = format!("SELECT Id, IsDeleted, {mark} FROM {entity_type} WHERE {mark} IN ({})", reading::list(&twins));
            for record in self.query(Caller::Sync, &soql, true, usize::MAX).await?.records {
                let twin = record.get(mark).and_then(Value::as_str).and_then(|text| text.parse::<TwinId>().ok());
                let id = record.get("Id").and_then(Value::as_str).and_then(ids::complete);
                let deleted = record.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false);
                if let (Some(twin), Some(id)) = (twin, id) {
                    // One that lives counts before one in the bin.
                    keys.entry(twin)
                        .and_modify(|kept| {
                            if kept.1 {
                                *kept = (id.clone(), deleted)
                            }
                        })
                        .or_insert((id, deleted));
                }
            }
        }
        let living: Vec<String> = keys.values().filter(|(_, deleted)| !deleted).map(|(id, _)| id.clone()).collect();
        let mut entities: BTreeMap<String, Entity> = BTreeMap::new();
        for chunk in living.chunks(reading::READ_BATCH) {
            let (read, _) = self.retrieve(Caller::Sync, entity_type, chunk).await?;
            entities.extend(read.into_iter().flatten().map(|entity| (entity.key.clone(), entity)));
        }
        Ok(writes
            .iter()
            .map(|(twin, _)| match keys.get(twin) {
                None => Created::Absent,
                Some((key, true)) => Created::Deleted { key: key.clone() },
                // Deleted between the two calls.
                Some((key, false)) => match entities.remove(key) {
                    Some(entity) => Created::Here(Box::new(entity)),
                    None => Created::Deleted { key: key.clone() },
                },
            })
            .collect())
    }
}

fn locks(error: &TrackerError) -> bool {
    error.detail.contains("UNABLE_TO_LOCK_ROW")
}

fn is_locked(result: &Option<Result<Written, TrackerError>>) -> bool {
    matches!(result, Some(Err(error)) if locks(error))
}

/// Refused before any record was looked at, for the form of one of them. Anything else would come again with each half
/// and only eat up the allowance.
fn is_refusal_of_all(error: &TrackerError) -> bool {
    const OF_FORM: [&str; 8] = [
        "JSON_PARSER_ERROR",
        "ARGUMENT_OBJECT_PARSE_ERROR",
        "INVALID_FIELD",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "INVALID_ID_FIELD",
        "MALFORMED_ID",
        "LIMIT_EXCEEDED",
        "HTTP_413",
    ];
    !error.in_doubt && OF_FORM.contains(&error.code.as_str())
}

fn fail(items: &[Item], error: &TrackerError, results: &mut Results) {
    for item in items {
        results[item.index] = Some(Err(error.clone()));
    }
}

#[cfg(test)]
#[path = "writing_tests.rs"]
mod tests;
