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

use super::{describe::Described, error, ids, reading, rest::Call, tracker::Salesforce};
use crate::{
    domain::{
        ids::TwinId,
        replica::Fields,
        tracker::{Caller, Created, Entity, TrackerError, Write, WriteKind, Written},
        twin::PendingWrite,
    },
    retry::Backoff,
};

/// Records of one collection.
const COLLECTION: usize = 200;
/// Collections of one composite; each has its read-back beside it, and five such subrequests are allowed.
const PAIRS: usize = 2;
/// Tries of a record whose row is locked, beside the first.
const LOCK_TRIES: u32 = 3;
const LOCK_PAUSE: Backoff = Backoff { first: Duration::from_millis(400), most: Duration::from_secs(3) };

/// A record on its way.
#[derive(Clone, Debug)]
struct Item {
    /// Place among the writes.
    index: usize,
    key: Option<String>,
    record: Map<String, Value>,
}

/// What Salesforce says of one record of a collection.
#[derive(Clone, Debug, PartialEq)]
struct Saved {
    id: String,
    created: Option<bool>,
}

type Saves = Vec<Result<Saved, TrackerError>>;
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
            // The resource itself is not understood here; nothing was done.
            Err(error)
                if matches!(
                    error.code.as_str(),
                    "NOT_FOUND" | "METHOD_NOT_ALLOWED" | "HTTP_404" | "HTTP_405" | "JSON_PARSER_ERROR"
                ) =>
            {
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
                Some((200, records)) => self.entities(entity_type, &keys, records),
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
        let (items, saves): (Vec<Item>, Saves) =
            saved.into_iter().map(|(item, save)| (item, adopt(save, self.mark_field(entity_type)))).unzip();
        let read = self.read_back(entity_type, &saves).await;
        self.settle(entity_type, &items, saves, read, results);
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
        for batch in writes.chunks(250) {
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

/// Lets only what the user may write leave, and only listed values: an unrestricted picklist would take any text and
/// show it as an inactive value ever after.
fn sanitise(
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
        if let (Some(values), Some(text)) =
            (described.description.field(name).and_then(|field| field.values.as_ref()), value.as_str())
        {
            check_listed(name, values, text)?;
        }
        record.insert(name.clone(), value.clone());
    }
    Ok(())
}

fn check_listed(name: &str, values: &[String], text: &str) -> Result<(), TrackerError> {
    if values.is_empty() || text.is_empty() || values.iter().any(|value| value == text) {
        return Ok(());
    }
    match text.split(';').find(|part| !values.iter().any(|value| value == part)) {
        // A multi-select: all its parts are listed.
        None => Ok(()),
        Some(_) => {
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
fn rounds(items: Vec<Item>) -> Vec<Vec<Item>> {
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
fn composite(base: &str, entity_type: &str, described: &Described, items: &[Item]) -> Value {
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

fn subanswer<'a>(answer: &'a Value, reference: &str) -> Option<(u16, &'a Value)> {
    let parts = answer.get("compositeResponse")?.as_array()?;
    let part = parts.iter().find(|part| part.get("referenceId").and_then(Value::as_str) == Some(reference))?;
    Some((u16::try_from(part.get("httpStatusCode")?.as_u64()?).ok()?, part.get("body").unwrap_or(&Value::Null)))
}

/// The results of a collection, one for each record.
fn read_saves(status: u16, body: &Value, expected: usize) -> Saves {
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
fn adopt(save: Result<Saved, TrackerError>, mark: Option<&str>) -> Result<Saved, TrackerError> {
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

fn locks(error: &TrackerError) -> bool {
    error.code == "UNABLE_TO_LOCK_ROW" || error.detail.contains("UNABLE_TO_LOCK_ROW")
}

fn is_locked(result: &Option<Result<Written, TrackerError>>) -> bool {
    matches!(result, Some(Err(error)) if locks(error))
}

/// Refused before any record was looked at.
fn is_refusal_of_all(error: &TrackerError) -> bool {
    !error.in_doubt && !error.concerns_all() && error.code != "UNABLE_TO_LOCK_ROW" && !error.code.starts_with("HTTP_")
}

fn fail(items: &[Item], error: &TrackerError, results: &mut Results) {
    for item in items {
        results[item.index] = Some(Err(error.clone()));
    }
}

#[cfg(test)]
#[path = "writing_tests.rs"]
mod tests;
