//! A connection ends: who is told, and what is left of it.
//!
//! Each side deletes its own. The one that goes first tells the other where it dials it; where it is dialled, it leaves a
//! mark, the partner's key, so that the partner's next call can still be answered `connection_gone` under a signature.
//! The mark goes when the partner says that it has deleted its side too: nobody is left to be told.
//!
//! The trap: a call may be under way while the row goes. What it would write beside the row it writes only where the row
//! is still there.

use super::{
    Link, client,
    protocol::{Asked, Refusal},
    used,
};
use crate::{
    domain::{
        connection::{Connection, Kind, Switch},
        ids::ConnectionId,
    },
    secret::Secret,
    store::{StoreError, Tx},
};

/// Name of the mark that a deleted connection leaves.
pub(super) fn mark(id: ConnectionId) -> String {
    format!("link.gone.{id}")
}

impl Link {
    /// Tells the other side that the connection is deleted here, if it can be told, before its row goes.
    pub async fn say_goodbye(&self, connection: &Connection) {
        let Some(remote) = &connection.remote else { return };
        let is_dialled = connection.kind == Kind::Public || !client::dials(connection);
        if is_dialled && remote.state != Switch::Gone {
            let (name, key) = (mark(connection.id), Secret::new(remote.key.as_str()));
            let kept = self.parts.store.write("link.mark", move |tx| Box::pin(async move { tx.put_secret(&name, &key).await }));
            if let Err(error) = kept.await {
                tracing::warn!(connection = %connection.id, %error, "the mark of a deleted connection cannot be kept");
            }
        }
        client::tell_gone(self, connection).await;
    }

    /// Deletes what the link keeps of a connection beside its row, in the transaction that deletes that.
    pub async fn forget(tx: &mut dyn Tx, connection: ConnectionId) -> Result<(), StoreError> {
        tx.delete_secret(&used::ahead(connection)).await
    }

    /// Answers the partner of a deleted connection, in words that it signed.
    pub(super) async fn gone_here(&self, id: ConnectionId, body: &[u8]) -> Refusal {
        if serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.state == Switch::Gone) {
            let name = mark(id);
            let parted = self.parts.store.write("link.parted", move |tx| Box::pin(async move { tx.delete_secret(&name).await }));
            if let Err(error) = parted.await {
                tracing::warn!(connection = %id, %error, "the mark of a deleted connection stays");
            }
        }
        Refusal::ConnectionGone
    }
}
