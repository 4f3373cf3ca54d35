//! `wicketgate invitation`.

use std::io::Read as _;

use serde_json::json;

use super::{
    api::NodeArgs,
    connection::{Named, id},
    output::{Output, clean, confirmed},
};
use crate::clock::Span;

/// A code is far smaller; more is a mistake.
const MOST_CODE: u64 = 64 << 10;

/// Arguments of `invitation`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Shows what a code would join; calls nobody
    Inspect {
        /// The code, or - to read it from standard input
        code: String,
    },
    /// Joins the connection that a code names
    Accept {
        /// The code, or - to read it from standard input
        code: String,
        /// Our tracker's name
        #[arg(long)]
        tracker: String,
        /// Name of the connection on this node; default: the inviting side's
        #[arg(long)]
        name: Option<String>,
        /// For people
        #[arg(long)]
        description: Option<String>,
    },
    /// Makes a new code; the old one dies. On an accepted connection the code re-keys the other end
    Renew {
        #[command(flatten)]
        named: Named,
        /// Life of the invitation, such as 12h; default: 3d
        #[arg(long, value_name = "SPAN")]
        expires_in: Option<Span>,
    },
    /// Withdraws the open code
    Revoke {
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Args {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let api = self.node.client()?;
        let json = self.node.json;
        let answer = match self.what {
            What::Inspect { code } => api.post(&["invitations", "inspect"], json!({ "code": read(code)? })).await?,
            What::Accept { code, tracker, name, description } => {
                let mut body = json!({ "code": read(code)?, "tracker": tracker });
                for (member, value) in [("name", name), ("description", description)] {
                    if let Some(value) = value {
                        body[member] = value.into();
                    }
                }
                api.post(&["invitations", "accept"], body).await?
            }
            What::Renew { named, expires_in } => {
                let body = json!({ "expires_in": expires_in.map(|span| span.0.as_secs()) });
                let made = api.post(&["connections", &id(&api, &named).await?, "invitation"], body).await?;
                if !json {
                    let text = |member: &str| clean(made[member].as_str().unwrap_or("-"));
                    out.line(&format!("This invitation works once, until {}:\n", text("expires_at")))?;
                    return Ok(out.line(&text("code"))?);
                }
                made
            }
            What::Revoke { named, yes } => {
                let id = id(&api, &named).await?;
                if !confirmed(&format!("Withdraw the invitation of {}?", clean(&named.connection)), yes)? {
                    anyhow::bail!("not withdrawn");
                }
                api.delete(&["connections", &id, "invitation"]).await?;
                return out.done(json, "withdrawn");
            }
        };
        out.answer(json, &answer)
    }
}

fn read(code: String) -> anyhow::Result<String> {
    if code != "-" {
        return Ok(code);
    }
    let mut code = String::new();
    std::io::stdin().lock().take(MOST_CODE).read_to_string(&mut code)?;
    Ok(code.trim().to_owned())
}
