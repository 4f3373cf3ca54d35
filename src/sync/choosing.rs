//! What the incoming rule makes of what came, or why nothing is to be written of it.
//!
//! The rule runs on the replica with what is theirs, once more on the one before where memory does not tell what it
//! assigned then ([`super::plan::incoming`]), and what it assigns is compared with the record. A failure that is the
//! rule's own counts towards the pause of its direction; one that only lacks what it asked for does not.

use std::collections::BTreeMap;

use super::{
    asks::{Desk, Storing},
    decide::Item,
    outgoing::Worker,
    plan::{
        self,
        incoming::{Choice, Chosen, NotListed, Weighed},
    },
    settle::{Again, Trouble},
    view::{self, Task},
};
use crate::{
    clock::Time,
    domain::{
        history::Direction,
        replica::Fields,
        rule::{RuleError, RuleInput, RuleOutput, Wishes},
        tracker::{Caller, Description, Entity},
        twin::Twin,
    },
    store::rows::JournalRow,
};

/// Why nothing is to be written.
pub(super) enum Stop {
    Park(Trouble),
    /// The rule of this version failed, by itself.
    Failed(Box<(Trouble, RuleError)>, u32),
    Skip(String),
    /// The rule names the record of ours, by type and key.
    Adopt(String, String),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Park(trouble)
    }
}

/// What is to be written, and what led to it.
pub(super) struct Choosing {
    pub weighed: Weighed,
    pub first_seen: BTreeMap<String, Time>,
    pub chosen: Chosen,
    pub entity_type: String,
    pub before: Option<Entity>,
    pub log: Vec<String>,
    pub wishes: Wishes,
    pub storing: Option<JournalRow>,
}

/// Runs the incoming rule on what came and compares with what is there.
pub(super) async fn choose(
    worker: &Worker,
    item: &Item,
    (twin, before): (&Twin, Option<Entity>),
    Task { pair, desk }: &Task,
) -> Result<Choosing, Stop> {
    let (weighed, first_seen) = super::weighing::weigh(worker, item, twin, before.as_ref(), &pair.outgoing).await;
    let description = describe(worker, before.as_ref().map(|entity| entity.entity_type.as_str())).await?;
    // `store(entity)` made the record in an earlier run of this work.
    let made_here = desk.made_here() && twin.memory.received.is_none();
    let run = async |replica: Fields, desk: &Desk| {
        let ours = (before.as_ref(), twin.memory.received.as_ref());
        let mut input = view::incoming(worker, &item.connection, ours, (replica, item.folded.deleted), &description);
        if let RuleInput::Incoming { first_sync, .. } = &mut input {
            *first_sync |= made_here;
        }
        worker.parts.rules.run(&pair.incoming, &input, desk).await
    };
    let failed = |error| Stop::Failed(Box::new((Trouble::rule(Direction::In, &error), error)), pair.version);
    let (output, storing) = so_far(run(weighed.replica.clone(), desk).await, (desk, pair.version))?;
    let assigned_before = match (&weighed.before, &before) {
        (Some(fields), Some(_)) if output.skip.is_none() => {
            Some(run(fields.clone(), &desk.beside()).await.map_err(failed)?.assigned)
        }
        _ => None,
    };
    // One that waits for its record to be stored has not come to its end.
    if storing.is_none() {
        worker.pauses.worked(worker, (item.connection.id, Direction::In)).await;
    }
    if let Some(reason) = output.skip {
        return Err(Stop::Skip(reason));
    }
    let entity_type = before.as_ref().map(|entity| entity.entity_type.clone()).or(output.entity_type);
    let entity_type = entity_type.unwrap_or_else(|| worker.tracker.default_entity_type().to_owned());
    if let (None, Some(key)) = (&before, output.wishes.link_to.clone()) {
        return Err(Stop::Adopt(entity_type, key));
    }
    let (assigned, description) = match &before {
        Some(_) => (output.assigned, description),
        None => (view::with_defaults(worker, &entity_type, output.assigned), describe(worker, Some(&entity_type)).await?),
    };
    let choice = Choice {
        assigned: &assigned,
        assigned_before: assigned_before.as_ref(),
        record: before.as_ref().map(|entity| &entity.fields),
        description: &description,
    };
    let chosen = plan::incoming::choose(&twin.memory, choice).map_err(|missing| Stop::Park(not_listed(&missing)))?;
    Ok(Choosing { weighed, first_seen, chosen, entity_type, before, log: output.log, wishes: output.wishes, storing })
}

/// What a run left; where it waits for its record to be stored, what it left so far.
fn so_far(ran: Result<RuleOutput, RuleError>, (desk, version): (&Desk, u32)) -> Result<(RuleOutput, Option<JournalRow>), Stop> {
    let error = match ran {
        Ok(output) => return Ok((output, None)),
        Err(error) => error,
    };
    match desk.trouble(Direction::In, &error) {
        Ok(trouble) if trouble.again == Again::Person => Err(Stop::Failed(Box::new((trouble, error)), version)),
        // It may only lack what it looked for, or what nobody could answer: no word against the rule.
        Ok(trouble) => Err(Stop::Park(trouble)),
        Err(asked) => {
            let Storing { assigned, entity_type, row } = *asked;
            Ok((RuleOutput { assigned, entity_type, ..RuleOutput::default() }, Some(row)))
        }
    }
}

async fn describe(worker: &Worker, entity_type: Option<&str>) -> Result<Description, Stop> {
    let entity_type = entity_type.unwrap_or_else(|| worker.tracker.default_entity_type());
    worker.tracker.describe(Caller::Sync, entity_type).await.map_err(|error| Stop::Park(Trouble::from(&error)))
}

fn not_listed(missing: &NotListed) -> Trouble {
    Trouble {
        code: "picklist_value".to_owned(),
        title: format!("`{}` does not list the value `{}`", missing.field, missing.value),
        detail: format!("the values there are: {}", missing.listed.join(", ")),
        advice: "Map the value in the incoming rule, or add it to the picklist, then retry.".to_owned(),
        again: Again::Newer,
    }
}
