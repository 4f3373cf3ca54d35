//! `POST …/rules/test`: a rule tried on a real record or a recorded replica.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{bodies::NAME, checking};
use crate::{
    domain::{
        history::FieldChange,
        ids::TwinId,
        replica::Fields,
        rule::{SyncWish, Wishes},
    },
    server::kit::{FieldError, Problem, query},
    sync::dry_run::{Call, Trial, Tried, Way},
};

/// Longest key.
const KEY: usize = 2_000;

/// Which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Entity → replica.
    Outgoing,
    /// Replica → entity.
    Incoming,
}

/// What to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrial {
    /// Which rule.
    pub direction: Rule,
    /// Its text; unless given, the draft's, or where there is none the one that runs.
    pub rule: Option<String>,
    /// The record here: its type, with `key`. For an incoming rule, nothing says "first sync".
    pub entity_type: Option<String>,
    /// The record here: its key, or the address of its page.
    pub key: Option<String>,
    /// A twin: its record here, and for an incoming rule the replica that was applied last.
    #[schema(value_type = Option<String>)]
    pub twin_id: Option<TwinId>,
    /// Incoming: what would arrive.
    #[schema(value_type = Option<Object>)]
    pub replica: Option<Fields>,
}

/// What a rule asked for beside values.
#[derive(Debug, Serialize, ToSchema)]
pub struct WishesBody {
    /// This record of ours would become the twin.
    pub link_to: Option<String>,
    /// The record would be sent back.
    pub sync_back: bool,
    /// The sync would end.
    pub stop: bool,
    /// Records whose sync would start.
    pub sync: Vec<RecordBody>,
    /// Comments that would be written or taken away.
    pub comments: usize,
    /// Files that would be written or taken away.
    pub attachments: usize,
}

/// A record of ours.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordBody {
    /// Its type.
    pub entity_type: String,
    /// Its key.
    pub key: String,
}

/// A call with effects that the rule would make.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RuleCall)]
pub struct CallBody {
    /// `POST`, `PUT`, `PATCH` or `DELETE`; `STORE` for `store(entity)`.
    pub method: String,
    /// Where to, at the tracker; of what would be stored its entity type.
    pub path: String,
    /// What would be sent along; null where nothing would.
    #[schema(value_type = Option<Object>)]
    pub body: Option<serde_json::Value>,
}

/// What came of it: nothing was written, anywhere.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trial)]
pub struct TrialBody {
    /// Why the run did not end well; null where it did.
    pub error: Option<FieldError>,
    /// It would skip, for this reason.
    pub skip: Option<String>,
    /// Outgoing: what would be sent.
    #[schema(value_type = Option<Object>)]
    pub replica: Option<Fields>,
    /// Incoming: the type of the record.
    pub entity_type: Option<String>,
    /// Incoming: what the rule assigned.
    #[schema(value_type = Option<Object>)]
    pub assigned: Option<Fields>,
    /// Outgoing: against what was sent last. Incoming: what would be written, against what is there.
    pub differences: Vec<FieldChange>,
    /// Fields whose text would be cut.
    pub cut: Vec<String>,
    /// What it asked for beside.
    pub wishes: WishesBody,
    /// Calls with effects that it would make, in order. None was made: each was answered with an empty object.
    pub calls: Vec<CallBody>,
    /// What it logged.
    pub log: Vec<String>,
    /// How long the run took, in microseconds.
    pub took_us: u64,
    /// Bytes that the rule's engine had in use when the run ended, the language, the record and what it left among them; null
    /// where it did not end well.
    pub memory_bytes: Option<u64>,
}

impl NewTrial {
    /// The trial; `fallback` is the rule where the request has none.
    pub(super) fn trial(self, fallback: Option<String>) -> Result<Trial, Problem> {
        let record = match (self.entity_type, self.key) {
            (Some(entity_type), Some(key)) => {
                query::all([query::text("entity_type", &entity_type, 1, NAME), query::text("key", &key, 1, KEY)])?;
                Some((entity_type.trim().to_owned(), key.trim().to_owned()))
            }
            (None, None) => None,
            (Some(_), None) => return Err(Problem::field("key", "is needed beside `entity_type`")),
            (None, Some(_)) => return Err(Problem::field("entity_type", "is needed beside `key`")),
        };
        let way = match (self.direction, self.replica) {
            (Rule::Outgoing, None) => Way::Outgoing,
            (Rule::Outgoing, Some(_)) => {
                return Err(Problem::field("replica", "is for an incoming rule; an outgoing one makes it"));
            }
            (Rule::Incoming, replica) => Way::Incoming(replica),
        };
        Ok(Trial { way, rule: self.rule.or(fallback), record, twin: self.twin_id })
    }
}

impl From<Tried> for TrialBody {
    fn from(tried: Tried) -> Self {
        let Tried { error, skip, replica, entity_type, assigned, differences, cut, wishes, calls, log, took, memory } = tried;
        let calls = calls.into_iter().map(|Call { method, path, body }| CallBody { method, path, body }).collect();
        Self {
            error: error.map(|error| checking::told("rule", error)),
            skip,
            replica,
            entity_type,
            assigned,
            differences,
            cut,
            wishes: wishes.into(),
            calls,
            log,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: memory,
        }
    }
}

impl From<Wishes> for WishesBody {
    fn from(wishes: Wishes) -> Self {
        let Wishes { link_to, comments, attachments, sync_back, stop, sync } = wishes;
        let sync = sync.into_iter().map(|SyncWish { entity_type, key }| RecordBody { entity_type, key }).collect();
        Self { link_to, sync_back, stop, sync, comments: comments.len(), attachments: attachments.len() }
    }
}
