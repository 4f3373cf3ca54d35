//! The node as its doors see it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;
use url::Url;

use super::{
    accounts::Accounts,
    address::OwnHosts,
    door::{Doors, HookDoor, SalesforceDoor, SignIn},
    limiter::Limiter,
    settings::{ApiSettings, NodeSettings},
};
use crate::{
    clock::{Clock, Time},
    domain::rule::RuleEngine,
    lifecycle::Lifecycle,
    link::Link,
    secret::Secret,
    store::{Store, StoreError},
    sync::{Engine, Trackers},
    telemetry::Metrics,
};

/// What the assembly hands over.
pub struct Parts {
    /// Where all is kept.
    pub store: Store,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The sync engine.
    pub engine: Engine,
    /// The link to other nodes.
    pub link: Link,
    /// The systems beside this node.
    pub trackers: Trackers,
    /// What runs rules: the API shows the built-in pair.
    pub rules: Arc<dyn RuleEngine>,
    /// Doors for outbound messages, by tracker.
    pub salesforce: BTreeMap<String, Arc<dyn SalesforceDoor>>,
    /// Doors for webhooks, by tracker.
    pub hooks: BTreeMap<String, Arc<dyn HookDoor>>,
    /// Trackers where a person signs in.
    pub sign_ins: BTreeMap<String, Arc<dyn SignIn>>,
    /// When to stop.
    pub lifecycle: Lifecycle,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The node as its doors see it: app data of every worker.
pub struct Node {
    /// See [`Parts`]; the same names.
    pub parts: Parts,
    /// Shown to partners.
    pub name: String,
    /// Where others reach this node; `None` for a private one.
    pub public_url: Option<Url>,
    /// The first token, with scope `admin`.
    pub admin_token: Option<Secret>,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// What a `Host` may say on loopback.
    pub hosts: OwnHosts,
    /// Failures per caller.
    pub limiter: Limiter,
    /// What people's accounts need.
    pub accounts: Accounts,
    /// Tokens in the addresses of hooks, and what went wrong there.
    pub doors: Doors,
    /// When it was started.
    pub started_at: Time,
    local_url: ArcSwapOption<Url>,
    probed: ArcSwap<Probed>,
    probing: tokio::sync::Mutex<()>,
}

/// What the store last said of itself.
#[derive(Clone, Debug)]
pub struct Probed {
    /// When it was asked.
    pub at: Time,
    /// `Err`: why nothing can be accepted.
    pub result: Result<(), String>,
}

/// How long an answer of the store about itself is good.
const PROBE_AGE: Duration = Duration::from_secs(2);

impl std::ops::Deref for Node {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Node {
    /// A node with its door tokens loaded, or made at first start.
    pub async fn open(parts: Parts, node: &NodeSettings, api: &ApiSettings) -> Result<Arc<Self>, StoreError> {
        let names = parts.salesforce.keys().chain(parts.hooks.keys()).cloned().collect();
        let doors = Doors::open(&parts.store, parts.clock.clone(), names).await?;
        let accounts = Accounts::open(&parts.store, &parts.clock).await?;
        let own = node.public_url.iter().filter_map(|url| url.host_str()).map(str::to_owned);
        let now = parts.clock.now();
        Ok(Arc::new(Self {
            name: node.name.clone(),
            public_url: node.public_url.clone(),
            admin_token: api.admin_token.clone().filter(|token| !token.expose().is_empty()),
            trusted_proxies: node.trusted_proxies.clone(),
            hosts: OwnHosts::new(own.chain(node.hosts.iter().cloned())),
            limiter: Limiter::new(parts.clock.clone()),
            accounts,
            doors,
            started_at: now,
            local_url: ArcSwapOption::empty(),
            probed: ArcSwap::from_pointee(Probed { at: now.minus(PROBE_AGE * 2), result: Ok(()) }),
            probing: tokio::sync::Mutex::new(()),
            parts,
        }))
    }

    /// The hour.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Told once the listener is bound: where this machine reaches the node.
    pub fn listens_on(&self, address: SocketAddr, tls: bool) {
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        let scheme = if tls { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}", SocketAddr::new(ip, address.port())));
        self.local_url.store(url.ok().map(Arc::new));
    }

    /// An address of a door: under the public URL, else under what this machine calls the node.
    pub fn address(&self, path: &str) -> String {
        let local = self.local_url.load();
        let base = self.public_url.as_ref().or(local.as_deref()).map_or("", Url::as_str);
        format!("{}{path}", base.trim_end_matches('/'))
    }

    /// Whether the store accepts writes, asked at most every two seconds however many want to know.
    pub async fn store_health(&self) -> Result<(), String> {
        let fresh = |probed: &Probed| self.now().since(probed.at) < PROBE_AGE;
        if fresh(&self.probed.load()) {
            return self.probed.load().result.clone();
        }
        let _one = self.probing.lock().await;
        if fresh(&self.probed.load()) {
            return self.probed.load().result.clone();
        }
        let result = self.store.probe().await.map_err(|error| error.to_string());
        self.probed.store(Arc::new(Probed { at: self.now(), result: result.clone() }));
        result
    }
}
