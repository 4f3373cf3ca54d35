//! The parent's side: children that run rules, one job at a time each.
//!
//! A child is owned by the run that uses it and goes back among the idle ones only after a whole answer. A run that is
//! dropped half-way therefore takes its child with it, and no answer can reach the wrong rule.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::error::Category;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
};

use super::{
    limits::{ENGINES, MAX_BUSY, MAX_DYING, MAX_FRAME, MAX_WAITING},
    protocol::{self, Answer, Job, Kind, Scene, Told, Verdict},
};
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

/// A line to a worker; dropping it ends the worker.
pub struct Line {
    to: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    from: BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    child: Option<Child>,
    busy: Duration,
    /// Whose engines the worker keeps, the last used one last.
    owners: Vec<String>,
}

impl Line {
    /// A line over any pair of streams; `child`, if there is one, must be set to be killed on drop.
    pub fn new(
        to: impl AsyncWrite + Send + Sync + Unpin + 'static,
        from: impl AsyncRead + Send + Sync + Unpin + 'static,
        child: Option<Child>,
    ) -> Self {
        Self {
            to: Box::new(to),
            from: BufReader::with_capacity(1 << 16, Box::new(from)),
            child,
            busy: Duration::ZERO,
            owners: Vec::new(),
        }
    }

    /// The worker's process, where it is one that lives.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Notes whose engine the worker has used, as the worker does.
    fn served(&mut self, owner: &str) {
        self.owners.retain(|known| known != owner);
        if self.owners.len() == ENGINES {
            self.owners.remove(0);
        }
        self.owners.push(owner.to_owned());
    }

    /// It may have been ended by somebody while it was idle; that is no rule's fault.
    fn alive(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Why a line broke in the middle of a run. A signal means that the system ended the worker or that the engine crashed,
    /// and it is memory that does that; a worker that leaves by itself was not one, or could not confine itself.
    async fn fate(&mut self, error: &io::Error) -> RuleError {
        let Some(child) = self.child.as_mut() else {
            return RuleError::Engine(format!("the worker cannot be reached: {error}"));
        };
        match tokio::time::timeout(MAX_DYING, child.wait()).await {
            Ok(Ok(status)) if status.signal().is_some() => {
                RuleError::Limit(format!("its worker was ended ({status}), most likely for want of memory"))
            }
            Ok(Ok(status)) => RuleError::Engine(format!("the worker left in the middle of the run ({status})")),
            _ => RuleError::Engine(format!("the worker cannot be reached: {error}")),
        }
    }

    async fn ask(&mut self, job: &[u8]) -> io::Result<Vec<u8>> {
        self.to.write_all(job).await?;
        self.to.flush().await?;
        let mut prefix = [0; 4];
        self.from.read_exact(&mut prefix).await?;
        let mut answer = vec![0; protocol::length(prefix)?];
        self.from.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// What starts workers.
pub trait Spawn: Send + Sync + 'static {
    /// Starts one.
    fn spawn(&self) -> io::Result<Line>;
}

/// Starts workers as child processes.
pub struct Processes {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Spawn for Processes {
    fn spawn(&self) -> io::Result<Line> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Line::new(to, from, Some(child))),
            _ => Err(io::Error::other("the worker's pipes were not made")),
        }
    }
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
    turns: Semaphore,
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
                turns: Semaphore::new(workers),
                waiting: AtomicUsize::new(0),
                jobs: AtomicU64::new(0),
                idle: Mutex::new(Vec::new()),
            }),
        }
    }

    async fn verdict(&self, script: Script<'_>, scene: Scene<'_>, told: Told<'_>) -> Result<Verdict, RuleError> {
        let Script { kind, measured, owner, source } = script;
        let inner = &self.inner;
        let id = inner.jobs.fetch_add(1, Ordering::Relaxed);
        let wall_ms = u64::try_from(inner.wall.as_millis()).unwrap_or(u64::MAX);
        let job = protocol::frame(&Job { id, wall_ms, kind, measured, owner, source, scene, told })
            .map_err(|bytes| RuleError::Limit(format!("rule and record have {bytes} bytes; at most {MAX_FRAME} are taken")))?;
        let turn = inner.turn().await?;
        let mut line = inner.line(owner)?;
        let started = Instant::now();
        let answered = tokio::time::timeout(inner.wall * 2, line.ask(&job)).await;
        line.busy += started.elapsed();
        line.served(owner);
        let result = match answered {
            Ok(Ok(bytes)) => read(&bytes, id),
            Ok(Err(error)) => Err(line.fate(&error).await),
            Err(_) => {
                Err(RuleError::Limit(format!("it ran longer than {} ms and had to be killed", (inner.wall * 2).as_millis())))
            }
        };
        match result {
            Ok(Answer { leaving: false, verdict, .. }) if line.busy < MAX_BUSY => {
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                drop(turn);
                Ok(verdict)
            }
            other => {
                drop(line);
                drop(turn);
                self.replace();
                other.map(|answer| answer.verdict)
            }
        }
    }

    async fn play(&self, source: &str, input: &RuleInput, measured: bool) -> Result<RuleOutput, RuleError> {
        // The built-in pair is ours: all connections may share its engine.
        let owner = if super::is_built_in(source) { "" } else { input.connection().id.as_str() };
        let script = Script { kind: Kind::Rule, measured, owner, source };
        self.verdict(script, Scene::rule(input), Told::rule(input)).await?.output(source)
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

impl<S: Spawn> Inner<S> {
    async fn turn(&self) -> Result<SemaphorePermit<'_>, RuleError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= MAX_WAITING + self.workers {
            return Err(RuleError::Engine(format!("{before} rules wait already")));
        }
        self.turns.acquire().await.map_err(|_| RuleError::Engine("the pool is closed".to_owned()))
    }

    /// An idle worker, best one that has an engine of this owner; else a new one.
    fn line(&self, owner: &str) -> Result<Line, RuleError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let known = idle.iter().rposition(|line| line.owners.iter().any(|known| known == owner));
            let Some(at) = known.or_else(|| idle.len().checked_sub(1)) else { break };
            let mut line = idle.remove(at);
            if line.alive() {
                return Ok(line);
            }
        }
        drop(idle);
        self.spawn.spawn().map_err(|error| RuleError::Engine(format!("no worker could be started: {error}")))
    }
}

fn read(bytes: &[u8], id: u64) -> Result<Answer, RuleError> {
    match serde_json::from_slice::<Answer>(bytes) {
        Ok(answer) if answer.id == id => Ok(answer),
        Ok(_) => Err(RuleError::Engine("the worker answered another job".to_owned())),
        Err(error) if error.classify() == Category::Data => {
            Err(RuleError::Engine(format!("the worker's answer is not one: {error}")))
        }
        Err(error) => Err(RuleError::Engine(format!("the worker's answer is not JSON: {error}"))),
    }
}

#[async_trait]
impl<S: Spawn> RuleEngine for Pool<S> {
    async fn run(&self, source: &str, input: &RuleInput) -> Result<RuleOutput, RuleError> {
        self.play(source, input, false).await
    }

    async fn run_measured(&self, source: &str, input: &RuleInput) -> Result<RuleOutput, RuleError> {
        self.play(source, input, true).await
    }

    async fn check(&self, source: &str) -> Result<(), RuleError> {
        let nobody = EntityView::default();
        let script = Script { kind: Kind::Check, measured: false, owner: "", source };
        self.verdict(script, Scene::filter(&nobody), Told::default()).await?.parses(source)
    }

    async fn matches(&self, filter: &str, entity: &EntityView) -> Result<bool, RuleError> {
        // Whose it is nobody says: each has an engine of its own.
        let script = Script { kind: Kind::Expression, measured: false, owner: filter, source: filter };
        self.verdict(script, Scene::filter(entity), Told::default()).await?.truth(filter)
    }

    fn built_in(&self, tracker_kind: &str) -> Option<RulePair> {
        super::built_in(tracker_kind)
    }
}

#[cfg(test)]
mod tests {
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
