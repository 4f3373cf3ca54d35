//! Tells the operator's receiver of errors that open and close, of pauses and of acceptances: silence is also a failure.
//!
//! What is told is read from the stream of the store; news that cannot be delivered is tried again with growing pauses
//! and is dropped after a day, since the errors themselves stay in the list.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    clock::{Clock, Time},
    config::Config,
    domain::{
        connection::Status,
        ids::{ConnectionId, ErrorId},
    },
    http_client::{Guard, client},
    lifecycle::Lifecycle,
    retry::Backoff,
    store::{Notice, Store, StoreError},
    trackers::notify::{NoticeKind, Notifier},
};

const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) };
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

struct News {
    kind: NoticeKind,
    data: serde_json::Value,
    id: String,
    at: Time,
}

/// Starts telling, where the configuration names a receiver.
pub fn start(config: &Config, store: &Store, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let Some(wanted) = &config.notify else { return Ok(()) };
    let http = client(&config.network, &Guard::Operator).context("[notify]")?;
    let notifier = Notifier::new(wanted.clone(), http, clock.clone()).context("[notify] secret")?;
    let (send, receive) = tokio::sync::mpsc::channel(1000);
    lifecycle.spawn("notify", listen(store.clone(), clock.clone(), lifecycle.clone(), send));
    lifecycle.spawn("notify deliveries", deliver(notifier, clock.clone(), lifecycle.clone(), receive));
    Ok(())
}

async fn listen(store: Store, clock: Arc<dyn Clock>, lifecycle: Lifecycle, send: tokio::sync::mpsc::Sender<News>) {
    let mut notices = store.wakes().listen();
    let mut open: HashMap<ErrorId, ()> = HashMap::new();
    let mut connections: HashMap<ConnectionId, (bool, bool)> = HashMap::new();
    loop {
        let notice = tokio::select! {
            () = lifecycle.stopping() => return,
            notice = notices.recv() => notice,
        };
        let news = match notice {
            Ok(Notice::Error(id)) => error_news(&store, &clock, id, &mut open).await,
            Ok(Notice::Connection(id)) => connection_news(&store, &clock, id, &mut connections).await,
            Ok(_) => continue,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        };
        match news {
            Ok(news) => {
                for one in news {
                    if send.try_send(one).is_err() {
                        tracing::warn!("more news than the receiver of [notify] takes: some are dropped");
                    }
                }
            }
            Err(error) => tracing::warn!("news could not be read: {error}"),
        }
    }
}

async fn error_news(
    store: &Store,
    clock: &Arc<dyn Clock>,
    id: ErrorId,
    open: &mut HashMap<ErrorId, ()>,
) -> Result<Vec<News>, StoreError> {
    let error = store.read("error", move |tx| Box::pin(async move { tx.error(id).await })).await?;
    let at = clock.now();
    Ok(match error {
        Some(error) if open.insert(id, ()).is_none() => {
            vec![News { kind: NoticeKind::ErrorOpened, data: json!(error), id: format!("{id}.opened"), at }]
        }
        None if open.remove(&id).is_some() => {
            vec![News { kind: NoticeKind::ErrorClosed, data: json!({"id": id}), id: format!("{id}.closed"), at }]
        }
        _ => Vec::new(),
    })
}

async fn connection_news(
    store: &Store,
    clock: &Arc<dyn Clock>,
    id: ConnectionId,
    known: &mut HashMap<ConnectionId, (bool, bool)>,
) -> Result<Vec<News>, StoreError> {
    let connection = store.read("connection", move |tx| Box::pin(async move { tx.connection(id).await })).await?;
    let Some(connection) = connection else {
        known.remove(&id);
        return Ok(Vec::new());
    };
    let now = (connection.remote.is_some(), connection.paused.is_some());
    let before = known.insert(id, now).unwrap_or((connection.status != Status::Pending, false));
    let data = json!({"id": id, "name": connection.name, "remote": connection.remote.as_ref().map(|remote| &remote.node),
        "key_fingerprint": connection.remote.as_ref().map(|remote| &remote.key_fingerprint),
        "paused": connection.paused});
    let at = clock.now();
    let mut news = Vec::new();
    if now.0 && !before.0 {
        news.push(News { kind: NoticeKind::ConnectionAccepted, data: data.clone(), id: format!("{id}.accepted"), at });
    }
    if now.1 && !before.1 {
        news.push(News { kind: NoticeKind::ConnectionPaused, data, id: format!("{id}.paused.{}", at.millis()), at });
    }
    Ok(news)
}

async fn deliver(notifier: Notifier, clock: Arc<dyn Clock>, lifecycle: Lifecycle, mut news: tokio::sync::mpsc::Receiver<News>) {
    while let Some(one) = tokio::select! { () = lifecycle.stopping() => None, one = news.recv() => one } {
        let mut failures = 0;
        while let Err(error) = notifier.send(one.kind, &one.data, &one.id, one.at).await {
            failures += 1;
            if clock.now().since(one.at) > PATIENCE {
                tracing::warn!("news was not delivered for a day and is dropped: {error}");
                break;
            }
            tokio::select! {
                () = lifecycle.stopping() => return,
                () = clock.sleep(PAUSES.pause(failures, clock.as_ref())) => {}
            }
        }
    }
}
