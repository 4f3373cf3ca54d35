//! Two nodes over real HTTP, each with its own store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use serde_json::json;
use uuid::Uuid;

use crate::{
    clock::{Clock, SystemClock, Time},
    domain::{
        connection::{Awaiting, Connection, Kind, Links, Mode, Prefer, Status, Switch},
        event::Body,
        ids::{ConnectionId, EventId, Side, TwinId},
    },
    lifecycle::Lifecycle,
    link::{Link, Parts},
    secret::Sealer,
    store::{
        Store,
        rows::{Arrived, Draft},
    },
};

mod exchange;
mod joining;
mod stranger;

/// A node under test: private where it has no server.
struct Node {
    link: Link,
    store: Store,
    lifecycle: Lifecycle,
    server: Option<ServerHandle>,
    url: Option<url::Url>,
    dir: Option<tempfile::TempDir>,
    wait: Duration,
}

#[allow(clippy::disallowed_methods, reason = "tests talk to loopback without the guard")]
fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

impl Node {
    async fn start(name: &str, public: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self::start_in(name, public, dir, Duration::from_secs(20)).await
    }

    async fn start_in(name: &str, public: bool, dir: tempfile::TempDir, wait: Duration) -> Self {
        let clock = Arc::new(SystemClock);
        let sealer = Arc::new(Sealer::new(&[[7; 32]]));
        let store = Store::open("sqlite:test.db", dir.path(), sealer, clock.clone()).await.expect("a store");
        let listener = public.then(|| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
        let url = listener.as_ref().map(|listener| {
            let port = listener.local_addr().expect("an address").port();
            url::Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL")
        });
        let lifecycle = Lifecycle::default();
        let link = Link::open(Parts {
            store: store.clone(),
            clock,
            lifecycle: lifecycle.clone(),
            node_name: name.to_owned(),
            public_url: url.clone(),
            http: http(),
            wait,
            tracker_kinds: BTreeMap::from([("t".to_owned(), "webhook".to_owned())]),
        })
        .await
        .expect("a link");
        let server = listener.map(|listener| {
            let data = web::Data::new(link.clone());
            let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(super::routes))
                .workers(1)
                .h1_allow_half_closed(false)
                .disable_signals()
                .listen(listener)
                .expect("listens")
                .run();
            let handle = server.handle();
            tokio::spawn(server);
            handle
        });
        link.start();
        Self { link, store, lifecycle, server, url, dir: Some(dir), wait }
    }

    async fn stop(&mut self) {
        self.lifecycle.finish(Duration::from_secs(5)).await.expect("nobody crashed");
        if let Some(server) = self.server.take() {
            server.stop(false).await;
        }
        self.store.close().await;
    }

    /// Stops and starts it again on the same folder.
    async fn restart(mut self, name: &str) -> Self {
        self.stop().await;
        let dir = self.dir.take().expect("a folder");
        Self::start_in(name, self.url.is_some(), dir, self.wait).await
    }

    async fn offer(&self, kind: Kind, confirm: bool) -> Connection {
        let connection = Connection {
            id: ConnectionId(SystemClock.id()),
            name: "here_to_there".to_owned(),
            status: Status::Pending,
            kind,
            mode: Mode::Script,
            tracker: "t".to_owned(),
            side: Side::Inviting,
            local_short_name: "here".to_owned(),
            remote_short_name: "there".to_owned(),
            description: String::new(),
            created_at: SystemClock.now(),
            activated_at: None,
            prefer: Prefer::Local,
            links: Links::Matching,
            share_internal_comments: false,
            awaiting: Some(Awaiting::Acceptance),
            confirm,
            destination_url: None,
            remote: None,
            paused: None,
        };
        let row = connection.clone();
        self.store.write("test", move |tx| Box::pin(async move { tx.insert_connection(&row).await })).await.expect("inserted");
        connection
    }

    async fn connection(&self, id: ConnectionId) -> Connection {
        self.store.read("test", move |tx| Box::pin(async move { tx.connection(id).await })).await.expect("read").expect("there")
    }

    async fn update(&self, connection: Connection) {
        self.store
            .write("test", move |tx| {
                Box::pin(async move {
                    tx.update_connection(&connection).await?;
                    tx.wake(crate::store::Topic::Connections);
                    tx.wake(crate::store::Topic::Outbox(connection.id));
                    Ok(())
                })
            })
            .await
            .expect("updated");
    }

    /// Hands over one draft of a twin of its own.
    async fn hand_over(&self, connection: ConnectionId, key: &str) {
        self.hand_over_many(connection, vec![key.to_owned()]).await;
    }

    async fn hand_over_many(&self, connection: ConnectionId, keys: Vec<String>) {
        self.store
            .write("test", move |tx| {
                Box::pin(async move {
                    for key in &keys {
                        let twin = Some(TwinId(crate::domain::ids::derived(&["test", key])));
                        let body = Body::Deleted { key: key.clone() };
                        let id = EventId(SystemClock.id());
                        let draft = Draft { connection_id: connection, id, twin, seen: 0, at: Time(1), correlation: None, body };
                        tx.put_draft(&draft).await?;
                    }
                    Ok(())
                })
            })
            .await
            .expect("drafted");
    }

    /// Keys of all events that arrived, in order of number.
    async fn arrived(&self, connection: ConnectionId) -> Vec<String> {
        let rows: Vec<Arrived> = self
            .store
            .read("test", move |tx| {
                Box::pin(async move {
                    let mut rows = Vec::new();
                    for waiting in tx.twins_waiting("t", 100_000).await? {
                        rows.extend(tx.arrived(connection, waiting.twin).await?);
                    }
                    Ok(rows)
                })
            })
            .await
            .expect("read");
        let mut events: Vec<(u64, String)> = rows
            .iter()
            .map(|row| {
                let json: serde_json::Value = serde_json::from_str(&row.json).expect("JSON");
                (row.n, json["key"].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, key)| key).collect()
    }

    async fn until_arrived(&self, connection: ConnectionId, count: usize) -> Vec<String> {
        until(&format!("{count} events"), async || {
            let keys = self.arrived(connection).await;
            (keys.len() >= count).then_some(keys)
        })
        .await
    }

    async fn state(&self, id: ConnectionId) -> crate::store::rows::LinkState {
        self.store.read("test", move |tx| Box::pin(async move { tx.link_state(id).await })).await.expect("read")
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1500 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {what} after 15 s");
}

/// A public and a private node that joined.
async fn joined(kind: Kind) -> (Node, Node, ConnectionId) {
    let near = Node::start("near", true).await;
    let far = Node::start("far", kind == Kind::Public).await;
    let offered = near.offer(kind, false).await;
    let code = near.link.invite(&offered, Duration::from_secs(3600)).await.expect("a code");
    let accepted = far.link.accept(code.code.expose(), "t", None, None).await.expect("joined");
    assert_eq!(accepted.status, Status::Active);
    (near, far, offered.id)
}
