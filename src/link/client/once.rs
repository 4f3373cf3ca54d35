//! One exchange from the dialling side: what is said, the call, what is heard, what a refusal asks for.

use std::time::Duration;

use super::{Dialler, Exchanged, GOODBYE, Stop, dials};
use crate::{
    domain::connection::{Connection, Switch},
    link::{
        Link,
        answer::two_copies,
        call::{Failure, Outgoing, Reply},
        exchange::{Heard, Hearing, Spoken, is_news, start_epoch},
        gather::Limit,
        keys::PublicKey,
        oversize,
        protocol::{Answered, Asked, CALL, HOLD_SLACK, MAX_EPOCH, RefusalHeard, TWO_COPIES, exchange_path, on_wire},
        trouble,
    },
    store::{Notice, rows::Standing},
};

/// What to do where both nodes speak and do not understand each other.
const VERSIONS: &str = "Look at both nodes' versions, and at what stands between them.";
/// How long a new epoch of the partner may take to reach us by the other half.
const JOIN_FIRST: Duration = Duration::from_millis(300);
/// Times in a row that an exchange is repeated at once because of what the partner said of clocks or epochs.
const AGAIN: u32 = 5;
/// A partner that asks us to wait is given this at least.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

impl Dialler {
    /// One exchange, whole: what is said, the call, what is heard.
    pub(super) async fn exchange(&self, wait: Duration, hand_over: bool, goodbye: bool) -> Result<Exchanged, Stop> {
        let (room, bytes, ahead) = self.view(|view| (view.room.unwrap_or(0), view.batch.bytes(), view.ahead));
        let Some(standing) = self.link.look(self.id).await? else { return Err(Stop::Over) };
        let offset_ms = standing.link.clock_offset_ms;
        let ahead = ahead.unwrap_or_else(|| ahead_by(offset_ms));
        let from = self.view(|view| view.next(&standing.link));
        let limit = Limit { bytes, ..Limit::of(if hand_over { room } else { 0 }) };
        let Some((connection, spoken)) = self.link.words(standing, from, limit).await? else { return Err(Stop::Over) };
        if !dials(&connection) {
            return Err(Stop::Over);
        }
        let Some(remote) = &connection.remote else { return Err(Stop::Over) };
        let (Some(partner), Some(base)) = (PublicKey::parse(&remote.key), remote.url.as_deref()) else { return Err(Stop::Over) };
        let (sent, size, said) = (spoken.events.len(), batch_size(&spoken), connection.switch());
        let no_room = spoken.max_events == 0;
        if wait > Duration::ZERO {
            self.view(|view| view.held_no_room = no_room);
        }
        let asked = self.asked(spoken, said, wait, goodbye, offset_ms);
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
        let began = self.link.parts.clock.now();
        match self.link.call(call).await {
            Ok(reply) if reply.status == 200 => {
                self.view(|view| {
                    view.batch.passed();
                    view.told = Some(said);
                    view.told_no_room = no_room;
                });
                if !no_room && wait == Duration::ZERO && self.view(|view| std::mem::take(&mut view.held_no_room)) {
                    self.again.notify_one();
                }
                let mut exchanged = self.heard(&connection, &reply, wait > Duration::ZERO).await?;
                exchanged.sent = sent;
                Ok(exchanged)
            }
            Ok(reply) => self.refused(&connection, reply, from, sent, size).await,
            Err(failure) => {
                if failure.cut {
                    let took = self.link.parts.clock.now().since(began);
                    self.view(|view| view.batch.cut(size, took));
                }
                self.failed(failure, from, sent, size).await
            }
        }
    }

    fn asked(&self, spoken: Spoken, state: Switch, wait: Duration, goodbye: bool, offset_ms: i64) -> Asked {
        Asked {
            run: self.link.run.clone(),
            epoch: spoken.epoch,
            ack: spoken.ack,
            ack_id: spoken.ack_id,
            after_id: spoken.after_id,
            events: spoken.events,
            max_events: self.view(|view| view.batch.events(spoken.max_events)),
            want: Vec::new(),
            state,
            wait_seconds: wait.as_secs(),
            goodbye,
            you_were_set_back: spoken.you_were_set_back,
            clock_offset_ms: Some(offset_ms.saturating_neg()),
        }
    }

    async fn heard(&self, connection: &Connection, reply: &Reply, held: bool) -> Result<Exchanged, Stop> {
        let answered: Answered = serde_json::from_slice(&reply.body)
            .map_err(|error| strange(&format!("the other node's answer cannot be read: {error}"), VERSIONS))?;
        if answered.epoch > MAX_EPOCH {
            return Err(strange("the other node speaks of an epoch that is higher than any", VERSIONS));
        }
        let (id, now, more, got) = (self.id, self.link.parts.clock.now(), answered.more, answered.events.len());
        let grew = self.view(|view| {
            let grew = answered.max_events > 0 && view.room.unwrap_or(0) == 0;
            view.room = Some(answered.max_events);
            grew
        });
        if grew {
            self.nudge.notify_one();
        }
        let Some(Standing { connection: present, link: state, .. }) = self.link.look(id).await? else { return Err(Stop::Over) };
        let offset_ms = reply.ahead.correct(state.clock_offset_ms.saturating_neg()).saturating_neg();
        self.view(|view| view.ahead = Some(ahead_by(offset_ms)));
        let heard = Heard {
            epoch: answered.epoch,
            ack: answered.ack,
            ack_id: answered.ack_id,
            after_id: answered.after_id,
            events: answered.events,
            state: answered.state,
            you_were_set_back: answered.you_were_set_back,
            clock_offset_ms: Some(offset_ms),
        };
        let acked = heard.ack > state.acked;
        // A held answer may have been overtaken; the other ones say what is stored now.
        if !held {
            let behind = (heard.ack < state.acked).then(|| heard.ack + 1);
            self.view(|view| view.behind = behind);
            if behind.is_some() {
                self.nudge.notify_one();
            }
        }
        self.settled(connection).await?;
        if !is_news(&present, &state, &heard, now) {
            return Ok(Exchanged { got, more, ..Exchanged::default() });
        }
        if self.view(|view| view.gone) {
            return Ok(Exchanged::default());
        }
        match self.link.hear(id, state.epoch, heard, now).await? {
            Hearing::Done(taken) => {
                self.view(|view| view.again = 0);
                Ok(Exchanged { got, more, progress: acked || taken > 0, ..Exchanged::default() })
            }
            Hearing::Anew => Ok(anew()),
            // An answer that was overtaken by a new epoch says nothing any more.
            Hearing::Lower(_) => self.again("the other node goes on in an epoch that is over"),
            Hearing::Waits => Err(waits()),
            Hearing::Gone => Err(Stop::Over),
        }
    }

    /// At once, but not for ever: a partner that never comes round is called like one that cannot be reached.
    fn again(&self, why: &str) -> Result<Exchanged, Stop> {
        let times = self.view(|view| {
            view.again += 1;
            view.again
        });
        if times > AGAIN { Err(strange(why, VERSIONS)) } else { Ok(anew()) }
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
        let asked_pause = reply.retry_after.unwrap_or(Duration::from_secs(1)).clamp(SHORTEST_PAUSE, Duration::from_secs(300));
        // Where it is far off, whole seconds are enough; a good answer says more.
        self.view(|view| view.ahead = Some(reply.ahead.correct(view.ahead.unwrap_or(0) * 1000).div_euclid(1000)));
        match refusal.code.as_str() {
            "clock_skew" => self.again(&words(&refusal)),
            "try_later" => Err(Stop::Pause { reason: refusal.detail, pause: asked_pause, shown: false }),
            "second_copy" => self.second_copy(connection).await,
            "epoch" => self.lower_epoch(refusal.present.unwrap_or(0)).await,
            "too_large" if sent == 1 => self.pass_empty(from).await,
            "too_large" => self.smaller(sent, size),
            "connection_gone" => self.gone().await,
            // Whoever has just accepted may not have written it down yet: soon again, then more and more seldom.
            "unknown_connection" => {
                Err(strange(&words(&refusal), "Ask the other node's people whether the connection is still there."))
            }
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
        // The other half may be hearing of it at this moment: a new epoch that the partner began is joined, not raised.
        self.link.parts.clock.sleep(JOIN_FIRST).await;
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
            _ => self.again("the two nodes do not agree about the epoch"),
        }
    }

    /// The way between the nodes does not take so much at once.
    fn smaller(&self, sent: usize, size: usize) -> Result<Exchanged, Stop> {
        if sent == 0 {
            return Err(strange("even an empty exchange is refused as too large", VERSIONS));
        }
        self.view(|view| view.batch.too_large(size));
        Ok(Exchanged { more: true, progress: true, ..Exchanged::default() })
    }

    /// An event that cannot pass alone.
    async fn pass_empty(&self, n: u64) -> Result<Exchanged, Stop> {
        oversize::pass_empty(&self.link.parts, self.id, n).await?;
        Ok(Exchanged { more: true, progress: true, ..Exchanged::default() })
    }

    async fn gone(&self) -> Result<Exchanged, Stop> {
        self.view(|view| view.gone = true);
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

    /// Nobody vouches for what came. A 413 may teach; it ends nothing by itself: what refuses a single event as too large
    /// must let an empty exchange through to the partner, or size is not what it dislikes.
    async fn failed(&self, failure: Failure, from: u64, sent: usize, size: usize) -> Result<Exchanged, Stop> {
        match (failure.status, sent) {
            (Some(413), 2..) => self.smaller(sent, size),
            (Some(413), 1) => {
                Box::pin(self.exchange(Duration::ZERO, false, false)).await?;
                self.pass_empty(from).await
            }
            _ => Err(Stop::Failed(failure)),
        }
    }
}

/// Seconds for our tokens, where so many milliseconds are added to the partner's times to have them on our clock.
fn ahead_by(offset_ms: i64) -> i64 {
    offset_ms.saturating_neg().div_euclid(1000)
}

/// The partner, or something that has its key, speaks in a way that we do not understand.
fn strange(reason: &str, advice: &str) -> Stop {
    Stop::Failed(Failure { reason: reason.to_owned(), advice: advice.to_owned(), status: None, blocked: false, cut: false })
}

/// Tells a partner that we dial that the connection is deleted here.
pub(in crate::link) async fn tell_gone(link: &Link, connection: &Connection) {
    if !dials(connection) {
        return;
    }
    let dialler = Dialler::new(link.clone(), connection.id);
    let told = async {
        let state = link.look(connection.id).await.ok()??.link;
        let remote = connection.remote.as_ref()?;
        let spoken = Spoken { epoch: on_wire(state.epoch), ack: state.in_n, ack_id: state.in_id, ..Spoken::default() };
        let asked = dialler.asked(spoken, Switch::Gone, Duration::ZERO, false, state.clock_offset_ms);
        let call = Outgoing {
            partner: &PublicKey::parse(&remote.key)?,
            base: remote.url.as_deref()?,
            path: exchange_path(connection.id),
            subject: connection.id.to_string(),
            body: serde_json::to_vec(&asked).ok()?,
            proof: None,
            timeout: GOODBYE,
            ahead: ahead_by(state.clock_offset_ms),
        };
        link.call(call).await.ok()
    };
    if told.await.is_none() {
        tracing::info!(connection = %connection.id, "the other side was not told that the connection is deleted");
    }
}

/// Something changed: the next exchange leaves at once.
fn anew() -> Exchanged {
    Exchanged { more: true, progress: true, ..Exchanged::default() }
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
