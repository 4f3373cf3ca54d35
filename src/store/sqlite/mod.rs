//! SQLite behind the store: one file, one writer, many readers.
//!
//! The flow. [`open`] locks the data folder, opens the writer's connection, migrates, and starts the writer's task
//! ([`writer`]), which alone writes. Readers share a pool that cannot write. [`tx`] is the transaction that both hand to
//! jobs; each noun's SQL stands in a file of its own, as functions of the transaction.
//!
//! Traps. Every statement is a hop to the connection's thread (some 50 µs), so what comes in numbers goes in one
//! statement: lists travel as one JSON array that `json_each` opens. A statement that failed for want of disk may have
//! ended the whole transaction behind our back; the transaction remembers that and refuses all that follows, or later
//! statements would be committed one by one. A bare parameter after `LIMIT` makes SQLite plan the statement anew at each
//! run (`LIMIT $3 + 0` does not), and a join with `json_each` may be walked from the wrong end: `tests` looks at the plans.
//!
//! To add a noun: its table in a new migration (listed in [`MIGRATIONS`]), its functions in a file here, and a line for
//! each in [`methods`].

mod admin;
mod changes;
mod columns;
mod connections;
mod errors;
mod figures;
mod history;
mod inbox;
mod jobs;
mod joining;
mod journal;
mod methods;
mod outbox;
mod pauses;
mod people;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod twins;
mod tx;
mod writer;

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    Connection as _, SqlSafeStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use super::{Backend, Job, StoreError, Wakes};
use crate::{clock::Clock, domain::change::NewChange, secret::Sealer};
use writer::Command;

/// Number, name and text of a migration.
type SqlMigration = (i64, &'static str, &'static str);

/// All, in order.
const MIGRATIONS: &[SqlMigration] = &[
    (1, "first", include_str!("../../../migrations/sqlite/0001_first.sql")),
    (2, "rule versions", include_str!("../../../migrations/sqlite/0002_rule_versions.sql")),
    (3, "journal", include_str!("../../../migrations/sqlite/0003_journal.sql")),
    (4, "jobs", include_str!("../../../migrations/sqlite/0004_jobs.sql")),
    (5, "pauses", include_str!("../../../migrations/sqlite/0005_pauses.sql")),
    (6, "people", include_str!("../../../migrations/sqlite/0006_people.sql")),
    (7, "lookups age", include_str!("../../../migrations/sqlite/0007_lookups_age.sql")),
    (8, "figures", include_str!("../../../migrations/sqlite/0008_figures.sql")),
];

/// Commands that may wait before callers are held back.
const QUEUE: usize = 1024;
/// Readers at a time: more would only take turns on the same cores.
const READERS: u32 = 4;

/// What every transaction needs.
struct Shared {
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    wakes: Arc<Wakes>,
    /// There may be rows about what rules asked (see [`journal`]).
    asked: AtomicBool,
}

impl Shared {
    fn new(sealer: Arc<Sealer>, clock: Arc<dyn Clock>, wakes: Arc<Wakes>) -> Self {
        Self { sealer, clock, wakes, asked: AtomicBool::new(true) }
    }
}

struct Sqlite {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    readers: SqlitePool,
}

pub(super) async fn open(
    name: &str,
    data_dir: &Path,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    wakes: Arc<Wakes>,
) -> Result<Arc<dyn Backend>, StoreError> {
    let shared = Arc::new(Shared::new(sealer, clock, wakes));
    Ok(Arc::new(Sqlite::open(name, data_dir, shared).await?))
}

impl Sqlite {
    async fn open(name: &str, data_dir: &Path, shared: Arc<Shared>) -> Result<Self, StoreError> {
        if name.is_empty() {
            return Err(StoreError::Broken("`sqlite:` names no file; write sqlite:NAME".to_owned()));
        }
        let lock = lock(data_dir)?;
        let file = data_dir.join(name);
        make(&file)?;
        let options = options(&file);
        let mut writer = sqlx::SqliteConnection::connect_with(&options).await?;
        migrate(&mut writer, MIGRATIONS).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            // A local file does not go away between two reads.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            // What writes by mistake in a read fails instead of waiting for the writer's lock.
            .connect_with(options.clone().pragma("query_only", "ON"))
            .await?;
        let (commands, queue) = mpsc::channel(QUEUE);
        tokio::spawn(writer::Writer::new(options, writer, shared.clone(), readers.clone(), lock).run(queue));
        Ok(Self { shared, commands, readers })
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Command) -> Result<(), StoreError> {
        let (answer, receive) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| StoreError::Closed)?;
        receive.await.unwrap_or(Err(StoreError::Closed))
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn write(&self, name: &'static str, job: Box<dyn Job>) {
        if let Err(refused) = self.commands.send(Command::Job(name, job)).await
            && let Command::Job(_, job) = refused.0
        {
            job.finish(Err(StoreError::Closed));
        }
    }

    async fn read(&self, name: &'static str, mut job: Box<dyn Job>) {
        let result = tx::read(&self.readers, &self.shared, &mut *job).await;
        writer::count(name, "read", &result);
        job.finish(result);
    }

    async fn read_one(&self, name: &'static str, mut job: Box<dyn Job>) {
        let result = tx::read_one(&self.readers, &self.shared, &mut *job).await;
        writer::count(name, "read", &result);
        job.finish(result);
    }

    async fn add_changes(&self, changes: Vec<NewChange>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.ask(|answer| Command::Changes(changes, answer)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.ask(Command::Probe).await
    }

    async fn close(&self) {
        // A second close finds the writer gone: nothing is left to do.
        let _ = self.ask(Command::Close).await;
    }
}

/// Takes the data folder for this process, and makes it at first start.
fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let shown = data_dir.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|error| StoreError::Unavailable(format!("the data folder {shown} cannot be made: {error}")))?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data_dir.join("lock"))
        .map_err(|error| StoreError::Unavailable(format!("the lock file in {shown} cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(shown.to_string())),
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Unavailable(format!("the lock file in {shown} cannot be locked: {error}")))
        }
    }
}

/// Makes the database file for its owner alone; SQLite gives the files beside it the same rights. Only before SQLite
/// opens it: closing another handle of a file drops the locks that this process has on it (POSIX).
fn make(file: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| StoreError::Unavailable(format!("the database {} cannot be opened: {error}", file.display())))
}

/// How every connection is opened, each setting with its reason.
fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        // Readers do not wait for the writer, and a commit is one append with one sync.
        .journal_mode(SqliteJournalMode::Wal)
        // What is committed is on disk: with NORMAL a power cut would take back what was acknowledged.
        .synchronous(SqliteSynchronous::Full)
        // A backup or a person's shell may hold the file for a moment.
        .busy_timeout(Duration::from_secs(5))
        // No table refers by constraint (an event may name a twin that is not there yet): nothing to check.
        .foreign_keys(false)
        // After a burst the log is cut back to this on the next checkpoint instead of keeping its largest size.
        .pragma("journal_size_limit", "67108864")
        // Checkpoints every 16 MB instead of 4: fewer syncs of the main file under load.
        .pragma("wal_autocheckpoint", "4000")
        // 32 MB of pages in memory (the number is KiB, negative by SQLite's custom).
        .pragma("cache_size", "-32768")
        // Sorting and temporary sets stay in memory.
        .pragma("temp_store", "MEMORY")
        // Statements are few and static: keep all prepared.
        .statement_cache_capacity(256)
        // Rows and commands wait here between the connection's thread and ours: fewer wake-ups for long answers.
        .row_buffer_size(512)
        .command_buffer_size(64)
}

async fn migrate(conn: &mut sqlx::SqliteConnection, migrations: &[SqlMigration]) -> Result<(), StoreError> {
    let list = migrations
        .iter()
        .map(|&(number, name, sql)| Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false))
        .collect();
    Migrator::with_migrations(list).run_direct(None, conn, false).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => error.into(),
        sqlx::migrate::MigrateError::VersionMissing(number) => {
            StoreError::Broken(format!("migration {number} is not known: a newer version has used this data folder"))
        }
        error => StoreError::Broken(format!("migrations: {error}")),
    })
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(told) => {
                let code = told.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff;
                match code {
                    _ if told.is_unique_violation() => Self::Taken(told.message().to_owned()),
                    // PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN (sqlite.org/rescode.html).
                    3 | 5 | 6 | 7 | 8 | 10 | 13 | 14 => Self::Unavailable(told.message().to_owned()),
                    _ => Self::Broken(told.message().to_owned()),
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}
