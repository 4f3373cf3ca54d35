//! A tracker without a connector of its own: it speaks Standard Webhooks both ways (design, "The `webhook` tracker").
//!
//! Flow out: [`Tracker::write`] → `wire::message` (the exact bytes) → signed `POST {url}` → `wire::written` (what the
//! answer means). Flow in: the door hands headers and body to [`Webhook::receive`], which verifies, reads (`hook`) and
//! gives the change to store. With `read_url` a record can be asked for; without it, what its messages said is all
//! there is.
//!
//! Traps.
//! * A repeat has the same body: the body's `timestamp` is when the write first left, and `changed` is taken from the
//!   fields that are kept with it. Only the signature is new, since receivers refuse old ones.
//! * A create goes under the twin's id, so the receiver knows a repeat; nothing has to be looked for before it, also
//!   not after its answer was lost.
//! * The keys `.` and `..` cannot stand in a path, not even encoded. They are no keys here.

mod check;
mod hook;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;

pub use self::hook::{HookError, MAX_BODY, Refused, parse_hook};
use super::{
    MAX_ANSWER, answer,
    standard_webhooks::{Headers, SecretError, Secrets, Signer, VerifyError},
};
use crate::{
    clock::{Clock, Span, Time},
    domain::{
        change::NewChange,
        ids::TwinId,
        replica::Fields,
        rule::{EntityView, RuleEngine, RuleError},
        tracker::{
            Caller, CheckStep, Created, Description, Entity, Facts, Fault, Found, LookCursor, Looked, Read, Retry, Tracker,
            TrackerError, Traits, Write, Written,
        },
        twin::PendingWrite,
    },
    http_client::{BodyError, body_up_to, why},
};

/// Calls that one batch has under way at once.
const CONCURRENCY: usize = 16;
/// Longest key, in characters.
const MAX_KEY: usize = 255;
/// Longest filter, in bytes.
const MAX_FILTER: usize = 4000;
/// The entity type of the built-in pair.
const ISSUE: &str = "issue";

/// The section of a `webhook` tracker, without `kind` and the network keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where entities are sent.
    pub url: Url,
    /// `whsec_…`; a list while one is being replaced: all sign, any verifies.
    pub secret: Secrets,
    /// `GET {read_url}/{key}` answers the entity as it is now.
    #[serde(default)]
    pub read_url: Option<Url>,
    /// Longest wait for one answer.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// Pause between two reconciles of a connection; default: on request only.
    #[serde(default)]
    pub reconcile: Option<Span>,
    /// Values for new records, by entity type.
    #[serde(default)]
    pub defaults: BTreeMap<String, Fields>,
}

const fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// See the text.
    #[error("`secret`: {0}")]
    Secret(#[from] SecretError),
    /// Not an address that can be called.
    #[error("`{0}` must begin with https:// or http:// and name a host")]
    Url(&'static str),
    /// Nothing answers in no time.
    #[error("`timeout` must be more than zero")]
    Timeout,
}

/// See the module.
pub struct Webhook {
    name: String,
    settings: Settings,
    signer: Signer,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    rules: Arc<dyn RuleEngine>,
}

impl Webhook {
    /// A tracker of this name in the configuration. `http` comes from [`crate::http_client::client`]; `rules` evaluates
    /// filters.
    pub fn new(
        name: &str,
        settings: Settings,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
        rules: Arc<dyn RuleEngine>,
    ) -> Result<Self, SettingsError> {
        for (key, url) in [("url", Some(&settings.url)), ("read_url", settings.read_url.as_ref())] {
            if url.is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
                return Err(SettingsError::Url(key));
            }
        }
        if settings.timeout.0.is_zero() {
            return Err(SettingsError::Timeout);
        }
        let signer = Signer::new(&settings.secret)?;
        Ok(Self { name: name.to_owned(), settings, signer, http, clock, rules })
    }

    /// Checks the signature of a message that came to this tracker's door, and gives its id.
    pub fn verify<'a>(&self, headers: Headers<'a>, body: &[u8]) -> Result<&'a str, VerifyError> {
        self.signer.verify(headers, body, self.clock.now())
    }

    /// What a door does with a message: verifies it and reads the change to store.
    pub fn receive(&self, headers: Headers<'_>, body: &[u8], received_at: Time) -> Result<NewChange, Refused> {
        let id = self.verify(headers, body)?;
        let mut change = parse_hook(body, &self.name, id, received_at, self.clock.as_ref())?;
        if let Some(content) = &mut change.content {
            if self.settings.read_url.is_some() {
                // The message's time is not the record's: a record that can be asked is asked.
                content.stamp = None;
            } else if content.fields.is_empty() && !content.deleted {
                return Err(HookError::NothingTold.into());
            }
        }
        Ok(change)
    }

    fn signed(&self, request: RequestBuilder, id: &str, body: &[u8]) -> RequestBuilder {
        let request = request.timeout(self.settings.timeout.0);
        self.signer
            .sign(id, self.clock.now(), body)
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    }

    async fn send(&self, request: RequestBuilder) -> Result<wire::Answer, TrackerError> {
        let response = request.send().await.map_err(|error| answer::no_answer(why(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match body_up_to(response, MAX_ANSWER).await {
            Ok(body) => wire::Body::Whole(body),
            Err(BodyError::TooLarge { .. }) => wire::Body::TooLarge,
            Err(BodyError::Broken(trouble)) => wire::Body::Broken(trouble),
        };
        Ok(wire::Answer { status, headers, body, now: self.clock.now() })
    }

    async fn write_one(&self, write: &Write) -> Result<Written, TrackerError> {
        let pending = &write.pending;
        let id = pending.key.as_ref().map_or_else(|| write.twin.to_string(), |_| pending.id.to_string());
        let body = wire::message(pending);
        let request = self.http.post(self.settings.url.clone()).header("content-type", "application/json");
        let request = self.signed(request, &id, &body).body(body);
        let mut written = wire::written(self.send(request).await?, pending.key.as_deref())?;
        if self.settings.read_url.is_some()
            && let Ok((Found::Here(entity), _)) = self.read_one(&pending.entity_type, &written.key).await
        {
            written.url = written.url.or_else(|| entity.url.clone());
            written.read_back = Some(entity);
        }
        Ok(written)
    }

    /// Reads one record; with it the tracker's clock and what to add to it.
    async fn read_one(&self, entity_type: &str, key: &str) -> Result<(Found, Option<(Time, i64)>), TrackerError> {
        let Some(read_url) = &self.settings.read_url else { return Ok((Found::CannotAsk, None)) };
        let answer = self.get(read_url, key).await?;
        let times = answer::date(&answer.headers).map(|date| (date, wire::clock_offset(date, answer.now)));
        Ok((wire::found(answer, entity_type, key)?, times))
    }

    async fn get(&self, read_url: &Url, key: &str) -> Result<wire::Answer, TrackerError> {
        let request = self.http.get(wire::record_url(read_url, key)).header("accept", "application/json");
        self.send(self.signed(request, &self.clock.id().to_string(), b"")).await
    }
}

/// Brings a key to its form, or says why it is none.
fn tidy_key(typed: &str) -> Result<String, &'static str> {
    let key = typed.trim();
    if key.is_empty() {
        return Err("it is empty");
    }
    if key.chars().count() > MAX_KEY {
        return Err("it has more than 255 characters");
    }
    if key.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    if matches!(key, "." | "..") {
        return Err("it cannot stand in an address");
    }
    Ok(key.to_owned())
}

fn refused_filter(detail: String) -> TrackerError {
    TrackerError {
        fault: Fault::Record,
        retry: Retry::Newer,
        code: "filter".to_owned(),
        title: "The filter cannot be used".to_owned(),
        detail,
        advice: "Write a JavaScript expression on `entity`, such as `entity.status !== 'draft'`.".to_owned(),
        in_doubt: false,
    }
}

fn engine_failed(detail: String) -> TrackerError {
    TrackerError {
        fault: Fault::Tracker,
        retry: Retry::Soon(None),
        code: "rule_engine".to_owned(),
        title: "The filter could not be run".to_owned(),
        detail,
        advice: "This usually passes by itself; if it stays, look at the node's log.".to_owned(),
        in_doubt: false,
    }
}

#[async_trait]
impl Tracker for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn traits(&self) -> Traits {
        Traits {
            read_batch: 100,
            write_batch: 64,
            keeps_writes: true,
            repeats_creates: true,
            can_look: false,
            lists: false,
            takes_requests: false,
        }
    }

    /// The address is shown without its path, which may hold a token.
    fn facts(&self) -> Facts {
        Facts { url: self.settings.url.origin().ascii_serialization(), ..Facts::default() }
    }

    fn key(&self, _entity_type: &str, typed: &str) -> Result<String, TrackerError> {
        tidy_key(typed).map_err(|reason| TrackerError {
            fault: Fault::Record,
            retry: Retry::Newer,
            code: "bad_key".to_owned(),
            title: "This cannot be a key".to_owned(),
            detail: format!("`{}` is no key: {reason}", answer::clean_text(typed.as_bytes())),
            advice: "Give the key as the tracker shows it: 1 to 255 characters.".to_owned(),
            in_doubt: false,
        })
    }

    fn default_entity_type(&self) -> &'static str {
        ISSUE
    }

    fn defaults(&self, entity_type: &str) -> Fields {
        self.settings.defaults.get(entity_type).cloned().unwrap_or_default()
    }

    async fn read(&self, _caller: Caller, entity_type: &str, keys: &[String]) -> Result<Read, TrackerError> {
        let reads: Vec<_> = keys.iter().map(|key| self.read_one(entity_type, key)).collect();
        let results: Vec<_> = stream::iter(reads).buffered(CONCURRENCY).collect().await;
        // Nothing came back and it concerns all: the tracker rests, rather than each record being told so.
        if let Some(Err(first)) = results.first()
            && first.concerns_all()
            && results.iter().all(Result::is_err)
        {
            return Err(first.clone());
        }
        let mut read = Read { found: Vec::with_capacity(results.len()), tracker_time: None, clock_offset_ms: 0 };
        for result in results {
            let found = match result {
                Ok((found, times)) => {
                    // The earliest answer is the safe one for all: a stamp before it is in every one of them.
                    if let Some((date, offset)) = times
                        && read.tracker_time.is_none_or(|earliest| date < earliest)
                    {
                        (read.tracker_time, read.clock_offset_ms) = (Some(date), offset);
                    }
                    found
                }
                Err(error) => Found::Failed(error),
            };
            read.found.push(found);
        }
        Ok(read)
    }

    /// An expression that throws on a record (a member of a member that is not there) does not match it.
    async fn matches(
        &self,
        _caller: Caller,
        entity_type: &str,
        filter: &str,
        entities: &[&Entity],
    ) -> Result<Vec<bool>, TrackerError> {
        if filter.trim().is_empty() {
            return Ok(vec![true; entities.len()]);
        }
        let mut matching = Vec::with_capacity(entities.len());
        for entity in entities {
            let (key, fields) = (entity.key.clone(), entity.fields.clone());
            let view = EntityView { entity_type: entity_type.to_owned(), key, fields, ..EntityView::default() };
            matching.push(match self.rules.matches(filter, &view).await {
                Ok(matches) => matches,
                Err(RuleError::Script { message, .. }) => {
                    tracing::warn!(tracker = self.name, entity_type, key = entity.key, %message, "a filter threw: no match");
                    false
                }
                Err(error @ (RuleError::Limit(_) | RuleError::TooBig(_))) => return Err(refused_filter(error.to_string())),
                Err(error @ (RuleError::Engine(_) | RuleError::Ended)) => return Err(engine_failed(error.to_string())),
            });
        }
        Ok(matching)
    }

    async fn count(&self, _: Caller, _: &str, _: &str) -> Result<Option<u64>, TrackerError> {
        // It tells of its records one by one; there is no list to ask for.
        Ok(None)
    }

    async fn check_filter(&self, entity_type: &str, filter: &str) -> Result<(), TrackerError> {
        if filter.trim().is_empty() {
            return Ok(());
        }
        if filter.len() > MAX_FILTER {
            return Err(refused_filter(format!("it has {} bytes; at most {MAX_FILTER} are accepted", filter.len())));
        }
        let empty = EntityView { entity_type: entity_type.to_owned(), ..EntityView::default() };
        // Never evaluated behind `false &&`: what fails there does not parse. Alone it shows what is no expression by
        // itself, such as `a) || (b`; what it throws on an empty record proves nothing.
        for (source, any_error) in [(format!("false && (\n{filter}\n)"), true), (filter.to_owned(), false)] {
            match self.rules.matches(&source, &empty).await {
                Err(RuleError::Script { message, .. }) if any_error || message.contains("SyntaxError") => {
                    return Err(refused_filter(message));
                }
                Err(error @ (RuleError::Limit(_) | RuleError::TooBig(_))) => return Err(refused_filter(error.to_string())),
                Err(error @ (RuleError::Engine(_) | RuleError::Ended)) => return Err(engine_failed(error.to_string())),
                Ok(_) | Err(RuleError::Script { .. }) => {}
            }
        }
        Ok(())
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Written, TrackerError>> {
        let calls: Vec<_> = writes.iter().map(|write| self.write_one(write)).collect();
        stream::iter(calls).buffered(CONCURRENCY).collect().await
    }

    /// Nothing has to be looked for: the receiver knows a repeat by its `webhook-id`.
    async fn find_created(&self, _entity_type: &str, writes: &[(TwinId, PendingWrite)]) -> Result<Vec<Created>, TrackerError> {
        Ok(vec![Created::Absent; writes.len()])
    }

    async fn describe(&self, _caller: Caller, entity_type: &str) -> Result<Description, TrackerError> {
        Ok(Description { entity_type: entity_type.to_owned(), ..Description::default() })
    }

    /// The built-in type, and those that the configuration has defaults for.
    async fn entity_types(&self, _caller: Caller) -> Result<Vec<String>, TrackerError> {
        let configured = self.settings.defaults.keys().map(String::as_str).filter(|name| *name != ISSUE);
        Ok(std::iter::once(ISSUE).chain(configured).map(str::to_owned).collect())
    }

    async fn look(&self, cursor: &LookCursor, _entity_types: &[String]) -> Result<Looked, TrackerError> {
        Ok(Looked { cursor: cursor.clone(), ..Looked::default() })
    }

    async fn check(&self) -> Vec<CheckStep> {
        check::steps(self).await
    }
}

#[cfg(test)]
mod tests;
