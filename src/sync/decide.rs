//! One twin's events: what ends at once, and what has to be written.

use super::{
    apply::entity_of,
    choosing::{Choosing, Stop, choose},
    ending::{finish, park, refuse, without_record},
    fold::Folded,
    judge::Failure,
    outgoing::Worker,
    pauses,
    plan::{
        self,
        incoming::{Chosen, Weighed},
    },
    settle::Settle,
    view, written,
};
use crate::{
    clock::Time,
    domain::{
        connection::Connection,
        event::Sync,
        history::{Direction, Outcome},
        ids::{EntityRef, EventId, TwinId, WriteId},
        rule::Wishes,
        tracker::{Entity, Found, WriteKind},
        twin::{Memory, PendingWrite, Status, Twin},
    },
    store::rows::{JournalRow, LinkState, Lookup, Unseen},
};

/// A claimed twin with all that is needed to judge its events.
pub(super) struct Item {
    pub connection: Connection,
    pub link: LinkState,
    pub twin_id: Option<TwinId>,
    pub twin: Option<Twin>,
    pub folded: Folded,
    pub unseen: Vec<Unseen>,
    /// The twin belongs to another connection.
    pub elsewhere: bool,
    /// Their record is under sync already, by this twin.
    pub rival: Option<Twin>,
    pub record: Option<Found>,
    pub read_at: Option<Time>,
    pub offset_ms: i64,
}

/// A write that is to be made for a twin.
pub(super) struct Work {
    pub connection: Connection,
    pub twin: Twin,
    pub folded: Folded,
    pub weighed: Weighed,
    pub chosen: Chosen,
    pub before: Option<Entity>,
    pub pending: PendingWrite,
    pub kind: WriteKind,
    pub read_at: Option<Time>,
    pub log: Vec<String>,
    pub wishes: Wishes,
    /// What the rule looked for in vain.
    pub lookups: Vec<Lookup>,
    /// The rule waits for this write (`store(entity)`), and runs again after it.
    pub storing: Option<JournalRow>,
}

/// What a decision is.
pub(super) enum Decided {
    Ended(Box<Settle>),
    Write(Box<Work>),
}

fn ended(settle: Settle) -> Decided {
    Decided::Ended(Box::new(settle))
}

/// What needs neither rules nor the tracker; else the item goes on with a twin in it.
pub(super) async fn first(worker: &Worker, mut item: Item) -> Result<Result<Item, Box<Settle>>, Failure> {
    if item.folded.resynced {
        super::resync::heard(worker, item.connection.id).await?;
    }
    let Some(id) = item.twin_id else { return Ok(Err(Box::new(super::resync::nameless(worker, &item).await?))) };
    let now = worker.parts.clock.now();
    let says_something =
        item.folded.sync.is_some() || item.folded.link.is_some() || item.folded.deleted || item.folded.bad.is_some();
    let nothing_there = item.twin.is_none() && item.folded.sync.is_none() && item.folded.link.is_none();
    if item.elsewhere || nothing_there && item.folded.bad.is_none() {
        return Ok(Err(Box::new(unknown(worker, &item, id, says_something))));
    }
    let mut twin = item.twin.take().unwrap_or_else(|| theirs(worker, &item.connection, id, now));
    if let Some(trouble) = item.folded.bad.take() {
        if twin.status == Status::Stopped {
            // What nobody can read does not start it again.
            return Ok(Err(Box::new(finish(worker, twin, &item.folded, Outcome::Skipped, Some(trouble.title)))));
        }
        return Ok(Err(Box::new(park(worker, twin, &item.folded, trouble))));
    }
    if let Some(rival) = &item.rival {
        let ours =
            rival.local.as_ref().map_or_else(String::new, |local| format!(" with our {} {}", local.entity_type, local.key));
        return Ok(Err(Box::new(refuse(worker, twin, &item.folded, format!("their record is under sync already{ours}")))));
    }
    if item.folded.stopped && (item.folded.sync.is_none() || twin.local.is_none() || twin.status == Status::Stopped) {
        twin.status = Status::Stopped;
        twin.memory.stop_event = None;
        twin.memory.seen = item.folded.up_to;
        return Ok(Err(Box::new(finish(
            worker,
            twin,
            &item.folded,
            Outcome::Applied,
            Some("stopped by the other side".to_owned()),
        ))));
    }
    if !says_something {
        let settle = Settle { twins: vec![twin], ended_events: item.folded.rows.clone(), ..Settle::default() };
        return Ok(Err(Box::new(settle)));
    }
    if twin.status == Status::Stopped && !starts_again(worker, &twin, &item).await? {
        return Ok(Err(Box::new(finish(worker, twin, &item.folded, Outcome::Skipped, Some("stopped".to_owned())))));
    }
    if item.folded.link.is_some() && (twin.local.is_none() || twin.status == Status::Stopped) {
        if twin.status == Status::Stopped {
            // Linked again: what both records hold now is the new baseline.
            twin.status = Status::Waiting;
            twin.memory = Memory { seen: twin.memory.seen, epoch: twin.memory.epoch, ..Memory::default() };
            twin.local = None;
        }
        return Ok(Err(Box::new(super::links::heard(worker, &item, twin).await?)));
    }
    if let Some(sync) = &item.folded.sync {
        if twin.local.is_none() && came_from_here(worker, sync) {
            let reason = "the record came from this tracker: a second connection would make a circle".to_owned();
            return Ok(Err(Box::new(refuse(worker, twin, &item.folded, reason))));
        }
        if twin.local.is_none()
            && let Some(ours) = super::links::named_again(&item.connection, sync, id)
        {
            match super::links::found_again(worker, &item, twin, ours).await? {
                Ok(found) => twin = found,
                Err(settle) => return Ok(Err(settle)),
            }
        }
        hear(&mut twin, sync, item.link.set_back_here);
    }
    item.twin = Some(twin);
    Ok(Ok(item))
}

/// An event that names a twin which this connection does not have: nothing becomes of it, and that is said.
fn unknown(worker: &Worker, item: &Item, id: TwinId, says_something: bool) -> Settle {
    tracing::info!(connection = %item.connection.id, twin = %id, "an event names a twin that this connection does not have");
    let mut settle = Settle { ended_events: item.folded.rows.clone(), ..Settle::default() };
    if says_something {
        let nobody = theirs(worker, &item.connection, id, worker.parts.clock.now());
        let title = Some("unknown: this connection has no such twin".to_owned());
        settle.drafts.push(super::ending::word(worker, &nobody, &item.folded, Outcome::Skipped, title));
    }
    settle
}

/// Takes what the event says of their record.
fn hear(twin: &mut Twin, sync: &Sync, set_back_here: bool) {
    twin.remote = Some(EntityRef { entity_type: sync.entity_type.clone(), key: sync.key.clone(), url: sync.url.clone() });
    twin.memory.via.clone_from(&sync.via);
    twin.memory.set_back |= set_back_here;
    if twin.status == Status::Stopped {
        twin.status = Status::Waiting;
        twin.memory.deleted_there = false;
        twin.memory.stop_event = None;
        // An update of before the stop, whose answer was lost, has nothing to say any more.
        twin.memory.pending_write.take_if(|pending| pending.key.is_some());
    }
    if let Some(applied) = &sync.applied
        // The connection's mark may be gone before this twin had its turn.
        && (twin.memory.set_back && sync.confirmed.is_none() || twin.memory.sent.is_none())
    {
        twin.memory.sent = Some(applied.clone());
    }
}

fn came_from_here(worker: &Worker, sync: &Sync) -> bool {
    sync.remote.is_none() && worker.parts.via.get(&worker.name).is_some_and(|ours| sync.via.contains(ours))
}

/// Whether an event for a stopped twin was made after the stop was known there.
async fn starts_again(worker: &Worker, twin: &Twin, item: &Item) -> Result<bool, Failure> {
    if twin.memory.deleted_here || item.folded.sync.is_none() && item.folded.link.is_none() {
        return Ok(false);
    }
    let Some(event) = twin.memory.stop_event else { return Ok(true) };
    let id = item.connection.id;
    let number = worker.parts.store.read("number_of", move |tx| Box::pin(async move { tx.number_of(id, event).await })).await?;
    Ok(match number {
        Some(Some(n)) => item.folded.seen >= n,
        Some(None) => false,
        None => true,
    })
}

/// A twin that the other side starts.
fn theirs(worker: &Worker, connection: &Connection, id: TwinId, now: Time) -> Twin {
    Twin {
        id,
        connection_id: connection.id,
        tracker: worker.name.clone(),
        status: Status::Waiting,
        started_by: connection.side.other(),
        local: None,
        remote: None,
        peer_seen: 0,
        remote_outcome: None,
        created_at: now,
        last_synced_at: None,
        memory: Memory::default(),
    }
}

/// Runs the rules and decides what to write.
pub(super) async fn second(worker: &Worker, mut item: Item) -> Decided {
    let Some(twin) = item.twin.take() else { return ended(Settle::default()) };
    if twin.local.is_some() && entity_of(&twin, item.record.as_ref()).is_none() {
        return ended(without_record(worker, twin, &item));
    }
    if twin.local.is_none() && item.folded.deleted {
        let reason = Some("the other side's record was deleted before one was made here".to_owned());
        return ended(finish(worker, twin, &item.folded, Outcome::Skipped, reason));
    }
    if twin.local.is_none() && item.link.resyncing {
        let until = worker.parts.clock.now().plus(std::time::Duration::from_millis(500));
        return ended(Settle { resting: vec![(twin.connection_id, twin.id, until)], ..Settle::default() });
    }
    if item.folded.sync.is_none() && !item.folded.deleted {
        return ended(finish(worker, twin, &item.folded, Outcome::Applied, None));
    }
    // The pause may have begun with a neighbour of this batch.
    if pauses::waits(worker, &item, &twin) {
        return ended(pauses::held_in(twin));
    }
    let entity = entity_of(&twin, item.record.as_ref());
    let task = match view::work(worker, &item.connection, &twin, Direction::In).await {
        Ok(task) => task,
        Err(trouble) => return ended(park(worker, twin, &item.folded, trouble)),
    };
    let choice = choose(worker, &item, (&twin, entity), &task).await;
    let lookups = task.desk.lookups(|| super::late::told(&item, EventId(worker.parts.clock.id())));
    let ended = |settle: Settle| Decided::Ended(Box::new(Settle { lookups: lookups.clone(), ..settle }));
    match choice {
        Ok(mut choice) => {
            choice.log.splice(0..0, task.desk.told());
            let work = Work { lookups: lookups.clone(), ..conclude(worker, item, twin, choice) };
            if work.kind == WriteKind::Update && work.chosen.write.is_empty() {
                Decided::Ended(Box::new(written::nothing_to_write(worker, work).await))
            } else {
                Decided::Write(Box::new(work))
            }
        }
        Err(Stop::Failed(failure, version)) => {
            let (trouble, error) = *failure;
            let failed = pauses::Failed { way: Direction::In, version, error: &error };
            let holds = worker.pauses.failed(worker, &twin, failed).await;
            ended(if holds { pauses::held_in(twin) } else { park(worker, twin, &item.folded, trouble) })
        }
        Err(Stop::Park(trouble)) => ended(park(worker, twin, &item.folded, trouble)),
        Err(Stop::Skip(reason)) => ended(finish(worker, twin, &item.folded, Outcome::Skipped, Some(reason))),
        Err(Stop::Adopt(entity_type, key)) => {
            let adopted = super::afterwards::adopt(worker, &item, twin.clone(), &entity_type, &key).await;
            ended(adopted.unwrap_or_else(|trouble| park(worker, twin, &item.folded, trouble)))
        }
    }
}

fn conclude(worker: &Worker, item: Item, mut twin: Twin, choosing: Choosing) -> Work {
    let Choosing { weighed, first_seen, chosen, entity_type, before, log, wishes, storing } = choosing;
    twin.memory.first_seen = first_seen;
    plan::incoming::note_flips(&mut twin.memory, &weighed, worker.parts.clock.now());
    let kind = if before.is_some() { WriteKind::Update } else { WriteKind::Create };
    let pending = PendingWrite {
        id: WriteId(worker.parts.clock.id()),
        started_at: worker.parts.clock.now(),
        entity_type,
        key: before.as_ref().map(|entity| entity.key.clone()),
        fields: chosen.write.clone(),
        up_to: item.folded.up_to,
        epoch: item.folded.epoch,
        received: before.is_some().then(|| weighed.replica.clone()),
    };
    Work {
        connection: item.connection,
        twin,
        folded: item.folded,
        weighed,
        chosen,
        before,
        pending,
        kind,
        read_at: item.read_at,
        log,
        wishes,
        lookups: Vec::new(),
        storing,
    }
}
