//! `wicketgate status`, `wicketgate queue` and `wicketgate audit`.

use super::{api::NodeArgs, output::Output};

/// Arguments of `status` and `queue`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// At most this many lines
    #[arg(long, default_value_t = 200)]
    most: usize,
}

const CONNECTIONS: [(&str, &str); 4] =
    [("connection", "/name"), ("to hand over", "/outbox"), ("to apply", "/inbox"), ("parked", "/parked")];

const TRACKERS: [(&str, &str); 3] = [("tracker", "/tracker"), ("changes", "/changes"), ("next due", "/next_due_at")];

const AUDIT: [(&str, &str); 5] =
    [("at", "/at"), ("by", "/by"), ("action", "/action"), ("subject", "/subject"), ("detail", "/detail")];

impl Args {
    pub(super) async fn status(self, out: &mut Output) -> anyhow::Result<()> {
        let status = self.node.client()?.get(&["status"]).await?;
        out.answer(self.node.json, &status)
    }

    pub(super) async fn queue(self, out: &mut Output) -> anyhow::Result<()> {
        let queue = self.node.client()?.get(&["queue"]).await?;
        if self.node.json {
            return Ok(out.json(&queue)?);
        }
        for (columns, member) in [(&CONNECTIONS[..], "items"), (&TRACKERS[..], "trackers")] {
            out.table(columns, queue[member].as_array().map_or(&[], Vec::as_slice))?;
        }
        Ok(())
    }
}

impl AuditArgs {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let lines = self.node.client()?.list(&["audit"], &[], self.most).await?;
        out.items(self.node.json, &AUDIT, lines)
    }
}
