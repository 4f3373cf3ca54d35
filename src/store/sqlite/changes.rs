//! Changes that wait, and the notice ids by which a repeat is known.
//!
//! The path of intake: all that waits goes in with two statements over one list of values, and where nothing else waits
//! they and their transaction are one text ([`Incoming::transaction`]). Values are bound one by one: a list of them in
//! one JSON document, which other files use, costs more here, where documents stand inside it. What no query asks for
//! stands in one short JSON document.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, query, sqlite::SqliteRow};

use super::{
    columns::{col, count, from_json, parsed_opt, time, time_opt, to_json},
    tx::{Got, Query, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Content, NewChange, Source},
        ids::{ConnectionId, CorrelationId},
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

/// Rows of one text: with more it would be remade for too many lengths.
const ROWS: usize = 64;

/// Changes on their way in: repeats among them left out.
pub(super) struct Incoming<'a> {
    changes: Vec<&'a NewChange>,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(changes: &'a [NewChange]) -> Self {
        let mut seen = HashSet::new();
        let once = changes.iter().filter(|change| {
            let notice = change.notice_id.as_ref();
            notice.is_none_or(|notice| seen.insert((change.tracker.as_str(), notice.as_str())))
        });
        Self { changes: once.collect() }
    }

    /// Whom to wake.
    pub(super) fn topics(&self) -> Vec<Topic> {
        let mut trackers: Vec<&String> = self.changes.iter().map(|change| &change.tracker).collect();
        trackers.dedup();
        trackers.into_iter().map(|tracker| Topic::Changes(tracker.clone())).collect()
    }

    /// The whole transaction in one text: one hop to the connection's thread in place of four. `None`: too many rows.
    pub(super) fn transaction(&self) -> Got<Option<Query<'static>>> {
        if self.changes.is_empty() || self.changes.len() > ROWS {
            return Ok(None);
        }
        let text = format!("BEGIN IMMEDIATE; {}; COMMIT", insertion(self.changes.len()));
        bound(text, &self.changes).map(Some)
    }
}

/// Two statements: the changes whose notice is not known, then the notices.
fn insertion(rows: usize) -> String {
    let [changes, notices] = [7, 3].map(|columns| {
        let row = format!("({})", ["?"; 7][..columns].join(","));
        vec![row; rows].join(",")
    });
    // `WHERE` also spares the parser an ambiguity with `ON CONFLICT`.
    format!(
        "INSERT INTO changes (tracker, entity_type, key, due_at, connection_id, body)
            SELECT column1, column2, column3, column4, column5, column6 FROM (VALUES {changes})
            WHERE column7 IS NULL
                OR NOT EXISTS (SELECT 1 FROM notices WHERE tracker = column1 AND notice_id = column7);
        INSERT INTO notices (tracker, notice_id, seen_at)
            SELECT column1, column2, column3 FROM (VALUES {notices}) WHERE column2 IS NOT NULL
            ON CONFLICT (tracker, notice_id) DO NOTHING"
    )
}

/// Numbered places would let both statements share the values, but are looked up by name one by one.
fn bound(text: String, changes: &[&NewChange]) -> Got<Query<'static>> {
    // The text is made of places and what stands above; what comes from outside is bound.
    let mut query = query(AssertSqlSafe(text));
    for change in changes {
        let rest = Rest {
            s: change.source,
            n: change.notice_id.as_deref(),
            c: change.content.as_ref(),
            r: change.received_at.0,
            i: change.correlation,
        };
        query = query
            .bind(change.tracker.clone())
            .bind(change.entity_type.clone())
            .bind(change.key.clone())
            .bind(change.due_at.0)
            .bind(change.connection.map(|id| id.to_string()))
            .bind(to_json(&rest)?)
            .bind(change.notice_id.clone());
    }
    for change in changes {
        query = query.bind(change.tracker.clone()).bind(change.notice_id.clone()).bind(change.received_at.0);
    }
    Ok(query)
}

pub(super) async fn add_changes(tx: &mut SqliteTx<'_>, changes: &[NewChange]) -> Got<()> {
    let incoming = Incoming::new(changes);
    for part in incoming.changes.chunks(ROWS) {
        tx.run(bound(insertion(part.len()), part)?).await?;
    }
    for topic in incoming.topics() {
        tx.wake(topic);
    }
    Ok(())
}

pub(super) async fn records_waiting(tx: &mut SqliteTx<'_>, tracker: &str, now: Time, limit: u32) -> Got<Vec<WaitingRecord>> {
    // A window over the oldest rows: the cost does not grow with what waits behind. It grows only where few records
    // hold many rows.
    let sql = "WITH oldest AS (SELECT entity_type, key, due_at, id FROM changes
            WHERE tracker = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $3 + 0)
        SELECT entity_type, key, (SELECT COUNT(*) FROM oldest) FROM oldest
        GROUP BY entity_type, key ORDER BY MIN(due_at), MIN(id) LIMIT $4 + 0";
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

pub(super) async fn next_change_due(tx: &mut SqliteTx<'_>, tracker: &str, after: Option<Time>) -> Got<Option<Time>> {
    let sql = "SELECT MIN(due_at) FROM changes WHERE tracker = $1 AND due_at > $2";
    let query = query(sql).bind(tracker).bind(after.map_or(i64::MIN, |after| after.0));
    Ok(tx.one(query, |row| time_opt(row, 0)).await?.flatten())
}

pub(super) async fn count_changes(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<u64> {
    let sql = "SELECT COUNT(*) FROM changes WHERE tracker = $1";
    Ok(tx.one(query(sql).bind(tracker), |row| count(row, 0)).await?.unwrap_or(0))
}

pub(super) async fn changes_left(
    tx: &mut SqliteTx<'_>,
    (tracker, entity_type, keys): (&str, &str, &[String]),
    connection: ConnectionId,
    due_before: Time,
) -> Got<u64> {
    let sql = "SELECT COUNT(DISTINCT key) FROM changes WHERE tracker = $1 AND entity_type = $2
        AND key IN (SELECT value FROM json_each($3)) AND +connection_id = $4 AND +due_at < $5";
    let query = query(sql).bind(tracker).bind(entity_type).bind(to_json(keys)?).bind(connection.to_string()).bind(due_before.0);
    Ok(tx.one(query, |row| count(row, 0)).await?.unwrap_or(0))
}

pub(super) async fn forget_notices(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    // Rows are in order of time: only the old ones and the first newer one are looked at.
    let sql = "DELETE FROM notices WHERE seen_at < $1
        AND id < COALESCE((SELECT id FROM notices WHERE seen_at >= $1 ORDER BY id LIMIT 1), 9223372036854775807)";
    tx.run(query(sql).bind(before.0)).await
}
