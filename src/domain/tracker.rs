//! What every tracker can do, with one error that answers questions. It is long, since the trait and the words that it is made
//! of are read together.
//!
//! To add a tracker: a module in `trackers/` that implements [`Tracker`], a section in its configuration, a line in the
//! registry in `app`, and a pair of built-in rules in `rules`. The engine asks [`Tracker::traits`] what it may expect;
//! it never asks for the kind.
//!
//! Traps. All methods take many records at once, because a daily allowance of calls is the scarce thing; an adapter
//! without collections loops inside. A result stands at the place of its request. Nothing here retries except what a
//! repeat cannot double (a fresh login); patience belongs to the engine, which keeps what waits on disk.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    ask::Request,
    change::{Content, NewChange},
    ids::TwinId,
    replica::Fields,
    twin::PendingWrite,
};
use crate::clock::Time;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The way there: names, TLS, proxies, time-outs, a system that is down.
    Network,
    /// Our login or its rights: a person at the tracker has to act.
    Login,
    /// An allowance is used up.
    Allowance,
    /// This record's values or state.
    Record,
    /// Our own configuration.
    Configuration,
    /// The tracker answered what its documentation does not say.
    Tracker,
}

/// What a repeat would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// By itself, with growing pauses, at the earliest after this.
    Soon(Option<Duration>),
    /// Hourly, and when a newer change comes: locks, approvals.
    Hourly,
    /// Only when a newer change comes or a person asks.
    Newer,
}

/// A tracker's no.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct TrackerError {
    /// Whose fault.
    pub fault: Fault,
    /// What a repeat would do.
    pub retry: Retry,
    /// Short word for grouping and metrics: the tracker's own code where it has one.
    pub code: String,
    /// One line.
    pub title: String,
    /// What happened, with the tracker's own words; never a secret.
    pub detail: String,
    /// What to do.
    pub advice: String,
    /// Whether the tracker may have done the work although no good answer came.
    pub in_doubt: bool,
}

impl TrackerError {
    /// Nothing about the record: everything that needs this tracker should rest.
    pub fn concerns_all(&self) -> bool {
        matches!(self.fault, Fault::Network | Fault::Login | Fault::Allowance | Fault::Configuration)
    }
}

/// A record as it is in its tracker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Entity type by the tracker's name.
    pub entity_type: String,
    /// Key by the tracker.
    pub key: String,
    /// Where a person sees it.
    pub url: Option<String>,
    /// Values by the tracker's field names; a name that is absent does not exist for us.
    pub fields: Fields,
    /// When a person last changed it, by the tracker's clock (Salesforce: `LastModifiedDate`).
    pub modified_at: Option<Time>,
    /// Stamp that moves with every save (Salesforce: `SystemModstamp`).
    pub stamp: Option<Time>,
    /// It names us as its last editor; `None` where the tracker names none.
    pub edited_by_us: Option<bool>,
    /// The twin that our mark in it names, if it carries one.
    pub mark: Option<TwinId>,
}

/// One record of a read.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// As it is.
    Here(Box<Entity>),
    /// The tracker calls it deleted.
    Deleted,
    /// Plain "not found": perhaps only invisible to us.
    NotVisible,
    /// This tracker cannot be asked; what its notices said is all there is.
    CannotAsk,
    /// Reading this one failed.
    Failed(TrackerError),
}

/// A read's results, in the order asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// One for each key.
    pub found: Vec<Found>,
    /// The tracker's clock when it answered (its `Date`), if told.
    pub tracker_time: Option<Time>,
    /// What to add to the tracker's times to get the node's, in milliseconds.
    pub clock_offset_ms: i64,
}

/// One write to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The twin it is for: a create carries it as mark or id.
    pub twin: TwinId,
    /// What leaves, the same at every repeat.
    pub pending: PendingWrite,
    /// Names of `fields` that the tracker should hear as changed.
    pub changed: Vec<String>,
    /// What remained true of the record right before: a tracker that reads back compares with it.
    pub kind: WriteKind,
}

/// What sort of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Make the record.
    Create,
    /// Change it.
    Update,
}

/// A write that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The record's key.
    pub key: String,
    /// Where a person sees it.
    pub url: Option<String>,
    /// The record right after, where the tracker was asked.
    pub read_back: Option<Box<Entity>>,
    /// The create found the record already there and changed nothing: it is to be adopted.
    pub existed: bool,
}

/// A create's record, looked for after an answer was lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is there.
    Here(Box<Entity>),
    /// It was made and has been deleted.
    Deleted {
        /// Its key.
        key: String,
    },
    /// It was never made.
    Absent,
    /// This tracker keeps neither id nor mark: nobody can tell.
    CannotTell,
}

/// What the engine may expect of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Records in one read.
    pub read_batch: usize,
    /// Records in one call of [`Tracker::write`]; the adapter splits further as its wire needs.
    pub write_batch: usize,
    /// A repeated write must leave with the same body: it is kept before the call.
    pub keeps_writes: bool,
    /// A repeated create is recognised by the tracker itself (`webhook-id`): no search is needed before it.
    pub repeats_creates: bool,
    /// The light look works here.
    pub can_look: bool,
    /// It can be asked for the records that match a filter, and for their number.
    pub lists: bool,
    /// Rules may make requests of their own.
    pub takes_requests: bool,
}

/// A field, as describe tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Field {
    /// Name as rules use it.
    pub name: String,
    /// Name as people see it.
    pub label: String,
    /// The tracker's own word for its type.
    #[serde(rename = "type")]
    pub field_type: String,
    /// Longest text, in characters.
    pub length: Option<u32>,
    /// Our user may write it.
    pub writable: bool,
    /// A create needs it.
    pub required: bool,
    /// No two records share a value.
    #[serde(default)]
    pub unique: bool,
    /// A key of another system: a record can be found and written by it.
    #[serde(default)]
    pub external_id: bool,
    /// The tracker lets an admin give the right to it field by field; of others the right comes with the record.
    #[serde(default)]
    pub permissionable: bool,
    /// Listed values of a picklist; `None` for other types.
    pub values: Option<Vec<String>>,
    /// What a create that does not write it leaves there; `None`: not known beforehand.
    #[serde(skip)]
    pub default: Option<serde_json::Value>,
}

/// An entity type, as describe tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Name as rules use it.
    pub entity_type: String,
    /// Fields; empty where the tracker tells nothing, and then nothing is checked.
    pub fields: Vec<Field>,
    /// Our user may make records; `None` where the tracker does not tell.
    #[serde(default)]
    pub createable: Option<bool>,
    /// Our user may change records; `None` where the tracker does not tell.
    #[serde(default)]
    pub updateable: Option<bool>,
}

impl Description {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// What the light look remembers between two looks, per entity type. The tracker fills it; the engine keeps it.
pub type LookCursor = BTreeMap<String, serde_json::Value>;

/// What a light look found.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// Changes to take in (with their content, so that they need no other read).
    pub changes: Vec<NewChange>,
    /// To be kept together with the changes.
    pub cursor: LookCursor,
    /// There was more than one look takes: look again at once.
    pub more: bool,
    /// Entity types whose deletes the tracker no longer lists for the time since the last look: each known record of
    /// theirs is to be asked for.
    pub recheck: Vec<String>,
    /// Entity types that could not be looked at, and why; their place stays.
    pub failed: Vec<(String, TrackerError)>,
}

/// A part of the records that match a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Each record's key, and what was read of it.
    pub records: Vec<(String, Content)>,
    /// Ask with this for what follows; `None`: that was all.
    pub next: Option<String>,
}

/// One step of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckStep {
    /// What was tried.
    pub name: String,
    /// How it went.
    pub status: CheckStatus,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty when all is well.
    pub advice: String,
    /// How long it took.
    pub took_ms: u64,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Well.
    Ok,
    /// Not.
    Failed,
    /// Not tried, since one before it failed or a person is needed.
    Skipped,
}

/// Calls of a daily allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiCalls {
    /// Used in the running 24 hours, by everybody.
    pub used: u64,
    /// Allowed.
    pub limit: u64,
}

/// What a tracker tells about itself without a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Salesforce: the org it is bound to.
    pub org_id: Option<String>,
    /// The allowance as last heard.
    pub api_calls: Option<ApiCalls>,
    /// When our login ends, where that is known.
    pub login_expires_at: Option<Time>,
    /// Base address.
    pub url: String,
}

/// Who asks: sync keeps the reserve free, people may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The engine.
    Sync,
    /// A person through the API.
    Person,
}

/// It has no door for what rules ask.
fn cannot_be_asked(kind: &str) -> TrackerError {
    TrackerError {
        fault: Fault::Record,
        retry: Retry::Newer,
        code: "cannot_be_asked".to_owned(),
        title: "This tracker takes no requests of rules".to_owned(),
        detail: format!("a `{kind}` tracker has no address for them"),
        advice: "Take the call out of the rule, or send what it needs in the replica.".to_owned(),
        in_doubt: false,
    }
}

/// A system that a node stands beside.
#[async_trait]
pub trait Tracker: Send + Sync {
    /// `salesforce`, `webhook`…
    fn kind(&self) -> &'static str;
    /// What the engine may expect.
    fn traits(&self) -> Traits;
    /// What is known without a call.
    fn facts(&self) -> Facts;
    /// Brings what a person typed into the tracker's own form (15 characters to 18, a record page's address to its
    /// key), or says why it cannot be a key.
    fn key(&self, entity_type: &str, typed: &str) -> Result<String, TrackerError>;
    /// Whether this name of an editor, as a notice gives it, is our own user.
    fn is_us(&self, _editor: &str) -> bool {
        false
    }
    /// The field in which a record of this type that we made shows the twin's id ([`Entity::mark`]).
    fn mark_field(&self, _entity_type: &str) -> Option<&str> {
        None
    }
    /// What to add to the tracker's times to get the node's, in milliseconds, as last heard.
    fn clock_offset_ms(&self) -> i64 {
        0
    }
    /// The record as a notice tells it, its values in the form that a read gives them; `None` where a notice of this
    /// tracker says too little to stand in for a read.
    async fn told(&self, _entity_type: &str, _content: &Content) -> Option<Entity> {
        None
    }
    /// The entity type that is meant where an incoming rule chooses none.
    fn default_entity_type(&self) -> &'static str;
    /// Values from the configuration for a new record, set before the incoming rule.
    fn defaults(&self, entity_type: &str) -> Fields;
    /// Reads records as they are, deleted ones told apart where the tracker can.
    async fn read(&self, caller: Caller, entity_type: &str, keys: &[String]) -> Result<Read, TrackerError>;
    /// Which of these records match the filter, in the tracker's own query language. `entities` is what was just read.
    async fn matches(
        &self,
        caller: Caller,
        entity_type: &str,
        filter: &str,
        entities: &[&Entity],
    ) -> Result<Vec<bool>, TrackerError>;
    /// How many records there are that match; `None` where the tracker cannot be asked.
    async fn count(&self, caller: Caller, entity_type: &str, filter: &str) -> Result<Option<u64>, TrackerError>;
    /// Records that match the filter, a part at a time, behind what the last part's `next` said; what comes into being
    /// meanwhile may be left out. `None` where the tracker cannot be asked.
    async fn list(
        &self,
        _caller: Caller,
        _entity_type: &str,
        _filter: &str,
        _after: Option<&str>,
    ) -> Result<Option<Listing>, TrackerError> {
        Ok(None)
    }
    /// Checks a filter at saving time; the tracker's own words where it refuses.
    async fn check_filter(&self, entity_type: &str, filter: &str) -> Result<(), TrackerError>;
    /// Makes writes, each on its own: one that fails does not spoil its neighbours.
    async fn write(&self, writes: &[Write]) -> Vec<Result<Written, TrackerError>>;
    /// Looks for creates whose answer was lost, one query for many.
    async fn find_created(&self, entity_type: &str, writes: &[(TwinId, PendingWrite)]) -> Result<Vec<Created>, TrackerError>;
    /// Describes an entity type; cached by the adapter.
    async fn describe(&self, caller: Caller, entity_type: &str) -> Result<Description, TrackerError>;
    /// Names of entity types that can be synced.
    async fn entity_types(&self, caller: Caller) -> Result<Vec<String>, TrackerError>;
    /// What changed since the cursor, for these types.
    async fn look(&self, cursor: &LookCursor, entity_types: &[String]) -> Result<Looked, TrackerError>;
    /// Makes a request of a rule, whose path has passed [`Request::check`]; the body of the answer. What the tracker refuses
    /// is the rule's to know.
    async fn request(&self, _: Caller, _: &Request) -> Result<serde_json::Value, TrackerError> {
        Err(cannot_be_asked(self.kind()))
    }
    /// The active user of this address, with `Id`, `Name`, `Email` and `Username`.
    async fn user_by_email(&self, _: Caller, _: &str) -> Result<Option<serde_json::Value>, TrackerError> {
        Err(cannot_be_asked(self.kind()))
    }
    /// Walks step by step and says what to do about the first that fails.
    async fn check(&self) -> Vec<CheckStep>;
}
