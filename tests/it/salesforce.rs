//! The Salesforce adapter and its door against the sandbox org, row by row of what is known of the real one.
//!
//! [`Desk`] is an org with an adapter beside it, without a node; the door's tests have a whole node.

mod asks;
mod check;
mod door;
mod logins;
mod looks;
mod metadata;
mod package;
mod reads;
mod sandbox;
mod writes;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use wicketgate::{
    clock::{Clock, SystemClock, Time},
    domain::{
        ids::{TwinId, WriteId},
        tracker::{Fault, Retry, TrackerError, Write, WriteKind},
        twin::PendingWrite,
    },
    salesforce::{Keep, Salesforce, Settings},
    sandbox::org::{Org, OrgSettings, Running},
    secret::Secret,
};

use crate::support;

/// Keeps in memory, and refuses to once where it is told so.
#[derive(Default)]
struct Memory {
    kept: Mutex<(Option<Secret>, Option<String>)>,
    full: AtomicBool,
}

impl Memory {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Option<Secret>, Option<String>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Keep for Memory {
    async fn refresh_token(&self) -> Result<Option<Secret>, TrackerError> {
        Ok(self.lock().0.clone())
    }

    async fn put_refresh_token(&self, token: &Secret) -> Result<(), TrackerError> {
        if self.full.swap(false, Ordering::SeqCst) {
            return Err(TrackerError {
                fault: Fault::Configuration,
                retry: Retry::Soon(None),
                code: "full".to_owned(),
                title: "The disk is full".to_owned(),
                detail: String::new(),
                advice: String::new(),
                in_doubt: false,
            });
        }
        self.lock().0 = Some(token.clone());
        Ok(())
    }

    async fn org_id(&self) -> Result<Option<String>, TrackerError> {
        Ok(self.lock().1.clone())
    }

    async fn put_org_id(&self, org_id: &str) -> Result<(), TrackerError> {
        self.lock().1 = Some(org_id.to_owned());
        Ok(())
    }
}

/// An org, and an adapter beside it.
struct Desk {
    org: Running,
    sf: Arc<Salesforce>,
    memory: Arc<Memory>,
}

const MARK: &str = "external_id_fields = { Case = \"Wicketgate_Id__c\" }\n";

impl Desk {
    async fn new() -> Self {
        Self::with(OrgSettings::default(), MARK).await
    }

    async fn with(settings: OrgSettings, extra: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self::at(
            settings,
            &format!("flow = \"client-credentials\"\nclient_secret = \"sandbox-secret\"\n{extra}"),
            (clock.clone(), clock),
        )
        .await
    }

    /// `extra` has the flow; the clocks are the org's and ours.
    async fn at(settings: OrgSettings, extra: &str, (theirs, ours): (Arc<dyn Clock>, Arc<dyn Clock>)) -> Self {
        let client_id = settings.client_id.clone();
        let org = Org::start(settings, theirs).await.expect("the org starts");
        let memory = Arc::new(Memory::default());
        let text = format!("login_url = \"{}\"\nclient_id = \"{client_id}\"\n{extra}", org.url);
        let sf = adapter(&text, ours, memory.clone());
        Self { org, sf, memory }
    }

    fn agent(&self) -> String {
        self.org.handle.agent_user()
    }

    fn case(&self, fields: Value) -> String {
        self.org.handle.create("Case", &fields, &self.agent()).expect("the org takes it")
    }

    fn calls(&self, kind: &str) -> u64 {
        self.org.handle.calls().get(kind).copied().unwrap_or(0)
    }
}

fn adapter(text: &str, clock: Arc<dyn Clock>, memory: Arc<Memory>) -> Arc<Salesforce> {
    let settings: Settings = toml::from_str(text).expect("settings");
    settings.check().expect("sensible settings");
    Arc::new(Salesforce::new("support".into(), settings, support::http(), clock, memory))
}

fn twin(n: u128) -> TwinId {
    TwinId(uuid::Uuid::from_u128(n + 1))
}

/// A create (`key` none) or an update.
fn write(n: u128, key: Option<&str>, fields: Value) -> Write {
    let pending = PendingWrite {
        id: WriteId(uuid::Uuid::from_u128(n)),
        started_at: Time(0),
        entity_type: "Case".into(),
        key: key.map(str::to_owned),
        fields: fields.as_object().expect("fields").clone(),
        up_to: 0,
        epoch: 0,
        received: None,
    };
    let kind = if key.is_some() { WriteKind::Update } else { WriteKind::Create };
    Write { twin: twin(n), pending, changed: Vec::new(), kind }
}

fn soon(error: &TrackerError) -> Duration {
    match error.retry {
        Retry::Soon(wish) => wish.unwrap_or_default(),
        other => panic!("not by itself but {other:?}: {error}"),
    }
}
