//! Invitations and triggers.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, json, parsed, time, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, InvitationId, TriggerId},
        invitation::{Invitation, State},
        trigger::Trigger,
    },
    secret::Place,
};

/// An invitation as its row has it.
struct Sealed {
    id: InvitationId,
    connection_id: ConnectionId,
    secret: Vec<u8>,
    code: Vec<u8>,
    created_at: Time,
    expires_at: Time,
    rekey: bool,
    state: State,
}

fn read_sealed(row: &SqliteRow) -> Got<Sealed> {
    Ok(Sealed {
        id: parsed(row, 0)?,
        connection_id: parsed(row, 1)?,
        secret: col(row, 2)?,
        code: col(row, 3)?,
        created_at: time(row, 4)?,
        expires_at: time(row, 5)?,
        rekey: col(row, 6)?,
        state: json(row, 7)?,
    })
}

fn at<'a>(row: &'a str, column: &'a str) -> Place<'a> {
    Place { table: "invitations", row, column }
}

fn open(tx: &SqliteTx<'_>, sealed: Sealed) -> Got<Invitation> {
    let row = sealed.id.to_string();
    Ok(Invitation {
        id: sealed.id,
        connection_id: sealed.connection_id,
        secret: tx.unseal(at(&row, "secret"), &sealed.secret)?,
        code: tx.unseal(at(&row, "code"), &sealed.code)?,
        created_at: sealed.created_at,
        expires_at: sealed.expires_at,
        rekey: sealed.rekey,
        state: sealed.state,
    })
}

pub(super) async fn invitation(tx: &mut SqliteTx<'_>, id: InvitationId) -> Got<Option<Invitation>> {
    let sql = "SELECT id, connection_id, secret, code, created_at, expires_at, rekey, state FROM invitations WHERE id = $1";
    let sealed = tx.one(query(sql).bind(id.to_string()), read_sealed).await?;
    sealed.map(|sealed| open(tx, sealed)).transpose()
}

pub(super) async fn newest_invitation(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<Option<Invitation>> {
    let sql = "SELECT id, connection_id, secret, code, created_at, expires_at, rekey, state FROM invitations
        WHERE connection_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1";
    let sealed = tx.one(query(sql).bind(connection.to_string()), read_sealed).await?;
    sealed.map(|sealed| open(tx, sealed)).transpose()
}

pub(super) async fn put_invitation(tx: &mut SqliteTx<'_>, invitation: &Invitation) -> Got<()> {
    let row = invitation.id.to_string();
    let sql = "INSERT INTO invitations (id, connection_id, secret, code, created_at, expires_at, rekey, state)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (id) DO UPDATE SET connection_id = excluded.connection_id, secret = excluded.secret,
            code = excluded.code, created_at = excluded.created_at, expires_at = excluded.expires_at,
            rekey = excluded.rekey, state = excluded.state";
    let query = query(sql)
        .bind(&row)
        .bind(invitation.connection_id.to_string())
        .bind(tx.seal(at(&row, "secret"), &invitation.secret))
        .bind(tx.seal(at(&row, "code"), &invitation.code))
        .bind(invitation.created_at.0)
        .bind(invitation.expires_at.0)
        .bind(invitation.rekey)
        .bind(to_json(&invitation.state)?);
    tx.run(query).await.map(drop)
}

fn read_trigger(row: &SqliteRow) -> Got<Trigger> {
    Ok(Trigger {
        id: parsed(row, 0)?,
        connection_id: parsed(row, 1)?,
        entity_type: col(row, 2)?,
        filter: col(row, 3)?,
        enabled: col(row, 4)?,
        notes: col(row, 5)?,
        created_at: time(row, 6)?,
    })
}

pub(super) async fn triggers(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<Vec<Trigger>> {
    let sql = "SELECT id, connection_id, entity_type, filter, enabled, notes, created_at FROM triggers
        WHERE connection_id = $1 ORDER BY created_at, id";
    tx.each(query(sql).bind(connection.to_string()), read_trigger).await
}

pub(super) async fn triggers_of_tracker(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<Vec<Trigger>> {
    let sql = "SELECT id, connection_id, entity_type, filter, enabled, notes, created_at FROM triggers
        WHERE enabled AND connection_id IN (SELECT id FROM connections WHERE tracker = $1) ORDER BY created_at, id";
    tx.each(query(sql).bind(tracker), read_trigger).await
}

pub(super) async fn put_trigger(tx: &mut SqliteTx<'_>, trigger: &Trigger) -> Got<()> {
    let sql = "INSERT INTO triggers (connection_id, id, entity_type, filter, enabled, notes, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (connection_id, id) DO UPDATE SET entity_type = excluded.entity_type, filter = excluded.filter,
            enabled = excluded.enabled, notes = excluded.notes, created_at = excluded.created_at";
    let query = query(sql)
        .bind(trigger.connection_id.to_string())
        .bind(trigger.id.to_string())
        .bind(&trigger.entity_type)
        .bind(&trigger.filter)
        .bind(trigger.enabled)
        .bind(&trigger.notes)
        .bind(trigger.created_at.0);
    tx.run(query).await.map(drop)
}

pub(super) async fn delete_trigger(tx: &mut SqliteTx<'_>, connection: ConnectionId, id: TriggerId) -> Got<bool> {
    let sql = "DELETE FROM triggers WHERE connection_id = $1 AND id = $2";
    Ok(tx.run(query(sql).bind(connection.to_string()).bind(id.to_string())).await? > 0)
}
