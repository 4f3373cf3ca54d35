//! Wicketgate keeps records in step between a Salesforce org and a tracker that may sit behind a firewall.
//!
//! `docs/ARCHITECTURE.md` tells which room a line belongs to; `tests/it/architecture.rs` holds the layers to it.

/// What strangers may send: the properties and the tests beside the crate draw from the same.
#[cfg(test)]
#[path = "../tests/it/support/anything.rs"]
mod anything;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http_client;
pub mod lifecycle;
pub mod link;
pub mod retry;
pub mod rules;
pub mod salesforce;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod trackers;
