//! What starts a sync.

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, TriggerId};
use crate::clock::Time;

/// An entity type and a filter in the tracker's own query language; a match starts a sync.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// The connection whose syncs it starts.
    pub connection_id: ConnectionId,
    /// Entity type by the tracker's name.
    pub entity_type: String,
    /// Empty matches all.
    pub filter: String,
    /// Off: starts nothing.
    pub enabled: bool,
    /// For people.
    pub notes: String,
    /// When it was made: a record last changed before is no match for the look.
    pub created_at: Time,
}
