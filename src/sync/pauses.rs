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
//! decided in the transaction that holds it ([`hold`]), never by the copy. What lets it go is in [`super::probing`].

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
    settle::{Settle, Trouble},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange},
        error::{ErrorRecord, Scope},
        failing::{Failed as Word, Failing, Fault, IN_A_ROW, Pause, Streak},
        history::Direction,
        ids::{ConnectionId, ErrorId, TwinId},
        rule::RuleError,
        twin::{Status, Twin},
    },
    retry::Backoff,
    store::{StoreError, Topic, Tx, rows::HELD},
};

/// Code of the one error that tells of a pause.
pub(super) const PAUSED: &str = "rule_paused";
/// Between two probes.
pub(super) const PROBES: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(600) };

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
    pub(super) news: Notify,
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

    pub(super) async fn end(&self, parts: &Parts, way: Way) {
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
            super::probing::probe(engine, way).await;
        }
    }

    /// Changes what is remembered of one direction: in the store, then here.
    pub(super) async fn change<T, F>(&self, parts: &Parts, way: Way, change: F) -> Result<T, StoreError>
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
    pub(super) async fn load(&self, parts: &Parts) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let all = parts.store.read("failing", move |tx| Box::pin(async move { tx.all_failing().await })).await?;
        *self.lock() = Some(all.into_iter().map(|(id, way, failing)| ((id, way), failing)).collect());
        Ok(())
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<Way, Failing>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one error that tells of a pause.
pub(super) fn told((connection, direction): Way, streak: &Streak, waiting: u64) -> ErrorRecord {
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
pub(super) fn held_out(mut twin: Twin, changes: &[Change]) -> Settle {
    // What was read was not judged to its end: a later notice of the same second must not pass for known.
    (twin.memory.stamp, twin.memory.read_at) = (None, None);
    let carrier = super::holdup::carrier(changes, twin.connection_id).map(|change| (twin.connection_id, change));
    Settle { held_changes: carrier.into_iter().collect(), twins: vec![twin], ..Settle::default() }
}

/// Whether a twin's events have to wait. What ends it has not: that is told, whatever its rule does.
pub(super) fn waits(worker: &Worker, item: &Item, twin: &Twin) -> bool {
    let runs = item.folded.sync.is_some() && !item.folded.deleted && !item.folded.stopped;
    runs && worker.pauses.holds((item.connection.id, Direction::In), twin, None)
}

/// Takes out of a batch what has to wait, before anything is read for it.
pub(super) async fn let_through(worker: &Worker, items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let (mut going, mut held) = (Vec::with_capacity(items.len()), Settle::default());
    for item in items {
        match &item.twin {
            Some(twin) if waits(worker, &item, twin) => held.join(held_in(twin.clone())),
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
    let (mut due, mut kept) = (BTreeMap::new(), Vec::with_capacity(changes.len()));
    for (connection, change) in changes {
        if !due.contains_key(connection) {
            let paused = is_paused(tx, (*connection, Direction::Out)).await?;
            due.insert(*connection, if paused { HELD } else { now });
        }
        kept.extend(due.get(connection).map(|due_at| NewChange { due_at: *due_at, ..change.clone() }));
    }
    if kept.is_empty() { Ok(()) } else { tx.add_changes(&kept).await }
}

pub(super) async fn is_paused(tx: &mut dyn Tx, way: Way) -> Result<bool, StoreError> {
    Ok(tx.failing(way.0, way.1).await?.is_some_and(|failing| failing.pause().is_some()))
}
