//! Rows that are no domain nouns: drafts, numbered events, cursors, filters, pages.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Time,
    domain::{
        ask::Moment,
        connection::Connection,
        error::ErrorRecord,
        event::Body,
        figures::{Figures, Step},
        history::{Direction, Outcome},
        ids::{ConnectionId, CorrelationId, EventId, Side, TokenId, TwinId, UserId},
        twin::Status,
    },
};

/// In place of a due time: work that waits for a paused direction to go on.
pub const HELD: Time = Time(i64::MAX - 2);

/// Where a connection's link stands, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkState {
    /// Numbers count from 1 in each.
    pub epoch: u64,
    /// Number of our last numbered event.
    pub out_n: u64,
    /// Id of that event.
    pub out_id: Option<EventId>,
    /// Number of our last event that the peer has stored.
    pub acked: u64,
    /// Number of the peer's last event that we have stored.
    pub in_n: u64,
    /// Id of that event.
    pub in_id: Option<EventId>,
    /// When this epoch began here; `None` in the first.
    pub epoch_since: Option<Time>,
    /// This epoch came from a set-back and the peer has not said `resynced` yet: no create leaves.
    pub resyncing: bool,
    /// Every twin of this epoch is still to be sent by us.
    pub resync_due: bool,
    /// What to add to the peer's times to get ours, in milliseconds, as learned from signed answers.
    pub clock_offset_ms: i64,
    /// We were the side that was set back: what the peer says it `applied` is what we sent last.
    pub set_back_here: bool,
    /// When an epoch last began by itself: one a day.
    pub last_own_epoch: Option<Time>,
    /// An epoch that waits for a person.
    pub epoch_waits: bool,
}

impl LinkState {
    /// What `side` adds to the times of the other to get its own: the side that accepted does all of it, both ways
    /// (link.md, "Conflicts": times are compared on the inviting side's clock).
    pub fn offset_at(&self, side: Side) -> i64 {
        match side {
            Side::Accepting => self.clock_offset_ms,
            Side::Inviting => 0,
        }
    }
}

/// What waits to be handed out: no number yet, merged per twin and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Its id; kept when it merges.
    pub id: EventId,
    /// Its twin; `None` for `resynced`.
    pub twin: Option<TwinId>,
    /// See `Event::seen`.
    pub seen: u64,
    /// See `Event::at`.
    pub at: Time,
    /// See `Event::correlation`.
    pub correlation: Option<CorrelationId>,
    /// What it says.
    pub body: Body,
}

/// An event of ours with its number and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// Its number in its epoch.
    pub n: u64,
    /// Its id.
    pub id: EventId,
    /// Its twin.
    pub twin: Option<TwinId>,
    /// The event's JSON, byte for byte.
    pub json: String,
}

/// A sync event of ours that the other side had not applied when it last spoke.
#[derive(Clone, Debug, PartialEq)]
pub struct Unseen {
    /// Its number; `None` while it waits.
    pub n: Option<u64>,
    /// What it says.
    pub body: Body,
}

/// An event of the other side as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// Row number; 0 before it is stored.
    pub row: i64,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Its epoch.
    pub epoch: u64,
    /// Its number.
    pub n: u64,
    /// Its id.
    pub id: EventId,
    /// Its twin, where one could be read.
    pub twin: Option<TwinId>,
    /// Its JSON as it came.
    pub json: String,
    /// When we stored it.
    pub received_at: Time,
}

/// A twin with events that wait to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTwin {
    /// Its connection.
    pub connection_id: ConnectionId,
    /// The twin; `None` gathers events that name none.
    pub twin: Option<TwinId>,
    /// First of its waiting rows.
    pub first_row: i64,
    /// How many wait.
    pub count: u64,
}

/// A record with changes that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingRecord {
    /// Entity type.
    pub entity_type: String,
    /// Key.
    pub key: String,
}

/// What a list of twins is filtered by; `None` passes all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinFilter {
    /// Its connection.
    pub connection_id: Option<ConnectionId>,
    /// Only these connections (a partner's token).
    pub connections: Option<Vec<ConnectionId>>,
    /// Our tracker.
    pub tracker: Option<String>,
    /// Its status.
    pub status: Option<Status>,
    /// Local entity type.
    pub entity_type: Option<String>,
    /// Its local or remote key is one of these; none passes all.
    pub keys: Vec<String>,
}

/// Open errors that say the same of one connection or tracker.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorGroup {
    /// The one that was opened last.
    pub newest: ErrorRecord,
    /// How many there are.
    pub count: u64,
}

/// What a list of errors is filtered by; `None` passes all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorFilter {
    /// Its connection.
    pub connection_id: Option<ConnectionId>,
    /// Only these connections (a partner's token); errors without a connection are left out then.
    pub connections: Option<Vec<ConnectionId>>,
    /// Its twin.
    pub twin_id: Option<TwinId>,
    /// Twin, connection, tracker, node.
    pub scope: Option<crate::domain::error::Scope>,
    /// Of this tracker, or of a connection of it.
    pub tracker: Option<String>,
    /// Its short word.
    pub code: Option<String>,
    /// Its line.
    pub title: Option<String>,
    /// Its own words.
    pub detail: Option<String>,
    /// Of a twin in this status.
    pub status: Option<Status>,
    /// Open since this moment or later.
    pub since: Option<Time>,
}

/// What a list of jobs is filtered by; `None` passes all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFilter {
    /// Its connection.
    pub connection_id: Option<ConnectionId>,
    /// Only these connections (a partner's token).
    pub connections: Option<Vec<ConnectionId>>,
    /// How far it is.
    pub status: Option<crate::domain::job::Status>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// After this item, as the last answer's `next` said.
    pub after: Option<String>,
    /// At most this many, 1 to 500.
    pub limit: u32,
}

/// A part of a list, and where it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Ask with this for what follows; `None`: that was all.
    pub next: Option<String>,
}

/// What waits on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Waiting {
    /// Events that wait to be handed over or acknowledged.
    pub outbox: u64,
    /// Events of the other side that wait to be applied.
    pub inbox: u64,
    /// Bytes of those.
    pub inbox_bytes: u64,
    /// Twins that are parked.
    pub parked: u64,
}

/// A connection, where its link stands, and what waits on it: what an exchange begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The row.
    pub connection: Connection,
    /// Where its link stands.
    pub link: LinkState,
    /// What waits on it.
    pub waiting: Waiting,
}

/// An answer that is given again to a repeated `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedAnswer {
    /// SHA-256 of method, path and body: another request under the same key is refused.
    pub request: [u8; 32],
    /// HTTP status; 0 while the first is still at work.
    pub status: u16,
    /// The body, unless it held a secret.
    pub body: Option<String>,
    /// When it was made.
    pub at: Time,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// When.
    pub at: Time,
    /// The token, where one was used.
    pub token_id: Option<TokenId>,
    /// The person, where one was signed in.
    pub user_id: Option<UserId>,
    /// Name of who did it.
    pub by: String,
    /// What was done, such as `connection.create`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// More, for people.
    pub detail: String,
}

/// What is known of a tracker beyond the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackerState {
    /// Salesforce: the org that the first login showed, kept.
    pub org_id: Option<String>,
    /// Where the light look stands.
    pub look_cursor: crate::domain::tracker::LookCursor,
    /// When the last outbound message or webhook was taken in.
    pub last_notice_at: Option<Time>,
    /// Why everything that needs this tracker rests.
    pub paused: Option<crate::domain::connection::Paused>,
    /// How often it failed in a row: for the next pause.
    pub failures: u32,
}

/// A call of a rule to the outside, kept before it leaves and with its answer after.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalRow {
    /// Its connection.
    pub connection_id: ConnectionId,
    /// The twin whose rule it is.
    pub twin: TwinId,
    /// Which rule.
    pub direction: Direction,
    /// In order of making, within a work.
    pub number: u32,
    /// The version of the rules that the work began with, or that a person moved it to.
    pub version: u32,
    /// Time and chance of the work.
    pub moment: Moment,
    /// `POST` and so on, or `STORE`.
    pub method: String,
    /// Where to; what was stored: `create` or `update`.
    pub path: String,
    /// SHA-256 of what was sent along.
    pub body: [u8; 32],
    /// When it left.
    pub at: Time,
    /// JSON text of the answer, once it is known.
    pub answer: Option<String>,
}

/// A twin whose rule looked for the twin of a record that had none yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Key of the other side's record that was looked for.
    pub remote_key: String,
    /// The twin whose rule looked.
    pub twin: TwinId,
    /// Which rule.
    pub direction: Direction,
    /// Epoch and number of the events that an incoming rule was run on.
    pub up_to: (u64, u64),
    /// JSON of an event that says what they said; `None` on the way out.
    pub event: Option<String>,
}

/// A piece of a rule's work: whose, and which rule.
pub type RuleWork = (ConnectionId, TwinId, Direction);

/// How some changes and events ended, all in the same way and time.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRow {
    /// Beginning of the quarter of an hour.
    pub at: Time,
    /// The connection, where one was meant.
    pub connection: Option<ConnectionId>,
    /// How.
    pub outcome: Outcome,
    /// How long each took, of those that were sent or applied.
    pub took_ms: Option<i64>,
    /// How many.
    pub count: u64,
}

/// A part of the history, summed up.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedPart {
    /// The sums.
    pub rows: Vec<EndedRow>,
    /// The last line in it; `None` where there is none.
    pub upto: Option<i64>,
    /// Nothing followed.
    pub is_last: bool,
}

/// Figures to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct FiguresRow {
    /// Of which connection; `None` is the whole node.
    pub connection: Option<ConnectionId>,
    /// How wide the span is.
    pub step: Step,
    /// Where it begins.
    pub at: Time,
    /// What is added.
    pub figures: Figures,
}
