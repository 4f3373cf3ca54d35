//! Two full nodes, a sandbox org and a sandbox tracker in one process, over real HTTP on free ports.
//!
//! [`World::start`] gives a joined pair; [`Settings`] bends it. A test speaks to nodes by the API ([`TestNode::get`] and
//! its sisters), to the far systems by what their people do, and waits with [`until`]. To test across processes, use
//! [`process::Process`].

pub mod anything;
pub mod clock;
pub mod described;
pub mod net;
pub mod node;
pub mod pace;
pub mod pair;
pub mod process;
pub mod receiver;
pub mod soap;
pub mod stranger;
pub mod stranger_node;
pub mod wire;

use std::{sync::Arc, time::Duration};

pub use node::{Answer, TestNode, free_address, http};
use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::{Clock, SystemClock},
    config::Role,
    sandbox::{
        org::{self, Org, OrgSettings, OutboundMessage},
        tracker::{self, Hook, SandboxTracker, TrackerSettings},
    },
    secret::Secret,
};

/// The admin token of every test node.
pub const TOKEN: &str = "test-admin-token-0123456789abcdef";
/// The secret of every sandbox tracker.
pub const HOOK_SECRET: &str = "whsec_dGVzdC10cmFja2VyLXNlY3JldC0wMDAwMDAwMQ==";
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Installs the TLS provider once per process, as `main` does.
pub fn provider() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// What may be bent before a world starts.
pub struct Settings {
    pub org: OrgSettings,
    pub tracker: TrackerSettings,
    /// Lines added to `[trackers.support]`.
    pub support: String,
    /// Lines added to `[trackers.helpdesk]`.
    pub helpdesk: String,
    /// The tracker can be asked (`read_url`).
    pub readable: bool,
    /// Whole sections added to the public node's configuration.
    pub public: String,
    /// Where others reach the public node, if not at its own listener.
    pub public_url: Option<String>,
    /// Lines added to the private node's `[link]`.
    pub private_link: String,
    pub public_clock: Arc<dyn Clock>,
    pub private_clock: Arc<dyn Clock>,
    /// Extra members of `POST /connections`.
    pub connection: Value,
    /// The node knows a field for the twin's id.
    pub marks: bool,
    /// Join the nodes and make triggers for everything.
    pub joined: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            org: OrgSettings::default(),
            tracker: TrackerSettings {
                secret: Secret::new(HOOK_SECRET),
                retry: Duration::from_millis(50),
                ..TrackerSettings::default()
            },
            support: "look = \"off\"\n".to_owned(),
            helpdesk: String::new(),
            readable: true,
            public: String::new(),
            public_url: None,
            private_link: String::new(),
            public_clock: Arc::new(SystemClock),
            private_clock: Arc::new(SystemClock),
            connection: json!({}),
            marks: true,
            joined: true,
        }
    }
}

/// Everything.
pub struct World {
    pub org: org::Running,
    pub tracker: tracker::RunningTracker,
    /// Beside the org.
    pub public: TestNode,
    /// Beside the tracker, behind the firewall.
    pub private: TestNode,
    /// The connection's id, the same on both; empty where not joined.
    pub connection: String,
    pub dir: TempDir,
}

/// The `[trackers.support]` section of a node beside this org.
pub fn support_section(org: &org::Running, more: &str) -> String {
    let settings = OrgSettings::default();
    format!(
        "[trackers.support]\nkind = \"salesforce\"\nlogin_url = \"{}\"\nflow = \"client-credentials\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\nexternal_id_fields = {{ Case = \"Wicketgate_Id__c\" }}\n{more}\n",
        org.url,
        settings.client_id,
        settings.client_secret.expose()
    )
}

/// The `[trackers.helpdesk]` section of a node beside this tracker.
pub fn helpdesk_section(tracker: &tracker::RunningTracker, readable: bool, more: &str) -> String {
    let url = tracker.entities_url();
    let read = if readable { format!("read_url = \"{url}\"\n") } else { String::new() };
    format!("[trackers.helpdesk]\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = \"{HOOK_SECRET}\"\n{read}{more}\n")
}

impl World {
    /// A joined pair with triggers for everything.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// The same, bent.
    pub async fn with(settings: Settings) -> Self {
        provider();
        let dir = TempDir::new().expect("a folder");
        let org = Org::start(settings.org, settings.public_clock.clone()).await.expect("the org starts");
        let tracker = SandboxTracker::start(settings.tracker, settings.private_clock.clone()).await.expect("the tracker starts");
        let allow = "[link]\nallow_addresses = [\"127.0.0.0/8\"]\n";
        let mut support = support_section(&org, &settings.support);
        if !settings.marks {
            support = support.replace("external_id_fields = { Case = \"Wicketgate_Id__c\" }\n", "");
        }
        let rest = format!("{allow}{support}{}", settings.public);
        let mut public = TestNode::new("public", dir.path(), Role::Public, settings.public_clock, &rest);
        if let Some(front) = &settings.public_url {
            let own = format!("public_url = \"{}\"", public.url);
            public.config = public.config.replace(&own, &format!("public_url = \"{front}\""));
        }
        let helpdesk = helpdesk_section(&tracker, settings.readable, &settings.helpdesk);
        let rest = format!("{allow}{}{helpdesk}", settings.private_link);
        let mut private = TestNode::new("private", dir.path(), Role::Private, settings.private_clock, &rest);
        public.start().await;
        private.start().await;
        let mut world = Self { org, tracker, public, private, connection: String::new(), dir };
        world.open_doors().await;
        if settings.joined {
            world.join(settings.connection).await;
        }
        world
    }

    /// An address of the public node at its own listener, whatever stands in front of it.
    fn at_public(&self, url: &str) -> String {
        let path = url.find("/salesforce/").map_or("", |at| &url[at..]);
        format!("{}{path}", self.public.url)
    }

    /// Registers the doors in the far systems, once the node knows its org.
    async fn open_doors(&self) {
        let checked = self.public.post("/trackers/support/check", json!({})).await;
        assert_eq!(checked["ok"], true, "{checked}");
        let support = self.public.get("/trackers/support").await;
        self.org.handle.set_outbound_message(OutboundMessage {
            object: "Case".to_owned(),
            url: self.at_public(support["outbound_message_url"].as_str().expect("a door")),
            fields: ["Description", "LastModifiedById", "Priority", "Status", "Subject", "SystemModstamp"]
                .map(str::to_owned)
                .to_vec(),
        });
        let helpdesk = self.private.get("/trackers/helpdesk").await;
        let url = helpdesk["webhook_url"].as_str().expect("a door").to_owned();
        self.tracker.handle.set_hook(Some(Hook { url, secret: Secret::new(HOOK_SECRET) }));
    }

    /// Makes a connection on the public node, accepts it on the private one, and makes triggers for everything.
    pub async fn join(&mut self, more: Value) {
        let mut wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic",
            "local_short_name": "support", "remote_short_name": "helpdesk"});
        for (name, value) in more.as_object().into_iter().flatten() {
            wanted[name] = value.clone();
        }
        let made = self.public.post("/connections", wanted).await;
        self.connection = made["id"].as_str().expect("an id").to_owned();
        let code = made["invitation"]["code"].as_str().expect("a code");
        let joined = self.private.post("/invitations/accept", json!({"code": code, "tracker": "helpdesk"})).await;
        assert_eq!(joined["id"].as_str(), Some(self.connection.as_str()), "the connection's id is the same on both nodes");
        let path = format!("/connections/{}/triggers", self.connection);
        self.public.post(&path, json!({"entity_type": "Case", "filter": ""})).await;
        self.private.post(&path, json!({"entity_type": "issue", "filter": ""})).await;
    }

    /// The agent creates a Case.
    pub fn new_case(&self, fields: Value) -> String {
        let agent = self.org.handle.agent_user();
        self.org.handle.create("Case", &fields, &agent).expect("the org takes it")
    }

    /// The agent edits a Case.
    pub fn edit_case(&self, id: &str, fields: Value) {
        let agent = self.org.handle.agent_user();
        self.org.handle.update(id, &fields, &agent).expect("the org takes it");
    }

    /// One field of a Case.
    pub fn case_field(&self, id: &str, name: &str) -> Value {
        self.org.handle.get(id).and_then(|case| case.get(name).cloned()).unwrap_or_default()
    }

    /// The issue with this summary, once there is one.
    pub async fn issue_with(&self, summary: &str) -> String {
        let find = || {
            let all = self.tracker.handle.all();
            all.into_iter()
                .find(|issue| !issue.deleted && issue.fields.get("summary") == Some(&json!(summary)))
                .map(|issue| issue.key)
        };
        until("an issue with that summary", || find().is_some()).await;
        find().expect("it was there")
    }

    /// The Case with this subject, once there is one.
    pub async fn case_with(&self, subject: &str) -> String {
        let find = || {
            let all = self.org.handle.all("Case");
            all.into_iter().find(|case| case["Subject"] == subject).and_then(|case| case["Id"].as_str().map(str::to_owned))
        };
        until("a Case with that subject", || find().is_some()).await;
        find().expect("it was there")
    }

    /// One field of an issue.
    pub fn issue_field(&self, key: &str, name: &str) -> Value {
        self.tracker.handle.get(key).and_then(|issue| issue.fields.get(name).cloned()).unwrap_or_default()
    }

    /// Waits until nothing waits on either node and the far systems have told all.
    pub async fn quiet(&self) {
        let mut calm = 0;
        for _ in 0..600 {
            let busy = self.tracker.handle.hooks_waiting() > 0
                || !queue_is_empty(&self.public).await
                || !queue_is_empty(&self.private).await;
            calm = if busy { 0 } else { calm + 1 };
            if calm == 6 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no quiet: {} {}", self.public.get("/queue").await, self.private.get("/queue").await);
    }

    /// Stops both nodes in order, and the far systems.
    pub async fn stop(mut self) {
        self.private.stop().await;
        self.public.stop().await;
        self.org.stop().await;
        self.tracker.stop().await;
    }
}

async fn queue_is_empty(node: &TestNode) -> bool {
    if node.node.is_none() {
        return true;
    }
    sum(&node.get("/queue").await) == 0
}

/// All counts of a queue that say something waits.
pub fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(name, _)| !matches!(name.as_str(), "inbox_bytes" | "parked")).map(|(_, value)| sum(value)).sum()
        }
        Value::Array(items) => items.iter().map(sum).sum(),
        Value::Number(number) => number.as_u64().unwrap_or(0),
        _ => 0,
    }
}

/// Waits until something can be seen.
pub async fn until(what: &str, seen: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !seen() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the API says something.
pub async fn until_said<F: Future<Output = bool>>(what: &str, mut said: impl FnMut() -> F) {
    let begun = std::time::Instant::now();
    while !said().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes a pair of rules on a connection in script mode.
pub async fn put_rules(node: &TestNode, connection: &str, outgoing: &str, incoming: &str) {
    let path = format!("/connections/{connection}/rules");
    let base = node.get(&path).await["published"]["version"].clone();
    node.post(&format!("{path}/publish"), json!({"outgoing": outgoing, "incoming": incoming, "base": base})).await;
}
