//! Twins: columns for what is looked for, the memory as a document.

use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, query, sqlite::SqliteRow};

use super::{
    columns::{
        col, count, from_json, json, list, page_rows, paged, parsed, parts, place, places, signed, time, time_opt, to_json, word,
    },
    tx::{Got, Query, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, EntityRef, Side, TwinId},
        twin::{Memory, Twin},
    },
    store::{
        LeaseKey, Notice, StoreError, Tx,
        rows::{Page, Paged, TwinFilter},
    },
};

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, connection_id, tracker, status, started_by, local_type, local_key, local_url, remote_type,
            remote_key, remote_url, peer_seen, remote_outcome, created_at, last_synced_at, memory FROM twins ",
            $tail
        )
    };
}

fn read_twin(row: &SqliteRow) -> Got<Twin> {
    let entity = |first: usize| -> Got<Option<EntityRef>> {
        let (entity_type, key) = (col::<Option<String>>(row, first)?, col::<Option<String>>(row, first + 1)?);
        let url = col(row, first + 2)?;
        Ok(entity_type.zip(key).map(|(entity_type, key)| EntityRef { entity_type, key, url }))
    };
    Ok(Twin {
        id: parsed(row, 0)?,
        connection_id: parsed(row, 1)?,
        tracker: col(row, 2)?,
        status: parsed(row, 3)?,
        started_by: side(col(row, 4)?)?,
        local: entity(5)?,
        remote: entity(8)?,
        peer_seen: count(row, 11)?,
        remote_outcome: col::<Option<&str>>(row, 12)?.map(from_json).transpose()?,
        created_at: time(row, 13)?,
        last_synced_at: time_opt(row, 14)?,
        memory: json(row, 15)?,
    })
}

fn side(word: &str) -> Got<Side> {
    [Side::Inviting, Side::Accepting]
        .into_iter()
        .find(|side| side.as_str() == word)
        .ok_or_else(|| StoreError::Broken(format!("`{word}` is no side")))
}

pub(super) async fn twin(tx: &mut SqliteTx<'_>, connection: ConnectionId, id: TwinId) -> Got<Option<Twin>> {
    let query = query(select!("WHERE connection_id = $1 AND id = $2")).bind(connection.to_string()).bind(id.to_string());
    tx.one(query, read_twin).await
}

pub(super) async fn twin_by_id(tx: &mut SqliteTx<'_>, id: TwinId) -> Got<Option<Twin>> {
    tx.one(query(select!("WHERE id = $1")).bind(id.to_string()), read_twin).await
}

pub(super) async fn twins_by_ids(tx: &mut SqliteTx<'_>, connection: ConnectionId, ids: &[TwinId]) -> Got<Vec<Twin>> {
    let sql = select!("WHERE connection_id = $1 AND id IN (SELECT value FROM json_each($2))");
    tx.each(query(sql).bind(connection.to_string()).bind(list(ids)?), read_twin).await
}

pub(super) async fn twins_of_record(tx: &mut SqliteTx<'_>, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Twin>> {
    let sql = select!("WHERE tracker = $1 AND local_type = $2 AND local_key = $3 ORDER BY created_at, id");
    tx.each(query(sql).bind(tracker).bind(entity_type).bind(key), read_twin).await
}

pub(super) async fn twins_of_records(tx: &mut SqliteTx<'_>, tracker: &str, entity_type: &str, keys: &[String]) -> Got<Vec<Twin>> {
    let sql = select!(
        "WHERE tracker = $1 AND local_type = $2 AND local_key IN (SELECT value FROM json_each($3)) ORDER BY created_at, id"
    );
    tx.each(query(sql).bind(tracker).bind(entity_type).bind(to_json(keys)?), read_twin).await
}

pub(super) async fn unanswered(
    tx: &mut SqliteTx<'_>,
    (tracker, entity_type, keys): (&str, &str, &[String]),
    connection: ConnectionId,
) -> Got<Vec<String>> {
    let sql = "SELECT local_key FROM twins WHERE tracker = $1 AND local_type = $2
        AND local_key IN (SELECT value FROM json_each($3)) AND +connection_id = $4
        AND status = 'waiting' AND remote_key IS NULL AND remote_outcome IS NULL";
    let query = query(sql).bind(tracker).bind(entity_type).bind(to_json(keys)?).bind(connection.to_string());
    tx.each(query, |row| col(row, 0)).await
}

pub(super) async fn twins_of_remotes(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    entity_type: &str,
    keys: &[String],
) -> Got<Vec<Twin>> {
    let sql = select!(
        "WHERE connection_id = $1 AND remote_type = $2 AND remote_key IN (SELECT value FROM json_each($3)) ORDER BY created_at, id"
    );
    tx.each(query(sql).bind(connection.to_string()).bind(entity_type).bind(to_json(keys)?), read_twin).await
}

pub(super) async fn twins_anywhere(tx: &mut SqliteTx<'_>, ids: &[TwinId]) -> Got<Vec<TwinId>> {
    let sql = "SELECT DISTINCT id FROM twins WHERE id IN (SELECT value FROM json_each($1))";
    tx.each(query(sql).bind(list(ids)?), |row| parsed(row, 0)).await
}

pub(super) async fn record_leases(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    ids: &[TwinId],
) -> Got<Vec<(TwinId, LeaseKey)>> {
    let sql = "SELECT id, tracker, local_type, local_key FROM twins
        WHERE connection_id = $1 AND id IN (SELECT value FROM json_each($2)) AND local_key IS NOT NULL";
    let read = |row: &SqliteRow| {
        Ok((parsed(row, 0)?, LeaseKey::Record { tracker: col(row, 1)?, entity_type: col(row, 2)?, key: col(row, 3)? }))
    };
    tx.each(query(sql).bind(connection.to_string()).bind(list(ids)?), read).await
}

/// One hop to the connection's thread for many twins.
pub(super) async fn put_twins(tx: &mut SqliteTx<'_>, twins: &[Twin]) -> Got<()> {
    for part in parts(twins) {
        let sql = format!(
            "INSERT INTO twins (connection_id, id, tracker, status, started_by, local_type, local_key, local_url,
            remote_type, remote_key, remote_url, peer_seen, remote_outcome, created_at, last_synced_at, creating_type, memory)
            VALUES {}
            ON CONFLICT (connection_id, id) DO UPDATE SET tracker = excluded.tracker, status = excluded.status,
            started_by = excluded.started_by, local_type = excluded.local_type, local_key = excluded.local_key,
            local_url = excluded.local_url, remote_type = excluded.remote_type, remote_key = excluded.remote_key,
            remote_url = excluded.remote_url, peer_seen = excluded.peer_seen, remote_outcome = excluded.remote_outcome,
            created_at = excluded.created_at, last_synced_at = excluded.last_synced_at,
            creating_type = excluded.creating_type, memory = excluded.memory",
            places(part.len(), 17)
        );
        // The text is made of places and what stands above; values are bound.
        let mut query = query(AssertSqlSafe(sql));
        for twin in part {
            query = bind(query, twin)?;
        }
        tx.run(query).await?;
    }
    twins.iter().for_each(|twin| tx.tell(Notice::Twin(twin.id)));
    Ok(())
}

fn bind(query: Query<'static>, twin: &Twin) -> Got<Query<'static>> {
    let creating = twin.memory.pending_write.as_ref().filter(|write| write.key.is_none()).map(|write| write.entity_type.clone());
    let (local, remote) = (twin.local.as_ref(), twin.remote.as_ref());
    Ok(query
        .bind(twin.connection_id.to_string())
        .bind(twin.id.to_string())
        .bind(twin.tracker.clone())
        .bind(twin.status.as_str())
        .bind(twin.started_by.as_str())
        .bind(local.map(|entity| entity.entity_type.clone()))
        .bind(local.map(|entity| entity.key.clone()))
        .bind(local.and_then(|entity| entity.url.clone()))
        .bind(remote.map(|entity| entity.entity_type.clone()))
        .bind(remote.map(|entity| entity.key.clone()))
        .bind(remote.and_then(|entity| entity.url.clone()))
        .bind(signed(twin.peer_seen))
        .bind(twin.remote_outcome.as_ref().map(to_json).transpose()?)
        .bind(twin.created_at.0)
        .bind(twin.last_synced_at.map(|at| at.0))
        .bind(creating)
        .bind(to_json(&twin.memory)?))
}

/// By age and not by the last change: what moves while somebody walks through the pages would be passed over.
pub(super) async fn list_twins(tx: &mut SqliteTx<'_>, filter: &TwinFilter, page: &Page) -> Got<Paged<Twin>> {
    let (at, tie) = place(page)?;
    let mut sql = QueryBuilder::<Sqlite>::new(select!("WHERE (created_at, id) < ("));
    sql.push_bind(at).push(", ").push_bind(tie.unwrap_or_default()).push(")");
    if let Some(id) = filter.connection_id {
        sql.push(" AND connection_id = ").push_bind(id.to_string());
    }
    if let Some(ids) = &filter.connections {
        sql.push(" AND connection_id IN (SELECT value FROM json_each(").push_bind(list(ids)?).push("))");
    }
    if let Some(tracker) = &filter.tracker {
        sql.push(" AND tracker = ").push_bind(tracker);
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(word(&status)?);
    }
    if let Some(entity_type) = &filter.entity_type {
        sql.push(" AND local_type = ").push_bind(entity_type);
    }
    if !filter.keys.is_empty() {
        let keys = to_json(&filter.keys)?;
        sql.push(" AND (local_key IN (SELECT value FROM json_each(").push_bind(keys.clone());
        sql.push(")) OR remote_key IN (SELECT value FROM json_each(").push_bind(keys).push(")))");
    }
    sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(page_rows(page));
    let read = |row: &SqliteRow| {
        let twin = read_twin(row)?;
        Ok((format!("{}.{}", twin.created_at.0, twin.id), twin))
    };
    Ok(paged(tx.each(sql.build(), read).await?, page))
}

pub(super) async fn twin_ids(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<Vec<TwinId>> {
    let sql = "SELECT id FROM twins WHERE connection_id = $1 ORDER BY id";
    tx.each(query(sql).bind(connection.to_string()), |row| parsed(row, 0)).await
}

pub(super) async fn twins_behind(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    after: Option<TwinId>,
    limit: u32,
) -> Got<Vec<Twin>> {
    let sql = select!("WHERE connection_id = $1 AND id > $2 ORDER BY id LIMIT $3 + 0");
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    tx.each(query(sql).bind(connection.to_string()).bind(after).bind(i64::from(limit)), read_twin).await
}

pub(super) async fn count_twins(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<u64> {
    let sql = "SELECT COUNT(*) FROM twins WHERE connection_id = $1 AND status <> 'stopped'";
    Ok(tx.one(query(sql).bind(connection.to_string()), |row| count(row, 0)).await?.unwrap_or(0))
}

pub(super) async fn creates_under_way(tx: &mut SqliteTx<'_>, tracker: &str, entity_type: &str) -> Got<Vec<(TwinId, Time)>> {
    let sql = "SELECT id, memory FROM twins WHERE tracker = $1 AND creating_type = $2 ORDER BY id";
    let read = |row: &SqliteRow| {
        let memory: Memory = json(row, 1)?;
        Ok((parsed(row, 0)?, memory.pending_write.map_or(Time(0), |write| write.started_at)))
    };
    tx.each(query(sql).bind(tracker).bind(entity_type), read).await
}

pub(super) async fn synced_types(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<Vec<String>> {
    let sql = "SELECT DISTINCT local_type FROM twins WHERE tracker = $1 AND local_type IS NOT NULL
        UNION SELECT entity_type FROM triggers WHERE connection_id IN (SELECT id FROM connections WHERE tracker = $1)
        ORDER BY 1";
    tx.each(query(sql).bind(tracker), |row| col(row, 0)).await
}

/// A tracker has few types and may have many twins: each type is asked for, rather than each twin of the connection.
pub(super) async fn types_of_connection(tx: &mut SqliteTx<'_>, tracker: &str, id: ConnectionId) -> Got<Vec<String>> {
    let sql =
        "SELECT local_type FROM (SELECT DISTINCT local_type FROM twins WHERE tracker = $1 AND local_type IS NOT NULL) AS type
            WHERE EXISTS (SELECT 1 FROM twins
                WHERE tracker = $1 AND twins.local_type = type.local_type AND connection_id = $2)
        UNION SELECT entity_type FROM triggers WHERE connection_id = $2 ORDER BY 1";
    tx.each(query(sql).bind(tracker).bind(id.to_string()), |row| col(row, 0)).await
}
