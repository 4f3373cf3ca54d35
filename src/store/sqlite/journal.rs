//! What rules did to the outside, and what they looked for in vain.
//!
//! Most nodes have no row here, and every piece of work that ends would ask for some: a flag tells that there are none
//! ([`Shared::asked`](super::Shared)). It is set with the first row and taken back by whoever finds the tables empty; the
//! one writer does both.

use std::sync::atomic::Ordering;

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, parsed, signed, time, to_json, word},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        ask::Moment,
        history::Direction,
        ids::{ConnectionId, TwinId},
        rule::RulePair,
    },
    store::{
        StoreError,
        rows::{JournalRow, Lookup, RuleWork},
    },
};

/// Whether there may be rows.
fn asked(tx: &SqliteTx<'_>) -> bool {
    tx.shared.asked.load(Ordering::Relaxed)
}

fn direction(row: &SqliteRow, index: usize) -> Got<Direction> {
    match col(row, index)? {
        "out" => Ok(Direction::Out),
        "in" => Ok(Direction::In),
        other => Err(StoreError::Broken(format!("`{other}` is no direction"))),
    }
}

/// Works as `json_each` opens them.
fn works(works: &[RuleWork]) -> Got<String> {
    let rows: Result<Vec<_>, StoreError> =
        works.iter().map(|(connection, twin, direction)| Ok((connection, twin, word(direction)?))).collect();
    to_json(&rows?)
}

pub(super) async fn rules_for(tx: &mut SqliteTx<'_>, work: RuleWork) -> Got<Option<(RulePair, Option<u32>)>> {
    let sql = "SELECT outgoing, incoming, version, (SELECT MIN(version) FROM journal
            WHERE journal.connection_id = $1 AND twin_id = $2 AND direction = $3)
        FROM rule_versions WHERE connection_id = $1 ORDER BY version DESC LIMIT 1";
    let (connection, twin, direction) = work;
    let read = |row: &SqliteRow| {
        let pair = RulePair { outgoing: col(row, 0)?, incoming: col(row, 1)?, version: col(row, 2)? };
        Ok((pair, col(row, 3)?))
    };
    tx.one(query(sql).bind(connection.to_string()).bind(twin.to_string()).bind(word(&direction)?), read).await
}

pub(super) async fn journal(tx: &mut SqliteTx<'_>, (connection, twin, of): RuleWork) -> Got<Vec<JournalRow>> {
    let sql = "SELECT number, version, now, seed, method, path, body, at, answer FROM journal
        WHERE connection_id = $1 AND twin_id = $2 AND direction = $3 ORDER BY number";
    let read = |row: &SqliteRow| {
        let body: Vec<u8> = col(row, 6)?;
        Ok(JournalRow {
            connection_id: connection,
            twin,
            direction: of,
            number: col(row, 0)?,
            version: col(row, 1)?,
            moment: Moment { now: time(row, 2)?, seed: col(row, 3)? },
            method: col(row, 4)?,
            path: col(row, 5)?,
            body: body.try_into().map_err(|_| StoreError::Broken("a hash has another length".to_owned()))?,
            at: time(row, 7)?,
            answer: col(row, 8)?,
        })
    };
    tx.each(query(sql).bind(connection.to_string()).bind(twin.to_string()).bind(word(&of)?), read).await
}

pub(super) async fn put_journal(tx: &mut SqliteTx<'_>, row: &JournalRow) -> Got<()> {
    let sql =
        "INSERT INTO journal (connection_id, twin_id, direction, number, version, now, seed, method, path, body, at, answer)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (connection_id, twin_id, direction, number) DO UPDATE SET answer = excluded.answer";
    let query = query(sql)
        .bind(row.connection_id.to_string())
        .bind(row.twin.to_string())
        .bind(word(&row.direction)?)
        .bind(row.number)
        .bind(row.version)
        .bind(row.moment.now.0)
        .bind(row.moment.seed)
        .bind(&row.method)
        .bind(&row.path)
        .bind(&row.body[..])
        .bind(row.at.0)
        .bind(&row.answer);
    tx.run(query).await?;
    tx.shared.asked.store(true, Ordering::Relaxed);
    Ok(())
}

pub(super) async fn forget_journal(tx: &mut SqliteTx<'_>, (connection, twin, of): RuleWork, number: u32) -> Got<()> {
    let sql = "DELETE FROM journal WHERE connection_id = $1 AND twin_id = $2 AND direction = $3 AND number = $4";
    let query = query(sql).bind(connection.to_string()).bind(twin.to_string()).bind(word(&of)?).bind(number);
    tx.run(query).await.map(drop)
}

pub(super) async fn renew_journal(tx: &mut SqliteTx<'_>, connection: ConnectionId, twin: TwinId, again: bool) -> Got<()> {
    if !asked(tx) {
        return Ok(());
    }
    if again {
        let sql = "DELETE FROM journal WHERE connection_id = $1 AND twin_id = $2 AND answer IS NULL AND method = 'POST'";
        tx.run(query(sql).bind(connection.to_string()).bind(twin.to_string())).await?;
    }
    let sql = "UPDATE journal SET version = COALESCE((SELECT MAX(version) FROM rule_versions WHERE connection_id = $1), version)
        WHERE connection_id = $1 AND twin_id = $2";
    tx.run(query(sql).bind(connection.to_string()).bind(twin.to_string())).await.map(drop)
}

pub(super) async fn end_journal(tx: &mut SqliteTx<'_>, ended: &[RuleWork]) -> Got<()> {
    if ended.is_empty() || !asked(tx) {
        return Ok(());
    }
    let sql = "DELETE FROM journal WHERE (connection_id, twin_id, direction) IN
        (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))";
    if tx.run(query(sql).bind(works(ended)?)).await? == 0 {
        let sql = "SELECT EXISTS (SELECT 1 FROM journal) OR EXISTS (SELECT 1 FROM lookups)";
        let some = tx.one(query(sql), |row| col::<bool>(row, 0)).await?;
        tx.shared.asked.store(some != Some(false), Ordering::Relaxed);
    }
    Ok(())
}

pub(super) async fn put_lookup(tx: &mut SqliteTx<'_>, lookup: &Lookup, now: Time) -> Got<()> {
    let sql = "INSERT OR REPLACE INTO lookups (connection_id, remote_key, twin_id, direction, epoch, n, event, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let query = query(sql)
        .bind(lookup.connection_id.to_string())
        .bind(&lookup.remote_key)
        .bind(lookup.twin.to_string())
        .bind(word(&lookup.direction)?)
        .bind(signed(lookup.up_to.0))
        .bind(signed(lookup.up_to.1))
        .bind(&lookup.event)
        .bind(now.0);
    tx.run(query).await?;
    tx.shared.asked.store(true, Ordering::Relaxed);
    Ok(())
}

pub(super) async fn forget_lookups(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    tx.run(query("DELETE FROM lookups WHERE at < $1").bind(before.0)).await
}

pub(super) async fn take_lookups(tx: &mut SqliteTx<'_>, found: &[(ConnectionId, String)]) -> Got<Vec<Lookup>> {
    if found.is_empty() || !asked(tx) {
        return Ok(Vec::new());
    }
    let sql = "DELETE FROM lookups WHERE (connection_id, remote_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))
        RETURNING connection_id, remote_key, twin_id, direction, epoch, n, event";
    let read = |row: &SqliteRow| {
        Ok(Lookup {
            connection_id: parsed(row, 0)?,
            remote_key: col(row, 1)?,
            twin: parsed(row, 2)?,
            direction: direction(row, 3)?,
            up_to: (count(row, 4)?, count(row, 5)?),
            event: col(row, 6)?,
        })
    };
    tx.each(query(sql).bind(to_json(found)?), read).await
}

pub(super) async fn local_keys(tx: &mut SqliteTx<'_>, connection: ConnectionId, remote_key: &str) -> Got<Vec<(String, String)>> {
    let sql = "SELECT local_type, local_key, memory ->> 'deleted_here' FROM twins
        WHERE connection_id = $1 AND remote_key = $2 AND local_key IS NOT NULL ORDER BY created_at, id";
    let read = |row: &SqliteRow| Ok((col::<Option<bool>>(row, 2)?, (col(row, 0)?, col(row, 1)?)));
    let found = tx.each(query(sql).bind(connection.to_string()).bind(remote_key), read).await?;
    Ok(found.into_iter().filter(|(gone, _)| *gone != Some(true)).map(|(_, record)| record).collect())
}
