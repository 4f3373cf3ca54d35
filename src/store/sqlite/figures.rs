//! Figures by quarter of an hour and by hour, and trackers' allowances: what curves are drawn of.
//!
//! They are summed up from the history by row number ([`ended_since`]), in parts, by one task; the place up to which it is
//! summed moves in the transaction that adds the sums, so nothing counts twice and nothing is missed.

use std::collections::BTreeMap;

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, json, list, parsed, parsed_opt, signed, time, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        figures::{Figures, Step},
        ids::ConnectionId,
        tracker::ApiCalls,
    },
    store::rows::{EndedPart, EndedRow, FiguresRow},
};

/// What stands for the whole node.
const NODE: &str = "";

pub(super) async fn ended_since(tx: &mut SqliteTx<'_>, most: u32) -> Got<EndedPart> {
    let sql = "WITH part AS (SELECT id, at, connection_id, outcome, took_ms FROM history
            WHERE id > (SELECT history_id FROM summed) ORDER BY id LIMIT $1 + 0)
        SELECT at - at % $2, connection_id, outcome, CASE WHEN outcome IN ('sent', 'applied') THEN took_ms END, COUNT(*),
            (SELECT MAX(id) FROM part), (SELECT COUNT(*) FROM part) FROM part GROUP BY 1, 2, 3, 4";
    let read = |row: &SqliteRow| {
        let ended = EndedRow {
            at: time(row, 0)?,
            connection: parsed_opt(row, 1)?,
            outcome: parsed(row, 2)?,
            took_ms: col(row, 3)?,
            count: count(row, 4)?,
        };
        Ok((ended, col::<i64>(row, 5)?, count(row, 6)?))
    };
    let rows = tx.each(query(sql).bind(i64::from(most)).bind(Step::Quarter.millis()), read).await?;
    let upto = rows.first().map(|(_, upto, _)| *upto);
    let is_last = rows.first().is_none_or(|(.., lines)| *lines < u64::from(most));
    Ok(EndedPart { rows: rows.into_iter().map(|(row, ..)| row).collect(), upto, is_last })
}

pub(super) async fn parked(tx: &mut SqliteTx<'_>) -> Got<Vec<(ConnectionId, u64)>> {
    let sql = "SELECT connection_id, COUNT(*) FROM twins WHERE status = 'parked' GROUP BY connection_id";
    tx.each(query(sql), |row| Ok((parsed(row, 0)?, count(row, 1)?))).await
}

fn name(connection: Option<ConnectionId>) -> String {
    connection.map_or_else(|| NODE.to_owned(), |id| id.to_string())
}

pub(super) async fn add_figures(tx: &mut SqliteTx<'_>, rows: &[FiguresRow], upto: Option<i64>) -> Got<()> {
    let keys: Vec<_> = rows.iter().map(|row| (name(row.connection), row.step.millis(), row.at.0)).collect();
    let sql = "SELECT connection_id, step, at, body FROM figures
        WHERE (connection_id, step, at) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))";
    let read = |row: &SqliteRow| Ok(((col::<String>(row, 0)?, col::<i64>(row, 1)?, col::<i64>(row, 2)?), json(row, 3)?));
    let known: Vec<(_, Figures)> = tx.each(query(sql).bind(to_json(&keys)?), read).await?;
    let mut all: BTreeMap<_, Figures> = known.into_iter().collect();
    for (key, row) in keys.into_iter().zip(rows) {
        all.entry(key).or_default().then(&row.figures);
    }
    let written =
        all.into_iter().map(|((name, step, at), figures)| Ok((name, step, at, to_json(&figures)?))).collect::<Got<Vec<_>>>()?;
    let sql = "INSERT INTO figures (connection_id, step, at, body)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
        ON CONFLICT (connection_id, step, at) DO UPDATE SET body = excluded.body";
    tx.run(query(sql).bind(to_json(&written)?)).await?;
    if let Some(upto) = upto {
        tx.run(query("UPDATE summed SET history_id = $1").bind(upto)).await?;
    }
    Ok(())
}

pub(super) async fn figures(
    tx: &mut SqliteTx<'_>,
    connections: Option<&[ConnectionId]>,
    step: Step,
    since: Time,
) -> Got<BTreeMap<Time, Figures>> {
    let sql = "SELECT at, body, connection_id FROM figures WHERE step = $2 AND at >= $3
        AND connection_id IN (SELECT value FROM json_each($1))";
    let mut names: Vec<String> = connections.unwrap_or_default().iter().map(ToString::to_string).collect();
    names.push(NODE.to_owned());
    let query = query(sql).bind(list(&names)?).bind(step.millis()).bind(since.0);
    let read = |row: &SqliteRow| Ok((time(row, 0)?, json::<Figures>(row, 1)?, col::<&str>(row, 2)? == NODE));
    let mut told: BTreeMap<Time, Figures> = BTreeMap::new();
    for (at, figures, of_node) in tx.each(query, read).await? {
        let there = told.entry(at).or_default();
        if of_node && connections.is_some() {
            // A connection without parked twins has no row: where the node counted, it had none.
            there.beside(&Figures { parked: figures.parked.map(|_| 0), ..Figures::default() });
        } else {
            there.beside(&figures);
        }
    }
    Ok(told)
}

pub(super) async fn put_allowances(tx: &mut SqliteTx<'_>, at: Time, calls: &[(String, ApiCalls)]) -> Got<()> {
    let at = Step::Quarter.start(at).0;
    let rows: Vec<_> = calls.iter().map(|(tracker, calls)| (tracker, at, signed(calls.used), signed(calls.limit))).collect();
    let sql = "INSERT INTO allowances (tracker, at, used, most)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
        ON CONFLICT (tracker, at) DO UPDATE SET used = excluded.used, most = excluded.most";
    tx.run(query(sql).bind(to_json(&rows)?)).await.map(drop)
}

pub(super) async fn allowances(tx: &mut SqliteTx<'_>, step: Step, since: Time) -> Got<Vec<(String, Time, ApiCalls)>> {
    // Of the columns that are not grouped, SQLite takes those of the row with the greatest time.
    let sql = "SELECT tracker, at - at % $1, used, most, MAX(at) FROM allowances WHERE at >= $2 GROUP BY 1, 2 ORDER BY 1, 2";
    let read = |row: &SqliteRow| Ok((col(row, 0)?, time(row, 1)?, ApiCalls { used: count(row, 2)?, limit: count(row, 3)? }));
    tx.each(query(sql).bind(step.millis()).bind(since.0), read).await
}

pub(super) async fn forget_figures(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    let figures = tx.run(query("DELETE FROM figures WHERE at < $1").bind(before.0)).await?;
    Ok(figures + tx.run(query("DELETE FROM allowances WHERE at < $1").bind(before.0)).await?)
}
