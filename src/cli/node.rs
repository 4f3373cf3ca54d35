//! `wicketgate serve` and `wicketgate relay`.

use std::path::PathBuf;

use super::wiring;
use crate::config::{Config, Role};

/// Arguments of `serve` and `relay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, a TOML file; see config/ for samples
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the key file of the data folder is lost for good: forget what was sealed with it
    #[arg(long)]
    forget_sealed: bool,
}

impl Args {
    pub(super) async fn serve(self) -> anyhow::Result<()> {
        wiring::serve(Config::load(&self.config, environment(), Role::Public)?, self.forget_sealed).await
    }

    pub(super) async fn relay(self) -> anyhow::Result<()> {
        wiring::relay(Config::load(&self.config, environment(), Role::Private)?, self.forget_sealed).await
    }
}

/// The environment; variables that are no text cannot be ours.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}
