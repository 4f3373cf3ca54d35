//! `wicketgate rule test`: a rule tried on a real record or a recorded replica; nothing is written, anywhere.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{Folder, Pair, of_connection, text};
use crate::cli::{
    api::ApiClient,
    output::{Output, clean},
};

/// Arguments of `rule test`.
#[derive(Debug, clap::Args)]
pub(super) struct Trial {
    /// Name or id of the connection; default: the one that the directory was pulled from
    #[arg(long, required_unless_present = "dir")]
    connection: Option<String>,
    /// The rule of this directory; default: the draft, or where there is none what runs
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Which rule
    #[arg(long, value_parser = ["outgoing", "incoming"])]
    direction: String,
    /// Type of the record here; an incoming rule without a record is tried as a first sync
    #[arg(long = "type", value_name = "TYPE", requires = "key")]
    entity_type: Option<String>,
    /// Its key, or the address of its page
    #[arg(long, requires = "entity_type")]
    key: Option<String>,
    /// A twin: its record here, and for an incoming rule the replica that was applied last
    #[arg(long, value_name = "ID")]
    twin: Option<String>,
    /// Incoming: a file with the replica as JSON
    #[arg(long, value_name = "FILE")]
    replica: Option<PathBuf>,
}

impl Trial {
    /// Runs it and tells what would come of it. `false`: the rule did not end well.
    pub(super) async fn run(self, api: &ApiClient, out: &mut Output, json: bool) -> anyhow::Result<bool> {
        let mut body = json!({ "direction": self.direction });
        let id = match self.dir {
            Some(dir) => {
                let folder = Folder(dir);
                let Pair { outgoing, incoming } = folder.pair()?;
                body["rule"] = if self.direction == "outgoing" { outgoing } else { incoming }.into();
                of_connection(api, &folder, self.connection).await?.connection_id
            }
            None => api.connection_id(&self.connection.unwrap_or_default()).await?,
        };
        for (name, value) in [("entity_type", self.entity_type), ("key", self.key), ("twin_id", self.twin)] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        if let Some(file) = self.replica {
            body["replica"] = read(&file)?;
        }
        let tried = api.post(&["connections", &id, "rules", "test"], body).await?;
        if json {
            out.json(&tried)?;
        } else {
            tell(out, &tried)?;
        }
        Ok(tried["error"].is_null())
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    let replica: Value = serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
    if !replica.is_object() {
        bail!("{shown} holds no replica: an object of fields is wanted");
    }
    Ok(replica)
}

fn tell(out: &mut Output, tried: &Value) -> anyhow::Result<()> {
    for line in tried["log"].as_array().into_iter().flatten() {
        out.line(&text(line))?;
    }
    if let Some(error) = tried["error"].as_object() {
        out.line(&text(&error["message"]))?;
        return Ok(out.line(&text(&error["advice"]))?);
    }
    if let Some(reason) = tried["skip"].as_str() {
        return Ok(out.line(&format!("it skips: {}", clean(reason)))?);
    }
    let differences = tried["differences"].as_array().map_or(&[][..], Vec::as_slice);
    for one in differences {
        let (from, to) = (clean(&one["from"].to_string()), clean(&one["to"].to_string()));
        out.line(&format!("{}: {from} → {to}", text(&one["field"])))?;
    }
    for field in tried["cut"].as_array().into_iter().flatten() {
        out.line(&format!("the text of {} would be cut to fit", text(field)))?;
    }
    for call in tried["calls"].as_array().into_iter().flatten() {
        let body = if call["body"].is_null() { String::new() } else { format!(" {}", clean(&call["body"].to_string())) };
        out.line(&format!("it would call {} {}{body}", text(&call["method"]), text(&call["path"])))?;
    }
    for line in wished(&tried["wishes"]) {
        out.line(&line)?;
    }
    if differences.is_empty() {
        out.line("nothing would change")?;
    }
    let memory = tried["memory_bytes"].as_u64().map_or_else(String::new, |bytes| format!(", {} KiB of memory", bytes >> 10));
    Ok(out.line(&format!("took {} µs{memory}; nothing was written", tried["took_us"]))?)
}

fn wished(wishes: &Value) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(key) = wishes["link_to"].as_str() {
        told.push(format!("it would link to {}", clean(key)));
    }
    for record in wishes["sync"].as_array().into_iter().flatten() {
        told.push(format!("it would sync {} {}", text(&record["entity_type"]), text(&record["key"])));
    }
    for (member, words) in [("sync_back", "it would send the record back"), ("stop", "it would end this sync")] {
        if wishes[member] == true {
            told.push(words.to_owned());
        }
    }
    told
}
