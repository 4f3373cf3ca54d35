//! `wicketgate sandbox`.

use std::net::SocketAddr;

use super::wiring;

/// Arguments of `sandbox`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A simulated Salesforce org
    Org {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
    /// A simulated tracker that speaks Standard Webhooks
    Tracker {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:8091")]
        listen: SocketAddr,
    },
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Org { listen } => wiring::sandbox_org(listen).await,
            What::Tracker { listen } => wiring::sandbox_tracker(listen).await,
        }
    }
}
