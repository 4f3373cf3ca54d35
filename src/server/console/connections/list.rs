//! All connections of the node.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::{Connection, List};
use crate::{
    clock::Time,
    server::{
        console::{
            gate::{Person, Refusal},
            page::{self, Frame, Room, may_configure},
        },
        kit::Node,
    },
};

#[derive(Template)]
#[template(path = "connections/list.html", config = "src/server/console/askama.toml")]
pub(crate) struct ListPage {
    pub frame: Frame,
    pub connections: Vec<Connection>,
    pub now: Time,
    /// Buttons that change something are shown.
    pub may: bool,
    pub is_private_node: bool,
}

/// `GET /connections`
pub(super) async fn page(node: web::Data<Node>, person: Person) -> Result<HttpResponse, Refusal> {
    let frame = Frame::of(&person, Room::Connections, "Connections").await?;
    let mut connections = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let part: List<Connection> = person.api.get(format!("/connections?limit=500{cursor}")).await?;
        connections.extend(part.items);
        next = part.next.map(|cursor| format!("&cursor={cursor}"));
    }
    let is_private_node = frame.kind == "private";
    page::ok(&ListPage { may: may_configure(&person), frame, connections, now: node.now(), is_private_node })
}
