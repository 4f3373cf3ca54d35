//! `wicketgate sandbox`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;

use super::wiring;
use crate::sandbox::org::{self, OrgSettings, OutboundSettings};

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
        /// Certificate or public key (PEM) whose private half signs JWT logins
        #[arg(long, value_name = "FILE")]
        jwt_certificate: Option<PathBuf>,
        /// Calls that the org allows in 24 hours
        #[arg(long, default_value_t = 15_000)]
        daily_limit: u64,
        /// Divides the waits of outbound messages: with 60 a minute becomes a second
        #[arg(long, default_value_t = 1.0)]
        haste: f64,
        /// Share of acknowledged outbound messages that are sent once more, 0 to 1
        #[arg(long, default_value_t = 0.0)]
        duplicates: f64,
        /// The sign-in page says yes by itself, as the integration user
        #[arg(long)]
        auto_approve: bool,
        /// Case has no field Wicketgate_Id__c
        #[arg(long)]
        no_external_id: bool,
        /// What the org does by itself when a case is saved
        #[arg(long, value_enum, value_delimiter = ',')]
        automation: Vec<Automation>,
    },
    /// A simulated tracker that speaks Standard Webhooks
    Tracker {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:8091")]
        listen: SocketAddr,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Automation {
    /// Refuse a subject that contains INVALID
    Validation,
    /// Refuse a second open case with the same subject
    DuplicateRule,
    /// Trim the subject and begin it with a capital
    Trim,
    /// Add a line to the description
    Sign,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Org { listen, jwt_certificate, daily_limit, haste, duplicates, auto_approve, no_external_id, automation } => {
                let jwt_public_key = match jwt_certificate {
                    Some(file) => {
                        Some(std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?)
                    }
                    None => None,
                };
                let does = |what| automation.contains(&what);
                let fresh = OrgSettings::default();
                let settings = OrgSettings {
                    addr: listen,
                    jwt_public_key,
                    daily_limit,
                    auto_approve,
                    external_id: !no_external_id,
                    automation: org::Automation {
                        validation_rule: does(Automation::Validation),
                        duplicate_rule: does(Automation::DuplicateRule),
                        trims_subject: does(Automation::Trim),
                        signs_description: does(Automation::Sign),
                    },
                    outbound: OutboundSettings { haste, duplicates, ..fresh.outbound },
                    ..fresh
                };
                wiring::sandbox_org(settings).await
            }
            What::Tracker { listen } => wiring::sandbox_tracker(listen).await,
        }
    }
}
