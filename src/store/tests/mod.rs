//! How a store behaves, told against the trait: a second database joins by running the same.

mod admin;
mod figures;
mod groups;
mod intake;
mod journal;
mod mail;
mod nouns;
mod pauses;
mod people;
mod rules;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::{rows::*, *};
use crate::{
    clock::{Clock, ManualClock, Time},
    domain::{
        change::{Content, NewChange, Source},
        connection::{self, Connection},
        error::{ErrorRecord, Scope},
        event::{Body, Sync as SyncBody},
        history::{Direction, HistoryLine, Outcome},
        ids::*,
        twin::{Memory, Status, Twin},
    },
};

/// A store in a folder of its own.
struct Fresh {
    store: Store,
    clock: ManualClock,
    dir: TempDir,
}

const START: Time = Time(1_800_000_000_000);

async fn fresh() -> Fresh {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::new(START);
    let store = open(&dir, &clock).await.expect("opens");
    Fresh { store, clock, dir }
}

async fn open(dir: &TempDir, clock: &ManualClock) -> Result<Store, StoreError> {
    Store::open("sqlite:test.db", dir.path(), Arc::new(Sealer::new(&[[7; 32]])), Arc::new(clock.clone())).await
}

/// Runs calls in one write transaction: `w!(store, tx => tx.put_twin(&twin))`.
macro_rules! w {
    ($store:expr, $tx:ident => $work:expr) => {
        $store.write("test", move |$tx| Box::pin(async move { $work.await })).await
    };
}

/// The same for reading.
macro_rules! r {
    ($store:expr, $tx:ident => $work:expr) => {
        $store.read("test", move |$tx| Box::pin(async move { $work.await })).await.expect("reads")
    };
}
use {r, w};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn con(n: u128) -> ConnectionId {
    ConnectionId(id(n))
}

fn tw(n: u128) -> TwinId {
    TwinId(id(n))
}

fn page(limit: u32) -> Page {
    Page { after: None, limit }
}

fn connection(n: u128, name: &str) -> Connection {
    Connection {
        id: con(n),
        name: name.to_owned(),
        status: connection::Status::Active,
        kind: connection::Kind::Private,
        mode: connection::Mode::Basic,
        tracker: "support".to_owned(),
        side: Side::Inviting,
        local_short_name: "a".to_owned(),
        remote_short_name: "b".to_owned(),
        description: String::new(),
        created_at: START,
        activated_at: None,
        prefer: connection::Prefer::Local,
        links: connection::Links::Matching,
        share_internal_comments: false,
        awaiting: None,
        confirm: false,
        destination_url: None,
        remote: None,
        paused: None,
    }
}

fn twin(connection: u128, n: u128, key: &str) -> Twin {
    Twin {
        id: tw(n),
        connection_id: con(connection),
        tracker: "support".to_owned(),
        status: Status::InSync,
        started_by: Side::Inviting,
        local: Some(EntityRef { entity_type: "Case".to_owned(), key: key.to_owned(), url: None }),
        remote: Some(EntityRef { entity_type: "issue".to_owned(), key: format!("R-{key}"), url: Some("https://x".to_owned()) }),
        peer_seen: 3,
        remote_outcome: None,
        created_at: START,
        last_synced_at: None,
        memory: Memory::default(),
    }
}

fn change(key: &str, notice: Option<&str>) -> NewChange {
    let mut fields = Map::new();
    fields.insert("Subject".to_owned(), json!("quotes \" and \\ and \u{1F600} and \u{0}"));
    NewChange {
        tracker: "support".to_owned(),
        entity_type: "Case".to_owned(),
        key: key.to_owned(),
        source: Source::OutboundMessage,
        notice_id: notice.map(str::to_owned),
        connection: None,
        content: Some(Content { fields, stamp: Some(Time(5)), ..Content::default() }),
        received_at: START,
        due_at: START,
        correlation: CorrelationId(id(77)),
    }
}

fn sync_draft(connection: u128, twin: u128, event: u128, changed: &[(&str, i64)]) -> Draft {
    let changed = changed.iter().map(|(field, at)| ((*field).to_owned(), Time(*at))).collect();
    let body = SyncBody {
        entity_type: "Case".to_owned(),
        key: "500".to_owned(),
        url: None,
        replica: Map::new(),
        modified_at: None,
        changed,
        via: vec![format!("via-{event}")],
        applied: None,
        confirmed: None,
        remote: None,
    };
    Draft {
        connection_id: con(connection),
        id: EventId(id(event)),
        twin: Some(tw(twin)),
        seen: 0,
        at: START,
        correlation: None,
        body: Body::Sync(Box::new(body)),
    }
}

fn event(connection: u128, twin: Option<u128>, n: u64) -> Arrived {
    Arrived {
        row: 0,
        connection_id: con(connection),
        epoch: 1,
        n,
        id: EventId(id(1000 + u128::from(n))),
        twin: twin.map(tw),
        json: format!("{{\"n\": {n},  \"x\": \"\\u0000 ü\"}}"),
        received_at: START,
    }
}

fn line(at: i64, key: &str, outcome: Outcome, took_ms: i64) -> HistoryLine {
    HistoryLine {
        at: Time(at),
        tracker: "support".to_owned(),
        entity_type: "Case".to_owned(),
        key: key.to_owned(),
        connection_id: Some(con(1)),
        twin_id: Some(tw(1)),
        direction: Direction::Out,
        outcome,
        reason: Some("because".to_owned()),
        changes: vec![],
        took_ms,
        correlation: None,
    }
}

fn error(n: u128, scope: Scope) -> ErrorRecord {
    ErrorRecord {
        id: ErrorId(id(n)),
        scope,
        connection_id: (scope == Scope::Twin || scope == Scope::Connection).then(|| con(1)),
        twin_id: (scope == Scope::Twin).then(|| tw(1)),
        tracker: (scope == Scope::Tracker).then(|| "support".to_owned()),
        code: "login_failed".to_owned(),
        title: "t".to_owned(),
        detail: "d".to_owned(),
        advice: "a".to_owned(),
        retryable: true,
        attempts: 1,
        occurred_at: START.plus(Duration::from_secs(n as u64)),
        next_attempt_at: Some(START.plus(Duration::from_secs(60))),
    }
}
