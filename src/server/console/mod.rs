//! The console: pages for people, made of what the API answers (docs/CONSOLE.md).
//!
//! A request passes the gate ([`gate`]: who is signed in, and for a form that it was sent by our own page), then a
//! handler asks the API as that person ([`super::kit::inside`]), makes a view of the answer and renders a template.
//!
//! Traps. A handler never asks the store. What a partner or a tracker wrote is text: templates escape, and only our own
//! small types ([`text`]) are written as they are.
//!
//! To add a page: handler and view in a room here, its template under `templates/`, a line in [`routes`], a sample in the
//! room's template test, and its address in the browser test that visits all pages.

mod address;
mod assets;
mod chart;
mod connections;
mod dashboard;
mod errors;
mod form;
mod gate;
mod jobs;
mod lost;
mod page;
mod people;
mod queue;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod text;
mod trackers;
mod triggers;
mod twins;

use actix_web::web;

pub use lost::{path_config, query_config};

/// Mounts the console.
pub fn routes(config: &mut web::ServiceConfig) {
    use address::form;
    use web::{get, post, resource};
    config
        .service(resource("/assets/{hash}/{name}").route(get().to(assets::get)))
        .service(resource("/live").route(get().to(page::live)))
        .service(resource("/sign-in").route(get().to(people::sign_in_page)).route(post().to(people::sign_in)))
        .service(form("/sign-out", "/").route(post().to(people::sign_out)))
        .service(resource("/setup").route(get().to(people::set_up_page)).route(post().to(people::set_up)))
        .configure(dashboard::routes)
        .configure(connections::routes)
        .configure(triggers::routes)
        .configure(trackers::routes)
        .configure(twins::routes)
        .configure(errors::routes)
        .configure(jobs::routes)
        .configure(queue::routes)
        .configure(rules::routes)
        .configure(settings::routes)
        .default_service(web::to(lost::nowhere));
}
