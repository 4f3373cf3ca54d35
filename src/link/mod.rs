//! Link v1: how two nodes talk (docs/LINK.md).
//!
//! Who does what: `protocol` is the wire on one page; `keys`, `auth` and `code` say who speaks; `joining` and
//! `accepting` make two nodes partners, and `parting` ends it; `exchange`, `set_back` and `joins` are what an exchange does to
//! the store, the same for both ends; `answer` and `mailbox` are the end that is dialled, `client` and `call` the end that
//! dials. HTTP comes in by `server/link`.
//!
//! The engine and the link meet only in the store: the engine leaves drafts and finds arrived events. A new epoch is
//! told the same way: `LinkState.resyncing` is set and [`Topic::Connections`](crate::store::Topic) woken; the engine
//! then sends every twin and `resynced`, and clears the flag when the peer's `resynced` has come.
//!
//! To add a kind of event: `domain::event`, its meaning in `sync`, a feature name in `joining::FEATURES` so that a node
//! that does not know it is not sent it. The link itself reads only an event's number, id and twin.

mod accepting;
mod answer;
mod auth;
mod call;
mod client;
mod code;
mod exchange;
mod gather;
mod joining;
mod joins;
mod keys;
mod lenient;
mod mailbox;
#[cfg(test)]
mod numbers;
mod oversize;
mod parting;
pub mod protocol;
mod set_back;
mod trouble;
mod used;
#[cfg(test)]
mod vectors;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Time},
    domain::{
        connection::{Kind, Mode},
        ids::ConnectionId,
    },
    http_client::{Guard, body_up_to, vet},
    lifecycle::Lifecycle,
    secret::Secret,
    store::{Store, StoreError, Topic},
};

use joins::Joins;
use keys::NodeKey;
use mailbox::Mailbox;
use protocol::Discovery;
use trouble::Trouble;
use used::Used;

pub use answer::{Answer, Call};
pub use client::dials;

/// How long a stranger may take to say what it is.
const DISCOVERY: Duration = Duration::from_secs(5);

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
    /// What that client guards against: addresses are vetted before each call too, since a proxy resolves for itself.
    pub guard: Guard,
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
    /// Only where the code leads to a connection that is here already: whom it shall lead to from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekeys: Option<Rekeys>,
}

/// A connection that is here already, and whose other end a code replaces.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rekeys {
    /// This node's name for it.
    pub name: String,
    /// The other side's key as it is known here; the code's differs where that side lost its key.
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
    /// It is this node.
    #[serde(skip)]
    pub is_self: bool,
}

/// The link's handle.
#[derive(Clone)]
pub struct Link {
    parts: Parts,
    key: Arc<NodeKey>,
    /// Drawn at start: tells two copies of a node apart.
    run: String,
    used: Arc<Used>,
    mailbox: Arc<Mailbox>,
    joins: Arc<Joins>,
}

impl Link {
    /// Loads the node's key, or makes it at first start.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let mut seed = [0u8; 32];
        parts.clock.random(&mut seed);
        let started = parts.clock.now();
        let (key, made) = NodeKey::open(&parts.store, seed).await?;
        let used = Arc::new(Used::new((!made).then_some(started)));
        let run = parts.clock.id().to_string();
        Ok(Self { parts, key: Arc::new(key), run, used, mailbox: Arc::default(), joins: Arc::default() })
    }

    /// Thumbprint of the node's key.
    pub fn fingerprint(&self) -> String {
        self.key.public().fingerprint().to_owned()
    }

    /// Starts dialling for every connection where we dial, and posting for public ones. Called on the main runtime.
    pub fn start(&self) {
        self.parts.lifecycle.spawn("link.supervise", client::supervise(self.clone()));
    }

    /// What a stranger is told at `GET /link/v1`.
    pub fn discovery(&self) -> Discovery {
        Discovery {
            node: self.parts.node_name.clone(),
            version: joining::crate_version(),
            features: joining::FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
            modes: joining::modes(),
            fingerprint: self.fingerprint(),
        }
    }

    /// Is that a Wicketgate node? What a stranger's host answered is told only as "a node" or "not a node".
    pub async fn check_destination(&self, url: &url::Url) -> Result<Destination, Refused> {
        let Some(address) = call::join(url.as_str(), "/link/v1") else {
            let detail = "an address begins with https:// and names a host".to_owned();
            return Err(Refused { code: "validation_failed", detail, field: Some("url") });
        };
        if let Err(blocked) = vet(&address, &self.parts.guard).await {
            return Err(Refused { code: "address_not_allowed", detail: blocked.to_string(), field: Some("url") });
        }
        let found = self.discover(address).await;
        Ok(match found {
            Some(found) => Destination {
                is_node: true,
                version: Some(found.version),
                modes: found.modes,
                is_self: found.fingerprint == self.fingerprint(),
            },
            None => Destination { is_node: false, version: None, modes: Vec::new(), is_self: false },
        })
    }

    async fn discover(&self, address: url::Url) -> Option<Discovery> {
        let answer = self.parts.http.get(address).timeout(DISCOVERY).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body = body_up_to(answer, protocol::MAX_SMALL).await.ok()?;
        let found: Discovery = serde_json::from_slice(&body).ok()?;
        // A fingerprint is 32 bytes in base64url; a version is short: nothing else of a stranger's words is shown.
        let plausible = found.fingerprint.len() == 43 && found.version.len() <= 40;
        plausible.then_some(found)
    }

    /// A person lets the epoch begin that waits since the second set-back of a day. False where none waits.
    pub async fn allow_epoch(&self, connection: ConnectionId) -> Result<bool, Refused> {
        let allowed = self.parts.store.write("link.allow_epoch", move |tx| {
            Box::pin(async move {
                let mut state = tx.link_state(connection).await?;
                if !state.epoch_waits {
                    return Ok(false);
                }
                state.epoch_waits = false;
                state.last_own_epoch = None;
                tx.put_link_state(connection, &state).await?;
                trouble::close(tx, connection, trouble::EPOCH_WAITS).await?;
                tx.wake(Topic::Outbox(connection));
                Ok(true)
            })
        });
        self.joins.forgive(connection);
        Ok(allowed.await?)
    }
}
