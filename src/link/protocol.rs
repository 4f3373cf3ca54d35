//! The wire on one page: messages, headers, limits, time-outs, refusals. Both ends share it; docs/LINK.md explains it.
//!
//! Events travel as raw JSON ([`RawValue`]): what is on disk leaves byte for byte, and what came is stored as it came.
//! Members that are not named here are ignored on reading. Beyond link.md's members this side writes four that a
//! reader may ignore: `goodbye` (the run ends here), `you_were_set_back` (why a new epoch began), `clock_offset_ms` (what
//! the dialling side read of the clocks, since the other one hears no signed answers) and, in the answer to an
//! acceptance, `epoch` (a re-keyed connection does not begin at 1).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::lenient::{awaiting, key, limit, or_default, seconds};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Kind, Mode, Prefer, Switch},
        ids::{ConnectionId, EventId, Side},
    },
};

/// Header of an answer: the JWT that vouches for it.
pub const SIGNATURE: &str = "Wicketgate-Signature";
/// Header of an acceptance: base64url HMAC-SHA-256 of the body under the code's secret.
pub const PROOF: &str = "Wicketgate-Proof";
/// Longest body, as sent.
pub const MAX_BODY: usize = 4 * 1024 * 1024;
/// Room that a batch's events may take, so that the body around them still fits.
pub const MAX_BATCH: usize = MAX_BODY - 64 * 1024;
/// Events in one exchange.
pub const MAX_EVENTS: u32 = 1_000;
/// Highest epoch that a peer may speak of: nobody is set back so often.
pub const MAX_EPOCH: u64 = 1 << 32;
/// Events of one connection that may wait to be applied.
pub const INBOX_EVENTS: u64 = 10_000;
/// Bytes of one connection that may wait to be applied.
pub const INBOX_BYTES: u64 = 1_000_000_000;
/// Longest body of an acceptance or a discovery.
pub const MAX_SMALL: usize = 16 * 1024;
/// Longest hold.
pub const MAX_WAIT: Duration = Duration::from_secs(300);
/// Shortest hold that a client falls back to.
pub const MIN_WAIT: Duration = Duration::from_secs(5);
/// How long a token may live.
pub const TOKEN_LIFE: i64 = 60;
/// How far two clocks may be apart.
pub const SKEW: i64 = 60;
/// A run that says nothing for so long is over.
pub const SILENCE: Duration = Duration::from_secs(10);
/// Two runs that meet for so long are two copies.
pub const TWO_COPIES: Duration = Duration::from_secs(30);
/// How long a call without a hold may take.
pub const CALL: Duration = Duration::from_secs(30);
/// What a held call may take beyond its hold.
pub const HOLD_SLACK: Duration = Duration::from_secs(15);
/// Between two exchanges of public nodes with nothing to say: half of it to all of it, by chance.
pub const PUBLIC_PULSE: Duration = Duration::from_secs(80);
/// Who heard from whom is written down at most this often.
pub const SEEN_EVERY: Duration = Duration::from_secs(30);
/// The link's version in an invitation code.
pub const VERSION: u32 = 1;

/// `POST /link/v1/connections/{id}/exchange`.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct Asked {
    pub run: String,
    pub epoch: u64,
    pub ack: u64,
    #[serde(default)]
    pub ack_id: Option<EventId>,
    #[serde(default)]
    pub after_id: Option<EventId>,
    #[serde(default, deserialize_with = "or_default")]
    pub events: Vec<Box<RawValue>>,
    #[serde(default = "no_limit", deserialize_with = "limit")]
    pub max_events: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub want: Vec<Value>,
    #[serde(default = "on")]
    pub state: Switch,
    #[serde(default, deserialize_with = "or_default")]
    pub wait_seconds: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub goodbye: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub you_were_set_back: bool,
    /// To be added to the speaker's times to have them on the listener's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct Answered {
    #[serde(default)]
    pub run: String,
    pub epoch: u64,
    pub ack: u64,
    #[serde(default)]
    pub ack_id: Option<EventId>,
    #[serde(default)]
    pub after_id: Option<EventId>,
    #[serde(default, deserialize_with = "or_default")]
    pub events: Vec<Box<RawValue>>,
    #[serde(default = "no_limit", deserialize_with = "limit")]
    pub max_events: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub want: Vec<Value>,
    #[serde(default = "on")]
    pub state: Switch,
    #[serde(default, deserialize_with = "or_default")]
    pub more: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub you_were_set_back: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

const fn no_limit() -> u32 {
    MAX_EVENTS
}

const fn on() -> Switch {
    Switch::Active
}

/// `POST /link/v1/invitations/{id}/accept`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct AcceptAsked {
    pub node: String,
    #[serde(deserialize_with = "key")]
    pub key: String,
    pub url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub tracker_kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub features: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct AcceptAnswered {
    pub connection_id: ConnectionId,
    #[serde(default, deserialize_with = "or_default")]
    pub node: String,
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub features: Vec<String>,
    #[serde(default, deserialize_with = "awaiting")]
    pub awaiting: Option<Awaiting>,
    /// Present on a re-keyed connection: the epoch that both sides begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// What an invitation code says; signed by the inviting node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct CodeClaims {
    #[serde(default = "version_one")]
    pub v: u32,
    pub iss: String,
    /// The inviting node's own word for it; a stranger's need not be a UUID.
    pub jti: String,
    pub secret: String,
    /// Seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub node: String,
    #[serde(deserialize_with = "key")]
    pub key: String,
    pub connection: CodeConnection,
}

const fn version_one() -> u32 {
    VERSION
}

/// The connection that a code opens, in the inviting node's words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct CodeConnection {
    pub id: ConnectionId,
    pub name: String,
    pub mode: Mode,
    pub kind: Kind,
    #[serde(default = "inviter")]
    pub prefer: Prefer,
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    pub local_short_name: String,
    pub remote_short_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub tracker_kind: String,
    /// Which end made the code. It differs from `inviting` only in a re-key code of the accepting side.
    #[serde(default = "inviting", skip_serializing_if = "is_inviting")]
    pub side: Side,
    /// It replaces the other end's key on an accepted connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rekey: bool,
}

/// As `POST /connections` has it where nobody says.
const fn inviter() -> Prefer {
    Prefer::Local
}

const fn inviting() -> Side {
    Side::Inviting
}

fn is_inviting(side: &Side) -> bool {
    *side == Side::Inviting
}

/// `GET /link/v1`: what a node tells a stranger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "plain words")]
pub struct Discovery {
    pub node: String,
    pub version: String,
    pub features: Vec<String>,
    pub modes: Vec<Mode>,
    pub fingerprint: String,
}

/// Why a call on the link was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Ask again after so many seconds.
    TryLater(u64),
    /// The asker's clock is behind ours by so many seconds (ahead where negative).
    ClockSkew(i64),
    /// The token does not vouch for this request.
    BadSignature(&'static str),
    /// No such connection here.
    UnknownConnection,
    /// It was deleted here.
    ConnectionGone,
    /// Another run of the asker is alive.
    SecondCopy,
    /// The asker's epoch is over; this is the present one.
    Epoch(u64),
    /// The body is larger than so many bytes.
    TooLarge(usize),
    /// Another key was first.
    AlreadyAccepted,
    /// Too late.
    InvitationExpired,
    /// Withdrawn.
    InvitationRevoked,
    /// No such invitation.
    InvitationUnknown,
    /// The body is not what this call takes.
    Malformed(String),
}

impl Refusal {
    /// Its word on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TryLater(_) => "try_later",
            Self::ClockSkew(_) => "clock_skew",
            Self::BadSignature(_) => "bad_signature",
            Self::UnknownConnection => "unknown_connection",
            Self::ConnectionGone => "connection_gone",
            Self::SecondCopy => "second_copy",
            Self::Epoch(_) => "epoch",
            Self::TooLarge(_) => "too_large",
            Self::AlreadyAccepted => "already_accepted",
            Self::InvitationExpired => "invitation_expired",
            Self::InvitationRevoked => "invitation_revoked",
            Self::InvitationUnknown => "invitation_unknown",
            Self::Malformed(_) => "malformed",
        }
    }

    /// HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TryLater(_) => 503,
            Self::ClockSkew(_) | Self::BadSignature(_) => 401,
            Self::UnknownConnection | Self::InvitationUnknown => 404,
            Self::ConnectionGone | Self::InvitationExpired | Self::InvitationRevoked => 410,
            Self::SecondCopy | Self::Epoch(_) | Self::AlreadyAccepted => 409,
            Self::TooLarge(_) => 413,
            Self::Malformed(_) => 400,
        }
    }

    /// Seconds for `Retry-After`, where it has one.
    pub const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TryLater(seconds) => Some(*seconds),
            Self::SecondCopy => Some(1),
            _ => None,
        }
    }

    fn words(&self) -> (&'static str, String) {
        match self {
            Self::TryLater(seconds) => ("Try again later", format!("ask again after {seconds} s")),
            Self::ClockSkew(seconds) => {
                ("The clocks differ", format!("your clock and ours are {seconds} s apart; {SKEW} are allowed"))
            }
            Self::BadSignature(why) => ("The request is not signed as it should be", (*why).to_owned()),
            Self::UnknownConnection => ("No such connection", "this node has no connection of this id".to_owned()),
            Self::ConnectionGone => ("The connection was deleted", "the other side deleted it; make a new one".to_owned()),
            Self::SecondCopy => (
                "Another copy is running",
                "another run of this node is alive; if that lasts, two copies of the node are running".to_owned(),
            ),
            Self::Epoch(present) => ("Another epoch", format!("the present epoch is {present}")),
            Self::TooLarge(limit) => ("Too large", format!("a body may have {limit} bytes")),
            Self::AlreadyAccepted => ("Already accepted", "another node accepted this invitation; ask for a new one".to_owned()),
            Self::InvitationExpired => ("The invitation has expired", "ask for a new one".to_owned()),
            Self::InvitationRevoked => ("The invitation was revoked", "ask for a new one".to_owned()),
            Self::InvitationUnknown => ("No such invitation", "this node made no invitation of this id".to_owned()),
            Self::Malformed(why) => ("The request cannot be read", why.clone()),
        }
    }

    /// The problem document.
    pub fn document(&self) -> Vec<u8> {
        let (title, detail) = self.words();
        let mut document = json!({
            "type": format!("urn:wicketgate:problem:{}", self.code()), "title": title, "status": self.status(), "detail": detail, "code": self.code(),
            "errors": [],
        });
        match self {
            Self::ClockSkew(seconds) => document["seconds"] = json!(seconds),
            Self::Epoch(present) => document["present"] = json!(present),
            Self::TooLarge(limit) => document["limit"] = json!(limit),
            _ => {}
        }
        document.to_string().into_bytes()
    }
}

/// A refusal as the caller reads it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct RefusalHeard {
    pub code: String,
    pub title: String,
    pub detail: String,
    pub present: Option<u64>,
}

/// Where an exchange is posted.
pub fn exchange_path(connection: ConnectionId) -> String {
    format!("/link/v1/connections/{connection}/exchange")
}

/// Where an invitation is accepted.
pub fn accept_path(invitation: &str) -> String {
    format!("/link/v1/invitations/{invitation}/accept")
}

/// A path from `/link/v1` on: what a prefix in front of a node's address does not change.
pub fn canonical(path: &str) -> &str {
    path.find("/link/v1").map_or(path, |at| &path[at..])
}

/// The wire counts epochs from 1; a row that was never written says 0.
pub const fn on_wire(epoch: u64) -> u64 {
    if epoch == 0 { 1 } else { epoch }
}

/// A moment as JWT claims write it.
pub const fn claim(at: Time) -> i64 {
    at.seconds()
}
