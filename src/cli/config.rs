//! `wicketgate config`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{node::environment, output::Output};
use crate::{
    config::{Config, Role},
    http_client::{self, Guard, Network},
};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Checks a configuration and tells all that is wrong with it at once
    Check {
        /// The configuration, a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Which command it is for; default: `serve` where it has a public_url
        #[arg(long = "for", value_enum, value_name = "COMMAND")]
        role: Option<For>,
        /// Print the configuration as it works, defaults included and secrets masked
        #[arg(long)]
        show: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum For {
    Serve,
    Relay,
}

impl Args {
    pub(super) fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let What::Check { config: path, role, show } = self.what;
        let role = match role {
            Some(For::Serve) => Role::Public,
            Some(For::Relay) => Role::Private,
            None => Config::role_of(&std::fs::read_to_string(&path).unwrap_or_default(), environment()),
        };
        let config = Config::load(&path, environment(), role)?;
        // Certificates and proxies are proved by making the clients that need them.
        client(&config.network).context("[network]")?;
        client(&config.link.network).context("[link]")?;
        for (name, tracker) in &config.trackers {
            client(&tracker.network).with_context(|| format!("[trackers.{name}]"))?;
        }
        if show {
            return Ok(out.line(&config.effective())?);
        }
        let command = match role {
            Role::Public => "serve",
            Role::Private => "relay",
        };
        let names: Vec<&str> = config.trackers.keys().map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Ok(out.line(&format!("{}: well, for `wicketgate {command}`; trackers: {names}", path.display()))?)
    }
}

fn client(network: &Network) -> Result<(), http_client::ClientError> {
    http_client::client(network, &Guard::Operator).map(drop)
}
