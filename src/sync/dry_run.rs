//! A rule tried on a real record or a recorded replica: all of the run, none of what follows it.
//!
//! The record is read, the rule runs, and what it would change is told. Nothing is stored, sent or written, anywhere: no
//! twin, no draft, no history, no error. The trap is whatever only looks like reading; so this uses the pieces of the
//! engine that take a memory by reference, and never a [`super::settle::Settle`].

use std::time::{Duration, Instant};

pub use super::asks::Call;
use super::{Engine, Refused, asks::Desk, outgoing::Worker, plan, view, wishes};
use crate::domain::{
    connection::Connection,
    history::{Direction, FieldChange},
    ids::{ConnectionId, TwinId},
    replica::{self, Fields},
    rule::{RuleError, RuleInput, RuleOutput, Wishes},
    tracker::{Caller, Description, Entity},
    twin::{Memory, Twin},
};

/// What to try.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Entity → replica, or replica → entity.
    pub way: Way,
    /// The rule's text; `None`: the one that runs.
    pub rule: Option<String>,
    /// The record here, by type and key; for an incoming rule `None` is a first sync.
    pub record: Option<(String, String)>,
    /// The twin whose record, and whose last replica, are to be taken.
    pub twin: Option<TwinId>,
}

/// Which rule.
#[derive(Clone, Debug)]
pub enum Way {
    /// Entity → replica.
    Outgoing,
    /// Replica → entity; `None`: the replica that was applied last.
    Incoming(Option<Fields>),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Why it did not end well; all else is empty then.
    pub error: Option<RuleError>,
    /// It would skip, for this reason.
    pub skip: Option<String>,
    /// Outgoing: what would be sent.
    pub replica: Option<Fields>,
    /// Incoming: the type of the record.
    pub entity_type: Option<String>,
    /// Incoming: what the rule assigned.
    pub assigned: Option<Fields>,
    /// Outgoing: against what was sent last. Incoming: what would be written, against what is there.
    pub differences: Vec<FieldChange>,
    /// Texts that would be cut, by field.
    pub cut: Vec<String>,
    /// What it asked for beside.
    pub wishes: Wishes,
    /// Calls with effects that it would make, in order; none was made, and each was answered with an empty object.
    pub calls: Vec<Call>,
    /// What it logged.
    pub log: Vec<String>,
    /// How long the run took, the way to its process included.
    pub took: Duration,
    /// Bytes of memory in use when it ended; `None` where it did not end well.
    pub memory: Option<u64>,
}

impl Engine {
    /// Runs a rule and tells what would come of it.
    pub async fn dry_run(&self, connection: ConnectionId, trial: Trial) -> Result<Tried, Refused> {
        let (connection, worker) = self.connection(connection).await?;
        let twin = match trial.twin {
            Some(id) => Some(
                self.twin(id).await.ok().filter(|twin| twin.connection_id == connection.id).ok_or(Refused::NotFound("twin"))?,
            ),
            None => None,
        };
        let named = trial.record.clone().or_else(|| {
            let local = twin.as_ref()?.local.as_ref()?;
            Some((local.entity_type.clone(), local.key.clone()))
        });
        let record = match named {
            Some((entity_type, key)) => Some(wishes::person_reads(&worker, &entity_type, &key).await?),
            None => None,
        };
        let twin = match (twin, &record) {
            (None, Some(record)) => wishes::twins_here(&worker, &connection, record).await?.into_iter().next(),
            (twin, _) => twin,
        };
        let record = record.map(|record| completed(record, twin.as_ref()));
        let memory = twin.as_ref().map(|twin| twin.memory.clone()).unwrap_or_default();
        let pair = view::rules(&worker, &connection).await.map_err(|trouble| Refused::State(trouble.detail))?;
        match trial.way {
            Way::Outgoing => {
                let record = record.ok_or_else(|| {
                    needs("key", "an outgoing rule is tried on a record: give `entity_type` and `key`, or a twin")
                })?;
                let first = twin.as_ref().is_none_or(|twin| twin.remote.is_none());
                let (rule, memory) = (trial.rule.unwrap_or(pair.outgoing), memory);
                outgoing(&worker, &connection, &rule, (&memory, &record, first)).await
            }
            Way::Incoming(given) => {
                let replica = given.or_else(|| memory.received.clone()).ok_or_else(|| {
                    needs("replica", "an incoming rule is tried on a replica: give one, or a twin to which one was applied")
                })?;
                let rule = trial.rule.unwrap_or(pair.incoming);
                incoming(&worker, &connection, &rule, (&memory, record, replica)).await
            }
        }
    }
}

/// A tracker that cannot be asked shows what its notices said.
fn completed(record: Entity, twin: Option<&Twin>) -> Entity {
    let known = twin.filter(|_| record.fields.is_empty()).map(|twin| &twin.memory);
    match known.map(|memory| memory.known.as_ref().unwrap_or(&memory.base)) {
        Some(fields) => Entity { fields: fields.clone(), ..record },
        None => record,
    }
}

fn needs(field: &'static str, message: &str) -> Refused {
    Refused::Invalid { field, message: message.to_owned() }
}

pub(super) async fn outgoing(
    worker: &Worker,
    connection: &Connection,
    rule: &str,
    (memory, record, first): (&Memory, &Entity, bool),
) -> Result<Tried, Refused> {
    let (fields, _) = plan::settle::without_cut_edits(memory, &record.fields);
    let shown = Entity { fields, ..record.clone() };
    let input = view::outgoing(worker, connection, memory, &shown, first).await;
    let input = input.map_err(|trouble| Refused::State(trouble.detail))?;
    let desk = Desk::trial(worker, connection.id, Some(&record.key));
    let (output, took) = run(worker, rule, &input, &desk).await;
    tried(output, (took, desk.calls()), |output, tried| {
        let empty = Fields::new();
        let sent = memory.sent.as_ref().unwrap_or(&empty);
        let names = replica::differences(sent, &output.replica).into_iter();
        tried.differences = names
            .map(|field| FieldChange {
                from: plan::value(sent, &field).clone(),
                to: plan::value(&output.replica, &field).clone(),
                field,
                conflict: false,
            })
            .collect();
        tried.replica = Some(output.replica.clone());
        Ok(())
    })
}

pub(super) async fn incoming(
    worker: &Worker,
    connection: &Connection,
    rule: &str,
    (memory, record, replica): (&Memory, Option<Entity>, Fields),
) -> Result<Tried, Refused> {
    let default = worker.tracker.default_entity_type();
    let description = describe(worker, record.as_ref().map_or(default, |record| &record.entity_type)).await?;
    let ours = (record.as_ref(), memory.received.as_ref());
    let input = view::incoming(worker, connection, ours, (replica, false), &description);
    let desk = Desk::trial(worker, connection.id, record.as_ref().map(|record| record.key.as_str()));
    let (output, took) = run(worker, rule, &input, &desk).await;
    let entity_type = match (&record, &output) {
        (Some(record), _) => record.entity_type.clone(),
        (None, Ok(output)) => output.entity_type.clone().unwrap_or_else(|| default.to_owned()),
        (None, Err(_)) => default.to_owned(),
    };
    let description = if record.is_some() { description } else { describe(worker, &entity_type).await? };
    tried(output, (took, desk.calls()), |output, tried| {
        let assigned = match &record {
            Some(_) => output.assigned.clone(),
            None => view::with_defaults(worker, &entity_type, output.assigned.clone()),
        };
        let choice = plan::incoming::Choice {
            assigned: &assigned,
            assigned_before: None,
            record: record.as_ref().map(|record| &record.fields),
            description: &description,
        };
        let chosen = plan::incoming::choose(memory, choice).map_err(|missing| {
            let listed = missing.listed.join(", ");
            Refused::State(format!("`{}` does not list the value `{}`; it lists {listed}", missing.field, missing.value))
        })?;
        tried.entity_type = Some(entity_type.clone());
        tried.differences = chosen.changes;
        tried.cut = chosen.cut;
        tried.assigned = Some(assigned);
        Ok(())
    })
}

async fn describe(worker: &Worker, entity_type: &str) -> Result<Description, Refused> {
    Ok(worker.tracker.describe(Caller::Person, entity_type).await?)
}

async fn run(worker: &Worker, rule: &str, input: &RuleInput, desk: &Desk) -> (Result<RuleOutput, RuleError>, Duration) {
    let began = Instant::now();
    let output = match worker.parts.rules.run_measured(rule, input, desk).await {
        // The tracker could not be asked: that is what stopped it.
        Err(error @ RuleError::Ended) => {
            let why = desk
                .trouble(Direction::Out, &error)
                .map_or_else(|_| error.to_string(), |why| format!("{}: {}", why.title, why.detail));
            Err(RuleError::Engine(why))
        }
        output => output,
    };
    (output, began.elapsed())
}

/// What is the same on both ways, and what `more` adds for a run that neither failed nor skipped.
fn tried(
    output: Result<RuleOutput, RuleError>,
    (took, calls): (Duration, Vec<Call>),
    more: impl FnOnce(&RuleOutput, &mut Tried) -> Result<(), Refused>,
) -> Result<Tried, Refused> {
    let (output, error) = match output {
        Ok(output) => (output, None),
        Err(error) => (RuleOutput::default(), Some(error)),
    };
    let mut tried = Tried {
        skip: output.skip.clone(),
        replica: None,
        entity_type: None,
        assigned: None,
        differences: Vec::new(),
        cut: Vec::new(),
        wishes: output.wishes.clone(),
        calls,
        log: output.log.clone(),
        took,
        memory: output.memory,
        error,
    };
    if tried.error.is_none() && tried.skip.is_none() {
        more(&output, &mut tried)?;
    }
    Ok(tried)
}
