//! The engine: intake → plan (pure) → apply, by leased workers.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    clock::Clock,
    domain::{
        event::Start,
        ids::{ConnectionId, ErrorId, TwinId},
        rule::RuleEngine,
        tracker::{Tracker, TrackerError},
        twin::Twin,
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
    /// Trackers whose messages may stand in for a read.
    pub trusted_messages: std::collections::BTreeSet<String>,
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
}

impl Engine {
    /// An engine that is not running yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Starts the workers of every tracker.
    pub fn start(&self) {
        let _ = &self.parts;
    }

    /// "Sync this now": the record is looked at for this connection, whatever its triggers say. Answers the twin, made
    /// in status `waiting` where there was none, or started again where it was stopped.
    pub async fn sync_now(&self, _connection: ConnectionId, _entity_type: &str, _key: &str) -> Result<Twin, Refused> {
        Err(Refused::NotFound("connection"))
    }

    /// Makes two records that exist a twin.
    pub async fn link_existing(
        &self,
        _connection: ConnectionId,
        _local: (&str, &str),
        _remote: (&str, &str),
        _start: Start,
    ) -> Result<Twin, Refused> {
        Err(Refused::NotFound("connection"))
    }

    /// Stops a twin on both sides; both records keep their values.
    pub async fn stop_twin(&self, _twin: TwinId) -> Result<Twin, Refused> {
        Err(Refused::NotFound("twin"))
    }

    /// Tries again what an error holds up.
    pub async fn retry(&self, _error: ErrorId) -> Result<(), Refused> {
        Err(Refused::NotFound("error"))
    }

    /// Gives up what an error holds up: it ends as `skipped`, with that reason in the history.
    pub async fn skip(&self, _error: ErrorId) -> Result<(), Refused> {
        Err(Refused::NotFound("error"))
    }

    /// The connection was activated: what was kept flows.
    pub async fn connection_activated(&self, _connection: ConnectionId) -> Result<(), Refused> {
        Ok(())
    }
}
