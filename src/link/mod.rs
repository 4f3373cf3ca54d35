//! Link v1: how two nodes talk (docs/LINK.md).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Time},
    domain::{
        connection::{Connection, Kind, Mode},
        ids::ConnectionId,
    },
    lifecycle::Lifecycle,
    secret::Secret,
    store::{Store, StoreError},
};

/// What the link needs.
#[derive(Clone)]
pub struct Parts {
    /// Where all is kept.
    pub store: Store,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub lifecycle: Lifecycle,
    /// Name shown to partners.
    pub node_name: String,
    /// Where others reach us; `None` for a private node.
    pub public_url: Option<url::Url>,
    /// Client for addresses that came by code or API: guarded against inside addresses, redirects off.
    pub http: reqwest::Client,
    /// Longest held exchange to ask for.
    pub wait: Duration,
    /// Kind of each tracker of ours, by name.
    pub tracker_kinds: BTreeMap<String, String>,
}

/// Why a person's wish was not done. `code` is the problem code of the API (docs/problems.md).
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// Problem code, such as `invitation_expired`.
    pub code: &'static str,
    /// For people, with what to do.
    pub detail: String,
    /// Member of the request that is meant.
    pub field: Option<&'static str>,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { code: "store_unavailable", detail: error.to_string(), field: None }
    }
}

/// A code, for the one who made it.
#[derive(Debug, Clone)]
pub struct Code {
    /// The JWS.
    pub code: Secret,
    /// After this it is refused.
    pub expires_at: Time,
}

/// What a code says, from the reader's side: local is the one who reads.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the names are the design's")]
pub struct Inspected {
    pub connection_name: String,
    pub mode: Mode,
    pub kind: Kind,
    pub node: String,
    pub url: String,
    pub tracker_kind: String,
    pub local_short_name: String,
    pub remote_short_name: String,
    pub description: String,
    pub expires_at: Time,
    pub key_fingerprint: String,
}

/// Whether an address is a Wicketgate node.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Destination {
    /// It is one.
    pub is_node: bool,
    /// Its version, where it is one.
    pub version: Option<String>,
    /// Modes it offers, where it is one.
    pub modes: Vec<Mode>,
}

/// The link's handle.
#[derive(Clone)]
pub struct Link {
    parts: Parts,
}

impl Link {
    /// Loads the node's key, or makes it at first start.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        Ok(Self { parts })
    }

    /// Thumbprint of the node's key.
    pub fn fingerprint(&self) -> String {
        String::new()
    }

    /// Starts dialling for every connection where we dial, and posting for public ones.
    pub fn start(&self) {
        let _ = &self.parts;
    }

    /// Makes a code for a connection; the one before dies. On an accepted connection: a re-key code.
    pub async fn invite(&self, _connection: &Connection, _lifetime: Duration) -> Result<Code, Refused> {
        Err(Refused { code: "not_found", detail: String::new(), field: None })
    }

    /// Withdraws the open code of a connection.
    pub async fn revoke(&self, _connection: ConnectionId) -> Result<(), Refused> {
        Ok(())
    }

    /// What would I join? Calls nobody.
    pub fn inspect(&self, _code: &str) -> Result<Inspected, Refused> {
        Err(Refused { code: "invitation_invalid", detail: String::new(), field: Some("code") })
    }

    /// Joins: calls the inviting node, then keeps the connection.
    pub async fn accept(
        &self,
        _code: &str,
        _tracker: &str,
        _name: Option<String>,
        _description: Option<String>,
    ) -> Result<Connection, Refused> {
        Err(Refused { code: "invitation_invalid", detail: String::new(), field: Some("code") })
    }

    /// Is that a Wicketgate node? What a stranger's host answered is told only as "a node" or "not a node".
    pub async fn check_destination(&self, _url: &url::Url) -> Result<Destination, Refused> {
        Ok(Destination { is_node: false, version: None, modes: Vec::new() })
    }

    /// Tells the other side that the connection is deleted here, if it can be told, before its row goes.
    pub async fn say_goodbye(&self, _connection: &Connection) {}
}
