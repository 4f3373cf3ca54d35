//! The tracker in the hands of its people and of tests.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    Hook, Shared,
    book::{Entity, Received},
    faults::TrackerFault,
};

/// A handle on a running tracker; clones mean the same one.
#[derive(Clone)]
pub struct TrackerHandle(Arc<Shared>);

impl fmt::Debug for TrackerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrackerHandle")
    }
}

impl TrackerHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Sets where changes are told; `None` stops telling. What already waits goes to the new place.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.0.lock().settings.hook = hook;
        self.0.wake.notify_one();
    }

    /// Whether changes that came by a signed write are told too.
    pub fn set_echo(&self, echo: bool) {
        self.0.lock().settings.echo = echo;
    }

    /// A person makes a record; returns its key.
    pub fn create(&self, fields: &Value) -> String {
        let key = self.0.lock().create(&members(fields));
        self.0.wake.notify_one();
        key
    }

    /// A person changes fields; false where there is no such record.
    pub fn edit(&self, key: &str, fields: &Value) -> bool {
        let done = self.0.lock().edit(key, &json!({"fields": fields}));
        self.0.wake.notify_one();
        done
    }

    /// A person comments; false where there is no such record.
    pub fn comment(&self, key: &str, author: &str, body: &str) -> bool {
        let comment = json!({"author": {"name": author, "email": null}, "body": body, "format": "plain", "public": true});
        let done = self.0.lock().edit(key, &json!({"comments": [comment]}));
        self.0.wake.notify_one();
        done
    }

    /// A person deletes a record; false where there is none.
    pub fn delete(&self, key: &str) -> bool {
        let done = self.0.lock().remove(key, true);
        self.0.wake.notify_one();
        done
    }

    /// A person takes a deleted record back; false where there is none.
    pub fn undelete(&self, key: &str) -> bool {
        let done = self.0.lock().bring_back(key);
        self.0.wake.notify_one();
        done
    }

    /// A record, deleted or not.
    pub fn get(&self, key: &str) -> Option<Entity> {
        self.0.lock().entities.get(key).cloned()
    }

    /// All records that are not deleted, by key.
    pub fn all(&self) -> Vec<Entity> {
        self.0.lock().entities.values().filter(|entity| !entity.deleted).cloned().collect()
    }

    /// How many records there are, deleted ones left out.
    pub fn count(&self) -> usize {
        self.0.lock().entities.values().filter(|entity| !entity.deleted).count()
    }

    /// The next calls go wrong.
    pub fn fail(&self, fault: TrackerFault) {
        self.0.lock().faults.push(fault);
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// `webhook-id` → how often a write with it was carried out. Never more than once, if both sides keep the contract.
    pub fn applied(&self) -> BTreeMap<String, u32> {
        self.0.lock().applied.clone()
    }

    /// Every write that arrived, oldest first, repeats and refusals included.
    pub fn log(&self) -> Vec<Received> {
        self.0.lock().log.iter().cloned().collect()
    }

    /// Counters: `write`, `repeat`, `refused`, `unsigned`, `read`, `hook_taken`, `hook_failed`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.0.lock().counts.clone()
    }

    /// Every hook that was taken, oldest first: its `webhook-id` and its record.
    pub fn hooks_taken(&self) -> Vec<(String, String)> {
        self.0.lock().taken.clone()
    }

    /// Hooks that wait to be taken.
    pub fn hooks_waiting(&self) -> usize {
        self.0.lock().outbox.len()
    }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
