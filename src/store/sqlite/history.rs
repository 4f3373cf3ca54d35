//! The story of records, by age.

use serde::{Deserialize, Serialize};
use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, from_json, page_rows, paged, parsed, parsed_opt, place, time, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        history::{Direction, FieldChange, HistoryLine},
        ids::{ConnectionId, CorrelationId, TwinId},
    },
    store::{
        StoreError,
        rows::{Page, Paged},
    },
};

/// Lines that latency is told from.
const SAMPLE: i64 = 1000;

/// What of a line no query asks for.
#[derive(Serialize)]
struct Rest<'a> {
    direction: Direction,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [FieldChange],
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<CorrelationId>,
}

/// The same, read.
#[derive(Deserialize)]
struct RestRead {
    direction: Direction,
    reason: Option<String>,
    #[serde(default)]
    changes: Vec<FieldChange>,
    correlation: Option<CorrelationId>,
}

pub(super) async fn add_history(tx: &mut SqliteTx<'_>, lines: &[HistoryLine]) -> Got<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let rows = lines
        .iter()
        .map(|line| {
            let rest = Rest {
                direction: line.direction,
                reason: line.reason.as_deref(),
                changes: &line.changes,
                correlation: line.correlation,
            };
            Ok((
                line.at.0,
                &line.tracker,
                &line.entity_type,
                &line.key,
                line.connection_id,
                line.twin_id,
                line.outcome.as_str(),
                line.took_ms,
                to_json(&rest)?,
            ))
        })
        .collect::<Got<Vec<_>>>()?;
    let sql = "INSERT INTO history (at, tracker, entity_type, key, connection_id, twin_id, outcome, took_ms, body)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            value ->> 8 FROM json_each($1)";
    tx.run(query(sql).bind(to_json(&rows)?)).await.map(drop)
}

fn read_line(row: &SqliteRow) -> Got<(String, HistoryLine)> {
    let rest: RestRead = from_json(col(row, 9)?)?;
    let line = HistoryLine {
        at: time(row, 1)?,
        tracker: col(row, 2)?,
        entity_type: col(row, 3)?,
        key: col(row, 4)?,
        connection_id: parsed_opt(row, 5)?,
        twin_id: parsed_opt(row, 6)?,
        outcome: parsed(row, 7)?,
        took_ms: col(row, 8)?,
        direction: rest.direction,
        reason: rest.reason,
        changes: rest.changes,
        correlation: rest.correlation,
    };
    Ok((format!("{}.{}", line.at.0, col::<i64>(row, 0)?), line))
}

/// The place of a page in a list whose tie-breaker is a row number.
pub(super) fn row_place(page: &Page) -> Got<(i64, i64)> {
    let (at, tie) = place(page)?;
    let tie = tie.map_or(Ok(0), str::parse);
    Ok((at, tie.map_err(|_| StoreError::NoPlace)?))
}

pub(super) async fn history_of_twin(tx: &mut SqliteTx<'_>, twin: TwinId, page: &Page) -> Got<Paged<HistoryLine>> {
    let (at, row) = row_place(page)?;
    let sql = "SELECT id, at, tracker, entity_type, key, connection_id, twin_id, outcome, took_ms, body FROM history
        WHERE twin_id = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4";
    let query = query(sql).bind(twin.to_string()).bind(at).bind(row).bind(page_rows(page));
    Ok(paged(tx.each(query, read_line).await?, page))
}

pub(super) async fn history_of_record(
    tx: &mut SqliteTx<'_>,
    tracker: &str,
    entity_type: &str,
    key: &str,
    page: &Page,
) -> Got<Paged<HistoryLine>> {
    let (at, row) = row_place(page)?;
    let sql = "SELECT id, at, tracker, entity_type, key, connection_id, twin_id, outcome, took_ms, body FROM history
        WHERE tracker = $1 AND entity_type = $2 AND key = $3 AND (at, id) < ($4, $5) ORDER BY at DESC, id DESC LIMIT $6";
    let query = query(sql).bind(tracker).bind(entity_type).bind(key).bind(at).bind(row).bind(page_rows(page));
    Ok(paged(tx.each(query, read_line).await?, page))
}

pub(super) async fn latency(tx: &mut SqliteTx<'_>, connection: ConnectionId, since: Time) -> Got<Option<(i64, i64)>> {
    let sql = "SELECT took_ms FROM history WHERE connection_id = $1 AND at >= $2 AND outcome IN ('sent', 'applied')
        ORDER BY at DESC LIMIT $3";
    let mut took: Vec<i64> =
        tx.each(query(sql).bind(connection.to_string()).bind(since.0).bind(SAMPLE), |row| col(row, 0)).await?;
    took.sort_unstable();
    // Nearest rank: the smallest value that at least this share does not exceed.
    let rank = |percent: usize| took.get((took.len() * percent).div_ceil(100).max(1) - 1).copied();
    Ok(rank(50).zip(rank(95)))
}

pub(super) async fn forget_history(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    // Rows are nearly in order of time: only the old ones and the first newer one are looked at.
    let sql = "DELETE FROM history WHERE at < $1
        AND id < COALESCE((SELECT id FROM history WHERE at >= $1 ORDER BY id LIMIT 1), 9223372036854775807)";
    tx.run(query(sql).bind(before.0)).await
}
