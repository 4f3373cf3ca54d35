//! No secret in a log, in an answer, in the metrics, or readable in the database.
//!
//! Two nodes as processes of their own, logging all there is to log, go through a whole round trip and through what goes
//! wrong: a tracker that is away, logins that fail, wrong tokens at every door. Then every secret that was in play is
//! looked for wherever somebody could read.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use wicketgate::{
    clock::SystemClock,
    sandbox::{
        org::{Fault, FaultKind, Org, OrgSettings, OutboundMessage},
        tracker::{Hook, SandboxTracker, TrackerFault, TrackerFaultKind, TrackerSettings},
    },
    secret::Secret,
};

use crate::support::{
    HOOK_SECRET, TOKEN, free_address, helpdesk_section, http, process::Process, receiver::Receiver, support_section, until,
    until_said,
};

const PROXY_PASSWORD: &str = "proxy-pass-5c1f0e";
const LOG: &str = "log = { format = \"json\", filter = \"trace\" }\n";

/// What was in play, each with its name.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, name: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{name} is too short to be looked for: {secret}");
        self.0.push((name, secret));
    }

    /// Names of those that stand in `text`.
    fn found_in(&self, text: &[u8], except: &[&str]) -> Vec<&'static str> {
        let holds = |secret: &str| text.windows(secret.len()).any(|part| part == secret.as_bytes());
        self.0.iter().filter(|(name, secret)| !except.contains(name) && holds(secret)).map(|(name, _)| *name).collect()
    }
}

/// The members of a code that are secret.
fn secret_of(code: &str) -> String {
    let payload = code.split('.').nth(1).expect("a JWS has three parts");
    let json: Value = serde_json::from_slice(&wicketgate::secret::from_base64url(payload).expect("base64url")).expect("JSON");
    json["secret"].as_str().expect("a secret").to_owned()
}

fn door_token(tracker: &Value, member: &str) -> String {
    tracker[member].as_str().expect("an address").rsplit('/').next().expect("a token").to_owned()
}

struct Play {
    org: wicketgate::sandbox::org::Running,
    tracker: wicketgate::sandbox::tracker::RunningTracker,
    public: Process,
    private: Process,
    secrets: Secrets,
    dir: TempDir,
    _proxy: Receiver,
}

impl Play {
    async fn start() -> Self {
        crate::support::provider();
        let clock = std::sync::Arc::new(SystemClock);
        let org = Org::start(OrgSettings::default(), clock.clone()).await.expect("starts");
        let settings =
            TrackerSettings { secret: Secret::new(HOOK_SECRET), retry: Duration::from_millis(50), ..TrackerSettings::default() };
        let tracker = SandboxTracker::start(settings, clock).await.expect("starts");
        let dir = TempDir::new().expect("a folder");
        // A proxy that refuses everybody; what is on loopback goes past it.
        let proxy = Receiver::start(|_, _| (407, Vec::new(), String::new()));
        let network = format!(
            "[network]\nproxy = {{ url = \"{}\", username = \"svc\", password = \"{PROXY_PASSWORD}\" }}\nno_proxy = [\"127.0.0.0/8\"]\n",
            proxy.url
        );
        let node = |name: &str, more: &str| {
            let address = free_address();
            let text = format!(
                "[node]\nname = \"{name}\"\nlisten = \"{address}\"\ndata_dir = \"{}\"\nworkers = 1\n{LOG}{}[api]\nadmin_token = \
                 \"{TOKEN}\"\n[link]\nallow_addresses = [\"127.0.0.0/8\"]\n{network}{more}",
                dir.path().join(name).display(),
                if name == "public" { format!("public_url = \"http://{address}\"\n") } else { String::new() },
            );
            Process::new(if name == "public" { "serve" } else { "relay" }, &format!("http://{address}"), dir.path(), &text)
        };
        let notify = format!("[notify]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"{HOOK_SECRET}\"\n");
        let away =
            format!("[trackers.away]\nkind = \"webhook\"\nurl = \"http://tracker.invalid/\"\nsecret = \"{HOOK_SECRET}\"\n");
        let mut public = node("public", &format!("{}{notify}", support_section(&org, "look = \"off\"\n")));
        let mut private = node("private", &format!("{}{away}", helpdesk_section(&tracker, true, "")));
        public.start().await;
        private.start().await;
        Self { org, tracker, public, private, secrets: Secrets::default(), dir, _proxy: proxy }
    }

    /// Joins both, moves records both ways, and collects what is secret.
    async fn round_trip(&mut self) -> String {
        let settings = OrgSettings::default();
        self.secrets.add("admin token", TOKEN);
        self.secrets.add("client secret", settings.client_secret.expose());
        self.secrets.add("webhook secret", HOOK_SECRET.trim_start_matches("whsec_").trim_end_matches('='));
        self.secrets.add("proxy password", PROXY_PASSWORD);
        for (name, node) in [("seal key of the public node", "public"), ("seal key of the private node", "private")] {
            let key = std::fs::read_to_string(self.dir.path().join(node).join("seal.key")).expect("a key file");
            self.secrets.add(name, key.trim());
        }
        let (status, checked) = self.public.api("POST", "/trackers/support/check", Some(json!({}))).await;
        assert_eq!((status, &checked["ok"]), (200, &json!(true)), "{checked}");
        let support = self.public.api("GET", "/trackers/support", None).await.1;
        let helpdesk = self.private.api("GET", "/trackers/helpdesk", None).await.1;
        self.secrets.add("token of the SOAP door", door_token(&support, "outbound_message_url"));
        self.secrets.add("token of the hook", door_token(&helpdesk, "webhook_url"));
        self.org.handle.set_outbound_message(OutboundMessage {
            object: "Case".to_owned(),
            url: support["outbound_message_url"].as_str().expect("a door").to_owned(),
            fields: ["Subject", "SystemModstamp"].map(str::to_owned).to_vec(),
        });
        let url = helpdesk["webhook_url"].as_str().expect("a door").to_owned();
        self.tracker.handle.set_hook(Some(Hook { url, secret: Secret::new(HOOK_SECRET) }));
        let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "support",
            "remote_short_name": "helpdesk"});
        let made = self.public.api("POST", "/connections", Some(wanted)).await.1;
        let (id, code) = (made["id"].as_str().expect("an id").to_owned(), made["invitation"]["code"].as_str().expect("a code"));
        self.secrets.add("invitation's code", code);
        self.secrets.add("invitation's secret", secret_of(code));
        let joined = self.private.api("POST", "/invitations/accept", Some(json!({"code": code, "tracker": "helpdesk"}))).await;
        assert_eq!(joined.0, 201, "{}", joined.1);
        for (node, kind) in [(&self.public, "Case"), (&self.private, "issue")] {
            let trigger = json!({"entity_type": kind, "filter": ""});
            assert_eq!(node.api("POST", &format!("/connections/{id}/triggers"), Some(trigger)).await.0, 201);
        }
        let agent = self.org.handle.agent_user();
        self.org.handle.create("Case", &json!({"Subject": "Crosses"}), &agent).expect("taken");
        let issue = || self.tracker.handle.all().into_iter().find(|issue| issue.fields.get("summary") == Some(&json!("Crosses")));
        until("the issue", || issue().is_some()).await;
        self.tracker.handle.edit(&issue().expect("there").key, &json!({"summary": "Comes back"}));
        until("the edit", || self.org.handle.all("Case").iter().any(|case| case["Subject"] == "Comes back")).await;
        let body = json!({"name": "partner", "scopes": ["read"]});
        let made = self.public.api("POST", "/tokens", Some(body)).await.1;
        self.secrets.add("API token", made["secret"].as_str().expect("a secret"));
        id
    }

    /// What goes wrong, goes wrong.
    async fn go_wrong(&mut self, id: &str) {
        let renewed = self.public.api("POST", &format!("/connections/{id}/invitation"), None).await.1;
        let code = renewed["code"].as_str().expect("a code");
        self.secrets.add("second code", code);
        self.secrets.add("second code's secret", secret_of(code));
        // A code that was altered, and one at the wrong node.
        let altered = format!("{}x", code);
        for (node, code) in [(&self.private, altered.as_str()), (&self.public, code)] {
            let refused = node.api("POST", "/invitations/accept", Some(json!({"code": code, "tracker": "support"}))).await;
            assert!(refused.0 >= 400, "{}", refused.1);
        }
        // Wrong tokens at every door; each is as secret to who mistyped it as the right one.
        for (name, path) in
            [("wrong door token", "/salesforce/support/outbound-messages/"), ("wrong hook token", "/hooks/helpdesk/")]
        {
            let wrong = format!("mistyped-{}", uuid::Uuid::new_v4().simple());
            for node in [&self.public, &self.private] {
                http().post(format!("{}{path}{wrong}", node.url)).body("x").send().await.expect("an answer");
            }
            self.secrets.add(name, wrong);
        }
        let wrong = format!("mistyped-{}", uuid::Uuid::new_v4().simple());
        http().get(format!("{}/api/v1/status", self.public.url)).bearer_auth(&wrong).send().await.expect("an answer");
        self.secrets.add("wrong API token", wrong);
        let state =
            format!("{}/salesforce/support/oauth/callback?state=state-0123456789&code=one-time-code-0123456789", self.public.url);
        http().get(state).send().await.expect("an answer");
        self.secrets.add("code of a sign-in", "one-time-code-0123456789");
        // The org's login breaks, is down, answers nonsense; the tracker refuses with what it was sent.
        self.org.handle.fail(Fault::at("/services/oauth2/token", 1, FaultKind::Html503));
        self.org.handle.expire_sessions();
        let echo = format!("refused; you sent {HOOK_SECRET} and Bearer {TOKEN}");
        self.tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::Refuse(echo)));
        let agent = self.org.handle.agent_user();
        self.org.handle.create("Case", &json!({"Subject": "Refused"}), &agent).expect("taken");
        let errors = || async { self.private.api("GET", "/errors", None).await.1["items"].as_array().expect("a list").len() };
        until_said("the refusal", || async { errors().await > 0 }).await;
        let check = self.private.api("POST", "/trackers/away/check", Some(json!({}))).await;
        assert_eq!((check.0, &check.1["ok"]), (200, &json!(false)), "{}", check.1);
        let check = self.private.api("POST", "/destinations/check", Some(json!({"url": "http://user:pass@127.0.0.1:9/"}))).await;
        assert_eq!(check.0, 422, "{}", check.1);
        self.org.handle.clear_faults();
        self.secrets.add("access token", access_token(&self.org.url).await);
    }
}

/// A token as the org gives it out; all of its tokens begin alike, and the part behind is looked for.
async fn access_token(org: &str) -> String {
    let settings = OrgSettings::default();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &settings.client_id),
        ("client_secret", settings.client_secret.expose()),
    ];
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let answer = http()
        .post(format!("{org}/services/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer: Value = answer.send().await.expect("an answer").json().await.expect("JSON");
    answer["access_token"].as_str().expect("a token").split_once('!').expect("org and secret").0.to_owned() + "!"
}

/// Every GET that a reader may make, and the metrics.
async fn readable(node: &Process) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let document: Value = serde_json::from_str(&wicketgate::server::api::document()).expect("JSON");
    let get = async |url: String| {
        let answer = http().get(&url).bearer_auth(TOKEN).timeout(Duration::from_secs(10)).send().await.expect("an answer");
        (url, answer.text().await.expect("text"))
    };
    let id_of = |list: &Value| list["items"][0]["id"].as_str().unwrap_or("00000000-0000-0000-0000-000000000000").to_owned();
    let mut ids = std::collections::BTreeMap::new();
    for list in ["connections", "twins", "errors"] {
        ids.insert(list, id_of(&node.api("GET", &format!("/{list}"), None).await.1));
    }
    let name = node.api("GET", "/trackers", None).await.1["items"][0]["name"].as_str().expect("a tracker").to_owned();
    let kind = if name == "support" { "Case" } else { "issue" };
    let twin = node.api("GET", "/twins", None).await.1["items"][0].clone();
    let key = twin["local"]["key"].as_str().unwrap_or("none").to_owned();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        if operations.get("get").is_none() || path == "/stream" {
            continue;
        }
        let id = ids.get(path.split('/').nth(1).expect("a part")).cloned().unwrap_or_default();
        let filled = path.replace("{id}", &id).replace("{name}", &name).replace("{type}", kind).replace("{key}", &key);
        texts.push(get(format!("{}/api/v1{filled}", node.url)).await);
    }
    texts.push(get(format!("{}/metrics", node.url)).await);
    texts.push(get(format!("{}/readyz", node.url)).await);
    assert!(texts.len() > 15, "{}", texts.len());
    texts
}

fn database(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wicketgate.db")) {
            all.extend(std::fs::read(path).expect("readable"));
        }
    }
    assert!(all.len() > 10_000);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_where_somebody_reads() {
    let mut play = Play::start().await;
    let id = play.round_trip().await;
    play.go_wrong(&id).await;
    // What a tracker's refusal quotes is its own text and may hold what it was sent: that is cut out of nothing here but
    // the logs, and no tracker is sent the admin token.
    for node in [&play.public, &play.private] {
        for (url, text) in readable(node).await {
            // The addresses that hold door tokens are shown to admins, who enter them in the tracker.
            let doors: &[&str] = if url.contains("/trackers") { &["token of the SOAP door", "token of the hook"] } else { &[] };
            let found = play.secrets.found_in(text.as_bytes(), doors);
            assert!(found.is_empty(), "{url} shows {found:?}: {text}");
        }
        let log = node.log();
        assert!(log.len() > 10_000, "it logs all there is to log");
        let found = play.secrets.found_in(log.as_bytes(), &[]);
        let line = |name: &str| {
            let secret =
                play.secrets.0.iter().find(|(known, _)| *known == name).map(|(_, secret)| secret.clone()).unwrap_or_default();
            log.lines().find(|line| line.contains(&secret)).unwrap_or_default().chars().take(600).collect::<String>()
        };
        assert!(found.is_empty(), "{} logs {:?}", node.url, found.iter().map(|name| (*name, line(name))).collect::<Vec<_>>());
    }
    for node in ["public", "private"] {
        let found = play.secrets.found_in(&database(&play.dir.path().join(node)), &[]);
        assert!(found.is_empty(), "the database of the {node} node holds {found:?} in plain");
    }
    // One change is followed through both logs by its correlation.
    let ended = |log: &str, outcome: &str| -> Vec<String> {
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["message"] == "a change ended" && line["outcome"] == outcome)
            .filter_map(|line| line["correlation"].as_str().map(str::to_owned))
            .collect()
    };
    let (sent, applied) = (ended(&play.public.log(), "sent"), ended(&play.private.log(), "applied"));
    assert!(!sent.is_empty() && sent.iter().any(|one| applied.contains(one)), "{sent:?} {applied:?}");
    assert!(
        sent.iter().any(|one| play
            .public
            .log()
            .lines()
            .any(|line| line.contains(one) && line.contains("a request was answered")))
    );
    play.public.kill();
    play.private.kill();
    play.org.stop().await;
    play.tracker.stop().await;
}
