//! Directions of connections whose rule fails, and the work that waits for it.
//!
//! What is held has a moment of its own in place of a due time ([`HELD`]), so that it can be told from what waits for
//! something else, and let go on without naming each piece. Events are held by twin (`resting`), changes one by one: those
//! have been kept for their connection.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, json, parsed, parsed_opt, to_json, word},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        failing::Failing,
        history::Direction,
        ids::{ConnectionId, TwinId},
    },
    store::{StoreError, Topic, Tx, rows::HELD},
};

fn direction(text: &str) -> Got<Direction> {
    serde_json::from_value(text.into()).map_err(|_| StoreError::Broken(format!("`{text}` is no direction")))
}

pub(super) async fn all_failing(tx: &mut SqliteTx<'_>) -> Got<Vec<(ConnectionId, Direction, Failing)>> {
    let sql = "SELECT connection_id, direction, body FROM pauses ORDER BY connection_id, direction";
    tx.each(query(sql), |row| Ok((parsed(row, 0)?, direction(col(row, 1)?)?, json(row, 2)?))).await
}

pub(super) async fn failing(tx: &mut SqliteTx<'_>, id: ConnectionId, way: Direction) -> Got<Option<Failing>> {
    let sql = "SELECT body FROM pauses WHERE connection_id = $1 AND direction = $2";
    tx.one(query(sql).bind(id.to_string()).bind(word(&way)?), |row| json(row, 0)).await
}

pub(super) async fn put_failing(tx: &mut SqliteTx<'_>, id: ConnectionId, way: Direction, failing: &Failing) -> Got<()> {
    if failing.is_over() {
        let sql = "DELETE FROM pauses WHERE connection_id = $1 AND direction = $2";
        return tx.run(query(sql).bind(id.to_string()).bind(word(&way)?)).await.map(drop);
    }
    // Never for a connection that was deleted meanwhile: nothing would take the row away again.
    let sql = "INSERT INTO pauses (connection_id, direction, paused, body)
        SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM connections WHERE id = $1)
        ON CONFLICT (connection_id, direction) DO UPDATE SET paused = excluded.paused, body = excluded.body";
    let paused = i64::from(failing.pause().is_some());
    tx.run(query(sql).bind(id.to_string()).bind(word(&way)?).bind(paused).bind(to_json(failing)?)).await.map(drop)
}

pub(super) async fn paused(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Vec<(Direction, Failing, u64)>> {
    let sql = "SELECT direction, body,
            CASE direction WHEN 'in' THEN (SELECT COUNT(*) FROM resting WHERE connection_id = $1 AND until = $2)
                ELSE (SELECT COUNT(*) FROM changes WHERE connection_id = $1 AND due_at = $2) END
        FROM pauses WHERE connection_id = $1 AND paused = 1";
    let read = |row: &SqliteRow| Ok((direction(col(row, 0)?)?, json(row, 1)?, count(row, 2)?));
    tx.each(query(sql).bind(id.to_string()).bind(HELD.0), read).await
}

pub(super) async fn hold_arrived(tx: &mut SqliteTx<'_>, id: ConnectionId, twins: &[TwinId]) -> Got<()> {
    let twins: Vec<String> = twins.iter().map(ToString::to_string).collect();
    let sql = "INSERT INTO resting (connection_id, twin_id, until)
        SELECT $1, value, $3 FROM json_each($2) WHERE true
        ON CONFLICT (connection_id, twin_id) DO UPDATE SET until = excluded.until";
    tx.run(query(sql).bind(id.to_string()).bind(to_json(&twins)?).bind(HELD.0)).await?;
    let sql = "UPDATE inbox SET rests_until = $3 WHERE connection_id = $1 AND twin_id IN (SELECT value FROM json_each($2))";
    tx.run(query(sql).bind(id.to_string()).bind(to_json(&twins)?).bind(HELD.0)).await.map(drop)
}

pub(super) async fn next_held(
    tx: &mut SqliteTx<'_>,
    id: ConnectionId,
    way: Direction,
    after: Option<TwinId>,
) -> Got<Option<TwinId>> {
    let sql = match way {
        // In a circle.
        Direction::In => {
            "SELECT twin_id FROM resting WHERE connection_id = $1 AND until = $2
                ORDER BY twin_id <= $3, twin_id LIMIT 1"
        }
        // Held again, a change stands last.
        Direction::Out => {
            "SELECT twins.id FROM changes CROSS JOIN twins ON twins.tracker = changes.tracker
                    AND twins.local_type = changes.entity_type AND twins.local_key = changes.key
                WHERE changes.connection_id = $1 AND changes.due_at = $2 AND twins.connection_id = $1 AND $3 = $3
                ORDER BY changes.id LIMIT 1"
        }
    };
    let after = after.map(|twin| twin.to_string()).unwrap_or_default();
    Ok(tx.one(query(sql).bind(id.to_string()).bind(HELD.0).bind(after), |row| parsed_opt(row, 0)).await?.flatten())
}

pub(super) async fn release_held(tx: &mut SqliteTx<'_>, id: ConnectionId, way: Direction, most: u32, now: Time) -> Got<u64> {
    let most = i64::from(most);
    let tracker = |row: &SqliteRow| col::<String>(row, 0);
    match way {
        Direction::In => {
            let sql = "DELETE FROM resting WHERE connection_id = $1 AND twin_id IN
                    (SELECT twin_id FROM resting WHERE connection_id = $1 AND until = $2 LIMIT $3 + 0)
                RETURNING twin_id";
            let freed = tx.each(query(sql).bind(id.to_string()).bind(HELD.0).bind(most), tracker).await?;
            let sql = "UPDATE inbox SET rests_until = 0 WHERE connection_id = $1
                    AND twin_id IN (SELECT value FROM json_each($2)) RETURNING tracker";
            let trackers = tx.each(query(sql).bind(id.to_string()).bind(to_json(&freed)?), tracker).await?;
            trackers.into_iter().next().into_iter().for_each(|tracker| tx.wake(Topic::Inbox(tracker)));
            Ok(freed.len() as u64)
        }
        Direction::Out => {
            let sql = "UPDATE changes SET due_at = $4 WHERE id IN
                    (SELECT id FROM changes WHERE connection_id = $1 AND due_at = $2 LIMIT $3 + 0)
                RETURNING tracker";
            let freed = tx.each(query(sql).bind(id.to_string()).bind(HELD.0).bind(most).bind(now.0), tracker).await?;
            let many = freed.len() as u64;
            freed.into_iter().next().into_iter().for_each(|tracker| tx.wake(Topic::Changes(tracker)));
            Ok(many)
        }
    }
}
