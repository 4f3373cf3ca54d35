//! The light look beside the messages: what Salesforce does not tell, asked for now and then.
//!
//! Cursor and findings are stored together, so a crash repeats a look rather than skips one; what the messages already
//! brought ends as `unchanged` without a call.

use std::time::Duration;

use super::outgoing::Worker;
use crate::{
    clock::Time,
    domain::{
        change::{NewChange, Source},
        error::{ErrorRecord, Scope},
        ids::{CorrelationId, ErrorId},
        tracker::Looked,
        twin::Status,
    },
    store::{
        StoreError, Tx,
        rows::{Page, TwinFilter},
    },
};

/// Records in one page of those that are asked for one by one.
const PAGE: u32 = 500;
/// Code of the one error that tells of types that cannot be looked at.
const FAILED: &str = "look_failed";

/// Looks until the node stops.
pub(super) async fn run(worker: Worker, every: Duration) {
    loop {
        let mut more = false;
        if worker.rest.wait(worker.parts.clock.now()).is_none() {
            match once(&worker).await {
                Ok(there_is_more) => more = there_is_more,
                Err(error) => tracing::error!(tracker = worker.name, "the look could not be stored: {error}"),
            }
        }
        let pause = if more { Duration::ZERO } else { every };
        tokio::select! {
            () = worker.parts.clock.sleep(pause) => {}
            () = worker.parts.lifecycle.stopping() => return,
        }
    }
}

/// True where there is more to see at once.
async fn once(worker: &Worker) -> Result<bool, StoreError> {
    let name = worker.name.clone();
    let (types, cursor) = worker
        .parts
        .store
        .read("look", move |tx| {
            Box::pin(async move { Ok((tx.synced_types(&name).await?, tx.tracker_state(&name).await?.look_cursor)) })
        })
        .await?;
    if types.is_empty() {
        return Ok(false);
    }
    let looked = match worker.tracker.look(&cursor, &types).await {
        Ok(looked) => looked,
        Err(error) => {
            if error.concerns_all() {
                worker.rest.failed(&worker.parts, &worker.name, &error).await;
            }
            tracing::warn!(tracker = worker.name, "the look failed: {error}");
            return Ok(false);
        }
    };
    worker.rest.worked(&worker.parts, &worker.name).await;
    let (name, now, more) = (worker.name.clone(), worker.parts.clock.now(), looked.more);
    let failure = failure(worker, &looked);
    let correlation = CorrelationId(worker.parts.clock.id());
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
                for entity_type in looked.recheck {
                    recheck(tx, &name, &entity_type, now, correlation).await?;
                }
                tell(tx, &name, failure).await
            })
        })
        .await?;
    Ok(more)
}

/// Has each known record of a type looked at: the tracker no longer lists what was deleted meanwhile.
async fn recheck(
    tx: &mut dyn Tx,
    tracker: &str,
    entity_type: &str,
    now: Time,
    correlation: CorrelationId,
) -> Result<(), StoreError> {
    let filter =
        TwinFilter { tracker: Some(tracker.to_owned()), entity_type: Some(entity_type.to_owned()), ..TwinFilter::default() };
    let mut after = None;
    loop {
        let page = tx.list_twins(&filter, &Page { after, limit: PAGE }).await?;
        let known = page.items.iter().filter(|twin| twin.status != Status::Stopped).filter_map(|twin| twin.local.as_ref());
        let changes: Vec<NewChange> = known
            .map(|local| NewChange {
                tracker: tracker.to_owned(),
                entity_type: local.entity_type.clone(),
                key: local.key.clone(),
                source: Source::Look,
                notice_id: None,
                connection: None,
                content: None,
                received_at: now,
                due_at: now,
                correlation,
            })
            .collect();
        if !changes.is_empty() {
            tx.add_changes(&changes).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn failure(worker: &Worker, looked: &Looked) -> Option<ErrorRecord> {
    let (_, first) = looked.failed.first()?;
    let lines: Vec<String> = looked.failed.iter().map(|(entity_type, error)| format!("{entity_type}: {error}")).collect();
    Some(ErrorRecord {
        id: ErrorId(worker.parts.clock.id()),
        scope: Scope::Tracker,
        connection_id: None,
        twin_id: None,
        tracker: Some(worker.name.clone()),
        code: FAILED.to_owned(),
        title: "The look for what no message tells leaves out a type".to_owned(),
        detail: lines.join("\n"),
        advice: first.advice.clone(),
        retryable: true,
        attempts: 1,
        occurred_at: worker.parts.clock.now(),
        next_attempt_at: None,
    })
}

/// One error for all types that fail; it ends with the first look that sees all.
async fn tell(tx: &mut dyn Tx, tracker: &str, failure: Option<ErrorRecord>) -> Result<(), StoreError> {
    let known = tx.error_of(tracker, FAILED).await?;
    match (failure, known) {
        (None, None) => Ok(()),
        (None, Some(known)) => tx.close_error(known.id).await.map(|_| ()),
        (Some(new), None) => tx.put_error(&new).await,
        (Some(mut new), Some(known)) => {
            (new.id, new.occurred_at) = (known.id, known.occurred_at);
            new.attempts = known.attempts.saturating_add(1);
            tx.put_error(&new).await
        }
    }
}
