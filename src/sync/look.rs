//! The light look beside the messages: what Salesforce does not tell, asked for now and then.
//!
//! Cursor and findings are stored together, so a crash repeats a look rather than skips one; what the messages already
//! brought ends as `unchanged` without a call.

use std::time::Duration;

use super::outgoing::Worker;
use crate::store::StoreError;

/// Looks until the node stops.
pub(super) async fn run(worker: Worker, every: Duration) {
    loop {
        if worker.rest.wait(worker.parts.clock.now()).is_none()
            && let Err(error) = once(&worker).await
        {
            tracing::error!(tracker = worker.name, "the look could not be stored: {error}");
        }
        tokio::select! {
            () = worker.parts.clock.sleep(every) => {}
            () = worker.parts.lifecycle.stopping() => return,
        }
    }
}

async fn once(worker: &Worker) -> Result<(), StoreError> {
    let name = worker.name.clone();
    let (types, cursor) = worker
        .parts
        .store
        .read("look", move |tx| {
            Box::pin(async move { Ok((tx.synced_types(&name).await?, tx.tracker_state(&name).await?.look_cursor)) })
        })
        .await?;
    if types.is_empty() {
        return Ok(());
    }
    let looked = match worker.tracker.look(&cursor, &types).await {
        Ok(looked) => looked,
        Err(error) => {
            if error.concerns_all() {
                worker.rest.failed(&worker.parts, &worker.name, &error).await;
            }
            tracing::warn!(tracker = worker.name, "the look failed: {error}");
            return Ok(());
        }
    };
    let name = worker.name.clone();
    worker
        .parts
        .store
        .write("looked", move |tx| {
            Box::pin(async move {
                let mut state = tx.tracker_state(&name).await?;
                state.look_cursor = looked.cursor;
                tx.put_tracker_state(&name, &state).await?;
                if !looked.changes.is_empty() {
                    tx.add_changes(&looked.changes).await?;
                }
                Ok(())
            })
        })
        .await
}
