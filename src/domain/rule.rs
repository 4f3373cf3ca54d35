//! What goes into a rule and what comes out: closed types, so that a script can do nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ask::Host,
    comment::{Attachment, Comment},
    connection::Mode,
    replica::{Fields, TooBig},
};

/// A side's pair of rules, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulePair {
    /// Entity → replica: a JavaScript function body.
    pub outgoing: String,
    /// Replica → entity: a JavaScript function body.
    pub incoming: String,
    /// Version of the pair; 0 is the built-in one.
    pub version: u32,
}

/// What a rule may know of its connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Its id.
    pub id: String,
    /// This node's name for it.
    pub name: String,
    /// Basic or script.
    pub mode: Mode,
    /// Short name of our side.
    pub local_short_name: String,
    /// Short name of the other side.
    pub remote_short_name: String,
}

/// An entity as a rule sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntityView {
    /// Entity type by the tracker's name; empty before the first incoming rule chose one.
    #[serde(rename = "entityType")]
    pub entity_type: String,
    /// Key; empty for a record that is still to be made.
    pub key: String,
    /// Values by the tracker's field names.
    pub fields: Fields,
    /// Its comments.
    #[serde(default)]
    pub comments: Vec<Comment>,
    /// Its files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// What a rule may ask of describe: values listed for a picklist of the type, by field.
pub type Listed = BTreeMap<String, Vec<String>>;

/// Names of the fields that there are, by entity type. A type that is not here is not checked.
pub type Described = BTreeMap<String, Vec<String>>;

/// One run of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "direction", rename_all = "snake_case")]
pub enum RuleInput {
    /// Entity → replica.
    Outgoing {
        /// Read.
        entity: EntityView,
        /// Last replica sent.
        previous: Option<Fields>,
        /// Names of the entity's fields that differ from what the other side last heard of.
        changed: Vec<String>,
        /// The other side has no record yet.
        first_sync: bool,
        /// Context.
        connection: ConnectionView,
        /// Which fields there are; counts in script mode only.
        described: Described,
    },
    /// Replica → entity.
    Incoming {
        /// The record as it is here; empty before a create.
        entity: EntityView,
        /// What the other side sent.
        replica: Fields,
        /// Last replica that was applied.
        previous: Option<Fields>,
        /// The record is being made here.
        first_sync: bool,
        /// The other side's record was deleted: this is the last run.
        deleted: bool,
        /// Context.
        connection: ConnectionView,
        /// Picklist values by field, where the tracker has them (first sync only).
        listed: Listed,
        /// Which fields there are; counts in script mode only.
        described: Described,
    },
}

impl RuleInput {
    /// The connection that the run is for.
    pub const fn connection(&self) -> &ConnectionView {
        match self {
            Self::Outgoing { connection, .. } | Self::Incoming { connection, .. } => connection,
        }
    }
}

/// What a rule wants beside values. It is carried out after the run, with what ends the work; a rule has no other hands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Wishes {
    /// Incoming, first sync: this record of ours is the twin; none is made.
    pub link_to: Option<String>,
    /// Incoming: what becomes of comments.
    pub comments: Vec<Merge<Comment>>,
    /// Incoming: what becomes of files.
    pub attachments: Vec<Merge<Attachment>>,
    /// Incoming: send this record back when it is written.
    pub sync_back: bool,
    /// The sync of this pair ends when this run's work is done.
    pub stop: bool,
    /// Other records of ours whose sync is to start.
    pub sync: Vec<SyncWish>,
}

/// What becomes of one comment or file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge<T> {
    /// The one that came from `remote_id` is to be like this: made, or changed where it was made before.
    Write(T),
    /// The one that came from the comment or file of this id is to go.
    Remove(String),
}

/// A record whose sync is to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncWish {
    /// Entity type by the tracker's name.
    pub entity_type: String,
    /// Key by the tracker.
    pub key: String,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleOutput {
    /// Outgoing: the replica.
    pub replica: Fields,
    /// Incoming: what the rule assigned, by our tracker's field names.
    pub assigned: Fields,
    /// Incoming: the entity type that the rule chose.
    pub entity_type: Option<String>,
    /// What is to happen beside that.
    pub wishes: Wishes,
    /// The rule called `skip(reason)`.
    pub skip: Option<String>,
    /// What the rule logged.
    pub log: Vec<String>,
    /// Bytes of memory in use when it ended; only a run that is measured tells.
    pub memory: Option<u64>,
}

/// Why a run did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The script threw or does not parse: only a person can mend it.
    #[error("{message}{}", at(*.line, *.column, .line_text.as_deref()))]
    Script {
        /// The engine's words, and what the value was where the line tells.
        message: String,
        /// Line in the rule, from 1.
        line: Option<u32>,
        /// Column in that line, from 1.
        column: Option<u32>,
        /// That line's own text, or its part around the column.
        line_text: Option<String>,
        /// What to do.
        advice: String,
    },
    /// The replica that it made may not travel.
    #[error(transparent)]
    TooBig(#[from] TooBig),
    /// It hit a limit.
    #[error("the rule was stopped: {0}")]
    Limit(String),
    /// Whoever answers its asks ended it, and knows why.
    #[error("the run was ended")]
    Ended,
    /// The engine itself failed; trying again may help.
    #[error("the rule could not be run: {0}")]
    Engine(String),
}

fn at(line: Option<u32>, column: Option<u32>, text: Option<&str>) -> String {
    let Some(line) = line else { return String::new() };
    let column = column.map_or_else(String::new, |column| format!(", column {column}"));
    let text = text.map_or_else(String::new, |text| format!(": `{text}`"));
    format!(" (line {line}{column}{text})")
}

/// What runs rules.
#[async_trait::async_trait]
pub trait RuleEngine: Send + Sync {
    /// Runs one rule's source on one input, within limits; `host` answers what it asks.
    async fn run(&self, source: &str, input: &RuleInput, host: &dyn Host) -> Result<RuleOutput, RuleError>;
    /// The same, and measures the memory that it takes, which costs time.
    async fn run_measured(&self, source: &str, input: &RuleInput, host: &dyn Host) -> Result<RuleOutput, RuleError> {
        self.run(source, input, host).await
    }
    /// Parses one rule's source without running it.
    async fn check(&self, source: &str) -> Result<(), RuleError>;
    /// Evaluates a JavaScript expression on `entity` (the `webhook` tracker's filter).
    async fn matches(&self, filter: &str, entity: &EntityView) -> Result<bool, RuleError>;
    /// The built-in pair of a tracker kind and entity type, if there is one.
    fn built_in(&self, tracker_kind: &str) -> Option<RulePair>;
}
