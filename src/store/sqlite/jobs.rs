//! Jobs and the lines of their reports.

use sqlx::{QueryBuilder, Sqlite, query, sqlite::SqliteRow};

use super::{
    columns::{col, count, json, list, page_rows, paged, place, to_json, word},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        ids::JobId,
        job::{Finding, Job},
    },
    store::{
        Notice, StoreError, Topic, Tx,
        rows::{JobFilter, Page, Paged},
    },
};

pub(super) async fn job(tx: &mut SqliteTx<'_>, id: JobId) -> Got<Option<Job>> {
    tx.one(query("SELECT body FROM jobs WHERE id = $1").bind(id.to_string()), |row| json(row, 0)).await
}

pub(super) async fn put_job(tx: &mut SqliteTx<'_>, job: &Job) -> Got<()> {
    let sql = "INSERT INTO jobs (id, connection_id, status, created_at, body) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body";
    let query = query(sql)
        .bind(job.id.to_string())
        .bind(job.connection_id.to_string())
        .bind(word(&job.status)?)
        .bind(job.created_at.0)
        .bind(to_json(job)?);
    tx.run(query).await?;
    tx.tell(Notice::Job(job.id));
    tx.wake(Topic::Jobs);
    Ok(())
}

pub(super) async fn open_jobs(tx: &mut SqliteTx<'_>) -> Got<Vec<Job>> {
    let sql = "SELECT body FROM jobs WHERE status IN ('queued', 'running') ORDER BY created_at";
    tx.each(query(sql), |row| json(row, 0)).await
}

pub(super) async fn list_jobs(tx: &mut SqliteTx<'_>, filter: &JobFilter, page: &Page) -> Got<Paged<Job>> {
    let (at, tie) = place(page)?;
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT body FROM jobs WHERE (created_at, id) < (");
    sql.push_bind(at).push(", ").push_bind(tie.unwrap_or_default()).push(")");
    if let Some(id) = filter.connection_id {
        sql.push(" AND connection_id = ").push_bind(id.to_string());
    }
    if let Some(ids) = &filter.connections {
        sql.push(" AND connection_id IN (SELECT value FROM json_each(").push_bind(list(ids)?).push("))");
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(word(&status)?);
    }
    sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(page_rows(page));
    let read = |row: &SqliteRow| {
        let job: Job = json(row, 0)?;
        Ok((format!("{}.{}", job.created_at.0, job.id), job))
    };
    Ok(paged(tx.each(sql.build(), read).await?, page))
}

pub(super) async fn add_findings(tx: &mut SqliteTx<'_>, job: JobId, findings: &[Finding]) -> Got<()> {
    let sql = "INSERT INTO findings (job_id, body) SELECT $1, value FROM json_each($2)";
    if findings.is_empty() {
        return Ok(());
    }
    tx.run(query(sql).bind(job.to_string()).bind(to_json(findings)?)).await.map(drop)
}

pub(super) async fn count_findings(tx: &mut SqliteTx<'_>, job: JobId) -> Got<u64> {
    let sql = "SELECT COUNT(*) FROM findings WHERE job_id = $1";
    Ok(tx.one(query(sql).bind(job.to_string()), |row| count(row, 0)).await?.unwrap_or(0))
}

pub(super) async fn list_findings(tx: &mut SqliteTx<'_>, job: JobId, page: &Page) -> Got<Paged<Finding>> {
    let after = match &page.after {
        None => 0,
        Some(text) => text.parse::<i64>().map_err(|_| StoreError::NoPlace)?,
    };
    let sql = "SELECT id, body FROM findings WHERE job_id = $1 AND id > $2 ORDER BY id LIMIT $3 + 0";
    let query = query(sql).bind(job.to_string()).bind(after).bind(page_rows(page));
    let read = |row: &SqliteRow| Ok((col::<i64>(row, 0)?.to_string(), json(row, 1)?));
    Ok(paged(tx.each(query, read).await?, page))
}

pub(super) async fn forget_jobs(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    let old = "SELECT id FROM jobs WHERE created_at < $1 AND status NOT IN ('queued', 'running')";
    let sql = format!("DELETE FROM findings WHERE job_id IN ({old})");
    // Both texts are constants.
    tx.run(query(sqlx::AssertSqlSafe(sql)).bind(before.0)).await?;
    tx.run(query("DELETE FROM jobs WHERE created_at < $1 AND status NOT IN ('queued', 'running')").bind(before.0)).await
}
