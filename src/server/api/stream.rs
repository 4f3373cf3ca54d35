//! `GET /stream`: what changes, as it changes (server-sent events).
//!
//! The store tells which object changed, after the commit; the object is read here, as the caller may see it. An object
//! that changed again before it was shown is shown once. A slow reader that missed something is cut off: it comes back
//! and reads the lists anew, and nothing is silently skipped.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::{self, error::TryRecvError};

use super::{
    bodies::{ConnectionBody, TrackerBody, TwinBody},
    jobs::JobBody,
};
use crate::{
    clock::Time,
    domain::{ids::ErrorId, token::Scope},
    server::kit::{Caller, Node, Problem, accounts},
    store::Notice,
};

/// Keeps proxies from cutting an idle stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// So many errors that were shown are remembered, so that their end is told to a bound token too.
const REMEMBERED: usize = 1_000;
/// So many objects may wait to be shown to one reader.
const MOST: usize = 20_000;

struct Listening {
    node: web::Data<Node>,
    caller: Caller,
    notices: broadcast::Receiver<Notice>,
    /// What has changed and was not shown yet, each once.
    waiting: VecDeque<Notice>,
    among: HashSet<Notice>,
    /// When the caller was last seen to be good.
    checked_at: Time,
    shown: VecDeque<ErrorId>,
    greeted: bool,
}

/// What changes, as it changes: `event` is connection, twin, error, job or tracker; `data` the object, or its id with
/// `"deleted": true`.
#[utoipa::path(get, path = "/stream", tag = "node",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let (notices, checked_at) = (node.store.wakes().listen(), node.now());
    let listening = Listening {
        node,
        caller,
        notices,
        waiting: VecDeque::new(),
        among: HashSet::new(),
        checked_at,
        shown: VecDeque::new(),
        greeted: false,
    };
    let events = futures_util::stream::unfold(listening, |mut listening| async move {
        let chunk = listening.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(chunk), listening))
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").insert_header(("x-accel-buffering", "no")).streaming(events))
}

impl Listening {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(b": listening\n\n"));
        }
        loop {
            if self.node.lifecycle.is_stopping() || !self.gather() {
                return None;
            }
            // However much there is to hear: whose access has ended hears no more.
            if self.node.now().since(self.checked_at) >= HEARTBEAT {
                if !self.is_still_known().await {
                    return None;
                }
                self.checked_at = self.node.now();
            }
            let clock = self.node.clock.clone();
            let Some(notice) = self.waiting.pop_front() else {
                tokio::select! {
                    biased;
                    () = self.node.lifecycle.stopping() => return None,
                    notice = self.notices.recv() => self.waits(notice.ok()?),
                    () = clock.sleep(HEARTBEAT) => return Some(Bytes::from_static(b": still here\n\n")),
                }
                continue;
            };
            self.among.remove(&notice);
            if notice == Notice::Access {
                if !self.is_still_known().await {
                    return None;
                }
                continue;
            }
            match self.event(notice).await {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(problem) => {
                    tracing::warn!(%problem, "a stream was ended");
                    return None;
                }
            }
        }
    }

    /// Takes in what has been told meanwhile. `false`: something was missed.
    fn gather(&mut self) -> bool {
        loop {
            match self.notices.try_recv() {
                Ok(notice) => self.waits(notice),
                Err(TryRecvError::Empty) => return self.waiting.len() <= MOST,
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return false,
            }
        }
    }

    fn waits(&mut self, notice: Notice) {
        if self.among.insert(notice.clone()) {
            self.waiting.push_back(notice);
        }
    }

    /// Whose token was deleted or has expired, or whose session ended, hears no more.
    async fn is_still_known(&self) -> bool {
        accounts::is_still_good(&self.node, &self.caller).await.unwrap_or(false)
    }

    async fn event(&mut self, notice: Notice) -> Result<Option<Bytes>, Problem> {
        let (node, caller) = (self.node.clone(), self.caller.clone());
        match notice {
            Notice::Connection(id) if !caller.sees(id) => Ok(None),
            Notice::Connection(id) => {
                let now = node.now();
                let read = node.store.read("api.stream.connection", move |tx| {
                    Box::pin(async move {
                        match tx.connection(id).await? {
                            Some(found) => Ok(Some(ConnectionBody::load(tx, found, now).await?)),
                            None => Ok(None),
                        }
                    })
                });
                Ok(Some(read.await?.map_or_else(|| gone("connection", &id.to_string()), |body| event("connection", &body))))
            }
            Notice::Twin(id) => {
                let read = node.store.read("api.stream.twin", move |tx| {
                    Box::pin(async move {
                        match tx.twin_by_id(id).await?.filter(|twin| caller.sees(twin.connection_id)) {
                            Some(found) => Ok(Some(TwinBody::load(tx, found).await?)),
                            None => Ok(None),
                        }
                    })
                });
                Ok(read.await?.map(|body| event("twin", &body)))
            }
            Notice::Access => Ok(None),
            Notice::Error(id) => self.error(id).await,
            Notice::Job(id) => {
                let read = node.store.read("api.stream.job", move |tx| Box::pin(async move { tx.job(id).await }));
                let found = read.await?.filter(|job| caller.sees(job.connection_id));
                Ok(found.map(|job| event("job", &JobBody::from(job))))
            }
            Notice::Tracker(_) if caller.is_bound() => Ok(None),
            Notice::Tracker(name) => {
                let inner = node.clone().into_inner();
                let read = node.store.read("api.stream.tracker", move |tx| {
                    Box::pin(async move { TrackerBody::load(tx, &inner, &name, false).await })
                });
                Ok(read.await?.map(|body| event("tracker", &body)))
            }
        }
    }

    async fn error(&mut self, id: ErrorId) -> Result<Option<Bytes>, Problem> {
        let found = self.node.store.read("api.stream.error", move |tx| Box::pin(async move { tx.error(id).await })).await?;
        match found {
            Some(error) => {
                if !error.connection_id.map_or(!self.caller.is_bound(), |connection| self.caller.sees(connection)) {
                    return Ok(None);
                }
                if !self.shown.contains(&id) {
                    self.shown.push_back(id);
                    if self.shown.len() > REMEMBERED {
                        self.shown.pop_front();
                    }
                }
                Ok(Some(event("error", &error)))
            }
            None if !self.caller.is_bound() || self.shown.contains(&id) => Ok(Some(gone("error", &id.to_string()))),
            None => Ok(None),
        }
    }
}

fn event(name: &str, body: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(body).expect("bodies of the API are plain JSON");
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

fn gone(name: &str, id: &str) -> Bytes {
    event(name, &json!({"id": id, "deleted": true}))
}
