//! What rules ask while they run, answered for one run: reads of the tracker, look-ups of twins, and effects, which happen
//! once however often the work has to be done again.
//!
//! ```text
//!  run ─ ask ─▶ Desk ─┬─ reads ─▶ tracker                                  (made anew at a rerun)
//!                     ├─ effects ─▶ journal: started ─▶ tracker ─▶ journal: answer
//!                     ├─ store ─▶ the run ends, the record is written, the rule runs again
//!                     └─ twins ─▶ store; none: remembered ([`super::late`])
//! ```
//!
//! A *work* is what one twin's rule has to do on one way; it may take many runs (errors, retries, a killed node), and what
//! it did to the outside stands in the journal until the transaction that ends it ([`super::settle`]). A call that equals
//! a recorded one is answered from there. One that was begun and has no answer is made again where that repeats nothing;
//! else the twin is parked and a person chooses. A work goes on under the version of the rules that it began with, until a
//! person retries it.
//!
//! Not every run is the work's own. The engine also runs rules to compare ([`Manner::Compare`]), and people try them
//! ([`Manner::Trial`]): such a run reads, and its effects are answered with an empty object. Nothing leaves for them.
//!
//! Traps. An answer must never need a rule: the run that waits may hold the last worker. What concerns the whole tracker
//! (no network, no allowance) ends the run instead of being thrown: a rule that catches it would take "nobody can be asked"
//! for "there is no such user".

mod journal;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::{Value, json};

pub(super) use self::journal::{IN_DOUBT, Journal};
use super::{
    outgoing::Worker,
    settle::{Again, Trouble},
};
use crate::domain::{
    ask::{Ask, Host, Moment, Request, Unanswered},
    history::Direction,
    ids::ConnectionId,
    replica::Fields,
    rule::RuleError,
    tracker::{Caller, Fault, Retry, TrackerError},
    twin::Twin,
};
use crate::store::{
    StoreError,
    rows::{JournalRow, Lookup, RuleWork},
};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// The work itself.
    Work(RuleWork),
    /// To see what the rule makes of something else.
    Compare,
    /// A person tries the rule.
    Trial,
}

/// A call that a trial would have made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `POST` and so on, or `STORE`.
    pub method: String,
    /// Where to; the entity type of what would be stored.
    pub path: String,
    /// What would be sent along.
    pub body: Option<Value>,
}

/// Why the host ended a run.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// It is to be parked.
    Park(Box<Trouble>),
    /// What was assigned so far is to be written, and the rule run again.
    Store(Box<Storing>),
}

/// What `store(entity)` asked for.
#[derive(Clone, Debug)]
pub(super) struct Storing {
    pub entity_type: Option<String>,
    pub assigned: Fields,
    /// Its row, without the answer.
    pub row: JournalRow,
}

/// Answers one run.
pub(super) struct Desk {
    worker: Worker,
    connection: ConnectionId,
    manner: Manner,
    caller: Caller,
    moment: Moment,
    /// Key of the record here, once there is one.
    key: Option<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    journal: Journal,
    /// What was read, for runs that only compare.
    reads: BTreeMap<String, Value>,
    /// Records of the other side that have no twin here yet.
    missed: BTreeSet<String>,
    calls: Vec<Call>,
    ending: Option<Ending>,
}

impl Desk {
    /// For the work itself. `key`: of the record here, if there is one.
    pub(super) fn of_work(worker: &Worker, work: RuleWork, journal: Journal, key: Option<&str>) -> Self {
        let moment = journal.moment().unwrap_or_else(|| moment(worker));
        let state = State { journal, ..State::default() };
        Self::new(worker, (work.0, Manner::Work(work), Caller::Sync), moment, key, state)
    }

    /// For runs that only compare.
    pub(super) fn comparing(worker: &Worker, connection: ConnectionId) -> Self {
        Self::new(worker, (connection, Manner::Compare, Caller::Sync), moment(worker), None, State::default())
    }

    /// For a run beside this one that only compares: it sees the same hour, and what this one has read.
    pub(super) fn beside(&self) -> Self {
        let reads = self.state().reads.clone();
        let state = State { reads, ..State::default() };
        Self::new(&self.worker, (self.connection, Manner::Compare, self.caller), self.moment, self.key.as_deref(), state)
    }

    /// For a person who tries a rule.
    pub(super) fn trial(worker: &Worker, connection: ConnectionId, key: Option<&str>) -> Self {
        Self::new(worker, (connection, Manner::Trial, Caller::Person), moment(worker), key, State::default())
    }

    fn new(
        worker: &Worker,
        (connection, manner, caller): (ConnectionId, Manner, Caller),
        moment: Moment,
        key: Option<&str>,
        state: State,
    ) -> Self {
        let key = key.map(str::to_owned);
        Self { worker: worker.clone(), connection, manner, caller, moment, key, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record was made by this very work: for its rule that is still the first sync.
    pub(super) fn made_here(&self) -> bool {
        self.state().journal.made()
    }

    /// What a trial would have called.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// What was done to the outside, for people.
    pub(super) fn told(&self) -> Vec<String> {
        self.state().journal.told()
    }

    /// Why the run did not end well; `Err` where its record is to be stored first.
    pub(super) fn trouble(&self, direction: Direction, error: &RuleError) -> Result<Trouble, Box<Storing>> {
        let (ending, missed, told) = {
            let mut state = self.state();
            (state.ending.take(), !state.missed.is_empty(), state.journal.told())
        };
        let mut trouble = match ending {
            Some(Ending::Store(storing)) => return Err(storing),
            Some(Ending::Park(trouble)) => *trouble,
            None => Trouble::rule(direction, error),
        };
        if missed && trouble.again == Again::Person {
            // What it looked for may be all that it lacks.
            trouble.again = Again::Newer;
        }
        if !told.is_empty() {
            trouble.detail.push_str(&format!("\ndone already, and not done again: {}", told.join("; ")));
        }
        Ok(trouble)
    }

    /// What the run looked for in vain, to be kept whether its work has ended or not. `again` says what an incoming rule was
    /// told, to be told again.
    pub(super) fn lookups(&self, again: impl FnOnce() -> ((u64, u64), Option<String>)) -> Vec<Lookup> {
        let Manner::Work((connection_id, twin, direction)) = self.manner else { return Vec::new() };
        let missed = std::mem::take(&mut self.state().missed);
        if missed.is_empty() {
            return Vec::new();
        }
        let (up_to, event) = again();
        let row = |remote_key| Lookup { connection_id, remote_key, twin, direction, up_to, event: event.clone() };
        missed.into_iter().map(row).collect()
    }

    /// Ends the run.
    fn end(&self, ending: Ending) -> Unanswered {
        self.state().ending = Some(ending);
        Unanswered::Ended
    }

    fn park(&self, trouble: Trouble) -> Unanswered {
        self.end(Ending::Park(Box::new(trouble)))
    }

    fn store_failed(&self, error: &StoreError) -> Unanswered {
        self.park(Trouble {
            code: "store".to_owned(),
            title: "What the rule asked could not be kept".to_owned(),
            detail: error.to_string(),
            advice: "Nothing to do if it passes; else look at the node's log.".to_owned(),
            again: Again::Soon,
        })
    }

    /// A tracker's no: thrown in the rule, unless nobody could have answered, or it will pass by itself.
    fn refused(&self, error: &TrackerError) -> Unanswered {
        let nobody = matches!(error.fault, Fault::Network | Fault::Login | Fault::Allowance);
        if nobody || error.fault == Fault::Record && matches!(error.retry, Retry::Soon(_)) {
            return self.park(Trouble::from(error));
        }
        Unanswered::refused(&error.code, format!("{}: {}", error.title, error.detail))
    }

    async fn request(&self, request: Request) -> Result<Value, Unanswered> {
        request.check()?;
        // One that takes none says so, also to runs whose calls would not leave.
        if request.method.reads() || !self.worker.tracker.traits().takes_requests {
            return self.read(&request).await;
        }
        match self.manner {
            Manner::Work(work) => journal::effect(self, work, request).await,
            Manner::Compare => Ok(json!({})),
            Manner::Trial => {
                let Request { method, path, body } = request;
                self.state().calls.push(Call { method: method.as_str().to_owned(), path, body });
                Ok(json!({}))
            }
        }
    }

    async fn read(&self, request: &Request) -> Result<Value, Unanswered> {
        let known = self.state().reads.get(&request.path).cloned();
        // The work itself reads anew: between two reads it may have changed what it reads.
        if let (Manner::Compare, Some(known)) = (self.manner, known) {
            return Ok(known);
        }
        let answer = self.worker.tracker.request(self.caller, request).await.map_err(|error| self.refused(&error))?;
        self.state().reads.insert(request.path.clone(), answer.clone());
        Ok(answer)
    }

    async fn user(&self, email: &str) -> Result<Value, Unanswered> {
        let name = format!("user {}", email.to_lowercase());
        let known = self.state().reads.get(&name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.worker.tracker.user_by_email(self.caller, email).await.map_err(|error| self.refused(&error))?;
        let user = found.unwrap_or_default();
        self.state().reads.insert(name, user.clone());
        Ok(user)
    }

    async fn twin(&self, key: String, entity_type: Option<String>) -> Result<Value, Unanswered> {
        let (connection, asked) = (self.connection, key.clone());
        let found = self
            .worker
            .parts
            .store
            .read_one("local_keys", move |tx| Box::pin(async move { tx.local_keys(connection, &asked).await }));
        let found = found.await.map_err(|error| self.store_failed(&error))?;
        let nothing = found.is_empty();
        let fits = |of: &str| entity_type.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(of));
        match found.into_iter().find(|(of, _)| fits(of)) {
            Some((_, local)) => Ok(Value::String(local)),
            None => {
                // One of another type is no reason to wait.
                if nothing {
                    self.state().missed.insert(key);
                }
                Ok(Value::Null)
            }
        }
    }

    fn store(&self, entity_type: Option<String>, assigned: Fields) -> Result<Value, Unanswered> {
        let Manner::Work(work) = self.manner else {
            if self.manner == Manner::Trial {
                let path = entity_type.unwrap_or_else(|| self.worker.tracker.default_entity_type().to_owned());
                let body = Some(Value::Object(assigned));
                self.state().calls.push(Call { method: journal::STORE.to_owned(), path, body });
            }
            return Ok(json!({ "key": self.key }));
        };
        let begun = self.state().journal.store(work, self.moment, self.key.is_some(), self.worker.parts.clock.now());
        match begun {
            None => Ok(json!({ "key": self.key })),
            Some(row) => Err(self.end(Ending::Store(Box::new(Storing { entity_type, assigned, row })))),
        }
    }
}

fn moment(worker: &Worker) -> Moment {
    let mut seed = [0; 4];
    worker.parts.clock.random(&mut seed);
    Moment { now: worker.parts.clock.now(), seed: u32::from_le_bytes(seed) }
}

/// Both works of a twin: it ends.
pub(super) fn both(twin: &Twin) -> [RuleWork; 2] {
    [Direction::Out, Direction::In].map(|direction| (twin.connection_id, twin.id, direction))
}

#[async_trait]
impl Host for Desk {
    fn moment(&self) -> Moment {
        self.moment
    }

    async fn ask(&self, ask: Ask) -> Result<Value, Unanswered> {
        match ask {
            Ask::Request(request) => self.request(request).await,
            Ask::User { email } => self.user(&email).await,
            Ask::Twin { key, entity_type } => self.twin(key, entity_type).await,
            Ask::Store { entity_type, assigned } => self.store(entity_type, assigned),
        }
    }
}
