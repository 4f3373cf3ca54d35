//! `wicketgate error`.

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    Usage,
    api::{ApiClient, Listed, NodeArgs, Refused},
    many,
    output::{Output, complain, confirmed},
};
use crate::clock::Time;

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
    /// Tries again with another replica in the place of the one that arrived from the other side
    Edit {
        /// Id of the error
        error: String,
        /// File with the replica, as JSON; `twin show` and `rule test` tell how one looks
        #[arg(long, value_name = "FILE")]
        replica: std::path::PathBuf,
    },
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
    #[arg(required_unless_present = "choice")]
    errors: Vec<String>,
    #[command(flatten)]
    choice: Choice,
}

/// All that pass each of these.
#[derive(Debug, clap::Args)]
#[group(id = "choice", multiple = true, conflicts_with = "errors")]
struct Choice {
    /// All that are open
    #[arg(long)]
    all: bool,
    /// All of this connection, by name or id
    #[arg(long)]
    connection: Option<String>,
    /// All of this tracker and its connections
    #[arg(long)]
    tracker: Option<String>,
    /// All that hold up a twin, a connection, a tracker or the node
    #[arg(long, value_parser = ["twin", "connection", "tracker", "node"])]
    scope: Option<String>,
    /// All with this code
    #[arg(long)]
    code: Option<String>,
    /// All with this title
    #[arg(long)]
    title: Option<String>,
    /// All of twins in this status
    #[arg(long, value_parser = ["waiting", "in_sync", "parked", "stopped"])]
    status: Option<String>,
    /// All that are open since this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<Time>,
}

impl Choice {
    async fn filter(self, api: &ApiClient) -> anyhow::Result<Value> {
        let connection_id = match &self.connection {
            Some(connection) => Some(api.connection_id(connection).await?),
            None => None,
        };
        // All that are open have been so since the beginning.
        let since = self.since.or(self.all.then_some(Time(0)));
        Ok(json!({"connection_id": connection_id, "tracker": self.tracker, "scope": self.scope, "code": self.code,
            "title": self.title, "status": self.status, "since": since}))
    }
}

const COLUMNS: [(&str, &str); 7] = [
    ("id", "/id"),
    ("scope", "/scope"),
    ("code", "/code"),
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
            What::Edit { error, replica } => {
                let shown = replica.display();
                let text = std::fs::read_to_string(&replica).with_context(|| format!("{shown} cannot be read"))?;
                let replica: Value = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
                let retried = api.post(&["errors", &error, "retry"], json!({ "replica": replica })).await?;
                out.answer(json, &retried)?;
                Ok(true)
            }
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
    if which.errors.is_empty() {
        return many::all(api, &["errors", action], which.choice.filter(api).await?, (action, json), out).await;
    }
    let ids = which.errors;
    if let Some(wrong) = ids.iter().find(|id| uuid::Uuid::try_parse(id).is_err()) {
        return Err(Usage(format!("`{wrong}` is no id of an error; see `wicketgate error list`")).into());
    }
    // Draws on a terminal only.
    let bar = ProgressBar::new(ids.len() as u64);
    let (mut done, mut failed) = (0_u64, 0_u64);
    for id in &ids {
        match api.post(&["errors", id, action], Value::Null).await {
            Ok(_) => done += 1,
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
        out.json(&json!({ "done": done, "failed": failed }))?;
    } else {
        out.line(&format!("{action}: {done} done, {failed} failed"))?;
    }
    Ok(failed == 0)
}
