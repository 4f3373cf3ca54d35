//! A directory with a connection's rules, made for somebody's git.
//!
//! Texts are written and read byte for byte. `rule.json` is written last: a pull that ended half-way keeps the older
//! version noted, and the node refuses what is pushed on it.

use std::{fs, io, path::PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TICKET: &str = "rule.json";

/// Where rules are kept as files.
pub(super) struct Folder(pub(super) PathBuf);

/// Both rules.
#[derive(PartialEq)]
pub(super) struct Pair {
    pub(super) outgoing: String,
    pub(super) incoming: String,
}

/// Content of `rule.json`: what the texts beside it were pulled from.
#[derive(Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) connection_id: String,
    pub(super) connection_name: String,
    /// The version that they are, or began from.
    pub(super) base: u64,
}

impl Pair {
    /// Out of an answer of the API.
    pub(super) fn read(answer: &Value) -> anyhow::Result<Self> {
        let text =
            |rule: &str| answer[rule].as_str().map(str::to_owned).with_context(|| format!("the answer holds no {rule} rule"));
        Ok(Self { outgoing: text("outgoing")?, incoming: text("incoming")? })
    }
}

impl Folder {
    /// The file of a rule.
    pub(super) fn file(&self, rule: &str) -> PathBuf {
        self.0.join(format!("{rule}.js"))
    }

    /// Both rules.
    pub(super) fn pair(&self) -> anyhow::Result<Pair> {
        let read = |rule: &str| {
            let file = self.file(rule);
            fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
        };
        Ok(Pair { outgoing: read("outgoing")?, incoming: read("incoming")? })
    }

    /// The same, where there is one of them.
    pub(super) fn pair_if_any(&self) -> anyhow::Result<Option<Pair>> {
        let read = |rule: &str| {
            let file = self.file(rule);
            match fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(Some).with_context(|| format!("{} cannot be read", file.display())),
            }
        };
        Ok(match (read("outgoing")?, read("incoming")?) {
            (None, None) => None,
            (outgoing, incoming) => Some(Pair { outgoing: outgoing.unwrap_or_default(), incoming: incoming.unwrap_or_default() }),
        })
    }

    /// What they were pulled from.
    pub(super) fn ticket(&self) -> anyhow::Result<Ticket> {
        let file = self.0.join(TICKET);
        let shown = file.display();
        let text =
            fs::read_to_string(&file).with_context(|| format!("{shown} cannot be read; `wicketgate rule pull` makes it"))?;
        serde_json::from_str(&text).with_context(|| format!("{shown} is not as `wicketgate rule pull` makes it"))
    }

    /// Writes both rules and what they are.
    pub(super) fn write(&self, pair: &Pair, ticket: &Ticket) -> anyhow::Result<()> {
        fs::create_dir_all(&self.0).with_context(|| format!("{} cannot be made", self.0.display()))?;
        for (rule, text) in [("outgoing", &pair.outgoing), ("incoming", &pair.incoming)] {
            self.put(&format!("{rule}.js"), text)?;
        }
        self.write_ticket(ticket)
    }

    /// Notes what they are.
    pub(super) fn write_ticket(&self, ticket: &Ticket) -> anyhow::Result<()> {
        self.put(TICKET, &format!("{:#}\n", serde_json::to_value(ticket)?))
    }

    /// Writes one file.
    pub(super) fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file = self.0.join(name);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Writes one file where there is none.
    pub(super) fn put_if_none(&self, name: &str, text: &str) -> anyhow::Result<()> {
        if self.0.join(name).exists() { Ok(()) } else { self.put(name, text) }
    }
}
