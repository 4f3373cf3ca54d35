//! A notice that an entity may have changed, from whatever told us.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ConnectionId, CorrelationId},
    replica::Fields,
};
use crate::clock::Time;

/// What told us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A Salesforce outbound message.
    OutboundMessage,
    /// A tracker's webhook.
    Webhook,
    /// The light look beside the messages.
    Look,
    /// A person or program through the API ("sync this now").
    Person,
    /// A bulk run of a trigger: the record was listed as one that matches.
    Trigger,
    /// The engine itself: a read-back showed more than we wrote, or work that waited is due again.
    Engine,
}

/// What the notice itself holds of the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Values by the tracker's field names. A name that is absent is unknown unless `whole`.
    pub fields: Fields,
    /// `fields` is the whole entity.
    #[serde(default)]
    pub whole: bool,
    /// The record is gone.
    #[serde(default)]
    pub deleted: bool,
    /// Where a person sees the record.
    #[serde(default)]
    pub url: Option<String>,
    /// The record's own modification stamp, by its tracker's clock, if told.
    #[serde(default)]
    pub stamp: Option<Time>,
    /// Who saved last, if told (Salesforce: `LastModifiedById`).
    #[serde(default)]
    pub editor: Option<String>,
    /// When the notice says that it happened, by the tracker's clock: stands in where the record names no time itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Time>,
    /// When these values were read, by the tracker's clock, where we read them ourselves (the light look).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Time>,
}

/// A change to be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewChange {
    /// The tracker's name in the configuration.
    pub tracker: String,
    /// Entity type by the tracker's name.
    pub entity_type: String,
    /// Key by the tracker.
    pub key: String,
    /// What told us.
    pub source: Source,
    /// The sender's own id of this notice: a second one with the same is stored once (Salesforce: `Notification/Id`,
    /// Standard Webhooks: `webhook-id`).
    pub notice_id: Option<String>,
    /// Only this connection is meant ("sync this now"), whatever its triggers say.
    pub connection: Option<ConnectionId>,
    /// What the notice holds.
    pub content: Option<Content>,
    /// When our door received it.
    pub received_at: Time,
    /// Not before this moment (a held change looks again later).
    pub due_at: Time,
    /// Follows it through the logs.
    pub correlation: CorrelationId,
}

impl NewChange {
    /// A record that is to be looked at now for one connection, whatever its triggers say.
    pub fn look(
        tracker: &str,
        (entity_type, key): (String, String),
        connection: ConnectionId,
        source: Source,
        (now, correlation): (Time, CorrelationId),
    ) -> Self {
        Self {
            tracker: tracker.to_owned(),
            entity_type,
            key,
            source,
            notice_id: None,
            connection: Some(connection),
            content: None,
            received_at: now,
            due_at: now,
            correlation,
        }
    }
}

/// A stored change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Row number: order of arrival.
    pub id: i64,
    /// What was stored.
    pub change: NewChange,
}
