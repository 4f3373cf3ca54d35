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
//! Nothing that came without the partner's signature counts, except as a failure: it may teach a shorter wait (a proxy
//! cuts idle requests: halved, 5 s at least, slowly grown again) or a smaller batch (413). What the partner refused by
//! its own word is handled where it is read, in [`Dialler::refused`]. The trap: both halves tell the same numbers, so
//! nothing here keeps a cursor of its own; each exchange reads where the link stands.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Link, Trouble,
    answer::two_copies,
    call::{Failure, Outgoing, Reply},
    exchange::{Heard, Hearing, Limit, Spoken, has_events, hear, is_news, room, start_epoch},
    keys::PublicKey,
    mailbox::pause_after,
    oversize,
    protocol::{
        Answered, Asked, CALL, HOLD_SLACK, MAX_BATCH, MIN_WAIT, PUBLIC_PULSE, RefusalHeard, TWO_COPIES, exchange_path, on_wire,
    },
    trouble,
};
use crate::{
    clock::Time,
    domain::{
        connection::{Connection, Kind, Paused, Switch},
        ids::{ConnectionId, Side},
    },
    retry::Backoff,
    store::{Notice, StoreError, Topic},
};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(60) };
/// Failures in a row before a connection is shown as paused, and before that is an error.
const SHOWN_AFTER: u32 = 2;
const ERROR_AFTER: u32 = 5;
/// Full holds before a longer one is tried again.
const FULL_HOLDS: u32 = 10;
const ROOM_AGAIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// What is said last may take so long.
const GOODBYE: Duration = Duration::from_secs(3);
const SMALLEST_BATCH: usize = 1024;

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
    /// Seconds that the partner's clock is ahead of ours.
    ahead: i64,
    /// How many events the partner takes next, once it said.
    room: Option<u32>,
    told: Option<Switch>,
    told_no_room: bool,
    wait: Duration,
    full_holds: u32,
    bytes: usize,
    failures: u32,
    second_since: Option<Time>,
    skew_tries: u32,
}

struct Dialler {
    link: Link,
    id: ConnectionId,
    view: Mutex<View>,
    /// The other half learnt something that this one waits for.
    nudge: Notify,
}

/// Why both halves stop.
#[derive(Debug)]
enum Stop {
    /// Nothing is to be dialled any more.
    Over,
    /// No word of the partner came.
    Failed(String),
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
            ahead: 0,
            room: None,
            told: None,
            told_no_room: false,
            wait: link.parts.wait.max(Duration::from_secs(1)),
            full_holds: 0,
            bytes: MAX_BATCH,
            failures: 0,
            second_since: None,
            skew_tries: 0,
        };
        Self { link, id, view: Mutex::new(view), nudge: Notify::new() }
    }

    fn view<T>(&self, work: impl FnOnce(&mut View) -> T) -> T {
        work(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn run(&self) {
        loop {
            let stop = tokio::select! {
                stop = self.hold() => stop,
                stop = self.push() => stop,
                () = self.link.parts.lifecycle.stopping() => return self.goodbye().await,
            };
            let pause = match stop {
                Stop::Over => return,
                Stop::Failed(reason) => {
                    let failures = self.view(|view| {
                        view.failures += 1;
                        view.failures
                    });
                    let pause = BACKOFF.pause(failures, &*self.link.parts.clock);
                    tracing::debug!(connection = %self.id, failures, reason, "an exchange failed");
                    if failures >= SHOWN_AFTER {
                        self.show(&reason, pause, failures >= ERROR_AFTER).await;
                    }
                    pause
                }
                Stop::Pause { reason, pause, shown } => {
                    if shown {
                        self.show(&reason, pause, true).await;
                    }
                    pause
                }
            };
            tokio::select! {
                () = self.link.parts.clock.sleep(pause) => {}
                () = self.link.parts.lifecycle.stopping() => return,
            }
        }
    }

    /// Says why nothing flows.
    async fn show(&self, reason: &str, pause: Duration, error: bool) {
        let (id, now) = (self.id, self.link.parts.clock.now());
        let (reason, retry_at) = (reason.to_owned(), now.plus(pause));
        let trouble = Trouble {
            code: trouble::UNREACHABLE,
            title: "The other node cannot be reached".to_owned(),
            detail: reason.clone(),
            advice: "It is tried again by itself. If it lasts, check the network, the proxy and the other node.".to_owned(),
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
        loop {
            let Ok(Some((connection, ..))) = self.link.look(self.id).await else { return Stop::Over };
            if connection.kind == Kind::Public {
                std::future::pending::<()>().await;
            }
            // The first after a failure answers at once, so that a pause ends as soon as it can.
            let wait = self.view(|view| if view.room.is_none() || view.failures > 0 { Duration::ZERO } else { view.wait });
            let began = clock.now();
            let exchanged = match self.exchange(wait, false, false).await {
                Ok(exchanged) => exchanged,
                Err(stop) => {
                    self.learn_shorter(&stop, wait, clock.now().since(began));
                    return stop;
                }
            };
            let took = clock.now().since(began);
            self.learn_longer(wait, took);
            let idle = exchanged.got == 0 && !exchanged.more && wait > Duration::ZERO && took < Duration::from_secs(1);
            empty = if idle { empty + 1 } else { 0 };
            if empty > 3 {
                clock.sleep(BACKOFF.pause(empty - 3, &**clock)).await;
            }
        }
    }

    fn learn_shorter(&self, stop: &Stop, wait: Duration, took: Duration) {
        if matches!(stop, Stop::Failed(_)) && wait > MIN_WAIT && took >= MIN_WAIT / 2 {
            self.view(|view| {
                view.wait = (view.wait / 2).max(MIN_WAIT);
                view.full_holds = 0;
                // It was cut, not unreachable: go on at once.
                view.failures = 0;
            });
        }
    }

    fn learn_longer(&self, wait: Duration, took: Duration) {
        let longest = self.link.parts.wait;
        self.view(|view| {
            if wait > Duration::ZERO && took >= wait && view.wait < longest {
                view.full_holds += 1;
                if view.full_holds >= FULL_HOLDS {
                    view.wait = view.wait.mul_f64(1.25).min(longest);
                    view.full_holds = 0;
                }
            }
        });
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
            let (connection, state, waiting) = match self.link.look(self.id).await {
                Ok(Some(looked)) => looked,
                Ok(None) => return Stop::Over,
                Err(error) => return error.into(),
            };
            let public = connection.kind == Kind::Public;
            let due = self.view(|view| {
                let events = view.room.is_some_and(|room| room > 0) && has_events(&connection, &state, &waiting, state.acked + 1);
                let switched = view.told.is_some_and(|told| told != connection.switch());
                let room_again = view.told_no_room && room(&connection, &waiting) > 0;
                events || switched || room_again
            });
            let now = clock.now();
            if due || (public && now >= next_pulse) {
                match self.exchange(Duration::ZERO, true, false).await {
                    Ok(exchanged) => {
                        next_pulse = clock.now().plus(BACKOFF.pause(1, &**clock) + PUBLIC_PULSE);
                        stalled = if exchanged.progress || !due { 0 } else { stalled + 1 };
                        let pause = if stalled > 0 { BACKOFF.pause(stalled, &**clock) } else { pause_after(exchanged.sent) };
                        if !exchanged.more || stalled > 0 {
                            clock.sleep(pause).await;
                        }
                    }
                    Err(stop) => return stop,
                }
                continue;
            }
            let mut nap = if public { next_pulse.since(now).min(LOOK_AGAIN) } else { LOOK_AGAIN };
            if self.view(|view| view.told_no_room) {
                nap = nap.min(ROOM_AGAIN);
            }
            tokio::select! {
                () = &mut woken => {}
                () = self.nudge.notified() => {}
                () = clock.sleep(nap) => {}
            }
        }
    }

    async fn goodbye(&self) {
        let said = self.exchange(Duration::ZERO, false, true);
        if tokio::time::timeout(GOODBYE, said).await.is_err() {
            tracing::debug!(connection = %self.id, "the goodbye was not heard");
        }
    }

    /// One exchange, whole: what is said, the call, what is heard.
    async fn exchange(&self, wait: Duration, hand_over: bool, goodbye: bool) -> Result<Exchanged, Stop> {
        let (room, bytes, ahead) = self.view(|view| (view.room.unwrap_or(0), view.bytes, view.ahead));
        let Some((_, state, _)) = self.link.look(self.id).await? else { return Err(Stop::Over) };
        let from = state.acked + 1;
        let limit = Limit { bytes, ..Limit::of(if hand_over { room } else { 0 }) };
        let Some((connection, spoken)) = self.link.words(self.id, from, limit).await? else { return Err(Stop::Over) };
        if !dials(&connection) {
            return Err(Stop::Over);
        }
        let Some(remote) = &connection.remote else { return Err(Stop::Over) };
        let (Some(partner), Some(base)) = (PublicKey::parse(&remote.key), remote.url.as_deref()) else { return Err(Stop::Over) };
        let (sent, size, said) = (spoken.events.len(), batch_size(&spoken), connection.switch());
        let no_room = spoken.max_events == 0;
        let asked = self.asked(spoken, said, wait, goodbye);
        let call = Outgoing {
            partner: &partner,
            base,
            path: exchange_path(self.id),
            subject: self.id.to_string(),
            body: serde_json::to_vec(&asked).expect("plain data becomes JSON"),
            proof: None,
            timeout: if wait > Duration::ZERO { wait + HOLD_SLACK } else { CALL },
            ahead,
        };
        match self.link.call(call).await {
            Ok(reply) if reply.status == 200 => {
                self.view(|view| {
                    view.ahead = reply.ahead;
                    view.told = Some(said);
                    view.told_no_room = no_room;
                });
                let mut exchanged = self.heard(&connection, &reply).await?;
                exchanged.sent = sent;
                Ok(exchanged)
            }
            Ok(reply) => self.refused(&connection, reply, from, sent, size).await,
            Err(failure) => self.failed(failure, from, sent, size).await,
        }
    }

    fn asked(&self, spoken: Spoken, state: Switch, wait: Duration, goodbye: bool) -> Asked {
        Asked {
            run: self.link.run.clone(),
            epoch: spoken.epoch,
            ack: spoken.ack,
            ack_id: spoken.ack_id,
            after_id: spoken.after_id,
            events: spoken.events,
            max_events: spoken.max_events,
            want: Vec::new(),
            state,
            wait_seconds: wait.as_secs(),
            goodbye,
            you_were_set_back: spoken.you_were_set_back,
        }
    }

    async fn heard(&self, connection: &Connection, reply: &Reply) -> Result<Exchanged, Stop> {
        let answered: Answered = serde_json::from_slice(&reply.body)
            .map_err(|error| Stop::Failed(format!("the other node's answer cannot be read: {error}")))?;
        let (id, now, more, got) = (self.id, self.link.parts.clock.now(), answered.more, answered.events.len());
        let grew = self.view(|view| {
            let grew = answered.max_events > 0 && view.room.unwrap_or(0) == 0;
            view.room = Some(answered.max_events);
            view.skew_tries = 0;
            grew
        });
        if grew {
            self.nudge.notify_one();
        }
        let heard = Heard {
            epoch: answered.epoch,
            ack: answered.ack,
            ack_id: answered.ack_id,
            after_id: answered.after_id,
            events: answered.events,
            state: answered.state,
            you_were_set_back: answered.you_were_set_back,
        };
        let Some((present, state, _)) = self.link.look(id).await? else { return Err(Stop::Over) };
        let acked = heard.ack > state.acked;
        self.settled(connection).await?;
        if !is_news(&present, &state, &heard, now) {
            return Ok(Exchanged { got, more, ..Exchanged::default() });
        }
        let hearing =
            self.link.parts.store.write("link.hear", move |tx| Box::pin(async move { hear(tx, id, &heard, now).await })).await?;
        match hearing {
            Hearing::Done(taken) => Ok(Exchanged { got, more, progress: acked || taken > 0, ..Exchanged::default() }),
            // An answer that was overtaken by a new epoch says nothing any more.
            Hearing::Lower(_) | Hearing::Anew => Ok(Exchanged { more: true, progress: true, ..Exchanged::default() }),
            Hearing::Waits => Err(waits()),
            Hearing::Gone => Err(Stop::Over),
        }
    }

    /// A word of the partner came: earlier failures and a second copy are over.
    async fn settled(&self, connection: &Connection) -> Result<(), Stop> {
        let second = self.view(|view| {
            view.failures = 0;
            view.second_since.take()
        });
        if second.is_some() {
            let id = connection.id;
            let close = self
                .link
                .parts
                .store
                .write("link.one_copy", move |tx| Box::pin(async move { trouble::close(tx, id, trouble::TWO_COPIES).await }));
            close.await?;
        }
        Ok(())
    }

    /// The partner said no.
    async fn refused(
        &self,
        connection: &Connection,
        reply: Reply,
        from: u64,
        sent: usize,
        size: usize,
    ) -> Result<Exchanged, Stop> {
        let refusal = reply.refusal();
        let asked_pause = reply.retry_after.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(300));
        let again = Ok(Exchanged { more: true, progress: true, ..Exchanged::default() });
        self.view(|view| view.ahead = reply.ahead);
        match refusal.code.as_str() {
            "clock_skew"
                if self.view(|view| {
                    view.skew_tries += 1;
                    view.skew_tries
                }) < 3 =>
            {
                again
            }
            "try_later" => Err(Stop::Pause { reason: refusal.detail, pause: asked_pause, shown: false }),
            "second_copy" => self.second_copy(connection).await,
            "epoch" => self.lower_epoch(refusal.present.unwrap_or(0)).await,
            "too_large" => self.too_large(from, sent, size).await,
            "connection_gone" => self.gone().await,
            _ => {
                let pause = Duration::from_secs(60);
                Err(Stop::Pause { reason: words(&refusal), pause, shown: true })
            }
        }
    }

    async fn second_copy(&self, connection: &Connection) -> Result<Exchanged, Stop> {
        let (id, now) = (connection.id, self.link.parts.clock.now());
        let since = self.view(|view| *view.second_since.get_or_insert(now));
        if now.since(since) >= TWO_COPIES {
            let trouble = two_copies("this node");
            let open = self
                .link
                .parts
                .store
                .write("link.two_copies", move |tx| Box::pin(async move { trouble::open(tx, id, &trouble, now).await }));
            open.await?;
        }
        Err(Stop::Pause {
            reason: "another copy of this node is running".to_owned(),
            pause: Duration::from_secs(1),
            shown: false,
        })
    }

    /// Our epoch is over there: we were set back, so we start the one above the present.
    async fn lower_epoch(&self, present: u64) -> Result<Exchanged, Stop> {
        let (id, now) = (self.id, self.link.parts.clock.now());
        let start = self.link.parts.store.write("link.epoch", move |tx| {
            Box::pin(async move {
                let Some(connection) = tx.connection(id).await? else { return Ok(Hearing::Gone) };
                // The other half of this dialler may have joined it in the meantime.
                if on_wire(tx.link_state(id).await?.epoch) >= present {
                    return Ok(Hearing::Anew);
                }
                start_epoch(tx, &connection, present + 1, true, now).await
            })
        });
        match start.await? {
            Hearing::Waits => Err(waits()),
            Hearing::Gone => Err(Stop::Over),
            _ => Ok(Exchanged { more: true, progress: true, ..Exchanged::default() }),
        }
    }

    /// The way between the nodes does not take so much at once.
    async fn too_large(&self, from: u64, sent: usize, size: usize) -> Result<Exchanged, Stop> {
        if sent > 1 {
            self.view(|view| view.bytes = (size / 2).max(SMALLEST_BATCH));
        } else if sent == 1 {
            oversize::pass_empty(&self.link.parts, self.id, from).await?;
        } else {
            return Err(Stop::Failed("something in between refuses even an empty exchange as too large".to_owned()));
        }
        Ok(Exchanged { more: true, progress: true, ..Exchanged::default() })
    }

    async fn gone(&self) -> Result<Exchanged, Stop> {
        let (id, now) = (self.id, self.link.parts.clock.now());
        let write = self.link.parts.store.write("link.gone", move |tx| {
            Box::pin(async move {
                let Some(mut connection) = tx.connection(id).await? else { return Ok(()) };
                if let Some(remote) = &mut connection.remote {
                    remote.state = Switch::Gone;
                }
                trouble::gone(tx, &mut connection, now).await?;
                tx.update_connection(&connection).await?;
                tx.tell(Notice::Connection(id));
                Ok(())
            })
        });
        write.await?;
        // A connection that was restored there may come back; once an hour is enough to notice.
        Err(Stop::Pause { reason: String::new(), pause: Duration::from_secs(3600), shown: false })
    }

    async fn failed(&self, failure: Failure, from: u64, sent: usize, size: usize) -> Result<Exchanged, Stop> {
        if failure.status == Some(413) && sent > 0 {
            return self.too_large(from, sent, size).await;
        }
        Err(Stop::Failed(failure.reason))
    }
}

/// Tells a partner that we dial that the connection is deleted here.
pub(super) async fn tell_gone(link: &Link, connection: &Connection) {
    if !dials(connection) {
        return;
    }
    let dialler = Dialler::new(link.clone(), connection.id);
    let told = async {
        let (_, state, _) = link.look(connection.id).await.ok()??;
        let remote = connection.remote.as_ref()?;
        let spoken = Spoken { epoch: on_wire(state.epoch), ack: state.in_n, ack_id: state.in_id, ..Spoken::default() };
        let asked = dialler.asked(spoken, Switch::Gone, Duration::ZERO, false);
        let call = Outgoing {
            partner: &PublicKey::parse(&remote.key)?,
            base: remote.url.as_deref()?,
            path: exchange_path(connection.id),
            subject: connection.id.to_string(),
            body: serde_json::to_vec(&asked).ok()?,
            proof: None,
            timeout: GOODBYE,
            ahead: 0,
        };
        link.call(call).await.ok()
    };
    if told.await.is_none() {
        tracing::info!(connection = %connection.id, "the other side was not told that the connection is deleted");
    }
}

fn batch_size(spoken: &Spoken) -> usize {
    spoken.events.iter().map(|event| event.get().len() + 1).sum()
}

fn words(refusal: &RefusalHeard) -> String {
    let said = if refusal.detail.is_empty() { &refusal.title } else { &refusal.detail };
    format!("the other node refuses: {} ({said})", refusal.code)
}

fn waits() -> Stop {
    let reason = "a side was set back again within a day; a person decides (see the errors)".to_owned();
    Stop::Pause { reason, pause: Duration::from_secs(60), shown: false }
}
