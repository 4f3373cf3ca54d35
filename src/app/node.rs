//! One node, from its configuration to its last answer.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::{notify, trackers};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, Role},
    domain::{ids::derived, rule::RuleEngine},
    http_client::{Guard, client},
    lifecycle::Lifecycle,
    link::{self, Link},
    rules::{Pool, PoolSettings, limits},
    secret::Sealer,
    server::{
        self,
        kit::{accounts, node as door},
    },
    store::{Store, keyfile},
    sync::{self, Engine},
    telemetry::Metrics,
};

/// How long an orderly stop may take.
const GRACE: Duration = Duration::from_millis(3_500);
/// `SIGXFSZ`, the same number on Linux and the BSDs.
const XFSZ: i32 = 25;

/// What a node takes from outside besides its configuration.
#[derive(Clone)]
pub struct Outside {
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The program that becomes a rule worker with the argument `rule-worker`.
    pub program: PathBuf,
    /// Where the key file is lost for good: forget what was sealed with it and start with a new one.
    pub forget_sealed: bool,
}

impl Outside {
    /// The system's clock and this program.
    pub fn system() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        Ok(Self { clock: Arc::new(SystemClock), program, forget_sealed: false })
    }
}

/// Opens the store with its key. A new key beside an older database would open nothing of what is sealed there, so it is
/// made only where that is said to be forgotten.
async fn open_store(config: &Config, outside: &Outside) -> anyhow::Result<Store> {
    let (dir, url, clock) = (&config.node.data_dir, &config.store.url, &outside.clock);
    let lost = !keyfile::is_there(dir) && Store::is_there(url, dir);
    anyhow::ensure!(
        !lost || outside.forget_sealed,
        "the key file {} is missing, and the database beside it was sealed with it. Put it back from your backup. If it is \
         lost for good, start once with --forget-sealed: the node gets a new identity. Then sign in again at trackers where \
         a person signs in, register the new addresses of the doors, and re-key each connection: a new invitation on it, \
         accepted at the other end",
        dir.join(keyfile::NAME).display()
    );
    let sealer = Arc::new(Sealer::new(&[keyfile::load_or_create(dir, clock.as_ref())?]));
    let store = Store::open(url, dir, sealer, clock.clone()).await?;
    if lost {
        store.write("forget_sealed", |tx| Box::pin(async move { tx.forget_sealed().await })).await?;
        tracing::warn!("the key file was lost: what was sealed with it is forgotten, and this node has a new identity");
    }
    Ok(store)
}

/// A running node.
pub struct Node {
    /// Where its doors listen.
    pub addresses: Vec<SocketAddr>,
    /// Its store.
    pub store: Store,
    /// Its engine.
    pub engine: Engine,
    /// Its link.
    pub link: Link,
    /// Its trackers.
    pub trackers: sync::Trackers,
    /// Where it has no account: the address that makes the first. It holds a secret.
    pub set_up: Option<String>,
    lifecycle: Lifecycle,
}

impl Node {
    /// Opens, joins and starts everything; returns when the doors listen.
    pub async fn start(config: &Config, outside: Outside) -> anyhow::Result<Self> {
        let lifecycle = Lifecycle::default();
        let clock = outside.clock.clone();
        let store = open_store(config, &outside).await?;
        let rules: Arc<dyn RuleEngine> = Arc::new(Pool::new(PoolSettings {
            program: outside.program,
            args: vec!["rule-worker".into()],
            workers: 2,
            wall: limits::WALL,
        }));
        let opened = trackers::open(&config.trackers, &store, &clock, &rules).await?;
        let link = open_link(config, &store, &clock, &lifecycle, &opened).await?;
        let fingerprint = link.fingerprint();
        let via = opened.trackers.keys().map(|name| (name.clone(), derived(&["via", &fingerprint, name]).to_string()));
        let known: sync::Trackers = Arc::new(opened.trackers.clone());
        let engine = Engine::new(sync::Parts {
            store: store.clone(),
            clock: clock.clone(),
            trackers: known.clone(),
            rules: rules.clone(),
            lifecycle: lifecycle.clone(),
            looks: opened.looks.clone(),
            reconciles: opened.reconciles.clone(),
            trusted_messages: opened.trusted.clone(),
            via: via.collect(),
            keep_history: config.keep.history.0,
            keep_messages: config.keep.messages.0,
        });
        let for_login = trackers::Opened {
            trackers: opened.trackers.clone(),
            salesforce: opened.salesforce.clone(),
            ..trackers::Opened::default()
        };
        let parts = door::Parts {
            store: store.clone(),
            clock: clock.clone(),
            engine: engine.clone(),
            link: link.clone(),
            trackers: known.clone(),
            rules,
            salesforce: opened.salesforce,
            hooks: opened.hooks,
            sign_ins: opened.sign_ins,
            lifecycle: lifecycle.clone(),
            metrics: Arc::new(Metrics::default()),
        };
        notify::start(config, &store, &clock, &lifecycle).await?;
        let doors = door::Node::open(parts, &config.node, &config.api).await?;
        let listening = server::bind(&config.node, config.role.listen(), &doors)?;
        engine.start();
        trackers::warm_up(&for_login, &clock, &lifecycle);
        link.start();
        let set_up = accounts::set_up_link(&doors);
        Ok(Self { addresses: listening.addrs, store, engine, link, trackers: known, set_up, lifecycle })
    }

    /// Resolves when something asked the node to stop: a task that crashed, for one.
    pub async fn stopping(&self) {
        self.lifecycle.stopping().await;
    }

    /// Orderly: parked polls are answered, leases given back, files closed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.lifecycle.stop();
        let crashed = self.lifecycle.finish(GRACE).await;
        self.store.close().await;
        crashed.map_err(|task| anyhow::anyhow!("the task `{task}` crashed"))
    }
}

async fn open_link(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    lifecycle: &Lifecycle,
    opened: &trackers::Opened,
) -> anyhow::Result<Link> {
    let guard = Guard::stranger(config.link.allow_addresses.clone());
    let http = client(&config.link.network, &guard).context("[link]")?;
    let parts = link::Parts {
        store: store.clone(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        node_name: config.node.name.clone(),
        public_url: if config.role == Role::Public { config.node.public_url.clone() } else { None },
        http,
        guard,
        wait: config.link.wait.0,
        tracker_kinds: opened.kinds.clone(),
    };
    Ok(Link::open(parts).await?)
}

/// Runs a node until a signal, or until it stops by itself.
pub async fn run(config: Config, forget_sealed: bool) -> anyhow::Result<()> {
    // A write beyond the limit on file sizes (`ulimit -f`) would end the process; handled, it fails as on a full disk.
    let _beyond = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(XFSZ))?;
    let node = Node::start(&config, Outside { forget_sealed, ..Outside::system()? }).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    for address in &node.addresses {
        tracing::info!(node = config.node.name, "listening on {address}");
    }
    if let Some(link) = &node.set_up {
        // Not to the log, which is kept and read by others. A closed output is nobody's loss: the next start tells anew.
        let _ = writeln!(io::stdout().lock(), "Nobody has an account on this node yet. Make the first one here:\n\n  {link}\n");
    }
    let tokens = node.store.read("tokens", |tx| Box::pin(async move { tx.tokens().await })).await?;
    if config.api.admin_token.is_none() && tokens.is_empty() {
        tracing::warn!(
            "no program can use the API: make a token with an account, or set WICKETGATE_ADMIN_TOKEN (or `[api] admin_token`) and start again"
        );
    }
    tokio::select! {
        () = node.stopping() => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tracing::info!("stopping");
    node.stop().await
}
