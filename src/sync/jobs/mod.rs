//! Work over many records, beside what the trackers tell: bulk runs, previews, re-applying, comparing.
//!
//! ```text
//!   row ─▶ drive: read the row ─▶ step (one part) ─▶ commit: part and cursor together ─▶ …
//!                     ▲                                        │
//!                     └── paused, cancelled: it stops here ────┘
//! ```
//!
//! A task for each open job, a few at once. A step reads its row, asks the tracker outside any transaction, and ends in one
//! that does the part and moves the cursor: a killed node goes on where it was. What a job asks of the engine it leaves as
//! changes, like everybody else; it never writes a twin.
//!
//! Single edits go first. A job leaves few changes at a time and leaves the next only when those have ended and the other
//! side has answered most of them, so that neither queue is ever long; after a bulk run's part it rests
//! twice as long as that took.
//!
//! The trap: a step must not trust what it remembers across a commit, since a person may have paused or cancelled the job
//! meanwhile. To add a kind: a `Work` in `domain::job`, a file here, a line in [`step`].

mod preview;
mod reapply;
mod reconcile;
pub(super) mod schedule;
mod trigger_run;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{Engine, Refused, judge::Failure, outgoing::Worker};
use crate::{
    domain::{
        change::{NewChange, Source},
        connection::Connection,
        ids::{ConnectionId, CorrelationId, JobId},
        job::{Finding, Job, Status, Work},
        twin::{self, Twin},
    },
    store::{StoreError, Topic, Tx},
};

/// Jobs at once.
const AT_ONCE: usize = 4;
/// Open jobs of a connection.
const MOST_OPEN: usize = 20;
/// Changes that a job leaves at a time.
const PART: usize = 10;
/// How soon a job looks whether its changes have ended.
const SOON: Duration = Duration::from_millis(10);
/// A change that is due so much later waits for something else: it is no reason to wait for it.
const DELAYED: Duration = Duration::from_secs(1);
/// A rest between two parts whose work took nobody's time.
const REST: Duration = Duration::from_millis(50);
/// The longest rest between two parts.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How long a job waits where the tracker, or the store, cannot.
const LATER: Duration = Duration::from_secs(5);
/// Most lines of a report.
const MOST_FINDINGS: u64 = 10_000;

/// What follows a step.
enum Step {
    /// The next one, at once.
    Next,
    /// The next one, after this.
    Wait(Duration),
    /// None.
    End(Status, Option<String>),
}

/// Drives open jobs until the node stops.
pub(super) async fn run(engine: Engine) {
    let driven: Arc<Mutex<HashSet<JobId>>> = Arc::default();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let parts = engine.parts().clone();
    let topic = parts.store.wakes().on(Topic::Jobs);
    loop {
        let woken = topic.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        match parts.store.read("open_jobs", |tx| Box::pin(async move { tx.open_jobs().await })).await {
            Ok(jobs) => {
                for job in jobs.into_iter().filter(Job::goes_on) {
                    if driven.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id) {
                        let (engine, driven, slots) = (engine.clone(), driven.clone(), slots.clone());
                        parts.lifecycle.spawn("job", async move {
                            if let Ok(_slot) = slots.acquire().await {
                                drive(&engine, job.id).await;
                            }
                            driven.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.id);
                            // It may have been resumed between the last look and now.
                            engine.parts().store.wakes().wake(Topic::Jobs);
                        });
                    }
                }
            }
            Err(error) => tracing::error!("the jobs cannot be read: {error}"),
        }
        tokio::select! {
            () = woken => {}
            () = parts.clock.sleep(LATER) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
}

/// One job, step by step, until it ends or a person stops it.
async fn drive(engine: &Engine, id: JobId) {
    let (parts, topic) = (engine.parts(), engine.parts().store.wakes().on(Topic::Jobs));
    let mut memory = Memory::default();
    while !parts.lifecycle.is_stopping() {
        let woken = topic.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        let pause = match once(engine, id, &mut memory).await {
            Ok(Some(pause)) => pause,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(job = %id, "a job's step could not be stored: {error}");
                LATER
            }
        };
        if !pause.is_zero() {
            tokio::select! {
                () = parts.clock.sleep(pause) => {}
                // A person may have paused it; the wake of its own last step costs one look.
                () = woken, if pause > LONGEST_REST => {}
                () = parts.lifecycle.stopping() => return,
            }
        }
    }
}

/// What a job keeps between two steps to spare asking again; never needed.
#[derive(Default)]
struct Memory {
    listed: trigger_run::Listed,
    window: trigger_run::Window,
}

/// A job, with whom it works.
struct Task<'a> {
    worker: Worker,
    connection: Connection,
    job: Job,
    memory: &'a mut Memory,
}

/// One step; `None`: there is no next one.
async fn once(engine: &Engine, id: JobId, memory: &mut Memory) -> Result<Option<Duration>, StoreError> {
    let read = engine.parts().store.read("job", move |tx| {
        Box::pin(async move {
            let Some(job) = tx.job(id).await?.filter(Job::goes_on) else { return Ok(None) };
            Ok(tx.connection(job.connection_id).await?.map(|connection| (job, connection)))
        })
    });
    let Some((mut job, connection)) = read.await? else { return Ok(None) };
    job.status = Status::Running;
    let Some(worker) = engine.worker(&connection.tracker) else {
        let why = format!("the tracker `{}` is not in this node's configuration any more", connection.tracker);
        return end(engine, job, Status::Failed, Some(why)).await.map(|()| None);
    };
    if let Some(pause) = worker.rest.wait(worker.parts.clock.now()) {
        return Ok(Some(pause.min(LATER)));
    }
    let mut task = Task { worker, connection, job: job.clone(), memory };
    match step(&mut task).await {
        Ok(Step::Next) => Ok(Some(Duration::ZERO)),
        Ok(Step::Wait(pause)) => Ok(Some(pause)),
        Ok(Step::End(status, detail)) => {
            let now = task.job;
            end(engine, now, status, detail).await.map(|()| None)
        }
        Err(Failure::Store(error)) => Err(error),
        Err(Failure::Tracker(error)) if error.concerns_all() => {
            // The tracker rests now, and so do all who need it.
            task.worker.rest.failed(&task.worker.parts, &task.worker.name, &error).await;
            Ok(Some(SOON))
        }
        Err(Failure::Tracker(error)) => end(engine, job, Status::Failed, Some(error.to_string())).await.map(|()| None),
    }
}

async fn step(task: &mut Task<'_>) -> Result<Step, Failure> {
    match task.job.work.clone() {
        Work::TriggerRun { entity_type, filter, .. } => trigger_run::step(task, &entity_type, &filter).await,
        Work::RulesPreview { outgoing, incoming, sample } => preview::step(task, (&outgoing, &incoming), sample).await,
        Work::RulesReapply { version } => reapply::step(task, version).await,
        Work::Reconcile { repair } => reconcile::step(task, repair).await,
    }
}

async fn end(engine: &Engine, job: Job, status: Status, detail: Option<String>) -> Result<(), StoreError> {
    let now = engine.parts().clock.now();
    change(engine, job.id, move |present| {
        if present.is_open() {
            *present = Job { paused: present.paused, ..job };
        }
        present.end(status, detail, now);
    })
    .await
    .map(drop)
}

/// Changes a job's row where it is.
async fn change(engine: &Engine, id: JobId, change: impl FnOnce(&mut Job) + Send + 'static) -> Result<Option<Job>, StoreError> {
    let write = engine.parts().store.write("job_changed", move |tx| {
        Box::pin(async move {
            let Some(mut job) = tx.job(id).await? else { return Ok(None) };
            change(&mut job);
            tx.put_job(&job).await?;
            Ok(Some(job))
        })
    });
    write.await
}

impl Task<'_> {
    /// Does a step's part and moves the cursor with it, unless a person ended the job meanwhile.
    async fn advance(&self, changes: Vec<NewChange>, findings: Vec<Finding>) -> Result<(), StoreError> {
        let job = self.job.clone();
        let write = self.worker.parts.store.write("job_step", move |tx| {
            Box::pin(async move {
                let Some(present) = tx.job(job.id).await?.filter(Job::is_open) else { return Ok(()) };
                // A pause that was asked for meanwhile begins after this step.
                tx.put_job(&Job { paused: present.paused, ..job.clone() }).await?;
                if !changes.is_empty() {
                    tx.add_changes(&changes).await?;
                }
                if !findings.is_empty() && tx.count_findings(job.id).await? < MOST_FINDINGS {
                    tx.add_findings(job.id, &findings).await?;
                }
                Ok(())
            })
        });
        write.await
    }

    /// A change that has this connection look at a record, whatever its triggers say.
    fn look_at(&self, entity_type: &str, key: &str, source: Source) -> NewChange {
        let record = (entity_type.to_owned(), key.to_owned());
        let correlation = CorrelationId(self.worker.parts.clock.id());
        super::outgoing::look_at(&self.worker, self.connection.id, record, source, Some(correlation))
    }

    /// Twins of records of ours on this connection.
    async fn twins_of(&self, entity_type: &str, keys: &[String]) -> Result<Vec<Twin>, StoreError> {
        let (tracker, entity_type, keys, id) =
            (self.worker.name.clone(), entity_type.to_owned(), keys.to_vec(), self.connection.id);
        let read = self.worker.parts.store.read("job_twins", move |tx| {
            Box::pin(async move {
                let mut twins = tx.twins_of_records(&tracker, &entity_type, &keys).await?;
                twins.retain(|twin| twin.connection_id == id);
                Ok(twins)
            })
        });
        read.await
    }

    /// The next twins of the connection that are not stopped, in order, and the last one's id where more may follow.
    async fn next_twins(&self, limit: u32) -> Result<(Vec<Twin>, Option<String>), StoreError> {
        let (id, after) = (self.connection.id, self.job.cursor.after.as_ref().and_then(|text| text.parse().ok()));
        let read = self
            .worker
            .parts
            .store
            .read("job_next_twins", move |tx| Box::pin(async move { tx.twins_behind(id, after, limit).await }));
        let mut twins = read.await?;
        let last = twins.last().filter(|_| twins.len() >= limit as usize).map(|twin| twin.id.to_string());
        twins.retain(|twin| twin.status != twin::Status::Stopped);
        Ok((twins, last))
    }

    async fn count_twins(&self) -> Result<u64, StoreError> {
        let id = self.connection.id;
        self.worker.parts.store.read("job_total", move |tx| Box::pin(async move { tx.count_twins(id).await })).await
    }
}

/// Stores a job, unless the same is being done or too many are.
async fn put(tx: &mut dyn Tx, job: &Job) -> Result<Result<(), Refused>, StoreError> {
    let open: Vec<Job> = tx.open_jobs().await?.into_iter().filter(|other| other.connection_id == job.connection_id).collect();
    if let Some(same) = open.iter().find(|other| other.work == job.work) {
        return Ok(Err(Refused::State(format!("that is being done already, by the job {}", same.id))));
    }
    if open.len() >= MOST_OPEN {
        return Ok(Err(Refused::State(format!("{MOST_OPEN} jobs of this connection have not ended yet"))));
    }
    tx.put_job(job).await?;
    Ok(Ok(()))
}

impl Engine {
    /// Asks for work over many records.
    pub async fn start_job(&self, connection: ConnectionId, work: Work, by: String) -> Result<Job, Refused> {
        let (connection, _) = self.connection(connection).await?;
        if connection.is_new() {
            return Err(Refused::State(
                "the connection is pending: nothing can be synced before the other side has joined".to_owned(),
            ));
        }
        let (parts, connection) = (self.parts(), connection.id);
        let job = Job::new(JobId(parts.clock.id()), connection, work, by, parts.clock.now());
        let write = parts.store.write("job_asked", move |tx| Box::pin(async move { Ok(put(tx, &job).await?.map(|()| job)) }));
        write.await?
    }

    /// Has a job stand still, or go on.
    pub async fn pause_job(&self, id: JobId, paused: bool) -> Result<Job, Refused> {
        let ended = |job: &Job| Refused::State(format!("the job has ended: {}", job.work.kind()));
        let before = change(self, id, move |job| job.paused = job.is_open() && paused).await?;
        let job = before.ok_or(Refused::NotFound("job"))?;
        if job.is_open() { Ok(job) } else { Err(ended(&job)) }
    }

    /// Ends a job. What it has left to the engine goes on.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job, Refused> {
        let now = self.parts().clock.now();
        let job = change(self, id, move |job| job.end(Status::Cancelled, None, now)).await?;
        job.ok_or(Refused::NotFound("job"))
    }
}
