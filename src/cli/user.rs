//! `wicketgate user`.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    Usage,
    api::{ApiClient, NodeArgs},
    output::{Output, confirmed},
    prompt,
};
use crate::domain::user::name_key;

/// Arguments of `user`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    what: What,
}

const ROLES: [&str; 4] = ["read", "operate", "configure", "admin"];

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists accounts
    List,
    /// Makes an account; the password is asked for
    Add {
        /// What is typed at sign-in
        name: String,
        /// What the person may do; each role holds the ones before it
        #[arg(long, value_parser = ROLES)]
        role: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Gives an account another name or role
    Change {
        /// Name or id of the account
        user: String,
        /// What is typed at sign-in from now on
        #[arg(long)]
        name: Option<String>,
        /// What the person may do from now on
        #[arg(long, value_parser = ROLES)]
        role: Option<String>,
    },
    /// Gives an account a new password, which is asked for; it is signed out everywhere
    Password {
        /// Name or id of the account
        user: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Deletes an account; it is signed out everywhere
    Remove {
        /// Name or id of the account
        user: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct PasswordSource {
    /// Read the password from the first line of this file; without a terminal it is read from standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

const COLUMNS: [(&str, &str); 5] =
    [("id", "/id"), ("name", "/name"), ("role", "/role"), ("created", "/created_at"), ("last sign-in", "/last_sign_in_at")];

impl Args {
    pub(super) async fn run(self, out: &mut Output) -> anyhow::Result<()> {
        let api = self.node.client()?;
        let json = self.node.json;
        match self.what {
            What::List => {
                let items = api.list(&["users"], &[], usize::MAX).await?;
                out.items(json, &COLUMNS, items)
            }
            What::Add { name, role, password } => {
                let password = prompt::new_password(password.password_file.as_deref()).await?;
                let body = json!({ "name": name, "role": role, "password": password.expose() });
                out.answer(json, &api.post(&["users"], body).await?)
            }
            What::Change { user, name, role } => {
                if name.is_none() && role.is_none() {
                    return Err(Usage("nothing to change: give --name or --role".to_owned()).into());
                }
                let id = user_id(&api, &user).await?;
                let mut body = json!({});
                for (member, value) in [("name", name), ("role", role)] {
                    if let Some(value) = value {
                        body[member] = value.into();
                    }
                }
                out.answer(json, &api.patch(&["users", &id], body).await?)
            }
            What::Password { user, password } => {
                let id = user_id(&api, &user).await?;
                let password = prompt::new_password(password.password_file.as_deref()).await?;
                api.post(&["users", &id, "password"], json!({ "password": password.expose() })).await?;
                out.done(json, "changed")
            }
            What::Remove { user, yes } => {
                let id = user_id(&api, &user).await?;
                if !confirmed("Delete the account? Whoever uses it is signed out at once.", yes)? {
                    anyhow::bail!("not deleted");
                }
                api.delete(&["users", &id]).await?;
                out.done(json, "deleted")
            }
        }
    }
}

/// The id of an account that was named by id or name.
async fn user_id(api: &ApiClient, typed: &str) -> anyhow::Result<String> {
    if uuid::Uuid::try_parse(typed).is_ok() {
        return Ok(typed.to_owned());
    }
    let users = api.list(&["users"], &[], usize::MAX).await?;
    let is_meant = |user: &&Value| user["name"].as_str().is_some_and(|name| name_key(name) == name_key(typed));
    let id = users.items.iter().find(is_meant).and_then(|user| user["id"].as_str());
    id.map(str::to_owned).with_context(|| format!("this node has no account `{typed}`; see `wicketgate user list`"))
}
