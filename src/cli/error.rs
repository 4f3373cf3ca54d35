//! `wicketgate error`.

use indicatif::ProgressBar;
use serde_json::Value;

use super::{
    Usage,
    api::{ApiClient, Listed, NodeArgs, Refused},
    output::{Output, complain, confirmed},
};

/// Arguments of `error`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists open errors
    List {
        /// Only of this connection, by name or id
        #[arg(long)]
        connection: Option<String>,
    },
    /// Shows one, with what happened and what to do
    Show {
        /// Id of the error
        error: String,
    },
    /// Tries again what an error holds up
    Retry(Which),
    /// Gives up what an error holds up: it ends as skipped, with that reason in the history
    Skip {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Ids of errors
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    errors: Vec<String>,
    /// All that are open
    #[arg(long)]
    all: bool,
    /// With --all: only of this connection, by name or id
    #[arg(long, requires = "all")]
    connection: Option<String>,
}

const COLUMNS: [(&str, &str); 6] = [
    ("id", "/id"),
    ("scope", "/scope"),
    ("title", "/title"),
    ("advice", "/advice"),
    ("attempts", "/attempts"),
    ("next try", "/next_attempt_at"),
];

impl Args {
    /// `Ok(false)`: some could not be retried or skipped, and that was told.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::List { connection } => {
                let listed = open(&api, connection.as_deref()).await?;
                out.items(json, &COLUMNS, listed)?;
                Ok(true)
            }
            What::Show { error } => {
                let found = api.get(&["errors", &error]).await?;
                out.answer(json, &found)?;
                Ok(true)
            }
            What::Retry(which) => each(&api, which, "retry", out, json).await,
            What::Skip { which, yes } => {
                if !confirmed("Give up what these errors hold up? It is not tried again.", yes)? {
                    anyhow::bail!("not skipped");
                }
                each(&api, which, "skip", out, json).await
            }
        }
    }
}

async fn open(api: &ApiClient, connection: Option<&str>) -> anyhow::Result<Listed> {
    match connection {
        Some(connection) => {
            let id = api.connection_id(connection).await?;
            api.list(&["errors"], &[("connection_id", &id)], usize::MAX).await
        }
        None => api.list(&["errors"], &[], usize::MAX).await,
    }
}

async fn each(api: &ApiClient, which: Which, action: &str, out: &mut Output, json: bool) -> anyhow::Result<bool> {
    let ids: Vec<String> = if which.all {
        let open = open(api, which.connection.as_deref()).await?;
        open.items.iter().filter_map(|error| error["id"].as_str().map(str::to_owned)).collect()
    } else {
        which.errors
    };
    if let Some(wrong) = ids.iter().find(|id| uuid::Uuid::try_parse(id).is_err()) {
        return Err(Usage(format!("`{wrong}` is no id of an error; see `wicketgate error list`")).into());
    }
    // Draws on a terminal only.
    let bar = ProgressBar::new(ids.len() as u64);
    let (mut done, mut failed) = (0_u64, 0_u64);
    for id in &ids {
        match api.post(&["errors", id, action], Value::Null).await {
            Ok(_) => done += 1,
            // Another one's end closed it meanwhile.
            Err(error) if which.all && error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 404) => done += 1,
            Err(error) if error.is::<Refused>() => {
                failed += 1;
                bar.suspend(|| complain(&format!("{id}: {error}")));
            }
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if json {
        out.json(&serde_json::json!({ "done": done, "failed": failed }))?;
    } else {
        out.line(&format!("{action}: {done} done, {failed} failed"))?;
    }
    Ok(failed == 0)
}
