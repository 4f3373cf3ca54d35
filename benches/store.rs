//! How fast the store takes in, and how a twin's round trip costs: prints numbers, asserts nothing.
//!
//! `cargo bench --bench store`

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::{Map, json};
use uuid::Uuid;
use wicketgate::{
    clock::{Clock, SystemClock},
    domain::{
        change::{Content, NewChange, Source},
        connection::{self, Connection},
        event::{Body, Sync},
        history::{Direction, HistoryLine, Outcome},
        ids::{ConnectionId, CorrelationId, EntityRef, EventId, Side, TwinId},
        twin::{Memory, Status, Twin},
    },
    secret::Sealer,
    store::{
        Store,
        rows::{Arrived, Draft},
    },
};

const CONNECTION: ConnectionId = ConnectionId(Uuid::nil());

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(".").expect("a folder on a real disk");
        let store = open(folder.path()).await;
        store.write("connection", |tx| Box::pin(async move { tx.insert_connection(&connection()).await })).await.expect("stored");
        for (callers, batch) in [(1, 1), (16, 1), (16, 20), (16, 100), (64, 100)] {
            intake(&store, callers, batch).await;
        }
        backlog(&store).await;
        for callers in [1, 8, 32] {
            outgoing(&store, callers).await;
        }
        incoming(&store).await;
        store.close().await;
    });
}

async fn open(folder: &Path) -> Store {
    let sealer = Arc::new(Sealer::new(&[[1; 32]]));
    Store::open("sqlite:bench.db", folder, sealer, Arc::new(SystemClock)).await.expect("opens")
}

fn report(what: &str, count: usize, began: Instant) {
    let took = began.elapsed();
    println!(
        "{what:48} {:>10.0} /s   {:>8.1} us each",
        count as f64 / took.as_secs_f64(),
        took.as_micros() as f64 / count as f64
    );
}

async fn intake(store: &Store, callers: usize, batch: usize) {
    let calls = (40_000 / (callers * batch)).clamp(1, 200);
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..calls {
                    store.add_changes((0..batch).map(|_| change()).collect()).await.expect("stored");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    report(&format!("intake, {callers} callers, {batch} changes a call"), callers * calls * batch, began);
}

async fn backlog(store: &Store) {
    let waiting = store.read("count", |tx| Box::pin(async move { tx.count_changes("support").await })).await.expect("reads");
    let now = SystemClock.now();
    let began = Instant::now();
    let mut ended = 0;
    while ended < 20_000 {
        let records = store.read("look", move |tx| Box::pin(async move { tx.records_waiting("support", now, 200).await }));
        let records = records.await.expect("reads");
        if records.is_empty() {
            break;
        }
        ended += store
            .write("end", move |tx| {
                Box::pin(async move {
                    let changes = tx.changes_of("support", &records).await?;
                    let ids: Vec<i64> = changes.iter().map(|change| change.id).collect();
                    tx.end_changes(&ids).await?;
                    Ok(ids.len())
                })
            })
            .await
            .expect("ended");
    }
    report(&format!("taken from {waiting} waiting, 200 at a time"), ended, began);
}

async fn outgoing(store: &Store, callers: usize) {
    let rounds = 4_000 / callers;
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..rounds {
                    let (twin, draft, line) = sync();
                    store
                        .write("outgoing", move |tx| {
                            Box::pin(async move {
                                tx.put_twin(&twin).await?;
                                tx.put_draft(&draft).await?;
                                tx.add_history(&[line]).await
                            })
                        })
                        .await
                        .expect("stored");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    report(&format!("twin + draft + history, {callers} callers"), callers * rounds, began);
    let began = Instant::now();
    let mut count = 0;
    loop {
        let events = store.write("number", numbered).await.expect("numbered");
        if events == 0 {
            break;
        }
        count += events;
    }
    report("numbered, 500 at a time", count, began);
}

fn numbered(tx: &mut dyn wicketgate::store::Tx) -> wicketgate::store::Work<'_, usize> {
    Box::pin(async move { Ok(tx.number_drafts(CONNECTION, 500, 4_000_000, 0).await?.len()) })
}

async fn incoming(store: &Store) {
    let events: Vec<Arrived> = (0..10_000u64)
        .map(|n| Arrived {
            row: 0,
            connection_id: CONNECTION,
            epoch: 1,
            n,
            id: EventId(SystemClock.id()),
            twin: Some(TwinId(SystemClock.id())),
            json: json!({"n": n, "replica": fields()}).to_string(),
            received_at: SystemClock.now(),
        })
        .collect();
    let began = Instant::now();
    for part in events.chunks(500) {
        let part = part.to_vec();
        store.write("arrive", move |tx| Box::pin(async move { tx.add_arrived("support", &part).await })).await.expect("stored");
    }
    report("arrived, 500 at a time", events.len(), began);
    let began = Instant::now();
    for _ in 0..100 {
        store.read("look", |tx| Box::pin(async move { tx.twins_waiting("support", 200).await })).await.expect("reads");
    }
    report("looks for 200 twins with 10,000 events waiting", 100, began);
    let began = Instant::now();
    for _ in 0..1000 {
        store.read("twin", |tx| Box::pin(async move { tx.twin(CONNECTION, TwinId(Uuid::nil())).await })).await.expect("reads");
    }
    report("single reads", 1000, began);
}

fn fields() -> Map<String, serde_json::Value> {
    let value = json!({"Subject": "The printer on floor 3 is on fire", "Status": "New", "Priority": "High",
        "Description": "x".repeat(200), "OwnerId": "0055g00000ABCDEAAA"});
    value.as_object().expect("an object").clone()
}

fn change() -> NewChange {
    let id = SystemClock.id();
    NewChange {
        tracker: "support".to_owned(),
        entity_type: "Case".to_owned(),
        key: id.to_string(),
        source: Source::OutboundMessage,
        notice_id: Some(id.to_string()),
        connection: None,
        content: Some(Content { fields: fields(), ..Content::default() }),
        received_at: SystemClock.now(),
        due_at: SystemClock.now(),
        correlation: CorrelationId(id),
    }
}

fn sync() -> (Twin, Draft, HistoryLine) {
    let (id, now) = (TwinId(SystemClock.id()), SystemClock.now());
    let memory = Memory { base: fields(), sent: Some(fields()), received: Some(fields()), ..Memory::default() };
    let twin = Twin {
        id,
        connection_id: CONNECTION,
        tracker: "support".to_owned(),
        status: Status::InSync,
        started_by: Side::Inviting,
        local: Some(EntityRef { entity_type: "Case".to_owned(), key: id.to_string(), url: None }),
        remote: None,
        peer_seen: 0,
        remote_outcome: None,
        created_at: now,
        last_synced_at: Some(now),
        memory,
    };
    let body = Sync {
        entity_type: "Case".to_owned(),
        key: id.to_string(),
        url: None,
        replica: fields(),
        modified_at: Some(now),
        changed: [("Subject".to_owned(), now)].into(),
        via: vec![],
        applied: None,
        confirmed: None,
        remote: None,
    };
    let draft = Draft {
        connection_id: CONNECTION,
        id: EventId(SystemClock.id()),
        twin: Some(id),
        seen: 0,
        at: now,
        correlation: None,
        body: Body::Sync(Box::new(body)),
    };
    let line = HistoryLine {
        at: now,
        tracker: "support".to_owned(),
        entity_type: "Case".to_owned(),
        key: id.to_string(),
        connection_id: Some(CONNECTION),
        twin_id: Some(id),
        direction: Direction::Out,
        outcome: Outcome::Sent,
        reason: None,
        changes: vec![],
        took_ms: 1,
        correlation: None,
    };
    (twin, draft, line)
}

fn connection() -> Connection {
    Connection {
        id: CONNECTION,
        name: "bench".to_owned(),
        status: connection::Status::Active,
        kind: connection::Kind::Private,
        mode: connection::Mode::Basic,
        tracker: "support".to_owned(),
        side: Side::Inviting,
        local_short_name: "a".to_owned(),
        remote_short_name: "b".to_owned(),
        description: String::new(),
        created_at: SystemClock.now(),
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
