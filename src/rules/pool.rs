//! The parent's side: children that run rules, one job at a time each.
//!
//! A run that waits for an answer to its ask lends its turn to others, for whom a further worker may be started; so the
//! workers that wait come on top of the usual number ([`ASKING`]).
//!
//! A child is owned by the run that uses it and goes back among the idle ones only after a whole answer. A run that is
//! dropped half-way therefore takes its child with it, and no answer can reach the wrong rule.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, error::Category, value::RawValue};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    frame,
    limits::{ANSWERED, ASK_WALL, ASKING, ASKS, ENGINES, MAX_BUSY, MAX_FRAME, MAX_WAITING},
    line::{Line, Processes, Spawn},
    protocol::{Answer, Job, Kind, Reply, Said, Scene, Told, Verdict},
};
use crate::domain::ask::{Ask, Host, Unanswered};
use crate::domain::rule::{EntityView, RuleEngine, RuleError, RuleInput, RuleOutput, RulePair};

/// How rules are run.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The program that becomes a worker: our own, by its absolute path (a worker has no `PATH`).
    pub program: PathBuf,
    /// Its arguments: `rule-worker`.
    pub args: Vec<OsString>,
    /// How many children at most; at least one.
    pub workers: usize,
    /// How long a script may run; a child that has not answered after twice that is killed.
    pub wall: Duration,
}

/// Runs rules in a few workers that it keeps. Clones share them.
pub struct Pool<S: Spawn = Processes> {
    inner: Arc<Inner<S>>,
}

impl<S: Spawn> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<S> {
    spawn: S,
    wall: Duration,
    workers: usize,
    ask_wall: Duration,
    /// Runs that are at work.
    turns: Semaphore,
    /// Runs that wait for an answer and have lent their turn.
    spare: Semaphore,
    waiting: AtomicUsize,
    jobs: AtomicU64,
    idle: Mutex<Vec<Line>>,
}

/// One who waits; leaving the queue, also by being dropped, makes room.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to run.
struct Script<'a> {
    kind: Kind,
    measured: bool,
    owner: &'a str,
    source: &'a str,
    /// Who answers its asks.
    host: Option<&'a dyn Host>,
}

impl Pool {
    /// A pool of child processes; the first starts with the first rule.
    pub fn new(settings: PoolSettings) -> Self {
        let PoolSettings { program, args, workers, wall } = settings;
        Self::with(Processes { program, args }, workers, wall)
    }
}

impl<S: Spawn> Pool<S> {
    /// A pool of workers from anywhere.
    pub fn with(spawn: S, workers: usize, wall: Duration) -> Self {
        let workers = workers.max(1);
        Self {
            inner: Arc::new(Inner {
                spawn,
                wall,
                workers,
                ask_wall: ASK_WALL,
                turns: Semaphore::new(workers),
                spare: Semaphore::new(ASKING),
                waiting: AtomicUsize::new(0),
                jobs: AtomicU64::new(0),
                idle: Mutex::new(Vec::new()),
            }),
        }
    }

    /// With another limit on the time of one ask.
    #[cfg(test)]
    pub(super) fn patient(mut self, ask_wall: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.ask_wall = ask_wall;
        }
        self
    }

    /// How many workers are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn verdict(&self, script: Script<'_>, (scene, told): (Scene<'_>, Told<'_>)) -> Result<Verdict, RuleError> {
        let Script { kind, measured, owner, source, host } = script;
        let inner = &self.inner;
        let id = inner.jobs.fetch_add(1, Ordering::Relaxed);
        let wall_ms = u64::try_from(inner.wall.as_millis()).unwrap_or(u64::MAX);
        let moment = host.map(Host::moment);
        let job = frame::frame(&Job { id, wall_ms, kind, measured, owner, source, scene, told, moment })
            .map_err(|bytes| RuleError::Limit(format!("rule and record have {bytes} bytes; at most {MAX_FRAME} are taken")))?;
        let mut turn = Some(inner.turn().await?);
        let mut line = inner.line(owner)?;
        let mut talk = Talk { inner, id, host, turn: &mut turn, left: inner.wall * 2, asks: 0, answered: 0, ended: false };
        let result = talk.through(&mut line, job).await;
        let ended = talk.ended;
        line.served(owner);
        let result = match result {
            Ok(Answer { leaving: false, verdict, .. }) if line.busy < MAX_BUSY => {
                inner.keep(line);
                drop(turn);
                Ok(verdict)
            }
            other => {
                drop(line);
                drop(turn);
                self.replace();
                other.map(|answer| answer.verdict)
            }
        };
        if ended { Err(RuleError::Ended) } else { result }
    }

    async fn play(&self, source: &str, input: &RuleInput, (host, measured): (&dyn Host, bool)) -> Result<RuleOutput, RuleError> {
        // The built-in pair is ours: all connections may share its engine.
        let owner = if super::is_built_in(source) { "" } else { input.connection().id.as_str() };
        let script = Script { kind: Kind::Rule, measured, owner, source, host: Some(host) };
        self.verdict(script, (Scene::rule(input), Told::rule(input))).await?.output(source)
    }

    /// Starts a worker ahead of need. If that fails, the next run tries again and says so.
    fn replace(&self) {
        let pool = self.clone();
        tokio::task::spawn_blocking(move || {
            let inner = &pool.inner;
            // A turn is held, so idle and busy workers together never outnumber the turns.
            let Ok(_turn) = inner.turns.try_acquire() else { return };
            if inner.idle.lock().unwrap_or_else(PoisonError::into_inner).len() < inner.turns.available_permits() + 1
                && let Ok(line) = inner.spawn.spawn()
            {
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
}

impl<S> Inner<S> {
    /// Puts a worker among the idle ones; one that stood in for others that waited is let go.
    fn keep(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.workers {
            idle.push(line);
        }
    }
}

impl<S: Spawn> Inner<S> {
    async fn turn(&self) -> Result<SemaphorePermit<'_>, RuleError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= MAX_WAITING + self.workers {
            return Err(RuleError::Engine(format!("{before} rules wait already")));
        }
        self.turns.acquire().await.map_err(|_| closed())
    }

    /// An idle worker: best one that has an engine of this owner, or one made ahead; else a new one.
    fn line(&self, owner: &str) -> Result<Line, RuleError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let known = idle.iter().rposition(|line| line.owners.iter().any(|known| known == owner));
            let roomy = || idle.iter().rposition(|line| line.owners.len() < ENGINES);
            let Some(at) = known.or_else(roomy).or_else(|| idle.len().checked_sub(1)) else { break };
            let mut line = idle.remove(at);
            if line.alive() {
                return Ok(line);
            }
        }
        drop(idle);
        self.spawn.spawn().map_err(|error| RuleError::Engine(format!("no worker could be started: {error}")))
    }
}

/// One run's words with its worker.
struct Talk<'a, 'p, S> {
    inner: &'p Inner<S>,
    id: u64,
    host: Option<&'a dyn Host>,
    /// Lent to others while the run waits for an answer.
    turn: &'a mut Option<SemaphorePermit<'p>>,
    /// What is left of the time after which the worker is killed.
    left: Duration,
    asks: usize,
    answered: usize,
    /// The host ended the run.
    ended: bool,
}

impl<S> Talk<'_, '_, S> {
    /// From the job to the answer.
    async fn through(&mut self, line: &mut Line, mut said: Vec<u8>) -> Result<Answer, RuleError> {
        loop {
            let began = Instant::now();
            let heard = tokio::time::timeout(self.left, line.hear(&said)).await;
            let took = began.elapsed();
            line.busy += took;
            self.left = self.left.saturating_sub(took);
            let bytes = match heard {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => return Err(line.fate(&error).await),
                Err(_) => {
                    let most = (self.inner.wall * 2).as_millis();
                    return Err(RuleError::Limit(format!("it ran longer than {most} ms and had to be killed")));
                }
            };
            match read(&bytes, self.id)? {
                Said::Answer(answer) => return Ok(answer),
                Said::Ask { ask, .. } => said = self.reply(&ask).await?,
            }
            // It did nothing but wait: no rule's fault. Whoever answered keeps the answer for the next run.
            if !line.alive() {
                return Err(RuleError::Engine("the worker ended while it waited for an answer".to_owned()));
            }
        }
    }

    async fn reply(&mut self, ask: &RawValue) -> Result<Vec<u8>, RuleError> {
        let Some(host) = self.host else { return Err(RuleError::Engine("a filter asked".to_owned())) };
        self.asks += 1;
        if self.asks > ASKS {
            return Err(RuleError::Limit(format!("it asked more than {ASKS} times")));
        }
        let answered = match serde_json::from_str(ask.get()) {
            Ok(ask) => self.wait(host, ask).await?,
            Err(error) => Err(Unanswered::refused(
                "not_json",
                format!("what was asked is not valid (text with half a character?): {error}"),
            )),
        };
        self.ended |= answered == Err(Unanswered::Ended);
        let reply = frame::frame(&Reply::of(&answered)).unwrap_or_default();
        self.answered += reply.len();
        if reply.is_empty() || self.answered > ANSWERED {
            return Err(RuleError::Limit(format!("what it asked for has more than {ANSWERED} bytes")));
        }
        Ok(reply)
    }

    async fn wait(&mut self, host: &dyn Host, ask: Ask) -> Result<Result<Value, Unanswered>, RuleError> {
        let spare = self.inner.spare.try_acquire();
        if spare.is_ok() {
            *self.turn = None;
        }
        let answered = tokio::time::timeout(self.inner.ask_wall, host.ask(ask)).await;
        if self.turn.is_none() {
            *self.turn = Some(self.inner.turns.acquire().await.map_err(|_| closed())?);
        }
        drop(spare);
        answered.map_err(|_| RuleError::Limit(format!("an answer took longer than {} ms", self.inner.ask_wall.as_millis())))
    }
}

fn closed() -> RuleError {
    RuleError::Engine("the pool is closed".to_owned())
}

fn read(bytes: &[u8], id: u64) -> Result<Said, RuleError> {
    match serde_json::from_slice::<Said>(bytes) {
        Ok(Said::Answer(Answer { id: of, .. }) | Said::Ask { id: of, .. }) if of != id => {
            Err(RuleError::Engine("the worker answered another job".to_owned()))
        }
        Ok(said) => Ok(said),
        Err(error) if error.classify() == Category::Data => {
            Err(RuleError::Engine(format!("the worker's answer is not one: {error}")))
        }
        Err(error) => Err(RuleError::Engine(format!("the worker's answer is not JSON: {error}"))),
    }
}

#[async_trait]
impl<S: Spawn> RuleEngine for Pool<S> {
    async fn run(&self, source: &str, input: &RuleInput, host: &dyn Host) -> Result<RuleOutput, RuleError> {
        self.play(source, input, (host, false)).await
    }

    async fn run_measured(&self, source: &str, input: &RuleInput, host: &dyn Host) -> Result<RuleOutput, RuleError> {
        self.play(source, input, (host, true)).await
    }

    async fn check(&self, source: &str) -> Result<(), RuleError> {
        let nobody = EntityView::default();
        let script = Script { kind: Kind::Check, measured: false, owner: "", source, host: None };
        self.verdict(script, (Scene::filter(&nobody), Told::default())).await?.parses(source)
    }

    async fn matches(&self, filter: &str, entity: &EntityView) -> Result<bool, RuleError> {
        // Whose it is nobody says: each has an engine of its own.
        let script = Script { kind: Kind::Expression, measured: false, owner: filter, source: filter, host: None };
        self.verdict(script, (Scene::filter(entity), Told::default())).await?.truth(filter)
    }

    fn built_in(&self, tracker_kind: &str) -> Option<RulePair> {
        super::built_in(tracker_kind)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Nowhere;

    impl Spawn for Nowhere {
        fn spawn(&self) -> io::Result<Line> {
            Ok(Line::new(tokio::io::sink(), tokio::io::empty(), None))
        }
    }

    #[test]
    fn a_worker_that_has_an_engine_of_the_connection_goes_first() {
        let pool = Pool::with(Nowhere, 3, Duration::from_secs(1));
        for owners in [&["a", "b"][..], &["c"], &["d"]] {
            let mut line = Nowhere.spawn().expect("a line");
            owners.iter().for_each(|owner| line.served(owner));
            pool.inner.idle.lock().expect("nobody panicked").push(line);
        }
        let taken = ["a", "e", "c", "a"].map(|owner| pool.inner.line(owner).expect("a line").owners);
        assert_eq!(taken, [vec!["a", "b"], vec!["d"], vec!["c"], vec![]]);
        let mut line = Nowhere.spawn().expect("a line");
        (0..ENGINES + 2).for_each(|owner| line.served(&owner.to_string()));
        line.served("4");
        assert_eq!((line.owners.len(), line.owners[0].as_str(), line.owners[ENGINES - 1].as_str()), (ENGINES, "2", "4"));
    }
}
