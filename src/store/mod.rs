//! What is kept on disk: one transaction object with a method per noun's need, leases on work, and wake-ups.
//!
//! The flow of a write. Callers hand [`Store::write`] a named closure. One writer task takes all closures that wait,
//! runs them in one transaction (each in its own savepoint, so that one that fails undoes only itself), commits once
//! with full sync, and only then answers them all. So a write costs a share of a sync, and whoever sees `Ok` knows that
//! it is on disk. Reads go to a pool of their own.
//!
//! Traps. Never await a network inside a closure: everybody waits for it. A closure's wake-ups
//! ([`Tx::wake`]) fire after the commit, never before. Leases are not on disk: one process owns a SQLite file (it
//! holds a lock on the data folder), so a crash gives all leases back by itself.
//!
//! To add a noun: its table in `migrations/`, its methods on [`Tx`], and a behaviour test in `tests` beside this file,
//! written against the trait. SQL stays in `sqlite`.

pub mod keyfile;
mod leases;
pub mod rows;
mod sqlite;
mod tx;
mod wakes;

#[cfg(test)]
mod tests;

use std::{future::Future, path::Path, pin::Pin, sync::Arc};

use async_trait::async_trait;

pub use leases::{Lease, LeaseKey, Leases};
pub use tx::Tx;
pub use wakes::{Notice, Taker, Topic, Wakes};

use crate::{clock::Clock, domain::change::NewChange, secret::Sealer};

/// What a transaction's closure gives back.
pub type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

/// The store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, the file is read-only, the database is gone: it may heal by itself.
    #[error("the database cannot be written: {0}")]
    Unavailable(String),
    /// A unique name or key is taken.
    #[error("already there: {0}")]
    Taken(String),
    /// A sealed value does not open.
    #[error(transparent)]
    Seal(#[from] crate::secret::SealError),
    /// The database holds what this program does not understand, or a statement is wrong.
    #[error("the database answered unexpectedly: {0}")]
    Broken(String),
    /// A page was asked for after a place that no page of this list named.
    #[error("is not one that this node gave for this list; begin again without it")]
    NoPlace,
    /// Another process uses the data folder.
    #[error("another process uses the data folder {0}; stop it first")]
    InUse(String),
    /// The node is stopping.
    #[error("the store is closed")]
    Closed,
}

/// A write that waits for its transaction.
#[async_trait]
pub trait Job: Send {
    /// Runs inside the transaction.
    async fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError>;
    /// Told after the commit, or with what went wrong.
    fn finish(self: Box<Self>, result: Result<(), StoreError>);
}

/// A database.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Runs a job in a write transaction, perhaps together with others; `name` goes to metrics.
    async fn write(&self, name: &'static str, job: Box<dyn Job>);
    /// Runs a job in a read transaction; what it writes fails.
    async fn read(&self, name: &'static str, job: Box<dyn Job>);
    /// Runs a job of one statement: no transaction stands around it.
    async fn read_one(&self, name: &'static str, job: Box<dyn Job>);
    /// Stores changes: those that arrive while one commit syncs share the next, in one statement. Changes whose notice
    /// id is known are passed over. Answers after the commit.
    async fn add_changes(&self, changes: Vec<NewChange>) -> Result<(), StoreError>;
    /// Writes and removes a row: `Err` says why nothing can be accepted now.
    async fn probe(&self) -> Result<(), StoreError>;
    /// Finishes what waits and closes the files.
    async fn close(&self);
}

/// The handle that everybody holds.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    wakes: Arc<Wakes>,
    leases: Arc<Leases>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens by URL (`sqlite:NAME` is relative to the data folder), locks the folder, and migrates.
    pub async fn open(url: &str, data_dir: &Path, sealer: Arc<Sealer>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let wakes = Arc::new(Wakes::default());
        let leases = Arc::new(Leases::new(wakes.clone()));
        let Some(name) = url.strip_prefix("sqlite:") else {
            return Err(StoreError::Broken(format!("`{url}`: a store begins with sqlite:")));
        };
        let backend = sqlite::open(name, data_dir, sealer, clock, wakes.clone()).await?;
        Ok(Self { backend, wakes, leases })
    }

    /// Whether a database is there already.
    pub fn is_there(url: &str, data_dir: &Path) -> bool {
        url.strip_prefix("sqlite:").is_some_and(|name| data_dir.join(name).try_exists().unwrap_or(false))
    }

    /// Runs `work` in a write transaction and answers after the commit.
    pub async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> Work<'t, T> + Send + 'static,
    {
        let (job, answer) = Closure::boxed(work);
        self.backend.write(name, job).await;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `work` on a consistent view.
    pub async fn read<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> Work<'t, T> + Send + 'static,
    {
        let (job, answer) = Closure::boxed(work);
        self.backend.read(name, job).await;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `work`, which asks one thing: two would not see the same moment.
    pub async fn read_one<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut dyn Tx) -> Work<'t, T> + Send + 'static,
    {
        let (job, answer) = Closure::boxed(work);
        self.backend.read_one(name, job).await;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// See [`Backend::add_changes`].
    pub async fn add_changes(&self, changes: Vec<NewChange>) -> Result<(), StoreError> {
        self.backend.add_changes(changes).await
    }

    /// See [`Backend::probe`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.backend.probe().await
    }

    /// See [`Backend::close`].
    pub async fn close(&self) {
        self.backend.close().await;
    }

    /// Who is woken by what.
    pub fn wakes(&self) -> &Arc<Wakes> {
        &self.wakes
    }

    /// Who works on what.
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }
}

struct Closure<T, F> {
    work: Option<F>,
    value: Option<T>,
    answer: tokio::sync::oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Closure<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut dyn Tx) -> Work<'t, T> + Send + 'static,
{
    fn boxed(work: F) -> (Box<dyn Job>, tokio::sync::oneshot::Receiver<Result<T, StoreError>>) {
        let (answer, receive) = tokio::sync::oneshot::channel();
        (Box::new(Self { work: Some(work), value: None, answer }), receive)
    }
}

#[async_trait]
impl<T, F> Job for Closure<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut dyn Tx) -> Work<'t, T> + Send + 'static,
{
    async fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Err(StoreError::Closed) };
        self.value = Some(work(tx).await?);
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { value, answer, .. } = *self;
        // The caller may have been cancelled; the work stands all the same.
        let _ = answer.send(result.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}
