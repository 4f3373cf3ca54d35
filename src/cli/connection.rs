//! `wicketgate connection`.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    Usage,
    api::{ApiClient, NodeArgs},
    job::Waiting,
    output::{Output, clean, confirmed},
    twin_files,
};
use crate::clock::Span;

/// Arguments of `connection`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists all connections
    List,
    /// Shows one
    Show(Named),
    /// Makes a connection and prints the invitation for the other side
    Create(Box<Create>),
    /// Switches our side off; changes are kept
    Deactivate(Named),
    /// Switches our side on; what was kept flows
    Activate(Named),
    /// Confirms who accepted: compare the fingerprint with the other side's admin first
    Confirm {
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Asks whether an address is a Wicketgate node, and which
    CheckDestination {
        /// The address
        url: url::Url,
    },
    /// Changes a connection; what is left out stays
    Change(Change),
    /// Gives a connection another name on this node
    Rename {
        #[command(flatten)]
        named: Named,
        /// The new name
        name: String,
    },
    /// Compares every record under sync, and what the triggers match, with what is known; see `job report`
    Reconcile {
        #[command(flatten)]
        named: Named,
        /// Put right what is found
        #[arg(long)]
        repair: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Deletes a connection and its twins; the records stay
    Delete {
        #[command(flatten)]
        named: Named,
        /// First write its twins to this file, which `twin link --csv` reads; nothing is deleted if that fails
        #[arg(long, value_name = "FILE")]
        keep_twins: Option<std::path::PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A connection.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// Name or id of the connection
    pub(super) connection: String,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Our tracker's name
    #[arg(long)]
    tracker: String,
    /// Address of the other node; leave it out where it has none and only dials out
    #[arg(long, value_name = "URL")]
    destination: Option<url::Url>,
    /// `basic` has built-in rules, `script` your own
    #[arg(long, default_value = "basic", value_parser = ["basic", "script"])]
    mode: String,
    /// Short name of our side
    #[arg(long, value_name = "SHORT_NAME")]
    local: String,
    /// Short name of the other side
    #[arg(long, value_name = "SHORT_NAME")]
    remote: String,
    /// Name on this node; default: LOCAL_to_REMOTE
    #[arg(long)]
    name: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Whose value wins where both sides changed a field within two seconds
    #[arg(long, value_parser = ["local", "remote"])]
    prefer: Option<String>,
    /// Stay pending after acceptance until `connection confirm`
    #[arg(long)]
    confirm: bool,
    /// Life of the invitation, such as 12h; default: 3d
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<Span>,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// Name or id of the connection
    connection: String,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// `script` makes the rules yours to write, from the built-in pair; there is no way back
    #[arg(long, value_parser = ["basic", "script"])]
    mode: Option<String>,
    /// What the other side's wish to link two records may do
    #[arg(long, value_parser = ["matching", "accept", "ask"])]
    links: Option<String>,
    /// Whose value wins where both sides changed a field within two seconds; set by the inviting side
    #[arg(long, value_parser = ["local", "remote"])]
    prefer: Option<String>,
    /// Let internal comments cross
    #[arg(long, value_name = "YES_OR_NO")]
    share_internal_comments: Option<bool>,
    /// Where the other node is reached now
    #[arg(long, value_name = "URL")]
    remote_url: Option<url::Url>,
}

impl Change {
    fn body(&self) -> Value {
        let mut body = json!({});
        let texts = [("description", &self.description), ("mode", &self.mode), ("links", &self.links), ("prefer", &self.prefer)];
        for (name, value) in texts {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        if let Some(share) = self.share_internal_comments {
            body["share_internal_comments"] = share.into();
        }
        if let Some(url) = &self.remote_url {
            body["remote"] = json!({ "url": url });
        }
        body
    }
}

impl Create {
    fn body(self) -> Value {
        let mut body = json!({
            "tracker": self.tracker,
            "destination_url": self.destination,
            "mode": self.mode,
            "local_short_name": self.local,
            "remote_short_name": self.remote,
        });
        for (name, value) in [("name", self.name), ("description", self.description), ("prefer", self.prefer)] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        if self.confirm {
            body["confirm"] = true.into();
        }
        if let Some(span) = self.expires_in {
            body["expires_in"] = span.0.as_secs().into();
        }
        body
    }
}

const COLUMNS: [(&str, &str); 8] = [
    ("name", "/name"),
    ("status", "/status"),
    ("kind", "/kind"),
    ("mode", "/mode"),
    ("tracker", "/tracker"),
    ("other side", "/remote/node"),
    ("waiting", "/health/waiting"),
    ("parked", "/health/parked"),
];

impl Args {
    /// `Ok(false)`: a job did not end well.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        let answer = match self.what {
            What::List => {
                let items = api.list(&["connections"], &[], usize::MAX).await?;
                out.items(json, &COLUMNS, items)?;
                return Ok(true);
            }
            What::Show(named) => api.get(&["connections", &id(&api, &named).await?]).await?,
            What::Create(create) => {
                let made = api.post(&["connections"], create.body()).await?;
                if json { out.answer(true, &made) } else { created(out, &made) }?;
                return Ok(true);
            }
            What::Deactivate(named) => api.post(&["connections", &id(&api, &named).await?, "deactivate"], Value::Null).await?,
            What::Activate(named) => api.post(&["connections", &id(&api, &named).await?, "activate"], Value::Null).await?,
            What::Confirm { named, yes } => {
                let id = id(&api, &named).await?;
                let seen = api.get(&["connections", &id]).await?;
                let who = |member: &str| clean(seen["remote"][member].as_str().unwrap_or("unknown"));
                let question = format!(
                    "{} accepted, at {}, with the fingerprint {}. Is that who you invited?",
                    who("node"),
                    who("url"),
                    who("key_fingerprint")
                );
                if !confirmed(&question, yes)? {
                    anyhow::bail!("not confirmed");
                }
                api.post(&["connections", &id, "confirm"], Value::Null).await?
            }
            What::CheckDestination { url } => api.post(&["destinations", "check"], json!({ "url": url })).await?,
            What::Change(change) => {
                let id = api.connection_id(&change.connection).await?;
                api.patch(&["connections", &id], change.body()).await?
            }
            What::Rename { named, name } => {
                api.patch(&["connections", &id(&api, &named).await?], json!({ "name": name })).await?
            }
            What::Reconcile { named, repair, waiting } => {
                let id = id(&api, &named).await?;
                let job = api.post(&["connections", &id, "reconcile"], json!({ "repair": repair })).await?;
                return waiting.follow(&api, out, json, job).await;
            }
            What::Delete { named, keep_twins, yes } => {
                let id = id(&api, &named).await?;
                let question = format!("Delete the connection {} with all its twins?", clean(&named.connection));
                if !confirmed(&question, yes)? {
                    anyhow::bail!("not deleted");
                }
                if let Some(file) = &keep_twins {
                    if file.exists() {
                        return Err(Usage(format!("{} is there already; nothing was deleted", file.display())).into());
                    }
                    twin_files::write(&api, &id, file).await.context("nothing was deleted")?;
                }
                api.delete(&["connections", &id]).await?;
                out.done(json, "deleted")?;
                return Ok(true);
            }
        };
        out.answer(json, &answer)?;
        Ok(true)
    }
}

/// The id behind a name.
pub(super) async fn id(api: &ApiClient, named: &Named) -> anyhow::Result<String> {
    api.connection_id(&named.connection).await
}

fn created(out: &mut Output, made: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| clean(made.pointer(pointer).and_then(Value::as_str).unwrap_or("-"));
    out.line(&format!("The connection {} waits for the other side.", text("/name")))?;
    out.line(&format!("Give its admin this invitation; it works once, until {}:\n", text("/invitation/expires_at")))?;
    Ok(out.line(&text("/invitation/code"))?)
}
