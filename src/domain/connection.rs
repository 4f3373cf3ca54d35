//! A connection: two trackers on two nodes that agreed to sync.
//!
//! ```text
//!              accepted (confirm: false)                     deactivate
//!   pending ───────────────────────────────────▶ active ⇄──────────────▶ deactivated
//!      │ accepted (confirm: true)                   ▲          activate
//!      └──▶ pending, awaiting confirmation ─────────┘ confirmed
//! ```
//!
//! Each side has its own switch ([`Switch`]); events flow while both are on. `status` is what our switch says; what the
//! other side's says stands in [`Remote::state`].

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, Side};
use crate::clock::Time;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConnectionStatus)]
pub enum Status {
    /// Waits for the other side, or for our confirmation of it.
    Pending,
    /// Ours is on.
    Active,
    /// Ours is off; changes are kept.
    Deactivated,
}

/// Who may dial whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both nodes have an address and post to each other.
    Public,
    /// One node dials, always; nothing ever dials in there.
    Private,
}

/// Who writes the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The built-in pair, read-only.
    Basic,
    /// Rules that people write.
    Script,
}

/// Whose value wins where both changed a field within two seconds; in this node's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// Our tracker's.
    Local,
    /// The other side's.
    Remote,
}

impl Prefer {
    /// The same wish in the other node's words.
    pub const fn seen_from_there(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// What a link event that names a record of ours may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// Taken where the record matches one of our triggers, else an admin is asked.
    Matching,
    /// Always taken.
    Accept,
    /// Always asked.
    Ask,
}

/// What a pending connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaiting {
    /// The other side's acceptance.
    Acceptance,
    /// Our admin's confirmation of who accepted.
    Confirmation,
}

/// A side's own switch, as it travels in `state` of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// On.
    Active,
    /// Off; changes are kept.
    Deactivated,
    /// The connection was deleted there.
    Gone,
}

/// The other node, once it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// Its name for people.
    pub node: String,
    /// Where we reach it; `None` for a node that only dials.
    pub url: Option<String>,
    /// Kind of its tracker.
    pub tracker_kind: String,
    /// Its switch, as last heard.
    pub state: Switch,
    /// When we last heard from it, by our clock.
    pub last_seen_at: Option<Time>,
    /// Its public key: base64url of the 32 bytes.
    pub key: String,
    /// RFC 7638 thumbprint of `key`.
    pub key_fingerprint: String,
    /// Its version.
    pub version: String,
    /// What it can do beyond the link's first version.
    pub features: Vec<String>,
}

/// Why a connection rests although both switches are on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Paused {
    /// For people.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// When it is tried again.
    pub retry_at: Option<Time>,
}

/// What rests, where nothing of a connection flows: where its errors are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// The connection itself.
    Connection,
    /// One of its rules.
    Rule,
    /// Its tracker, and with it all that needs it.
    Tracker,
}

/// A connection as this node knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The same on both nodes.
    pub id: ConnectionId,
    /// This node's own name for it; unique here.
    pub name: String,
    /// Where it is in its life.
    pub status: Status,
    /// Who may dial whom.
    pub kind: Kind,
    /// Who writes the rules.
    pub mode: Mode,
    /// Our tracker's name.
    pub tracker: String,
    /// Which end we are.
    pub side: Side,
    /// Short name of our side.
    pub local_short_name: String,
    /// Short name of the other side.
    pub remote_short_name: String,
    /// For people.
    pub description: String,
    /// When it was made here.
    pub created_at: Time,
    /// When it first became active here.
    pub activated_at: Option<Time>,
    /// See [`Prefer`]; the inviting side's word counts.
    pub prefer: Prefer,
    /// See [`Links`].
    pub links: Links,
    /// Internal comments leave too.
    pub share_internal_comments: bool,
    /// What a pending connection waits for; `None` otherwise.
    pub awaiting: Option<Awaiting>,
    /// Our admin wants to see who accepts before anything flows. While a confirmation is awaited: it is ours to give,
    /// else the other side's.
    pub confirm: bool,
    /// The other side's address as typed when the connection was made.
    pub destination_url: Option<String>,
    /// `None` until accepted.
    pub remote: Option<Remote>,
    /// Why nothing flows at the moment.
    pub paused: Option<Paused>,
}

/// A move that the connection's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Still waits for the other side.
    #[error("the connection is pending: it waits for the other side to accept the invitation")]
    NotAccepted,
    /// Still waits for us.
    #[error("the connection waits for your confirmation of the other side")]
    NotConfirmed,
    /// Still waits for the other side's admin.
    #[error(
        "the connection waits for the other side's confirmation: its admin compares your key's fingerprint and confirms there"
    )]
    NotConfirmedThere,
    /// Nothing to confirm.
    #[error("the connection does not wait for a confirmation")]
    NothingToConfirm,
    /// Written rules would be lost.
    #[error(
        "the connection is in script mode and stays in it, or the rules that people wrote would be lost; roll back to version 0 to run the built-in pair again"
    )]
    ScriptStays,
}

impl Connection {
    /// Our switch, as it travels.
    pub const fn switch(&self) -> Switch {
        match self.status {
            Status::Active => Switch::Active,
            Status::Pending | Status::Deactivated => Switch::Deactivated,
        }
    }

    /// Both switches are on.
    pub fn flows(&self) -> bool {
        self.status == Status::Active && self.remote.as_ref().is_some_and(|remote| remote.state == Switch::Active)
    }

    /// It was never active: nothing is kept for it. One that is re-keyed waits too, but what happens meanwhile is kept.
    pub fn is_new(&self) -> bool {
        self.status == Status::Pending && self.activated_at.is_none()
    }

    /// This node decides conflicts (link.md, "Conflicts").
    pub fn decides(&self) -> bool {
        self.side == Side::Inviting
    }

    /// The other side accepted: active at once, or pending until confirmed.
    pub fn accepted(mut self, remote: Remote, now: Time) -> Self {
        self.remote = Some(remote);
        if self.confirm {
            self.awaiting = Some(Awaiting::Confirmation);
            self
        } else {
            self.activated(now)
        }
    }

    /// The admin who made the code has seen who accepted.
    pub fn confirmed(self, now: Time) -> Result<Self, Refused> {
        match self.awaiting {
            Some(Awaiting::Confirmation) if self.confirm => Ok(self.settled(now)),
            Some(Awaiting::Confirmation) => Err(Refused::NotConfirmedThere),
            Some(Awaiting::Acceptance) => Err(Refused::NotAccepted),
            None => Err(Refused::NothingToConfirm),
        }
    }

    /// The other side's switch is on: what it had to confirm is confirmed.
    pub fn confirmed_there(self, now: Time) -> Self {
        if self.awaiting == Some(Awaiting::Confirmation) && !self.confirm { self.settled(now) } else { self }
    }

    /// We joined, and nobody has to confirm that. A repeated acceptance does not touch a switch that was put off since.
    pub fn joined(mut self, now: Time) -> Self {
        self.confirm = false;
        self.settled(now)
    }

    /// Another key speaks for the other side: who confirms that is still to do so. A switch that was put off before stays
    /// as it is.
    pub fn awaiting_confirmation(mut self, ours_to_give: bool) -> Self {
        self.awaiting = Some(Awaiting::Confirmation);
        self.confirm = ours_to_give;
        if self.status != Status::Deactivated {
            self.status = Status::Pending;
        }
        self
    }

    /// Switches our side on.
    pub fn activate(self, now: Time) -> Result<Self, Refused> {
        self.check_joined()?;
        Ok(self.activated(now))
    }

    /// Switches our side off; what waits is kept.
    pub fn deactivate(mut self) -> Result<Self, Refused> {
        self.check_joined()?;
        self.status = Status::Deactivated;
        Ok(self)
    }

    /// Rules become people's to write, and begin as the built-in pair; nothing else changes, and there is no way back.
    pub fn in_mode(mut self, mode: Mode) -> Result<Self, Refused> {
        if (self.mode, mode) == (Mode::Script, Mode::Basic) {
            return Err(Refused::ScriptStays);
        }
        self.mode = mode;
        Ok(self)
    }

    fn check_joined(&self) -> Result<(), Refused> {
        match self.awaiting {
            Some(Awaiting::Acceptance) => Err(Refused::NotAccepted),
            Some(Awaiting::Confirmation) if self.confirm => Err(Refused::NotConfirmed),
            Some(Awaiting::Confirmation) => Err(Refused::NotConfirmedThere),
            None => Ok(()),
        }
    }

    /// Nothing is awaited any more. To confirm who speaks is not to switch on what was put off.
    fn settled(mut self, now: Time) -> Self {
        if self.status != Status::Deactivated {
            return self.activated(now);
        }
        self.awaiting = None;
        self
    }

    fn activated(mut self, now: Time) -> Self {
        self.status = Status::Active;
        self.awaiting = None;
        self.activated_at.get_or_insert(now);
        self
    }
}
