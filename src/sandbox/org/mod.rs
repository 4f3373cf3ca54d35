//! A stand-in Salesforce org: OAuth, REST, queries, outbound messages, and a page for its human agent.
//!
//! The flow of a call: `http` reads it, meets faults, checks session and allowance, then hands it to `rest`, which works
//! on the `state` under its lock; `save` is the one way into a record. A save by a user with *Send Outbound Messages*
//! puts notifications into `outbound`, and `delivery` carries them after the lock is free, so a rolled-back save sends
//! nothing.
//!
//! Calls with the integration user's token act as that user, who has no right to send messages. People act through
//! [`OrgHandle`] or the page at `/`.
//!
//! Traps. Stamps have whole seconds. Everything is forgotten when it stops.

mod auth;
mod delivery;
mod errors;
mod faults;
mod handle;
mod http;
mod ids;
mod objects;
mod outbound;
mod pages;
mod query;
mod rest;
mod save;
mod schema;
mod settings;
mod setup;
mod soql;
mod state;
mod usage;
mod values;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{App, HttpServer, middleware::Compress, web};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use errors::ApiError;
pub use faults::{Fault, FaultKind, Matcher};
pub use handle::OrgHandle;
pub use ids::to_18;
pub use outbound::{Delivery, OutboundMessage};
pub use schema::{Choice, Field, Kind, ObjectType};
pub use settings::{Automation, DeletedForm, LimitHeader, OrgSettings, OutboundSettings};
pub use usage::LoggedCall;

use super::wire::Caller;
use crate::{clock::Clock, lifecycle::Lifecycle};

/// What all parts of a running org share.
pub(super) struct Shared {
    state: Mutex<state::State>,
    pub(super) clock: Arc<dyn Clock>,
    /// Something may be due for delivery.
    wake: Notify,
}

impl Shared {
    /// The state. A panic under the lock leaves a half-done save at worst, which a sandbox may show.
    fn lock(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stand-in org.
#[derive(Debug)]
pub struct Org;

/// A running org; it stops when [`Running::stop`] is called or this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it is reached, without a slash at the end.
    pub url: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// People, faults, counters.
    pub handle: OrgHandle,
    server: actix_web::dev::ServerHandle,
    stop: CancellationToken,
}

impl Running {
    /// Stops listening and delivering.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.server.stop(false).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        // The stop command is sent at once; nobody waits for its end here.
        drop(self.server.stop(false));
    }
}

impl Org {
    /// Starts an org. Fails where the address is taken or an outgoing client cannot be made.
    pub async fn start(settings: OrgSettings, clock: Arc<dyn Clock>) -> std::io::Result<Running> {
        let wanted = settings.addr;
        let key = settings.jwt_public_key.as_deref().map(|key| jsonwebtoken::DecodingKey::from_rsa_pem(key.as_bytes()));
        if let Some(Err(error)) = key {
            let why = format!("the key for JWT logins is no RSA certificate or public key in PEM: {error}");
            return Err(std::io::Error::other(why));
        }
        let caller = Caller::new()?;
        let state = state::State::new(settings, clock.clone());
        let shared = Arc::new(Shared { state: Mutex::new(state), clock, wake: Notify::new() });
        let data = web::Data::from(shared.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(http::LARGEST_BODY))
                .wrap(Compress::default())
                .configure(pages::routes)
                .configure(setup::routes)
                .default_service(web::route().to(http::any))
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
        tokio::spawn(delivery::run(shared.clone(), caller, stop.clone()));
        Ok(Running { url, addr, handle: OrgHandle::new(shared), server: control, stop })
    }
}

/// Runs an org until the lifecycle stops, and prints where it is and what to configure.
pub async fn run_org(settings: OrgSettings, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> std::io::Result<()> {
    let known = settings.clone();
    let running = Org::start(settings, clock).await?;
    println!("{}", setup::instructions(&running.url, &known));
    lifecycle.stopping().await;
    running.stop().await;
    Ok(())
}
