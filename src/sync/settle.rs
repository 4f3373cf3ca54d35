//! One transaction that ends a piece of work: twins, drafts, outcomes, parked errors, all or nothing.

use std::time::Duration;

use super::holdup::was_kept;
use crate::{
    clock::{Clock, Time},
    domain::{
        change::NewChange,
        error::{ErrorRecord, Scope},
        history::{Direction, HistoryLine, Outcome},
        ids::{ConnectionId, CorrelationId, ErrorId, TwinId},
        rule::RuleError,
        tracker::{Retry, TrackerError},
        twin::Twin,
    },
    retry::Backoff,
    store::{
        Lease, Store, StoreError, Topic, Tx,
        rows::{Draft, JournalRow, Lookup, RuleWork},
    },
};

const PARKED: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(600) };
const HOURLY: Duration = Duration::from_secs(3600);
/// A change that waits for a person, or for a newer one.
pub(super) const NEVER: Time = Time(i64::MAX - 1);

/// Why a twin is held up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Short word for grouping.
    pub code: String,
    /// One line.
    pub title: String,
    /// The tracker's or the rule's own words.
    pub detail: String,
    /// What to do.
    pub advice: String,
    /// When it is tried again.
    pub again: Again,
}

/// When held-up work is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// By itself, with growing pauses.
    Soon,
    /// Every hour, and when a newer change comes.
    Hourly,
    /// When a newer change comes, or a person asks.
    Newer,
    /// When a person asks.
    Person,
}

impl From<&TrackerError> for Trouble {
    fn from(error: &TrackerError) -> Self {
        Self {
            code: error.code.clone(),
            title: error.title.clone(),
            detail: error.detail.clone(),
            advice: error.advice.clone(),
            again: match error.retry {
                Retry::Soon(_) => Again::Soon,
                Retry::Hourly => Again::Hourly,
                Retry::Newer => Again::Newer,
            },
        }
    }
}

impl Trouble {
    /// A rule's failure.
    pub(super) fn rule(direction: Direction, error: &RuleError) -> Self {
        let (code, advice, again) = match error {
            RuleError::TooBig(_) => ("replica_too_large", "Let the rule send less of this record.", Again::Newer),
            RuleError::Script { advice, .. } => ("rule_failed", advice.as_str(), Again::Person),
            RuleError::Limit(_) => ("rule_limit", "Make the rule do less, then retry.", Again::Person),
            RuleError::Engine(_) | RuleError::Ended => {
                ("rule_engine", "Nothing to do if it passes; else look at the node's log.", Again::Soon)
            }
        };
        Self {
            code: code.to_owned(),
            title: format!("The {} rule failed", direction.rule()),
            detail: error.to_string(),
            advice: advice.to_owned(),
            again,
        }
    }
}

/// A twin to be parked.
#[derive(Debug, Clone)]
pub(super) struct Park {
    /// The twin; its row is stored with status `parked` beside.
    pub twin: TwinId,
    /// Its connection.
    pub connection: ConnectionId,
    /// Why.
    pub trouble: Trouble,
    /// On which way, and what waits there.
    pub way: Way,
    /// What to tell the other side, the first time.
    pub word: Option<Draft>,
}

/// What a parked twin's work waits as.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Its events rest.
    In,
    /// This change is kept for it.
    Out(Option<Box<NewChange>>),
}

/// What to store together.
#[derive(Debug, Default)]
pub(super) struct Settle {
    pub twins: Vec<Twin>,
    pub drafts: Vec<Draft>,
    /// Connections with a draft of bulk work, once for each.
    pub bulk: Vec<ConnectionId>,
    pub ended_changes: Vec<i64>,
    pub delayed: Vec<(Vec<i64>, Time)>,
    pub history: Vec<HistoryLine>,
    pub parks: Vec<Park>,
    /// Twins that are no longer held up: their error closes and their events go on.
    pub healed: Vec<(ConnectionId, TwinId)>,
    pub ended_events: Vec<i64>,
    pub resting: Vec<(ConnectionId, TwinId, Time)>,
    pub changes: Vec<NewChange>,
    /// Changes kept until a person lets them go on.
    pub kept: Vec<NewChange>,
    /// Twins whose events wait for a paused direction, and changes that do; free where the pause has just ended.
    pub held: Vec<(ConnectionId, TwinId)>,
    pub held_changes: Vec<(ConnectionId, NewChange)>,
    /// What rules looked for in vain.
    pub lookups: Vec<Lookup>,
    /// What of a work's journal is known now.
    pub journal: Vec<JournalRow>,
    /// Works of rules that end here: what they did to the outside is done.
    pub ended: Vec<RuleWork>,
    /// Held until all is stored.
    pub leases: Vec<Lease>,
}

impl Settle {
    /// Adds another piece of work's end.
    pub(super) fn join(&mut self, other: Self) {
        self.twins.extend(other.twins);
        self.drafts.extend(other.drafts);
        self.bulk.extend(other.bulk);
        self.ended_changes.extend(other.ended_changes);
        self.delayed.extend(other.delayed);
        self.history.extend(other.history);
        self.parks.extend(other.parks);
        self.healed.extend(other.healed);
        self.ended_events.extend(other.ended_events);
        self.resting.extend(other.resting);
        self.changes.extend(other.changes);
        self.kept.extend(other.kept);
        self.held.extend(other.held);
        self.held_changes.extend(other.held_changes);
        self.lookups.extend(other.lookups);
        self.journal.extend(other.journal);
        self.ended.extend(other.ended);
        self.leases.extend(other.leases);
    }

    fn is_empty(&self) -> bool {
        let Self { twins, drafts, ended_changes, delayed, history, parks, healed, ended_events, resting, changes, kept, .. } =
            self;
        // What rules did and looked for is never alone: it comes with how their work went.
        let marks = ended_changes.is_empty() && delayed.is_empty() && ended_events.is_empty() && resting.is_empty();
        let rows = twins.is_empty() && drafts.is_empty() && history.is_empty() && changes.is_empty() && kept.is_empty();
        let held = self.held.is_empty() && self.held_changes.is_empty();
        marks && rows && held && parks.is_empty() && healed.is_empty()
    }

    /// Stores it all; nothing costs nothing.
    pub(super) async fn commit(mut self, store: &Store, clock: &dyn Clock, name: &'static str) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let now = clock.now();
        let _leases = std::mem::take(&mut self.leases);
        self.changes.extend(self.kept.drain(..).map(|change| NewChange { due_at: NEVER, ..change }));
        let parks: Vec<(Park, ErrorId, Duration)> =
            self.parks.iter().map(|park| (park.clone(), ErrorId(clock.id()), PARKED.pause(1, clock))).collect();
        let told = super::told::wanted(&self.history);
        // Before they can be handed over.
        self.bulk.iter().for_each(|connection| store.wakes().add_bulk(*connection, 1));
        let correlation = CorrelationId(clock.id());
        store
            .write(name, move |tx| {
                Box::pin(async move {
                    tx.put_twins(&self.twins).await?;
                    for (connection, twin) in &self.healed {
                        heal(tx, *connection, *twin, now).await?;
                    }
                    for (park, id, pause) in parks {
                        store_park(tx, park, id, pause, now).await?;
                    }
                    tx.put_drafts(&self.drafts).await?;
                    if !self.ended_changes.is_empty() {
                        tx.end_changes(&self.ended_changes).await?;
                    }
                    for (ids, due) in &self.delayed {
                        tx.delay_changes(ids, *due).await?;
                    }
                    if !self.ended_events.is_empty() {
                        tx.end_arrived(&self.ended_events).await?;
                    }
                    for (connection, twin, until) in &self.resting {
                        tx.rest_arrived(*connection, *twin, Some(*until)).await?;
                    }
                    super::pauses::hold(tx, &self.held, &self.held_changes, now).await?;
                    if !self.changes.is_empty() {
                        tx.add_changes(&self.changes).await?;
                    }
                    if !self.history.is_empty() {
                        tx.add_history(&self.history).await?;
                    }
                    for row in &self.journal {
                        tx.put_journal(row).await?;
                    }
                    tx.end_journal(&self.ended).await?;
                    super::late::settle(tx, (&self.twins, &self.lookups), (now, correlation)).await
                })
            })
            .await?;
        told.iter().for_each(super::told::Ended::tell);
        Ok(())
    }
}

/// Closes a twin's error and lets its events and changes go on.
pub(super) async fn heal(tx: &mut dyn Tx, connection: ConnectionId, twin: TwinId, now: Time) -> Result<(), StoreError> {
    if let Some(error) = tx.error_of_twin(twin).await? {
        tx.close_error(error.id).await?;
        tx.release_arrived(connection, twin).await?;
        release_changes(tx, connection, twin, now).await?;
    }
    Ok(())
}

/// Lets the changes that waited for a twin go on: the one that was kept for it, and what came after it.
pub(super) async fn release_changes(
    tx: &mut dyn Tx,
    connection: ConnectionId,
    twin: TwinId,
    now: Time,
) -> Result<(), StoreError> {
    let Some(twin) = tx.twin(connection, twin).await? else { return Ok(()) };
    let Some(local) = &twin.local else { return Ok(()) };
    let changes = tx.changes(&twin.tracker, &local.entity_type, &local.key).await?;
    let waits =
        changes.iter().filter(|one| one.change.due_at > now && one.change.connection.is_none_or(|only| only == connection));
    let ids: Vec<i64> = waits.map(|change| change.id).collect();
    if !ids.is_empty() {
        tx.delay_changes(&ids, now).await?;
        tx.wake(Topic::Changes(twin.tracker));
    }
    Ok(())
}

/// The changes that were kept for a twin.
pub(super) async fn kept_changes(tx: &mut dyn Tx, connection: ConnectionId, twin: TwinId) -> Result<Vec<i64>, StoreError> {
    let Some(twin) = tx.twin(connection, twin).await? else { return Ok(Vec::new()) };
    let Some(local) = &twin.local else { return Ok(Vec::new()) };
    let changes = tx.changes(&twin.tracker, &local.entity_type, &local.key).await?;
    let kept = changes.iter().filter(|change| change.change.connection == Some(connection) && was_kept(change));
    Ok(kept.map(|change| change.id).collect())
}

async fn store_park(tx: &mut dyn Tx, park: Park, id: ErrorId, pause: Duration, now: Time) -> Result<(), StoreError> {
    let known = tx.error_of_twin(park.twin).await?;
    let attempts = known.as_ref().map_or(0, |known| known.attempts) + 1;
    let growing = pause.saturating_mul(2u32.saturating_pow(attempts.min(10) - 1)).min(PARKED.most);
    let next = match park.trouble.again {
        Again::Soon => Some(now.plus(growing)),
        Again::Hourly => Some(now.plus(HOURLY)),
        Again::Newer | Again::Person => None,
    };
    let until = match park.trouble.again {
        Again::Person => None,
        Again::Newer => Some(NEVER),
        Again::Soon | Again::Hourly => next,
    };
    match park.way {
        Way::In => tx.rest_arrived(park.connection, park.twin, until).await?,
        Way::Out(Some(carrier)) => tx.add_changes(&[NewChange { due_at: until.unwrap_or(NEVER), ..*carrier }]).await?,
        Way::Out(None) => {}
    }
    let again_the_same =
        known.as_ref().is_some_and(|known| known.code == park.trouble.code && known.detail == park.trouble.detail);
    tx.put_error(&ErrorRecord {
        id: known.as_ref().map_or(id, |known| known.id),
        scope: Scope::Twin,
        connection_id: Some(park.connection),
        twin_id: Some(park.twin),
        tracker: None,
        code: park.trouble.code,
        title: park.trouble.title,
        detail: park.trouble.detail,
        advice: park.trouble.advice,
        retryable: next.is_some(),
        attempts,
        occurred_at: known.map_or(now, |known| known.occurred_at),
        next_attempt_at: next,
    })
    .await?;
    if let Some(word) = park.word
        && !again_the_same
    {
        tx.put_draft(&word).await?;
    }
    Ok(())
}

/// A line of a twin's story.
pub(super) fn line(twin: &Twin, at: Time, direction: Direction, outcome: Outcome) -> HistoryLine {
    let (entity_type, key) =
        twin.local.as_ref().map_or_else(Default::default, |local| (local.entity_type.clone(), local.key.clone()));
    HistoryLine {
        at,
        tracker: twin.tracker.clone(),
        entity_type,
        key,
        connection_id: Some(twin.connection_id),
        twin_id: Some(twin.id),
        direction,
        outcome,
        reason: None,
        changes: Vec::new(),
        took_ms: 0,
        correlation: None,
    }
}
