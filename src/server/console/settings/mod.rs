//! Settings: the node and one's own account for everybody; accounts, tokens and the audit log for admins.
//!
//! Each page of the room shows the ways to the others that the person's role may open ([`Tab::ways`]).
//!
//! Traps. A password that was typed never goes back to the browser, whatever was refused. The secret of a token is on the
//! page that made it and nowhere else; that page stands under the address of the list, so that a reload asks for nothing.

mod audit;
mod own;
mod tokens;
mod users;

use actix_web::web;
use serde::Deserialize;

use super::{
    address::form,
    gate::{Person, Signed},
    page::Way,
    text::When,
};
use crate::{clock::Time, domain::token::Scope};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/settings").route(get().to(own::page)))
        .service(form("/settings/password", "/settings").route(post().to(own::password)))
        .service(form("/settings/sessions", "/settings").route(post().to(own::end_others)))
        .service(form("/settings/sessions/{session}", "/settings").route(post().to(own::end_one)))
        .service(resource("/settings/users").route(get().to(users::list)).route(post().to(users::create)))
        .service(resource("/settings/users/{user}").route(get().to(users::page)).route(post().to(users::change)))
        .service(form("/settings/users/{user}/password", "/settings/users/{user}").route(post().to(users::password)))
        .service(form("/settings/users/{user}/sessions", "/settings/users/{user}").route(post().to(users::end_all)))
        .service(form("/settings/users/{user}/sessions/{session}", "/settings/users/{user}").route(post().to(users::end_one)))
        .service(resource("/settings/users/{user}/delete").route(get().to(users::delete_page)).route(post().to(users::delete)))
        .service(resource("/settings/tokens").route(get().to(tokens::list)).route(post().to(tokens::create)))
        .service(
            resource("/settings/tokens/{token}/delete").route(get().to(tokens::delete_page)).route(post().to(tokens::delete)),
        )
        .service(resource("/settings/audit").route(get().to(audit::page)));
}

/// The pages of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Own,
    Users,
    Tokens,
    Audit,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Own, "/settings", "Node and own account"),
        (Self::Users, "/settings/users", "Accounts"),
        (Self::Tokens, "/settings/tokens", "Tokens"),
        (Self::Audit, "/settings/audit", "Audit log"),
    ];

    /// The pages that this person may open; none where there is nothing to choose.
    fn ways(self, person: &Person) -> Vec<Way> {
        if !person.may(Scope::Admin) {
            return Vec::new();
        }
        Self::ALL.into_iter().map(|(tab, path, name)| Way { path, name, here: tab == self, count: 0 }).collect()
    }
}

/// What a role lets a person do, and a scope a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub scope: Scope,
    pub word: &'static str,
    pub sentence: &'static str,
}

const ROLES: [Role; 4] = [
    Role { scope: Scope::Read, word: "read", sentence: "Sees connections, records and errors. Changes nothing." },
    Role {
        scope: Scope::Operate,
        word: "operate",
        sentence: "Also syncs, stops, retries and skips records, runs triggers, and switches connections on and off.",
    },
    Role { scope: Scope::Configure, word: "configure", sentence: "Also makes and changes connections, triggers and rules." },
    Role {
        scope: Scope::Admin,
        word: "admin",
        sentence: "Also makes accounts and tokens, signs in to trackers, and reads the audit log.",
    },
];

/// Whether a form names a role, or a scope. It is asked before the API is, whose words about it are for programs.
fn is_role(word: &str) -> bool {
    ROLES.iter().any(|one| one.word == word)
}

fn word(role: Scope) -> &'static str {
    ROLES.into_iter().find(|one| one.scope == role).map_or("", |one| one.word)
}

/// Where somebody is signed in.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub id: String,
    pub made_at: Time,
    pub seen_at: Time,
    pub address: String,
    pub browser: String,
    pub own: bool,
}

impl Session {
    /// The browser in two words, where it is one that people know; else as it calls itself.
    pub(crate) fn name(&self) -> String {
        let told = &self.browser;
        // Browsers call themselves by the names of others, too: the rare ones come first.
        let browsers =
            [("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
        let systems = [
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS X", "macOS"),
            ("Linux", "Linux"),
        ];
        let known = |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| told.contains(mark)).map(|(_, name)| *name);
        match (known(&browsers), known(&systems)) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            _ if told.is_empty() => "a browser without a name".to_owned(),
            _ => told.clone(),
        }
    }

    pub(crate) fn made(&self) -> When {
        When(self.made_at)
    }

    pub(crate) fn seen(&self) -> When {
        When(self.seen_at)
    }
}

/// What an address says was done just now.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Done {
    done: String,
    cursor: String,
}

impl Done {
    fn sentence(&self) -> Option<&'static str> {
        match self.done.as_str() {
            "password" => Some("The password is changed. Whoever was signed in with the old one is signed out."),
            "sessions" => Some("Done: those who used these sessions are signed out."),
            "saved" => Some("Saved."),
            _ => None,
        }
    }
}

/// The two passwords of a form are one.
fn typed_twice(signed: &Signed) -> bool {
    signed.form.get("password") == signed.form.get("again")
}

/// Said at the second where they are not.
const NOT_TWICE: &str = "Is not the same as the password above.";

/// What stood in an address, for another: it may hold anything.
fn path_part(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
