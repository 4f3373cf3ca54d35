//! Resting: when a tracker cannot be reached or used at all, everything that needs it waits, and nothing else does.
//!
//! The pause grows with each failure in a row, keeps the tracker's own wish where it named one, and ends with the first
//! success, also where a process that was killed since had told of the pause. It is told once, as one error of scope
//! `tracker`, however many records wait.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Parts;
use crate::{
    clock::Time,
    domain::{
        connection::Paused,
        error::{ErrorRecord, Scope},
        ids::ErrorId,
        tracker::{Fault, Retry, TrackerError},
    },
    retry::Backoff,
    store::{Notice, StoreError},
};

const NETWORK: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };
const PEOPLE: Backoff = Backoff { first: Duration::from_secs(15), most: Duration::from_secs(300) };

/// Whether a tracker rests.
#[derive(Debug, Default)]
pub(super) struct Rest {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    until: Option<Time>,
    failures: u32,
    /// No pause of an earlier process is on disk any more.
    told_over: bool,
}

impl Rest {
    /// How long to wait before the tracker may be tried.
    pub(super) fn wait(&self, now: Time) -> Option<Duration> {
        let until = self.lock().until?;
        (until > now).then(|| until.since(now))
    }

    /// Tried again at once.
    pub(super) fn clear(&self) {
        self.lock().until = None;
    }

    /// The tracker could not be used: rest, and tell.
    pub(super) async fn failed(&self, parts: &Parts, tracker: &str, error: &TrackerError) {
        let now = parts.clock.now();
        let (until, failures) = {
            let mut state = self.lock();
            if state.until.is_some_and(|until| until > now) {
                return;
            }
            state.failures += 1;
            let backoff = if error.fault == Fault::Network { NETWORK } else { PEOPLE };
            let pause = backoff.pause(state.failures, parts.clock.as_ref());
            let pause = match error.retry {
                Retry::Soon(Some(wish)) => pause.max(wish),
                _ => pause,
            };
            state.until = Some(now.plus(pause));
            (now.plus(pause), state.failures)
        };
        tracing::warn!(tracker, code = error.code, failures, "the tracker rests until {until}: {error}");
        if let Err(store) = tell(parts, tracker, error.clone(), until, failures).await {
            tracing::error!(tracker, "the pause could not be stored: {store}");
        }
    }

    /// The tracker answered: the pause is over.
    pub(super) async fn worked(&self, parts: &Parts, tracker: &str) {
        {
            let mut state = self.lock();
            if state.failures == 0 && state.told_over {
                return;
            }
            *state = State { told_over: true, ..State::default() };
        }
        let name = tracker.to_owned();
        let done = parts
            .store
            .write("tracker_works", move |tx| {
                Box::pin(async move {
                    let mut state = tx.tracker_state(&name).await?;
                    if state.paused.is_none() {
                        return Ok(());
                    }
                    state.paused = None;
                    state.failures = 0;
                    tx.put_tracker_state(&name, &state).await?;
                    if let Some(error) = tx.error_of(&name, PAUSED).await? {
                        tx.close_error(error.id).await?;
                    }
                    tx.tell(Notice::Tracker(name));
                    Ok(())
                })
            })
            .await;
        if let Err(store) = done {
            // Told with the next success.
            self.lock().told_over = false;
            tracing::error!(tracker, "the end of the pause could not be stored: {store}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Code of the one error that tells of a pause.
const PAUSED: &str = "tracker_paused";

async fn tell(parts: &Parts, tracker: &str, error: TrackerError, until: Time, failures: u32) -> Result<(), StoreError> {
    let (name, now, id) = (tracker.to_owned(), parts.clock.now(), ErrorId(parts.clock.id()));
    parts
        .store
        .write("tracker_rests", move |tx| {
            Box::pin(async move {
                let mut state = tx.tracker_state(&name).await?;
                let since = state.paused.as_ref().map_or(now, |paused| paused.since);
                state.paused = Some(Paused { reason: error.title.clone(), since, retry_at: Some(until) });
                state.failures = failures;
                tx.put_tracker_state(&name, &state).await?;
                let known = tx.error_of(&name, PAUSED).await?;
                tx.put_error(&ErrorRecord {
                    id: known.as_ref().map_or(id, |known| known.id),
                    scope: Scope::Tracker,
                    connection_id: None,
                    twin_id: None,
                    tracker: Some(name.clone()),
                    code: PAUSED.to_owned(),
                    title: error.title,
                    detail: error.detail,
                    advice: error.advice,
                    retryable: true,
                    attempts: failures,
                    occurred_at: known.map_or(now, |known| known.occurred_at),
                    next_attempt_at: Some(until),
                })
                .await?;
                tx.tell(Notice::Tracker(name));
                Ok(())
            })
        })
        .await
}
