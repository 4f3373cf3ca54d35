//! The one-time code by which the other side joins.
//!
//! ```text
//!   open ──accept──▶ accepted     open ──revoke──▶ revoked     open ──time──▶ expired
//! ```
//!
//! The same key may repeat its acceptance, since an answer can be lost; another key never gets in.

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, InvitationId};
use crate::clock::Time;

/// What became of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nobody has used it.
    Open,
    /// Used.
    Accepted {
        /// Fingerprint of the node that used it.
        by: String,
        /// When.
        at: Time,
    },
    /// Withdrawn, or replaced by a newer one.
    Revoked {
        /// When.
        at: Time,
    },
}

/// An invitation as its maker's node keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// `jti` of the code.
    pub id: InvitationId,
    /// The connection it opens.
    pub connection_id: ConnectionId,
    /// The code's secret: 32 bytes, base64url. Sealed in the store.
    pub secret: crate::secret::Secret,
    /// The whole code, so that it can be shown again. Sealed in the store.
    pub code: crate::secret::Secret,
    /// When it was made.
    pub created_at: Time,
    /// After this it is refused.
    pub expires_at: Time,
    /// It replaces the other side's key on an accepted connection.
    pub rekey: bool,
    /// What became of it.
    pub state: State,
}

/// Why an invitation cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another node was first.
    #[error("this invitation was already accepted by another node; ask for a new one")]
    AlreadyAccepted,
    /// Too late.
    #[error("this invitation has expired; ask for a new one")]
    Expired,
    /// Withdrawn.
    #[error("this invitation was revoked; ask for a new one")]
    Revoked,
}

impl Invitation {
    /// Whether the node with this fingerprint may use it now. `Ok(true)`: it did before, answer as then.
    pub fn may_accept(&self, fingerprint: &str, now: Time) -> Result<bool, Refused> {
        match &self.state {
            State::Accepted { by, .. } if by == fingerprint => Ok(true),
            State::Accepted { .. } => Err(Refused::AlreadyAccepted),
            State::Revoked { .. } => Err(Refused::Revoked),
            State::Open if now >= self.expires_at => Err(Refused::Expired),
            State::Open => Ok(false),
        }
    }
}
