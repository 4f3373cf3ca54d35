//! The registry of trackers by kind, and what they need of the store and the doors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use crate::{
    clock::{Clock, Time},
    config::TrackerSection,
    domain::{
        change::NewChange,
        rule::RuleEngine,
        tracker::{Caller, Fault, Retry, Tracker, TrackerError},
    },
    http_client::{Guard, client},
    lifecycle::Lifecycle,
    retry::Backoff,
    salesforce::{
        self, Flow, Keep, Look, Salesforce,
        outbound::{self, Limits},
    },
    secret::Secret,
    server::kit::door::{Accepted, DoorRefusal, HookDoor, HookHeaders, HookRefusal, SalesforceDoor, SignIn},
    store::{Store, StoreError},
    trackers::{
        standard_webhooks::{Headers, VerifyError},
        webhook::{self, Refused, Webhook},
    },
};

const FIRST_LOGIN: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(60) };

/// All trackers of a node and the doors that belong to them.
#[derive(Default)]
pub struct Opened {
    /// By name.
    pub trackers: BTreeMap<String, Arc<dyn Tracker>>,
    /// Outbound-message doors.
    pub salesforce: BTreeMap<String, Arc<dyn SalesforceDoor>>,
    /// Webhook doors.
    pub hooks: BTreeMap<String, Arc<dyn HookDoor>>,
    /// Where a person signs in.
    pub sign_ins: BTreeMap<String, Arc<dyn SignIn>>,
    /// How often each is looked at beside its messages.
    pub looks: BTreeMap<String, Duration>,
    /// How often the connections of each are reconciled.
    pub reconciles: BTreeMap<String, Duration>,
    /// Whose messages may stand in for a read.
    pub trusted: BTreeSet<String>,
    /// Kinds by name.
    pub kinds: BTreeMap<String, String>,
}

/// Makes every tracker of the configuration.
pub async fn open(
    sections: &BTreeMap<String, TrackerSection>,
    store: &Store,
    clock: &Arc<dyn Clock>,
    rules: &Arc<dyn RuleEngine>,
) -> anyhow::Result<Opened> {
    let mut opened = Opened::default();
    for (name, section) in sections {
        let http = client(&section.network, &Guard::Operator).with_context(|| format!("[trackers.{name}]"))?;
        match section.kind.as_str() {
            "salesforce" => add_salesforce(&mut opened, section, http, store, clock).await?,
            "webhook" => {
                let settings: webhook::Settings = section.settings()?;
                opened.reconciles.extend(settings.reconcile.map(|every| (name.clone(), every.0)));
                let tracker = Webhook::new(name, settings, http, clock.clone(), rules.clone())
                    .with_context(|| format!("[trackers.{name}]"))?;
                let tracker = Arc::new(tracker);
                opened.hooks.insert(name.clone(), Arc::new(WebhookDoor { tracker: tracker.clone(), clock: clock.clone() }));
                opened.trackers.insert(name.clone(), tracker);
            }
            other => bail!("[trackers.{name}]: this version knows no tracker of kind `{other}`: it knows salesforce and webhook"),
        }
        opened.kinds.insert(name.clone(), section.kind.clone());
    }
    Ok(opened)
}

async fn add_salesforce(
    opened: &mut Opened,
    section: &TrackerSection,
    http: reqwest::Client,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let name = section.name.clone();
    let settings: salesforce::Settings = section.settings()?;
    settings.check().map_err(|why| anyhow::anyhow!("[trackers.{name}]: {why}"))?;
    if let Look::Every(every) = settings.look {
        opened.looks.insert(name.clone(), every);
    }
    opened.reconciles.extend(settings.reconcile.map(|every| (name.clone(), every.0)));
    if settings.trust_messages {
        opened.trusted.insert(name.clone());
    }
    let by_person = settings.flow == Flow::AuthorizationCode;
    let keep = Arc::new(Kept::open(store.clone(), name.clone()).await?);
    let org = Arc::new(Salesforce::new(name.clone(), settings, http, clock.clone(), keep.clone()));
    let door = OutboundDoor { org: org.clone(), keep, clock: clock.clone() };
    opened.salesforce.insert(name.clone(), Arc::new(door));
    if by_person {
        opened.sign_ins.insert(name.clone(), Arc::new(OrgSignIn(org.clone())));
    }
    opened.trackers.insert(name, org);
    Ok(())
}

/// Logs every tracker in that needs it, so that its door knows the org before the first message; tries until it does.
pub fn warm_up(opened: &Opened, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) {
    for name in opened.salesforce.keys() {
        let Some(tracker) = opened.trackers.get(name).cloned() else { continue };
        let (clock, life, name) = (clock.clone(), lifecycle.clone(), name.clone());
        lifecycle.spawn("first login", async move {
            let mut failures = 0;
            while let Err(error) = tracker.describe(Caller::Sync, tracker.default_entity_type()).await {
                failures += 1;
                tracing::warn!(tracker = name, failures, "the first login has to wait: {error}");
                tokio::select! {
                    () = clock.sleep(FIRST_LOGIN.pause(failures, clock.as_ref())) => {}
                    () = life.stopping() => return,
                }
            }
        });
    }
}

/// Where Salesforce keeps what must outlive the process.
struct Kept {
    store: Store,
    tracker: String,
    org: RwLock<Option<String>>,
}

impl Kept {
    async fn open(store: Store, tracker: String) -> Result<Self, StoreError> {
        let name = tracker.clone();
        let state = store.read("tracker_state", move |tx| Box::pin(async move { tx.tracker_state(&name).await })).await?;
        Ok(Self { store, tracker, org: RwLock::new(state.org_id) })
    }

    fn known_org(&self) -> Option<String> {
        self.org.read().ok()?.clone()
    }
}

fn not_kept(error: &StoreError) -> TrackerError {
    TrackerError {
        fault: Fault::Configuration,
        retry: Retry::Soon(None),
        code: "store_unavailable".to_owned(),
        title: "What the login needs could not be kept".to_owned(),
        detail: error.to_string(),
        advice: "Look at the node's disk.".to_owned(),
        in_doubt: false,
    }
}

#[async_trait]
impl Keep for Kept {
    async fn refresh_token(&self) -> Result<Option<Secret>, TrackerError> {
        let name = format!("tracker.{}.refresh_token", self.tracker);
        let read = self.store.read("refresh_token", move |tx| Box::pin(async move { tx.secret(&name).await })).await;
        read.map_err(|error| not_kept(&error))
    }

    async fn put_refresh_token(&self, token: &Secret) -> Result<(), TrackerError> {
        let (name, token) = (format!("tracker.{}.refresh_token", self.tracker), token.clone());
        let kept = self.store.write("refresh_token", move |tx| Box::pin(async move { tx.put_secret(&name, &token).await })).await;
        kept.map_err(|error| not_kept(&error))
    }

    async fn org_id(&self) -> Result<Option<String>, TrackerError> {
        Ok(self.known_org())
    }

    async fn put_org_id(&self, org_id: &str) -> Result<(), TrackerError> {
        let (name, org) = (self.tracker.clone(), org_id.to_owned());
        let kept = self
            .store
            .write("org_id", move |tx| {
                Box::pin(async move {
                    let mut state = tx.tracker_state(&name).await?;
                    state.org_id = Some(org);
                    tx.put_tracker_state(&name, &state).await
                })
            })
            .await;
        kept.map_err(|error| not_kept(&error))?;
        if let Ok(mut known) = self.org.write() {
            *known = Some(org_id.to_owned());
        }
        Ok(())
    }
}

/// Reads outbound messages for one org.
struct OutboundDoor {
    org: Arc<Salesforce>,
    keep: Arc<Kept>,
    clock: Arc<dyn Clock>,
}

impl SalesforceDoor for OutboundDoor {
    fn parse(&self, body: &[u8]) -> Result<Accepted, DoorRefusal> {
        let message = outbound::parse(body, Limits::default()).map_err(|error| DoorRefusal::Malformed(error.to_string()))?;
        let got = message.organization_id.clone();
        let Some(expected) = self.org.org_id().or_else(|| self.keep.known_org()) else {
            let why = "the tracker has not logged in yet, so it does not know its org";
            return Err(DoorRefusal::NotReady(why.to_owned()));
        };
        if !same_org(&expected, &got) {
            return Err(DoorRefusal::WrongOrg { got, expected });
        }
        let changes = outbound::changes(&message, self.org.name(), self.clock.now(), self.clock.as_ref());
        let mut broken: Vec<String> =
            message.notifications.iter().filter_map(|one| one.as_ref().err()).map(ToString::to_string).collect();
        if self.org.settings().look == Look::Off {
            broken.extend(outbound::without_record(&message).iter().map(ToString::to_string));
        }
        Ok(Accepted { changes, broken })
    }
}

/// Ids of 15 and of 18 characters name the same org where the first 15 agree, case-sensitively (facts, 1.2).
fn same_org(a: &str, b: &str) -> bool {
    a.get(..15).is_some_and(|a| b.get(..15) == Some(a))
}

struct OrgSignIn(Arc<Salesforce>);

#[async_trait]
impl SignIn for OrgSignIn {
    async fn begin(&self, redirect: &url::Url) -> Result<url::Url, TrackerError> {
        let begun = self.0.begin_sign_in(redirect.as_str()).await?;
        url::Url::parse(&begun.url).map_err(|error| TrackerError {
            fault: Fault::Configuration,
            retry: Retry::Newer,
            code: "login_url".to_owned(),
            title: "The sign-in address cannot be made".to_owned(),
            detail: error.to_string(),
            advice: "Check login_url.".to_owned(),
            in_doubt: false,
        })
    }

    async fn finish(&self, redirect: &url::Url, state: &str, code: &str) -> Result<(), TrackerError> {
        self.0.finish_sign_in(state, code, redirect.as_str()).await
    }

    async fn refused(&self, state: &str, error: &str, description: &str) -> TrackerError {
        self.0.refuse_sign_in(state, error, description).await
    }
}

struct WebhookDoor {
    tracker: Arc<Webhook>,
    clock: Arc<dyn Clock>,
}

impl HookDoor for WebhookDoor {
    fn accept(&self, headers: &HookHeaders<'_>, body: &[u8]) -> Result<NewChange, HookRefusal> {
        let headers = Headers { id: headers.id, timestamp: headers.timestamp, signature: headers.signature };
        let now: Time = self.clock.now();
        self.tracker.receive(headers, body, now).map_err(|refused| match refused {
            Refused::Untrusted(error @ (VerifyError::TooOld(_) | VerifyError::TooNew(_))) => {
                HookRefusal::Stale(error.to_string())
            }
            Refused::Untrusted(error) => HookRefusal::WrongSignature(error.to_string()),
            Refused::Senseless(error) => HookRefusal::Malformed(error.to_string()),
        })
    }
}
