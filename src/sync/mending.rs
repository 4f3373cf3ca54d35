//! Edit and retry: a person puts another replica in the place of what arrived, and it runs again.
//!
//! Only the newest record among a twin's waiting events is replaced: it is what the events say together. What differs
//! counts as changed with it, so that a field which the event did not name as changed is not taken for an old one. The
//! history keeps what was there before, and who put what in its place.

use serde::Deserialize as _;

use super::{Engine, Refused, settle::line};
use crate::{
    domain::{
        error::Scope,
        event::{Body, Event},
        history::{Direction, FieldChange, HistoryLine, Outcome},
        ids::ErrorId,
        replica::{self, Fields},
    },
    store::rows::Arrived,
};

/// Largest value that the history keeps of an edit, in bytes.
const SHOWN: usize = 2_000;
/// Most fields that it names.
const NAMED: usize = 100;

impl Engine {
    /// Tries again what an error holds up, with this replica in place of the one that arrived.
    pub async fn retry_with(&self, id: ErrorId, replica: Fields, by: &str) -> Result<(), Refused> {
        replica::check(&replica).map_err(|error| Refused::Invalid { field: "replica", message: error.to_string() })?;
        let error = self.error(id).await?;
        let (Scope::Twin, Some(twin)) = (error.scope, error.twin_id) else { return Err(nothing_arrived()) };
        let twin = self.twin(twin).await?;
        let (_, worker) = self.connection(twin.connection_id).await?;
        let lease = self.hold_twin(&worker, &twin).await?;
        let (connection, twin_id) = (twin.connection_id, twin.id);
        let read =
            self.parts().store.read("arrived", move |tx| Box::pin(async move { tx.arrived(connection, Some(twin_id)).await }));
        let events = read.await?;
        let (row, event) = newest(&events).ok_or_else(nothing_arrived)?;
        let mut told = line(&twin, worker.parts.clock.now(), Direction::In, Outcome::Superseded);
        let json = replaced(event, replica, by, &mut told)?;
        self.parts()
            .store
            .write("replica_edited", move |tx| {
                Box::pin(async move {
                    tx.replace_arrived(row, &json).await?;
                    tx.add_history(&[told]).await
                })
            })
            .await?;
        drop(lease);
        self.retry_twin(&error, twin_id).await
    }
}

fn nothing_arrived() -> Refused {
    Refused::State("this error holds up no record of the other side: there is no replica to edit".to_owned())
}

/// The newest record among them; also one that is too deep to be used, which is what an edit may mend.
fn newest(events: &[Arrived]) -> Option<(i64, Event)> {
    events.iter().rev().find_map(|arrived| {
        let event = Event::deserialize(&mut serde_json::Deserializer::from_str(&arrived.json)).ok()?;
        matches!(event.body, Body::Sync(_)).then_some((arrived.row, event))
    })
}

fn replaced(mut event: Event, replica: Fields, by: &str, told: &mut HistoryLine) -> Result<String, Refused> {
    let (n, at) = (event.n, event.at);
    let Body::Sync(sync) = &mut event.body else { return Err(nothing_arrived()) };
    let names = replica::differences(&sync.replica, &replica);
    let changed_at = sync.modified_at.unwrap_or(at);
    for name in &names {
        sync.changed.entry(name.clone()).or_insert(changed_at);
    }
    let shown = |value: Option<&serde_json::Value>| {
        let value = value.cloned().unwrap_or_default();
        let bytes = value.to_string().len();
        if bytes > SHOWN { format!("({bytes} bytes)").into() } else { value }
    };
    let step = |name: &String| FieldChange {
        field: name.clone(),
        from: shown(sync.replica.get(name)),
        to: shown(replica.get(name)),
        conflict: false,
    };
    told.changes = names.iter().take(NAMED).map(step).collect();
    told.reason = Some(format!("event {n} was carried by a replica that {by} edited"));
    told.correlation = event.correlation;
    sync.replica = replica;
    serde_json::to_string(&event).map_err(|error| Refused::Invalid { field: "replica", message: error.to_string() })
}
