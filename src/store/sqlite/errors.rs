//! Open errors.

use sqlx::{QueryBuilder, Sqlite, query, sqlite::SqliteRow};

use super::{
    columns::{col, count, json, list, page_rows, paged, place, time_opt, to_json, word},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        error::{ErrorRecord, Scope},
        ids::{ErrorId, TwinId},
    },
    store::{
        Notice, Tx,
        rows::{ErrorFilter, ErrorGroup, Page, Paged},
    },
};

/// What is held up, as `error_of` is asked: the connection's id, the tracker's name, or `node`.
fn subject(error: &ErrorRecord) -> String {
    match error.scope {
        Scope::Twin => error.twin_id.map(|id| id.to_string()).unwrap_or_default(),
        Scope::Connection => error.connection_id.map(|id| id.to_string()).unwrap_or_default(),
        Scope::Tracker => error.tracker.clone().unwrap_or_default(),
        Scope::Node => "node".to_owned(),
    }
}

fn read_error(row: &SqliteRow) -> Got<ErrorRecord> {
    // Documents of earlier versions hold no tracker: the column does.
    let error: ErrorRecord = json(row, 0)?;
    Ok(ErrorRecord { tracker: col(row, 1)?, code: col(row, 2)?, ..error })
}

pub(super) async fn error(tx: &mut SqliteTx<'_>, id: ErrorId) -> Got<Option<ErrorRecord>> {
    tx.one(query("SELECT body, tracker, code FROM errors WHERE id = $1").bind(id.to_string()), read_error).await
}

pub(super) async fn error_of_twin(tx: &mut SqliteTx<'_>, twin: TwinId) -> Got<Option<ErrorRecord>> {
    let sql = "SELECT body, tracker, code FROM errors WHERE twin_id = $1 AND scope = 'twin'
        ORDER BY occurred_at DESC, id DESC LIMIT 1";
    tx.one(query(sql).bind(twin.to_string()), read_error).await
}

pub(super) async fn error_of(tx: &mut SqliteTx<'_>, subject: &str, code: &str) -> Got<Option<ErrorRecord>> {
    let sql = "SELECT body, tracker, code FROM errors WHERE subject = $1 AND code = $2 AND scope <> 'twin'
        ORDER BY occurred_at DESC, id DESC LIMIT 1";
    tx.one(query(sql).bind(subject).bind(code), read_error).await
}

pub(super) async fn put_error(tx: &mut SqliteTx<'_>, error: &ErrorRecord) -> Got<()> {
    let sql = "INSERT INTO errors (id, scope, subject, code, connection_id, twin_id, tracker, occurred_at,
            next_attempt_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (id) DO UPDATE SET scope = excluded.scope, subject = excluded.subject, code = excluded.code,
            connection_id = excluded.connection_id, twin_id = excluded.twin_id, tracker = excluded.tracker,
            occurred_at = excluded.occurred_at, next_attempt_at = excluded.next_attempt_at, body = excluded.body";
    let query = query(sql)
        .bind(error.id.to_string())
        .bind(word(&error.scope)?)
        .bind(subject(error))
        .bind(&error.code)
        .bind(error.connection_id.map(|id| id.to_string()))
        .bind(error.twin_id.map(|id| id.to_string()))
        .bind(&error.tracker)
        .bind(error.occurred_at.0)
        .bind(error.next_attempt_at.map(|at| at.0))
        .bind(to_json(error)?);
    tx.run(query).await?;
    tx.tell(Notice::Error(error.id));
    Ok(())
}

pub(super) async fn close_error(tx: &mut SqliteTx<'_>, id: ErrorId) -> Got<bool> {
    let open = tx.run(query("DELETE FROM errors WHERE id = $1").bind(id.to_string())).await? > 0;
    if open {
        tx.tell(Notice::Error(id));
    }
    Ok(open)
}

pub(super) async fn list_errors(tx: &mut SqliteTx<'_>, filter: &ErrorFilter, page: &Page) -> Got<Paged<ErrorRecord>> {
    let (at, tie) = place(page)?;
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT body, tracker, code FROM errors WHERE (occurred_at, id) < (");
    sql.push_bind(at).push(", ").push_bind(tie.unwrap_or_default()).push(")");
    that_pass(&mut sql, filter)?;
    sql.push(" ORDER BY occurred_at DESC, id DESC LIMIT ").push_bind(page_rows(page));
    let read = |row: &SqliteRow| {
        let error = read_error(row)?;
        Ok((format!("{}.{}", error.occurred_at.0, error.id), error))
    };
    Ok(paged(tx.each(sql.build(), read).await?, page))
}

pub(super) async fn error_groups(tx: &mut SqliteTx<'_>, filter: &ErrorFilter, most: u32) -> Got<Vec<ErrorGroup>> {
    // Of the columns that are not grouped, SQLite takes those of the row with the greatest time.
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT body, tracker, code, COUNT(*), MAX(occurred_at) FROM errors WHERE TRUE");
    that_pass(&mut sql, filter)?;
    sql.push(" GROUP BY connection_id, code, body ->> '$.title', tracker ORDER BY 5 DESC, id LIMIT ").push_bind(i64::from(most));
    let read = |row: &SqliteRow| Ok(ErrorGroup { newest: read_error(row)?, count: count(row, 3)? });
    tx.each(sql.build(), read).await
}

fn that_pass(sql: &mut QueryBuilder<Sqlite>, filter: &ErrorFilter) -> Got<()> {
    if let Some(id) = filter.connection_id {
        sql.push(" AND connection_id = ").push_bind(id.to_string());
    }
    if let Some(ids) = &filter.connections {
        sql.push(" AND connection_id IN (SELECT value FROM json_each(").push_bind(list(ids)?).push("))");
    }
    if let Some(id) = filter.twin_id {
        sql.push(" AND twin_id = ").push_bind(id.to_string());
    }
    if let Some(scope) = filter.scope {
        sql.push(" AND scope = ").push_bind(word(&scope)?);
    }
    if let Some(tracker) = &filter.tracker {
        sql.push(" AND (tracker = ").push_bind(tracker);
        sql.push(" OR connection_id IN (SELECT id FROM connections WHERE tracker = ").push_bind(tracker).push("))");
    }
    if let Some(code) = &filter.code {
        sql.push(" AND code = ").push_bind(code);
    }
    for (member, wanted) in [("$.title", &filter.title), ("$.detail", &filter.detail)] {
        if let Some(wanted) = wanted {
            sql.push(" AND body ->> ").push_bind(member).push(" = ").push_bind(wanted);
        }
    }
    if let Some(status) = filter.status {
        sql.push(" AND EXISTS (SELECT 1 FROM twins WHERE twins.id = errors.twin_id AND status = ").push_bind(word(&status)?);
        sql.push(")");
    }
    if let Some(since) = filter.since {
        sql.push(" AND occurred_at >= ").push_bind(since.0);
    }
    Ok(())
}

pub(super) async fn errors_due(tx: &mut SqliteTx<'_>, now: Time, limit: u32) -> Got<Vec<ErrorRecord>> {
    let sql = "SELECT body, tracker, code FROM errors WHERE scope = 'twin' AND next_attempt_at IS NOT NULL
        AND next_attempt_at <= $1 ORDER BY next_attempt_at, id LIMIT $2";
    tx.each(query(sql).bind(now.0).bind(i64::from(limit)), read_error).await
}

pub(super) async fn next_error_due(tx: &mut SqliteTx<'_>) -> Got<Option<Time>> {
    let sql = "SELECT MIN(next_attempt_at) FROM errors WHERE scope = 'twin' AND next_attempt_at IS NOT NULL";
    Ok(tx.one(query(sql), |row| time_opt(row, 0)).await?.flatten())
}
