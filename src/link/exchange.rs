//! What an exchange does to the store, the same for who dials and who answers: [`hear`] takes in what the peer said,
//! [`speak`] gathers what we say.
//!
//! `hear` runs in one write transaction: the events, the cursor and the peer's acknowledgement stand together or not
//! at all. `speak` numbers drafts in a transaction that is on disk before the first byte leaves. Nothing here knows
//! HTTP. The trap: a row that was never written says epoch 0, which is epoch 1 on the wire ([`on_wire`]).

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    gather::{Limit, drafts},
    protocol::{INBOX_BYTES, INBOX_EVENTS, MAX_EVENTS, SEEN_EVERY, on_wire},
    set_back::{Ack, Batch, Head, judge_ack, judge_batch},
    trouble,
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Connection, Status, Switch},
        ids::{ConnectionId, EventId, TwinId},
    },
    store::{
        Notice, StoreError, Topic, Tx,
        rows::{Arrived, LinkState, Numbered, Standing, Waiting},
    },
};

/// A connection starts an epoch by itself this often.
const OWN_EPOCH_EVERY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What the peer said, asked or answered.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct Heard {
    pub epoch: u64,
    pub ack: u64,
    pub ack_id: Option<EventId>,
    pub after_id: Option<EventId>,
    pub events: Vec<Box<RawValue>>,
    pub state: Switch,
    pub you_were_set_back: bool,
    /// To be added to the peer's times to have them on our clock, where that was read.
    pub clock_offset_ms: Option<i64>,
}

/// What came of hearing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Taken in; so many events were new.
    Done(u32),
    /// It speaks of an epoch that is over; this is the present one.
    Lower(u64),
    /// A new epoch began: what was said of the old one is void.
    Anew,
    /// A new epoch would have to begin, and waits for a person.
    Waits,
    /// The connection is gone here.
    Gone,
}

/// What we say.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct Spoken {
    pub epoch: u64,
    pub ack: u64,
    pub ack_id: Option<EventId>,
    pub after_id: Option<EventId>,
    pub events: Vec<Box<RawValue>>,
    pub last_n: u64,
    pub max_events: u32,
    pub more: bool,
    pub you_were_set_back: bool,
}

/// All that the link reads of an event that arrives. Where `id` or `twin` is no id it is stored and told all the same.
#[derive(Deserialize)]
struct Lenient {
    n: u64,
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    twin: Option<Box<RawValue>>,
}

/// How many events we take next.
pub fn room(connection: &Connection, waiting: &Waiting) -> u32 {
    if connection.status != Status::Active || waiting.inbox_bytes >= INBOX_BYTES {
        return 0;
    }
    u32::try_from(INBOX_EVENTS.saturating_sub(waiting.inbox)).unwrap_or(MAX_EVENTS).min(MAX_EVENTS)
}

/// Whether hearing this changes anything on disk.
pub fn is_news(connection: &Connection, state: &LinkState, heard: &Heard, now: Time) -> bool {
    let stale = |remote: &crate::domain::connection::Remote| {
        remote.state != heard.state || remote.last_seen_at.is_none_or(|at| now.since(at) >= SEEN_EVERY)
    };
    !heard.events.is_empty()
        || heard.ack != state.acked
        || (heard.ack_id.is_some() && state.acked == state.out_n && heard.ack_id != state.out_id)
        || on_wire(heard.epoch) != on_wire(state.epoch)
        || connection.remote.as_ref().is_some_and(stale)
        || connection.paused.is_some()
        || heard.clock_offset_ms.is_some_and(|offset| offset != state.clock_offset_ms)
        || (connection.awaiting == Some(Awaiting::Confirmation) && heard.state == Switch::Active)
}

/// Takes in what the peer said. One write transaction.
pub async fn hear(tx: &mut dyn Tx, id: ConnectionId, heard: &Heard, now: Time) -> Result<Hearing, StoreError> {
    let Some(Standing { connection, link: mut state, mut waiting }) = tx.standing(id).await? else { return Ok(Hearing::Gone) };
    let connection = remember_peer(tx, connection, heard, now).await?;
    if on_wire(heard.epoch) < on_wire(state.epoch) {
        return Ok(Hearing::Lower(on_wire(state.epoch)));
    }
    if on_wire(heard.epoch) > on_wire(state.epoch) {
        begin_epoch(tx, id, heard.epoch, heard.you_were_set_back, now).await?;
        let Some(standing) = tx.standing(id).await? else { return Ok(Hearing::Gone) };
        (state, waiting) = (standing.link, standing.waiting);
    }
    let verdict = judge(tx, id, &state, heard).await?;
    if let Some(set_back_here) = verdict.err() {
        let next = on_wire(state.epoch) + 1;
        return start_epoch(tx, &connection, next, set_back_here, now).await;
    }
    if heard.ack > state.acked {
        tx.acknowledge(id, heard.ack, now).await?;
        state.acked = heard.ack;
        // Who waits for an acknowledgement (a stop, a test) looks again.
        tx.wake(Topic::Outbox(id));
    }
    if let Some(offset) = heard.clock_offset_ms.filter(|offset| *offset != state.clock_offset_ms) {
        state.clock_offset_ms = offset;
        trouble::clocks(tx, &connection, offset, now).await?;
    }
    let room = room(&connection, &waiting) as usize;
    let taken = take(tx, &connection, &mut state, (heard, room), now).await?;
    tx.put_link_state(id, &state).await?;
    Ok(Hearing::Done(taken))
}

/// `Err(true)`: we were set back; `Err(false)`: the peer was.
async fn judge(tx: &mut dyn Tx, id: ConnectionId, state: &LinkState, heard: &Heard) -> Result<Result<(), bool>, StoreError> {
    let kept = match heard.ack {
        0 => None,
        n if n == state.out_n => state.out_id,
        n if n < state.out_n => tx.numbered_id(id, n).await?,
        _ => None,
    };
    let next = heard.ack < state.out_n && tx.numbered_id(id, heard.ack + 1).await?.is_some();
    match judge_ack(state, heard.ack, heard.ack_id, kept, next) {
        Ack::NeverSent => return Ok(Err(true)),
        Ack::Forgotten => return Ok(Err(false)),
        Ack::Good => {}
    }
    let heads = read(&heard.events).into_iter().map(|(head, ..)| head).collect::<Vec<_>>();
    Ok(match judge_batch(state.in_n, state.in_id, heard.after_id, &heads) {
        Batch::Mismatch => Err(false),
        Batch::Take(..) | Batch::Nothing => Ok(()),
    })
}

/// The events that have a number: one that has none can be neither stored nor acknowledged.
fn read(events: &[Box<RawValue>]) -> Vec<(Head, Option<TwinId>, &RawValue)> {
    events
        .iter()
        .filter_map(|raw| {
            let event: Lenient = serde_json::from_str(raw.get()).ok()?;
            let id = event.id.and_then(|id| serde_json::from_str(id.get()).ok());
            let twin = event.twin.and_then(|twin| serde_json::from_str(twin.get()).ok());
            Some((Head { n: event.n, id }, twin, &**raw))
        })
        .collect()
}

async fn take(
    tx: &mut dyn Tx,
    connection: &Connection,
    state: &mut LinkState,
    (heard, room): (&Heard, usize),
    now: Time,
) -> Result<u32, StoreError> {
    if heard.events.is_empty() || connection.status != Status::Active || heard.state != Switch::Active {
        return Ok(0);
    }
    let events = read(&heard.events);
    if events.len() < heard.events.len() {
        trouble::unnumbered(tx, connection.id, state.in_n, now).await?;
    }
    let heads = events.iter().map(|(head, ..)| *head).collect::<Vec<_>>();
    let Batch::Take(from, to) = judge_batch(state.in_n, state.in_id, heard.after_id, &heads) else { return Ok(0) };
    let arrived = events[from..to]
        .iter()
        .take(room)
        .map(|(head, twin, raw)| Arrived {
            row: 0,
            connection_id: connection.id,
            epoch: state.epoch,
            n: head.n,
            id: head.id.unwrap_or(EventId(Uuid::nil())),
            twin: *twin,
            json: raw.get().to_owned(),
            received_at: now,
        })
        .collect::<Vec<_>>();
    let Some(last) = arrived.len().checked_sub(1).map(|last| heads[from + last]) else { return Ok(0) };
    tx.add_arrived(&connection.tracker, &arrived).await?;
    state.in_n = last.n;
    state.in_id = last.id;
    Ok(u32::try_from(arrived.len()).unwrap_or(u32::MAX))
}

/// The peer's switch, when it was seen, and that it speaks at all.
async fn remember_peer(tx: &mut dyn Tx, mut connection: Connection, heard: &Heard, now: Time) -> Result<Connection, StoreError> {
    let Some(remote) = &mut connection.remote else { return Ok(connection) };
    let switched = remote.state != heard.state;
    let seen = remote.last_seen_at.is_none_or(|at| now.since(at) >= SEEN_EVERY);
    let gone = heard.state == Switch::Gone;
    let confirms = connection.awaiting == Some(Awaiting::Confirmation) && heard.state == Switch::Active;
    if !switched && !seen && !confirms && (gone || connection.paused.is_none()) {
        return Ok(connection);
    }
    remote.state = heard.state;
    remote.last_seen_at = Some(now);
    if heard.state == Switch::Active {
        connection = connection.confirmed_there(now);
    }
    if gone && switched {
        trouble::gone(tx, &mut connection, now).await?;
    } else if !gone && connection.paused.take().is_some() {
        trouble::heard_again(tx, connection.id).await?;
    }
    tx.update_connection(&connection).await?;
    tx.tell(Notice::Connection(connection.id));
    if switched {
        tx.wake(Topic::Connections);
        tx.wake(Topic::Outbox(connection.id));
    }
    Ok(connection)
}

/// Starts an epoch because somebody was set back: once a day by itself.
pub async fn start_epoch(
    tx: &mut dyn Tx,
    connection: &Connection,
    epoch: u64,
    set_back_here: bool,
    now: Time,
) -> Result<Hearing, StoreError> {
    let id = connection.id;
    let state = tx.link_state(id).await?;
    if state.last_own_epoch.is_some_and(|at| now.since(at) < OWN_EPOCH_EVERY) {
        return wait_for_person(tx, connection, now).await;
    }
    begin_epoch(tx, id, epoch, set_back_here, now).await?;
    let mut state = tx.link_state(id).await?;
    state.last_own_epoch = Some(now);
    tx.put_link_state(id, &state).await?;
    tracing::warn!(connection = %id, epoch, set_back_here, "a side was set back: a new epoch begins, every twin is sent");
    Ok(Hearing::Anew)
}

/// No epoch begins until a person allows it.
pub async fn wait_for_person(tx: &mut dyn Tx, connection: &Connection, now: Time) -> Result<Hearing, StoreError> {
    let mut state = tx.link_state(connection.id).await?;
    if !state.epoch_waits {
        state.epoch_waits = true;
        tx.put_link_state(connection.id, &state).await?;
    }
    trouble::epoch_waits(tx, connection, now).await?;
    Ok(Hearing::Waits)
}

/// Numbers begin anew; what was stored and not applied gives way; the engine sends every twin.
pub async fn begin_epoch(
    tx: &mut dyn Tx,
    id: ConnectionId,
    epoch: u64,
    set_back_here: bool,
    now: Time,
) -> Result<(), StoreError> {
    let before = tx.link_state(id).await?;
    if before.epoch_waits {
        // Nobody has to be asked any more.
        trouble::close(tx, id, trouble::EPOCH_WAITS).await?;
    }
    tx.clear_outbox(id).await?;
    tx.clear_inbox(id).await?;
    let state = LinkState {
        epoch,
        epoch_since: Some(now),
        resyncing: true,
        resync_due: true,
        clock_offset_ms: before.clock_offset_ms,
        set_back_here,
        last_own_epoch: before.last_own_epoch,
        ..LinkState::default()
    };
    tx.put_link_state(id, &state).await?;
    trouble::close(tx, id, trouble::EPOCH_WAITS).await?;
    tx.wake(Topic::Connections);
    tx.wake(Topic::Outbox(id));
    Ok(())
}

/// Gathers what we say from event `from` on. Reads only, unless it numbers drafts.
pub async fn speak(tx: &mut dyn Tx, standing: &Standing, from: u64, limit: Limit) -> Result<Spoken, StoreError> {
    let Standing { connection, link: before, .. } = standing;
    let id = connection.id;
    let (mut events, mut link) = (Vec::new(), before.clone());
    if connection.flows() && limit.events > 0 {
        if from <= link.out_n {
            events = tx.numbered_from(id, from, limit.events, limit.bytes).await?;
        }
        let size = events.iter().map(|event| event.json.len() + 1).sum::<usize>();
        let left = limit.events.saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
        let reached = events.last().map_or(from.saturating_sub(1), |last| last.n);
        if limit.numbers && left > 0 && size < limit.bytes && reached >= link.out_n {
            // Times travel on the inviting side's clock, which compares them.
            let offset = link.offset_at(connection.side);
            let numbered = tx.number_drafts(id, left, limit.bytes - size, offset).await?;
            if let Some(last) = numbered.last() {
                (link.out_n, link.out_id) = (last.n, Some(last.id));
            }
            events.extend(numbered);
        }
    }
    spoken(tx, standing, link, from, events, limit.bytes).await
}

/// `state`: where the link stands now that `events` have their numbers; `standing` is from before.
async fn spoken(
    tx: &mut dyn Tx,
    standing: &Standing,
    state: LinkState,
    from: u64,
    events: Vec<Numbered>,
    bytes: usize,
) -> Result<Spoken, StoreError> {
    let Standing { connection, link: before, waiting } = standing;
    let after_id = match from.saturating_sub(1) {
        0 => None,
        n if n == before.out_n => before.out_id,
        n => tx.numbered_id(connection.id, n).await?,
    };
    let mut said = Spoken {
        epoch: on_wire(state.epoch),
        ack: state.in_n,
        ack_id: state.in_id,
        after_id,
        last_n: from.saturating_sub(1),
        max_events: room(connection, waiting),
        you_were_set_back: state.resyncing && !state.set_back_here,
        ..Spoken::default()
    };
    let mut size = 0;
    for event in events {
        size += event.json.len() + 1;
        // A draft alone may exceed what is left of this batch: it has its number now and leaves with the next.
        if event.n != said.last_n + 1 || (size > bytes && !said.events.is_empty()) {
            break;
        }
        let raw = RawValue::from_string(event.json).map_err(|error| StoreError::Broken(error.to_string()))?;
        said.events.push(raw);
        said.last_n = event.n;
    }
    let drafts = drafts(&state, waiting) > 0;
    said.more = !said.events.is_empty() && (said.last_n < state.out_n || drafts);
    Ok(said)
}

/// Whether anything is there to hand over from event `from` on.
pub fn has_events(standing: &Standing, from: u64) -> bool {
    let Standing { connection, link: state, waiting } = standing;
    connection.flows() && (state.out_n >= from || drafts(state, waiting) > 0)
}

#[cfg(test)]
mod tests;
