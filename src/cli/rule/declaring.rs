//! `wicketgate.d.ts` beside the rules: what they see, for an editor that completes and checks. `jsconfig.json` tells the
//! editor to look there; one that is there already is the admin's own and stays.
//!
//! Trap: the tracker has to be asked for its fields. A pull must not fail where it is down: the rules are what counts.

use super::{ApiClient, Folder};

const FILE: &str = "wicketgate.d.ts";
const CONFIG: &str = "jsconfig.json";
/// Each rule is a scope of its own, and nothing of a browser is in it.
const CONFIG_TEXT: &str = r#"{
  "compilerOptions": {
    "checkJs": true,
    "target": "es2023",
    "lib": ["es2023"],
    "types": [],
    "moduleDetection": "force"
  },
  "include": ["outgoing.js", "incoming.js", "wicketgate.d.ts"]
}
"#;

/// Arguments of `rule declarations`.
#[derive(Debug, clap::Args)]
pub(super) struct Declarations {
    #[command(flatten)]
    pub(super) which: super::Which,
    /// One more entity type than those of its triggers and twins
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) entity_type: Option<String>,
}

/// The declarations of a connection.
pub(super) async fn text(api: &ApiClient, id: &str, entity_type: Option<&str>) -> anyhow::Result<String> {
    let query: Vec<(&str, &str)> = entity_type.map(|entity_type| ("entity_type", entity_type)).into_iter().collect();
    api.text(&["connections", id, "rules", "declarations"], &query).await
}

/// Writes them into the directory; the answer is why they could not be had.
pub(super) async fn write(api: &ApiClient, id: &str, folder: &Folder) -> anyhow::Result<Option<anyhow::Error>> {
    match text(api, id, None).await {
        Ok(text) => {
            folder.put(FILE, &text)?;
            folder.put_if_none(CONFIG, CONFIG_TEXT)?;
            Ok(None)
        }
        Err(error) => Ok(Some(error)),
    }
}
