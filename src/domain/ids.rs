//! Ids as types, so that one noun's id cannot stand where another's belongs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A connection; the same on both nodes.
    ConnectionId;
    /// An invitation.
    InvitationId;
    /// A twin; the same on both nodes, made by [`twin_id`].
    TwinId;
    /// An event on the link.
    EventId;
    /// One write that leaves for a tracker; a repeat carries the same.
    WriteId;
    /// A trigger.
    TriggerId;
    /// An error that somebody should see.
    ErrorId;
    /// Work over many records.
    JobId;
    /// An API token.
    TokenId;
    /// A person's account.
    UserId;
    /// Follows one change through both nodes' logs.
    CorrelationId;
}

/// Which end of a connection: the same word means the same node on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The node that made the invitation.
    Inviting,
    /// The node that accepted it.
    Accepting,
}

impl Side {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Inviting => Self::Accepting,
            Self::Accepting => Self::Inviting,
        }
    }

    /// As it stands in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inviting => "inviting",
            Self::Accepting => "accepting",
        }
    }
}

/// The id of the twin that `side` starts for its record: both nodes come to the same, now and after a restore.
pub fn twin_id(connection: ConnectionId, side: Side, entity_type: &str, key: &str) -> TwinId {
    TwinId(derived(&["twin", &connection.to_string(), side.as_str(), entity_type, key]))
}

/// The id of a twin made by linking two records that exist: from both keys, the inviting side's first.
pub fn linked_twin_id(connection: ConnectionId, inviting: (&str, &str), accepting: (&str, &str)) -> TwinId {
    TwinId(derived(&["link", &connection.to_string(), inviting.0, inviting.1, accepting.0, accepting.1]))
}

/// A UUID (version 8, RFC 9562) from the SHA-256 of length-prefixed parts.
pub fn derived(parts: &[&str]) -> Uuid {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A record's place in its tracker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntityRef {
    /// Entity type by the tracker's name, such as `Case`.
    pub entity_type: String,
    /// The tracker's key; for Salesforce always 18 characters.
    pub key: String,
    /// Where a person sees it, if the tracker says.
    #[serde(default)]
    pub url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let connection = ConnectionId(Uuid::nil());
        assert_ne!(twin_id(connection, Side::Inviting, "ab", "c"), twin_id(connection, Side::Inviting, "a", "bc"));
        assert_ne!(twin_id(connection, Side::Inviting, "a", "b"), twin_id(connection, Side::Accepting, "a", "b"));
        assert_eq!(twin_id(connection, Side::Inviting, "a", "b").to_string().len(), 36);
    }
}
