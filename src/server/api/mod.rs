//! REST v1. One file per resource; handlers extract, authorise, act, answer.
//!
//! To add an operation: a handler with its `utoipa::path`, a line in [`routes`] and one in [`Doc`] (a test holds the two
//! together), an example of a new body in [`description`], and the OpenAPI snapshot. Names are those of the design; errors are [`Problem`](super::kit::Problem)s.

pub mod bodies;
mod common;
mod connections;
mod description;
mod errors;
mod figures;
mod governing;
mod invitations;
mod jobs;
mod many;
mod node;
mod panel;
mod rules;
mod stream;
mod tokens;
mod trackers;
mod triggers;
mod twin_lists;
mod twins;
mod users;

use actix_web::{
    Error, HttpResponse, Scope,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web,
};
use utoipa::OpenApi;

use super::kit::{ProblemBody, auth, idempotency, whole};

/// Where the API is mounted.
pub const BASE: &str = "/api/v1";

/// The API's operations and bodies; [`description`] adds what they share.
#[derive(OpenApi)]
#[openapi(
    info(title = "Wicketgate", description = "Keeps records in step between two trackers."),
    servers((url = "/api/v1")),
    paths(
        described,
        invitations::check_destination,
        connections::create, connections::list, connections::get, connections::patch, connections::delete,
        connections::activate, connections::deactivate, connections::confirm,
        invitations::invite, invitations::revoke, invitations::inspect, invitations::accept,
        rules::get, rules::save, rules::check, rules::publish, rules::rollback, rules::test, rules::versions, rules::version, rules::compare,
        rules::declarations,
        triggers::list, triggers::create, triggers::count, triggers::get, triggers::patch, triggers::delete,
        twins::sync_now, twins::link, twin_lists::export, twin_lists::stop_many, twins::list, twins::get, twins::history, twins::stop,
        trackers::list, trackers::get, trackers::check, trackers::rotate, trackers::sign_in, trackers::types,
        trackers::describe, trackers::entity, panel::status, rules::uses::uses,
        node::queue, node::status, figures::figures,
        jobs::list, jobs::get, jobs::report, jobs::cancel, jobs::pause, jobs::resume, jobs::run_trigger, jobs::preview,
        jobs::reapply, jobs::reconcile,
        errors::list, errors::groups, errors::get, errors::retry, errors::skip, errors::retry_many, errors::skip_many,
        tokens::list, tokens::create, tokens::delete, tokens::audit,
        users::list, users::create, users::get, users::patch, users::delete, users::password, users::sessions,
        users::end_all, users::end_one,
        stream::stream,
    ),
    components(schemas(ProblemBody)),
)]
#[derive(Debug)]
struct Doc;

/// The OpenAPI document as JSON.
pub fn document() -> String {
    let whole = description::dress(serde_json::to_value(Doc::openapi()).expect("the document is plain JSON"));
    format!("{whole:#}")
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "node", operation_id = "openapi", security(()),
    responses((status = 200, description = "The OpenAPI document", content_type = "application/json", body = Object)))]
async fn described() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}

/// Mounts the API.
pub fn routes(config: &mut web::ServiceConfig) {
    let open = web::resource("/api/v1/openapi.json").route(web::get().to(described));
    config.service(open).service(operations().wrap(from_fn(auth::authenticate)));
}

/// Mounts it for those within the process: who asks stands beside the request already.
pub fn within(config: &mut web::ServiceConfig) {
    config.service(operations());
}

fn operations()
-> Scope<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>> {
    web::scope(BASE)
        .wrap(from_fn(idempotency::repeat))
        .wrap(from_fn(whole::whole))
        .configure(joining)
        .configure(syncing)
        .configure(administering)
}

fn joining(config: &mut web::ServiceConfig) {
    use web::{delete, get, patch, post, resource};
    config
        .service(resource("/destinations/check").route(post().to(invitations::check_destination)))
        .service(resource("/connections").route(get().to(connections::list)).route(post().to(connections::create)))
        .service(
            resource("/connections/{id}")
                .route(get().to(connections::get))
                .route(patch().to(connections::patch))
                .route(delete().to(connections::delete)),
        )
        .service(resource("/connections/{id}/activate").route(post().to(connections::activate)))
        .service(resource("/connections/{id}/deactivate").route(post().to(connections::deactivate)))
        .service(resource("/connections/{id}/confirm").route(post().to(connections::confirm)))
        .service(
            resource("/connections/{id}/invitation")
                .route(post().to(invitations::invite))
                .route(delete().to(invitations::revoke)),
        )
        .service(resource("/invitations/inspect").route(post().to(invitations::inspect)))
        .service(resource("/invitations/accept").route(post().to(invitations::accept)));
}

fn syncing(config: &mut web::ServiceConfig) {
    use web::{delete, get, patch, post, put, resource};
    config
        .service(resource("/connections/{id}/rules").route(get().to(rules::get)).route(put().to(rules::save)))
        .service(resource("/connections/{id}/rules/check").route(post().to(rules::check)))
        .service(resource("/connections/{id}/rules/publish").route(post().to(rules::publish)))
        .service(resource("/connections/{id}/rules/test").route(post().to(rules::test)))
        .service(resource("/connections/{id}/rules/preview").route(post().to(jobs::preview)))
        .service(resource("/connections/{id}/rules/reapply").route(post().to(jobs::reapply)))
        .service(resource("/connections/{id}/reconcile").route(post().to(jobs::reconcile)))
        .service(resource("/connections/{id}/triggers/{trigger}/run").route(post().to(jobs::run_trigger)))
        .service(resource("/jobs").route(get().to(jobs::list)))
        .service(resource("/jobs/{id}").route(get().to(jobs::get)).route(delete().to(jobs::cancel)))
        .service(resource("/jobs/{id}/report").route(get().to(jobs::report)))
        .service(resource("/jobs/{id}/pause").route(post().to(jobs::pause)))
        .service(resource("/jobs/{id}/resume").route(post().to(jobs::resume)))
        .service(resource("/connections/{id}/rules/declarations").route(get().to(rules::declarations)))
        .service(resource("/connections/{id}/rules/rollback").route(post().to(rules::rollback)))
        .service(resource("/connections/{id}/rules/versions").route(get().to(rules::versions)))
        .service(resource("/connections/{id}/rules/versions/{version}").route(get().to(rules::version)))
        .service(resource("/connections/{id}/rules/compare").route(get().to(rules::compare)))
        .service(resource("/connections/{id}/triggers").route(get().to(triggers::list)).route(post().to(triggers::create)))
        // Before the pattern below, which would take `count` for an id.
        .service(resource("/connections/{id}/triggers/count").route(post().to(triggers::count)))
        .service(
            resource("/connections/{id}/triggers/{trigger}")
                .route(get().to(triggers::get))
                .route(patch().to(triggers::patch))
                .route(delete().to(triggers::delete)),
        )
        .service(resource("/connections/{id}/twins").route(post().to(twins::sync_now)))
        .service(resource("/connections/{id}/twins/link").route(post().to(twins::link)))
        .service(resource("/connections/{id}/twins.csv").route(get().to(twin_lists::export)))
        .service(resource("/twins").route(get().to(twins::list)))
        // Before the pattern below, which would take `stop` for an id.
        .service(resource("/twins/stop").route(post().to(twin_lists::stop_many)))
        .service(resource("/twins/{id}").route(get().to(twins::get)).route(delete().to(twins::stop)))
        .service(resource("/twins/{id}/history").route(get().to(twins::history)))
        .service(resource("/errors").route(get().to(errors::list)))
        // Before the pattern below, which would take `groups` for an id.
        .service(resource("/errors/groups").route(get().to(errors::groups)))
        .service(resource("/errors/retry").route(post().to(errors::retry_many)))
        .service(resource("/errors/skip").route(post().to(errors::skip_many)))
        .service(resource("/errors/{id}").route(get().to(errors::get)))
        .service(resource("/errors/{id}/retry").route(post().to(errors::retry)))
        .service(resource("/errors/{id}/skip").route(post().to(errors::skip)));
}

fn administering(config: &mut web::ServiceConfig) {
    use web::{delete, get, patch, post, resource};
    config
        .service(resource("/trackers").route(get().to(trackers::list)))
        .service(resource("/trackers/{name}").route(get().to(trackers::get)))
        .service(resource("/trackers/{name}/check").route(post().to(trackers::check)))
        .service(resource("/trackers/{name}/rotate-token").route(post().to(trackers::rotate)))
        .service(resource("/trackers/{name}/sign-in").route(post().to(trackers::sign_in)))
        .service(resource("/trackers/{name}/types").route(get().to(trackers::types)))
        .service(resource("/trackers/{name}/types/{type}").route(get().to(trackers::describe)))
        .service(resource("/trackers/{name}/entities/{type}/{key}").route(get().to(trackers::entity)))
        .service(resource("/trackers/{name}/entities/{type}/{key}/status").route(get().to(panel::status)))
        .service(resource("/trackers/{name}/uses").route(get().to(rules::uses::uses)))
        .service(resource("/queue").route(get().to(node::queue)))
        .service(resource("/status").route(get().to(node::status)))
        .service(resource("/figures").route(get().to(figures::figures)))
        .service(resource("/stream").route(get().to(stream::stream)))
        .service(resource("/tokens").route(get().to(tokens::list)).route(post().to(tokens::create)))
        .service(resource("/tokens/{id}").route(delete().to(tokens::delete)))
        .service(resource("/users").route(get().to(users::list)).route(post().to(users::create)))
        .service(
            resource("/users/{id}").route(get().to(users::get)).route(patch().to(users::patch)).route(delete().to(users::delete)),
        )
        .service(resource("/users/{id}/password").route(post().to(users::password)))
        .service(resource("/users/{id}/sessions").route(get().to(users::sessions)).route(delete().to(users::end_all)))
        .service(resource("/users/{id}/sessions/{session}").route(delete().to(users::end_one)))
        .service(resource("/audit").route(get().to(tokens::audit)));
}
