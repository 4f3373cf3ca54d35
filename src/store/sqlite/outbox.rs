//! What leaves for the other side: drafts that merge, then numbered events whose bytes never change.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;
use sqlx::{AssertSqlSafe, query, sqlite::SqliteRow};

use super::{
    columns::{col, count, from_json, json, parsed, parsed_opt, parts, places, signed, time, to_json},
    tx::{Got, Query, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        event::{Body, Event, ResultBody, Sync},
        ids::{ConnectionId, EventId, TwinId},
    },
    store::{
        Taker, Topic, Tx,
        rows::{Draft, Numbered, Unseen},
        tx::numbered,
    },
};

/// Acknowledged events are kept no longer than this, applied or not.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

fn twin_text(twin: Option<TwinId>) -> String {
    twin.map(|twin| twin.to_string()).unwrap_or_default()
}

/// One hop to the connection's thread for many drafts. Of one twin only one: they may speak of each other.
pub(super) async fn put_drafts(tx: &mut SqliteTx<'_>, drafts: &[Draft]) -> Got<()> {
    let mut twins = HashSet::new();
    if !drafts.iter().all(|draft| twins.insert((draft.connection_id, draft.twin))) {
        for draft in drafts {
            put_apart(tx, std::slice::from_ref(draft)).await?;
        }
    } else {
        put_apart(tx, drafts).await?;
    }
    let connections: HashSet<ConnectionId> = drafts.iter().map(|draft| draft.connection_id).collect();
    for connection in connections {
        if let Some(Taker { events, bytes }) = tx.shared.wakes.taker(connection) {
            // Times are on the inviting side's clock already.
            number_drafts(tx, connection, events, bytes, 0).await?;
        }
    }
    Ok(())
}

/// The same for drafts of different twins.
async fn put_apart(tx: &mut SqliteTx<'_>, drafts: &[Draft]) -> Got<()> {
    // A twin that goes on: an end that has not left yet would overtake a sync that waits since before it.
    let syncs = drafts.iter().filter(|draft| matches!(draft.body, Body::Sync(_)));
    let going_on: Vec<_> = syncs.filter_map(|draft| Some((draft.connection_id, draft.twin?))).collect();
    if !going_on.is_empty() {
        let sql = "DELETE FROM outbox WHERE kind IN ('stop', 'deleted') AND n IS NULL
            AND (connection_id, twin_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
        tx.run(query(sql).bind(to_json(&going_on)?)).await?;
    }
    for part in parts(drafts) {
        let sql = format!(
            "INSERT INTO outbox (connection_id, twin_id, kind, event_id, seen, at, correlation, json) VALUES {}
            ON CONFLICT (connection_id, twin_id, kind) WHERE n IS NULL DO NOTHING RETURNING event_id",
            places(part.len(), 8)
        );
        // The text is made of places and what stands above; values are bound.
        let mut query = query(AssertSqlSafe(sql));
        for draft in part {
            query = bind_draft(query, draft)?;
        }
        let new: HashSet<EventId> = tx.each(query, |row| parsed(row, 0)).await?.into_iter().collect();
        for draft in part {
            tx.wake(Topic::Outbox(draft.connection_id));
            if !new.contains(&draft.id) {
                merge_into(tx, draft).await?;
            }
        }
    }
    Ok(())
}

async fn merge_into(tx: &mut SqliteTx<'_>, draft: &Draft) -> Got<()> {
    let Some(before) = self::draft_of(tx, draft).await? else { return Ok(()) };
    let merged = merge(before, draft.clone());
    let sql = "UPDATE outbox SET event_id = $4, seen = $5, at = $6, correlation = $7, json = $8
        WHERE connection_id = $1 AND twin_id = $2 AND kind = $3 AND n IS NULL";
    tx.run(bind_draft(query(sql), &merged)?).await.map(drop)
}

fn bind_draft(query: Query<'static>, draft: &Draft) -> Got<Query<'static>> {
    Ok(query
        .bind(draft.connection_id.to_string())
        .bind(twin_text(draft.twin))
        .bind(draft.body.kind())
        .bind(draft.id.to_string())
        .bind(signed(draft.seen))
        .bind(draft.at.0)
        .bind(draft.correlation.map(|id| id.to_string()))
        .bind(to_json(&draft.body)?))
}

/// What one that waits and one that comes make together: the newer word under the older id.
fn merge(before: Draft, after: Draft) -> Draft {
    let body = match (before.body, after.body) {
        (Body::Sync(before), Body::Sync(after)) => Body::Sync(Box::new(merge_sync(*before, *after))),
        (Body::Result(before), Body::Result(after)) => Body::Result(merge_result(before, after)),
        (_, after) => after,
    };
    Draft {
        id: before.id,
        seen: before.seen.max(after.seen),
        correlation: after.correlation.or(before.correlation),
        body,
        ..after
    }
}

fn merge_sync(before: Sync, mut after: Sync) -> Sync {
    for (field, at) in before.changed {
        let first = after.changed.entry(field).or_insert(at);
        *first = at.min(*first);
    }
    for name in before.via {
        if !after.via.contains(&name) {
            after.via.push(name);
        }
    }
    // Said once, after a set-back: a later plain word must not lose it.
    after.applied = after.applied.or(before.applied);
    after.confirmed = after.confirmed.or(before.confirmed);
    after.remote = after.remote.or(before.remote);
    after
}

fn merge_result(before: ResultBody, mut after: ResultBody) -> ResultBody {
    after.up_to = after.up_to.max(before.up_to);
    let mut traces: Vec<Value> = before.traces.into_iter().filter(|trace| !after.traces.contains(trace)).collect();
    traces.append(&mut after.traces);
    after.traces = traces;
    after
}

fn read_draft(row: &SqliteRow) -> Got<(i64, Draft)> {
    let draft = Draft {
        connection_id: parsed(row, 1)?,
        id: parsed(row, 2)?,
        twin: parsed_opt(row, 3)?,
        seen: count(row, 4)?,
        at: time(row, 5)?,
        correlation: parsed_opt(row, 6)?,
        body: json(row, 7)?,
    };
    Ok((col(row, 0)?, draft))
}

async fn draft_of(tx: &mut SqliteTx<'_>, like: &Draft) -> Got<Option<Draft>> {
    find(tx, like.connection_id, twin_text(like.twin), like.body.kind()).await
}

async fn find(tx: &mut SqliteTx<'_>, connection: ConnectionId, twin: String, kind: &str) -> Got<Option<Draft>> {
    let sql = "SELECT id, connection_id, event_id, twin_id, seen, at, correlation, json FROM outbox
        WHERE connection_id = $1 AND twin_id = $2 AND kind = $3 AND n IS NULL";
    let found = tx.one(query(sql).bind(connection.to_string()).bind(twin).bind(kind), read_draft).await?;
    Ok(found.map(|(_, draft)| draft))
}

pub(super) async fn draft(tx: &mut SqliteTx<'_>, connection: ConnectionId, twin: TwinId, kind: &str) -> Got<Option<Draft>> {
    find(tx, connection, twin.to_string(), kind).await
}

pub(super) async fn number_drafts(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    max_events: u32,
    max_bytes: usize,
    clock_offset_ms: i64,
) -> Got<Vec<Numbered>> {
    let state = super::connections::link_state(tx, connection).await?;
    let sql = "SELECT id, connection_id, event_id, twin_id, seen, at, correlation, json FROM outbox
        WHERE connection_id = $1 AND n IS NULL ORDER BY id LIMIT $2 + 0";
    let mut n = state.out_n;
    // Bodies alone first: what surely does not fit is not even read.
    let mut room = Room::new(max_bytes);
    let query_drafts = query(sql).bind(connection.to_string()).bind(i64::from(max_events));
    let read = |row: &SqliteRow| Ok((col::<&str>(row, 7)?.len(), read_draft(row)?));
    let drafts = tx.some(query_drafts, read, |(bytes, _)| room.takes(*bytes)).await?;
    let mut room = Room::new(max_bytes);
    let mut events = Vec::with_capacity(drafts.len());
    for (_, (_, draft)) in &drafts {
        let json = to_json(&numbered(draft, n + 1, clock_offset_ms))?;
        if !room.takes(json.len()) {
            break;
        }
        n += 1;
        events.push(Numbered { n, id: draft.id, twin: draft.twin, json });
    }
    let Some(last) = events.last() else { return Ok(events) };
    let rows: Vec<_> = drafts.iter().zip(&events).map(|((_, (row, _)), event)| (row, event.n, &event.json)).collect();
    let sql = "UPDATE outbox SET epoch = $2, n = given.n, json = given.json
        FROM (SELECT value ->> 0 AS id, value ->> 1 AS n, value ->> 2 AS json FROM json_each($1)) AS given
        WHERE outbox.id = given.id";
    tx.run(query(sql).bind(to_json(&rows)?).bind(signed(state.epoch))).await?;
    let sql = "INSERT INTO links (connection_id, out_n, out_id) VALUES ($1, $2, $3)
        ON CONFLICT (connection_id) DO UPDATE SET out_n = excluded.out_n, out_id = excluded.out_id";
    tx.run(query(sql).bind(connection.to_string()).bind(signed(last.n)).bind(last.id.to_string())).await?;
    Ok(events)
}

/// How many bytes still fit; the first always does.
struct Room {
    left: usize,
    first: bool,
}

impl Room {
    fn new(left: usize) -> Self {
        Self { left, first: true }
    }

    fn takes(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left || std::mem::replace(&mut self.first, false);
        self.first = false;
        self.left = self.left.saturating_sub(bytes);
        fits
    }
}

pub(super) async fn numbered_from(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    n: u64,
    max_events: u32,
    max_bytes: usize,
) -> Got<Vec<Numbered>> {
    let sql = "SELECT n, event_id, twin_id, json FROM outbox WHERE connection_id = $1
        AND epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0) AND n >= $2 ORDER BY n LIMIT $3 + 0";
    let read =
        |row: &SqliteRow| Ok(Numbered { n: count(row, 0)?, id: parsed(row, 1)?, twin: parsed_opt(row, 2)?, json: col(row, 3)? });
    let mut room = Room::new(max_bytes);
    let query = query(sql).bind(connection.to_string()).bind(signed(n)).bind(i64::from(max_events));
    tx.some(query, read, |event| room.takes(event.json.len())).await
}

pub(super) async fn numbered_id(tx: &mut SqliteTx<'_>, connection: ConnectionId, n: u64) -> Got<Option<EventId>> {
    let sql = "SELECT event_id FROM outbox WHERE connection_id = $1
        AND epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0) AND n = $2";
    tx.one(query(sql).bind(connection.to_string()).bind(signed(n)), |row| parsed(row, 0)).await
}

pub(super) async fn empty_numbered(tx: &mut SqliteTx<'_>, connection: ConnectionId, n: u64, json: &str) -> Got<()> {
    let sql = "UPDATE outbox SET json = $3 WHERE connection_id = $1
        AND epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0) AND n = $2";
    tx.run(query(sql).bind(connection.to_string()).bind(signed(n)).bind(json)).await.map(drop)
}

pub(super) async fn acknowledge(tx: &mut SqliteTx<'_>, connection: ConnectionId, n: u64, at: Time) -> Got<()> {
    let sql = "UPDATE outbox SET acked_at = $3 WHERE connection_id = $1
        AND epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0)
        AND n > COALESCE((SELECT acked FROM links WHERE connection_id = $1), 0) AND n <= $2 AND acked_at IS NULL";
    tx.run(query(sql).bind(connection.to_string()).bind(signed(n)).bind(at.0)).await?;
    let sql = "INSERT INTO links (connection_id, acked) VALUES ($1, $2)
        ON CONFLICT (connection_id) DO UPDATE SET acked = excluded.acked WHERE links.acked < excluded.acked";
    tx.run(query(sql).bind(connection.to_string()).bind(signed(n))).await.map(drop)
}

pub(super) async fn unseen_of(
    tx: &mut SqliteTx<'_>,
    connection: ConnectionId,
    seen: &[(TwinId, u64)],
) -> Got<Vec<(TwinId, Unseen)>> {
    let rows: Vec<_> = seen.iter().map(|(twin, seen)| (twin, signed(*seen))).collect();
    // A cross join keeps its order, `+` an index out: the planner would walk all numbered events for each twin.
    let sql = "SELECT outbox.twin_id, outbox.n, outbox.json FROM json_each($2) AS given CROSS JOIN outbox
        WHERE connection_id = $1 AND twin_id = given.value ->> 0 AND kind = 'sync' AND (+n IS NULL
            OR +n > given.value ->> 1 AND +epoch = COALESCE((SELECT epoch FROM links WHERE connection_id = $1), 0))
        ORDER BY outbox.id";
    let read = |row: &SqliteRow| {
        let unseen = match col::<Option<i64>>(row, 1)? {
            None => Unseen { n: None, body: json(row, 2)? },
            Some(_) => Unseen { n: Some(count(row, 1)?), body: from_json::<Event>(col(row, 2)?)?.body },
        };
        Ok((parsed(row, 0)?, unseen))
    };
    tx.each(query(sql).bind(connection.to_string()).bind(to_json(&rows)?), read).await
}

pub(super) async fn forget_acknowledged(tx: &mut SqliteTx<'_>, before: Time) -> Got<u64> {
    let longest = tx.now().minus(LONGEST);
    let sql = "DELETE FROM outbox WHERE acked_at < $1 AND (kind <> 'sync' OR acked_at < $2
        OR n <= (SELECT peer_seen FROM twins WHERE twins.connection_id = outbox.connection_id AND twins.id = outbox.twin_id))";
    tx.run(query(sql).bind(before.0.max(longest.0)).bind(longest.0)).await
}

pub(super) async fn clear_outbox(tx: &mut SqliteTx<'_>, connection: ConnectionId) -> Got<()> {
    tx.run(query("DELETE FROM outbox WHERE connection_id = $1").bind(connection.to_string())).await.map(drop)
}

pub(super) async fn number_of(tx: &mut SqliteTx<'_>, connection: ConnectionId, id: EventId) -> Got<Option<Option<u64>>> {
    let sql = "SELECT n FROM outbox WHERE connection_id = $1 AND event_id = $2";
    tx.one(query(sql).bind(connection.to_string()).bind(id.to_string()), |row| {
        Ok(col::<Option<i64>>(row, 0)?.map(|n| n.unsigned_abs()))
    })
    .await
}
