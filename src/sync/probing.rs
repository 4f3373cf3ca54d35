//! The task that attends to paused directions: it lets one twin through now and then, notices that other rules were
//! published, and lets all go on once a pause has ended.
//!
//! A release goes in parts, and what is still to be released stands in the store: a node that is killed half-way goes on
//! where it was. Trap: a direction may be paused anew while the rest is released; then the rest waits for its next end.

use std::{collections::HashMap, time::Duration};

use super::{
    Engine,
    pauses::{PROBES, Way, is_paused, told},
    settle::release_changes,
};
use crate::{
    domain::{connection::Mode, error::Scope, failing::Fault, history::Direction, ids::TwinId},
    store::{
        StoreError, Topic,
        rows::{ErrorFilter, Page},
    },
};

/// Longest time without a look at what is paused.
const SAFETY: Duration = Duration::from_secs(5);
/// Twins or changes let go in one transaction.
const PART: u32 = 500;

/// Probes what is paused and lets go what was, until the node stops.
pub(super) async fn run(engine: Engine) {
    let parts = engine.parts().clone();
    let connections = parts.store.wakes().on(Topic::Connections);
    while let Err(error) = engine.pauses.load(&parts).await {
        tracing::error!("what was paused could not be read: {error}");
        tokio::select! {
            () = parts.clock.sleep(SAFETY) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
    loop {
        let (woken, news) = (connections.notified(), engine.pauses.news.notified());
        tokio::pin!(woken, news);
        woken.as_mut().enable();
        let ways: Vec<Way> = engine.pauses.lock().iter().flat_map(HashMap::keys).copied().collect();
        let mut next = SAFETY;
        for way in ways {
            match attend(&engine, way).await {
                Ok(due) => next = next.min(due),
                Err(error) => tracing::error!(connection = %way.0, "a pause could not be attended to: {error}"),
            }
        }
        tokio::select! {
            () = woken => {}
            () = news => {}
            () = parts.clock.sleep(next) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
}

/// What is due for one direction; how long until it has to be looked at again.
async fn attend(engine: &Engine, way: Way) -> Result<Duration, StoreError> {
    let parts = engine.parts();
    let known = || engine.pauses.lock().as_ref().and_then(|known| known.get(&way).cloned()).unwrap_or_default();
    let (id, mut failing) = (way.0, known());
    let read = parts.store.read("failing_connection", move |tx| {
        Box::pin(async move { Ok(tx.connection(id).await?.zip(Some(tx.rules(id).await?))) })
    });
    let Some((connection, rules)) = read.await? else {
        engine.pauses.lock().as_mut().map(|known| known.remove(&way));
        return Ok(SAFETY);
    };
    let version = rules.filter(|_| connection.mode == Mode::Script).map_or(0, |pair| pair.version);
    if failing.pause().is_some() && failing.streak.as_ref().is_some_and(|streak| streak.version != version) {
        engine.pauses.end(parts, way).await;
        failing = known();
    }
    let now = parts.clock.now();
    if let Some(pause) = failing.pause() {
        if pause.probe_at > now {
            return Ok(pause.probe_at.since(now));
        }
        probe(engine, way).await;
        return Ok(Duration::ZERO);
    }
    if !failing.release.is_empty() {
        release(engine, way, failing.release).await?;
    }
    Ok(SAFETY)
}

/// Lets one twin through.
pub(super) async fn probe(engine: &Engine, way: Way) {
    let parts = engine.parts();
    let (now, clock) = (parts.clock.now(), parts.clock.clone());
    let probed = engine.pauses.change(parts, way, move |tx, mut failing| {
        Box::pin(async move {
            let Some(streak) = &mut failing.streak else { return Ok((failing, None)) };
            let Some(pause) = &mut streak.pause else { return Ok((failing, None)) };
            let held = tx.next_held(way.0, way.1, pause.probe).await?;
            // Where nothing waits, those that parked are tried in turn.
            let parked = streak.twins.get(pause.probes as usize % streak.twins.len().max(1)).copied();
            pause.probes += 1;
            pause.probe = held.or(parked);
            pause.probe_at = now.plus(PROBES.pause(pause.probes + 1, clock.as_ref()));
            if let Some(twin) = held {
                match way.1 {
                    Direction::In => tx.release_arrived(way.0, twin).await?,
                    Direction::Out => release_changes(tx, way.0, twin, now).await?,
                }
            }
            let waiting = tx.paused(way.0).await?.into_iter().find(|(direction, ..)| *direction == way.1);
            tx.put_error(&told(way, streak, waiting.map_or(0, |(.., waiting)| waiting))).await?;
            let parked = parked.filter(|_| held.is_none());
            Ok((failing, parked))
        })
    });
    match probed.await {
        Ok(Some(twin)) => retry(engine, twin).await,
        Ok(None) => {}
        Err(error) => tracing::error!(connection = %way.0, "a probe could not be begun: {error}"),
    }
}

/// Tries again what holds up a twin, if anything does still.
async fn retry(engine: &Engine, twin: TwinId) {
    let read = engine.parts().store.read("error_of_twin", move |tx| Box::pin(async move { tx.error_of_twin(twin).await }));
    if let Ok(Some(error)) = read.await
        && let Err(refused) = engine.retry_twin(&error, twin).await
    {
        tracing::warn!(%twin, "it could not be tried again: {refused}");
    }
}

/// Lets go what waited and what parked, in parts. One that is paused again keeps the rest for its next end.
async fn release(engine: &Engine, way: Way, faults: Vec<Fault>) -> Result<(), StoreError> {
    let parts = engine.parts();
    loop {
        let now = parts.clock.now();
        let freed = parts.store.write("release_held", move |tx| {
            Box::pin(async move {
                if is_paused(tx, way).await? { Ok(None) } else { Ok(Some(tx.release_held(way.0, way.1, PART, now).await?)) }
            })
        });
        match freed.await? {
            None => return Ok(()),
            Some(freed) if freed < u64::from(PART) => break,
            Some(_) => {}
        }
    }
    for fault in &faults {
        release_parked(engine, way, fault).await?;
    }
    engine
        .pauses
        .change(parts, way, move |_, mut failing| {
            Box::pin(async move {
                failing.release.retain(|fault| !faults.contains(fault));
                Ok((failing, ()))
            })
        })
        .await
}

async fn release_parked(engine: &Engine, (connection, _): Way, fault: &Fault) -> Result<(), StoreError> {
    let mut page = Page { after: None, limit: PART };
    loop {
        let filter = ErrorFilter {
            connection_id: Some(connection),
            scope: Some(Scope::Twin),
            code: Some(fault.code.clone()),
            title: Some(fault.title.clone()),
            detail: Some(fault.detail.clone()),
            ..ErrorFilter::default()
        };
        let this = page.clone();
        let read =
            engine.parts().store.read("parked_alike", move |tx| Box::pin(async move { tx.list_errors(&filter, &this).await }));
        let found = read.await?;
        for error in found.items {
            let Some(twin) = error.twin_id else { continue };
            if let Err(refused) = engine.retry_twin(&error, twin).await {
                tracing::warn!(%twin, "it could not be tried again: {refused}");
            }
        }
        page.after = match found.next {
            Some(next) => Some(next),
            None => return Ok(()),
        };
    }
}
