//! Tells the operator's receiver of errors that open and close, of pauses and of acceptances: silence is also a failure.
//!
//! What is told is read from the stream of the store and compared with what was seen before, beginning with what stands
//! in the store at start: so a restart repeats nothing and misses no acceptance. It goes into a queue of its own, so that
//! a slow receiver holds up nothing. A refusal of one message delays that message; a receiver that is away delays all.
//! After a day news is dropped: the errors themselves stay in the list.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use crate::{
    clock::{Clock, Time},
    config::Config,
    domain::{
        connection::{Awaiting, Connection},
        error::ErrorRecord,
        ids::{ConnectionId, ErrorId, Side},
        tracker::{Fault, Retry},
    },
    http_client::{Guard, client},
    lifecycle::Lifecycle,
    retry::Backoff,
    store::{
        Notice, Store, StoreError,
        rows::{ErrorFilter, Page},
    },
    trackers::notify::{NoticeKind, Notifier},
};

const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) };
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// News that wait to be put into the queue.
const WAITING: usize = 1000;
/// News in the queue; beyond it the oldest is dropped, and the log says so.
const MOST: usize = 10_000;

struct News {
    kind: NoticeKind,
    data: serde_json::Value,
    id: String,
    at: Time,
}

/// Starts telling, where the configuration names a receiver. Called before anything can happen that is news.
pub async fn start(config: &Config, store: &Store, clock: &Arc<dyn Clock>, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let Some(wanted) = &config.notify else { return Ok(()) };
    let http = client(&config.network, &Guard::Operator).context("[notify]")?;
    let notifier = Notifier::new(wanted.clone(), http, clock.clone()).context("[notify] secret")?;
    let (send, receive) = mpsc::channel(WAITING);
    let notices = store.wakes().listen();
    let mut listener = Listener { store: store.clone(), clock: clock.clone(), seen: Seen::default(), send };
    // What stands there already is no news.
    let _known = listener.compare_all().await?;
    let stopping = lifecycle.clone();
    lifecycle.spawn("notify", async move { listener.listen(notices, stopping).await });
    lifecycle.spawn("notify deliveries", deliver(notifier, clock.clone(), lifecycle.clone(), receive));
    Ok(())
}

struct Listener {
    store: Store,
    clock: Arc<dyn Clock>,
    seen: Seen,
    send: mpsc::Sender<News>,
}

impl Listener {
    async fn listen(&mut self, mut notices: broadcast::Receiver<Notice>, lifecycle: Lifecycle) {
        loop {
            let notice = tokio::select! {
                () = lifecycle.stopping() => return,
                notice = notices.recv() => notice,
            };
            let news = match notice {
                Ok(Notice::Error(id)) => self.error(id).await,
                Ok(Notice::Connection(id)) => self.connection(id).await,
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(_)) => self.compare_all().await,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            match news {
                Ok(news) => self.hand_over(news),
                Err(error) => tracing::warn!("news could not be read: {error}"),
            }
        }
    }

    fn hand_over(&self, news: Vec<News>) {
        for one in news {
            if self.send.try_send(one).is_err() {
                tracing::warn!("more news than the receiver of [notify] takes: some are dropped");
            }
        }
    }

    async fn error(&mut self, id: ErrorId) -> Result<Vec<News>, StoreError> {
        let error = self.store.read("notify.error", move |tx| Box::pin(async move { tx.error(id).await })).await?;
        let now = self.clock.now();
        Ok(match error {
            Some(error) => self.seen.open(&error, now),
            None => self.seen.closed(id, now),
        }
        .into_iter()
        .collect())
    }

    async fn connection(&mut self, id: ConnectionId) -> Result<Vec<News>, StoreError> {
        let found = self.store.read("notify.connection", move |tx| Box::pin(async move { tx.connection(id).await })).await?;
        match found {
            Some(connection) => Ok(self.seen.connection(&connection, self.clock.now())),
            None => {
                self.seen.connections.remove(&id);
                Ok(Vec::new())
            }
        }
    }

    /// Everything at once: at start, and where the stream was faster than we.
    async fn compare_all(&mut self) -> Result<Vec<News>, StoreError> {
        let (connections, errors) = self
            .store
            .read("notify.all", |tx| {
                Box::pin(async move {
                    let (mut errors, mut after) = (Vec::new(), None);
                    loop {
                        let part = tx.list_errors(&ErrorFilter::default(), &Page { after, limit: 500 }).await?;
                        errors.extend(part.items);
                        after = part.next;
                        if after.is_none() {
                            break;
                        }
                    }
                    Ok((tx.connections().await?, errors))
                })
            })
            .await?;
        let now = self.clock.now();
        let open: HashSet<ErrorId> = errors.iter().map(|error| error.id).collect();
        let gone: Vec<ErrorId> = self.seen.errors.difference(&open).copied().collect();
        let mut news: Vec<News> = gone.into_iter().filter_map(|id| self.seen.closed(id, now)).collect();
        news.extend(errors.iter().filter_map(|error| self.seen.open(error, now)));
        news.extend(connections.iter().flat_map(|connection| self.seen.connection(connection, now)));
        Ok(news)
    }
}

/// What was told before.
#[derive(Default)]
struct Seen {
    errors: HashSet<ErrorId>,
    /// The other side's key, and whether the connection rested.
    connections: HashMap<ConnectionId, (Option<String>, bool)>,
}

impl Seen {
    fn open(&mut self, error: &ErrorRecord, at: Time) -> Option<News> {
        let id = error.id;
        self.errors.insert(id).then(|| News { kind: NoticeKind::ErrorOpened, data: json!(error), id: format!("{id}.opened"), at })
    }

    fn closed(&mut self, id: ErrorId, at: Time) -> Option<News> {
        self.errors.remove(&id).then(|| News {
            kind: NoticeKind::ErrorClosed,
            data: json!({"id": id}),
            id: format!("{id}.closed"),
            at,
        })
    }

    fn connection(&mut self, connection: &Connection, at: Time) -> Vec<News> {
        let id = connection.id;
        let key = connection.remote.as_ref().map(|remote| remote.key_fingerprint.clone());
        let rests = connection.paused.is_some();
        let (key_before, rested) = self.connections.insert(id, (key.clone(), rests)).unwrap_or_default();
        let ours_to_confirm = connection.awaiting == Some(Awaiting::Confirmation) && connection.confirm;
        let first = key_before.is_none() && connection.side == Side::Inviting;
        let data = json!({"id": id, "name": connection.name, "remote": connection.remote.as_ref().map(|remote| &remote.node),
            "key_fingerprint": key, "awaiting": connection.awaiting, "paused": connection.paused});
        let mut news = Vec::new();
        if let Some(key) = key.filter(|key| key_before.as_ref() != Some(key) && (first || ours_to_confirm)) {
            let id = format!("{id}.accepted.{key}");
            news.push(News { kind: NoticeKind::ConnectionAccepted, data: data.clone(), id, at });
        }
        if rests && !rested {
            let id = format!("{id}.paused.{}", at.millis());
            news.push(News { kind: NoticeKind::ConnectionPaused, data, id, at });
        }
        news
    }
}

/// News that waits for its next try.
struct Waiting {
    due: Time,
    failures: u32,
    news: News,
}

async fn deliver(notifier: Notifier, clock: Arc<dyn Clock>, lifecycle: Lifecycle, mut news: mpsc::Receiver<News>) {
    let mut waiting: Vec<Waiting> = Vec::new();
    // A receiver that is away is away for all.
    let (mut rests_until, mut away) = (clock.now(), 0);
    loop {
        let next = waiting.iter().map(|one| one.due).min().map(|due| due.max(rests_until));
        let pause = async {
            match next {
                Some(due) => clock.sleep(due.since(clock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = lifecycle.stopping() => return,
            one = news.recv() => {
                let Some(news) = one else { return };
                if waiting.len() >= MOST {
                    tracing::warn!("the receiver of [notify] has been away for long: the oldest news is dropped");
                    waiting.remove(0);
                }
                waiting.push(Waiting { due: clock.now(), failures: 0, news });
                continue;
            }
            () = pause => {}
        }
        let Some(at) = waiting.iter().position(|one| one.due <= clock.now()) else { continue };
        let mut one = waiting.remove(at);
        let sent = tokio::select! {
            () = lifecycle.stopping() => return,
            sent = notifier.send(one.news.kind, &one.news.data, &one.news.id, one.news.at) => sent,
        };
        let Err(error) = sent else {
            away = 0;
            continue;
        };
        if clock.now().since(one.news.at) > PATIENCE {
            tracing::warn!(%error, "news was not delivered for a day and is dropped");
            continue;
        }
        one.failures += 1;
        let asked = if let Retry::Soon(Some(pause)) = error.retry { pause } else { Duration::ZERO };
        if error.fault == Fault::Network {
            away += 1;
            rests_until = clock.now().plus(PAUSES.pause(away, clock.as_ref()).max(asked));
            one.due = rests_until;
        } else {
            one.due = clock.now().plus(PAUSES.pause(one.failures, clock.as_ref()).max(asked));
        }
        if one.failures == 1 {
            tracing::warn!(%error, id = one.news.id, "news was not taken and is tried again");
        }
        waiting.push(one);
    }
}
