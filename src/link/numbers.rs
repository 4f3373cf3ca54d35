//! Numbers over a bad line, as a property: two stores and a line between them that loses, repeats and reorders what is
//! said. Whatever happens, each side stores the other's events in order, once, none left out, and nobody takes a late or
//! repeated word for a set-back.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    exchange::{Heard, Hearing, hear, speak},
    gather::Limit,
};
use crate::{
    clock::{ManualClock, Time},
    domain::{
        connection::{Connection, Kind, Links, Mode, Prefer, Remote, Status, Switch},
        event::Body,
        ids::{ConnectionId, EventId, Side, TwinId},
    },
    secret::Sealer,
    store::{Store, rows::Draft},
};

const ID: ConnectionId = ConnectionId(Uuid::from_u128(1));
const START: Time = Time(1_800_000_000_000);

/// What may happen; `side` is who does it.
#[derive(Clone, Debug)]
enum Step {
    /// An event of this twin waits to be handed out.
    Put { side: usize, twin: u128 },
    /// The side says something; it is on the line.
    Say { side: usize, most: u32 },
    /// What lies at this place of the line arrives; it may stay there and arrive again.
    Arrive { at: usize, again: bool },
    /// It never arrives.
    Lose { at: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2usize, 1..5u128).prop_map(|(side, twin)| Step::Put { side, twin }),
        4 => (0..2usize, 0..4u32).prop_map(|(side, most)| Step::Say { side, most }),
        4 => (0..8usize, any::<bool>()).prop_map(|(at, again)| Step::Arrive { at, again }),
        1 => (0..8usize).prop_map(|at| Step::Lose { at }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn connection(side: Side) -> Connection {
    let remote = Remote {
        node: "other".into(),
        url: None,
        tracker_kind: "webhook".into(),
        state: Switch::Active,
        last_seen_at: Some(START),
        key: String::new(),
        key_fingerprint: String::new(),
        version: String::new(),
        features: Vec::new(),
    };
    Connection {
        id: ID,
        name: "line".into(),
        status: Status::Active,
        kind: Kind::Private,
        mode: Mode::Basic,
        tracker: "desk".into(),
        side,
        local_short_name: "a".into(),
        remote_short_name: "b".into(),
        description: String::new(),
        created_at: START,
        activated_at: Some(START),
        prefer: Prefer::Local,
        links: Links::Matching,
        share_internal_comments: false,
        awaiting: None,
        confirm: false,
        destination_url: None,
        remote: Some(remote),
        paused: None,
    }
}

struct End {
    store: Store,
    connection: Connection,
    put: u128,
    _folder: tempfile::TempDir,
}

impl End {
    async fn open(side: Side) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (sealer, clock) = (Arc::new(Sealer::new(&[[7; 32]])), Arc::new(ManualClock::new(START)));
        let store = Store::open("sqlite:x.db", folder.path(), sealer, clock).await.expect("opens");
        let connection = connection(side);
        let kept = connection.clone();
        store.write("test", |tx| Box::pin(async move { tx.insert_connection(&kept).await })).await.expect("kept");
        Self { store, connection, put: 0, _folder: folder }
    }

    async fn put(&mut self, twin: u128) {
        self.put += 1;
        let draft = Draft {
            connection_id: ID,
            id: EventId(Uuid::from_u128((u128::from(self.connection.decides()) << 64) + self.put)),
            twin: Some(TwinId(Uuid::from_u128(twin))),
            seen: 0,
            at: START,
            correlation: None,
            body: Body::Deleted { key: twin.to_string() },
        };
        self.store.write("test", |tx| Box::pin(async move { tx.put_draft(&draft).await })).await.expect("waits");
    }

    async fn say(&self, most: u32) -> Heard {
        let connection = self.connection.clone();
        let said = self.store.write("test", move |tx| {
            Box::pin(async move {
                let from = tx.link_state(ID).await?.acked + 1;
                let standing = tx.standing(connection.id).await?.expect("it is there");
                speak(tx, &standing, from, Limit { events: most, bytes: 1_000_000, numbers: true }).await
            })
        });
        let said = said.await.expect("said");
        Heard {
            epoch: said.epoch,
            ack: said.ack,
            ack_id: said.ack_id,
            after_id: said.after_id,
            events: said.events,
            state: Switch::Active,
            you_were_set_back: false,
            clock_offset_ms: None,
        }
    }

    async fn hear(&self, word: &Heard) -> Hearing {
        let word = copy(word);
        let heard = self.store.write("test", move |tx| Box::pin(async move { hear(tx, ID, &word, START).await }));
        heard.await.expect("heard")
    }

    /// Numbers and ids of what arrived here, in order of arrival.
    async fn arrived(&self) -> Vec<(u64, EventId)> {
        let mut all = Vec::new();
        for twin in 1..5u128 {
            let twin = Some(TwinId(Uuid::from_u128(twin)));
            all.extend(
                self.store.read("test", move |tx| Box::pin(async move { tx.arrived(ID, twin).await })).await.expect("read"),
            );
        }
        all.sort_by_key(|event| event.row);
        all.iter().map(|event| (event.n, event.id)).collect()
    }

    /// Numbers and ids of what left here.
    async fn left(&self) -> Vec<(u64, EventId)> {
        let read = self.store.read("test", |tx| Box::pin(async move { tx.numbered_from(ID, 1, 1_000, 1_000_000).await }));
        read.await.expect("read").iter().map(|event| (event.n, event.id)).collect()
    }
}

fn copy(word: &Heard) -> Heard {
    let events = word.events.iter().map(|raw| RawValue::from_string(raw.get().to_owned()).expect("JSON"));
    Heard { events: events.collect(), ..*word }
}

async fn walk(steps: Vec<Step>) {
    let mut ends = [End::open(Side::Inviting).await, End::open(Side::Accepting).await];
    let mut line: Vec<(usize, Heard)> = Vec::new();
    for step in steps {
        match step {
            Step::Put { side, twin } => ends[side].put(twin).await,
            Step::Say { side, most } => line.push((1 - side, ends[side].say(most).await)),
            Step::Arrive { at, again } if at < line.len() => {
                let (to, word) = if again { (line[at].0, copy(&line[at].1)) } else { line.remove(at) };
                let heard = ends[to].hear(&word).await;
                assert!(matches!(heard, Hearing::Done(_)), "{heard:?}: nobody was set back");
            }
            Step::Lose { at } if at < line.len() => drop(line.remove(at)),
            Step::Arrive { .. } | Step::Lose { .. } => {}
        }
    }
    // The line is well again: a few words later all of it is there.
    for _ in 0..40 {
        for side in 0..2 {
            let word = ends[side].say(100).await;
            assert!(matches!(ends[1 - side].hear(&word).await, Hearing::Done(_)));
        }
    }
    for side in 0..2 {
        let left = ends[side].left().await;
        assert_eq!(left.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=left.len() as u64).collect::<Vec<_>>());
        assert_eq!(ends[1 - side].arrived().await, left, "in order, once, none left out");
        let waits = ends[side].store.read("test", |tx| Box::pin(async move { tx.waiting(ID).await })).await.expect("read");
        assert_eq!(waits.outbox, 0, "all is acknowledged");
    }
    for end in ends {
        end.store.close().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..Default::default() })]
    #[test]
    fn events_arrive_in_order_once_and_all(steps in steps()) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(walk(steps));
    }
}
