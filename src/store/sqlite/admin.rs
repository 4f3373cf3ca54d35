//! Tokens, saved answers, and the audit log.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, from_json, json, page_rows, paged, parsed, parsed_opt, time, time_opt, to_json},
    history::row_place,
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{ids::TokenId, token::Token},
    store::{
        StoreError,
        rows::{AuditLine, Page, Paged, SavedAnswer},
    },
};

pub(super) fn bytes32(row: &SqliteRow, index: usize) -> Got<[u8; 32]> {
    col::<&[u8]>(row, index)?.try_into().map_err(|_| StoreError::Broken("a hash has not 32 bytes".to_owned()))
}

fn read_token(row: &SqliteRow) -> Got<Token> {
    Ok(Token {
        id: parsed(row, 0)?,
        name: col(row, 1)?,
        scopes: json(row, 2)?,
        connections: col::<Option<&str>>(row, 3)?.map(from_json).transpose()?,
        expires_at: time_opt(row, 4)?,
        created_at: time(row, 5)?,
        hash: bytes32(row, 6)?,
    })
}

pub(super) async fn token_by_hash(tx: &mut SqliteTx<'_>, hash: &[u8; 32]) -> Got<Option<Token>> {
    let sql = "SELECT id, name, scopes, connections, expires_at, created_at, hash FROM tokens WHERE hash = $1";
    tx.one(query(sql).bind(hash.as_slice()), read_token).await
}

pub(super) async fn tokens(tx: &mut SqliteTx<'_>) -> Got<Vec<Token>> {
    let sql = "SELECT id, name, scopes, connections, expires_at, created_at, hash FROM tokens ORDER BY created_at, id";
    tx.each(query(sql), read_token).await
}

pub(super) async fn insert_token(tx: &mut SqliteTx<'_>, token: &Token) -> Got<()> {
    let sql = "INSERT INTO tokens (id, name, scopes, connections, expires_at, created_at, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let query = query(sql)
        .bind(token.id.to_string())
        .bind(&token.name)
        .bind(to_json(&token.scopes)?)
        .bind(token.connections.as_ref().map(to_json).transpose()?)
        .bind(token.expires_at.map(|at| at.0))
        .bind(token.created_at.0)
        .bind(token.hash.as_slice());
    tx.run(query).await.map(drop)
}

pub(super) async fn delete_token(tx: &mut SqliteTx<'_>, id: TokenId) -> Got<bool> {
    Ok(tx.run(query("DELETE FROM tokens WHERE id = $1").bind(id.to_string())).await? > 0)
}

pub(super) async fn saved_answer(tx: &mut SqliteTx<'_>, caller: &str, key: &str) -> Got<Option<SavedAnswer>> {
    let sql = "SELECT request, status, body, at FROM answers WHERE caller = $1 AND key = $2";
    let read = |row: &SqliteRow| {
        Ok(SavedAnswer { request: bytes32(row, 0)?, status: col(row, 1)?, body: col(row, 2)?, at: time(row, 3)? })
    };
    tx.one(query(sql).bind(caller).bind(key), read).await
}

pub(super) async fn save_answer(tx: &mut SqliteTx<'_>, caller: &str, key: &str, answer: &SavedAnswer) -> Got<()> {
    let sql = "INSERT INTO answers (caller, key, request, status, body, at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (caller, key) DO UPDATE SET request = excluded.request, status = excluded.status,
            body = excluded.body, at = excluded.at";
    let query = query(sql)
        .bind(caller)
        .bind(key)
        .bind(answer.request.as_slice())
        .bind(answer.status)
        .bind(&answer.body)
        .bind(answer.at.0);
    tx.run(query).await.map(drop)
}

pub(super) async fn forget_answer(tx: &mut SqliteTx<'_>, caller: &str, key: &str) -> Got<()> {
    tx.run(query("DELETE FROM answers WHERE caller = $1 AND key = $2").bind(caller).bind(key)).await.map(drop)
}

pub(super) async fn forget_answers(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    tx.run(query("DELETE FROM answers WHERE at < $1").bind(before.0)).await
}

pub(super) async fn add_audit(tx: &mut SqliteTx<'_>, line: &AuditLine) -> Got<()> {
    let sql = "INSERT INTO audit (at, token_id, user_id, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let query = query(sql)
        .bind(line.at.0)
        .bind(line.token_id.map(|id| id.to_string()))
        .bind(line.user_id.map(|id| id.to_string()))
        .bind(&line.by)
        .bind(&line.action)
        .bind(&line.subject)
        .bind(&line.detail);
    tx.run(query).await.map(drop)
}

pub(super) async fn list_audit(tx: &mut SqliteTx<'_>, page: &Page) -> Got<Paged<AuditLine>> {
    let (at, row) = row_place(page)?;
    let sql = "SELECT id, at, token_id, user_id, actor, action, subject, detail FROM audit WHERE (at, id) < ($1, $2)
        ORDER BY at DESC, id DESC LIMIT $3";
    let read = |row: &SqliteRow| {
        let line = AuditLine {
            at: time(row, 1)?,
            token_id: parsed_opt(row, 2)?,
            user_id: parsed_opt(row, 3)?,
            by: col(row, 4)?,
            action: col(row, 5)?,
            subject: col(row, 6)?,
            detail: col(row, 7)?,
        };
        Ok((format!("{}.{}", line.at.0, col::<i64>(row, 0)?), line))
    };
    Ok(paged(tx.each(query(sql).bind(at).bind(row).bind(page_rows(page)), read).await?, page))
}
