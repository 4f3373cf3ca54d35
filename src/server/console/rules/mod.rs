//! Rules: the editor with its checks, trials on real records, versions, and publishing that reaches what exists.
//!
//! The two texts travel in one form, so that saving, trying and going on to publish lose nothing that was typed. A draft
//! names the one it began from: of two tabs, the second is told and keeps its text.

mod edit;
mod publish;
mod versions;

use actix_web::web;
use serde::Deserialize;

use super::{address::form, text::When};
use crate::{clock::Time, rules::checks::Severity, server::kit::FieldError};

/// Mounts the room.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    use web::{get, post, resource};
    config
        .service(resource("/connections/{id}/rules").route(get().to(edit::page)).route(post().to(edit::save)))
        .service(form("/connections/{id}/rules/check", "/connections/{id}/rules").route(post().to(edit::check)))
        .service(form("/connections/{id}/rules/test", "/connections/{id}/rules").route(post().to(edit::test)))
        .service(resource("/connections/{id}/rules/publish").route(get().to(publish::page)).route(post().to(publish::publish)))
        .service(form("/connections/{id}/rules/preview", "/connections/{id}/rules/publish").route(post().to(publish::preview)))
        .service(form("/connections/{id}/rules/reapply", "/connections/{id}/rules/publish").route(post().to(publish::reapply)))
        .service(resource("/connections/{id}/rules/versions").route(get().to(versions::page)))
        .service(resource("/connections/{id}/rules/versions/{version}").route(get().to(versions::one)))
        .service(
            form("/connections/{id}/rules/rollback", "/connections/{id}/rules/versions").route(post().to(versions::rollback)),
        );
}

/// A draft, as far as pages show it.
#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    pub outgoing: String,
    pub incoming: String,
    pub base: u32,
    pub at: Time,
    pub by: String,
}

/// What runs.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    pub outgoing: String,
    pub incoming: String,
    pub version: u32,
    pub at: Option<Time>,
    pub by: Option<String>,
    pub note: Option<String>,
}

impl Published {
    /// When it was published; nothing for the built-in pair.
    pub(crate) fn when(&self) -> Option<When> {
        self.at.map(When)
    }
}

/// The rules of a connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Rules {
    pub draft: Option<Draft>,
    pub published: Published,
    #[serde(default)]
    pub problems: Vec<FieldError>,
}

/// What was found in one of the two texts.
#[derive(Debug)]
pub(crate) struct Found {
    pub rule: String,
    pub line: u32,
    pub message: String,
    pub text: String,
    pub advice: String,
    pub grave: bool,
}

impl From<&FieldError> for Found {
    fn from(error: &FieldError) -> Self {
        Self {
            rule: error.field.clone(),
            line: error.line.unwrap_or_default(),
            message: error.message.clone(),
            text: error.text.clone().unwrap_or_default(),
            advice: error.advice.clone().unwrap_or_default(),
            grave: error.severity != Some(Severity::Warning),
        }
    }
}

/// All that was found, by line.
pub(crate) fn found(problems: &[FieldError]) -> Vec<Found> {
    problems.iter().map(Found::from).collect()
}
