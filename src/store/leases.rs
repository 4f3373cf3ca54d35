//! Who works on what: a record or a twin is in one pair of hands at a time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::wakes::{Topic, Wakes};
use crate::domain::ids::TwinId;

/// What can be leased.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseKey {
    /// A record of a tracker of ours: two twins that share it take turns.
    Record {
        /// Tracker.
        tracker: String,
        /// Entity type.
        entity_type: String,
        /// Key.
        key: String,
    },
    /// A twin.
    Twin(TwinId),
}

/// All leases of this process.
#[derive(Debug)]
pub struct Leases {
    held: Mutex<HashSet<LeaseKey>>,
    wakes: Arc<Wakes>,
}

impl Leases {
    /// None held.
    pub fn new(wakes: Arc<Wakes>) -> Self {
        Self { held: Mutex::default(), wakes }
    }

    /// All of them or none.
    pub fn take(self: &Arc<Self>, keys: Vec<LeaseKey>) -> Option<Lease> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|key| held.contains(key)) {
            return None;
        }
        held.extend(keys.iter().cloned());
        Some(Lease { keys, leases: self.clone() })
    }

    /// Whether somebody holds it: a hint for who looks for work.
    pub fn is_held(&self, key: &LeaseKey) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Given back when dropped; whoever waits for work is woken.
#[derive(Debug)]
pub struct Lease {
    keys: Vec<LeaseKey>,
    leases: Arc<Leases>,
}

impl Lease {
    /// Whether this is among what it holds.
    pub fn holds(&self, key: &LeaseKey) -> bool {
        self.keys.contains(key)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            held.remove(key);
        }
        drop(held);
        self.leases.wakes.wake(Topic::Released);
    }
}
