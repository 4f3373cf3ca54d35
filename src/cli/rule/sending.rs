//! Rules on their way to the node: saved as the draft, published, and what the node has to say of them.
//!
//! Trap: what the node refuses is told on the lines of the texts that were sent, so those are kept until the answer is there.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    super::api::{ApiClient, Refused},
    Folder, Output, Pair, Ticket, clean, of_connection,
    telling::Sources,
};

/// What was published.
pub(super) struct Sent {
    pub(super) published: Value,
    sources: Sources,
}

impl Sent {
    /// What the node found in it and did not keep back.
    pub(super) fn tell(&self, out: &mut Output) -> anyhow::Result<()> {
        self.sources.tell(out, &self.published["problems"])
    }
}

/// Saves a directory's rules as the draft. `false`: it cannot be published as it is.
pub(super) async fn push(
    api: &ApiClient,
    out: &mut Output,
    json: bool,
    folder: &Folder,
    connection: Option<String>,
) -> anyhow::Result<bool> {
    let ticket = of_connection(api, folder, connection).await?;
    let pair = folder.pair()?;
    let body = json!({ "outgoing": pair.outgoing, "incoming": pair.incoming, "base": ticket.base });
    let saved = api.put(&["connections", &ticket.connection_id, "rules"], body).await;
    let rules = saved.map_err(|error| merge(error, &ticket))?;
    let problems = rules["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let good = problems.iter().all(|problem| problem["severity"] == "warning");
    if json {
        out.json(&rules)?;
        return Ok(good);
    }
    if rules["draft"].is_null() {
        out.line(&format!("nothing differs from version {}: there is no draft", ticket.base))?;
    } else {
        out.line(&format!("saved as the draft, from version {}", ticket.base))?;
    }
    Sources::of_folder(folder, pair).tell(out, &rules["problems"])?;
    Ok(good)
}

/// Publishes a directory's rules.
pub(super) async fn publish_folder(
    api: &ApiClient,
    folder: Folder,
    connection: Option<String>,
    mut how: Value,
) -> anyhow::Result<Sent> {
    let mut ticket = of_connection(api, &folder, connection).await?;
    let pair = folder.pair()?;
    how["outgoing"] = pair.outgoing.as_str().into();
    how["incoming"] = pair.incoming.as_str().into();
    how["base"] = ticket.base.into();
    let sources = Sources::of_folder(&folder, pair);
    let published = api.post(&["connections", &ticket.connection_id, "rules", "publish"], how).await;
    let published = published.map_err(|error| merge(sources.refused(error), &ticket))?;
    ticket.base = published["version"].as_u64().context("the answer holds no version")?;
    folder.write_ticket(&ticket)?;
    Ok(Sent { published, sources })
}

/// Publishes the draft.
pub(super) async fn publish_draft(api: &ApiClient, connection: &str, how: Value) -> anyhow::Result<Sent> {
    let id = api.connection_id(connection).await?;
    let rules = api.get(&["connections", &id, "rules"]).await?;
    let sources = Sources::of_draft(Pair::read(&rules["draft"]).ok());
    let published = api.post(&["connections", &id, "rules", "publish"], how).await;
    let published = published.map_err(|error| {
        let named = clean(connection);
        advised(
            sources.refused(error),
            &format!(
                "Pull the draft (`wicketgate rule pull {named} --draft --dir ONE`) and what runs (the same without --draft, into another directory), merge there, and push from it."
            ),
        )
    })?;
    Ok(Sent { published, sources })
}

/// What to do where somebody published since the pull.
fn merge(error: anyhow::Error, ticket: &Ticket) -> anyhow::Error {
    let named = clean(&ticket.connection_name);
    advised(
        error,
        &format!(
            "Pull into another directory (`wicketgate rule pull {named} --dir OTHER`), merge your edits there, and push from it."
        ),
    )
}

fn advised(error: anyhow::Error, advice: &str) -> anyhow::Error {
    match error.downcast_ref::<Refused>() {
        Some(refused) if refused.code == "rule_changed" => anyhow::anyhow!("{refused}\n  {advice}"),
        _ => error,
    }
}
