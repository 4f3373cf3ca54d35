//! The engine: intake → plan (pure) → apply, by leased workers.
//!
//! ```text
//!   changes ─▶ outgoing ─▶ judge ─▶ record ─▶ plan::outgoing ─▶ outbox        (one worker per tracker)
//!   inbox   ─▶ incoming ─▶ fold ─▶ apply ─▶ decide ─▶ plan::incoming ─▶ tracker.write ─▶ written
//!                                    └─ doubt (lost answers)   └─ links, resync
//! ```
//!
//! Doors and the link leave durable work in the store and wake a worker; each worker claims under leases, works outside
//! any transaction, and ends its work in one ([`settle`]). A crash anywhere repeats work, so every step asks what is
//! already true before it acts. `wishes` is what people ask for, `afterwards` what rules ask for, `asks` what they ask
//! while they run, `look` what the messages do not tell, `rest` what happens while a tracker cannot be reached, `pauses`
//! what happens while a rule fails for every record.
//!
//! Traps: never write a twin without holding its lease, or a worker's older copy overwrites it; never end a change in
//! another transaction than the one that stores what it caused.

mod afterwards;
mod apply;
mod asks;
mod choosing;
mod decide;
mod doubt;
pub mod dry_run;
mod ending;
mod figures;
mod fold;
mod gone;
mod holdup;
mod housekeeping;
mod incoming;
mod jobs;
mod judge;
mod known;
mod late;
pub mod linking;
mod links;
mod look;
mod mending;
mod outgoing;
mod pace;
mod pauses;
mod plan;
mod probing;
mod record;
mod rest;
mod resync;
mod rounds;
mod settle;
mod stand_in;
mod together;
mod told;
mod triage;
mod view;
mod weighing;
mod wishes;
mod written;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    clock::Clock,
    domain::{
        rule::RuleEngine,
        tracker::{Tracker, TrackerError},
    },
    lifecycle::Lifecycle,
    store::{Store, StoreError},
};

/// All trackers of the node, by name.
pub type Trackers = Arc<BTreeMap<String, Arc<dyn Tracker>>>;

/// What the engine needs.
#[derive(Clone)]
pub struct Parts {
    /// Where all is kept.
    pub store: Store,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The systems beside this node.
    pub trackers: Trackers,
    /// What runs rules.
    pub rules: Arc<dyn RuleEngine>,
    /// When to stop.
    pub lifecycle: Lifecycle,
    /// How often each tracker is looked at beside its messages; absent: never.
    pub looks: BTreeMap<String, std::time::Duration>,
    /// How often each tracker's connections are reconciled; absent: on request only.
    pub reconciles: BTreeMap<String, std::time::Duration>,
    /// Trackers whose messages may stand in for a read.
    pub trusted_messages: std::collections::BTreeSet<String>,
    /// How long history stays.
    pub keep_history: std::time::Duration,
    /// How long notice ids stay, to know a repeat.
    pub keep_messages: std::time::Duration,
    /// Hash that names a tracker of this node in `via`, by tracker name.
    pub via: BTreeMap<String, String>,
}

/// Why a person's wish was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No such connection, twin, error or tracker.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The state does not allow it.
    #[error("{0}")]
    State(String),
    /// What was typed cannot be meant.
    #[error("{message}")]
    Invalid {
        /// The member of the request.
        field: &'static str,
        /// Why.
        message: String,
    },
    /// The tracker said no.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The engine's handle.
#[derive(Clone)]
pub struct Engine {
    parts: Parts,
    rests: Arc<BTreeMap<String, Arc<rest::Rest>>>,
    pauses: Arc<pauses::Pauses>,
}

impl Engine {
    /// An engine that is not running yet.
    pub fn new(parts: Parts) -> Self {
        let rests = parts.trackers.keys().map(|name| (name.clone(), Arc::default())).collect();
        Self { parts, rests: Arc::new(rests), pauses: Arc::default() }
    }

    /// Starts the workers of every tracker, the looks and the housekeeping.
    pub fn start(&self) {
        let life = &self.parts.lifecycle;
        for name in self.parts.trackers.keys() {
            let Some(worker) = self.worker(name) else { continue };
            life.spawn("outgoing", rounds::run(outgoing::Outgoing(worker.clone())));
            life.spawn("incoming", rounds::run(incoming::Incoming(worker.clone())));
            life.spawn("resync", resync::run(worker.clone()));
            if let Some(every) = self.parts.reconciles.get(name) {
                life.spawn("schedule", jobs::schedule::run(self.clone(), name.clone(), *every));
            }
            if worker.tracker.traits().can_look
                && let Some(every) = self.parts.looks.get(name)
            {
                life.spawn("look", look::run(worker, *every));
            }
        }
        life.spawn("jobs", jobs::run(self.clone()));
        life.spawn("pauses", probing::run(self.clone()));
        life.spawn("figures", figures::run(self.parts.clone()));
        life.spawn("housekeeping", housekeeping::run(self.parts.clone()));
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn worker(&self, name: &str) -> Option<outgoing::Worker> {
        Some(outgoing::Worker {
            parts: self.parts.clone(),
            name: name.to_owned(),
            tracker: self.parts.trackers.get(name)?.clone(),
            rest: self.rests.get(name)?.clone(),
            pauses: self.pauses.clone(),
        })
    }
}
