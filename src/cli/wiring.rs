//! The commands that are the program itself rather than a call to a running node.

use std::{net::SocketAddr, process::ExitCode};

use crate::config::Config;

fn absent<T>() -> anyhow::Result<T> {
    anyhow::bail!("not built into this program")
}

/// Runs a public node until stopped.
pub(super) async fn serve(_config: Config) -> anyhow::Result<()> {
    absent()
}

/// Runs a private node until stopped.
pub(super) async fn relay(_config: Config) -> anyhow::Result<()> {
    absent()
}

/// Plays the demo; with `check` once, telling whether all went well.
pub(super) async fn demo(_check: bool) -> anyhow::Result<bool> {
    absent()
}

/// The API's document.
pub(super) fn openapi_json() -> anyhow::Result<String> {
    absent()
}

/// Runs the simulated org until stopped.
pub(super) async fn sandbox_org(_listen: SocketAddr) -> anyhow::Result<()> {
    absent()
}

/// Runs the simulated tracker until stopped.
pub(super) async fn sandbox_tracker(_listen: SocketAddr) -> anyhow::Result<()> {
    absent()
}

/// Runs rules for the node that started this process.
pub(super) fn rule_worker() -> ExitCode {
    super::output::complain("error: not built into this program");
    ExitCode::FAILURE
}
