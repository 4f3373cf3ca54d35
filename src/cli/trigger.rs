//! `wicketgate trigger`.

use serde_json::json;

use super::{
    api::NodeArgs,
    connection::{Named, id},
    job::Waiting,
    output::{Output, confirmed},
};

/// Arguments of `trigger`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists a connection's triggers
    List(Named),
    /// Adds a trigger
    Add {
        #[command(flatten)]
        named: Named,
        /// Entity type by the tracker's name, such as Case
        #[arg(long = "type", value_name = "ENTITY_TYPE")]
        entity_type: String,
        /// Condition in the tracker's own query language; empty matches all
        #[arg(long, default_value = "")]
        filter: String,
        /// For people
        #[arg(long, default_value = "")]
        notes: String,
        /// Add it switched off
        #[arg(long)]
        disabled: bool,
    },
    /// Changes a trigger; what is left out stays
    Change {
        #[command(flatten)]
        one: One,
        /// Condition in the tracker's own query language; empty matches all
        #[arg(long)]
        filter: Option<String>,
        /// For people
        #[arg(long)]
        notes: Option<String>,
    },
    /// Counts the records that a filter matches, before a trigger is made of it
    Count {
        #[command(flatten)]
        named: Named,
        /// Entity type by the tracker's name, such as Case
        #[arg(long = "type", value_name = "ENTITY_TYPE")]
        entity_type: String,
        /// Condition in the tracker's own query language; empty matches all
        #[arg(long, default_value = "")]
        filter: String,
    },
    /// Syncs all records that match and are not under sync yet
    Run {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Removes a trigger; twins that it started stay
    Remove {
        #[command(flatten)]
        one: One,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Switches a trigger on
    Enable(One),
    /// Switches a trigger off
    Disable(One),
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    named: Named,
    /// Id of the trigger
    trigger: String,
}

const COLUMNS: [(&str, &str); 5] =
    [("id", "/id"), ("type", "/entity_type"), ("enabled", "/enabled"), ("filter", "/filter"), ("notes", "/notes")];

impl Args {
    /// `Ok(false)`: a run did not end well.
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<bool> {
        let api = self.node.client()?;
        let json = self.node.json;
        let answer = match self.what {
            What::List(named) => {
                let items = api.list(&["connections", &id(&api, &named).await?, "triggers"], &[], usize::MAX).await?;
                out.items(json, &COLUMNS, items)?;
                return Ok(true);
            }
            What::Add { named, entity_type, filter, notes, disabled } => {
                let body = json!({ "entity_type": entity_type, "filter": filter, "notes": notes, "enabled": !disabled });
                api.post(&["connections", &id(&api, &named).await?, "triggers"], body).await?
            }
            What::Change { one, filter, notes } => {
                let connection = id(&api, &one.named).await?;
                let mut body = json!({});
                for (member, value) in [("filter", filter), ("notes", notes)] {
                    if let Some(value) = value {
                        body[member] = value.into();
                    }
                }
                api.patch(&["connections", &connection, "triggers", &one.trigger], body).await?
            }
            What::Count { named, entity_type, filter } => {
                let body = json!({ "entity_type": entity_type, "filter": filter });
                api.post(&["connections", &id(&api, &named).await?, "triggers", "count"], body).await?
            }
            What::Run { one, waiting } => {
                let connection = id(&api, &one.named).await?;
                let job = api.post(&["connections", &connection, "triggers", &one.trigger, "run"], json!({})).await?;
                return waiting.follow(&api, out, json, job).await;
            }
            What::Remove { one, yes } => {
                let connection = id(&api, &one.named).await?;
                if !confirmed("Remove the trigger?", yes)? {
                    anyhow::bail!("not removed");
                }
                api.delete(&["connections", &connection, "triggers", &one.trigger]).await?;
                out.done(json, "removed")?;
                return Ok(true);
            }
            What::Enable(one) => {
                let connection = id(&api, &one.named).await?;
                api.patch(&["connections", &connection, "triggers", &one.trigger], json!({ "enabled": true })).await?
            }
            What::Disable(one) => {
                let connection = id(&api, &one.named).await?;
                api.patch(&["connections", &connection, "triggers", &one.trigger], json!({ "enabled": false })).await?
            }
        };
        out.answer(json, &answer)?;
        Ok(true)
    }
}
