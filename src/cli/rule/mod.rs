//! `wicketgate rule`: reading, writing and publishing the rules of a connection.
//!
//! Flow of an admin who keeps rules in git: `pull` writes them into a directory with a note on which version they are
//! ([`folder`]); they are edited there; `push` saves them as the draft, `publish` lets them run. Both send the version
//! noted at the pull, and the node refuses them where somebody published since. Whatever is refused leaves the directory
//! as it is.

mod declaring;
mod folder;
mod sending;
mod telling;
mod trying;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use self::folder::{Folder, Pair, Ticket};
use super::{
    api::{ApiClient, NodeArgs},
    job::Waiting,
    output::{Output, clean},
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
    Show(Which),
    /// Writes the rules into a directory: outgoing.js, incoming.js, rule.json with the version they are, and wicketgate.d.ts
    /// with the tracker's fields for an editor
    Pull {
        #[command(flatten)]
        which: Which,
        /// Where to; it is made if need be
        #[arg(long)]
        dir: PathBuf,
        /// The draft in place of what runs
        #[arg(long)]
        draft: bool,
        /// Overwrite what was edited there
        #[arg(long)]
        force: bool,
    },
    /// Prints type declarations for editors, with the tracker's own field names
    Declarations(declaring::Declarations),
    /// Saves a directory's rules as the draft; refused if somebody published since the pull
    Push {
        /// Where they were pulled to
        #[arg(long)]
        dir: PathBuf,
        /// Name or id of the connection; default: the one that they were pulled from
        #[arg(long)]
        connection: Option<String>,
    },
    /// Tries a rule on a real record or a recorded replica; writes nothing
    Test(trying::Trial),
    /// Publishes the draft, or a directory's rules: they run from the next change on
    Publish {
        /// Name or id of the connection; default: the one that the directory was pulled from
        #[arg(long, required_unless_present = "dir")]
        connection: Option<String>,
        /// The rules of this directory, in place of the draft
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Why, for those who read the list of versions
        #[arg(long, default_value = "")]
        note: String,
        /// Although it does not fit the tracker
        #[arg(long)]
        force: bool,
    },
    /// Says which records under sync the draft, or a directory's rules, would change; see `job report`. Writes nothing
    Preview {
        #[command(flatten)]
        which: Which,
        /// The rules of this directory, in place of the draft
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Only so many, by chance
        #[arg(long)]
        sample: Option<u32>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Runs the published rules again on every record under sync
    Reapply {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Publishes an older version again, as a new one
    Rollback {
        #[command(flatten)]
        which: Which,
        /// The older version; 0 is the built-in pair
        #[arg(long, value_name = "VERSION")]
        to: u32,
        /// Why, for those who read the list of versions
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Lists the versions, newest first
    Versions(Which),
    /// Shows what differs between two versions, or a version and the draft
    Compare {
        #[command(flatten)]
        which: Which,
        /// A version, `published` or `draft`
        #[arg(long, default_value = "published")]
        from: String,
        /// A version, `published` or `draft`
        #[arg(long, default_value = "draft")]
        to: String,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Name or id of the connection
    #[arg(value_name = "CONNECTION", required_unless_present = "connection")]
    named: Option<String>,
    /// The same, as an option
    #[arg(long, value_name = "CONNECTION", conflicts_with = "named")]
    connection: Option<String>,
}

const VERSIONS: [(&str, &str); 4] = [("version", "/version"), ("at", "/at"), ("by", "/by"), ("note", "/note")];

impl Which {
    async fn id(&self, api: &ApiClient) -> anyhow::Result<String> {
        api.connection_id(self.named.as_ref().or(self.connection.as_ref()).map_or("", String::as_str)).await
    }
}

impl Args {
    /// `false`: a draft was saved that cannot be published as it is, or a trial ended in an error.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::Show(which) => show(out, json, &api.get(&["connections", &which.id(&api).await?, "rules"]).await?)?,
            What::Pull { which, dir, draft, force } => {
                let (id, folder) = (which.id(&api).await?, Folder(dir.clone()));
                let ticket = pull(&api, &id, &folder, draft, force).await?;
                let undeclared = declaring::write(&api, &id, &folder).await?;
                if json {
                    out.json(&serde_json::to_value(&ticket)?)?;
                } else {
                    let (name, base) = (clean(&ticket.connection_name), ticket.base);
                    out.line(&format!(
                        "{}: the rules of {name}, version {base}{}",
                        dir.display(),
                        if draft { ", draft" } else { "" }
                    ))?;
                    if let Some(error) = undeclared {
                        out.line(&format!("without wicketgate.d.ts: {error}"))?;
                    }
                }
            }
            What::Declarations(declaring::Declarations { which, entity_type }) => {
                let text = declaring::text(&api, &which.id(&api).await?, entity_type.as_deref()).await?;
                if json { out.json(&text.into())? } else { out.line(lines(&text).trim_end())? }
            }
            What::Push { dir, connection } => return sending::push(&api, out, json, &Folder(dir), connection).await,
            What::Test(trial) => return trial.run(&api, out, json).await,
            What::Publish { connection, dir, note, force } => {
                let how = json!({ "note": note, "force": force });
                let sent = match dir {
                    Some(dir) => sending::publish_folder(&api, Folder(dir), connection, how).await?,
                    None => sending::publish_draft(&api, &connection.unwrap_or_default(), how).await?,
                };
                runs(out, json, &sent.published)?;
                if !json {
                    sent.tell(out)?;
                }
            }
            What::Preview { which, dir, sample, waiting } => {
                let mut body = json!({ "sample": sample });
                if let Some(dir) = dir {
                    let Pair { outgoing, incoming } = Folder(dir).pair()?;
                    (body["outgoing"], body["incoming"]) = (outgoing.into(), incoming.into());
                }
                let job = api.post(&["connections", &which.id(&api).await?, "rules", "preview"], body).await?;
                return waiting.follow(&api, out, json, job).await;
            }
            What::Reapply { which, waiting } => {
                let job = api.post(&["connections", &which.id(&api).await?, "rules", "reapply"], json!({})).await?;
                return waiting.follow(&api, out, json, job).await;
            }
            What::Rollback { which, to, note } => {
                let body = json!({ "version": to, "note": note });
                runs(out, json, &api.post(&["connections", &which.id(&api).await?, "rules", "rollback"], body).await?)?;
            }
            What::Versions(which) => {
                let all = api.list(&["connections", &which.id(&api).await?, "rules", "versions"], &[], usize::MAX).await?;
                out.items(json, &VERSIONS, all)?;
            }
            What::Compare { which, from, to } => {
                let path = ["connections", &which.id(&api).await?, "rules", "compare"];
                differs(out, json, &api.ask(&path, &[("from", &from), ("to", &to)]).await?)?;
            }
        }
        Ok(true)
    }
}

fn show(out: &mut Output, json: bool, rules: &Value) -> anyhow::Result<()> {
    if json {
        return Ok(out.json(rules)?);
    }
    let published = &rules["published"];
    let version = match published["version"].as_u64() {
        Some(0) | None => "the built-in pair".to_owned(),
        Some(version) => format!("version {version}, published by {} at {}", text(&published["by"]), text(&published["at"])),
    };
    for name in ["outgoing", "incoming"] {
        out.line(&format!("// {name}, {version}"))?;
        out.line(&lines(published[name].as_str().unwrap_or_default()))?;
    }
    if let Some(draft) = rules["draft"].as_object() {
        let (by, at) = (text(&draft["by"]), text(&draft["at"]));
        out.line(&format!("// A draft of {by} waits since {at}: see `wicketgate rule compare`"))?;
    }
    Ok(())
}

/// What runs now, in one line.
fn runs(out: &mut Output, json: bool, published: &Value) -> anyhow::Result<()> {
    if json {
        return Ok(out.json(published)?);
    }
    let note = match text(&published["note"]) {
        note if note.is_empty() => note,
        note => format!(": {note}"),
    };
    Ok(out.line(&format!("version {} runs{note}", published["version"]))?)
}

fn differs(out: &mut Output, json: bool, told: &Value) -> anyhow::Result<()> {
    if json {
        return Ok(out.json(told)?);
    }
    let diffs = ["outgoing", "incoming"].map(|rule| told[rule].as_str().unwrap_or_default()).concat();
    let told = if diffs.is_empty() { "nothing differs".to_owned() } else { lines(&diffs) };
    Ok(out.line(told.trim_end())?)
}

async fn pull(api: &ApiClient, id: &str, folder: &Folder, draft: bool, force: bool) -> anyhow::Result<Ticket> {
    let connection = api.get(&["connections", id]).await?;
    let rules = api.get(&["connections", id, "rules"]).await?;
    let (wanted, base) = if draft { (&rules["draft"], "base") } else { (&rules["published"], "version") };
    if wanted.is_null() {
        bail!("there is no draft: nothing differs from what runs");
    }
    let pair = Pair::read(wanted)?;
    let ticket = Ticket {
        connection_id: id.to_owned(),
        connection_name: connection["name"].as_str().unwrap_or_default().to_owned(),
        base: wanted[base].as_u64().context("the answer holds no version")?,
    };
    if !force {
        may_overwrite(api, folder, &ticket, &pair).await?;
    }
    folder.write(&pair, &ticket)?;
    Ok(ticket)
}

/// Refuses to overwrite what nobody else has: texts that are neither what would be written nor the version noted there.
async fn may_overwrite(api: &ApiClient, folder: &Folder, ticket: &Ticket, pair: &Pair) -> anyhow::Result<()> {
    let Some(there) = folder.pair_if_any()? else { return Ok(()) };
    let shown = folder.0.display();
    let noted = folder.ticket().ok();
    if let Some(noted) = noted.as_ref().filter(|noted| noted.connection_id != ticket.connection_id) {
        bail!("{shown} holds the rules of {}; choose another directory", clean(&noted.connection_name));
    }
    if there == *pair {
        return Ok(());
    }
    if let Some(noted) = noted {
        let version = noted.base.to_string();
        let kept = api.get(&["connections", &ticket.connection_id, "rules", "versions", &version]).await;
        if kept.is_ok_and(|kept| Pair::read(&kept).is_ok_and(|kept| kept == there)) {
            return Ok(());
        }
    }
    bail!("{shown} holds edits that were not published\n  Pull into another directory, or overwrite them with --force.")
}

/// What a directory was pulled from, which must be the connection that was named, if one was.
async fn of_connection(api: &ApiClient, folder: &Folder, connection: Option<String>) -> anyhow::Result<Ticket> {
    let ticket = folder.ticket()?;
    if let Some(typed) = connection
        && api.connection_id(&typed).await? != ticket.connection_id
    {
        bail!("{} holds the rules of {}, not of {}", folder.0.display(), clean(&ticket.connection_name), clean(&typed));
    }
    Ok(ticket)
}

fn text(value: &Value) -> String {
    clean(value.as_str().unwrap_or_default())
}

/// A script keeps its lines, and nothing else that could move a cursor.
fn lines(script: &str) -> String {
    let kept = script.trim_end().chars();
    kept.map(|one| if one.is_control() && one != '\n' && one != '\t' { '·' } else { one }).chain(['\n']).collect()
}
