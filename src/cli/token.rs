//! `wicketgate token`.

use serde_json::{Value, json};

use super::{
    api::NodeArgs,
    output::{Output, complain, confirmed},
};

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists tokens; their secrets are never shown again
    List,
    /// Makes a token and prints its secret, once
    Create {
        /// Who or what it is for
        #[arg(long)]
        name: String,
        /// What it may do; each scope holds the ones before it: read, operate, configure, admin
        #[arg(long, required = true, value_delimiter = ',', value_parser = ["read", "operate", "configure", "admin"])]
        scope: Vec<String>,
        /// Only for these connections, by name or id: a partner's token
        #[arg(long)]
        connection: Vec<String>,
        /// After this moment it is refused, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<crate::clock::Time>,
    },
    /// Deletes a token; it is refused at once
    Delete {
        /// Id of the token
        token: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: [(&str, &str); 5] =
    [("id", "/id"), ("name", "/name"), ("scopes", "/scopes"), ("connections", "/connections"), ("expires", "/expires_at")];

impl Args {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::List => {
                let items = api.list(&["tokens"], &[], usize::MAX).await?;
                out.items(json, &COLUMNS, items)
            }
            What::Create { name, scope, connection, expires_at } => {
                let mut body = json!({ "name": name, "scopes": scope, "expires_at": expires_at });
                if !connection.is_empty() {
                    let mut ids = Vec::new();
                    for connection in connection {
                        ids.push(Value::from(api.connection_id(&connection).await?));
                    }
                    body["connections"] = Value::Array(ids);
                }
                let made = api.post(&["tokens"], body).await?;
                match made["secret"].as_str() {
                    // The secret alone, so that it can go straight into a variable.
                    Some(secret) if !json => {
                        complain("Keep this secret; it is not shown again:");
                        Ok(out.line(secret)?)
                    }
                    _ => Ok(out.json(&made)?),
                }
            }
            What::Delete { token, yes } => {
                if !confirmed("Delete the token? Whoever uses it is refused at once.", yes)? {
                    anyhow::bail!("not deleted");
                }
                api.delete(&["tokens", &token]).await?;
                out.done(json, "deleted")
            }
        }
    }
}
