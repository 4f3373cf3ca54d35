//! Changes that wait, and the notice ids by which a repeat is known.
//!
//! The path of intake: all that waits goes in with two statements, however much it is. What no query asks for stands in
//! one short JSON document.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, from_json, parsed_opt, time, time_opt, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Content, NewChange, Source},
        ids::CorrelationId,
    },
    store::{Topic, Tx, rows::WaitingRecord},
};

/// What of a change no query asks for; short names, since there are many.
#[derive(Serialize)]
struct Rest<'a> {
    s: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<&'a Content>,
    r: i64,
    i: CorrelationId,
}

/// The same, read.
#[derive(Deserialize)]
struct RestRead {
    s: Source,
    n: Option<String>,
    c: Option<Content>,
    r: i64,
    i: CorrelationId,
}

pub(super) async fn add_changes(tx: &mut SqliteTx<'_>, changes: &[NewChange]) -> Got<()> {
    let mut seen = HashSet::new();
    let mut rows = Vec::with_capacity(changes.len());
    let mut notices = Vec::new();
    let mut trackers = Vec::new();
    for change in changes {
        if let Some(notice) = &change.notice_id {
            if !seen.insert((&change.tracker, notice)) {
                continue;
            }
            notices.push((&change.tracker, notice, change.received_at.0));
        }
        if !trackers.contains(&&change.tracker) {
            trackers.push(&change.tracker);
        }
        let rest = Rest {
            s: change.source,
            n: change.notice_id.as_deref(),
            c: change.content.as_ref(),
            r: change.received_at.0,
            i: change.correlation,
        };
        rows.push((
            &change.tracker,
            &change.entity_type,
            &change.key,
            change.due_at.0,
            change.connection,
            to_json(&rest)?,
            &change.notice_id,
        ));
    }
    // `WHERE` spares the parser an ambiguity with `ON CONFLICT` and leaves out known notices.
    let sql = "INSERT INTO changes (tracker, entity_type, key, due_at, connection_id, body)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each($1)
        WHERE value ->> 6 IS NULL
            OR NOT EXISTS (SELECT 1 FROM notices WHERE tracker = value ->> 0 AND notice_id = value ->> 6)";
    if !rows.is_empty() {
        tx.run(query(sql).bind(to_json(&rows)?)).await?;
    }
    if !notices.is_empty() {
        let sql = "INSERT INTO notices (tracker, notice_id, seen_at)
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE true
            ON CONFLICT (tracker, notice_id) DO NOTHING";
        tx.run(query(sql).bind(to_json(&notices)?)).await?;
    }
    for tracker in trackers {
        tx.wake(Topic::Changes(tracker.clone()));
    }
    Ok(())
}

pub(super) async fn records_waiting(tx: &mut SqliteTx<'_>, tracker: &str, now: Time, limit: u32) -> Got<Vec<WaitingRecord>> {
    // A window over the oldest rows: the cost does not grow with what waits behind. It grows only where few records
    // hold many rows.
    let sql = "WITH oldest AS (SELECT entity_type, key, due_at, id FROM changes
            WHERE tracker = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3)
        SELECT entity_type, key, (SELECT COUNT(*) FROM oldest) FROM oldest
        GROUP BY entity_type, key ORDER BY MIN(due_at), MIN(id) LIMIT $4";
    let mut window = i64::from(limit).saturating_mul(2);
    loop {
        let query = query(sql).bind(tracker).bind(now.0).bind(window).bind(i64::from(limit));
        let read = |row: &SqliteRow| Ok((WaitingRecord { entity_type: col(row, 0)?, key: col(row, 1)? }, col::<i64>(row, 2)?));
        let found = tx.each(query, read).await?;
        let rows = found.first().map_or(0, |(_, rows)| *rows);
        if found.len() >= limit as usize || rows < window {
            return Ok(found.into_iter().map(|(record, _)| record).collect());
        }
        window = window.saturating_mul(8);
    }
}

fn read_change(row: &SqliteRow) -> Got<Change> {
    let rest: RestRead = from_json(col(row, 6)?)?;
    Ok(Change {
        id: col(row, 0)?,
        change: NewChange {
            tracker: col(row, 1)?,
            entity_type: col(row, 2)?,
            key: col(row, 3)?,
            source: rest.s,
            notice_id: rest.n,
            connection: parsed_opt(row, 5)?,
            content: rest.c,
            received_at: Time(rest.r),
            due_at: time(row, 4)?,
            correlation: rest.i,
        },
    })
}

pub(super) async fn changes(tx: &mut SqliteTx<'_>, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Change>> {
    let sql = "SELECT id, tracker, entity_type, key, due_at, connection_id, body FROM changes
        WHERE tracker = $1 AND entity_type = $2 AND key = $3 ORDER BY id";
    tx.each(query(sql).bind(tracker).bind(entity_type).bind(key), read_change).await
}

pub(super) async fn changes_of(tx: &mut SqliteTx<'_>, tracker: &str, records: &[WaitingRecord]) -> Got<Vec<Change>> {
    let records: Vec<_> = records.iter().map(|record| (&record.entity_type, &record.key)).collect();
    let sql = "SELECT id, tracker, entity_type, key, due_at, connection_id, body FROM changes
        WHERE tracker = $1 AND (entity_type, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each($2)) ORDER BY id";
    tx.each(query(sql).bind(tracker).bind(to_json(&records)?), read_change).await
}

pub(super) async fn end_changes(tx: &mut SqliteTx<'_>, ids: &[i64]) -> Got<()> {
    let sql = "DELETE FROM changes WHERE id IN (SELECT value FROM json_each($1))";
    tx.run(query(sql).bind(to_json(ids)?)).await.map(drop)
}

pub(super) async fn delay_changes(tx: &mut SqliteTx<'_>, ids: &[i64], due_at: Time) -> Got<()> {
    let sql = "UPDATE changes SET due_at = $2 WHERE id IN (SELECT value FROM json_each($1))";
    tx.run(query(sql).bind(to_json(ids)?).bind(due_at.0)).await.map(drop)
}

pub(super) async fn next_change_due(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<Option<Time>> {
    let due = tx.one(query("SELECT MIN(due_at) FROM changes WHERE tracker = $1").bind(tracker), |row| time_opt(row, 0)).await?;
    Ok(due.flatten())
}

pub(super) async fn count_changes(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<u64> {
    let sql = "SELECT COUNT(*) FROM changes WHERE tracker = $1";
    Ok(tx.one(query(sql).bind(tracker), |row| count(row, 0)).await?.unwrap_or(0))
}

pub(super) async fn forget_notices(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    // Rows are in order of time: only the old ones and the first newer one are looked at.
    let sql = "DELETE FROM notices WHERE seen_at < $1
        AND id < COALESCE((SELECT id FROM notices WHERE seen_at >= $1 ORDER BY id LIMIT 1), 9223372036854775807)";
    tx.run(query(sql).bind(before.0)).await
}
