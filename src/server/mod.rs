//! Assembly of the doors: mounting, listeners, health, orderly close.
//!
//! Stopping. At the soft signal listeners close, held requests are answered by whoever holds them (each waits on
//! [`Lifecycle::stopping`](crate::lifecycle::Lifecycle)), running ones get [`GRACE`], then connections are cut.

pub mod api;
pub mod console;
mod health;
pub mod hooks;
mod inside;
pub mod kit;
pub mod link;
mod listener;
#[cfg(test)]
mod tests;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, middleware::from_fn, web};

pub use kit::settings::{ApiSettings, NodeSettings, TlsSettings};
use kit::{Node, shell};
pub use tls::TlsError;

/// How long running requests may take to end once the node stops.
const GRACE: Duration = Duration::from_secs(3);
/// Longer than proxies in front keep theirs, so that they never write into a connection that we just closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How often quiet callers are forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The doors could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Address(SocketAddr, std::io::Error),
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Doors that are open.
#[derive(Clone, Debug)]
pub struct Running {
    /// Where the doors listen, in the order of the configuration; port 0 has become a real one.
    pub addrs: Vec<SocketAddr>,
    /// Where `/metrics` listens by itself.
    pub metrics_addr: Option<SocketAddr>,
}

/// Opens the doors of a node. They close when its lifecycle stops; `Lifecycle::finish` waits for that.
///
/// `default_listen` stands where the configuration names no address.
pub fn bind(settings: &NodeSettings, default_listen: SocketAddr, node: &Arc<Node>) -> Result<Running, BindError> {
    let addresses = if settings.listen.is_empty() { vec![default_listen] } else { settings.listen.clone() };
    let own_metrics = settings.metrics_listen.is_some();
    let tls = settings.tls.as_ref().map(|tls| tls::config(tls, node)).transpose()?;

    let data = web::Data::from(node.clone());
    let link_data = web::Data::new(node.link.clone());
    let within = node.clone();
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(inside::Within::of(within.clone()))
            .app_data(data.clone())
            .app_data(link_data.clone())
            .app_data(console::path_config())
            .app_data(console::query_config())
            .wrap(from_fn(shell::shell))
            .configure(|config| mount(config, own_metrics))
    })
    .workers(workers(settings))
    .keep_alive(KEEP_ALIVE)
    // A caller that closes its half has gone: whoever holds its request learns so at once.
    .h1_allow_half_closed(false)
    .shutdown_timeout(GRACE.as_secs())
    .disable_signals();
    let mut addrs = Vec::new();
    for address in addresses {
        let bound = listener::open(address).and_then(|listener| match &tls {
            Some(config) => server.listen_rustls_0_23(listener, config.clone()),
            None => server.listen(listener),
        });
        server = bound.map_err(|error| BindError::Address(address, error))?;
        addrs.extend(server.addrs().last().copied());
    }
    if let Some(first) = addrs.first() {
        node.listens_on(*first, tls.is_some());
    }
    let metrics = settings.metrics_listen.map(|address| bind_metrics(address, node)).transpose()?;
    run(node, "server", server.run());
    let metrics_addr = metrics.map(|(server, address)| {
        run(node, "server.metrics", server);
        address
    });
    forget_quiet(node);
    Ok(Running { addrs, metrics_addr })
}

/// All doors. `/metrics` is among them unless it has a listener of its own.
pub fn mount(config: &mut web::ServiceConfig, own_metrics: bool) {
    config
        .configure(health::routes)
        .configure(hooks::routes)
        .configure(api::routes)
        .configure(link::routes)
        .configure(console::routes);
    if !own_metrics {
        config.configure(health::guarded_metrics);
    }
}

fn workers(settings: &NodeSettings) -> usize {
    let cores = || std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    settings.workers.unwrap_or_else(cores).max(1)
}

fn bind_metrics(address: SocketAddr, node: &Arc<Node>) -> Result<(actix_web::dev::Server, SocketAddr), BindError> {
    let data = web::Data::from(node.clone());
    let server =
        HttpServer::new(move || App::new().app_data(data.clone()).wrap(from_fn(shell::shell)).configure(health::open_metrics))
            .workers(1)
            .shutdown_timeout(1)
            .disable_signals()
            .bind(address)
            .map_err(|error| BindError::Address(address, error))?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

fn run(node: &Arc<Node>, name: &'static str, server: actix_web::dev::Server) {
    let handle = server.handle();
    let stopping = node.lifecycle.stopping();
    let lifecycle = node.lifecycle.clone();
    node.lifecycle.spawn(name, async move {
        let mut server = std::pin::pin!(server);
        let ended = tokio::select! {
            ended = &mut server => ended,
            () = stopping => {
                let (ended, ()) = tokio::join!(server, handle.stop(true));
                ended
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a listener ended");
        }
        // Without its doors a node is of no use: the others end too.
        lifecycle.stop();
    });
}

fn forget_quiet(node: &Arc<Node>) {
    let quiet = node.clone();
    node.lifecycle.spawn("limits", async move {
        let forget = async {
            loop {
                quiet.clock.sleep(FORGET).await;
                quiet.limiter.forget_quiet();
                quiet.accounts.forget_quiet();
            }
        };
        tokio::select! { () = quiet.lifecycle.stopping() => {}, () = forget => {} }
    });
}
