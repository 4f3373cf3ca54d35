//! Two records that exist become a twin: nothing is written, what both hold now is the baseline.
//!
//! A key that the partner names is a wish (link.md, "Trust"): the connection's `links` says whether it is taken, held
//! against our triggers, or shown to an admin, whose retry is the yes.

use std::time::Duration;

use super::{
    decide::Item,
    ending::{finish, let_go, park, refuse},
    judge::Failure,
    outgoing::Worker,
    record::draft,
    settle::{Again, Settle, Trouble},
    view, written,
};
use crate::{
    domain::{
        connection::{Connection, Links},
        event::{Body, RemoteRef, Start},
        history::Outcome,
        ids::EntityRef,
        tracker::{Caller, Entity, Found},
        twin::{Status, Twin},
    },
    store::{LeaseKey, rows::AuditLine},
};

/// How soon a link is looked at again whose record is being worked on.
const BUSY: Duration = Duration::from_millis(200);

/// The other side asks for a link. An event that came with it (`start`) is taken up in the next round.
pub(super) async fn heard(worker: &Worker, item: &Item, mut twin: Twin) -> Result<Settle, Failure> {
    let Some((theirs, ours, start)) = item.folded.link.clone() else { return Ok(Settle::default()) };
    twin.remote = Some(EntityRef { entity_type: theirs.entity_type.clone(), key: theirs.key.clone(), url: theirs.url.clone() });
    let key = match worker.tracker.key(&ours.entity_type, &ours.key) {
        Ok(key) => key,
        Err(error) => return Ok(park(worker, twin, &item.folded, Trouble::from(&error))),
    };
    let read = worker.tracker.read(Caller::Sync, &ours.entity_type, std::slice::from_ref(&key)).await?;
    let entity = match read.found.into_iter().next() {
        Some(Found::Here(entity)) => *entity,
        Some(Found::CannotAsk) => Entity { entity_type: ours.entity_type.clone(), key: key.clone(), ..Entity::default() },
        _ => return Ok(park(worker, twin, &item.folded, not_there(&ours))),
    };
    // Whoever works on that record now may be about to start a twin for it.
    let record =
        LeaseKey::Record { tracker: worker.name.clone(), entity_type: entity.entity_type.clone(), key: entity.key.clone() };
    let Some(lease) = worker.parts.store.leases().take(vec![record]) else {
        let until = worker.parts.clock.now().plus(BUSY);
        return Ok(Settle { resting: vec![(twin.connection_id, twin.id, until)], ..Settle::default() });
    };
    let others = others(worker, &item.connection, &twin, &entity).await?;
    if others.iter().any(|other| other.remote.is_some()) {
        let reason = "that record is under sync on this connection already".to_owned();
        return Ok(refuse(worker, twin, &item.folded, reason));
    }
    if !twin.memory.linked && !allowed(worker, &item.connection, &entity).await? {
        return Ok(park(worker, twin, &item.folded, asked(&theirs, &ours)));
    }
    audit(worker, &item.connection, &theirs, &ours).await?;
    let mut settle = join(worker, item, twin, (theirs, entity), start).await;
    // A create that we had begun for this record, and that they answered to by nothing yet, joins the link.
    for mut other in others {
        let stop = draft(worker, &other, Body::Stop {}, item.folded.correlation);
        other.status = Status::Stopped;
        other.memory.stop_event = Some(stop.id);
        let_go(&mut other);
        settle.twins.push(other);
        settle.drafts.push(stop);
    }
    settle.leases.push(lease);
    Ok(settle)
}

async fn join(worker: &Worker, item: &Item, mut twin: Twin, (theirs, entity): (RemoteRef, Entity), start: Start) -> Settle {
    twin.local = Some(EntityRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() });
    twin.remote = Some(EntityRef { entity_type: theirs.entity_type, key: theirs.key, url: theirs.url });
    twin.memory.linked = true;
    baseline(worker, &item.connection, &mut twin, &entity).await;
    if twin.status == Status::Waiting {
        twin.status = Status::InSync;
    }
    if start == Start::Receive {
        twin.memory.owes_word = true;
        twin.memory.word = twin.memory.sent.iter().flat_map(|sent| sent.keys().cloned()).collect();
    }
    let changes = (start == Start::Receive).then(|| written::look_again(worker, &twin, item.folded.correlation)).flatten();
    let mut settle = finish(worker, twin, &item.folded, Outcome::Applied, Some("linked".to_owned()));
    settle.changes.extend(changes);
    settle
}

/// What the record holds now is known on both sides from here on.
pub(super) async fn baseline(worker: &Worker, connection: &Connection, twin: &mut Twin, entity: &Entity) {
    twin.memory.base.clone_from(&entity.fields);
    super::plan::settle::note_read(&mut twin.memory, entity, None);
    if let Ok(pair) = view::rules(worker, connection).await {
        let replica = written::replica_of(worker, connection, &pair.outgoing, &twin.memory, entity).await;
        twin.memory.sent = Some(replica.unwrap_or_default());
    }
}

/// The other twins of that record on this connection that are not stopped.
async fn others(worker: &Worker, connection: &Connection, twin: &Twin, entity: &Entity) -> Result<Vec<Twin>, Failure> {
    let (tracker, entity_type, key) = (worker.name.clone(), entity.entity_type.clone(), entity.key.clone());
    let mut twins = worker
        .parts
        .store
        .read("twins_of_record", move |tx| Box::pin(async move { tx.twins_of_record(&tracker, &entity_type, &key).await }))
        .await?;
    twins.retain(|other| other.connection_id == connection.id && other.id != twin.id && other.status != Status::Stopped);
    Ok(twins)
}

async fn allowed(worker: &Worker, connection: &Connection, entity: &Entity) -> Result<bool, Failure> {
    match connection.links {
        Links::Accept => Ok(true),
        Links::Ask => Ok(false),
        Links::Matching => {
            let id = connection.id;
            let triggers = worker.parts.store.read("triggers", move |tx| Box::pin(async move { tx.triggers(id).await })).await?;
            for trigger in triggers.iter().filter(|trigger| trigger.enabled && trigger.entity_type == entity.entity_type) {
                let matches = worker.tracker.matches(Caller::Sync, &entity.entity_type, &trigger.filter, &[entity]).await?;
                if matches == [true] {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

async fn audit(worker: &Worker, connection: &Connection, theirs: &RemoteRef, ours: &RemoteRef) -> Result<(), Failure> {
    let line = AuditLine {
        at: worker.parts.clock.now(),
        token_id: None,
        by: connection.remote.as_ref().map_or_else(|| "the other side".to_owned(), |remote| remote.node.clone()),
        action: "twin.link".to_owned(),
        subject: format!("{} {}", ours.entity_type, ours.key),
        detail: format!("linked to {} {} on connection {}", theirs.entity_type, theirs.key, connection.name),
    };
    worker.parts.store.write("audit", move |tx| Box::pin(async move { tx.add_audit(&line).await })).await?;
    Ok(())
}

fn not_there(ours: &RemoteRef) -> Trouble {
    Trouble {
        code: "link_not_found".to_owned(),
        title: "The record to link is not there".to_owned(),
        detail: format!("{} {} is not visible to us", ours.entity_type, ours.key),
        advice: "Check the key with the partner, or skip this link.".to_owned(),
        again: Again::Newer,
    }
}

fn asked(theirs: &RemoteRef, ours: &RemoteRef) -> Trouble {
    Trouble {
        code: "link_asked".to_owned(),
        title: "The other side asks to link a record".to_owned(),
        detail: format!("their {} {} with our {} {}", theirs.entity_type, theirs.key, ours.entity_type, ours.key),
        advice: "Retry to agree, skip to refuse.".to_owned(),
        again: Again::Person,
    }
}
