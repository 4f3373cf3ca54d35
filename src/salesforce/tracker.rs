//! Salesforce as a [`Tracker`]: what the engine calls, joined from the files beside this one.

use std::sync::{Arc, atomic::AtomicI64};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use url::Url;

use super::{
    Keep,
    describe::{self, Descriptions},
    error, ids, look as looking,
    oauth::OAuth,
    outbound,
    rest::Rest,
    settings::{Look, Settings},
    sign_in::SignIns,
    tokens::Tokens,
    watch::Watch,
};
use crate::{
    clock::Clock,
    domain::{
        ask::Request,
        change::Content,
        ids::TwinId,
        replica::Fields,
        tracker::{
            Caller, CheckStep, Created, Description, Entity, Facts, Listing, LookCursor, Looked, Read, Tracker, TrackerError,
            Traits, Write, Written,
        },
        twin::PendingWrite,
    },
};

/// One org.
pub struct Salesforce {
    name: String,
    settings: Arc<Settings>,
    pub(super) rest: Rest,
    pub(super) descriptions: Descriptions,
    pub(super) sign_ins: SignIns,
    pub(super) keep: Arc<dyn Keep>,
}

impl Salesforce {
    /// An org that has not been called yet. `http` follows no redirects; `settings` have passed their check.
    pub fn new(name: String, settings: Settings, http: reqwest::Client, clock: Arc<dyn Clock>, keep: Arc<dyn Keep>) -> Self {
        let settings = Arc::new(settings);
        let skew_ms = Arc::new(AtomicI64::new(0));
        let oauth = OAuth {
            settings: Arc::clone(&settings),
            http: http.clone(),
            clock: Arc::clone(&clock),
            keep: Arc::clone(&keep),
            skew_ms: Arc::clone(&skew_ms),
            unsaved: Arc::default(),
        };
        let rest = Rest {
            settings: Arc::clone(&settings),
            http,
            clock,
            tokens: Tokens::new(name.clone(), Arc::new(oauth)),
            watch: Watch::new(settings.api_reserve),
            skew_ms,
            version: OnceCell::new(),
        };
        Self { name, settings, rest, descriptions: Descriptions::new(), sign_ins: SignIns::new(), keep }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its section of the configuration.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The org it is bound to, 18 characters: the configured one, else that of the last login of this process.
    pub fn org_id(&self) -> Option<String> {
        let configured = self.settings.org_id.as_ref().map(|org| org.0.clone());
        configured.or_else(|| self.rest.tokens.last().map(|login| login.org_id.clone()))
    }

    /// As [`Self::org_id`], asking what was kept of earlier processes too.
    pub async fn bound_org_id(&self) -> Result<Option<String>, TrackerError> {
        match self.org_id() {
            Some(org_id) => Ok(Some(org_id)),
            None => self.keep.org_id().await,
        }
    }

    /// The integration user, 18 characters, once logged in.
    pub fn user_id(&self) -> Option<String> {
        self.rest.tokens.last().map(|login| login.user_id.clone())
    }

    /// The values of a notice as REST would give them; `None` where describe does not answer.
    async fn typed(&self, entity_type: &str, content: &Content) -> Option<Fields> {
        if content.whole {
            return Some(content.fields.clone());
        }
        let described = self.descriptions.get(&self.rest, Caller::Sync, entity_type).await.ok()?;
        Some(outbound::typed(&content.fields, &described.description))
    }

    /// What to add to Salesforce's times to get ours, in milliseconds.
    pub(super) fn offset_ms(&self) -> i64 {
        -self.rest.skew_ms.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The field that carries the twin's id.
    pub(super) fn mark_field(&self, entity_type: &str) -> Option<&str> {
        self.settings.external_id_fields.get(entity_type).map(String::as_str)
    }

    /// `/services/data/v68.0`.
    pub(super) async fn base_path(&self) -> Result<String, TrackerError> {
        let login = self.rest.tokens.get().await?;
        Ok(format!("/services/data/{}", self.rest.version(&login).await?))
    }

    fn is_ours(&self, host: &str) -> bool {
        let ours = |address: &str| {
            let Some(known) = Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned)) else { return false };
            known == host || org_part(&known).is_some_and(|part| org_part(host) == Some(part))
        };
        ours(self.settings.login_url.as_str()) || self.rest.tokens.last().is_some_and(|login| ours(&login.instance_url))
    }
}

/// The org's own part of a host: `acme` of `acme.my.salesforce.com` and of `acme.lightning.force.com`.
fn org_part(host: &str) -> Option<&str> {
    const ENDS: [&str; 3] = [".my.salesforce.com", ".lightning.force.com", ".my.salesforce-setup.com"];
    let part = ENDS.iter().find_map(|end| host.strip_suffix(end))?;
    (!part.is_empty()).then_some(part)
}

/// The record's id in the address of its page, in both of Salesforce's faces.
fn id_in(url: &Url) -> Option<String> {
    let segments: Vec<&str> = url.path_segments()?.filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["lightning", "r", id] | ["lightning", "r", id, "view" | "edit"] | [id] | [id, "e" | "d"] => ids::complete(id),
        ["lightning", "r", _, id, ..] => ids::complete(id),
        _ => None,
    }
}

#[async_trait]
impl Tracker for Salesforce {
    fn kind(&self) -> &'static str {
        "salesforce"
    }

    fn traits(&self) -> Traits {
        Traits {
            read_batch: super::reading::READ_BATCH,
            write_batch: 1_000,
            keeps_writes: false,
            repeats_creates: false,
            can_look: self.settings.look != Look::Off,
            lists: true,
            takes_requests: true,
        }
    }

    fn facts(&self) -> Facts {
        let login = self.rest.tokens.last();
        Facts {
            org_id: self.org_id(),
            api_calls: self.rest.watch.calls(),
            // Salesforce does not tell, and the login is renewed by itself.
            login_expires_at: None,
            url: login.map_or_else(|| self.settings.login_origin(), |login| login.instance_url.clone()),
        }
    }

    fn key(&self, entity_type: &str, typed: &str) -> Result<String, TrackerError> {
        let typed = typed.trim();
        let refuse = |detail: String| {
            Err(error::record(
                "MALFORMED_ID",
                "This is no Salesforce id",
                detail,
                "Copy the id or the address of the record's page.",
            ))
        };
        let id = match ids::complete(typed) {
            Some(id) => id,
            None => {
                // Browsers show addresses without their beginning.
                let Some(url) = Url::parse(typed).ok().or_else(|| Url::parse(&format!("https://{typed}")).ok()) else {
                    return refuse(format!(
                        "`{}` is neither an id of 15 or 18 characters nor a page's address.",
                        error::short(typed)
                    ));
                };
                match url.host_str() {
                    Some(host) if self.is_ours(host) => {}
                    Some(host) if typed.contains('/') => {
                        return refuse(format!(
                            "`{}` is not a page of this org: its pages are at {}.",
                            error::short(host),
                            self.facts().url
                        ));
                    }
                    _ => {
                        return refuse(format!(
                            "`{}` is neither an id of 15 or 18 characters nor a page's address.",
                            error::short(typed)
                        ));
                    }
                }
                match id_in(&url) {
                    Some(id) => id,
                    None => return refuse(format!("`{}` is not the page of a record.", error::short(typed))),
                }
            }
        };
        match ids::standard_type(&id) {
            Some(other) if !other.eq_ignore_ascii_case(entity_type) => {
                refuse(format!("{id} is the id of a record of {other}, not of {entity_type}."))
            }
            _ => Ok(id),
        }
    }

    fn is_us(&self, editor: &str) -> bool {
        self.user_id().is_some_and(|us| ids::same(editor, &us))
    }

    fn mark_field(&self, entity_type: &str) -> Option<&str> {
        Self::mark_field(self, entity_type)
    }

    fn clock_offset_ms(&self) -> i64 {
        self.offset_ms()
    }

    async fn told(&self, entity_type: &str, content: &Content) -> Option<Entity> {
        let fields = self.typed(entity_type, content).await?;
        let described = self.descriptions.get(&self.rest, Caller::Sync, entity_type).await.ok()?;
        let told = self.entity(&described, &serde_json::Value::Object(fields))?;
        Some(Entity { stamp: content.stamp, modified_at: told.modified_at.or(content.stamp), ..told })
    }

    fn default_entity_type(&self) -> &'static str {
        "Case"
    }

    fn defaults(&self, entity_type: &str) -> Fields {
        self.settings.defaults.get(entity_type).cloned().unwrap_or_default()
    }

    async fn read(&self, caller: Caller, entity_type: &str, keys: &[String]) -> Result<Read, TrackerError> {
        self.read_records(caller, entity_type, keys).await
    }

    async fn matches(
        &self,
        caller: Caller,
        entity_type: &str,
        filter: &str,
        entities: &[&Entity],
    ) -> Result<Vec<bool>, TrackerError> {
        self.match_records(caller, entity_type, filter, entities).await
    }

    async fn count(&self, caller: Caller, entity_type: &str, filter: &str) -> Result<Option<u64>, TrackerError> {
        self.count_matching(caller, entity_type, filter).await.map(Some)
    }

    async fn list(
        &self,
        caller: Caller,
        entity_type: &str,
        filter: &str,
        after: Option<&str>,
    ) -> Result<Option<Listing>, TrackerError> {
        self.list_matching(caller, entity_type, filter, after).await.map(Some)
    }

    async fn check_filter(&self, entity_type: &str, filter: &str) -> Result<(), TrackerError> {
        self.try_filter(entity_type, filter).await
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Written, TrackerError>> {
        self.write_records(writes).await
    }

    async fn find_created(&self, entity_type: &str, writes: &[(TwinId, PendingWrite)]) -> Result<Vec<Created>, TrackerError> {
        self.find_marked(entity_type, writes).await
    }

    async fn describe(&self, caller: Caller, entity_type: &str) -> Result<Description, TrackerError> {
        Ok(self.descriptions.get(&self.rest, caller, entity_type).await?.description.clone())
    }

    async fn entity_types(&self, caller: Caller) -> Result<Vec<String>, TrackerError> {
        describe::entity_types(&self.rest, caller).await
    }

    async fn look(&self, cursor: &LookCursor, entity_types: &[String]) -> Result<Looked, TrackerError> {
        looking::look(self, cursor, entity_types).await
    }

    async fn request(&self, caller: Caller, request: &Request) -> Result<serde_json::Value, TrackerError> {
        self.make_request(caller, request).await
    }

    async fn user_by_email(&self, caller: Caller, email: &str) -> Result<Option<serde_json::Value>, TrackerError> {
        self.find_user(caller, email).await
    }

    async fn check(&self) -> Vec<CheckStep> {
        super::check::check(self).await
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
