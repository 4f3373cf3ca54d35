//! The one task that writes.
//!
//! It takes all that waits (a group), runs it in one transaction, commits once, and answers. While the commit syncs, the
//! next group gathers in the queue. In a group of more than one, each job has a savepoint, so that one that fails undoes
//! only itself; all waiting intake goes in as one job, and where it waits alone as one text.
//!
//! What the disk refuses fails the whole group as unavailable: its callers may try again. The connection is then given
//! up, and the next group opens a new one, so that the writer is well as soon as the disk is.
//!
//! A sync that failed asks for no checkpoint. SQLite takes the pages of a commit into its index only after their sync, so
//! those of one that failed are no part of the log: the next commit writes over them and syncs all that it wrote. What was
//! acknowledged had a sync of its own, and no later one has to make up for it. A process that dies before the next commit
//! may find the failed one in the log after all: for its callers that is a commit whose answer was lost, which they bear
//! anyway, since a kill does the same. A checkpoint would only carry the log over, and give up the sound copy, at the moment
//! when the disk is least to be trusted.

use std::{fs::File, sync::Arc, time::Instant};

use sqlx::{Connection, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared, changes,
    tx::{Got, SqliteTx, attempt, fire},
};
use crate::{
    domain::change::NewChange,
    store::{Job, StoreError},
};

/// Most commands in one transaction: bounds how long a caller waits for its neighbours.
const GROUP: usize = 256;
/// With so many changes a group takes no more: bounds the memory of the statement that stores them.
const GROUP_CHANGES: usize = 10_000;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the writer is asked.
pub(super) enum Command {
    /// Run this in a transaction.
    Job(&'static str, Box<dyn Job>),
    /// Take these in.
    Changes(Vec<NewChange>, Answer),
    /// Write and remove a row.
    Probe(Answer),
    /// Finish what waits and close.
    Close(Answer),
    /// Set something on the writer's connection, outside any transaction.
    #[cfg(test)]
    Set(&'static str, Answer),
}

/// Commands of one transaction.
#[derive(Default)]
struct Group {
    jobs: Vec<(&'static str, Box<dyn Job>)>,
    changes: Vec<NewChange>,
    intake: Vec<Answer>,
    probes: Vec<Answer>,
    closing: Vec<Answer>,
    #[cfg(test)]
    settings: Vec<(&'static str, Answer)>,
}

impl Group {
    fn take(&mut self, command: Command) {
        match command {
            Command::Job(name, job) => self.jobs.push((name, job)),
            Command::Changes(changes, answer) => {
                self.changes.extend(changes);
                self.intake.push(answer);
            }
            Command::Probe(answer) => self.probes.push(answer),
            Command::Close(answer) => self.closing.push(answer),
            #[cfg(test)]
            Command::Set(sql, answer) => self.settings.push((sql, answer)),
        }
    }

    /// Steps that may fail on their own.
    fn steps(&self) -> usize {
        self.jobs.len() + usize::from(!self.intake.is_empty()) + usize::from(!self.probes.is_empty())
    }
}

/// How each step of a group went.
#[derive(Default)]
struct Results {
    jobs: Vec<Got<()>>,
    intake: Option<Got<()>>,
    probe: Option<Got<()>>,
}

pub(super) struct Writer {
    options: SqliteConnectOptions,
    conn: Option<SqliteConnection>,
    shared: Arc<Shared>,
    readers: SqlitePool,
    lock: File,
}

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        conn: SqliteConnection,
        shared: Arc<Shared>,
        readers: SqlitePool,
        lock: File,
    ) -> Self {
        Self { options, conn: Some(conn), shared, readers, lock }
    }

    /// Works until told to close, or until nobody holds the store.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut closing = Vec::new();
        while let Some(first) = queue.recv().await {
            let mut group = Group::default();
            group.take(first);
            for _ in 1..GROUP {
                if group.changes.len() >= GROUP_CHANGES {
                    break;
                }
                let Ok(command) = queue.try_recv() else { break };
                group.take(command);
            }
            if !group.closing.is_empty() {
                // Nothing new comes in; what waits is done still.
                queue.close();
                closing.append(&mut group.closing);
            }
            #[cfg(test)]
            self.set(std::mem::take(&mut group.settings)).await;
            if group.steps() > 0 {
                self.group(group).await;
            }
        }
        self.close().await;
        for answer in closing {
            // Who asked may have gone.
            let _ = answer.send(Ok(()));
        }
    }

    async fn group(&mut self, mut group: Group) {
        metrics::histogram!("wicketgate_store_group_size").record(group.steps() as f64);
        let began = Instant::now();
        let outcome = self.commit(&mut group).await;
        metrics::histogram!("wicketgate_store_commit_seconds").record(began.elapsed().as_secs_f64());
        let (results, failed) = match outcome {
            Ok(results) => (results, None),
            Err(error) => {
                tracing::warn!(%error, steps = group.steps(), "a group of writes was not stored");
                self.give_up().await;
                (Results::default(), Some(error))
            }
        };
        let of = |result: Option<Got<()>>| match (&failed, result) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Closed),
        };
        let mut done = results.jobs.into_iter();
        for (name, job) in group.jobs {
            let result = of(done.next());
            count(name, "write", &result);
            job.finish(result);
        }
        for (answers, result) in [(group.intake, results.intake), (group.probes, results.probe)] {
            if answers.is_empty() {
                continue;
            }
            let result = of(result);
            for answer in answers {
                // Who asked may have gone; what was stored stays.
                let _ = answer.send(result.clone());
            }
        }
    }

    /// Runs a group in one transaction. `Err`: nothing of it is stored.
    async fn commit(&mut self, group: &mut Group) -> Got<Results> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            empty => empty.insert(SqliteConnection::connect_with(&self.options).await?),
        };
        let alone = group.steps() == 1;
        if alone && !group.changes.is_empty() {
            let incoming = changes::Incoming::new(&group.changes);
            if let Some(transaction) = incoming.transaction()? {
                transaction.execute(conn).await?;
                fire(&self.shared, incoming.topics(), Vec::new());
                return Ok(Results { intake: Some(Ok(())), ..Results::default() });
            }
        }
        let mut tx = SqliteTx::new(conn, &self.shared);
        tx.steer(if alone { "BEGIN IMMEDIATE" } else { "BEGIN IMMEDIATE; SAVEPOINT step" }).await?;
        let mut results = Results::default();
        let mut first = true;
        if !group.changes.is_empty() {
            next(&mut tx, &mut first, alone).await?;
            let result = changes::add_changes(&mut tx, &group.changes).await;
            results.intake = Some(settle(&mut tx, (0, 0), alone, result).await?);
        } else if !group.intake.is_empty() {
            results.intake = Some(Ok(()));
        }
        for (_, job) in &mut group.jobs {
            next(&mut tx, &mut first, alone).await?;
            let mark = tx.mark();
            let result = attempt(&mut **job, &mut tx).await;
            results.jobs.push(settle(&mut tx, mark, alone, result).await?);
        }
        if !group.probes.is_empty() {
            next(&mut tx, &mut first, alone).await?;
            let mark = tx.mark();
            let result = probe(&mut tx).await;
            results.probe = Some(settle(&mut tx, mark, alone, result).await?);
        }
        let nothing_to_keep = alone && results.failed();
        tx.steer(if nothing_to_keep { "ROLLBACK" } else { "COMMIT" }).await?;
        let (wakes, notices) = tx.into_wakes();
        fire(&self.shared, wakes, notices);
        Ok(results)
    }

    /// Lets the connection go: its transaction may be half done.
    async fn give_up(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            // It may be over already.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut conn).await;
            let _ = conn.close().await;
        }
    }

    async fn close(self) {
        let Self { conn, readers, lock, .. } = self;
        readers.close().await;
        if let Some(mut conn) = conn {
            for sql in ["PRAGMA optimize", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                if let Err(error) = sqlx::raw_sql(sql).execute(&mut conn).await {
                    tracing::warn!(%error, "the database was not tidied before closing; the next start does it");
                }
            }
            if let Err(error) = conn.close().await {
                tracing::warn!(%error, "the database did not close cleanly; the next start mends it");
            }
        }
        // Last, so that the next process finds the files closed.
        drop(lock);
    }

    #[cfg(test)]
    async fn set(&mut self, settings: Vec<(&'static str, Answer)>) {
        for (sql, answer) in settings {
            let result = match &mut self.conn {
                Some(conn) => sqlx::raw_sql(sql).execute(conn).await.map(drop).map_err(StoreError::from),
                None => Err(StoreError::Closed),
            };
            let _ = answer.send(result);
        }
    }
}

impl Results {
    fn failed(&self) -> bool {
        self.jobs.iter().chain(&self.intake).chain(&self.probe).any(Result::is_err)
    }
}

/// Closes the last step's savepoint and opens the next one's in the same breath; the first of a group finds it open.
async fn next(tx: &mut SqliteTx<'_>, first: &mut bool, alone: bool) -> Got<()> {
    if std::mem::replace(first, false) || alone { Ok(()) } else { tx.steer("RELEASE step; SAVEPOINT step").await }
}

/// Undoes a step that failed. `Err`: the whole transaction is lost.
async fn settle(tx: &mut SqliteTx<'_>, mark: (usize, usize), alone: bool, result: Got<()>) -> Got<Got<()>> {
    if let Some(error) = tx.gone() {
        return Err(error);
    }
    if result.is_err() {
        tx.unwake(mark);
        if !alone {
            tx.steer("ROLLBACK TO step").await?;
        }
    }
    Ok(result)
}

async fn probe(tx: &mut SqliteTx<'_>) -> Got<()> {
    tx.run(sqlx::query("INSERT INTO probe DEFAULT VALUES")).await?;
    tx.run(sqlx::query("DELETE FROM probe")).await?;
    Ok(())
}

/// Counts a transaction by its name.
pub(super) fn count(name: &'static str, kind: &'static str, result: &Got<()>) {
    let outcome = if result.is_ok() { "ok" } else { "failed" };
    metrics::counter!("wicketgate_store_transactions_total", "name" => name, "kind" => kind, "outcome" => outcome).increment(1);
}
