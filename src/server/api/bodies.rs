//! What the API answers with: the design's bodies, and how they are made from what the store holds.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Connection, Kind, Links, Mode, Paused, PausedBy, Prefer, Status, Switch},
        error::ErrorRecord,
        history::{Direction, FieldChange, HistoryLine, Outcome},
        ids::{ConnectionId, EntityRef, TokenId, TriggerId, TwinId},
        replica::Fields,
        token::{Scope, Token},
        tracker::ApiCalls,
        trigger::Trigger,
        twin::{self, RemoteOutcome, Twin},
    },
    link,
    server::kit::Node,
    store::{
        StoreError, Tx,
        rows::{Paged, Waiting},
    },
};

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// `cursor` of the next part; null where that was all.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A part of a list, each item as it travels.
    pub fn of<S>(paged: Paged<S>, body: impl FnMut(S) -> T) -> Self {
        Self { items: paged.items.into_iter().map(body).collect(), next: paged.next }
    }
}

/// The other side of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemoteBody {
    /// Its node's name.
    pub node: String,
    /// Where it is reached; null where it only dials.
    pub url: Option<String>,
    /// Kind of its tracker.
    pub tracker_kind: String,
    /// Its switch, as last heard.
    pub state: Switch,
    /// When it was last heard from.
    pub last_seen_at: Option<Time>,
    /// Fingerprint of its key: what people compare.
    pub key_fingerprint: String,
    /// Its version.
    pub version: String,
}

/// From arrival to outcome, in milliseconds, over the last hour.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Latency {
    /// Median; null where nothing ended in that time.
    pub p50: Option<i64>,
    /// 95th percentile.
    pub p95: Option<i64>,
}

/// How a connection does.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Why nothing flows at the moment.
    pub paused: Option<Paused>,
    /// See [`PausedBy`].
    pub paused_by: Option<PausedBy>,
    /// Events that wait, both directions.
    pub waiting: u64,
    /// Twins that are parked.
    pub parked: u64,
    /// See [`Latency`].
    pub latency_ms: Latency,
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
#[allow(missing_docs, reason = "the names are the design's, and the domain type tells of each")]
pub struct ConnectionBody {
    pub id: ConnectionId,
    pub name: String,
    pub status: Status,
    pub kind: Kind,
    pub mode: Mode,
    pub tracker: String,
    pub local_short_name: String,
    pub remote_short_name: String,
    pub description: String,
    pub created_at: Time,
    pub activated_at: Option<Time>,
    pub prefer: Prefer,
    pub links: Links,
    pub share_internal_comments: bool,
    pub awaiting: Option<Awaiting>,
    pub remote: Option<RemoteBody>,
    pub health: Health,
}

/// How far back latency is told.
const LATENCY_SPAN: std::time::Duration = std::time::Duration::from_secs(3600);

impl ConnectionBody {
    /// With its health, as the transaction sees it.
    pub async fn load(tx: &mut dyn Tx, connection: Connection, now: Time) -> Result<Self, StoreError> {
        let waiting = tx.waiting(connection.id).await?;
        let latency = tx.latency(connection.id, now.minus(LATENCY_SPAN)).await?;
        let mut paused = connection.paused.clone().map(|paused| (paused, PausedBy::Connection));
        if paused.is_none() {
            paused = rule_pause(tx, connection.id).await?.map(|paused| (paused, PausedBy::Rule));
        }
        if paused.is_none() {
            // Where its tracker rests, nothing of this connection takes effect either.
            paused = tx.tracker_state(&connection.tracker).await?.paused.map(|paused| (paused, PausedBy::Tracker));
        }
        Ok(Self::new(connection, paused, &waiting, latency))
    }

    fn new(connection: Connection, paused: Option<(Paused, PausedBy)>, waiting: &Waiting, latency: Option<(i64, i64)>) -> Self {
        let (paused, paused_by) = paused.unzip();
        let remote = connection.remote.map(|remote| RemoteBody {
            node: remote.node,
            url: remote.url,
            tracker_kind: remote.tracker_kind,
            state: remote.state,
            last_seen_at: remote.last_seen_at,
            key_fingerprint: remote.key_fingerprint,
            version: remote.version,
        });
        Self {
            id: connection.id,
            name: connection.name,
            status: connection.status,
            kind: connection.kind,
            mode: connection.mode,
            tracker: connection.tracker,
            local_short_name: connection.local_short_name,
            remote_short_name: connection.remote_short_name,
            description: connection.description,
            created_at: connection.created_at,
            activated_at: connection.activated_at,
            prefer: connection.prefer,
            links: connection.links,
            share_internal_comments: connection.share_internal_comments,
            awaiting: connection.awaiting,
            remote,
            health: Health {
                paused,
                paused_by,
                waiting: waiting.outbox + waiting.inbox,
                parked: waiting.parked,
                latency_ms: Latency { p50: latency.map(|(p50, _)| p50), p95: latency.map(|(_, p95)| p95) },
            },
        }
    }
}

/// A direction whose rule fails for every record: the one that has waited longest, with how much waits.
async fn rule_pause(tx: &mut dyn Tx, id: ConnectionId) -> Result<Option<Paused>, StoreError> {
    let paused = tx.paused(id).await?;
    let told = paused.iter().filter_map(|(direction, failing, waiting)| {
        let pause = failing.pause()?;
        let reason = format!("the {} rule fails for one record after the other; {waiting} more wait", direction.rule());
        Some(Paused { reason, since: pause.since, retry_at: Some(pause.probe_at) })
    });
    Ok(told.min_by_key(|paused| paused.since))
}

/// A code for the other side: shown to the one who made it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationBody {
    /// What the other side pastes.
    pub code: String,
    /// After this it is refused.
    pub expires_at: Time,
}

impl From<link::Code> for InvitationBody {
    fn from(code: link::Code) -> Self {
        Self { code: code.code.expose().to_owned(), expires_at: code.expires_at }
    }
}

/// A connection that was just made, with the code for the other side.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitedConnection {
    /// The connection.
    #[serde(flatten)]
    pub connection: ConnectionBody,
    /// The code.
    pub invitation: InvitationBody,
}

/// A trigger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
#[allow(missing_docs, reason = "the names are the design's, and the domain type tells of each")]
pub struct TriggerBody {
    pub id: TriggerId,
    pub entity_type: String,
    pub filter: String,
    pub enabled: bool,
    pub notes: String,
}

impl From<Trigger> for TriggerBody {
    fn from(trigger: Trigger) -> Self {
        let Trigger { id, entity_type, filter, enabled, notes, .. } = trigger;
        Self { id, entity_type, filter, enabled, notes }
    }
}

/// A pair of records under sync.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Twin)]
pub struct TwinBody {
    /// The same on both nodes.
    pub id: TwinId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Where it is in its life.
    pub status: twin::Status,
    /// The record here; null until it is made.
    pub local: Option<EntityRef>,
    /// The record there; null until it is told.
    pub remote: Option<EntityRef>,
    /// The other side's last word on our events.
    pub remote_outcome: Option<RemoteOutcome>,
    /// What holds it up.
    pub error: Option<ErrorRecord>,
    /// When it was made here.
    pub created_at: Time,
    /// When a change last took effect on either side.
    pub last_synced_at: Option<Time>,
}

impl TwinBody {
    /// With its error, as the transaction sees it.
    pub async fn load(tx: &mut dyn Tx, twin: Twin) -> Result<Self, StoreError> {
        // Only a parked twin is held up by an error; the others are spared the question.
        let error = if twin.status == twin::Status::Parked { tx.error_of_twin(twin.id).await? } else { None };
        let Twin { id, connection_id, status, local, remote, remote_outcome, created_at, last_synced_at, .. } = twin;
        Ok(Self { id, connection_id, status, local, remote, remote_outcome, error, created_at, last_synced_at })
    }
}

/// A pair of records with what crossed last.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeTwin {
    /// The twin.
    #[serde(flatten)]
    pub twin: TwinBody,
    /// The replica that the other side last got from us; null where it got none.
    #[schema(value_type = Option<Object>)]
    pub local_replica: Option<Fields>,
    /// The replica of the other side that is in effect here; null where none is.
    #[schema(value_type = Option<Object>)]
    pub remote_replica: Option<Fields>,
}

/// One step of a record's story.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = History)]
pub struct HistoryBody {
    /// When it was decided.
    pub at: Time,
    /// Which way.
    pub direction: Direction,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// What changed.
    pub changes: Vec<FieldChange>,
    /// From arrival to outcome, in milliseconds.
    pub took_ms: i64,
    /// The connection, where one was meant.
    pub connection_id: Option<ConnectionId>,
    /// The twin, where there is one.
    pub twin_id: Option<TwinId>,
}

impl From<HistoryLine> for HistoryBody {
    fn from(line: HistoryLine) -> Self {
        let HistoryLine { at, direction, outcome, reason, changes, took_ms, connection_id, twin_id, .. } = line;
        Self { at, direction, outcome, reason, changes, took_ms, connection_id, twin_id }
    }
}

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenBody {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Only these connections; null is all.
    pub connections: Option<Vec<ConnectionId>>,
    /// After this it is refused.
    pub expires_at: Option<Time>,
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        let Token { id, name, scopes, connections, expires_at, .. } = token;
        Self { id, name, scopes, connections, expires_at }
    }
}

/// How a tracker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackerStatus {
    /// Nothing is known to be wrong.
    Ok,
    /// Everything that needs it rests; the errors say why.
    Paused,
}

/// A system beside this node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tracker)]
pub struct TrackerBody {
    /// Its name in the configuration.
    pub name: String,
    /// `salesforce`, `webhook`…
    pub kind: &'static str,
    /// Base address.
    pub url: String,
    /// See [`TrackerStatus`].
    pub status: TrackerStatus,
    /// Why everything that needs it rests.
    pub paused: Option<Paused>,
    /// Salesforce: the org it is bound to.
    pub org_id: Option<String>,
    /// Salesforce: what to enter in an outbound message. It holds a secret: null for tokens without `configure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_message_url: Option<Option<String>>,
    /// `webhook`: what to register in the other system. It holds a secret, as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<Option<String>>,
    /// The daily allowance, as last heard.
    pub api_calls: Option<ApiCalls>,
    /// Whether a person signs in to it (`flow = "authorization-code"`).
    pub person_signs_in: bool,
    /// When our login ends, where that is known.
    pub login_expires_at: Option<Time>,
    /// When it last told us something.
    pub last_notice_at: Option<Time>,
}

impl TrackerBody {
    /// As the transaction sees it; `None` where there is no such tracker.
    pub async fn load(tx: &mut dyn Tx, node: &Node, name: &str, with_secrets: bool) -> Result<Option<Self>, StoreError> {
        let Some(tracker) = node.trackers.get(name) else { return Ok(None) };
        let state = tx.tracker_state(name).await?;
        let facts = tracker.facts();
        let token = node.doors.token(name).filter(|_| with_secrets);
        let url = |door: &str| token.as_ref().map(|token| node.address(&format!("{door}/{}", token.expose())));
        Ok(Some(Self {
            name: name.to_owned(),
            kind: tracker.kind(),
            url: facts.url,
            status: if state.paused.is_some() { TrackerStatus::Paused } else { TrackerStatus::Ok },
            paused: state.paused,
            org_id: facts.org_id.or(state.org_id),
            outbound_message_url: node
                .salesforce
                .contains_key(name)
                .then(|| url(&format!("/salesforce/{name}/outbound-messages"))),
            webhook_url: node.hooks.contains_key(name).then(|| url(&format!("/hooks/{name}"))),
            api_calls: facts.api_calls,
            person_signs_in: node.sign_ins.contains_key(name),
            login_expires_at: facts.login_expires_at,
            last_notice_at: state.last_notice_at.max(node.doors.last_notice(name)),
        }))
    }
}
