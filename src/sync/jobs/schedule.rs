//! Reconciling by the clock, where a tracker's configuration asks for it: it only tells; repairing is for people.
//!
//! When the last one began stands in the table of jobs, so a node that is restarted every day is reconciled too.

use std::time::Duration;

use crate::{
    domain::{
        connection::Status,
        ids::ConnectionId,
        job::{Job, Work},
    },
    store::{
        StoreError,
        rows::{JobFilter, Page},
    },
    sync::{Engine, Refused},
};

/// Nobody wants them one after another without a pause.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often it is asked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// Jobs that are looked through for the last one.
const PAGE: u32 = 100;
/// Whose wish such a job is.
const BY: &str = "schedule";

/// Starts a tracker's reconciles until the node stops.
pub(in crate::sync) async fn run(engine: Engine, tracker: String, every: Duration) {
    let (parts, every) = (engine.parts().clone(), every.max(SHORTEST));
    loop {
        if let Err(error) = once(&engine, &tracker, every).await {
            tracing::warn!(tracker, "a scheduled reconcile has to wait: {error}");
        }
        tokio::select! {
            () = parts.clock.sleep(every.min(LOOK)) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
}

async fn once(engine: &Engine, tracker: &str, every: Duration) -> Result<(), Refused> {
    let parts = engine.parts();
    let connections = parts.store.read("scheduled", |tx| Box::pin(async move { tx.connections().await })).await?;
    let active = connections.iter().filter(|one| one.tracker == tracker && one.status == Status::Active);
    for connection in active {
        let last = last(engine, connection.id).await?.map_or(connection.created_at, |job| job.created_at);
        if parts.clock.now().since(last) >= every {
            match engine.start_job(connection.id, Work::Reconcile { repair: false }, BY.to_owned()).await {
                // One goes on, or too many do.
                Ok(_) | Err(Refused::State(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The last reconcile of a connection, whoever asked for it.
async fn last(engine: &Engine, connection: ConnectionId) -> Result<Option<Job>, StoreError> {
    let filter = JobFilter { connection_id: Some(connection), ..JobFilter::default() };
    let page = Page { after: None, limit: PAGE };
    let read = engine.parts().store.read("last_reconcile", move |tx| Box::pin(async move { tx.list_jobs(&filter, &page).await }));
    Ok(read.await?.items.into_iter().find(|job| matches!(job.work, Work::Reconcile { .. })))
}
