//! The dialling side: one task per connection that this node dials.
//!
//! ```text
//!            ┌────────── both at once, until one fails ──────────┐
//!   start ──▶│ hold: one held exchange after another (private)   │── failure ──▶ pause (0.5 s … 60 s) ──┐
//!        ▲   │ push: an exchange whenever there is something     │                                      │
//!        │   └───────────────────────────────────────────────────┘                                      │
//!        └──────────────────────────────────────────────────────────────────────────────────────────────┘
//!   stop ──▶ goodbye, so that the next run goes on at once
//! ```
//!
//! Nothing that came without the partner's signature counts, except as a failure: it may teach a shorter wait (`wait`:
//! a proxy cuts idle requests) or a smaller batch (`batch`). What the partner refused by its own word is handled where it is
//! read (`once`). The trap: both halves tell the same numbers, so nothing here keeps a cursor of its own; each exchange
//! reads where the link stands.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Link, Trouble,
    call::Failure,
    exchange::{has_events, room},
    gather::{Gather, Quiet},
    protocol::PUBLIC_PULSE,
    trouble,
};
use crate::{
    clock::Time,
    domain::{
        connection::{Connection, Kind, Paused, Switch},
        ids::{ConnectionId, Side},
    },
    retry::Backoff,
    store::{
        Notice, StoreError, Topic,
        rows::{LinkState, Standing},
    },
};

mod batch;
mod once;
mod wait;

use batch::Batch;
pub(super) use once::tell_gone;
use wait::Wait;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(60) };
/// Half to all of it by chance: a minute in the middle.
const PULSE: Backoff = Backoff { first: PUBLIC_PULSE, most: PUBLIC_PULSE };
/// Failures in a row before a connection is shown as paused, and before that is an error.
const SHOWN_AFTER: u32 = 2;
const ERROR_AFTER: u32 = 5;
/// What came is applied first: its acknowledgement hurries nobody, and an exchange costs as much as the work itself.
const APPLY_FIRST: Duration = Duration::from_millis(5);
const ROOM_AGAIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// What is said last may take so long.
const GOODBYE: Duration = Duration::from_secs(3);

/// Whether this node dials on a connection. On a private one only the side that accepted does.
pub fn dials(connection: &Connection) -> bool {
    let may = connection.kind == Kind::Public || connection.side == Side::Accepting;
    may && connection.remote.as_ref().is_some_and(|remote| remote.url.is_some())
}

/// Starts a task for every connection that we dial, now and whenever one is added.
pub(super) async fn supervise(link: Link) {
    let running: Arc<Mutex<HashSet<ConnectionId>>> = Arc::default();
    let topic = link.parts.store.wakes().on(Topic::Connections);
    loop {
        let woken = topic.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        match link.parts.store.read("link.connections", |tx| Box::pin(async move { tx.connections().await })).await {
            Ok(connections) => {
                for connection in connections.iter().filter(|connection| dials(connection)) {
                    let id = connection.id;
                    if running.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                        let (dialler, running) = (Dialler::new(link.clone(), id), running.clone());
                        link.parts.lifecycle.spawn("link.dial", async move {
                            dialler.run().await;
                            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                        });
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the connections cannot be read"),
        }
        tokio::select! {
            () = woken => {}
            () = link.parts.clock.sleep(LOOK_AGAIN) => {}
            () = link.parts.lifecycle.stopping() => return,
        }
    }
}

#[derive(Debug)]
struct View {
    /// Seconds that the partner's clock is ahead of ours, once it said so in this run.
    ahead: Option<i64>,
    /// How many events the partner takes next, once it said.
    room: Option<u32>,
    /// The partner has stored less than it acknowledged once: from this event on they are handed over again.
    behind: Option<u64>,
    told: Option<Switch>,
    told_no_room: bool,
    /// The partner said that it has deleted the connection: what it answered to the other half before says nothing.
    gone: bool,
    /// The exchange that is held at this moment says so.
    held_no_room: bool,
    wait: Wait,
    batch: Batch,
    failures: u32,
    second_since: Option<Time>,
    /// Exchanges in a row that were repeated at once for what the partner said.
    again: u32,
}

impl View {
    /// The first event to hand over.
    fn next(&self, state: &LinkState) -> u64 {
        self.behind.filter(|from| *from <= state.acked).unwrap_or(state.acked + 1)
    }
}

struct Dialler {
    link: Link,
    id: ConnectionId,
    view: Mutex<View>,
    /// The other half learnt something that this one waits for.
    nudge: Notify,
    /// What the held exchange says is out of date: there is room again.
    again: Notify,
}

/// Why both halves stop.
#[derive(Debug)]
enum Stop {
    /// Nothing is to be dialled any more.
    Over,
    /// No word of the partner came.
    Failed(Failure),
    /// The partner, or the store, wants us to wait.
    Pause { reason: String, pause: Duration, shown: bool },
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Pause { reason: error.to_string(), pause: Duration::from_secs(5), shown: false }
    }
}

#[derive(Debug, Default)]
struct Exchanged {
    sent: usize,
    got: usize,
    progress: bool,
    more: bool,
}

impl Dialler {
    fn new(link: Link, id: ConnectionId) -> Self {
        let view = View {
            ahead: None,
            room: None,
            behind: None,
            told: None,
            told_no_room: false,
            gone: false,
            held_no_room: false,
            wait: Wait::new(link.parts.wait),
            batch: Batch::new(),
            failures: 0,
            second_since: None,
            again: 0,
        };
        Self { link, id, view: Mutex::new(view), nudge: Notify::new(), again: Notify::new() }
    }

    fn view<T>(&self, work: impl FnOnce(&mut View) -> T) -> T {
        work(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn run(&self) {
        loop {
            self.view(|view| view.gone = false);
            let stop = tokio::select! {
                stop = self.hold() => stop,
                stop = self.push() => stop,
                () = self.link.parts.lifecycle.stopping() => return self.goodbye().await,
            };
            let pause = match stop {
                Stop::Over => return,
                Stop::Failed(failure) => {
                    let failures = self.view(|view| {
                        view.failures += 1;
                        view.failures
                    });
                    let pause = BACKOFF.pause(failures, &*self.link.parts.clock);
                    let reason = failure.said();
                    tracing::debug!(connection = %self.id, failures, reason, "an exchange failed");
                    if failures >= SHOWN_AFTER {
                        self.show(&reason, &failure.advice, pause, failures >= ERROR_AFTER).await;
                    }
                    pause
                }
                Stop::Pause { reason, pause, shown } => {
                    if shown {
                        self.show(&reason, "", pause, true).await;
                    }
                    pause
                }
            };
            tokio::select! {
                () = self.rest(pause) => {}
                () = self.link.parts.lifecycle.stopping() => return,
            }
        }
    }

    /// A pause; shorter where a person gave the other node another address or key meanwhile, or switched.
    async fn rest(&self, pause: Duration) {
        let clock = &self.link.parts.clock;
        let topic = self.link.parts.store.wakes().on(Topic::Connections);
        let before = self.place().await;
        let end = clock.now().plus(pause);
        loop {
            let woken = topic.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if self.place().await != before {
                return;
            }
            tokio::select! {
                () = woken => {}
                () = clock.sleep(end.since(clock.now())) => return,
            }
        }
    }

    /// Whom we dial and what for.
    async fn place(&self) -> Option<(Switch, Option<String>, String)> {
        let connection = self.link.look(self.id).await.ok()??.connection;
        let remote = connection.remote.as_ref()?;
        Some((connection.switch(), remote.url.clone(), remote.key.clone()))
    }

    /// Says why nothing flows.
    async fn show(&self, reason: &str, advice: &str, pause: Duration, error: bool) {
        let (id, now) = (self.id, self.link.parts.clock.now());
        let (reason, retry_at) = (reason.to_owned(), now.plus(pause));
        let trouble = Trouble {
            code: trouble::UNREACHABLE,
            title: "The other node cannot be reached".to_owned(),
            detail: reason.clone(),
            advice: match advice {
                "" => "It is tried again by itself. If it lasts, ask the other node's people.".to_owned(),
                advice => format!("It is tried again by itself. {advice}"),
            },
            retryable: true,
        };
        let written = self.link.parts.store.write("link.paused", move |tx| {
            Box::pin(async move {
                let Some(mut connection) = tx.connection(id).await? else { return Ok(()) };
                let since = connection.paused.as_ref().map_or(now, |paused| paused.since);
                connection.paused = Some(Paused { reason, since, retry_at: Some(retry_at) });
                tx.update_connection(&connection).await?;
                tx.tell(Notice::Connection(id));
                if error { trouble::open(tx, id, &trouble, now).await } else { Ok(()) }
            })
        });
        if let Err(error) = written.await {
            tracing::warn!(connection = %self.id, %error, "a pause cannot be written down");
        }
    }

    /// The long poll. Public nodes hold nothing: they speak now and then ([`Self::push`]).
    async fn hold(&self) -> Stop {
        let clock = &self.link.parts.clock;
        let mut empty = 0;
        match self.link.look(self.id).await {
            Ok(Some(standing)) if standing.connection.kind == Kind::Public => std::future::pending::<()>().await,
            Ok(Some(_)) => {}
            Ok(None) => return Stop::Over,
            Err(error) => return error.into(),
        }
        loop {
            // The first after a failure answers at once, so that a pause ends as soon as it can.
            let wait = self.view(|view| if view.room.is_none() || view.failures > 0 { Duration::ZERO } else { view.wait.now() });
            let began = clock.now();
            let exchanged = tokio::select! {
                exchanged = self.exchange(wait, false, false) => exchanged,
                () = self.again.notified() => continue,
            };
            let took = clock.now().since(began);
            let exchanged = match exchanged {
                Ok(exchanged) => exchanged,
                // It was cut, not unreachable: the count of failures begins anew.
                Err(Stop::Failed(failure)) if failure.cut && self.view(|view| view.wait.cut(wait, took)) => {
                    self.view(|view| view.failures = 0);
                    return Stop::Failed(failure);
                }
                Err(stop) => return stop,
            };
            if wait > Duration::ZERO && took >= wait {
                self.view(|view| view.wait.full(wait));
            }
            let idle = exchanged.got == 0 && !exchanged.more && wait > Duration::ZERO && took < Duration::from_secs(1);
            empty = if idle { empty + 1 } else { 0 };
            if exchanged.got > 0 && !exchanged.more {
                clock.sleep(APPLY_FIRST).await;
            }
            if empty > 3 {
                clock.sleep(BACKOFF.pause(empty - 3, &**clock)).await;
            }
        }
    }

    /// Speaks whenever there is something to hand over or to tell.
    async fn push(&self) -> Stop {
        let clock = &self.link.parts.clock;
        let outbox = self.link.parts.store.wakes().on(Topic::Outbox(self.id));
        let (mut stalled, mut next_pulse) = (0, clock.now());
        loop {
            let woken = outbox.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let standing = match self.link.look(self.id).await {
                Ok(Some(standing)) => standing,
                Ok(None) => return Stop::Over,
                Err(error) => return error.into(),
            };
            let Standing { connection, link, waiting } = &standing;
            let public = connection.kind == Kind::Public;
            let due = self.view(|view| {
                let from = view.next(link);
                let events = view.room.is_some_and(|room| room > 0) && has_events(&standing, from);
                let switched = view.told.is_some_and(|told| told != connection.switch());
                let room_again = (view.told_no_room || view.held_no_room) && room(connection, waiting) > 0;
                events || switched || room_again
            });
            let now = clock.now();
            if due || (public && now >= next_pulse) {
                match self.exchange(Duration::ZERO, true, false).await {
                    Ok(exchanged) => {
                        next_pulse = clock.now().plus(PULSE.pause(1, &**clock));
                        stalled = if exchanged.progress || !due { 0 } else { stalled + 1 };
                        if stalled > 0 {
                            clock.sleep(BACKOFF.pause(stalled, &**clock)).await;
                        } else if !exchanged.more
                            && let Err(error) = self.gather(exchanged.sent).await
                        {
                            return error.into();
                        }
                    }
                    Err(stop) => return stop,
                }
                continue;
            }
            let mut nap = if public { next_pulse.since(now).min(LOOK_AGAIN) } else { LOOK_AGAIN };
            if self.view(|view| view.told_no_room || view.held_no_room) {
                nap = nap.min(ROOM_AGAIN);
            }
            tokio::select! {
                () = &mut woken => {}
                () = self.nudge.notified() => {}
                () = clock.sleep(nap) => {}
            }
        }
    }

    /// Waits while the next batch comes together.
    async fn gather(&self, sent: usize) -> Result<(), StoreError> {
        let (clock, wakes) = (&self.link.parts.clock, self.link.parts.store.wakes());
        let bulk = wakes.handed_over(self.id, sent as u64, false);
        let mut gather = Gather::new(Quiet::after(sent, bulk, clock.now()));
        while let Some(standing) = self.link.look(self.id).await?
            && let Some(nap) = gather.nap(&standing, wakes.bulk(self.id), clock.now())
        {
            clock.sleep(nap).await;
        }
        Ok(())
    }

    async fn goodbye(&self) {
        let said = self.exchange(Duration::ZERO, false, true);
        if tokio::time::timeout(GOODBYE, said).await.is_err() {
            tracing::debug!(connection = %self.id, "the goodbye was not heard");
        }
    }
}
