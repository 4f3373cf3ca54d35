//! Secrets of the node and its trackers, and what is known of trackers.

use sqlx::query;

use super::{
    columns::{col, from_json, to_json},
    tx::{Got, SqliteTx},
};
use crate::{
    secret::{Place, Secret},
    store::rows::TrackerState,
};

fn at(name: &str) -> Place<'_> {
    Place { table: "secrets", row: name, column: "value" }
}

pub(super) async fn secret(tx: &mut SqliteTx<'_>, name: &str) -> Got<Option<Secret>> {
    let sealed = tx.one(query("SELECT value FROM secrets WHERE name = $1").bind(name), |row| col::<Vec<u8>>(row, 0)).await?;
    sealed.map(|sealed| tx.unseal(at(name), &sealed)).transpose()
}

pub(super) async fn put_secret(tx: &mut SqliteTx<'_>, name: &str, value: &Secret) -> Got<()> {
    let sealed = tx.seal(at(name), value);
    let sql = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.run(query(sql).bind(name).bind(sealed)).await.map(drop)
}

pub(super) async fn delete_secret(tx: &mut SqliteTx<'_>, name: &str) -> Got<()> {
    tx.run(query("DELETE FROM secrets WHERE name = $1").bind(name)).await.map(drop)
}

pub(super) async fn forget_sealed(tx: &mut SqliteTx<'_>) -> Got<()> {
    tx.run(query("DELETE FROM secrets")).await?;
    tx.run(query("DELETE FROM invitations")).await.map(drop)
}

pub(super) async fn tracker_state(tx: &mut SqliteTx<'_>, tracker: &str) -> Got<TrackerState> {
    let state = tx.one(query("SELECT state FROM trackers WHERE tracker = $1").bind(tracker), |row| from_json(col(row, 0)?));
    Ok(state.await?.unwrap_or_default())
}

pub(super) async fn put_tracker_state(tx: &mut SqliteTx<'_>, tracker: &str, state: &TrackerState) -> Got<()> {
    let sql = "INSERT INTO trackers (tracker, state) VALUES ($1, $2)
        ON CONFLICT (tracker) DO UPDATE SET state = excluded.state";
    tx.run(query(sql).bind(tracker).bind(to_json(state)?)).await.map(drop)
}
