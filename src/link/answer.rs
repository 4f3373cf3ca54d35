//! The answering side of an exchange, without HTTP: bytes and a token in, bytes and a signature out.
//!
//! The order of the checks matters: whose connection, is the token its key's word on this very request, is the time
//! right, was it used before, is this the one run that may speak. Only then is the body read. What cannot be tied to
//! the partner's key is answered without a signature, or with one that names the connection it speaks of.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Link,
    auth::{Claimed, Expected, check_clock, check_request, sign_answer},
    exchange::{Heard, Hearing, Spoken, has_events, is_news, room, speak},
    gather::{Gather, Limit, Quiet, drafts},
    keys::{PublicKey, peek},
    mailbox::Entry,
    parting::mark,
    protocol::{Answered, Asked, MAX_BODY, MAX_EPOCH, MAX_WAIT, Refusal, on_wire},
    trouble::{self, Trouble},
};
use crate::{
    clock::Time,
    domain::{
        connection::Connection,
        ids::{ConnectionId, Side},
    },
    store::{
        StoreError, Topic, Tx,
        rows::{LinkState, Standing},
    },
};

/// How often a partner that was told "no room" is thought of.
const ROOM_AGAIN: Duration = Duration::from_secs(5);
/// A held request looks at the store at least this often, in case a wake-up was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A request on the link, as its door took it.
#[derive(Debug, Clone)]
pub struct Call {
    /// HTTP method.
    pub method: String,
    /// Path as it came.
    pub path: String,
    /// The bearer token, where there was one.
    pub token: Option<String>,
    /// `Wicketgate-Proof`, where there was one.
    pub proof: Option<String>,
    /// The body before any content encoding; `None` where it was larger than allowed.
    pub body: Option<Bytes>,
}

/// What goes back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON, or a problem document where the status is 400 and above.
    pub body: Vec<u8>,
    /// `Wicketgate-Signature`.
    pub signature: Option<String>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// Whom an answer is for.
pub(super) struct Asker {
    pub(super) fingerprint: String,
    pub(super) jti: String,
    pub(super) subject: String,
}

impl Asker {
    /// Whom a request names, believed only as an address.
    pub(super) fn claimed(token: Option<&str>) -> Option<Self> {
        let Claimed { iss, jti, sub } = token.and_then(peek)?;
        (!iss.is_empty() && !jti.is_empty()).then_some(Self { fingerprint: iss, jti, subject: sub })
    }
}

struct Known {
    connection: Connection,
    state: LinkState,
    key: PublicKey,
}

enum Found {
    Known(Box<Known>),
    Gone(PublicKey),
    Unknown,
}

impl Link {
    /// Answers an exchange; holds it where it asks to be held.
    pub async fn answer_exchange(&self, id: ConnectionId, call: Call) -> Answer {
        let mut asker = None;
        match self.exchanged(id, &call, &mut asker).await {
            Ok(answered) => {
                let body = serde_json::to_vec(&answered).expect("plain data becomes JSON");
                self.signed(200, body, asker.as_ref(), None)
            }
            Err(refusal) => self.refused(&refusal, asker.as_ref()),
        }
    }

    /// Refuses a call without looking further; one about a connection (`subject`) has to name it.
    pub fn refuse(&self, subject: Option<&str>, call: &Call, refusal: &Refusal) -> Answer {
        let asker = Asker::claimed(call.token.as_deref()).filter(|asker| subject.is_none_or(|subject| asker.subject == subject));
        self.refused(refusal, asker.as_ref())
    }

    pub(super) fn refused(&self, refusal: &Refusal, asker: Option<&Asker>) -> Answer {
        self.signed(refusal.status(), refusal.document(), asker, refusal.retry_after())
    }

    pub(super) fn signed(&self, status: u16, body: Vec<u8>, asker: Option<&Asker>, retry_after: Option<u64>) -> Answer {
        let now = self.parts.clock.now();
        let signature =
            asker.map(|asker| sign_answer(&self.key, &asker.fingerprint, &asker.jti, &asker.subject, status, &body, now));
        Answer { status, body, signature, retry_after }
    }

    async fn exchanged(&self, id: ConnectionId, call: &Call, asker: &mut Option<Asker>) -> Result<Answered, Refusal> {
        let token = call.token.as_deref().ok_or(Refusal::BadSignature("there is no bearer token"))?;
        let subject = id.to_string();
        // A connection of that id was never here, so naming it in the answer can mislead nobody else.
        *asker = Asker::claimed(Some(token)).filter(|asker| asker.subject == subject);
        let (key, known) = match self.find(id).await.map_err(busy)? {
            Found::Unknown => return Err(Refusal::UnknownConnection),
            Found::Gone(key) => (key, None),
            Found::Known(known) => (known.key.clone(), Some(known)),
        };
        // Whatever the request claims to be, the answer is for the partner and speaks of this connection.
        *asker = Asker::claimed(Some(token)).map(|claimed| Asker {
            fingerprint: key.fingerprint().to_owned(),
            jti: claimed.jti,
            subject: subject.clone(),
        });
        let Some(body) = call.body.as_ref() else { return Err(Refusal::TooLarge(MAX_BODY)) };
        let expected = Expected {
            audience: self.key.public().fingerprint(),
            subject: &subject,
            method: &call.method,
            path: &call.path,
            body,
        };
        let claims = check_request(&key, token, expected)?;
        let Some(known) = known else { return Err(self.gone_here(id, body).await) };
        let now = self.parts.clock.now();
        check_clock(&claims, now)?;
        self.use_up(id, &claims, now).await?;
        let asked: Asked =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(format!("the body is no exchange: {error}")))?;
        self.enter(&known.connection, &asked.run, now).await?;
        self.converse(*known, asked, now).await
    }

    async fn find(&self, id: ConnectionId) -> Result<Found, StoreError> {
        let (row, gone) = self
            .parts
            .store
            .read("link.find", move |tx| {
                Box::pin(async move {
                    Ok(match tx.connection(id).await? {
                        Some(connection) => (Some((connection, tx.link_state(id).await?)), None),
                        None => (None, tx.secret(&mark(id)).await?),
                    })
                })
            })
            .await?;
        let key = |text: &str| PublicKey::parse(text);
        Ok(match (row, gone) {
            (Some((connection, state)), _) => match connection.remote.as_ref().and_then(|remote| key(&remote.key)) {
                Some(key) => Found::Known(Box::new(Known { connection, state, key })),
                None => Found::Unknown,
            },
            (None, Some(text)) => key(text.expose()).map_or(Found::Unknown, Found::Gone),
            (None, None) => Found::Unknown,
        })
    }

    async fn enter(&self, connection: &Connection, run: &str, now: Time) -> Result<(), Refusal> {
        if run.is_empty() || run.len() > 100 {
            return Err(Refusal::Malformed("run must have 1 to 100 bytes".to_owned()));
        }
        let id = connection.id;
        match self.mailbox.enter(id, run, now) {
            Entry::Welcome { changed: false } => Ok(()),
            Entry::Welcome { changed: true } => self
                .parts
                .store
                .write("link.one_copy", move |tx| Box::pin(async move { trouble::close(tx, id, trouble::TWO_COPIES).await }))
                .await
                .map_err(busy),
            Entry::Second { lasting } => {
                if lasting {
                    let who = connection.remote.as_ref().map_or("the other side", |remote| &remote.node);
                    let trouble = two_copies(who);
                    self.parts
                        .store
                        .write("link.two_copies", move |tx| Box::pin(async move { trouble::open(tx, id, &trouble, now).await }))
                        .await
                        .map_err(busy)?;
                }
                Err(Refusal::SecondCopy)
            }
        }
    }

    async fn converse(&self, known: Known, asked: Asked, now: Time) -> Result<Answered, Refusal> {
        let id = known.connection.id;
        let epoch = on_wire(asked.epoch);
        let (run, wait, max_events, goodbye) = (asked.run, asked.wait_seconds, asked.max_events, asked.goodbye);
        let heard = Heard {
            epoch,
            ack: asked.ack,
            ack_id: asked.ack_id,
            after_id: asked.after_id,
            events: asked.events,
            state: self.mailbox.state(id, asked.state),
            you_were_set_back: asked.you_were_set_back,
            // Who dials reads the clocks by itself.
            clock_offset_ms: asked.clock_offset_ms.filter(|_| !super::dials(&known.connection)),
        };
        if epoch > MAX_EPOCH {
            return Err(Refusal::Malformed("epoch is higher than any".to_owned()));
        }
        let from = heard.ack.saturating_add(1);
        let mut wait = wait;
        if is_news(&known.connection, &known.state, &heard, now) {
            let hearing = self.hear(id, known.state.epoch, heard, now).await.map_err(busy)?;
            match hearing {
                // That they are stored is something to say.
                Hearing::Done(taken) if taken > 0 => wait = 0,
                Hearing::Done(_) => {}
                Hearing::Lower(present) => return Err(Refusal::Epoch(present)),
                Hearing::Waits => return Err(Refusal::TryLater(60)),
                Hearing::Gone => return Err(Refusal::ConnectionGone),
                Hearing::Anew => return self.say(id, 1, 0, true).await,
            }
        }
        if goodbye {
            self.mailbox.goodbye(id, &run);
            return self.say(id, from, 0, false).await;
        }
        if wait > 0 {
            let wait = Duration::from_secs(wait).min(MAX_WAIT);
            let standing = self.hold(id, from, epoch, max_events, wait, known.connection.switch()).await?;
            return self.tell(standing, from, max_events, false).await;
        }
        self.say(id, from, max_events, false).await
    }

    /// Returns when there is something to say, the wait is over, a later request ends this one, or the node stops.
    async fn hold(
        &self,
        id: ConnectionId,
        from: u64,
        epoch: u64,
        max_events: u32,
        wait: Duration,
        switch: crate::domain::connection::Switch,
    ) -> Result<Standing, Refusal> {
        let clock = &self.parts.clock;
        let end = clock.now().plus(wait);
        let held = self.mailbox.hold(id);
        let told = self.mailbox.told(id);
        let told_state = told.state.unwrap_or(switch);
        let outbox = self.parts.store.wakes().on(Topic::Outbox(id));
        let mut gather = Gather::new(told.quiet);
        let standing = loop {
            let woken = outbox.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let Some(standing) = self.look(id).await.map_err(busy)? else {
                held.finish(clock.now());
                return Err(Refusal::ConnectionGone);
            };
            let Standing { connection, link: state, waiting } = &standing;
            let now = clock.now();
            let urgent = connection.switch() != told_state
                || on_wire(state.epoch) != epoch
                || (told.no_room && room(connection, waiting) > 0);
            let something = max_events > 0 && has_events(&standing, from);
            let gathers = if something { gather.nap(&standing, self.parts.store.wakes().bulk(id), now) } else { None };
            if urgent || now >= end || (something && gathers.is_none()) {
                break standing;
            }
            let mut nap = end.since(now).min(LOOK_AGAIN).min(gathers.unwrap_or(LOOK_AGAIN));
            if told.no_room {
                nap = nap.min(ROOM_AGAIN);
            }
            if !something && connection.flows() && connection.side == Side::Inviting && now >= told.quiet.all {
                self.parts.store.wakes().expect(id, Limit::of(max_events).taker());
            }
            let stop = tokio::select! {
                () = &mut woken, if !something => false,
                () = clock.sleep(nap) => false,
                () = held.ended.notified() => true,
                () = self.parts.lifecycle.stopping() => true,
            };
            if stop {
                break standing;
            }
        };
        held.finish(clock.now());
        Ok(standing)
    }

    pub(super) async fn look(&self, id: ConnectionId) -> Result<Option<Standing>, StoreError> {
        self.parts.store.read_one("link.look", move |tx| Box::pin(async move { tx.standing(id).await })).await
    }

    /// Gathers the words of one side, who looked at `seen`: `None` where the connection is gone.
    pub(super) async fn words(
        &self,
        seen: Standing,
        from: u64,
        limit: Limit,
    ) -> Result<Option<(Connection, Spoken)>, StoreError> {
        let id = seen.connection.id;
        // What was seen may be over by now, so what hands events over looks again where nothing can come between.
        if limit.events == 0 || !has_events(&seen, from) {
            return self.idle_words(seen, from).await.map(Some);
        }
        if drafts(&seen.link, &seen.waiting) > 0 {
            return self.parts.store.write("link.speak", move |tx| Box::pin(said(tx, id, from, limit))).await;
        }
        let limit = Limit { numbers: false, ..limit };
        self.parts.store.read("link.speak_again", move |tx| Box::pin(said(tx, id, from, limit))).await
    }

    async fn idle_words(&self, seen: Standing, from: u64) -> Result<(Connection, Spoken), StoreError> {
        let nothing = Limit { events: 0, bytes: 0, numbers: false };
        self.parts
            .store
            .read("link.speak_idle", move |tx| {
                Box::pin(async move {
                    let spoken = speak(tx, &seen, from, nothing).await?;
                    Ok((seen.connection, spoken))
                })
            })
            .await
    }

    async fn say(&self, id: ConnectionId, from: u64, max_events: u32, more: bool) -> Result<Answered, Refusal> {
        let standing = self.look(id).await.map_err(busy)?.ok_or(Refusal::ConnectionGone)?;
        self.tell(standing, from, max_events, more).await
    }

    async fn tell(&self, standing: Standing, from: u64, max_events: u32, more: bool) -> Result<Answered, Refusal> {
        let id = standing.connection.id;
        let words = self.words(standing, from, Limit::of(max_events)).await.map_err(busy)?;
        let (connection, spoken) = words.ok_or(Refusal::ConnectionGone)?;
        let (state, now) = (connection.switch(), self.parts.clock.now());
        let events = spoken.events.len();
        let bulk = self.parts.store.wakes().handed_over(id, events as u64, spoken.more);
        let quiet = (events > 0).then(|| Quiet::after(events, bulk, now));
        self.mailbox.tell(id, state, spoken.max_events == 0, quiet, now);
        Ok(Answered {
            run: self.run.clone(),
            epoch: spoken.epoch,
            ack: spoken.ack,
            ack_id: spoken.ack_id,
            after_id: spoken.after_id,
            events: spoken.events,
            max_events: spoken.max_events,
            want: Vec::new(),
            state,
            more: spoken.more || more,
            you_were_set_back: spoken.you_were_set_back,
        })
    }
}

/// The words about two copies, for both sides.
pub(super) fn two_copies(who: &str) -> Trouble {
    Trouble {
        code: trouble::TWO_COPIES,
        title: "Two copies of a node are running".to_owned(),
        detail: format!("two copies of {who} speak on this connection at the same time; only the first is heard"),
        advice: "Stop the copy that should not run (a restored snapshot, a rehearsal, a forgotten machine).".to_owned(),
        retryable: true,
    }
}

/// The store cannot be used: whose fault that is does not matter to the partner.
pub(super) fn busy(error: StoreError) -> Refusal {
    tracing::warn!(%error, "the link cannot use the store");
    Refusal::TryLater(5)
}

async fn said(tx: &mut dyn Tx, id: ConnectionId, from: u64, limit: Limit) -> Result<Option<(Connection, Spoken)>, StoreError> {
    let Some(standing) = tx.standing(id).await? else { return Ok(None) };
    let spoken = speak(tx, &standing, from, limit).await?;
    Ok(Some((standing.connection, spoken)))
}
