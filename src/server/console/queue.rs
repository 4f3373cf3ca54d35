//! What waits: events by connection, changes by tracker, jobs under way.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{
    connections::List,
    gate::{Person, Refusal},
    jobs::Job,
    page::{self, Frame, Room},
    text::When,
};
use crate::{clock::Time, domain::ids::ConnectionId};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/queue").route(web::get().to(page)));
}

/// What waits on a connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Waiting {
    pub connection_id: ConnectionId,
    pub name: String,
    pub outbox: u64,
    pub inbox: u64,
    pub parked: u64,
}

/// What waits at a tracker.
#[derive(Debug, Deserialize)]
pub(crate) struct AtTracker {
    pub tracker: String,
    pub changes: u64,
    pub next_due_at: Option<Time>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    items: Vec<Waiting>,
    trackers: Vec<AtTracker>,
}

#[derive(Template)]
#[template(path = "queue.html", config = "src/server/console/askama.toml")]
pub(crate) struct QueuePage {
    pub frame: Frame,
    pub connections: Vec<Waiting>,
    pub trackers: Vec<AtTracker>,
    pub jobs: Vec<Job>,
}

impl QueuePage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }
}

/// `GET /queue`
async fn page(person: Person) -> Result<HttpResponse, Refusal> {
    let frame = Frame::of(&person, Room::Queue, "Queue").await?;
    let queue: Queue = person.api.get("/queue").await?;
    let jobs: List<Job> = person.api.get("/jobs?limit=20").await?;
    let jobs = jobs.items.into_iter().filter(Job::is_open).collect();
    page::ok(&QueuePage { frame, connections: queue.items, trackers: queue.trackers, jobs })
}
