//! Accounts of people, and their sessions.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    admin::bytes32,
    columns::{col, parsed, time, time_opt, word},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        ids::UserId,
        token::Scope,
        user::{Session, SessionId, User, name_key},
    },
    secret::Secret,
    store::StoreError,
};

fn role(row: &SqliteRow, index: usize) -> Got<Scope> {
    let text: &str = col(row, index)?;
    serde_json::from_value(text.into()).map_err(|_| StoreError::Broken(format!("`{text}` is no role")))
}

fn read_user(row: &SqliteRow, from: usize) -> Got<User> {
    Ok(User {
        id: parsed(row, from)?,
        name: col(row, from + 1)?,
        role: role(row, from + 2)?,
        created_at: time(row, from + 3)?,
        last_sign_in_at: time_opt(row, from + 4)?,
    })
}

fn read_session(row: &SqliteRow) -> Got<Session> {
    Ok(Session {
        id: SessionId(bytes32(row, 0)?),
        user: parsed(row, 1)?,
        made_at: time(row, 2)?,
        seen_at: time(row, 3)?,
        address: col(row, 4)?,
        browser: col(row, 5)?,
    })
}

fn with_password(row: &SqliteRow) -> Got<(User, Secret)> {
    Ok((read_user(row, 0)?, Secret::new(col::<String>(row, 5)?)))
}

pub(super) async fn any_user(tx: &mut SqliteTx<'_>) -> Got<bool> {
    Ok(tx.one(query("SELECT 1 FROM users LIMIT 1"), |_| Ok(())).await?.is_some())
}

pub(super) async fn users(tx: &mut SqliteTx<'_>) -> Got<Vec<User>> {
    let sql = "SELECT id, name, role, created_at, last_sign_in_at FROM users ORDER BY name_key";
    tx.each(query(sql), |row| read_user(row, 0)).await
}

pub(super) async fn user(tx: &mut SqliteTx<'_>, id: UserId) -> Got<Option<(User, Secret)>> {
    let sql = "SELECT id, name, role, created_at, last_sign_in_at, password FROM users WHERE id = $1";
    tx.one(query(sql).bind(id.to_string()), with_password).await
}

pub(super) async fn user_by_name(tx: &mut SqliteTx<'_>, name: &str) -> Got<Option<(User, Secret)>> {
    let sql = "SELECT id, name, role, created_at, last_sign_in_at, password FROM users WHERE name_key = $1";
    tx.one(query(sql).bind(name_key(name)), with_password).await
}

pub(super) async fn insert_user(tx: &mut SqliteTx<'_>, user: &User, password: &Secret) -> Got<()> {
    let sql = "INSERT INTO users (id, name, name_key, role, password, created_at, last_sign_in_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let query = query(sql)
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(name_key(&user.name))
        .bind(word(&user.role)?)
        .bind(password.expose())
        .bind(user.created_at.0)
        .bind(user.last_sign_in_at.map(|at| at.0));
    tx.run(query).await.map(drop)
}

pub(super) async fn update_user(tx: &mut SqliteTx<'_>, user: &User) -> Got<()> {
    let sql = "UPDATE users SET name = $2, name_key = $3, role = $4, last_sign_in_at = $5 WHERE id = $1";
    let query = query(sql)
        .bind(user.id.to_string())
        .bind(&user.name)
        .bind(name_key(&user.name))
        .bind(word(&user.role)?)
        .bind(user.last_sign_in_at.map(|at| at.0));
    tx.run(query).await.map(drop)
}

pub(super) async fn put_password(tx: &mut SqliteTx<'_>, id: UserId, password: &Secret) -> Got<()> {
    let sql = "UPDATE users SET password = $2 WHERE id = $1";
    tx.run(query(sql).bind(id.to_string()).bind(password.expose())).await.map(drop)
}

pub(super) async fn delete_user(tx: &mut SqliteTx<'_>, id: UserId) -> Got<bool> {
    end_sessions(tx, id, None).await?;
    Ok(tx.run(query("DELETE FROM users WHERE id = $1").bind(id.to_string())).await? > 0)
}

pub(super) async fn insert_session(tx: &mut SqliteTx<'_>, session: &Session, most: u32) -> Got<()> {
    let user = session.user.to_string();
    let older = "DELETE FROM sessions WHERE rowid IN
        (SELECT rowid FROM sessions WHERE user_id = $1 ORDER BY made_at DESC LIMIT -1 OFFSET $2 + 0)";
    tx.run(query(older).bind(&user).bind(i64::from(most.saturating_sub(1)))).await?;
    let sql = "INSERT INTO sessions (id, user_id, made_at, seen_at, address, browser) VALUES ($1, $2, $3, $4, $5, $6)";
    let query = query(sql)
        .bind(session.id.0.as_slice())
        .bind(user)
        .bind(session.made_at.0)
        .bind(session.seen_at.0)
        .bind(&session.address)
        .bind(&session.browser);
    tx.run(query).await.map(drop)
}

pub(super) async fn session(tx: &mut SqliteTx<'_>, id: SessionId) -> Got<Option<(Session, User)>> {
    let sql = "SELECT sessions.id, user_id, made_at, seen_at, address, browser,
            users.id, name, role, created_at, last_sign_in_at
        FROM sessions CROSS JOIN users ON users.id = sessions.user_id WHERE sessions.id = $1";
    let read = |row: &SqliteRow| Ok((read_session(row)?, read_user(row, 6)?));
    tx.one(query(sql).bind(id.0.as_slice()), read).await
}

pub(super) async fn sessions(tx: &mut SqliteTx<'_>, user: UserId) -> Got<Vec<Session>> {
    let sql = "SELECT id, user_id, made_at, seen_at, address, browser FROM sessions WHERE user_id = $1 ORDER BY made_at DESC";
    tx.each(query(sql).bind(user.to_string()), read_session).await
}

pub(super) async fn see_session(tx: &mut SqliteTx<'_>, id: SessionId, at: Time) -> Got<()> {
    let sql = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2";
    tx.run(query(sql).bind(id.0.as_slice()).bind(at.0)).await.map(drop)
}

pub(super) async fn end_session(tx: &mut SqliteTx<'_>, user: UserId, id: SessionId) -> Got<bool> {
    let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2";
    Ok(tx.run(query(sql).bind(id.0.as_slice()).bind(user.to_string())).await? > 0)
}

pub(super) async fn end_sessions(tx: &mut SqliteTx<'_>, user: UserId, but: Option<SessionId>) -> Got<u64> {
    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id IS NOT $2";
    tx.run(query(sql).bind(user.to_string()).bind(but.map(|id| id.0.to_vec()))).await
}

pub(super) async fn forget_sessions(tx: &mut SqliteTx<'_>, seen_before: Time, made_before: Time) -> Got<u64> {
    let sql = "DELETE FROM sessions WHERE seen_at <= $1 OR made_at <= $2";
    tx.run(query(sql).bind(seen_before.0).bind(made_before.0)).await
}
