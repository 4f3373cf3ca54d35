//! `wicketgate status`.

use super::{api::NodeArgs, output::Output};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

impl Args {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let status = self.node.client()?.get(&["status"]).await?;
        out.answer(self.node.json, &status)
    }
}
