//! The sections that belong to no other module: `[store]`, `[link]`, `[keep]`.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::section::Reader;
use crate::{
    clock::Span,
    http_client::Network,
    trackers::{notify, standard_webhooks::Signer},
};

const DAY: Duration = Duration::from_secs(86_400);

/// `[store]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite:NAME`; a relative name stands in the data folder.
    pub url: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { url: "sqlite:wicketgate.db".to_owned() }
    }
}

impl StoreSettings {
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        if self.url.strip_prefix("sqlite:").is_none_or(str::is_empty) {
            reader.problem(&["store", "url"], "must be sqlite:NAME; PostgreSQL is not in this version");
        }
    }
}

/// `[link]`: how a private node dials.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSettings {
    /// Longest held exchange to ask for: 1 s to 300 s. Proxies that cut earlier teach a shorter one.
    pub wait: Span,
    /// Inside networks that an address by API, code or rule may name; `http://` only there.
    pub allow_addresses: Vec<IpNet>,
    /// `[network]` with what `[link]` sets again.
    #[serde(skip)]
    pub network: Network,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self { wait: Span(Duration::from_secs(50)), allow_addresses: Vec::new(), network: Network::default() }
    }
}

impl LinkSettings {
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&self.wait.0) {
            reader.problem(&["link", "wait"], "must lie between 1s and 300s: the other node holds no request longer");
        }
    }
}

/// `[keep]`: how long what is done with is kept. Twins, their last state and traces stay.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepSettings {
    /// Lines of history.
    pub history: Span,
    /// Messages as they arrived.
    pub messages: Span,
}

impl Default for KeepSettings {
    fn default() -> Self {
        Self { history: Span(400 * DAY), messages: Span(8 * DAY) }
    }
}

/// `[notify]` is the notices' own; what its keys do not show one by one is refused here.
pub(super) fn check_notify(notify: &notify::Settings, reader: &mut Reader<'_>) {
    if !matches!(notify.url.scheme(), "http" | "https") {
        reader.problem(&["notify", "url"], "must be an http:// or https:// address");
    }
    if let Err(why) = Signer::new(&notify.secret) {
        reader.problem(&["notify", "secret"], &why.to_string());
    }
}
