//! What came from the other side and waits to be applied.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, parsed, parsed_opt, signed, time, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::ids::{ConnectionId, TwinId},
    store::{
        Topic, Tx,
        rows::{Arrived, WaitingTwin},
    },
};

fn twin_text(twin: Option<TwinId>) -> String {
    twin.map(|twin| twin.to_string()).unwrap_or_default()
}

pub(super) async fn add_arrived(tx: &mut SqliteTx<'_>, tracker: &str, events: &[Arrived]) -> Got<()> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            let twin = twin_text(event.twin);
            (
                event.connection_id,
                twin,
                signed(event.epoch),
                signed(event.n),
                event.id,
                event.json.len(),
                event.received_at.0,
                &event.json,
            )
        })
        .collect();
    // What a newer event may heal goes on with it; a twin that waits for a person keeps what comes later resting too.
    let sql = "DELETE FROM resting WHERE until < $2
        AND (connection_id, twin_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))
        RETURNING connection_id, twin_id";
    let pair = |row: &SqliteRow| Ok((col::<String>(row, 0)?, col::<String>(row, 1)?));
    let healed = tx.each(query(sql).bind(to_json(&rows)?).bind(i64::MAX), pair).await?;
    if !healed.is_empty() {
        let sql = "UPDATE inbox SET rests_until = 0
            WHERE (connection_id, twin_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
        tx.run(query(sql).bind(to_json(&healed)?)).await?;
    }
    let sql = "INSERT INTO inbox (connection_id, twin_id, tracker, epoch, n, event_id, bytes, received_at, json, rests_until)
        SELECT value ->> 0, value ->> 1, $2, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            COALESCE((SELECT until FROM resting WHERE connection_id = value ->> 0 AND twin_id = value ->> 1), 0)
        FROM json_each($1)";
    tx.run(query(sql).bind(to_json(&rows)?).bind(tracker)).await?;
    tx.wake(Topic::Inbox(tracker.to_owned()));
    Ok(())
}

pub(super) async fn twins_waiting(tx: &mut SqliteTx<'_>, tracker: &str, limit: u32) -> Got<Vec<WaitingTwin>> {
    // A window over the oldest rows that may go on, as for changes: what waits behind costs nothing.
    let sql = "WITH active AS (SELECT id FROM connections WHERE tracker = $1 AND status = 'active'),
        ready AS (
            SELECT * FROM (SELECT id, connection_id, twin_id FROM inbox
                WHERE tracker = $1 AND rests_until = 0 AND connection_id IN (SELECT id FROM active)
                ORDER BY id LIMIT $3 + 0)
            UNION ALL
            SELECT * FROM (SELECT id, connection_id, twin_id FROM inbox
                WHERE tracker = $1 AND rests_until > 0 AND rests_until <= $2 AND connection_id IN (SELECT id FROM active)
                ORDER BY rests_until, id LIMIT $3 + 0)),
        picked AS (SELECT connection_id, twin_id, MIN(id) AS first FROM ready
            GROUP BY connection_id, twin_id ORDER BY first LIMIT $4 + 0)
        SELECT connection_id, twin_id, first,
            (SELECT COUNT(*) FROM inbox WHERE inbox.connection_id = picked.connection_id
                AND inbox.twin_id = picked.twin_id),
            (SELECT COUNT(*) FROM ready)
        FROM picked ORDER BY first";
    let mut window = i64::from(limit).saturating_mul(2);
    loop {
        let query = query(sql).bind(tracker).bind(tx.now().0).bind(window).bind(i64::from(limit));
        let found = tx.each(query, read_waiting).await?;
        let rows = found.first().map_or(0, |(_, rows)| *rows);
        if found.len() >= limit as usize || rows < window {
            return Ok(found.into_iter().map(|(twin, _)| twin).collect());
        }
        window = window.saturating_mul(8);
    }
}

fn read_waiting(row: &SqliteRow) -> Got<(WaitingTwin, i64)> {
    let twin =
        WaitingTwin { connection_id: parsed(row, 0)?, twin: parsed_opt(row, 1)?, first_row: col(row, 2)?, count: count(row, 3)? };
    Ok((twin, col(row, 4)?))
}

pub(super) async fn arrived_of(tx: &mut SqliteTx<'_>, connection: ConnectionId, twins: &[Option<TwinId>]) -> Got<Vec<Arrived>> {
    let sql = "SELECT id, connection_id, epoch, n, event_id, twin_id, json, received_at FROM inbox
        WHERE connection_id = $1 AND twin_id IN (SELECT value FROM json_each($2)) ORDER BY id";
    let read = |row: &SqliteRow| {
        Ok(Arrived {
            row: col(row, 0)?,
            connection_id: parsed(row, 1)?,
            epoch: count(row, 2)?,
            n: count(row, 3)?,
            id: parsed(row, 4)?,
            twin: parsed_opt(row, 5)?,
            json: col(row, 6)?,
            received_at: time(row, 7)?,
        })
    };
    let twins: Vec<String> = twins.iter().map(|twin| twin_text(*twin)).collect();
    tx.each(query(sql).bind(connection.to_string()).bind(to_json(&twins)?), read).await
}

pub(super) async fn replace_arrived(tx: &mut SqliteTx<'_>, row: i64, json: &str) -> Got<()> {
    let bytes = i64::try_from(json.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE inbox SET json = $2, bytes = $3 WHERE id = $1";
    tx.run(query(sql).bind(row).bind(json).bind(bytes)).await.map(drop)
}

pub(super) async fn end_arrived(tx: &mut SqliteTx<'_>, rows: &[i64]) -> Got<()> {
    let sql = "DELETE FROM inbox WHERE id IN (SELECT value FROM json_each($1))";
    tx.run(query(sql).bind(to_json(rows)?)).await.map(drop)
}

pub(super) async fn clear_inbox(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<()> {
    tx.run(query("DELETE FROM inbox WHERE connection_id = $1").bind(connection.to_string())).await.map(drop)
}

pub(super) async fn rest_arrived(tx: &mut SqliteTx<'_>, connection: ConnectionId, twin: TwinId, until: Option<Time>) -> Got<()> {
    // Until released: the end of time.
    let until = until.map_or(i64::MAX, |until| until.0.max(1));
    let sql = "INSERT INTO resting (connection_id, twin_id, until) VALUES ($1, $2, $3)
        ON CONFLICT (connection_id, twin_id) DO UPDATE SET until = excluded.until";
    tx.run(query(sql).bind(connection.to_string()).bind(twin.to_string()).bind(until)).await?;
    let sql = "UPDATE inbox SET rests_until = $3 WHERE connection_id = $1 AND twin_id = $2";
    tx.run(query(sql).bind(connection.to_string()).bind(twin.to_string()).bind(until)).await.map(drop)
}

pub(super) async fn release_arrived(tx: &mut SqliteTx<'_>, connection: ConnectionId, twin: TwinId) -> Got<()> {
    let sql = "DELETE FROM resting WHERE connection_id = $1 AND twin_id = $2";
    tx.run(query(sql).bind(connection.to_string()).bind(twin.to_string())).await?;
    let sql = "UPDATE inbox SET rests_until = 0 WHERE connection_id = $1 AND twin_id = $2 RETURNING tracker";
    let trackers = tx.each(query(sql).bind(connection.to_string()).bind(twin.to_string()), |row| col::<String>(row, 0)).await?;
    if let Some(tracker) = trackers.into_iter().next() {
        tx.wake(Topic::Inbox(tracker));
    }
    Ok(())
}
