//! API tokens and what they may do.

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, TokenId};
use crate::clock::Time;

/// What a caller may do; each scope holds the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See.
    Read,
    /// Sync now, stop, retry, skip, deactivate, activate.
    Operate,
    /// Connections, invitations, triggers, rules.
    Configure,
    /// Tokens, users, trackers.
    Admin,
}

/// A token as the store knows it; the secret itself is never kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Only these connections; `None` is all.
    pub connections: Option<Vec<ConnectionId>>,
    /// After this it is refused.
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
}
