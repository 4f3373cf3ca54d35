//! The transaction on SQLite: what all nouns' files share.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use sqlx::{
    Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::Shared;
use crate::{
    clock::Time,
    secret::{Place, Secret},
    store::{Job, Notice, StoreError, Topic},
};

pub(super) type Got<T> = Result<T, StoreError>;
pub(super) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A transaction under way.
pub(super) struct SqliteTx<'c> {
    conn: &'c mut SqliteConnection,
    pub(super) shared: &'c Shared,
    wakes: Vec<Topic>,
    notices: Vec<Notice>,
    /// A statement failed so that SQLite may have ended the transaction: nothing more may run in it.
    gone: Option<StoreError>,
}

impl<'c> SqliteTx<'c> {
    pub(super) fn new(conn: &'c mut SqliteConnection, shared: &'c Shared) -> Self {
        Self { conn, shared, wakes: Vec::new(), notices: Vec::new(), gone: None }
    }

    /// Why the transaction cannot go on, if so.
    pub(super) fn gone(&self) -> Option<StoreError> {
        self.gone.clone()
    }

    /// See [`crate::store::Tx::wake`].
    pub(super) fn add_wake(&mut self, topic: Topic) {
        self.wakes.push(topic);
    }

    /// See [`crate::store::Tx::tell`].
    pub(super) fn add_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// How far wake-ups and notices go, to go back to with [`Self::unwake`].
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.wakes.len(), self.notices.len())
    }

    /// Takes back wake-ups and notices of a job that failed.
    pub(super) fn unwake(&mut self, mark: (usize, usize)) {
        self.wakes.truncate(mark.0);
        self.notices.truncate(mark.1);
    }

    /// What to fire after the commit.
    pub(super) fn into_wakes(self) -> (Vec<Topic>, Vec<Notice>) {
        (self.wakes, self.notices)
    }

    fn check<T>(&mut self, result: Result<T, sqlx::Error>) -> Got<T> {
        result.map_err(|error| {
            let error = StoreError::from(error);
            if matches!(error, StoreError::Unavailable(_)) {
                self.gone = Some(error.clone());
            }
            error
        })
    }

    fn alive(&self) -> Got<()> {
        self.gone.clone().map_or(Ok(()), Err)
    }

    /// Steers the transaction itself; also when it is gone.
    pub(super) async fn steer(&mut self, sql: &'static str) -> Got<()> {
        let result = sqlx::raw_sql(sql).execute(&mut *self.conn).await;
        self.check(result).map(drop)
    }

    /// Runs a statement; how many rows it touched.
    pub(super) async fn run(&mut self, query: Query<'_>) -> Got<u64> {
        self.alive()?;
        let result = query.execute(&mut *self.conn).await;
        self.check(result).map(|done| done.rows_affected())
    }

    /// All rows.
    pub(super) async fn all(&mut self, query: Query<'_>) -> Got<Vec<SqliteRow>> {
        self.alive()?;
        let result = query.fetch_all(&mut *self.conn).await;
        self.check(result)
    }

    /// All rows, read each.
    pub(super) async fn each<T>(&mut self, query: Query<'_>, read: impl Fn(&SqliteRow) -> Got<T>) -> Got<Vec<T>> {
        self.all(query).await?.iter().map(read).collect()
    }

    /// The one row, if there is one.
    pub(super) async fn one<T>(&mut self, query: Query<'_>, read: impl FnOnce(&SqliteRow) -> Got<T>) -> Got<Option<T>> {
        self.alive()?;
        let result = query.fetch_optional(&mut *self.conn).await;
        self.check(result)?.as_ref().map(read).transpose()
    }

    /// Rows in order as long as `take` says so; what follows is not read.
    pub(super) async fn some<T>(
        &mut self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Got<T>,
        mut take: impl FnMut(&T) -> bool,
    ) -> Got<Vec<T>> {
        use futures_util::TryStreamExt;
        self.alive()?;
        let mut taken = Vec::new();
        let ended = {
            let mut rows = query.fetch(&mut *self.conn);
            loop {
                match rows.try_next().await {
                    Ok(Some(row)) => {
                        let item = read(&row)?;
                        if !take(&item) {
                            break Ok(());
                        }
                        taken.push(item);
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        };
        self.check(ended)?;
        Ok(taken)
    }

    /// The hour now.
    pub(super) fn now(&self) -> Time {
        self.shared.clock.now()
    }

    pub(super) fn seal(&self, place: Place<'_>, secret: &Secret) -> Vec<u8> {
        let mut nonce = [0u8; 12];
        self.shared.clock.random(&mut nonce);
        self.shared.sealer.seal(place, nonce, secret.expose().as_bytes())
    }

    pub(super) fn unseal(&self, place: Place<'_>, sealed: &[u8]) -> Got<Secret> {
        let bytes = self.shared.sealer.open(place, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::Broken("a secret is no text".to_owned()))?;
        Ok(Secret::new(text))
    }
}

/// Runs a job on a consistent view.
pub(super) async fn read(readers: &SqlitePool, shared: &Shared, job: &mut dyn Job) -> Got<()> {
    if readers.is_closed() {
        return Err(StoreError::Closed);
    }
    let mut view = readers.begin().await?;
    let mut tx = SqliteTx::new(&mut view, shared);
    let result = attempt(job, &mut tx).await;
    let (wakes, notices) = tx.into_wakes();
    drop(view);
    if result.is_ok() {
        fire(shared, wakes, notices);
    }
    result
}

/// Runs a job of one statement.
pub(super) async fn read_one(readers: &SqlitePool, shared: &Shared, job: &mut dyn Job) -> Got<()> {
    if readers.is_closed() {
        return Err(StoreError::Closed);
    }
    let mut connection = readers.acquire().await?;
    attempt(job, &mut SqliteTx::new(&mut connection, shared)).await
}

/// Runs a job; one that panics has failed.
pub(super) async fn attempt(job: &mut dyn Job, tx: &mut SqliteTx<'_>) -> Got<()> {
    AssertUnwindSafe(job.run(tx))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(StoreError::Broken("the work on the database panicked".to_owned())))
}

/// Tells everybody.
pub(super) fn fire(shared: &Shared, mut wakes: Vec<Topic>, notices: Vec<Notice>) {
    let mut told = std::collections::HashSet::new();
    wakes.retain(|topic| told.insert(topic.clone()));
    for topic in wakes {
        shared.wakes.wake(topic);
    }
    for notice in notices {
        shared.wakes.tell(notice);
    }
}
