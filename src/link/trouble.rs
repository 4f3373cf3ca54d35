//! What goes wrong on a connection, for people: one open error per connection and kind, and the pause beside it.

use super::protocol::SKEW;
use crate::{
    clock::Time,
    domain::{
        connection::{Connection, Paused},
        error::{ErrorRecord, Scope},
        ids::{ConnectionId, ErrorId, derived},
    },
    store::{StoreError, Tx},
};

/// The other side deleted the connection.
pub const GONE: &str = "connection_gone";
/// Two copies of a node are running.
pub const TWO_COPIES: &str = "second_copy";
/// A new epoch waits for a person.
pub const EPOCH_WAITS: &str = "epoch_waits";
/// The other side hands over what has no number.
pub const UNNUMBERED: &str = "event_unnumbered";
/// The clocks of the two nodes differ.
pub const CLOCK_SKEW: &str = "clock_skew";
/// The other side cannot be reached.
pub const UNREACHABLE: &str = "link_unreachable";

/// An error to be opened.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// See the constants.
    pub code: &'static str,
    /// One line.
    pub title: String,
    /// What happened.
    pub detail: String,
    /// What to do.
    pub advice: String,
    /// It may heal by itself.
    pub retryable: bool,
}

/// Opens an error, or brings the open one up to date. Its id follows from connection and code, so it is never doubled.
pub async fn open(tx: &mut dyn Tx, id: ConnectionId, trouble: &Trouble, now: Time) -> Result<(), StoreError> {
    let known = tx.error_of(&id.to_string(), trouble.code).await?;
    if known.as_ref().is_some_and(|known| known.detail == trouble.detail) {
        return Ok(());
    }
    let record = ErrorRecord {
        id: known.as_ref().map_or_else(|| error_id(id, trouble.code, now), |known| known.id),
        scope: Scope::Connection,
        connection_id: Some(id),
        twin_id: None,
        tracker: None,
        code: trouble.code.to_owned(),
        title: trouble.title.clone(),
        detail: trouble.detail.clone(),
        advice: trouble.advice.clone(),
        retryable: trouble.retryable,
        attempts: known.as_ref().map_or(1, |known| known.attempts.saturating_add(1)),
        occurred_at: known.map_or(now, |known| known.occurred_at),
        next_attempt_at: None,
    };
    tx.put_error(&record).await
}

fn error_id(id: ConnectionId, code: &str, now: Time) -> ErrorId {
    ErrorId(derived(&["error", &id.to_string(), code, &now.millis().to_string()]))
}

/// Closes the open error of this kind, if there is one.
pub async fn close(tx: &mut dyn Tx, id: ConnectionId, code: &str) -> Result<(), StoreError> {
    if let Some(known) = tx.error_of(&id.to_string(), code).await? {
        tx.close_error(known.id).await?;
    }
    Ok(())
}

/// The other side says that the connection was deleted there.
pub async fn gone(tx: &mut dyn Tx, connection: &mut Connection, now: Time) -> Result<(), StoreError> {
    let detail = "the other side deleted this connection; both records of every twin keep their values".to_owned();
    connection.paused = Some(Paused { reason: detail.clone(), since: now, retry_at: None });
    let trouble = Trouble {
        code: GONE,
        title: "The other side deleted the connection".to_owned(),
        detail,
        advice: "Delete the connection here too, or agree on a new one.".to_owned(),
        retryable: false,
    };
    open(tx, connection.id, &trouble, now).await
}

/// The other side speaks again.
pub async fn heard_again(tx: &mut dyn Tx, id: ConnectionId) -> Result<(), StoreError> {
    close(tx, id, UNREACHABLE).await?;
    close(tx, id, GONE).await
}

/// A second set-back within a day.
pub async fn epoch_waits(tx: &mut dyn Tx, connection: &Connection, now: Time) -> Result<(), StoreError> {
    let trouble = Trouble {
        code: EPOCH_WAITS,
        title: "The two sides disagree again about what was sent".to_owned(),
        detail: "a side was set back (a restored backup, a second copy) for the second time within a day".to_owned(),
        advice: "Make sure that only one copy of each node runs, then retry this error: every twin is compared anew.".to_owned(),
        retryable: true,
    };
    open(tx, connection.id, &trouble, now).await
}

/// Something among their events has no number: it can be neither stored nor acknowledged.
pub async fn unnumbered(tx: &mut dyn Tx, id: ConnectionId, after: u64, now: Time) -> Result<(), StoreError> {
    let trouble = Trouble {
        code: UNNUMBERED,
        title: "An event of the other side has no number".to_owned(),
        detail: format!(
            "among the events that came after number {after} is one whose `n` is no whole number; it was passed over"
        ),
        advice: "Tell the partner's admin: `n` counts from 1 (docs/LINK.md, \"Events\").".to_owned(),
        retryable: false,
    };
    open(tx, id, &trouble, now).await
}

/// How far the clocks differ is known anew: told while it is more than a call may be off, closed when it is less.
/// `offset` is added to the other node's times to have them on ours.
pub async fn clocks(tx: &mut dyn Tx, connection: &Connection, offset: i64, now: Time) -> Result<(), StoreError> {
    let seconds = offset.unsigned_abs() / 1000;
    if seconds <= SKEW.unsigned_abs() {
        return close(tx, connection.id, CLOCK_SKEW).await;
    }
    let node = connection.remote.as_ref().map_or("the other node", |remote| &remote.node);
    let which = if offset > 0 { "behind" } else { "ahead of" };
    let trouble = Trouble {
        code: CLOCK_SKEW,
        title: "The clocks of the two nodes differ".to_owned(),
        detail: format!("the clock of {node} is {seconds} s {which} this node's; records flow, and times are put right"),
        advice: "Set the clock that is wrong (NTP). This closes by itself.".to_owned(),
        retryable: true,
    };
    open(tx, connection.id, &trouble, now).await
}
