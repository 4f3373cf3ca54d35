//! The commands that are the program itself rather than a call to a running node.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use crate::{
    app,
    clock::SystemClock,
    config::Config,
    lifecycle::Lifecycle,
    sandbox::{org, tracker},
    telemetry,
};

/// Runs a public node until stopped.
pub(super) async fn serve(config: Config, forget_sealed: bool) -> anyhow::Result<()> {
    telemetry::init(&config.node.log)?;
    app::run(config, forget_sealed).await
}

/// Runs a private node until stopped.
pub(super) async fn relay(config: Config, forget_sealed: bool) -> anyhow::Result<()> {
    telemetry::init(&config.node.log)?;
    app::run(config, forget_sealed).await
}

/// Plays the demo; with `check` once, telling whether all went well.
pub(super) async fn demo(check: bool) -> anyhow::Result<bool> {
    let filter = std::env::var("WICKETGATE__NODE__LOG__FILTER").unwrap_or_else(|_| "error".to_owned());
    telemetry::init(&telemetry::LogSettings { filter, ..telemetry::LogSettings::default() })?;
    app::demo::run(check).await
}

/// The API's document.
pub(super) fn openapi_json() -> anyhow::Result<String> {
    Ok(crate::server::api::document())
}

/// Runs the simulated org until stopped.
pub(super) async fn sandbox_org(settings: org::OrgSettings) -> anyhow::Result<()> {
    let life = until_interrupted();
    Ok(org::run_org(settings, Arc::new(SystemClock), &life).await?)
}

/// Runs the simulated tracker until stopped.
pub(super) async fn sandbox_tracker(listen: SocketAddr) -> anyhow::Result<()> {
    let life = until_interrupted();
    let settings = tracker::TrackerSettings { addr: listen, ..tracker::TrackerSettings::default() };
    Ok(tracker::run_tracker(settings, Arc::new(SystemClock), &life).await?)
}

fn until_interrupted() -> Lifecycle {
    let life = Lifecycle::default();
    let stop = life.clone();
    tokio::spawn(async move {
        // Without a handler for interrupts the process ends at once, which is a stop too.
        let _ = tokio::signal::ctrl_c().await;
        stop.stop();
    });
    life
}

/// Runs rules for the node that started this process.
pub(super) fn rule_worker() -> ExitCode {
    match crate::rules::worker::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::output::complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
