//! `wicketgate tracker`.

use serde_json::{Value, json};

use super::{
    api::NodeArgs,
    output::{Output, clean, confirmed},
};

/// Arguments of `tracker`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the node's trackers
    List,
    /// Shows one, with the address that it should be told to call
    Show(One),
    /// Proves each step to a tracker and says what to do about the first that fails
    Check(One),
    /// Gives the tracker's door a new address; the old one lives on for a day
    RotateToken {
        #[command(flatten)]
        one: One,
        /// The old address dies now: for one that fell into wrong hands
        #[arg(long)]
        at_once: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Prints the address where a person signs in to the tracker for the node
    SignIn(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// Name of the tracker
    name: String,
}

const COLUMNS: [(&str, &str); 6] = [
    ("name", "/name"),
    ("kind", "/kind"),
    ("status", "/status"),
    ("calls used", "/api_calls/used"),
    ("of", "/api_calls/limit"),
    ("url", "/url"),
];

const STEPS: [(&str, &str); 5] =
    [("step", "/name"), ("status", "/status"), ("ms", "/took_ms"), ("detail", "/detail"), ("advice", "/advice")];

impl Args {
    /// `Ok(false)`: a check found something.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        let answer = match self.what {
            What::List => {
                let items = api.list(&["trackers"], &[], usize::MAX).await?;
                out.items(json, &COLUMNS, items)?;
                return Ok(true);
            }
            What::Show(one) => api.get(&["trackers", &one.name]).await?,
            What::Check(one) => {
                let check = api.post(&["trackers", &one.name, "check"], Value::Null).await?;
                let steps = check["steps"].as_array().map_or(&[] as &[Value], Vec::as_slice);
                if json {
                    out.json(&check)?
                } else {
                    out.table(&STEPS, steps)?
                }
                return Ok(check["ok"] == true);
            }
            What::RotateToken { one, at_once, yes } => {
                let when = if at_once { "The old one dies now." } else { "The old one lives on for a day." };
                if !confirmed(&format!("Give {} a new address to call? {when}", clean(&one.name)), yes)? {
                    anyhow::bail!("not changed");
                }
                api.post(&["trackers", &one.name, "rotate-token"], json!({ "at_once": at_once })).await?
            }
            What::SignIn(one) => {
                let answer = api.post(&["trackers", &one.name, "sign-in"], Value::Null).await?;
                if !json {
                    out.line(&clean(answer["url"].as_str().unwrap_or("-")))?;
                    return Ok(true);
                }
                answer
            }
        };
        out.answer(json, &answer)?;
        Ok(true)
    }
}
