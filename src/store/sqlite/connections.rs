//! Connections, where their links stand, and what waits on them.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, count, json, parsed_opt, signed, time_opt, to_json, word},
    tx::{Got, SqliteTx},
};
use crate::{
    domain::{connection::Connection, ids::ConnectionId},
    store::{
        Notice, StoreError, Topic, Tx,
        rows::{LinkState, Standing, Waiting},
    },
};

pub(super) async fn connection(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Option<Connection>> {
    tx.one(query("SELECT body FROM connections WHERE id = $1").bind(id.to_string()), |row| json(row, 0)).await
}

pub(super) async fn connections(tx: &mut SqliteTx<'_>) -> Got<Vec<Connection>> {
    tx.each(query("SELECT body FROM connections ORDER BY name"), |row| json(row, 0)).await
}

pub(super) async fn insert_connection(tx: &mut SqliteTx<'_>, connection: &Connection) -> Got<()> {
    write(tx, connection, "INSERT INTO connections (id, name, tracker, status, body) VALUES ($1, $2, $3, $4, $5)").await?;
    tx.wake(Topic::Connections);
    Ok(())
}

pub(super) async fn update_connection(tx: &mut SqliteTx<'_>, connection: &Connection) -> Got<()> {
    write(tx, connection, "UPDATE connections SET name = $2, tracker = $3, status = $4, body = $5 WHERE id = $1").await
}

async fn write(tx: &mut SqliteTx<'_>, connection: &Connection, sql: &'static str) -> Got<()> {
    let query = query(sql)
        .bind(connection.id.to_string())
        .bind(&connection.name)
        .bind(&connection.tracker)
        .bind(word(&connection.status)?)
        .bind(to_json(connection)?);
    tx.run(query).await.map_err(|error| match error {
        StoreError::Taken(_) => StoreError::Taken(format!("a connection named `{}`", connection.name)),
        error => error,
    })?;
    tx.tell(Notice::Connection(connection.id));
    Ok(())
}

/// Everything that belongs to a connection, but its history.
const BELONGINGS: &[&str] = &[
    "DELETE FROM links WHERE connection_id = $1",
    "DELETE FROM rule_versions WHERE connection_id = $1",
    "DELETE FROM rule_drafts WHERE connection_id = $1",
    "DELETE FROM invitations WHERE connection_id = $1",
    "DELETE FROM triggers WHERE connection_id = $1",
    "DELETE FROM changes WHERE connection_id = $1",
    "DELETE FROM twins WHERE connection_id = $1",
    "DELETE FROM figures WHERE connection_id = $1",
    "DELETE FROM outbox WHERE connection_id = $1",
    "DELETE FROM inbox WHERE connection_id = $1",
    "DELETE FROM resting WHERE connection_id = $1",
    "DELETE FROM pauses WHERE connection_id = $1",
    "DELETE FROM errors WHERE connection_id = $1",
    "DELETE FROM findings WHERE job_id IN (SELECT id FROM jobs WHERE connection_id = $1)",
    "DELETE FROM jobs WHERE connection_id = $1",
    "DELETE FROM journal WHERE connection_id = $1",
    "DELETE FROM lookups WHERE connection_id = $1",
    "DELETE FROM connections WHERE id = $1",
];

pub(super) async fn delete_connection(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<()> {
    for &sql in BELONGINGS {
        tx.run(query(sql).bind(id.to_string())).await?;
    }
    tx.wake(Topic::Connections);
    tx.tell(Notice::Connection(id));
    Ok(())
}

macro_rules! link_columns {
    () => {
        "epoch, out_n, out_id, acked, in_n, in_id, epoch_since, resyncing, set_back_here, last_own_epoch, epoch_waits,
        resync_due, clock_offset_ms"
    };
}

/// Numbered events wait until acknowledged; only those of the present epoch are kept.
macro_rules! waiting_columns {
    () => {
        "(SELECT COUNT(*) FROM outbox WHERE connection_id = $1 AND n IS NULL)
            + (SELECT COUNT(*) FROM outbox WHERE connection_id = $1 AND n IS NOT NULL AND acked_at IS NULL
                AND epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0)
                AND n > COALESCE((SELECT acked FROM links WHERE connection_id = $1), 0)),
        events, bytes,
        (SELECT COUNT(*) FROM twins WHERE connection_id = $1 AND status = 'parked')"
    };
}

macro_rules! inbox_sums {
    () => {
        "(SELECT COUNT(*) AS events, COALESCE(SUM(bytes), 0) AS bytes FROM inbox WHERE connection_id = $1)"
    };
}

pub(super) async fn link_state(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<LinkState> {
    let sql = concat!("SELECT ", link_columns!(), " FROM links WHERE connection_id = $1");
    Ok(tx.one(query(sql).bind(id.to_string()), read_link).await?.unwrap_or_default())
}

/// Joined to its connection: column 13 tells whether there is a row.
fn read_link_if_any(row: &SqliteRow) -> Got<LinkState> {
    if col(row, 13)? { read_link(row) } else { Ok(LinkState::default()) }
}

fn read_link(row: &SqliteRow) -> Got<LinkState> {
    Ok(LinkState {
        epoch: count(row, 0)?,
        out_n: count(row, 1)?,
        out_id: parsed_opt(row, 2)?,
        acked: count(row, 3)?,
        in_n: count(row, 4)?,
        in_id: parsed_opt(row, 5)?,
        epoch_since: time_opt(row, 6)?,
        resyncing: col(row, 7)?,
        set_back_here: col(row, 8)?,
        last_own_epoch: time_opt(row, 9)?,
        epoch_waits: col(row, 10)?,
        resync_due: col(row, 11)?,
        clock_offset_ms: col(row, 12)?,
    })
}

pub(super) async fn put_link_state(tx: &mut SqliteTx<'_>, id: ConnectionId, state: &LinkState) -> Got<()> {
    let sql = "INSERT INTO links (connection_id, epoch, out_n, out_id, acked, in_n, in_id, epoch_since, resyncing,
            set_back_here, last_own_epoch, epoch_waits, resync_due, clock_offset_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (connection_id) DO UPDATE SET epoch = excluded.epoch, out_n = excluded.out_n,
            out_id = excluded.out_id, acked = excluded.acked, in_n = excluded.in_n, in_id = excluded.in_id,
            epoch_since = excluded.epoch_since, resyncing = excluded.resyncing, set_back_here = excluded.set_back_here,
            last_own_epoch = excluded.last_own_epoch, epoch_waits = excluded.epoch_waits,
            resync_due = excluded.resync_due, clock_offset_ms = excluded.clock_offset_ms";
    let query = query(sql)
        .bind(id.to_string())
        .bind(signed(state.epoch))
        .bind(signed(state.out_n))
        .bind(state.out_id.map(|id| id.to_string()))
        .bind(signed(state.acked))
        .bind(signed(state.in_n))
        .bind(state.in_id.map(|id| id.to_string()))
        .bind(state.epoch_since.map(|at| at.0))
        .bind(state.resyncing)
        .bind(state.set_back_here)
        .bind(state.last_own_epoch.map(|at| at.0))
        .bind(state.epoch_waits)
        .bind(state.resync_due)
        .bind(state.clock_offset_ms);
    tx.run(query).await.map(drop)
}

pub(super) async fn waiting(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Waiting> {
    let sql = concat!("SELECT ", waiting_columns!(), " FROM ", inbox_sums!());
    Ok(tx.one(query(sql).bind(id.to_string()), |row| read_waiting(row, 0)).await?.unwrap_or_default())
}

fn read_waiting(row: &SqliteRow, first: usize) -> Got<Waiting> {
    Ok(Waiting {
        outbox: count(row, first)?,
        inbox: count(row, first + 1)?,
        inbox_bytes: count(row, first + 2)?,
        parked: count(row, first + 3)?,
    })
}

pub(super) async fn connections_of(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<Vec<(Connection, LinkState)>> {
    let sql = concat!(
        "SELECT ",
        link_columns!(),
        ", connection_id IS NOT NULL, body FROM connections LEFT JOIN links ON connection_id = id WHERE tracker = $1 ORDER BY name"
    );
    let read = |row: &SqliteRow| {
        let link = read_link_if_any(row)?;
        Ok((json(row, 14)?, link))
    };
    tx.each(query(sql).bind(tracker), read).await
}

pub(super) async fn standing(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Option<Standing>> {
    let sql = concat!(
        "SELECT ",
        link_columns!(),
        ", connection_id IS NOT NULL, ",
        waiting_columns!(),
        ", body FROM connections LEFT JOIN links ON connection_id = id, ",
        inbox_sums!(),
        " WHERE id = $1"
    );
    let read = |row: &SqliteRow| {
        let link = read_link_if_any(row)?;
        Ok(Standing { connection: json(row, 18)?, link, waiting: read_waiting(row, 14)? })
    };
    tx.one(query(sql).bind(id.to_string()), read).await
}
