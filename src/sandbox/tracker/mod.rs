//! A simple tracker that speaks the `webhook` contract: it takes signed writes, answers reads, and tells a node of every
//! change by a signed hook.
//!
//! The flow: `http` verifies a write, gives it to the `book` (which knows repeats by their `webhook-id` and answers them
//! as the first time), and the book queues a hook. `hooks` sends them one after another, each until it is taken, with the
//! same id and body at every try. People change records through [`TrackerHandle`] or the page at `/`.
//!
//! A node's configuration for it: `url` and `read_url` are both `{url}/entities`.
//!
//! Traps. Like many real systems it tells of our own writes too (`echo`), often before the answer to them arrives.

mod book;
mod faults;
mod handle;
mod hooks;
mod http;
mod pages;
mod signature;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{App, HttpServer, middleware::Compress, web};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use book::{Entity, Received};
pub use faults::{TrackerFault, TrackerFaultKind};
pub use handle::TrackerHandle;

use super::wire::Caller;
use crate::{clock::Clock, lifecycle::Lifecycle, secret::Secret};

/// Where changes are told.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The node's door for this tracker.
    pub url: String,
    /// `whsec_…`
    pub secret: Secret,
}

/// Everything that may be chosen.
#[derive(Clone, Debug)]
pub struct TrackerSettings {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// `whsec_…`: who writes here signs with it.
    pub secret: Secret,
    /// Where changes are told; can be set later.
    pub hook: Option<Hook>,
    /// Changes that came by a signed write are told too.
    pub echo: bool,
    /// Texts are trimmed and numbers rounded to two places when they are written.
    pub tidies: bool,
    /// First pause before a hook is sent again; doubles up to sixty times this.
    pub retry: Duration,
    /// The word for its records.
    pub entity_type: String,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret: Secret::new("whsec_c2FuZGJveC10cmFja2VyLXNlY3JldC0wMDAwMDE="),
            hook: None,
            echo: true,
            tidies: false,
            retry: Duration::from_secs(1),
            entity_type: "issue".to_owned(),
        }
    }
}

struct Shared {
    book: Mutex<book::Book>,
    clock: Arc<dyn Clock>,
    wake: Notify,
}

impl Shared {
    /// The book. A panic under the lock leaves a half-done write at worst, which a sandbox may show.
    fn lock(&self) -> MutexGuard<'_, book::Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A simple tracker.
#[derive(Debug)]
pub struct SandboxTracker;

/// A running tracker; it stops when [`RunningTracker::stop`] is called or this is dropped.
#[derive(Debug)]
pub struct RunningTracker {
    /// Where it is reached, without a slash at the end.
    pub url: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// People, faults, counters.
    pub handle: TrackerHandle,
    server: actix_web::dev::ServerHandle,
    stop: CancellationToken,
}

impl RunningTracker {
    /// Where a node sends entities, and reads them: `url` and `read_url` of its configuration.
    pub fn entities_url(&self) -> String {
        format!("{}/entities", self.url)
    }

    /// Stops listening and telling.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.server.stop(false).await;
    }
}

impl Drop for RunningTracker {
    fn drop(&mut self) {
        self.stop.cancel();
        // The stop command is sent at once; nobody waits for its end here.
        drop(self.server.stop(false));
    }
}

impl SandboxTracker {
    /// Starts a tracker. Fails where the address is taken or an outgoing client cannot be made.
    pub async fn start(settings: TrackerSettings, clock: Arc<dyn Clock>) -> std::io::Result<RunningTracker> {
        let wanted = settings.addr;
        let caller = Caller::new()?;
        let book = Mutex::new(book::Book::new(settings, clock.clone()));
        let shared = Arc::new(Shared { book, clock, wake: Notify::new() });
        let data = web::Data::from(shared.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(http::LARGEST_BODY))
                .wrap(Compress::default())
                .configure(http::routes)
                .configure(pages::routes)
        })
        .workers(2)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(wanted)?;
        let addr = server.addrs().first().copied().unwrap_or(wanted);
        let url = format!("http://{addr}");
        shared.lock().url.clone_from(&url);
        let server = server.run();
        let control = server.handle();
        tokio::spawn(server);
        let stop = CancellationToken::new();
        tokio::spawn(hooks::run(shared.clone(), caller, stop.clone()));
        Ok(RunningTracker { url, addr, handle: TrackerHandle::new(shared), server: control, stop })
    }
}

/// Runs a tracker until the lifecycle stops, and prints where it is.
pub async fn run_tracker(settings: TrackerSettings, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> std::io::Result<()> {
    let secret = settings.secret.clone();
    let running = SandboxTracker::start(settings, clock).await?;
    println!(
        "Sandbox tracker at {}\nIts issues: {}/\nurl       {2}\nread_url  {2}\nsecret    {3}",
        running.url,
        running.url,
        running.entities_url(),
        secret.expose()
    );
    lifecycle.stopping().await;
    running.stop().await;
    Ok(())
}
