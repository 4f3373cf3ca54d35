//! Wake-ups inside the process. They only spare waiting: whoever is woken looks in the store, and looks now and then
//! anyway.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, broadcast};

use crate::domain::ids::{ConnectionId, ErrorId, JobId, TwinId};

/// What there may be news of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Changes of a tracker.
    Changes(String),
    /// Events from the other side, for twins of a tracker.
    Inbox(String),
    /// Something to hand to the other side of a connection, or its state changed.
    Outbox(ConnectionId),
    /// The set of connections or their switches.
    Connections,
    /// Work over many records.
    Jobs,
    /// A lease was given back.
    Released,
}

/// What the stream of the API tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A connection changed.
    Connection(ConnectionId),
    /// A twin changed.
    Twin(TwinId),
    /// An error was opened, changed or closed.
    Error(ErrorId),
    /// A tracker's state changed.
    Tracker(String),
    /// A job went on or ended.
    Job(JobId),
    /// A token was deleted: who listens by one proves it anew.
    Tokens,
}

/// A partner that waits, and how much it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taker {
    /// Events at most.
    pub events: u32,
    /// Bytes at most.
    pub bytes: usize,
}

/// The hub.
#[derive(Debug)]
pub struct Wakes {
    topics: Mutex<HashMap<Topic, Arc<Notify>>>,
    takers: Mutex<HashMap<ConnectionId, Taker>>,
    notices: broadcast::Sender<Notice>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { topics: Mutex::default(), takers: Mutex::default(), notices: broadcast::channel(1024).0 }
    }
}

impl Wakes {
    /// What to wait on. Waits that begin after a wake-up see it once: `notify_one` is remembered, and all present
    /// waiters are woken too.
    pub fn on(&self, topic: Topic) -> Arc<Notify> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).entry(topic).or_default().clone()
    }

    /// Wakes all who wait on it, or the next who will.
    pub fn wake(&self, topic: Topic) {
        let notify = self.on(topic);
        notify.notify_waiters();
        notify.notify_one();
    }

    /// The inviting side's partner waits, and nothing waits for it: the next draft may have its number in the transaction
    /// that makes it, which spares one of the two commits between an edit and the wire.
    pub fn expect(&self, connection: ConnectionId, taker: Taker) {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, taker);
    }

    /// The partner that waits; told once.
    pub fn taker(&self, connection: ConnectionId) -> Option<Taker> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection)
    }

    /// Tells the stream.
    pub fn tell(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.notices.send(notice);
    }

    /// Listens to what the stream tells from now on.
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}
