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
    /// A token was deleted, a session ended, or a role changed: who listens proves anew that it may.
    Access,
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
    bulk: Mutex<HashMap<ConnectionId, u64>>,
    notices: broadcast::Sender<Notice>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { topics: Mutex::default(), takers: Mutex::default(), bulk: Mutex::default(), notices: broadcast::channel(1024).0 }
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

    /// So many drafts of bulk work are about to be made. Only a hint: single edits do not wait for such a batch's pause.
    pub fn add_bulk(&self, connection: ConnectionId, drafts: u64) {
        *self.bulk.lock().unwrap_or_else(PoisonError::into_inner).entry(connection).or_default() += drafts;
    }

    /// How many of them were not handed over yet.
    pub fn bulk(&self, connection: ConnectionId) -> u64 {
        self.bulk.lock().unwrap_or_else(PoisonError::into_inner).get(&connection).copied().unwrap_or(0)
    }

    /// So many events were handed over, and whether others wait; how many of them were of bulk work.
    pub fn handed_over(&self, connection: ConnectionId, events: u64, more: bool) -> u64 {
        let mut all = self.bulk.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = all.get_mut(&connection) else { return 0 };
        let bulk = events.min(*waiting);
        *waiting -= bulk;
        if *waiting == 0 || !more {
            all.remove(&connection);
        }
        bulk
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
