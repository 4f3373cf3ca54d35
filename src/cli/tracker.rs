//! `wicketgate tracker`.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::{
    api::{ApiClient, NodeArgs},
    output::{Output, clean, confirmed},
    twin,
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
    /// Lists the entity types of a tracker, or the fields of one
    Types {
        #[command(flatten)]
        one: One,
        /// The entity type whose fields are wanted
        entity_type: Option<String>,
    },
    /// Where is it? A record's twins, what waits, and what became of its changes, also where it has no twin
    Find {
        #[command(flatten)]
        one: One,
        /// Entity type by the tracker's name
        entity_type: String,
        /// Key of the record, or the address of its page
        key: String,
    },
    /// Proves each step to a tracker and says what to do about the first that fails
    Check {
        #[command(flatten)]
        one: One,
        /// Do not ask for a record to be saved: tell only when the last message came
        #[arg(long)]
        unattended: bool,
    },
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

/// How long a person has to save a record.
const MESSAGE_WAIT_SECONDS: u32 = 120;

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

const FIELDS: [(&str, &str); 7] = [
    ("name", "/name"),
    ("label", "/label"),
    ("type", "/type"),
    ("length", "/length"),
    ("writable", "/writable"),
    ("required", "/required"),
    ("values", "/values"),
];

const WAITING: [(&str, &str); 3] = [("source", "/source"), ("received", "/received_at"), ("due", "/due_at")];

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn tell_where(out: &mut Output, mut found: Value) -> anyhow::Result<()> {
    let text = |member: &str| clean(found[member].as_str().unwrap_or("-"));
    out.line(&format!("{} {} in {}", text("entity_type"), text("key"), text("tracker")))?;
    out.line("\nTwins")?;
    out.table(&twin::COLUMNS, list(&found["twins"]))?;
    out.line("\nChanges that wait")?;
    out.table(&WAITING, list(&found["waiting"]))?;
    out.line("\nHistory, newest first")?;
    found["history"].as_array_mut().into_iter().flatten().for_each(twin::name_changed_fields);
    Ok(out.table(&twin::HISTORY, list(&found["history"]))?)
}

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
            What::Types { one, entity_type: None } => {
                let types = api.list(&["trackers", &one.name, "types"], &[], usize::MAX).await?;
                out.items(json, &[("name", "/name")], types)?;
                return Ok(true);
            }
            What::Types { one, entity_type: Some(entity_type) } => {
                let described = api.get(&["trackers", &one.name, "types", &entity_type]).await?;
                if json {
                    out.json(&described)?;
                } else {
                    out.table(&FIELDS, list(&described["fields"]))?;
                }
                return Ok(true);
            }
            What::Find { one, entity_type, key } => {
                let found = api.get(&["trackers", &one.name, "entities", &entity_type, &key]).await?;
                if json {
                    out.json(&found)?;
                } else {
                    tell_where(out, found)?;
                }
                return Ok(true);
            }
            What::Check { one, unattended } => {
                let check = api.post(&["trackers", &one.name, "check"], Value::Null).await?;
                if json {
                    out.json(&check)?
                } else {
                    out.table(&STEPS, list(&check["steps"]))?
                }
                let attended = !unattended && !json && std::io::stdout().is_terminal();
                if check["ok"] != true || !attended || !list(&check["steps"]).iter().any(|step| step["name"] == "last message") {
                    return Ok(check["ok"] == true);
                }
                return wait_for_message(&api, &one.name, out).await;
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

/// Asks a person to save a record and waits for its message.
async fn wait_for_message(api: &ApiClient, name: &str, out: &mut Output) -> anyhow::Result<bool> {
    let last = |tracker: &Value| tracker["last_notice_at"].as_str().map(str::to_owned);
    let before = last(&api.get(&["trackers", name]).await?);
    out.line("Now save a record in that system as a person, not as our own user. Waiting two minutes for its message (Ctrl-C ends it)…")?;
    for _ in 0..MESSAGE_WAIT_SECONDS {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let now = last(&api.get(&["trackers", name]).await?);
        if now != before {
            out.line("It came.")?;
            return Ok(true);
        }
    }
    out.line(
        "None came. Check that the flow is active and its outbound message has the address that `tracker show` prints, that the \
         user who saved has the permission Send Outbound Messages, and what Setup shows under Outbound Messages, View Message \
         Delivery Status. `error list` shows what was refused here.",
    )?;
    Ok(false)
}
