//! The doors that a tracker knocks at: what each must be able to do, the tokens in their addresses, and the errors that
//! a person sees when something at a door goes wrong.
//!
//! Tokens are kept in memory, since the way in must cost no database read; they change only by [`Doors::rotate`].
//! Errors at a door are rows with scope `tracker`, one per cause, and written at most once a minute per cause, so that a
//! stranger who knocks cannot fill the disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use url::Url;

pub use super::trouble::Trouble;
use crate::{
    clock::{Clock, Time},
    domain::{
        change::NewChange,
        error::{ErrorRecord, Scope},
        ids::ErrorId,
        tracker::TrackerError,
    },
    secret::{Secret, base64url},
    store::{Store, StoreError, Tx},
};

/// What an outbound message brought.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// To be stored before the answer.
    pub changes: Vec<NewChange>,
    /// Notifications that make no sense, in words: kept as an error, their neighbours go on.
    pub broken: Vec<String>,
}

/// Why an outbound message is not taken in at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorRefusal {
    /// It comes from another org than the one this tracker is bound to.
    WrongOrg {
        /// The org that sent it.
        got: String,
        /// The org that the tracker is bound to.
        expected: String,
    },
    /// It is no outbound message.
    Malformed(String),
    /// This tracker cannot judge messages yet; the sender repeats.
    NotReady(String),
}

/// Reads outbound messages of one tracker.
pub trait SalesforceDoor: Send + Sync {
    /// Parses a message and checks its org.
    fn parse(&self, body: &[u8]) -> Result<Accepted, DoorRefusal>;
}

/// The headers of a Standard Webhooks message, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookHeaders<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub signature: Option<&'a str>,
}

/// Why a webhook is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookRefusal {
    /// A header is missing or the signature is not by our secret.
    WrongSignature(String),
    /// Its time is too far from ours.
    Stale(String),
    /// The body is not what the tracker sends.
    Malformed(String),
}

/// Reads webhooks of one tracker.
pub trait HookDoor: Send + Sync {
    /// Verifies and parses a message.
    fn accept(&self, headers: &HookHeaders<'_>, body: &[u8]) -> Result<NewChange, HookRefusal>;
}

/// A tracker where a person signs in (authorization code with PKCE).
#[async_trait]
pub trait SignIn: Send + Sync {
    /// Where to send the person; `redirect` is this node's callback.
    async fn begin(&self, redirect: &Url) -> Result<Url, TrackerError>;
    /// The person came back: `state` must be one that [`Self::begin`] drew.
    async fn finish(&self, redirect: &Url, state: &str, code: &str) -> Result<(), TrackerError>;
    /// The person came back with a refusal; what it means. The state is used up.
    async fn refused(&self, state: &str, error: &str, description: &str) -> TrackerError;
}

/// How long a rotated token lives on.
const OLD_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// At most one row per cause in this time.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);
/// The hour of the last message is written down at most this often; in between it is known in memory.
const NOTICE_PAUSE: Duration = Duration::from_secs(60);
/// Longest detail of a row.
const MOST_DETAIL: usize = 2_000;
/// Longest list of notifications in one row.
const MOST_LINES: usize = 20_000;

#[derive(Clone, Debug)]
struct Token {
    current: Secret,
    old: Option<(Secret, Time)>,
}

/// Tokens and troubles of all doors.
#[derive(Debug)]
pub struct Doors {
    clock: Arc<dyn Clock>,
    tokens: ArcSwap<BTreeMap<String, Token>>,
    told: Mutex<HashMap<(String, Trouble), Time>>,
    heard: Mutex<HashMap<String, Heard>>,
    open: ArcSwap<std::collections::HashSet<(String, Trouble)>>,
}

/// When a tracker last told something.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Time,
    kept: Time,
}

fn secret_name(tracker: &str) -> String {
    format!("tracker.{tracker}.door_token")
}

fn draw(clock: &dyn Clock) -> Secret {
    let mut random = [0u8; 32];
    clock.random(&mut random);
    Secret::new(base64url(&random))
}

/// `until` in milliseconds, a colon, the token.
fn read_old(kept: &Secret) -> Option<(Secret, Time)> {
    let (until, token) = kept.expose().split_once(':')?;
    Some((Secret::new(token), Time(until.parse().ok()?)))
}

impl Doors {
    /// Loads the tokens of these trackers and makes those that are missing.
    pub async fn open(store: &Store, clock: Arc<dyn Clock>, trackers: Vec<String>) -> Result<Self, StoreError> {
        let drawn: Vec<(String, Secret)> = trackers.into_iter().map(|name| (name, draw(&*clock))).collect();
        let (tokens, open) = store
            .write("doors.open", move |tx| {
                Box::pin(async move {
                    let mut tokens = BTreeMap::new();
                    let mut open = std::collections::HashSet::new();
                    for (tracker, new) in drawn {
                        let name = secret_name(&tracker);
                        let current = match tx.secret(&name).await? {
                            Some(kept) => kept,
                            None => {
                                tx.put_secret(&name, &new).await?;
                                new
                            }
                        };
                        let old = tx.secret(&format!("{name}.old")).await?.as_ref().and_then(read_old);
                        for trouble in Trouble::ALL {
                            if tx.error_of(&tracker, trouble.code()).await?.is_some() {
                                open.insert((tracker.clone(), trouble));
                            }
                        }
                        tokens.insert(tracker, Token { current, old });
                    }
                    Ok((tokens, open))
                })
            })
            .await?;
        Ok(Self {
            clock,
            tokens: ArcSwap::from_pointee(tokens),
            told: Mutex::default(),
            heard: Mutex::default(),
            open: ArcSwap::from_pointee(open),
        })
    }

    /// The token in the tracker's address, for those who may see it.
    pub fn token(&self, tracker: &str) -> Option<Secret> {
        self.tokens.load().get(tracker).map(|token| token.current.clone())
    }

    /// Whether this is the tracker's token, or the one before it within its day.
    pub fn opens(&self, tracker: &str, typed: &str) -> bool {
        let tokens = self.tokens.load();
        let Some(token) = tokens.get(tracker) else { return false };
        // Both are compared, whatever the first says: time tells nothing.
        let current = token.current.equals(typed);
        let old = token.old.as_ref().is_some_and(|(old, until)| old.equals(typed) & (self.clock.now() < *until));
        current | old
    }

    /// Draws a new token. The old one lives on for a day, or dies at once.
    pub async fn rotate(&self, store: &Store, tracker: &str, at_once: bool) -> Result<(), StoreError> {
        let new = draw(&*self.clock);
        let until = self.clock.now().plus(OLD_TOKEN_LIFE);
        let old = self.token(tracker).filter(|_| !at_once).map(|token| (token, until));
        let (name, kept_new) = (secret_name(tracker), new.clone());
        let kept_old = old.as_ref().map(|(token, until)| Secret::new(format!("{}:{}", until.millis(), token.expose())));
        store
            .write("doors.rotate", move |tx| {
                Box::pin(async move {
                    match kept_old {
                        Some(kept) => tx.put_secret(&format!("{name}.old"), &kept).await?,
                        None => tx.delete_secret(&format!("{name}.old")).await?,
                    }
                    tx.put_secret(&name, &kept_new).await
                })
            })
            .await?;
        self.tokens.rcu(|tokens| {
            let mut tokens = BTreeMap::clone(tokens);
            tokens.insert(tracker.to_owned(), Token { current: new.clone(), old: old.clone() });
            tokens
        });
        Ok(())
    }

    /// Opens or renews the error row of a cause, at most once a minute.
    pub async fn report(&self, store: &Store, tracker: &str, trouble: Trouble, detail: String) {
        if !self.is_due(tracker, trouble) {
            return;
        }
        let record = self.record(tracker, trouble, detail);
        let written = store.write("doors.report", move |tx| Box::pin(async move { keep(tx, record).await })).await;
        match written {
            Ok(()) => self.opened(tracker, trouble),
            Err(error) => tracing::warn!(tracker, code = trouble.code(), %error, "an error at a door could not be kept"),
        }
    }

    /// The row of a cause, for a transaction that keeps it beside something else (see [`keep`]).
    pub fn record(&self, tracker: &str, trouble: Trouble, mut detail: String) -> ErrorRecord {
        cut(&mut detail, MOST_DETAIL);
        ErrorRecord {
            id: ErrorId(self.clock.id()),
            scope: Scope::Tracker,
            connection_id: None,
            twin_id: None,
            tracker: Some(tracker.to_owned()),
            code: trouble.code().to_owned(),
            title: trouble.title().to_owned(),
            detail,
            advice: trouble.advice().to_owned(),
            retryable: false,
            attempts: 1,
            occurred_at: self.clock.now(),
            next_attempt_at: None,
        }
    }

    /// Remembers that the row of a cause is open.
    pub fn opened(&self, tracker: &str, trouble: Trouble) {
        self.open.rcu(|open| {
            let mut open = std::collections::HashSet::clone(open);
            open.insert((tracker.to_owned(), trouble));
            open
        });
    }

    /// When the tracker last told something, as far as this process knows.
    pub fn last_notice(&self, tracker: &str) -> Option<Time> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(tracker).map(|heard| heard.at)
    }

    /// Notes the hour; true where it is to be written down.
    fn hear(&self, tracker: &str, now: Time) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(tracker) {
            Some(known) => {
                known.at = now;
                let due = now.since(known.kept) >= NOTICE_PAUSE;
                known.kept = if due { now } else { known.kept };
                due
            }
            None => {
                heard.insert(tracker.to_owned(), Heard { at: now, kept: now });
                true
            }
        }
    }

    /// A good message came: notes the hour and closes what it proves mended. Costs a commit once a minute, and where
    /// something is open.
    pub async fn good(&self, store: &Store, tracker: &str) {
        let now = self.clock.now();
        if self.hear(tracker, now) {
            let name = tracker.to_owned();
            let kept = store
                .write("doors.heard", move |tx| {
                    Box::pin(async move {
                        let mut state = tx.tracker_state(&name).await?;
                        state.last_notice_at = state.last_notice_at.max(Some(now));
                        tx.put_tracker_state(&name, &state).await
                    })
                })
                .await;
            if let Err(error) = kept {
                tracing::warn!(tracker, %error, "the hour of the last message could not be kept");
            }
        }
        let open = self.open.load_full();
        if open.is_empty() {
            return;
        }
        let healed: Vec<Trouble> = Trouble::ALL
            .into_iter()
            .filter(|trouble| trouble.heals() && open.contains(&(tracker.to_owned(), *trouble)))
            .collect();
        for trouble in healed {
            let subject = tracker.to_owned();
            let closed = store
                .write("doors.good", move |tx| {
                    Box::pin(async move {
                        if let Some(error) = tx.error_of(&subject, trouble.code()).await? {
                            tx.close_error(error.id).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            if closed.is_ok() {
                self.closed(tracker, trouble.code());
            }
        }
    }

    /// A person closed a row.
    pub fn closed(&self, tracker: &str, code: &str) {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(name, trouble), _| name != tracker || trouble.code() != code);
        self.open.rcu(|open| {
            open.iter()
                .filter(|(name, trouble)| name != tracker || trouble.code() != code)
                .cloned()
                .collect::<std::collections::HashSet<_>>()
        });
    }

    fn is_due(&self, tracker: &str, trouble: Trouble) -> bool {
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tracker.to_owned(), trouble);
        if told.get(&key).is_some_and(|last| now.since(*last) < TROUBLE_PAUSE) {
            return false;
        }
        told.insert(key, now);
        true
    }
}

/// Opens the row, or renews the one that is open for the same cause.
pub async fn keep(tx: &mut dyn Tx, mut record: ErrorRecord) -> Result<(), StoreError> {
    let subject = record.tracker.clone().unwrap_or_default();
    if let Some(open) = tx.error_of(&subject, &record.code).await? {
        record.id = open.id;
        record.attempts = open.attempts.saturating_add(1);
        record.occurred_at = open.occurred_at;
        if record.code == Trouble::BrokenNotification.code() {
            // They were acknowledged and come no more: none may push another out of sight.
            record.detail = joined(&open.detail, &record.detail);
        }
    }
    tx.put_error(&record).await
}

fn joined(before: &str, new: &str) -> String {
    let mut lines: Vec<&str> = before.lines().collect();
    lines.extend(new.lines().filter(|line| !before.lines().any(|known| known == *line)));
    let mut whole = lines.join("\n");
    cut(&mut whole, MOST_LINES);
    whole
}

fn cut(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
    }
}
