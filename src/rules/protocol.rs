//! What pool and worker say to each other, in frames ([`super::frame`]): one job, one answer, and between them any number of
//! asks with a reply each. The scene is written without copying the record and reaches the script engine as the text that
//! was sent; so does a reply.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Number, Value, value::RawValue};

use super::fault;
use crate::domain::{
    ask::{Moment, Unanswered},
    comment::{Attachment, Comment},
    connection::Mode,
    replica::{self, Fields},
    rule::{ConnectionView, Described, EntityView, Listed, RuleError, RuleInput, RuleOutput, Wishes},
};

/// Largest integer that JavaScript's numbers hold together with all smaller ones.
const MAX_EXACT: u64 = 1 << 53;

/// How the source is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A function body.
    Rule,
    /// An expression on `entity`.
    Expression,
    /// A function body that is only parsed.
    Check,
}

/// A job as the pool writes it.
#[derive(Serialize)]
pub struct Job<'a> {
    /// Comes back in the answer.
    pub id: u64,
    /// How long the script may run, in milliseconds.
    pub wall_ms: u64,
    /// How to read `source`.
    pub kind: Kind,
    /// Whether to tell the memory in use.
    pub measured: bool,
    /// Whose it is: scripts of one owner may share an engine.
    pub owner: &'a str,
    /// The text.
    pub source: &'a str,
    /// What it sees.
    pub scene: Scene<'a>,
    /// What describe tells.
    pub told: Told<'a>,
    /// Time and chance of the run; `None`: the engine's own.
    pub moment: Option<Moment>,
}

/// A job as the worker reads it.
#[derive(Deserialize)]
pub struct Order<'a> {
    /// See [`Job`].
    pub id: u64,
    /// See [`Job`].
    pub wall_ms: u64,
    /// See [`Job`].
    pub kind: Kind,
    /// See [`Job`].
    pub measured: bool,
    /// See [`Job`].
    #[serde(borrow)]
    pub owner: Cow<'a, str>,
    /// See [`Job`].
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// JSON text of a [`Scene`].
    #[serde(borrow)]
    pub scene: &'a RawValue,
    /// JSON text of a [`Told`].
    #[serde(borrow)]
    pub told: &'a RawValue,
    /// See [`Job`].
    pub moment: Option<Moment>,
}

/// What the worker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The run is over.
    Answer(Answer),
    /// The run waits for a reply.
    Ask {
        /// The job's id.
        id: u64,
        /// JSON text of an [`Ask`](crate::domain::ask::Ask), not yet read.
        ask: Box<RawValue>,
    },
}

/// What an ask is told, as the prelude reads it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply<'a> {
    /// Here it is.
    Answer(Exact<'a>),
    /// No, and why.
    Refused {
        /// Short word.
        code: &'a str,
        /// What happened.
        message: &'a str,
    },
    /// The run ends.
    Ended(bool),
}

impl<'a> Reply<'a> {
    /// From what the host said.
    pub fn of(answered: &'a Result<Value, Unanswered>) -> Self {
        match answered {
            Ok(value) => Self::Answer(Exact(value)),
            Err(Unanswered::Refused { code, message }) => Self::Refused { code, message },
            Err(Unanswered::Ended) => Self::Ended(true),
        }
    }
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The job's id.
    pub id: u64,
    /// The worker leaves after this answer.
    pub leaving: bool,
    /// How it went.
    pub verdict: Verdict,
}

/// How a run went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// JSON text of an [`Outcome`], not yet read.
    Outcome(Box<RawValue>),
    /// The same of a run that was measured, and the bytes that its engine had in use at the end.
    Measured(Box<RawValue>, u64),
    /// An expression's truth.
    Truth(bool),
    /// The source parses.
    Parses,
    /// See [`RuleError::Script`].
    Script {
        /// The engine's words.
        message: String,
        /// From 1.
        line: Option<u32>,
        /// From 1.
        column: Option<u32>,
    },
    /// See [`RuleError::Limit`].
    Limit(String),
    /// See [`RuleError::Engine`].
    Engine(String),
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Outcome {
    replica: Fields,
    assigned: Fields,
    entity_type: Option<String>,
    wishes: Wishes,
    skip: Option<String>,
    log: Vec<String>,
}

impl Verdict {
    /// The verdict on a rule.
    pub fn output(self, source: &str) -> Result<RuleOutput, RuleError> {
        match self {
            Self::Measured(text, memory) => Ok(RuleOutput { memory: Some(memory), ..Self::Outcome(text).output(source)? }),
            Self::Outcome(text) => {
                let Outcome { mut replica, mut assigned, entity_type, wishes, skip, log } = serde_json::from_str(text.get())
                    .map_err(|error| {
                        let what = format!("what the rule left is not valid JSON (text with half a character?): {error}");
                        fault::script(source, what, None, None)
                    })?;
                replica::check(&replica)?;
                replica.values_mut().chain(assigned.values_mut()).for_each(as_doubles);
                Ok(RuleOutput { replica, assigned, entity_type, wishes, skip, log, memory: None })
            }
            other => Err(other.error(source)),
        }
    }

    /// The verdict on an expression.
    pub fn truth(self, source: &str) -> Result<bool, RuleError> {
        match self {
            Self::Truth(truth) => Ok(truth),
            other => Err(other.error(source)),
        }
    }

    /// The verdict on a source that was only parsed.
    pub fn parses(self, source: &str) -> Result<(), RuleError> {
        match self {
            Self::Parses => Ok(()),
            other => Err(other.error(source)),
        }
    }

    fn error(self, source: &str) -> RuleError {
        match self {
            Self::Script { message, line, column } => fault::script(source, message, line, column),
            Self::Limit(what) => RuleError::Limit(what),
            Self::Engine(what) => RuleError::Engine(what),
            Self::Outcome(_) | Self::Measured(..) | Self::Truth(_) | Self::Parses => {
                RuleError::Engine("the worker answered another question".to_owned())
            }
        }
    }
}

/// Integers beyond 2^53 in an outcome are doubles that were printed without a fraction: they say so again.
fn as_doubles(value: &mut Value) {
    match value {
        Value::Number(number) if !exact(number) => {
            if let Some(double) = number.as_f64().and_then(Number::from_f64) {
                *number = double;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_doubles),
        Value::Object(map) => map.values_mut().for_each(as_doubles),
        _ => {}
    }
}

fn exact(number: &Number) -> bool {
    number.is_f64()
        || number.as_u64().is_some_and(|n| n <= MAX_EXACT)
        || number.as_i64().is_some_and(|n| n.unsigned_abs() <= MAX_EXACT)
}

/// A value whose inexact integers are written as text.
pub struct Exact<'a>(&'a Value);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) if !exact(number) => serializer.collect_str(number),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Exact)),
            Value::Object(map) => ExactFields(map).serialize(serializer),
            other => other.serialize(serializer),
        }
    }
}

struct ExactFields<'a>(&'a Fields);

impl Serialize for ExactFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, &Exact(value))?;
        }
        map.end()
    }
}

/// What `prelude.js` builds the rule's world from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scene<'a> {
    direction: &'static str,
    fields: ExactFields<'a>,
    entity_type: &'a str,
    key: &'a str,
    comments: &'a [Comment],
    attachments: &'a [Attachment],
    /// Names of fields are checked.
    checked: bool,
    replica: Option<ExactFields<'a>>,
    previous: Option<ExactFields<'a>>,
    changed: Vec<String>,
    deleted: bool,
    first_sync: bool,
    connection: Option<ConnectionScene<'a>>,
}

/// What describe tells of the tracker's types; most rules never look at it, so the engine gets it as text.
#[derive(Serialize, Default)]
pub struct Told<'a> {
    listed: Option<&'a Listed>,
    described: Option<&'a Described>,
}

impl<'a> Told<'a> {
    /// What a rule may ask for.
    pub fn rule(input: &'a RuleInput) -> Self {
        match input {
            RuleInput::Outgoing { described, .. } => Self { listed: None, described: Some(described) },
            RuleInput::Incoming { listed, described, .. } => Self { listed: Some(listed), described: Some(described) },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionScene<'a> {
    id: &'a str,
    name: &'a str,
    mode: Mode,
    local_short_name: &'a str,
    remote_short_name: &'a str,
}

impl<'a> Scene<'a> {
    /// The scene of an expression.
    pub fn filter(entity: &'a EntityView) -> Self {
        Self {
            direction: "filter",
            fields: ExactFields(&entity.fields),
            entity_type: &entity.entity_type,
            key: &entity.key,
            comments: &entity.comments,
            attachments: &entity.attachments,
            checked: false,
            replica: None,
            previous: None,
            changed: Vec::new(),
            deleted: false,
            first_sync: false,
            connection: None,
        }
    }

    /// The scene of a rule.
    pub fn rule(input: &'a RuleInput) -> Self {
        match input {
            RuleInput::Outgoing { entity, previous, changed, first_sync, connection, described } => Self {
                direction: "outgoing",
                checked: connection.mode == Mode::Script && !described.is_empty(),
                changed: changed.clone(),
                previous: previous.as_ref().map(ExactFields),
                first_sync: *first_sync,
                connection: Some(connection_scene(connection)),
                ..Self::filter(entity)
            },
            RuleInput::Incoming { entity, replica, previous, first_sync, deleted, connection, described, .. } => Self {
                direction: "incoming",
                checked: connection.mode == Mode::Script && !described.is_empty(),
                replica: Some(ExactFields(replica)),
                changed: replica::differences(replica, previous.as_ref().unwrap_or(&Fields::new())),
                previous: previous.as_ref().map(ExactFields),
                deleted: *deleted,
                first_sync: *first_sync,
                connection: Some(connection_scene(connection)),
                ..Self::filter(entity)
            },
        }
    }
}

fn connection_scene(view: &ConnectionView) -> ConnectionScene<'_> {
    ConnectionScene {
        id: &view.id,
        name: &view.name,
        mode: view.mode,
        local_short_name: &view.local_short_name,
        remote_short_name: &view.remote_short_name,
    }
}
