//! The loop of a tracker's two workers: claim what waits, work on it beside the next claims, and wait for news.
//!
//! A few batches work side by side, so a long one does not hold up a single edit. Where the tracker rests nothing is
//! claimed. A look that took all there was waits for something new, or for what it holds to come back; how long it waits
//! before it looks again is [`super::pace`]'s to say.
//!
//! To add a way: what wakes it, what it claims, and what it does with a batch ([`Rounds`]).

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    judge::Failure,
    outgoing::Worker,
    pace::{Pace, TOOK_ALL},
};
use crate::store::{StoreError, Topic};

/// Batches side by side per tracker and way.
pub(super) const SIDE_BY_SIDE: usize = 4;

/// What a look found.
pub(super) struct Claim<B> {
    /// The batch, and how many pieces of work it has.
    pub batch: Option<(B, usize)>,
    /// Others hold some of what waits.
    pub blocked: bool,
    /// Something was left for the next batch.
    pub more: bool,
    /// When to look again, whatever happens.
    pub due: Duration,
}

/// One way of a tracker's work.
pub(super) trait Rounds: Clone + Send + Sync + 'static {
    /// Claimed work, with its leases.
    type Batch: Send + Sync + 'static;
    /// For the log: what is claimed, and the name of the task that works.
    const NAMES: (&'static str, &'static str);
    /// Longest time without a look into the store.
    const SAFETY: Duration;

    /// Whose work it is.
    fn worker(&self) -> &Worker;
    /// What wakes it.
    fn topic(&self) -> Topic;
    /// Most pieces of work in a batch.
    fn limit(&self) -> usize;
    /// Takes what waits.
    fn claim(&self) -> impl Future<Output = Result<Claim<Self::Batch>, StoreError>> + Send;
    /// Does it.
    fn work(&self, batch: &Self::Batch) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Works until the node stops.
pub(super) async fn run<R: Rounds>(rounds: R) {
    let Worker { parts, name, rest, .. } = rounds.worker();
    let slots = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let (news, released) = (parts.store.wakes().on(rounds.topic()), parts.store.wakes().on(Topic::Released));
    let mut pace = Pace::default();
    while !parts.lifecycle.is_stopping() {
        if let Some(pause) = rest.wait(parts.clock.now()) {
            tokio::select! {
                () = parts.clock.sleep(pause.min(Duration::from_secs(1))) => {}
                () = parts.lifecycle.stopping() => return,
            }
            continue;
        }
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        // Registered before looking, or a wake-up between the look and the wait would be lost.
        let (woken, freed) = (news.notified(), released.notified());
        tokio::pin!(woken, freed);
        woken.as_mut().enable();
        freed.as_mut().enable();
        let Claim { batch, blocked, more, due } = rounds.claim().await.unwrap_or_else(|error| {
            tracing::error!(tracker = name, "{} could not be claimed: {error}", R::NAMES.0);
            Claim { batch: None, blocked: false, more: false, due: R::SAFETY }
        });
        let took = batch.is_some();
        let pause = if let Some((batch, pieces)) = batch {
            let rounds = rounds.clone();
            let pause = pace.found(pieces, rounds.limit());
            parts.lifecycle.spawn(R::NAMES.1, async move {
                finish(&rounds, batch).await;
                drop(slot);
            });
            tokio::time::sleep(pause).await;
            if more {
                continue;
            }
            Some(TOOK_ALL)
        } else {
            drop(slot);
            pace.nothing(blocked)
        };
        tokio::select! {
            () = woken => {}
            () = freed, if blocked || took => {}
            () = parts.clock.sleep(due) => {}
            () = parts.lifecycle.stopping() => return,
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn finish<R: Rounds>(rounds: &R, batch: R::Batch) {
    let Worker { parts, name, rest, .. } = rounds.worker();
    match rounds.work(&batch).await {
        Ok(()) => rest.worked(parts, name).await,
        Err(Failure::Tracker(error)) => rest.failed(parts, name, &error).await,
        Err(Failure::Store(error)) => {
            tracing::error!(tracker = name, "{} could not be settled: {error}", R::NAMES.0);
            parts.clock.sleep(Duration::from_millis(500)).await;
        }
    }
    // Its leases go now.
    drop(batch);
}
