//! The tracker's memory: records, answers to remember, hooks to send, a log.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use super::{TrackerSettings, faults::TrackerFault};
use crate::clock::{Clock, Time};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// `issue`, or what was sent.
    pub entity_type: String,
    /// `ISSUE-1`…
    pub key: String,
    /// Values.
    pub fields: Map<String, Value>,
    /// Comments, each with `id`, `remote_id`, `author`, `body`…
    pub comments: Vec<Value>,
    /// Files, each with `id`, `remote_id`, `filename`, `url`…
    pub attachments: Vec<Value>,
    /// It was deleted; its key is not given again.
    pub deleted: bool,
    /// When it was last changed.
    pub changed_at: Time,
}

/// One write as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// When.
    pub at: Time,
    /// Its `webhook-id`.
    pub webhook_id: String,
    /// `entity.created`…; empty where the body could not be read.
    pub kind: String,
    /// The record it concerned.
    pub key: Option<String>,
    /// Status of the answer; 0 where the connection was dropped.
    pub status: u16,
    /// It did something: not a repeat, not refused.
    pub applied: bool,
    /// The body as sent.
    pub body: Value,
}

/// An answer: status and body.
pub(super) type Answer = (u16, Value);

/// A hook to be sent.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
}

/// As many answers are remembered.
const ANSWERS: usize = 50_000;
/// Longest log.
const LOG: usize = 20_000;

pub(super) struct Book {
    pub(super) settings: TrackerSettings,
    clock: Arc<dyn Clock>,
    pub(super) url: String,
    pub(super) entities: BTreeMap<String, Entity>,
    answers: BTreeMap<String, Answer>,
    answer_order: VecDeque<String>,
    pub(super) outbox: VecDeque<Told>,
    /// Hooks that were taken: id and record.
    pub(super) taken: Vec<(String, String)>,
    pub(super) log: VecDeque<Received>,
    pub(super) applied: BTreeMap<String, u32>,
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) faults: Vec<TrackerFault>,
    next: u64,
    next_part: u64,
}

impl Book {
    pub(super) fn new(settings: TrackerSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            url: String::new(),
            entities: BTreeMap::new(),
            answers: BTreeMap::new(),
            answer_order: VecDeque::new(),
            outbox: VecDeque::new(),
            taken: Vec::new(),
            log: VecDeque::new(),
            applied: BTreeMap::new(),
            counts: BTreeMap::new(),
            faults: Vec::new(),
            next: 0,
            next_part: 0,
        }
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn note(&mut self, received: Received) {
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(received);
    }

    /// Takes a verified write. The flag tells whether it did something.
    pub(super) fn receive(&mut self, id: &str, message: &Value) -> (Answer, bool) {
        if let Some(answer) = self.answers.get(id) {
            return (answer.clone(), false);
        }
        let answer = self.apply(message);
        let done = answer.0 < 300;
        if done {
            *self.applied.entry(id.to_owned()).or_default() += 1;
            self.answers.insert(id.to_owned(), answer.clone());
            self.answer_order.push_back(id.to_owned());
            if self.answer_order.len() > ANSWERS
                && let Some(oldest) = self.answer_order.pop_front()
            {
                self.answers.remove(&oldest);
            }
        }
        (answer, done)
    }

    fn apply(&mut self, message: &Value) -> Answer {
        let data = &message["data"];
        let key = data["key"].as_str().map(str::to_owned);
        let echo = self.settings.echo;
        match (message["type"].as_str(), key) {
            (Some("entity.created"), None) => {
                let entity_type = data["entity_type"].as_str().unwrap_or(&self.settings.entity_type).to_owned();
                let key = self.add(&entity_type);
                let parts = self.merge(&key, data);
                if echo {
                    self.tell("entity.created", &key);
                }
                (201, self.receipt(&key, parts))
            }
            (Some("entity.created"), Some(_)) => (400, json!({"error": "a create has no key"})),
            (Some("entity.updated" | "entity.deleted"), None) => (400, json!({"error": "`data.key` is missing"})),
            (Some(kind @ ("entity.updated" | "entity.deleted")), Some(key)) => match self.entities.get(&key) {
                None => (404, json!({"error": format!("there is no record {key}")})),
                Some(entity) if entity.deleted => (410, json!({"error": format!("{key} was deleted")})),
                Some(_) if kind == "entity.deleted" => {
                    self.remove(&key, echo);
                    (200, json!({"key": key}))
                }
                Some(_) => {
                    let parts = self.merge(&key, data);
                    if echo {
                        self.tell("entity.updated", &key);
                    }
                    (200, self.receipt(&key, parts))
                }
            },
            _ => (400, json!({"error": "`type` must be entity.created, entity.updated or entity.deleted"})),
        }
    }

    fn receipt(&self, key: &str, (comments, attachments): (Vec<Value>, Vec<Value>)) -> Value {
        json!({"key": key, "url": self.entity_url(key), "comments": comments, "attachments": attachments})
    }

    pub(super) fn entity_url(&self, key: &str) -> String {
        format!("{}/issues/{key}", self.url)
    }

    fn add(&mut self, entity_type: &str) -> String {
        self.next += 1;
        let key = format!("ISSUE-{}", self.next);
        let entity = Entity {
            entity_type: entity_type.to_owned(),
            key: key.clone(),
            fields: Map::new(),
            comments: Vec::new(),
            attachments: Vec::new(),
            deleted: false,
            changed_at: self.clock.now(),
        };
        self.entities.insert(key.clone(), entity);
        key
    }

    /// Writes what a message carries; gives the ids of its comments and files beside theirs.
    fn merge(&mut self, key: &str, data: &Value) -> (Vec<Value>, Vec<Value>) {
        let tidies = self.settings.tidies;
        let now = self.clock.now();
        let Some(entity) = self.entities.get_mut(key) else { return Default::default() };
        for (name, value) in data["fields"].as_object().into_iter().flatten() {
            entity.fields.insert(name.clone(), if tidies { tidy(value) } else { value.clone() });
        }
        entity.changed_at = now;
        let comments = parts(&mut entity.comments, &data["comments"], "C", &mut self.next_part);
        let attachments = parts(&mut entity.attachments, &data["attachments"], "F", &mut self.next_part);
        (comments, attachments)
    }

    /// A person makes a record.
    pub(super) fn create(&mut self, fields: &Map<String, Value>) -> String {
        let entity_type = self.settings.entity_type.clone();
        let key = self.add(&entity_type);
        self.merge(&key, &json!({"fields": fields}));
        self.tell("entity.created", &key);
        key
    }

    /// A person changes a record; false where there is none.
    pub(super) fn edit(&mut self, key: &str, data: &Value) -> bool {
        if self.entities.get(key).is_none_or(|entity| entity.deleted) {
            return false;
        }
        self.merge(key, data);
        self.tell("entity.updated", key);
        true
    }

    /// Takes a deleted record back as it was, and tells.
    pub(super) fn bring_back(&mut self, key: &str) -> bool {
        let now = self.clock.now();
        let Some(entity) = self.entities.get_mut(key).filter(|entity| entity.deleted) else { return false };
        entity.deleted = false;
        entity.changed_at = now;
        self.tell("entity.updated", key);
        true
    }

    /// Deletes a record; false where there is none.
    pub(super) fn remove(&mut self, key: &str, tell: bool) -> bool {
        let now = self.clock.now();
        let Some(entity) = self.entities.get_mut(key).filter(|entity| !entity.deleted) else { return false };
        entity.deleted = true;
        entity.changed_at = now;
        if tell {
            self.tell("entity.deleted", key);
        }
        true
    }

    /// The record as it is told and read.
    pub(super) fn shown(&self, entity: &Entity) -> Value {
        json!({
            "entity_type": entity.entity_type, "key": entity.key, "url": self.entity_url(&entity.key), "fields": entity.fields,
            "comments": entity.comments, "attachments": entity.attachments,
        })
    }

    fn tell(&mut self, kind: &str, key: &str) {
        if self.settings.hook.is_none() {
            return;
        }
        let Some(entity) = self.entities.get(key) else { return };
        let body = json!({"type": kind, "timestamp": self.clock.now(), "data": self.shown(entity)});
        let id = format!("msg_{}", self.clock.id().simple());
        let told = Told { id, key: key.to_owned(), body: body.to_string().into_bytes() };
        self.outbox.push_back(told);
    }
}

/// Takes comments or files in: one whose `remote_id` is known is changed, others get an id.
fn parts(kept: &mut Vec<Value>, sent: &Value, prefix: &str, next: &mut u64) -> Vec<Value> {
    let mut traces = Vec::new();
    for part in sent.as_array().into_iter().flatten() {
        let remote = &part["remote_id"];
        let known = kept
            .iter_mut()
            .find(|old| (!remote.is_null() && old["remote_id"] == *remote) || (!part["id"].is_null() && old["id"] == part["id"]));
        let id = match known {
            Some(old) => {
                let id = old["id"].clone();
                for (name, value) in part.as_object().into_iter().flatten().filter(|(name, _)| *name != "id") {
                    old[name.as_str()] = value.clone();
                }
                id
            }
            None => {
                *next += 1;
                let mut new = part.clone();
                new["id"] = json!(format!("{prefix}-{next}"));
                let id = new["id"].clone();
                kept.push(new);
                id
            }
        };
        traces.push(json!({"id": id, "remote_id": remote}));
    }
    traces
}

/// What a tidy system makes of a value.
fn tidy(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.trim()),
        Value::Number(number) if number.is_f64() => json!((number.as_f64().unwrap_or_default() * 100.0).round() / 100.0),
        other => other.clone(),
    }
}
