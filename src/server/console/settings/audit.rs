//! Who changed what, newest first.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{Done, Tab, path_part};
use crate::{
    clock::Time,
    domain::ids::{TokenId, UserId},
    server::console::{
        connections::List,
        gate::{Person, Refusal},
        page::{self, Frame, Room, Way},
        text::When,
    },
};

/// A line of the log.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub at: Time,
    pub token_id: Option<TokenId>,
    pub user_id: Option<UserId>,
    pub by: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

impl Line {
    pub(crate) fn when(&self) -> When {
        When(self.at)
    }

    /// Whether a person or a program did it.
    pub(crate) fn kind(&self) -> &'static str {
        match (self.user_id, self.token_id) {
            (Some(_), _) => "person",
            (None, Some(_)) => "token",
            (None, None) => "",
        }
    }
}

#[derive(Template)]
#[template(path = "settings/audit.html", config = "src/server/console/askama.toml")]
pub(crate) struct AuditPage {
    pub frame: Frame,
    pub tabs: Vec<Way>,
    pub lines: Vec<Line>,
    /// This is not the newest part.
    pub older: bool,
    pub next: Option<String>,
}

/// `GET /settings/audit`
pub(super) async fn page(person: Person, asked: web::Query<Done>) -> Result<HttpResponse, Refusal> {
    let older = !asked.cursor.is_empty();
    let after = if older { format!("&cursor={}", path_part(&asked.cursor)) } else { String::new() };
    let list: List<Line> = person.api.get(format!("/audit?limit=50{after}")).await?;
    let frame = Frame::of(&person, Room::Settings, "Audit log").await?;
    let next = list.next.map(|next| path_part(&next));
    page::ok(&AuditPage { frame, tabs: Tab::Audit.ways(&person), lines: list.items, older, next })
}
