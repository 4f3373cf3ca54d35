//! What rules are shown.

use super::{
    asks::{Desk, Journal},
    outgoing::Worker,
    settle::{Again, Trouble},
};
use crate::{
    domain::{
        connection::{Connection, Mode},
        history::Direction,
        replica::{self, Fields},
        rule::{ConnectionView, Described, EntityView, Listed, RuleInput, RulePair},
        tracker::{Caller, Description, Entity},
        twin::{Memory, Twin},
    },
    store::{
        StoreError, Tx,
        rows::{JournalRow, RuleWork},
    },
};

/// The connection's published pair, or the built-in one of our tracker's kind.
pub(super) async fn rules(worker: &Worker, connection: &Connection) -> Result<RulePair, Trouble> {
    if connection.mode == Mode::Script {
        let id = connection.id;
        let published = worker.parts.store.read("rules", move |tx| Box::pin(async move { tx.rules(id).await })).await;
        match published {
            Ok(Some(pair)) => return Ok(pair),
            Ok(None) => {}
            Err(error) => return Err(trouble("store", &error.to_string(), Again::Soon)),
        }
    }
    built_in(worker)
}

/// What a piece of work runs.
pub(super) struct Task {
    /// The rules: those that run, or those that the work began with.
    pub pair: RulePair,
    /// Who answers what they ask.
    pub desk: Desk,
}

/// The rules for a twin's work on one way, with what it did before.
pub(super) async fn work(worker: &Worker, on: &Connection, twin: &Twin, direction: Direction) -> Result<Task, Trouble> {
    let work = (on.id, twin.id, direction);
    let key = twin.local.as_ref().map(|local| local.key.as_str());
    if on.mode == Mode::Script {
        let read = worker.parts.store.read("rules", move |tx| Box::pin(async move { written(tx, work).await })).await;
        if let Some((pair, rows)) = read.map_err(|error| trouble("store", &error.to_string(), Again::Soon))? {
            let desk = Desk::of_work(worker, work, Journal::new(rows, pair.version), key);
            return Ok(Task { pair, desk });
        }
    }
    let pair = built_in(worker)?;
    Ok(Task { desk: Desk::of_work(worker, work, Journal::new(Vec::new(), pair.version), key), pair })
}

async fn written(tx: &mut dyn Tx, work: RuleWork) -> Result<Option<(RulePair, Vec<JournalRow>)>, StoreError> {
    let Some((newest, begun)) = tx.rules_for(work).await? else { return Ok(None) };
    let Some(begun) = begun else { return Ok(Some((newest, Vec::new()))) };
    let rows = tx.journal(work).await?;
    let pair = if begun == newest.version { None } else { tx.rule_version(work.0, begun).await? };
    Ok(Some((pair.map_or(newest, |version| version.pair()), rows)))
}

fn built_in(worker: &Worker) -> Result<RulePair, Trouble> {
    worker.parts.rules.built_in(worker.tracker.kind()).ok_or_else(|| {
        trouble("no_rules", &format!("there is no built-in pair of rules for a {} tracker", worker.tracker.kind()), Again::Person)
    })
}

fn trouble(code: &str, detail: &str, again: Again) -> Trouble {
    Trouble {
        code: code.to_owned(),
        title: "The rules could not be had".to_owned(),
        detail: detail.to_owned(),
        advice: "Publish rules for this connection, then retry.".to_owned(),
        again,
    }
}

/// A record as a rule sees it.
pub(super) fn entity(entity: &Entity) -> EntityView {
    let Entity { entity_type, key, fields, .. } = entity.clone();
    EntityView { entity_type, key, fields, ..EntityView::default() }
}

/// What an outgoing rule is shown of a record.
pub(super) async fn outgoing(
    worker: &Worker,
    on: &Connection,
    memory: &Memory,
    shown: &Entity,
    first_sync: bool,
) -> Result<RuleInput, Trouble> {
    let described = match on.mode {
        Mode::Basic => Described::new(),
        Mode::Script => {
            let description = worker.tracker.describe(Caller::Sync, &shown.entity_type).await;
            described(on, &description.map_err(|error| Trouble::from(&error))?)
        }
    };
    Ok(RuleInput::Outgoing {
        entity: entity(shown),
        previous: memory.sent.clone(),
        changed: replica::differences(&memory.base, &shown.fields),
        first_sync,
        connection: connection(on),
        described,
    })
}

/// What an incoming rule is shown: our record (`None` where it is being made) and the last replica that was applied, then
/// what came and whether their record is gone.
pub(super) fn incoming(
    worker: &Worker,
    on: &Connection,
    (record, received): (Option<&Entity>, Option<&Fields>),
    (replica, deleted): (Fields, bool),
    description: &Description,
) -> RuleInput {
    RuleInput::Incoming {
        entity: record.map_or_else(|| blank(worker), entity),
        replica,
        previous: received.cloned(),
        first_sync: record.is_none(),
        deleted,
        connection: connection(on),
        listed: listed(description),
        described: described(on, description),
    }
}

fn blank(worker: &Worker) -> EntityView {
    let entity_type = worker.tracker.default_entity_type().to_owned();
    let fields = worker.tracker.defaults(&entity_type);
    EntityView { fields, entity_type, ..EntityView::default() }
}

/// What a new record is made from: what the rule assigned, over what the tracker's configuration says.
pub(super) fn with_defaults(worker: &Worker, entity_type: &str, assigned: Fields) -> Fields {
    let mut fields = worker.tracker.defaults(entity_type);
    fields.extend(assigned);
    fields
}

/// A connection as a rule sees it.
pub(super) fn connection(connection: &Connection) -> ConnectionView {
    ConnectionView {
        id: connection.id.to_string(),
        name: connection.name.clone(),
        mode: connection.mode,
        local_short_name: connection.local_short_name.clone(),
        remote_short_name: connection.remote_short_name.clone(),
    }
}

/// Which fields there are, where a rule that somebody wrote is to be held to them.
fn described(connection: &Connection, description: &Description) -> Described {
    if connection.mode == Mode::Basic || description.fields.is_empty() {
        return Described::new();
    }
    let names = description.fields.iter().map(|field| field.name.clone()).collect();
    Described::from([(description.entity_type.clone(), names)])
}

/// Picklist values by field.
fn listed(description: &Description) -> Listed {
    description.fields.iter().filter_map(|field| Some((field.name.clone(), field.values.clone()?))).collect()
}
