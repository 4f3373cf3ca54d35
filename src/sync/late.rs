//! Late parents: a rule that looked for the twin of a record which had none runs again when that twin has its record.
//!
//! Both ends meet in one transaction. What a run looked for in vain is stored with what ends or parks its work, and is held
//! against the twins once more there: a parent that came meanwhile is not missed. Whoever stores twins wakes those that
//! looked for them.
//!
//! On the way out the asker's record is looked at anew. On the way in its events may have ended long since, so what they
//! said is kept with the look-up and put into the inbox again, unless something newer waits there or was heard meanwhile.
//!
//! A parent that never comes is waited for as long as history is kept ([`super::housekeeping`]).
//!
//! Trap: an event that is taken up again must not name what changed: those fields would count as having gone back.

use std::collections::BTreeMap;

use super::{decide::Item, settle::release_changes};
use crate::{
    clock::Time,
    domain::{
        change::{NewChange, Source},
        event::{Body, Event, Sync},
        history::Direction,
        ids::{ConnectionId, CorrelationId, EventId},
        twin::{Status, Twin},
    },
    store::{
        StoreError, Tx,
        rows::{Arrived, Lookup},
    },
};

/// What an incoming rule was told, to be told again: epoch and number, and the event.
pub(super) fn told(item: &Item, id: EventId) -> ((u64, u64), Option<String>) {
    let folded = &item.folded;
    let event = folded.sync.as_ref().filter(|_| !folded.deleted && !folded.stopped).map(|sync| Event {
        n: folded.up_to,
        id,
        twin: item.twin_id,
        seen: folded.seen,
        at: folded.at,
        correlation: folded.correlation,
        body: Body::Sync(Box::new(Sync { changed: BTreeMap::new(), ..sync.clone() })),
    });
    ((folded.epoch, folded.up_to), event.and_then(|event| serde_json::to_string(&event).ok()))
}

/// Keeps what was looked for in vain, and wakes whom these twins were looked for by.
pub(super) async fn settle(
    tx: &mut dyn Tx,
    (twins, lookups): (&[Twin], &[Lookup]),
    (now, correlation): (Time, CorrelationId),
) -> Result<(), StoreError> {
    for lookup in lookups {
        tx.put_lookup(lookup, now).await?;
    }
    let mut found: Vec<(ConnectionId, String)> = twins
        .iter()
        .filter(|twin| twin.local.is_some())
        .filter_map(|twin| Some((twin.connection_id, twin.remote.as_ref()?.key.clone())))
        .collect();
    for lookup in lookups {
        if !tx.local_keys(lookup.connection_id, &lookup.remote_key).await?.is_empty() {
            found.push((lookup.connection_id, lookup.remote_key.clone()));
        }
    }
    for lookup in tx.take_lookups(&found).await? {
        again(tx, lookup, now, correlation).await?;
    }
    Ok(())
}

async fn again(tx: &mut dyn Tx, lookup: Lookup, now: Time, correlation: CorrelationId) -> Result<(), StoreError> {
    let Some(twin) = tx.twin(lookup.connection_id, lookup.twin).await? else { return Ok(()) };
    if twin.status == Status::Stopped {
        return Ok(());
    }
    match lookup.direction {
        Direction::Out => {
            let Some(local) = &twin.local else { return Ok(()) };
            let record = (local.entity_type.clone(), local.key.clone());
            let look = NewChange::look(&twin.tracker, record, twin.connection_id, Source::Engine, (now, correlation));
            tx.add_changes(&[look]).await?;
            release_changes(tx, twin.connection_id, twin.id, now).await
        }
        Direction::In => {
            if !tx.arrived(twin.connection_id, Some(twin.id)).await?.is_empty() {
                return tx.release_arrived(twin.connection_id, twin.id).await;
            }
            let (epoch, n) = lookup.up_to;
            let newer = twin.memory.epoch != epoch || twin.memory.seen > n;
            let Some(json) = lookup.event.filter(|_| !newer) else { return Ok(()) };
            let Ok(event) = serde_json::from_str::<Event>(&json) else { return Ok(()) };
            let arrived = Arrived {
                row: 0,
                connection_id: twin.connection_id,
                epoch,
                n,
                id: event.id,
                twin: Some(twin.id),
                json,
                received_at: now,
            };
            tx.add_arrived(&twin.tracker, &[arrived]).await
        }
    }
}
