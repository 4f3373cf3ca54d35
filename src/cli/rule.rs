//! `wicketgate rule`.

use super::{
    api::NodeArgs,
    connection::{Named, id},
    output::Output,
};

/// Arguments of `rule`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Shows the pair of rules that a connection runs
    Show(Named),
}

impl Args {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let What::Show(named) = self.what;
        let api = self.node.client()?;
        let rules = api.get(&["connections", &id(&api, &named).await?, "rules"]).await?;
        if self.node.json {
            return Ok(out.json(&rules)?);
        }
        let published = &rules["published"];
        let version = match published["version"].as_u64() {
            Some(0) | None => "the built-in pair".to_owned(),
            Some(version) => format!("version {version}"),
        };
        for name in ["outgoing", "incoming"] {
            out.line(&format!("// {name}, {version}"))?;
            out.line(&lines(published[name].as_str().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// A script keeps its lines, and nothing else that could move a cursor.
fn lines(script: &str) -> String {
    let kept = script.trim_end().chars();
    kept.map(|one| if one.is_control() && one != '\n' && one != '\t' { '·' } else { one }).chain(['\n']).collect()
}
