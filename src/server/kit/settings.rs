//! `[node]` and `[api]` of the configuration. The config room gathers them; what a value means is checked here or where
//! it is used.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::{secret::Secret, telemetry::LogSettings};

/// `[node]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// Shown to partners.
    pub name: String,
    /// Where others reach this node; `None` for a private one.
    pub public_url: Option<Url>,
    /// Where the doors listen: one address or a list; empty is the role's default. Port 0 takes a free one.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// Where the database and the keys are.
    pub data_dir: PathBuf,
    /// Certificate and key; `None`: plain HTTP, a proxy in front speaks TLS.
    pub tls: Option<TlsSettings>,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// An address of its own for `/metrics`, which then wants no token.
    pub metrics_listen: Option<SocketAddr>,
    /// Further names that a `Host` may say on loopback, beside `localhost` and the loopback addresses.
    pub hosts: Vec<String>,
    /// Threads that serve requests; `None`: one per core.
    pub workers: Option<usize>,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            name: "wicketgate".to_owned(),
            public_url: None,
            listen: Vec::new(),
            data_dir: PathBuf::from("/var/lib/wicketgate"),
            tls: None,
            trusted_proxies: Vec::new(),
            metrics_listen: None,
            hosts: Vec::new(),
            workers: None,
            log: LogSettings::default(),
        }
    }
}

/// `[node] tls`: PEM files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// Its key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// `[api]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    /// The first token, with scope `admin`; it lives in the configuration only.
    pub admin_token: Option<Secret>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an address like 0.0.0.0:8080, or a list of such")]
    enum Listen {
        One(SocketAddr),
        Many(Vec<SocketAddr>),
    }
    Ok(match Listen::deserialize(deserializer)? {
        Listen::One(address) => vec![address],
        Listen::Many(addresses) => addresses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_be_one_or_many() {
        let one: NodeSettings = toml::from_str("listen = \"0.0.0.0:8080\"").expect("one");
        assert_eq!(one.listen.len(), 1);
        let many: NodeSettings = toml::from_str("listen = [\"127.0.0.1:0\", \"[::1]:0\"]").expect("many");
        assert_eq!(many.listen.len(), 2);
        assert!(toml::from_str::<NodeSettings>("listn = \"x\"").is_err());
    }
}
