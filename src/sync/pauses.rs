//! When a rule fails alike for one record after the other, its direction waits: told once, tried now and then with one
//! twin, and gone on with by itself ([`Failing`] says when).
//!
//! ```text
//!  run fails ─▶ failed ─▶ the tenth in a row: one error of the connection
//!  next work ─▶ holds ──▶ kept with a moment of its own (HELD), nothing runs, nothing parks
//!  run       ─▶ a probe is due: one twin is let through ─▶ worked ─▶ all that waits and all that parked with it goes on
//! ```
//!
//! What is in the store counts; the copy here spares a look at each run, since nearly always nothing fails. What ends
//! without its rule goes on while its direction is paused: words on our events, ends, links.
//!
//! Trap: work may be held in the moment in which the pause ends, and nobody would let it go. So whether it is held is
//! decided in the transaction that holds it ([`hold`]), never by the copy.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Engine, Parts,
    decide::Item,
    judge::Failure,
    outgoing::Worker,
    settle::{Settle, Trouble, release_changes},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange},
        connection::Mode,
        error::{ErrorRecord, Scope},
        failing::{Failed as Word, Failing, Fault, IN_A_ROW, Pause, Streak},
        history::Direction,
        ids::{ConnectionId, ErrorId, TwinId},
        rule::RuleError,
        twin::{Status, Twin},
    },
    retry::Backoff,
    store::{
        StoreError, Topic, Tx,
        rows::{ErrorFilter, HELD, Page},
    },
};

/// Code of the one error that tells of a pause.
pub(super) const PAUSED: &str = "rule_paused";
/// Between two probes.
const PROBES: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(600) };
/// Longest time without a look at what is paused.
const SAFETY: Duration = Duration::from_secs(5);
/// Twins or changes let go in one transaction.
const PART: u32 = 500;

/// A direction of a connection.
pub(super) type Way = (ConnectionId, Direction);

/// A run that failed.
pub(super) struct Failed<'a> {
    pub way: Direction,
    pub version: u32,
    pub error: &'a RuleError,
}

/// What fails, for all connections of the node.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// As in the store; `None` until it was read.
    known: Mutex<Option<HashMap<Way, Failing>>>,
    /// One at a time changes the store and then the copy.
    turn: tokio::sync::Mutex<()>,
    news: Notify,
}

impl Pauses {
    /// Whether the work of a twin has to wait. `version` is that of the rule which would run, where it is known.
    pub(super) fn holds(&self, way: Way, twin: &Twin, version: Option<u32>) -> bool {
        let known = self.lock();
        let Some(Failing { streak: Some(Streak { version: failed, pause: Some(pause), .. }), .. }) =
            known.as_ref().and_then(|known| known.get(&way))
        else {
            return false;
        };
        pause.probe != Some(twin.id) && version.is_none_or(|version| version == *failed)
    }

    /// A run failed. True: its work waits with that of its whole direction; false: its twin is parked.
    pub(super) async fn failed(&self, worker: &Worker, twin: &Twin, failed: Failed<'_>) -> bool {
        if !matches!(failed.error, RuleError::Script { .. } | RuleError::Limit(_)) {
            return false;
        }
        let trouble = Trouble::rule(failed.way, failed.error);
        let fault = Fault { code: trouble.code, title: trouble.title, detail: trouble.detail };
        let (way, id, version) = ((twin.connection_id, failed.way), twin.id, failed.version);
        let (now, error, pause) = {
            let clock = &worker.parts.clock;
            (clock.now(), ErrorId(clock.id()), PROBES.pause(1, clock.as_ref()))
        };
        let stored = self.change(&worker.parts, way, move |tx, mut failing| {
            Box::pin(async move {
                let word = failing.failed(version, &fault, id);
                if word == Word::TooOften
                    && let Some(streak) = &mut failing.streak
                {
                    streak.pause = Some(Pause { error, since: now, probes: 0, probe_at: now.plus(pause), probe: None });
                    tx.put_error(&told(way, streak, 0)).await?;
                    tracing::warn!(connection = %way.0, "the {} rule fails for every record: it pauses", way.1.rule());
                }
                Ok((failing, word))
            })
        });
        match stored.await {
            // One that is parked already stays so, with its own error.
            Ok(Word::AsPaused) => twin.status != Status::Parked,
            Ok(Word::Alone | Word::TooOften) => false,
            Err(error) => {
                tracing::error!(connection = %way.0, "a failure in a row could not be stored: {error}");
                false
            }
        }
    }

    /// A run went well: what had failed is over.
    pub(super) async fn worked(&self, worker: &Worker, way: Way) {
        let streak = self.lock().as_ref().is_some_and(|known| known.get(&way).is_some_and(|one| one.streak.is_some()));
        if streak {
            self.end(&worker.parts, way).await;
        }
    }

    async fn end(&self, parts: &Parts, way: Way) {
        let ended = self.change(parts, way, move |tx, mut failing| {
            Box::pin(async move {
                if let Some(pause) = failing.ended() {
                    tx.close_error(pause.error).await?;
                    tracing::info!(connection = %way.0, "the {} rule works again: what waited goes on", way.1.rule());
                }
                Ok((failing, ()))
            })
        });
        if let Err(error) = ended.await {
            tracing::error!(connection = %way.0, "the end of a pause could not be stored: {error}");
        }
    }

    /// A person wants it tried now.
    pub(super) async fn probe_now(&self, engine: &Engine, error: &ErrorRecord) {
        let ours = |(_, failing): &(&Way, &Failing)| failing.pause().is_some_and(|pause| pause.error == error.id);
        let way = self.lock().as_ref().and_then(|known| known.iter().find(ours).map(|(way, _)| *way));
        if let Some(way) = way {
            probe(engine, way).await;
        }
    }

    /// Changes what is remembered of one direction: in the store, then here.
    async fn change<T, F>(&self, parts: &Parts, way: Way, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx, Failing) -> crate::store::Work<'t, (Failing, T)> + Send + 'static,
    {
        let _turn = self.turn.lock().await;
        let (failing, answer) = parts
            .store
            .write("rule_failing", move |tx| {
                Box::pin(async move {
                    let before = tx.failing(way.0, way.1).await?.unwrap_or_default();
                    let (failing, answer) = change(&mut *tx, before).await?;
                    tx.put_failing(way.0, way.1, &failing).await?;
                    Ok((failing, answer))
                })
            })
            .await?;
        let news = failing.pause().is_some() || !failing.release.is_empty();
        if let Some(known) = self.lock().as_mut() {
            if failing.is_over() {
                known.remove(&way)
            } else {
                known.insert(way, failing)
            };
        }
        if news {
            self.news.notify_one();
        }
        Ok(answer)
    }

    /// Reads what an earlier process left.
    async fn load(&self, parts: &Parts) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let all = parts.store.read("failing", move |tx| Box::pin(async move { tx.all_failing().await })).await?;
        *self.lock() = Some(all.into_iter().map(|(id, way, failing)| ((id, way), failing)).collect());
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<Way, Failing>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one error that tells of a pause.
fn told((connection, direction): Way, streak: &Streak, waiting: u64) -> ErrorRecord {
    let rule = direction.rule();
    let pause = streak.pause.as_ref();
    ErrorRecord {
        id: pause.map_or(ErrorId(uuid::Uuid::nil()), |pause| pause.error),
        scope: Scope::Connection,
        connection_id: Some(connection),
        twin_id: None,
        tracker: None,
        code: PAUSED.to_owned(),
        title: format!("The {rule} rule fails for one record after the other: this direction is paused"),
        detail: format!(
            "version {} failed alike for {IN_A_ROW} records in a row: {}. {waiting} more wait.",
            streak.version, streak.fault.detail
        ),
        advice: "Mend the rule and publish it: all that waits then goes on by itself. One record is tried now and then; \
                 retry tries one now."
            .to_owned(),
        retryable: true,
        attempts: pause.map_or(0, |pause| pause.probes),
        occurred_at: pause.map_or(Time(0), |pause| pause.since),
        next_attempt_at: pause.map(|pause| pause.probe_at),
    }
}

/// The events of a twin wait with those of its direction.
pub(super) fn held_in(twin: Twin) -> Settle {
    Settle { held: vec![(twin.connection_id, twin.id)], twins: vec![twin], ..Settle::default() }
}

/// The changes of a twin do, as one.
pub(super) fn held_out(twin: Twin, changes: &[Change]) -> Settle {
    let carrier = super::holdup::carrier(changes, twin.connection_id).map(|change| (twin.connection_id, change));
    Settle { held_changes: carrier.into_iter().collect(), twins: vec![twin], ..Settle::default() }
}

/// Takes out of a batch what has to wait, before anything is read for it.
pub(super) async fn let_through(worker: &Worker, items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let (mut going, mut held) = (Vec::with_capacity(items.len()), Settle::default());
    for item in items {
        let way = (item.connection.id, Direction::In);
        let runs = item.folded.sync.is_some() && !item.folded.deleted && !item.folded.stopped;
        match item.twin {
            Some(ref twin) if runs && worker.pauses.holds(way, twin, None) => held.join(held_in(twin.clone())),
            _ => going.push(item),
        }
    }
    held.commit(&worker.parts.store, worker.parts.clock.as_ref(), "events_held").await?;
    Ok(going)
}

/// Holds work whose direction is paused; lets it go on where the pause has just ended.
pub(super) async fn hold(
    tx: &mut dyn Tx,
    twins: &[(ConnectionId, TwinId)],
    changes: &[(ConnectionId, NewChange)],
    now: Time,
) -> Result<(), StoreError> {
    let mut by_connection: BTreeMap<ConnectionId, Vec<TwinId>> = BTreeMap::new();
    for (connection, twin) in twins {
        by_connection.entry(*connection).or_default().push(*twin);
    }
    for (connection, twins) in by_connection {
        if is_paused(tx, (connection, Direction::In)).await? {
            tx.hold_arrived(connection, &twins).await?;
        } else if let Some(one) = tx.connection(connection).await? {
            tx.wake(Topic::Inbox(one.tracker));
        }
    }
    for (connection, change) in changes {
        let due_at = if is_paused(tx, (*connection, Direction::Out)).await? { HELD } else { now };
        tx.add_changes(&[NewChange { due_at, ..change.clone() }]).await?;
    }
    Ok(())
}

async fn is_paused(tx: &mut dyn Tx, way: Way) -> Result<bool, StoreError> {
    Ok(tx.failing(way.0, way.1).await?.is_some_and(|failing| failing.pause().is_some()))
}

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
async fn probe(engine: &Engine, way: Way) {
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
