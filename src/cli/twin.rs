//! `wicketgate twin`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    api::{ApiClient, NodeArgs},
    connection::{Named, id},
    many,
    output::{Output, confirmed},
    twin_files,
};

/// Arguments of `twin`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists twins
    List {
        /// Only of this connection, by name or id
        #[arg(long)]
        connection: Option<String>,
        /// Only of this tracker
        #[arg(long)]
        tracker: Option<String>,
        /// Only in this status
        #[arg(long, value_parser = ["waiting", "in_sync", "parked", "stopped"])]
        status: Option<String>,
        /// Only of this entity type
        #[arg(long = "type", value_name = "ENTITY_TYPE")]
        entity_type: Option<String>,
        /// Only of the record with this key, here or there
        #[arg(long)]
        key: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 200)]
        most: usize,
    },
    /// Shows one, with its error and both replicas
    Show {
        /// Id of the twin
        twin: String,
    },
    /// Shows what happened to it, newest first
    History {
        /// Id of the twin
        twin: String,
        /// At most this many lines
        #[arg(long, default_value_t = 200)]
        most: usize,
    },
    /// Syncs a record now, whatever the triggers say
    Sync {
        #[command(flatten)]
        named: Named,
        /// Entity type by the tracker's name
        entity_type: String,
        /// Key of the record, or the address of its page
        key: String,
    },
    /// Makes two records that exist a twin, or those of each line of a file; nothing is written
    Link(Link),
    /// Writes all twins of a connection as CSV, in the columns that `twin link --csv` reads
    Export {
        /// Name or id of the connection
        #[arg(long)]
        connection: String,
        /// Where to; standard output unless told
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Stops one sync, or all that a filter passes; the records keep their values
    Stop(Stop),
}

#[derive(Debug, clap::Args)]
struct Link {
    #[command(flatten)]
    named: Named,
    /// Our record, as TYPE:KEY
    #[arg(value_parser = entity, required_unless_present = "csv", conflicts_with = "csv")]
    local: Option<(String, String)>,
    /// The other side's record, as TYPE:KEY
    #[arg(value_parser = entity, required_unless_present = "csv", conflicts_with = "csv")]
    remote: Option<(String, String)>,
    /// First make the other side's fields equal to ours (send), or ours to theirs (receive)
    #[arg(long, default_value = "none", value_parser = ["none", "send", "receive"], conflicts_with = "csv")]
    start: String,
    /// A file whose first line names the columns local_type,local_key,remote_type,remote_key and, if wanted, start
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// With --csv: only tell what would happen
    #[arg(long, requires = "csv")]
    preview: bool,
}

#[derive(Debug, clap::Args)]
struct Stop {
    /// Id of the twin
    #[arg(required_unless_present_any = ["connection", "tracker", "status", "entity_type", "key"],
        conflicts_with_all = ["connection", "tracker", "status", "entity_type", "key"])]
    twin: Option<String>,
    /// All of this connection, by name or id
    #[arg(long)]
    connection: Option<String>,
    /// All of this tracker
    #[arg(long)]
    tracker: Option<String>,
    /// All in this status
    #[arg(long, value_parser = ["waiting", "in_sync", "parked"])]
    status: Option<String>,
    /// All of this entity type
    #[arg(long = "type", value_name = "ENTITY_TYPE")]
    entity_type: Option<String>,
    /// Those of the records with these keys, here or there
    #[arg(long)]
    key: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) const COLUMNS: [(&str, &str); 6] = [
    ("id", "/id"),
    ("status", "/status"),
    ("type", "/local/entity_type"),
    ("local", "/local/key"),
    ("remote", "/remote/key"),
    ("last synced", "/last_synced_at"),
];

pub(super) const HISTORY: [(&str, &str); 5] =
    [("at", "/at"), ("direction", "/direction"), ("outcome", "/outcome"), ("changed", "/changed"), ("reason", "/reason")];

impl Args {
    /// `Ok(false)`: some could not be linked or stopped, and that was told.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        let answer = match self.what {
            What::List { connection, tracker, status, entity_type, key, most } => {
                let connection_id = match connection {
                    Some(connection) => Some(api.connection_id(&connection).await?),
                    None => None,
                };
                let filters = [
                    ("connection_id", connection_id),
                    ("tracker", tracker),
                    ("status", status),
                    ("entity_type", entity_type),
                    ("key", key),
                ];
                let query: Vec<(&str, &str)> =
                    filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                let items = api.list(&["twins"], &query, most).await?;
                out.items(json, &COLUMNS, items)?;
                return Ok(true);
            }
            What::History { twin, most } => {
                let mut listed = api.list(&["twins", &twin, "history"], &[], most).await?;
                if !json {
                    listed.items.iter_mut().for_each(name_changed_fields);
                }
                out.items(json, &HISTORY, listed)?;
                return Ok(true);
            }
            What::Show { twin } => api.get(&["twins", &twin]).await?,
            What::Sync { named, entity_type, key } => {
                let body = json!({ "entity_type": entity_type, "key": key });
                api.post(&["connections", &id(&api, &named).await?, "twins"], body).await?
            }
            What::Link(Link { named, csv: Some(file), preview, .. }) => {
                let id = id(&api, &named).await?;
                return twin_files::link(&api, &id, (&file, preview), out, json).await;
            }
            What::Link(Link { named, local, remote, start, .. }) => {
                let record = |record: Option<(String, String)>| {
                    record.map(|(entity_type, key)| json!({ "entity_type": entity_type, "key": key }))
                };
                let body = json!({ "local": record(local), "remote": record(remote), "start": start });
                api.post(&["connections", &id(&api, &named).await?, "twins", "link"], body).await?
            }
            What::Export { connection, to } => {
                let id = api.connection_id(&connection).await?;
                twin_files::export(&api, &id, to.as_deref(), out).await?;
                return Ok(true);
            }
            What::Stop(Stop { twin: Some(twin), yes, .. }) => {
                if !confirmed("Stop the sync of this twin on both sides?", yes)? {
                    anyhow::bail!("not stopped");
                }
                api.delete(&["twins", &twin]).await?
            }
            What::Stop(stop) => {
                if !confirmed("Stop the sync of all these twins on both sides?", stop.yes)? {
                    anyhow::bail!("not stopped");
                }
                return many::all(&api, &["twins", "stop"], stop.filter(&api).await?, ("stop", json), out).await;
            }
        };
        out.answer(json, &answer)?;
        Ok(true)
    }
}

impl Stop {
    async fn filter(self, api: &ApiClient) -> anyhow::Result<Value> {
        let connection_id = match self.connection {
            Some(connection) => Some(api.connection_id(&connection).await?),
            None => None,
        };
        let keys = (!self.key.is_empty()).then_some(self.key);
        Ok(json!({"connection_id": connection_id, "tracker": self.tracker, "status": self.status,
            "entity_type": self.entity_type, "keys": keys}))
    }
}

/// Adds the names of the changed fields, for a column.
pub(super) fn name_changed_fields(line: &mut Value) {
    let names = line["changes"].as_array().into_iter().flatten().map(|change| change["field"].clone()).collect();
    line["changed"] = Value::Array(names);
}

fn entity(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((entity_type, key)) if !entity_type.is_empty() && !key.is_empty() => Ok((entity_type.to_owned(), key.to_owned())),
        _ => Err("write it as TYPE:KEY, such as Case:5005g00000ABCDEAA2".to_owned()),
    }
}
