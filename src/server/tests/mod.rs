//! The doors over real HTTP on port 0, with the real store, engine and link; only the tracker and its doors are stood in
//! for.

mod api;
mod doors;
mod listeners;
mod people;
mod rules;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::kit::door::{Accepted, DoorRefusal, HookDoor, HookHeaders, HookRefusal, SalesforceDoor};
use super::{
    ApiSettings, NodeSettings, bind,
    kit::{Node, node::Parts},
};
use crate::{
    clock::{Clock, SystemClock, Time},
    domain::{
        change::{NewChange, Source},
        connection::{Awaiting, Connection, Kind, Links, Mode, Prefer, Status},
        ids::{ConnectionId, CorrelationId, Side, TwinId},
        replica::Fields,
        rule::{EntityView, RuleEngine, RuleError, RuleInput, RuleOutput, RulePair},
        tracker::*,
        twin::PendingWrite,
    },
    http_client::{Guard, Network, client},
    lifecycle::Lifecycle,
    link::{self, Link},
    secret::{Sealer, Secret},
    store::Store,
    sync::{self, Engine},
    telemetry::Metrics,
};

pub(super) const ADMIN: &str = "admin-secret";

/// A tracker that knows `Case`, refuses the filter `wrong`, and has no records.
struct Desk;

#[async_trait]
impl Tracker for Desk {
    fn kind(&self) -> &'static str {
        "salesforce"
    }
    fn traits(&self) -> Traits {
        Traits {
            read_batch: 10,
            write_batch: 10,
            keeps_writes: false,
            repeats_creates: false,
            can_look: false,
            lists: true,
            takes_requests: false,
        }
    }
    fn facts(&self) -> Facts {
        Facts { url: "https://desk.example".into(), ..Facts::default() }
    }
    fn key(&self, _: &str, typed: &str) -> Result<String, TrackerError> {
        Ok(typed.to_uppercase())
    }
    fn default_entity_type(&self) -> &'static str {
        "Case"
    }
    fn defaults(&self, _: &str) -> Fields {
        Fields::new()
    }
    async fn read(&self, _: Caller, _: &str, keys: &[String]) -> Result<Read, TrackerError> {
        Ok(Read { found: keys.iter().map(|_| Found::NotVisible).collect(), tracker_time: None, clock_offset_ms: 0 })
    }
    async fn matches(&self, _: Caller, _: &str, _: &str, entities: &[&Entity]) -> Result<Vec<bool>, TrackerError> {
        Ok(vec![true; entities.len()])
    }
    async fn count(&self, _: Caller, _: &str, _: &str) -> Result<Option<u64>, TrackerError> {
        Ok(Some(7))
    }
    async fn check_filter(&self, _: &str, filter: &str) -> Result<(), TrackerError> {
        if filter != "wrong" {
            return Ok(());
        }
        Err(TrackerError {
            fault: Fault::Record,
            retry: Retry::Newer,
            code: "MALFORMED_QUERY".into(),
            title: "The filter is refused".into(),
            detail: "unexpected token: wrong".into(),
            advice: String::new(),
            in_doubt: false,
        })
    }
    async fn write(&self, _: &[Write]) -> Vec<Result<Written, TrackerError>> {
        Vec::new()
    }
    async fn find_created(&self, _: &str, writes: &[(TwinId, PendingWrite)]) -> Result<Vec<Created>, TrackerError> {
        Ok(writes.iter().map(|_| Created::Absent).collect())
    }
    async fn describe(&self, _: Caller, entity_type: &str) -> Result<Description, TrackerError> {
        Ok(Description { entity_type: entity_type.to_owned(), ..Description::default() })
    }
    async fn entity_types(&self, _: Caller) -> Result<Vec<String>, TrackerError> {
        Ok(vec!["Case".into()])
    }
    async fn look(&self, _: &LookCursor, _: &[String]) -> Result<Looked, TrackerError> {
        Ok(Looked::default())
    }
    async fn check(&self) -> Vec<CheckStep> {
        Vec::new()
    }
}

/// Rules that do nothing.
struct NoRules;

#[async_trait]
impl RuleEngine for NoRules {
    async fn run(&self, _: &str, _: &RuleInput, _: &dyn crate::domain::ask::Host) -> Result<RuleOutput, RuleError> {
        Ok(RuleOutput::default())
    }
    async fn matches(&self, _: &str, _: &EntityView) -> Result<bool, RuleError> {
        Ok(true)
    }
    async fn check(&self, source: &str) -> Result<(), RuleError> {
        match source {
            _ if source.contains("broken") => Err(RuleError::Script {
                message: "SyntaxError: broken".to_owned(),
                line: Some(2),
                column: Some(3),
                line_text: Some("broken );".to_owned()),
                advice: "Mend it.".to_owned(),
            }),
            _ if source.contains("engine") => Err(RuleError::Engine("no worker".to_owned())),
            _ => Ok(()),
        }
    }
    fn built_in(&self, _: &str) -> Option<RulePair> {
        Some(RulePair { outgoing: "replica.key = entity.key".into(), incoming: String::new(), version: 0 })
    }
}

/// Takes `key…` as one change each line, `broken…` as a broken notification, `org…` as another org's.
struct Lines;

fn change(key: &str) -> NewChange {
    NewChange {
        tracker: "support".into(),
        entity_type: "Case".into(),
        key: key.to_owned(),
        source: Source::OutboundMessage,
        notice_id: None,
        connection: None,
        content: None,
        received_at: Time(1),
        due_at: Time(1),
        correlation: CorrelationId(uuid::Uuid::nil()),
    }
}

impl SalesforceDoor for Lines {
    fn parse(&self, body: &[u8]) -> Result<Accepted, DoorRefusal> {
        let text = std::str::from_utf8(body).map_err(|error| DoorRefusal::Malformed(error.to_string()))?;
        let mut accepted = Accepted::default();
        for line in text.lines() {
            match line {
                "org" => return Err(DoorRefusal::WrongOrg { got: "00DB".into(), expected: "00DA".into() }),
                line if line.starts_with("broken") => accepted.broken.push(line.to_owned()),
                "early" => return Err(DoorRefusal::NotReady("not logged in".into())),
                key => accepted.changes.push(change(key)),
            }
        }
        Ok(accepted)
    }
}

impl HookDoor for Lines {
    fn accept(&self, headers: &HookHeaders<'_>, body: &[u8]) -> Result<NewChange, HookRefusal> {
        match headers.signature {
            Some("good") => Ok(change(std::str::from_utf8(body).map_err(|error| HookRefusal::Malformed(error.to_string()))?)),
            Some("old") => Err(HookRefusal::Stale("ten minutes old".into())),
            _ => Err(HookRefusal::WrongSignature("the signature does not match".into())),
        }
    }
}

/// A node with open doors.
pub(super) struct Bench {
    pub(super) node: Arc<Node>,
    pub(super) url: String,
    pub(super) http: reqwest::Client,
    _folder: tempfile::TempDir,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON: {}", self.text))
    }
    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Bench {
    pub(super) async fn start(settings: &str) -> Self {
        let settings: NodeSettings =
            toml::from_str(&format!("listen = \"127.0.0.1:0\"\nworkers = 1\n{settings}")).expect("settings");
        let folder = tempfile::tempdir().expect("a folder");
        let node = open(&settings, folder.path(), Arc::new(SystemClock), Some(ADMIN)).await;
        let open = bind(&settings, ([127, 0, 0, 1], 0).into(), &node).expect("listens");
        let url = format!("http://{}", open.addrs[0]);
        let http = client(&Network::default(), &Guard::Operator).expect("a client");
        Self { node, url, http, _folder: folder }
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.timeout(Duration::from_secs(20)).send().await.expect("answers");
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text: answer.text().await.expect("a text") }
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", &format!("/api/v1{path}"), token, None, &[]).await
    }

    pub(super) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("POST", &format!("/api/v1{path}"), token, Some(body), &[]).await
    }

    /// A connection as the link would have made it.
    pub(super) async fn connection(&self, name: &str) -> Connection {
        let connection = Connection {
            id: ConnectionId(self.node.clock.id()),
            name: name.to_owned(),
            status: Status::Pending,
            kind: Kind::Private,
            mode: Mode::Basic,
            tracker: "support".into(),
            side: Side::Inviting,
            local_short_name: "a".into(),
            remote_short_name: "b".into(),
            description: String::new(),
            created_at: Time(1),
            activated_at: None,
            prefer: Prefer::Local,
            links: Links::Matching,
            share_internal_comments: false,
            awaiting: Some(Awaiting::Acceptance),
            confirm: false,
            destination_url: None,
            remote: None,
            paused: None,
        };
        let kept = connection.clone();
        self.node
            .store
            .write("test.connection", move |tx| Box::pin(async move { tx.insert_connection(&kept).await }))
            .await
            .expect("kept");
        connection
    }

    pub(super) async fn stop(self) {
        self.node.lifecycle.finish(Duration::from_secs(5)).await.expect("no task crashed");
        self.node.store.close().await;
    }
}

async fn open(settings: &NodeSettings, folder: &std::path::Path, clock: Arc<dyn Clock>, admin_token: Option<&str>) -> Arc<Node> {
    let store = Store::open("sqlite:test.db", folder, Arc::new(Sealer::new(&[[7; 32]])), clock.clone()).await.expect("opens");
    let lifecycle = Lifecycle::default();
    let desk: Arc<dyn Tracker> = Arc::new(Desk);
    let trackers: sync::Trackers = Arc::new(BTreeMap::from([("support".to_owned(), desk)]));
    let rules: Arc<dyn RuleEngine> = Arc::new(NoRules);
    let engine = Engine::new(sync::Parts {
        store: store.clone(),
        clock: clock.clone(),
        trackers: trackers.clone(),
        rules: rules.clone(),
        lifecycle: lifecycle.clone(),
        looks: BTreeMap::new(),
        reconciles: BTreeMap::new(),
        trusted_messages: Default::default(),
        keep_history: Duration::from_secs(1_000),
        keep_messages: Duration::from_secs(1_000),
        via: BTreeMap::new(),
    });
    let link = Link::open(link::Parts {
        store: store.clone(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        node_name: "test".into(),
        public_url: settings.public_url.clone(),
        guard: Guard::stranger(Vec::new()),
        http: client(&Network::default(), &Guard::stranger(Vec::new())).expect("a client"),
        wait: Duration::from_secs(1),
        tracker_kinds: BTreeMap::from([("support".to_owned(), "salesforce".to_owned())]),
    })
    .await
    .expect("opens");
    let parts = Parts {
        store,
        clock,
        engine,
        link,
        trackers,
        rules,
        salesforce: BTreeMap::from([("support".to_owned(), Arc::new(Lines) as Arc<dyn SalesforceDoor>)]),
        hooks: BTreeMap::from([("support".to_owned(), Arc::new(Lines) as Arc<dyn HookDoor>)]),
        sign_ins: BTreeMap::new(),
        lifecycle,
        metrics: Arc::new(Metrics::default()),
    };
    let api = ApiSettings { admin_token: admin_token.map(Secret::new) };
    Node::open(parts, settings, &api).await.expect("opens")
}
