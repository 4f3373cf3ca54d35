//! An event that cannot pass alone goes empty under its number, so that what follows is not held up; its twin is
//! parked for a person. The one exception to "bytes never change once they have a number".

use std::time::Duration;

use serde_json::json;

use super::Parts;
use crate::{
    domain::{
        error::{ErrorRecord, Scope},
        ids::{ConnectionId, ErrorId},
        twin::Status,
    },
    store::{Lease, LeaseKey, StoreError, rows::Numbered},
};

/// How soon a twin that is being worked on is asked for again.
const BUSY: Duration = Duration::from_millis(20);

/// Empties event `n` of a connection and parks its twin.
pub(super) async fn pass_empty(parts: &Parts, id: ConnectionId, n: u64) -> Result<(), StoreError> {
    let now = parts.clock.now();
    let error_id = ErrorId(parts.clock.id());
    // Held, or whoever works on the twin at this moment would write over it.
    let _lease = hold(parts, id, n).await?;
    parts
        .store
        .write("link.pass_empty", move |tx| {
            Box::pin(async move {
                let Some(event) = tx.numbered_from(id, n, 1, usize::MAX).await?.into_iter().next() else { return Ok(()) };
                tx.empty_numbered(id, n, &empty(&event, &now.to_string())).await?;
                let Some(twin_id) = event.twin else { return Ok(()) };
                if let Some(mut twin) = tx.twin(id, twin_id).await? {
                    twin.status = Status::Parked;
                    twin.memory.parked_out = true;
                    // What was emptied never arrived: the next look at the record sends all of it.
                    twin.memory.owes_word = true;
                    if twin.remote.is_none() {
                        twin.memory.sent = None;
                    }
                    tx.put_twin(&twin).await?;
                }
                tx.put_error(&ErrorRecord {
                    id: error_id,
                    scope: Scope::Twin,
                    connection_id: Some(id),
                    twin_id: Some(twin_id),
                    tracker: None,
                    code: "event_too_large".to_owned(),
                    title: "The record is too large for the way to the other node".to_owned(),
                    detail: format!("an event of {} bytes was refused as too large (413) even alone", event.json.len()),
                    advice:
                        "Raise the body limit of the proxy in between to 4 MB, or send less in the outgoing rule; then retry."
                            .to_owned(),
                    retryable: false,
                    attempts: 1,
                    occurred_at: now,
                    next_attempt_at: None,
                })
                .await
            })
        })
        .await
}

async fn hold(parts: &Parts, id: ConnectionId, n: u64) -> Result<Option<Lease>, StoreError> {
    loop {
        let twin = parts
            .store
            .read("link.twin_of_event", move |tx| {
                Box::pin(async move {
                    let event = tx.numbered_from(id, n, 1, usize::MAX).await?.into_iter().next();
                    let Some(twin) = event.and_then(|event| event.twin) else { return Ok(None) };
                    tx.twin(id, twin).await
                })
            })
            .await?;
        let Some(twin) = twin else { return Ok(None) };
        let record =
            twin.local.map(|local| LeaseKey::Record { tracker: twin.tracker, entity_type: local.entity_type, key: local.key });
        if let Some(lease) = parts.store.leases().take([LeaseKey::Twin(twin.id)].into_iter().chain(record).collect()) {
            return Ok(Some(lease));
        }
        parts.clock.sleep(BUSY).await;
    }
}

fn empty(event: &Numbered, at: &str) -> String {
    json!({"n": event.n, "id": event.id, "kind": "empty", "twin": event.twin, "seen": 0, "at": at}).to_string()
}
