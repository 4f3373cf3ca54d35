//! The answering side's memory of who asks: which run of the partner is alive, and which request is held.
//!
//! A second held exchange on a connection ends the first. A run is over when it says goodbye, when the connection of
//! its held exchange breaks ([`Held`] is dropped unfinished), or after 10 silent seconds; until then another run is
//! refused. After an answer with many events the next held one waits a moment ([`Quiet`]), so that a stream
//! of small events becomes a few larger batches while a single one still leaves at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{
    gather::Quiet,
    protocol::{SILENCE, TWO_COPIES},
};
use crate::{
    clock::Time,
    domain::{connection::Switch, ids::ConnectionId},
};

#[derive(Debug)]
struct Peer {
    run: String,
    over: bool,
    last: Time,
    held: Option<(u64, Arc<Notify>)>,
    refused_since: Option<(Time, Time)>,
    quiet: Quiet,
    told: Option<Switch>,
    told_no_room: bool,
    /// It said that it has deleted the connection.
    parted: bool,
}

/// All partners that asked lately.
#[derive(Debug, Default)]
pub struct Mailbox {
    peers: Mutex<HashMap<ConnectionId, Peer>>,
    counter: std::sync::atomic::AtomicU64,
}

/// Whether a run may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is the one.
    Welcome {
        /// Another run spoke before: an error about two copies can be closed.
        changed: bool,
    },
    /// Another is alive.
    Second {
        /// For so long that people should know.
        lasting: bool,
    },
}

/// What the partner was told last.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Our switch.
    pub state: Option<Switch>,
    /// That we have no room.
    pub no_room: bool,
    /// No held answer before this.
    pub quiet: Quiet,
}

/// A held request. Dropped unfinished, its connection broke: the run is over.
#[derive(Debug)]
pub struct Held<'a> {
    mailbox: &'a Mailbox,
    id: ConnectionId,
    number: u64,
    finished: bool,
    /// Woken when a later held request ends this one.
    pub ended: Arc<Notify>,
}

impl Mailbox {
    /// A run speaks.
    pub fn enter(&self, id: ConnectionId, run: &str, now: Time) -> Entry {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(peer) = peers.get_mut(&id) else {
            peers.insert(id, Peer::new(run, now));
            return Entry::Welcome { changed: false };
        };
        if peer.run == run {
            peer.over = false;
            peer.last = now;
            // The other copy has given up once it was not refused for a while.
            let settled = peer.refused_since.is_some_and(|(_, last)| now.since(last) >= TWO_COPIES);
            if settled {
                peer.refused_since = None;
            }
            return Entry::Welcome { changed: settled };
        }
        let silent = peer.held.is_none() && now.since(peer.last) >= SILENCE;
        if peer.over || silent {
            *peer = Peer::new(run, now);
            return Entry::Welcome { changed: true };
        }
        let since = match peer.refused_since {
            Some((since, last)) if now.since(last) < TWO_COPIES => since,
            _ => now,
        };
        peer.refused_since = Some((since, now));
        Entry::Second { lasting: now.since(since) >= TWO_COPIES }
    }

    /// The connection has another partner now: what the former one ran does not matter.
    pub fn forget(&self, id: ConnectionId) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// A run said goodbye.
    pub fn goodbye(&self, id: ConnectionId, run: &str) {
        self.with(id, |peer| peer.over |= peer.run == run);
    }

    /// What a run says of its connection. `gone` is its last word: calls that left before that one may arrive after it.
    /// Only another run can have the connection again (a restored backup).
    pub fn state(&self, id: ConnectionId, said: Switch) -> Switch {
        let mut parted = false;
        self.with(id, |peer| {
            peer.parted |= said == Switch::Gone;
            parted = peer.parted;
        });
        if parted { Switch::Gone } else { said }
    }

    /// Holds a request; an earlier one is ended.
    pub fn hold(&self, id: ConnectionId) -> Held<'_> {
        let number = self.counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let ended = Arc::new(Notify::new());
        self.with(id, |peer| {
            if let Some((_, earlier)) = peer.held.replace((number, ended.clone())) {
                earlier.notify_one();
            }
        });
        Held { mailbox: self, id, number, finished: false, ended }
    }

    /// What the partner was told last.
    pub fn told(&self, id: ConnectionId) -> Told {
        let mut told = Told { state: None, no_room: false, quiet: Quiet::NOT };
        self.with(id, |peer| {
            told = Told { state: peer.told, no_room: peer.told_no_room, quiet: peer.quiet };
        });
        told
    }

    /// Remembers what an answer tells; `quiet`: what follows from its events, if it had any.
    pub fn tell(&self, id: ConnectionId, state: Switch, no_room: bool, quiet: Option<Quiet>, now: Time) {
        self.with(id, |peer| {
            peer.told = Some(state);
            peer.told_no_room = no_room;
            peer.last = now;
            if let Some(quiet) = quiet {
                peer.quiet = quiet;
            }
        });
    }

    fn with(&self, id: ConnectionId, work: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            work(peer);
        }
    }
}

impl Peer {
    fn new(run: &str, now: Time) -> Self {
        Self {
            run: run.to_owned(),
            over: false,
            last: now,
            held: None,
            refused_since: None,
            quiet: Quiet::NOT,
            told: None,
            told_no_room: false,
            parted: false,
        }
    }
}

impl Held<'_> {
    /// It is being answered.
    pub fn finish(mut self, now: Time) {
        self.finished = true;
        self.mailbox.with(self.id, |peer| peer.last = now);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let (number, finished) = (self.number, self.finished);
        self.mailbox.with(self.id, |peer| {
            if peer.held.as_ref().is_some_and(|(held, _)| *held == number) {
                peer.held = None;
                peer.over |= !finished;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: ConnectionId = ConnectionId(Uuid::nil());

    fn at(seconds: i64) -> Time {
        Time::from_seconds(seconds)
    }

    #[test]
    fn another_run_waits_until_the_first_is_over() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.enter(ID, "a", at(0)), Entry::Welcome { changed: false });
        assert_eq!(mailbox.enter(ID, "b", at(5)), Entry::Second { lasting: false });
        assert_eq!(mailbox.enter(ID, "b", at(10)), Entry::Welcome { changed: true });
        mailbox.goodbye(ID, "b");
        assert_eq!(mailbox.enter(ID, "a", at(10)), Entry::Welcome { changed: true });
    }

    #[test]
    fn a_held_request_keeps_its_run_alive_and_a_broken_one_ends_it() {
        let mailbox = Mailbox::default();
        mailbox.enter(ID, "a", at(0));
        let held = mailbox.hold(ID);
        for second in (1..=30).step_by(5) {
            assert_eq!(mailbox.enter(ID, "b", at(second)), Entry::Second { lasting: false });
        }
        assert_eq!(mailbox.enter(ID, "b", at(31)), Entry::Second { lasting: true });
        drop(held);
        assert_eq!(mailbox.enter(ID, "b", at(31)), Entry::Welcome { changed: true });
    }

    #[test]
    fn gone_is_the_last_word_of_a_run() {
        let mailbox = Mailbox::default();
        mailbox.enter(ID, "a", at(0));
        assert_eq!(mailbox.state(ID, Switch::Active), Switch::Active);
        assert_eq!(mailbox.state(ID, Switch::Gone), Switch::Gone);
        assert_eq!(mailbox.state(ID, Switch::Active), Switch::Gone, "it was overtaken");
        mailbox.enter(ID, "b", at(20));
        assert_eq!(mailbox.state(ID, Switch::Active), Switch::Active, "restored");
    }

    #[tokio::test]
    async fn a_second_held_request_ends_the_first() {
        let mailbox = Mailbox::default();
        mailbox.enter(ID, "a", at(0));
        let first = mailbox.hold(ID);
        let second = mailbox.hold(ID);
        first.ended.notified().await;
        first.finish(at(1));
        assert_eq!(mailbox.enter(ID, "b", at(20)), Entry::Second { lasting: false });
        second.finish(at(20));
        assert_eq!(mailbox.enter(ID, "b", at(30)), Entry::Welcome { changed: true });
    }
}
