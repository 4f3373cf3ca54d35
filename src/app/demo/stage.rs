//! The stage: two sandboxes, two nodes, one connection.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::{
    app::node::{Node, Outside},
    clock::{Clock, SystemClock, Time},
    config::{Config, Role},
    http_client::{Guard, Network, client},
    sandbox::{
        org::{self, Org, OrgSettings, OutboundMessage},
        tracker::{self, Hook, SandboxTracker, TrackerSettings},
    },
    secret::{Secret, base64url},
};

/// Where the private node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this process.
    Here,
    /// In a process of its own, so that it can be killed.
    Apart,
}

enum Running {
    Here(Box<Node>),
    Apart(Child),
}

/// A node as the demo knows it: an address and a token.
pub(super) struct Player {
    pub url: String,
    pub token: String,
    config: PathBuf,
    running: Option<Running>,
}

/// Everything that plays.
pub(super) struct Stage {
    pub org: org::Running,
    pub tracker: tracker::RunningTracker,
    pub public: Player,
    pub private: Player,
    pub clock: Arc<dyn Clock>,
    /// Of [`ACCOUNT`] on both consoles.
    pub password: String,
    http: reqwest::Client,
    folder: PathBuf,
}

/// Who signs in to the consoles of the demo.
pub(super) const ACCOUNT: &str = "admin";

const FIELDS: [&str; 7] = ["CaseNumber", "Description", "LastModifiedById", "Priority", "Status", "Subject", "SystemModstamp"];

impl Stage {
    /// Starts all and joins the two nodes by an invitation. `known_ports`: the addresses people can remember, where free.
    pub(super) async fn set(private: Place, known_ports: bool) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = std::env::temp_dir().join(format!("wicketgate-demo-{}", clock.id()));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let port = |wanted: u16| address(if known_ports { wanted } else { 0 });
        let org = Org::start(OrgSettings { addr: port(8090)?, ..OrgSettings::default() }, clock.clone()).await?;
        let secret = Secret::new("whsec_ZGVtby10cmFja2VyLXNlY3JldC0wMDAwMDAwMQ==");
        let settings = TrackerSettings { addr: port(8091)?, secret: secret.clone(), ..TrackerSettings::default() };
        let tracker = SandboxTracker::start(settings, clock.clone()).await?;
        let public = Player::write(&folder, "public", port(8080)?, clock.as_ref(), |url| public_toml(url, &org))?;
        let private_player = Player::write(&folder, "private", port(8081)?, clock.as_ref(), |_| private_toml(&tracker, &secret))?;
        let http = client(&Network::default(), &Guard::Operator)?;
        let password = random(clock.as_ref(), 12);
        let mut stage = Self { org, tracker, public, private: private_player, clock, password, http, folder };
        stage.public.start(Role::Public, Place::Here).await?;
        stage.private.start(Role::Private, private).await?;
        stage.ready(&stage.public).await?;
        stage.ready(&stage.private).await?;
        stage.join(secret).await?;
        for player in [&stage.public, &stage.private] {
            let account = json!({"name": ACCOUNT, "role": "admin", "password": stage.password});
            stage.post(player, "/users", account).await?;
        }
        Ok(stage)
    }

    async fn join(&self, secret: Secret) -> anyhow::Result<()> {
        let made = self
            .post(
                &self.public,
                "/connections",
                json!({"tracker": "support", "destination_url": null, "mode": "basic",
                "local_short_name": "support", "remote_short_name": "helpdesk"}),
            )
            .await?;
        let id = text(&made, "/id")?;
        self.post(&self.public, &format!("/connections/{id}/triggers"), json!({"entity_type": "Case", "filter": ""})).await?;
        let code = text(&made, "/invitation/code")?;
        let joined = self.post(&self.private, "/invitations/accept", json!({"code": code, "tracker": "helpdesk"})).await?;
        let there = text(&joined, "/id")?;
        self.post(&self.private, &format!("/connections/{there}/triggers"), json!({"entity_type": "issue", "filter": ""}))
            .await?;
        let checked = self.post(&self.public, "/trackers/support/check", json!({})).await?;
        ensure!(checked["ok"] == true, "the org does not pass its check: {checked}");
        let support = self.get(&self.public, "/trackers/support").await?;
        let helpdesk = self.get(&self.private, "/trackers/helpdesk").await?;
        self.org.handle.set_outbound_message(OutboundMessage {
            object: "Case".to_owned(),
            url: text(&support, "/outbound_message_url")?,
            fields: FIELDS.iter().map(|name| (*name).to_owned()).collect(),
        });
        self.tracker.handle.set_hook(Some(Hook { url: text(&helpdesk, "/webhook_url")?, secret }));
        Ok(())
    }

    /// The agent creates a Case.
    pub(super) fn new_case(&self, subject: &str) -> anyhow::Result<String> {
        let agent = self.org.handle.agent_user();
        let fields = json!({"Subject": subject, "Description": "Told by the customer.", "Origin": "Phone"});
        self.org.handle.create("Case", &fields, &agent).map_err(|error| anyhow::anyhow!("the org refused the Case: {error:?}"))
    }

    /// Waits until the tracker holds an issue for this Case, with its subject.
    pub(super) async fn case_arrives(&self, case: &str, patience: Duration) -> anyhow::Result<Duration> {
        let subject = self.org.handle.get(case).and_then(|case| case.get("Subject").cloned()).unwrap_or_default();
        self.until(patience, "the Case in the tracker", || self.issue(&subject).is_some()).await
    }

    /// Somebody edits an issue in the tracker; waits until the Case has the new subject.
    pub(super) async fn edit_comes_back(&self, from: &str, to: &str, patience: Duration) -> anyhow::Result<Duration> {
        let key = self.issue(&json!(from)).with_context(|| format!("no issue is called {from:?}"))?;
        self.tracker.handle.edit(&key, &json!({ "summary": to }));
        let seen = || self.org.handle.all("Case").iter().any(|case| case["Subject"] == to);
        self.until(patience, "the edit in the org", seen).await
    }

    /// Key of the issue with this summary.
    pub(super) fn issue(&self, summary: &Value) -> Option<String> {
        self.tracker.handle.all().into_iter().find(|issue| issue.fields.get("summary") == Some(summary)).map(|issue| issue.key)
    }

    /// Waits for something that can be seen, and tells how long it took.
    pub(super) async fn until(&self, patience: Duration, what: &str, seen: impl Fn() -> bool) -> anyhow::Result<Duration> {
        let begun = self.clock.now();
        loop {
            let waited = self.clock.now().since(begun);
            if seen() {
                return Ok(waited);
            }
            if waited > patience {
                bail!("waited {} s in vain for {what}", patience.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills the private node without a warning.
    pub(super) fn kill_private(&mut self) -> anyhow::Result<()> {
        let Some(Running::Apart(mut child)) = self.private.running.take() else { bail!("the private node is not apart") };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts it again.
    pub(super) async fn restart_private(&mut self) -> anyhow::Result<()> {
        self.private.start(Role::Private, Place::Apart).await?;
        self.ready(&self.private).await
    }

    async fn ready(&self, player: &Player) -> anyhow::Result<()> {
        let begun = self.clock.now();
        while self.clock.now().since(begun) < Duration::from_secs(20) {
            let answer = self.http.get(format!("{}/readyz", player.url)).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} did not become ready", player.url)
    }

    /// What the API answers.
    pub(super) async fn get(&self, player: &Player, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/api/v1{path}", player.url)).bearer_auth(&player.token);
        answer(path, request.timeout(Duration::from_secs(10)).send().await?).await
    }

    async fn post(&self, player: &Player, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}/api/v1{path}", player.url)).bearer_auth(&player.token).json(&body);
        answer(path, request.timeout(Duration::from_secs(20)).send().await?).await
    }

    /// Stops all and removes the folder.
    pub(super) async fn strike(mut self) -> anyhow::Result<()> {
        for player in [&mut self.private, &mut self.public] {
            match player.running.take() {
                Some(Running::Here(node)) => node.stop().await?,
                Some(Running::Apart(mut child)) => {
                    child.kill()?;
                    child.wait()?;
                }
                None => {}
            }
        }
        self.org.stop().await;
        self.tracker.stop().await;
        std::fs::remove_dir_all(&self.folder).with_context(|| self.folder.display().to_string())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Some(Running::Apart(child)) = &mut self.running {
            // Nobody is left to be told; the child may be gone already.
            let _ = child.kill();
        }
    }
}

impl Player {
    fn write(
        folder: &Path,
        name: &str,
        listen: SocketAddr,
        clock: &dyn Clock,
        rest: impl FnOnce(&str) -> String,
    ) -> anyhow::Result<Self> {
        let (token, url) = (random(clock, 24), format!("http://{listen}"));
        let data = folder.join(name);
        let text = format!(
            "[node]\nname = \"demo-{name}\"\nlisten = \"{listen}\"\ndata_dir = \"{}\"\nworkers = 2\n{}\n[api]\nadmin_token = \"{token}\"\n",
            data.display(),
            rest(&url)
        );
        let config = folder.join(format!("{name}.toml"));
        std::fs::write(&config, text)?;
        Ok(Self { url, token, config, running: None })
    }

    async fn start(&mut self, role: Role, place: Place) -> anyhow::Result<()> {
        let outside = Outside::system()?;
        self.running = Some(match place {
            Place::Here => {
                let config = Config::load(&self.config, std::iter::empty(), role)?;
                Running::Here(Box::new(Node::start(&config, outside).await?))
            }
            Place::Apart => {
                let mut command = Command::new(&outside.program);
                command.arg("relay").arg("--config").arg(&self.config);
                Running::Apart(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
            }
        });
        Ok(())
    }
}

async fn answer(path: &str, answer: reqwest::Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status.is_success(), "{path} answered {status}: {body}");
    if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&body)?) }
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no {pointer} in {value}"))
}

/// So many random bytes, to be typed or copied.
fn random(clock: &dyn Clock, bytes: usize) -> String {
    let mut random = vec![0u8; bytes];
    clock.random(&mut random);
    base64url(&random)
}

/// The wanted loopback port where it is free, else any free one.
fn address(wanted: u16) -> anyhow::Result<SocketAddr> {
    let free = TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(free.local_addr()?)
}

fn public_toml(url: &str, org: &org::Running) -> String {
    let settings = OrgSettings::default();
    format!(
        "public_url = \"{url}\"\n[link]\nallow_addresses = [\"127.0.0.0/8\"]\n[trackers.support]\nkind = \"salesforce\"\n\
         login_url = \"{}\"\nflow = \"client-credentials\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
         external_id_fields = {{ Case = \"Wicketgate_Id__c\" }}\nlook = \"30s\"\n",
        org.url,
        settings.client_id,
        settings.client_secret.expose(),
    )
}

fn private_toml(tracker: &tracker::RunningTracker, secret: &Secret) -> String {
    let url = tracker.entities_url();
    format!(
        "[link]\nallow_addresses = [\"127.0.0.0/8\"]\n[trackers.helpdesk]\nkind = \"webhook\"\nurl = \"{url}\"\n\
         read_url = \"{url}\"\nsecret = \"{}\"\n",
        secret.expose()
    )
}

/// Milliseconds since a moment.
pub(super) fn millis(clock: &dyn Clock, begun: Time) -> u128 {
    clock.now().since(begun).as_millis()
}
