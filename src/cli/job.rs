//! `wicketgate job`, and following a job that another command asked for.
//!
//! A job belongs to the node: whoever stops following it does not stop it.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{
    api::{ApiClient, NodeArgs},
    output::{Output, complain, confirmed},
};

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Arguments of `job`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists jobs, newest first
    List {
        /// Only of this connection, by name or id
        #[arg(long)]
        connection: Option<String>,
    },
    /// Shows one
    Show(One),
    /// Follows one until it ends
    Follow(One),
    /// The lines of its report: what a preview or a reconcile found
    Report(One),
    /// Has it stand still
    Pause(One),
    /// Has it go on
    Resume(One),
    /// Ends it: what was begun goes on, nothing more is begun
    Cancel {
        #[command(flatten)]
        one: One,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// Id of the job
    job: String,
}

/// Whether a command waits for the job that it asked for.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Waiting {
    /// Do not wait for the job's end
    #[arg(long)]
    detach: bool,
}

const COLUMNS: [(&str, &str); 8] = [
    ("id", "/id"),
    ("kind", "/kind"),
    ("status", "/status"),
    ("paused", "/paused"),
    ("done", "/done"),
    ("total", "/total"),
    ("asked", "/created_at"),
    ("by", "/by"),
];

const REPORT: [(&str, &str); 4] = [("found", "/what"), ("type", "/entity_type"), ("key", "/key"), ("detail", "/detail")];

impl Args {
    /// `Ok(false)`: the job that was followed did not end well.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::List { connection } => {
                let id = match connection {
                    Some(connection) => Some(api.connection_id(&connection).await?),
                    None => None,
                };
                let filter: Vec<(&str, &str)> = id.iter().map(|id| ("connection_id", id.as_str())).collect();
                out.items(json, &COLUMNS, api.list(&["jobs"], &filter, usize::MAX).await?)?;
            }
            What::Show(one) => out.answer(json, &api.get(&["jobs", &one.job]).await?)?,
            What::Follow(one) => {
                let job = api.get(&["jobs", &one.job]).await?;
                return Waiting { detach: false }.follow(&api, out, json, job).await;
            }
            What::Report(one) => {
                out.items(json, &REPORT, api.list(&["jobs", &one.job, "report"], &[], usize::MAX).await?)?;
            }
            What::Pause(one) => out.answer(json, &api.post(&["jobs", &one.job, "pause"], Value::Null).await?)?,
            What::Resume(one) => out.answer(json, &api.post(&["jobs", &one.job, "resume"], Value::Null).await?)?,
            What::Cancel { one, yes } => {
                if !confirmed("Cancel the job? What it has begun goes on.", yes)? {
                    anyhow::bail!("not cancelled");
                }
                api.delete(&["jobs", &one.job]).await?;
                out.done(json, "cancelled")?;
            }
        }
        Ok(true)
    }
}

impl Waiting {
    /// Prints the job, once it has ended unless that is not waited for. `Ok(false)`: it did not end well.
    pub(super) async fn follow(self, api: &ApiClient, out: &mut Output, json: bool, job: Value) -> anyhow::Result<bool> {
        let id = job["id"].as_str().unwrap_or_default().to_owned();
        let mut job = job;
        let bar = bar();
        let mut told = Instant::now();
        while !self.detach && is_open(&job) {
            tokio::time::sleep(LOOK).await;
            job = api.get(&["jobs", &id]).await?;
            bar.set_length(job["total"].as_u64().unwrap_or(0));
            bar.set_position(job["done"].as_u64().unwrap_or(0));
            if !std::io::stderr().is_terminal() && told.elapsed() >= LINE {
                told = Instant::now();
                complain(&format!("{}: {} of {}", job["kind"].as_str().unwrap_or("job"), job["done"], job["total"]));
            }
            if job["paused"] == true {
                break;
            }
        }
        bar.finish_and_clear();
        out.answer(json, &job)?;
        Ok(is_open(&job) || job["status"] == "done")
    }
}

fn is_open(job: &Value) -> bool {
    matches!(job["status"].as_str(), Some("queued" | "running"))
}

/// Draws on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
