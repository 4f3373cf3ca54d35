//! Writes whose answer was lost: settled before anything new is written for their twin.
//!
//! A create is looked for by the twin's id or mark, many in one query; what is there is adopted, with the create's
//! values as its baseline, so that what people did since is seen as theirs. A tracker that recognises repeats gets the
//! same body again. Where nobody can tell, the twin is parked: asking a person beats a second record.

use std::collections::BTreeMap;

use super::{
    decide::Item,
    ending::park,
    judge::Failure,
    outgoing::Worker,
    plan::settle::changed_since,
    settle::{Again, Settle, Trouble},
    written,
};
use crate::domain::{
    ids::{EntityRef, TwinId},
    tracker::{Caller, Created, Description, Entity, Found, TrackerError, Write, WriteKind, Written},
    twin::{PendingWrite, Twin},
};

/// Settles the doubts of a batch; items whose doubt stays are parked and left out.
pub(super) async fn settle(worker: &Worker, items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let mut clear = Vec::new();
    let mut lost_creates: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    let mut repeats = Vec::new();
    for mut item in items {
        match open_question(worker, &item) {
            None => clear.push(item),
            Some(Question::Search(entity_type)) => lost_creates.entry(entity_type).or_default().push(item),
            Some(Question::Repeat) => repeats.push(item),
            Some(Question::Forget) => {
                if let Some(twin) = &mut item.twin {
                    twin.memory.pending_write = None;
                }
                clear.push(item);
            }
        }
    }
    let mut done = Settle::default();
    for (entity_type, items) in lost_creates {
        clear.extend(search(worker, &entity_type, items, &mut done).await?);
    }
    let (repeats, touched) = parted(worker, repeats).await?;
    clear.extend(touched);
    let mut failure = None;
    clear.extend(repeat(worker, repeats, &mut done, &mut failure).await);
    done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "doubts_settled").await?;
    failure.map_or(Ok(clear), |error| Err(Failure::Tracker(error)))
}

/// Parts the writes that may be repeated from those whose record somebody has changed since: the repeat would land on
/// what people did. Those are decided anew, with what the record holds now.
async fn parted(worker: &Worker, items: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), Failure> {
    let (mut repeats, updates): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.twin.as_ref().is_none_or(|twin| twin.local.is_none()));
    let mut touched = Vec::new();
    for mut item in super::apply::read(worker, updates).await? {
        let Some(twin) = &mut item.twin else { continue };
        let changed = match &item.record {
            Some(Found::Here(entity)) => changed_since(&twin.memory, &entity.fields),
            Some(Found::Deleted) => true,
            _ => false,
        };
        if changed {
            twin.memory.pending_write = None;
            touched.push(item);
        } else {
            item.record = None;
            repeats.push(item);
        }
    }
    Ok((repeats, touched))
}

enum Question {
    Search(String),
    Repeat,
    Forget,
}

fn open_question(worker: &Worker, item: &Item) -> Option<Question> {
    let twin = item.twin.as_ref()?;
    let traits = worker.tracker.traits();
    match &twin.memory.pending_write {
        Some(pending) if pending.key.is_none() && twin.local.is_none() => {
            Some(if traits.repeats_creates { Question::Repeat } else { Question::Search(pending.entity_type.clone()) })
        }
        Some(pending) if pending.key.is_some() && traits.keeps_writes => Some(Question::Repeat),
        Some(_) => Some(Question::Forget),
        None => {
            // They say that we have a record: it was made before we were set back.
            let told = item.folded.sync.as_ref().and_then(|sync| sync.remote.as_ref());
            (twin.local.is_none() && !traits.repeats_creates)
                .then(|| told.map(|remote| Question::Search(remote.entity_type.clone())))
                .flatten()
        }
    }
}

async fn search(worker: &Worker, entity_type: &str, items: Vec<Item>, done: &mut Settle) -> Result<Vec<Item>, Failure> {
    let asked: Vec<(TwinId, PendingWrite)> = items.iter().filter_map(|item| question_of(worker, item, entity_type)).collect();
    let answers = worker.tracker.find_created(entity_type, &asked).await?;
    let edited = |answer: &Created| matches!(answer, Created::Here(entity) if entity.edited_by_us == Some(false));
    let description = if answers.iter().any(edited) {
        worker.tracker.describe(Caller::Sync, entity_type).await?
    } else {
        Description::default()
    };
    let mut clear = Vec::new();
    for ((mut item, answer), (_, pending)) in items.into_iter().zip(answers).zip(asked) {
        let Some(mut twin) = item.twin.take() else { continue };
        match answer {
            Created::Here(entity) => {
                adopt(&mut twin, &pending, &entity, &description);
                item.record = Some(Found::Here(entity));
                item.twin = Some(twin);
                clear.push(item);
            }
            Created::Absent => {
                twin.memory.pending_write = None;
                item.twin = Some(twin);
                clear.push(item);
            }
            Created::Deleted { key } => {
                twin.local = Some(EntityRef { entity_type: entity_type.to_owned(), key, url: None });
                twin.memory.pending_write = None;
                done.join(park(worker, twin, &item.folded, was_deleted()));
            }
            Created::CannotTell => done.join(park(worker, twin, &item.folded, cannot_tell(&pending))),
        }
    }
    Ok(clear)
}

fn question_of(worker: &Worker, item: &Item, entity_type: &str) -> Option<(TwinId, PendingWrite)> {
    let twin = item.twin.as_ref()?;
    let pending = twin.memory.pending_write.clone().unwrap_or_else(|| PendingWrite {
        id: crate::domain::ids::WriteId(worker.parts.clock.id()),
        started_at: worker.parts.clock.now(),
        entity_type: entity_type.to_owned(),
        key: None,
        fields: Default::default(),
        up_to: 0,
        epoch: 0,
        received: None,
    });
    Some((twin.id, pending))
}

/// The record is ours after all: what differs from what we wrote was done by people since. Where somebody else saved it
/// last, so was what differs from what the tracker gives a new record.
fn adopt(twin: &mut Twin, pending: &PendingWrite, entity: &Entity, description: &Description) {
    twin.local = Some(EntityRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() });
    twin.memory.base = entity.fields.clone();
    if entity.edited_by_us == Some(false) && !pending.fields.is_empty() {
        for field in description.fields.iter().filter(|field| field.writable) {
            if let (Some(slot), Some(default)) = (twin.memory.base.get_mut(&field.name), &field.default) {
                slot.clone_from(default);
            }
        }
    }
    for (name, value) in &pending.fields {
        twin.memory.base.insert(name.clone(), value.clone());
        twin.memory.assigned.insert(name.clone(), value.clone());
    }
    twin.memory.pending_write = None;
}

/// Sends writes again whose answer was lost. `failure` becomes an error that concerns the whole tracker; what the others
/// answered counts all the same.
async fn repeat(worker: &Worker, items: Vec<Item>, done: &mut Settle, failure: &mut Option<TrackerError>) -> Vec<Item> {
    let writes: Vec<Write> = items
        .iter()
        .filter_map(|item| {
            let twin = item.twin.as_ref()?;
            let pending = twin.memory.pending_write.clone()?;
            let kind = if pending.key.is_none() { WriteKind::Create } else { WriteKind::Update };
            Some(Write { twin: twin.id, changed: pending.fields.keys().cloned().collect(), pending, kind })
        })
        .collect();
    if writes.is_empty() {
        return items;
    }
    let answers = worker.tracker.write(&writes).await;
    let mut clear = Vec::new();
    for (mut item, answer) in items.into_iter().zip(answers) {
        let Some(mut twin) = item.twin.take() else { continue };
        match answer {
            Ok(written) => {
                // Stored with what follows: a twin that names its record is everybody's to find, and it knows nothing yet.
                took(&mut twin, &written);
                if twin.memory.received.is_some() {
                    written::remember(worker, &item.connection, &mut twin, None).await;
                }
                item.twin = Some(twin);
                clear.push(item);
            }
            Err(error) if error.concerns_all() => *failure = failure.take().or(Some(error)),
            Err(error) if error.in_doubt => done.join(park(worker, twin, &item.folded, Trouble::from(&error))),
            // A plain no: it never took effect, and what came since is tried in its place.
            Err(_) => {
                twin.memory.pending_write = None;
                item.twin = Some(twin);
                clear.push(item);
            }
        }
    }
    clear
}

/// The repeated write is in effect, and so is what the other side said for it: else the next word of theirs is held
/// against a value that is not there any more.
fn took(twin: &mut Twin, written: &Written) {
    let Some(pending) = twin.memory.pending_write.take() else { return };
    if twin.local.is_none() {
        twin.local =
            Some(EntityRef { entity_type: pending.entity_type.clone(), key: written.key.clone(), url: written.url.clone() });
    }
    twin.memory.received = pending.received.or_else(|| twin.memory.received.take());
    for (name, value) in pending.fields {
        twin.memory.base.insert(name.clone(), value.clone());
        twin.memory.assigned.insert(name.clone(), value.clone());
        if let Some(known) = &mut twin.memory.known {
            known.insert(name, value);
        }
    }
    if let Some(entity) = &written.read_back {
        super::plan::settle::note_read(&mut twin.memory, entity, None);
    }
}

fn was_deleted() -> Trouble {
    Trouble {
        code: "created_then_deleted".to_owned(),
        title: "The record was made here and has been deleted".to_owned(),
        detail: "the answer to its create was lost; it is found among the deleted records".to_owned(),
        advice: "Undelete it and retry, or stop its sync.".to_owned(),
        again: Again::Newer,
    }
}

fn cannot_tell(pending: &PendingWrite) -> Trouble {
    Trouble {
        code: "create_in_doubt".to_owned(),
        title: "Nobody can tell whether the record was made".to_owned(),
        detail: format!("the answer to a create begun at {} was lost, and the tracker keeps no mark of ours", pending.started_at),
        advice: "Look for the record: link it if it is there, or retry to make it.".to_owned(),
        again: Again::Person,
    }
}
