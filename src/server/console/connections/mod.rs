//! Connections: the list, the wizards, and the page of one.

mod accept;
mod invite;
mod list;
mod one;

use actix_web::web;
use serde::Deserialize;

use super::{
    address::form,
    text::{State, Tone},
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Kind, Links, Mode, Paused, Prefer, Status, Switch},
        ids::ConnectionId,
    },
};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/connections").route(get().to(list::page)))
        .service(resource("/connections/new").route(get().to(invite::page)).route(post().to(invite::step)))
        .service(form("/connections/new/check", "/connections/new").route(post().to(invite::check)))
        .service(resource("/connections/accept").route(get().to(accept::page)).route(post().to(accept::step)))
        .service(form("/invitation-file", "/connections").route(post().to(invite::file)))
        .service(resource("/connections/{id}").route(get().to(one::page)))
        .service(form("/connections/{id}/change", "/connections/{id}").route(post().to(one::change)))
        .service(form("/connections/{id}/activate", "/connections/{id}").route(post().to(one::activate)))
        .service(form("/connections/{id}/deactivate", "/connections/{id}").route(post().to(one::deactivate)))
        .service(form("/connections/{id}/confirm", "/connections/{id}").route(post().to(one::confirm)))
        .service(form("/connections/{id}/invitation", "/connections/{id}").route(post().to(one::invite)))
        .service(form("/connections/{id}/revoke", "/connections/{id}").route(post().to(one::revoke)))
        .service(resource("/connections/{id}/delete").route(get().to(one::delete_page)).route(post().to(one::delete)));
}

/// A connection, as far as pages show it.
#[derive(Debug, Deserialize)]
pub(super) struct Connection {
    pub id: ConnectionId,
    pub name: String,
    pub status: Status,
    pub kind: Kind,
    pub mode: Mode,
    pub tracker: String,
    pub local_short_name: String,
    pub remote_short_name: String,
    pub description: String,
    pub created_at: Time,
    pub activated_at: Option<Time>,
    pub prefer: Prefer,
    pub links: Links,
    pub share_internal_comments: bool,
    pub awaiting: Option<Awaiting>,
    pub remote: Option<Remote>,
    pub health: Health,
}

/// The other side.
#[derive(Debug, Deserialize)]
pub(super) struct Remote {
    pub node: String,
    pub url: Option<String>,
    pub tracker_kind: String,
    pub state: Switch,
    pub last_seen_at: Option<Time>,
    pub key_fingerprint: String,
    pub version: String,
}

/// What rests, as far as it leads elsewhere than to the connection's own errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PausedBy {
    Tracker,
    #[serde(other)]
    Own,
}

/// How it does.
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    pub paused: Option<Paused>,
    pub paused_by: Option<PausedBy>,
    pub waiting: u64,
    pub parked: u64,
    pub latency_ms: Latency,
}

#[derive(Debug, Deserialize)]
pub(super) struct Latency {
    pub p50: Option<i64>,
    pub p95: Option<i64>,
}

/// A system beside this node.
#[derive(Debug, Deserialize)]
pub(super) struct Tracker {
    pub name: String,
    pub kind: String,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub items: Vec<T>,
    #[serde(default)]
    pub next: Option<String>,
}

impl Connection {
    /// What a person should know first.
    pub(super) fn state(&self) -> State {
        let theirs_off = self.remote.as_ref().is_some_and(|remote| remote.state == Switch::Deactivated);
        match (self.status, self.awaiting) {
            (Status::Pending, Some(Awaiting::Confirmation)) => State::new(Tone::Wait, "Waiting for you to confirm"),
            (Status::Pending, _) => State::of_connection(Status::Pending),
            (Status::Deactivated, _) => State::of_connection(Status::Deactivated),
            (Status::Active, _) if self.health.paused.is_some() => State::new(Tone::Bad, "Paused"),
            (Status::Active, _) if self.health.parked == 1 => State::new(Tone::Bad, "1 record parked"),
            (Status::Active, _) if self.health.parked > 0 => {
                State::new(Tone::Bad, format!("{} records parked", super::text::number(self.health.parked)))
            }
            (Status::Active, _) if theirs_off => State::new(Tone::Wait, "Deactivated by your partner"),
            (Status::Active, _) => State::of_connection(Status::Active),
        }
    }

    pub(super) fn mode_name(&self) -> &'static str {
        mode_name(self.mode)
    }

    pub(super) fn is_private(&self) -> bool {
        self.kind == Kind::Private
    }

    pub(super) fn is_script(&self) -> bool {
        self.mode == Mode::Script
    }

    /// Where a pause is told with what to do.
    pub(super) fn help(&self) -> String {
        match self.health.paused_by {
            Some(PausedBy::Tracker) => format!("/trackers/{}", self.tracker),
            _ => format!("/errors?connection={}", self.id),
        }
    }

    /// From arrival to outcome, the median of the last hour.
    pub(super) fn delay(&self) -> String {
        self.health.latency_ms.p50.map_or_else(|| "–".to_owned(), super::text::span)
    }

    /// Of a hundred, 95 took less.
    pub(super) fn slow(&self) -> String {
        self.health.latency_ms.p95.map_or_else(|| "–".to_owned(), super::text::span)
    }
}

impl Remote {
    /// When it was last heard from, as people say it.
    pub(super) fn seen(&self, now: &Time) -> String {
        match self.last_seen_at {
            None => "not seen yet".to_owned(),
            Some(at) => format!("seen {} ago", super::text::ago(at, *now)),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.state == Switch::Active
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state == Switch::Gone
    }
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Basic => "Basic",
        Mode::Script => "Script",
    }
}
