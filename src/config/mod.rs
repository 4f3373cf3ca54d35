//! Gathers the sections that modules define, loads, checks, explains.
//!
//! Flow: the file's text and the environment become one tree of TOML values (`source`); secrets that stand elsewhere are
//! fetched into it; each section is read into the type that its module defines (`section`), and every problem found on
//! the way is collected with its line, so that one start shows all of them. Modules never import this one: they are given
//! their section.
//!
//! Traps.
//! * A value from the environment has no type. It is taken as TOML where it parses, and as text where the section
//!   wants text: a password of digits stays a password.
//! * Problems never show a value of a secret key.
//! * A key that a module adds to its settings is known here by itself; a new *section* also goes to [`SECTIONS`], a new
//!   kind of tracker to `kinds`, a new secret to `source::SECRETS`.

mod kinds;
mod problem;
mod section;
mod sections;
mod show;
mod source;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use self::{
    problem::{ConfigError, Problem},
    sections::{KeepSettings, LinkSettings, StoreSettings},
};
use self::{section::Reader, source::Source};
use crate::{
    http_client::Network,
    server::kit::settings::{ApiSettings, NodeSettings},
    trackers::notify,
};

/// Sections of the file.
const SECTIONS: [&str; 8] = ["node", "api", "store", "trackers", "network", "link", "keep", "notify"];

/// Keys of `[network]` that may be set again under `[link]` or a tracker.
const NETWORK_KEYS: [&str; 4] = ["proxy", "no_proxy", "ca_file", "client_cert"];

/// Which sort of node the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `wicketgate serve`: others reach it.
    Public,
    /// `wicketgate relay`: it only dials out.
    Private,
}

impl Role {
    /// Where a node of this role listens unless told otherwise: a relay on loopback only.
    pub fn listen(self) -> SocketAddr {
        match self {
            Self::Public => (Ipv4Addr::UNSPECIFIED, 8080).into(),
            Self::Private => (Ipv4Addr::LOCALHOST, 8081).into(),
        }
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which sort of node.
    pub role: Role,
    /// `[node]`; `listen` is never empty.
    pub node: NodeSettings,
    /// `[api]`.
    pub api: ApiSettings,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[network]`.
    pub network: Network,
    /// `[link]`; its `network` is that of `[network]` with what `[link]` sets again.
    pub link: LinkSettings,
    /// `[keep]`.
    pub keep: KeepSettings,
    /// `[notify]`, where it is wanted.
    pub notify: Option<notify::Settings>,
    /// `[trackers.NAME]`.
    pub trackers: BTreeMap<String, TrackerSection>,
    /// The tree as loaded, for [`Config::effective`].
    source: Arc<Source>,
}

/// One `[trackers.NAME]`; its kind's module knows the rest of its keys.
#[derive(Clone)]
pub struct TrackerSection {
    /// Its name.
    pub name: String,
    /// `salesforce`, `webhook`…
    pub kind: String,
    /// `[network]` with what the tracker sets again.
    pub network: Network,
    rest: Table,
    source: Arc<Source>,
}

impl fmt::Debug for TrackerSection {
    /// The rest of its keys holds secrets that no type guards yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackerSection").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl TrackerSection {
    /// The kind's own settings: all keys but `kind` and those of `[network]`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut reader = Reader::new(&self.source);
        let more: Vec<&str> = NETWORK_KEYS.into_iter().chain(["kind"]).collect();
        let settings = reader.read(&["trackers", &self.name], self.rest.clone(), &more);
        settings.ok_or_else(|| self.source.error(reader.problems))
    }
}

impl Config {
    /// Loads a file. `env` is the environment, of which only `WICKETGATE__…`, `WICKETGATE_ADMIN_TOKEN` and the names
    /// that `{ env = "…" }` asks for are looked at.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>, role: Role) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = source::read_limited(path).map_err(|why| ConfigError {
            file: file.clone(),
            problems: vec![Problem::whole(format!("cannot be read: {why}"))],
        })?;
        Self::parse(&file, &text, env, role)
    }

    /// Checks a text; `file` is its name in problems.
    pub fn parse(
        file: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
        role: Role,
    ) -> Result<Self, ConfigError> {
        let (source, problems) = Source::load(file, text, env)?;
        let source = Arc::new(source);
        let mut reader = Reader::new(&source);
        reader.problems = problems;
        let config = gather(&mut reader, &source, role);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(source.error(reader.problems)),
        }
    }

    /// Which role a text is for: a node with a `public_url` is a public one.
    pub fn role_of(text: &str, env: impl IntoIterator<Item = (String, String)>) -> Role {
        let named = Source::load("", text, env)
            .is_ok_and(|(source, _)| source.tree.get("node").is_some_and(|node| node.get("public_url").is_some()));
        if named { Role::Public } else { Role::Private }
    }

    /// The configuration as it works, defaults included, secrets masked, as TOML.
    pub fn effective(&self) -> String {
        show::effective(self, &self.source.tree)
    }
}

/// Reads all sections; `None` where one cannot be read, with the reasons in `reader`.
fn gather(reader: &mut Reader<'_>, source: &Arc<Source>, role: Role) -> Option<Config> {
    reader.refuse_unknown_sections(&SECTIONS);
    let node = reader.section::<NodeSettings>("node").map(|node| check_node(reader, node, role));
    let api = reader.section("api");
    let store = reader.section::<StoreSettings>("store").inspect(|store| store.check(reader));
    let network = reader.section::<Network>("network");
    let link = gather_link(reader, network.as_ref());
    let keep = reader.section("keep");
    let notify = match source.tree.contains_key("notify") {
        true => reader.section("notify").inspect(|notify| sections::check_notify(notify, reader)).map(Some),
        false => Some(None),
    };
    let trackers = gather_trackers(reader, source, network.as_ref());
    Some(Config {
        role,
        node: node?,
        api: api?,
        store: store?,
        network: network?,
        link: link?,
        keep: keep?,
        notify: notify?,
        trackers,
        source: source.clone(),
    })
}

fn check_node(reader: &mut Reader<'_>, mut node: NodeSettings, role: Role) -> NodeSettings {
    if node.listen.is_empty() {
        node.listen.push(role.listen());
    }
    let length = node.name.chars().count();
    if length == 0 || length > 80 || node.name.chars().any(char::is_control) {
        reader.problem(&["node", "name"], "must have 1 to 80 characters, none of them a control character");
    }
    if let Err(why) = node.log.check() {
        reader.problem(&["node", "log", "filter"], &why.to_string());
    }
    match (role, &node.public_url) {
        (Role::Public, None) => reader.problem(
            &["node", "public_url"],
            "is missing: `serve` needs the address at which others reach this node (https://sync.example.com); a node that \
             only dials out is started with `wicketgate relay`",
        ),
        (Role::Private, Some(_)) => reader.problem(
            &["node", "public_url"],
            "has no place on a relay: nothing ever dials in there; remove it, or start the node with `wicketgate serve`",
        ),
        (Role::Public, Some(url)) => {
            let plain = matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if !plain {
                reader.problem(
                    &["node", "public_url"],
                    "must be a plain http:// or https:// address without user, query or fragment",
                );
            }
        }
        (Role::Private, None) => {}
    }
    node
}

fn gather_link(reader: &mut Reader<'_>, base: Option<&Network>) -> Option<LinkSettings> {
    let mut table = reader.table("link")?;
    let own = split_network(&mut table);
    let own: Option<Network> = reader.read(&["link"], own, &[]);
    let link: Option<LinkSettings> = reader.read(&["link"], table, &NETWORK_KEYS);
    let (mut link, own, base) = (link?, own?, base?);
    link.check(reader);
    link.network = own.over(base);
    Some(link)
}

fn gather_trackers(reader: &mut Reader<'_>, source: &Arc<Source>, base: Option<&Network>) -> BTreeMap<String, TrackerSection> {
    let mut trackers = BTreeMap::new();
    for (name, value) in reader.table("trackers").unwrap_or_default() {
        let path = ["trackers", name.as_str()];
        let Value::Table(mut rest) = value else {
            reader.problem(&path, "must be a section: [trackers.NAME] with a `kind`");
            continue;
        };
        if !is_name(&name) {
            reader.problem(&path, "a tracker's name has 1 to 40 letters, digits, `-` and `_`, and begins with a letter or digit");
        }
        let own = split_network(&mut rest);
        let network: Option<Network> = reader.read(&path, own, &[]);
        let Some(Value::String(kind)) = rest.remove("kind") else {
            reader.problem(&["trackers", &name, "kind"], &format!("is missing: one of {}", kinds::names()));
            continue;
        };
        let (Some(network), Some(base)) = (network, base) else { continue };
        let section = TrackerSection { name: name.clone(), kind, network: network.over(base), rest, source: source.clone() };
        kinds::check(reader, &section);
        trackers.insert(name, section);
    }
    trackers
}

/// Takes the keys of `[network]` out of another section.
fn split_network(table: &mut Table) -> Table {
    NETWORK_KEYS.into_iter().filter_map(|key| table.remove(key).map(|value| (key.to_owned(), value))).collect()
}

/// Names stand in addresses and in the environment's variables.
fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_')
        && !name.contains("__")
}

#[cfg(test)]
mod tests;
