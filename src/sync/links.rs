//! Two records that exist become a twin: nothing is written, what both hold now is the baseline.
//!
//! A key that the partner names is a wish (link.md, "Trust"): the connection's `links` says whether it is taken, held
//! against our triggers, or shown to an admin, whose retry is the yes.

use std::time::Duration;

use super::{
    asks::Desk,
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
        event::{Body, RemoteRef, Start, Sync},
        history::Outcome,
        ids::{EntityRef, TwinId, linked_twin_id, twin_id},
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
    Ok(match wished(worker, item, &twin, &theirs, &ours).await? {
        Ok((entity, rest)) => {
            let mut settle = join(worker, item, twin, (theirs, entity), start).await;
            settle.join(rest);
            settle
        }
        Err(denied) => denied.settle(worker, item, twin),
    })
}

/// The record of ours that a sync names for a twin that we do not know: the twin's id is made from our own key, or, for a
/// link, from both. It was ours before we were set back, or a partner wants us to think so.
pub(super) fn named_again<'a>(connection: &Connection, sync: &'a Sync, id: TwinId) -> Option<&'a RemoteRef> {
    let ours = sync.remote.as_ref()?;
    let own = twin_id(connection.id, connection.side, &ours.entity_type, &ours.key);
    (own == id || linked_id(connection, ours, sync) == id).then_some(ours)
}

fn linked_id(connection: &Connection, ours: &RemoteRef, sync: &Sync) -> TwinId {
    let (here, there) = ((ours.entity_type.as_str(), ours.key.as_str()), (sync.entity_type.as_str(), sync.key.as_str()));
    let (inviting, accepting) = if connection.decides() { (here, there) } else { (there, here) };
    linked_twin_id(connection.id, inviting, accepting)
}

/// Such a twin has its record again where a link to it would be allowed: anybody can make an id from a key.
pub(super) async fn found_again(
    worker: &Worker,
    item: &Item,
    mut twin: Twin,
    ours: &RemoteRef,
) -> Result<Result<Twin, Box<Settle>>, Failure> {
    let Some(sync) = &item.folded.sync else { return Ok(Ok(twin)) };
    let theirs = RemoteRef { entity_type: sync.entity_type.clone(), key: sync.key.clone(), url: sync.url.clone() };
    Ok(match wished(worker, item, &twin, &theirs, ours).await? {
        Ok((entity, mut settle)) => {
            twin.local = Some(EntityRef { entity_type: entity.entity_type, key: entity.key, url: entity.url });
            twin.memory.linked = linked_id(&item.connection, ours, sync) == twin.id;
            settle.twins.push(twin.clone());
            settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "found_again").await?;
            Ok(twin)
        }
        Err(denied) => Err(Box::new(denied.settle(worker, item, twin))),
    })
}

/// Why a wish for a record of ours is not granted.
enum Denied {
    For(Trouble),
    Taken,
    /// Somebody works on the record; soon it may be granted.
    Busy,
}

impl Denied {
    fn settle(self, worker: &Worker, item: &Item, twin: Twin) -> Settle {
        match self {
            Self::For(trouble) => park(worker, twin, &item.folded, trouble),
            Self::Taken => refuse(worker, twin, &item.folded, "that record is under sync on this connection already".to_owned()),
            Self::Busy => {
                let until = worker.parts.clock.now().plus(BUSY);
                Settle { resting: vec![(twin.connection_id, twin.id, until)], ..Settle::default() }
            }
        }
    }
}

/// A wish for a record of ours: the record, and what stops all that had begun for it otherwise.
async fn wished(
    worker: &Worker,
    item: &Item,
    twin: &Twin,
    theirs: &RemoteRef,
    ours: &RemoteRef,
) -> Result<Result<(Entity, Settle), Denied>, Failure> {
    let key = match worker.tracker.key(&ours.entity_type, &ours.key) {
        Ok(key) => key,
        Err(error) => return Ok(Err(Denied::For(Trouble::from(&error)))),
    };
    let read = worker.tracker.read(Caller::Sync, &ours.entity_type, std::slice::from_ref(&key)).await?;
    let entity = match read.found.into_iter().next() {
        Some(Found::Here(entity)) => *entity,
        Some(Found::CannotAsk) => Entity { entity_type: ours.entity_type.clone(), key, ..Entity::default() },
        _ => return Ok(Err(Denied::For(not_there(ours)))),
    };
    // Whoever works on that record now may be about to start a twin for it.
    let record =
        LeaseKey::Record { tracker: worker.name.clone(), entity_type: entity.entity_type.clone(), key: entity.key.clone() };
    let Some(lease) = worker.parts.store.leases().take(vec![record]) else { return Ok(Err(Denied::Busy)) };
    let others = others(worker, &item.connection, twin, &entity).await?;
    if others.iter().any(|other| other.remote.is_some()) {
        return Ok(Err(Denied::Taken));
    }
    if !twin.memory.linked && !allowed(worker, &item.connection, &entity).await? {
        if twin.status != Status::Parked {
            audit(worker, &item.connection, theirs, ours, "twin.link_asked").await?;
        }
        return Ok(Err(Denied::For(asked(theirs, ours))));
    }
    audit(worker, &item.connection, theirs, ours, "twin.link").await?;
    let mut rest = Settle { leases: vec![lease], ..Settle::default() };
    // A create that we had begun for this record, and that they answered to by nothing yet, joins the link.
    for mut other in others {
        let stop = draft(worker, &other, Body::Stop {}, item.folded.correlation);
        other.status = Status::Stopped;
        other.memory.stop_event = Some(stop.id);
        let_go(&mut other);
        rest.twins.push(other);
        rest.drafts.push(stop);
    }
    Ok(Ok((entity, rest)))
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
        let replica = written::replica_of(
            worker,
            connection,
            &pair.outgoing,
            (&twin.memory, entity),
            &Desk::comparing(worker, twin.connection_id),
        )
        .await;
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

async fn audit(
    worker: &Worker,
    connection: &Connection,
    theirs: &RemoteRef,
    ours: &RemoteRef,
    action: &str,
) -> Result<(), Failure> {
    let line = AuditLine {
        at: worker.parts.clock.now(),
        token_id: None,
        user_id: None,
        by: connection.remote.as_ref().map_or_else(|| "the other side".to_owned(), |remote| remote.node.clone()),
        action: action.to_owned(),
        subject: format!("{} {}", ours.entity_type, ours.key),
        detail: format!("with {} {} on connection {}", theirs.entity_type, theirs.key, connection.name),
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
