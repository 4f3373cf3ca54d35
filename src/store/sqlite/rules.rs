//! Rules that people wrote: versions and drafts.

use sqlx::{query, sqlite::SqliteRow};

use super::{
    columns::{col, time},
    tx::{Got, SqliteTx},
};
use crate::{
    domain::{
        ids::ConnectionId,
        rule::RulePair,
        version::{Imprint, RuleDraft, RuleVersion},
    },
    store::StoreError,
};

pub(super) async fn rules(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Option<RulePair>> {
    let sql = "SELECT outgoing, incoming, version FROM rule_versions WHERE connection_id = $1 ORDER BY version DESC LIMIT 1";
    let read = |row: &SqliteRow| Ok(RulePair { outgoing: col(row, 0)?, incoming: col(row, 1)?, version: col(row, 2)? });
    tx.one(query(sql).bind(id.to_string()), read).await
}

pub(super) async fn newest_rule_version(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Option<RuleVersion>> {
    let sql = "SELECT version, at, actor, note, outgoing, incoming FROM rule_versions WHERE connection_id = $1
        ORDER BY version DESC LIMIT 1";
    tx.one(query(sql).bind(id.to_string()), whole).await
}

pub(super) async fn rule_version(tx: &mut SqliteTx<'_>, id: ConnectionId, version: u32) -> Got<Option<RuleVersion>> {
    let sql = "SELECT version, at, actor, note, outgoing, incoming FROM rule_versions
        WHERE connection_id = $1 AND version = $2";
    tx.one(query(sql).bind(id.to_string()).bind(version), whole).await
}

pub(super) async fn rule_versions(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Vec<Imprint>> {
    let sql = "SELECT version, at, actor, note FROM rule_versions WHERE connection_id = $1 ORDER BY version DESC";
    tx.each(query(sql).bind(id.to_string()), imprint).await
}

fn imprint(row: &SqliteRow) -> Got<Imprint> {
    Ok(Imprint { version: col(row, 0)?, at: time(row, 1)?, by: col(row, 2)?, note: col(row, 3)? })
}

fn whole(row: &SqliteRow) -> Got<RuleVersion> {
    Ok(RuleVersion { imprint: imprint(row)?, outgoing: col(row, 4)?, incoming: col(row, 5)? })
}

pub(super) async fn insert_rule_version(tx: &mut SqliteTx<'_>, id: ConnectionId, given: &RuleVersion) -> Got<()> {
    let sql = "INSERT INTO rule_versions (connection_id, version, outgoing, incoming, at, actor, note)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let Imprint { version, at, by, note } = &given.imprint;
    let query =
        query(sql).bind(id.to_string()).bind(version).bind(&given.outgoing).bind(&given.incoming).bind(at.0).bind(by).bind(note);
    tx.run(query).await.map(drop).map_err(|error| match error {
        StoreError::Taken(_) => StoreError::Taken(format!("version {version} of the rules")),
        error => error,
    })
}

pub(super) async fn rule_draft(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<Option<RuleDraft>> {
    let sql = "SELECT outgoing, incoming, base, at, actor FROM rule_drafts WHERE connection_id = $1";
    let read = |row: &SqliteRow| {
        Ok(RuleDraft { outgoing: col(row, 0)?, incoming: col(row, 1)?, base: col(row, 2)?, at: time(row, 3)?, by: col(row, 4)? })
    };
    tx.one(query(sql).bind(id.to_string()), read).await
}

pub(super) async fn put_rule_draft(tx: &mut SqliteTx<'_>, id: ConnectionId, draft: &RuleDraft) -> Got<()> {
    let sql = "INSERT INTO rule_drafts (connection_id, outgoing, incoming, base, at, actor) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (connection_id) DO UPDATE SET outgoing = excluded.outgoing, incoming = excluded.incoming,
            base = excluded.base, at = excluded.at, actor = excluded.actor";
    let query = query(sql)
        .bind(id.to_string())
        .bind(&draft.outgoing)
        .bind(&draft.incoming)
        .bind(draft.base)
        .bind(draft.at.0)
        .bind(&draft.by);
    tx.run(query).await.map(drop)
}

pub(super) async fn delete_rule_draft(tx: &mut SqliteTx<'_>, id: ConnectionId) -> Got<()> {
    tx.run(query("DELETE FROM rule_drafts WHERE connection_id = $1").bind(id.to_string())).await.map(drop)
}
