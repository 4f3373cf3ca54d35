//! What a person sees: the agent's cases, the sign-in page of the authorization flow. The administrator's page is in
//! `setup`.
//!
//! Plain forms. The list reloads itself; the form pages do not, so nothing that is being typed is lost.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Map, Value};

use super::{Shared, errors::ApiError, http, save::SaveOptions, state::State};
use crate::sandbox::{
    page::{area, escape, frame, input, same_site, select},
    wire::{pairs, pick},
};

/// Fields of the form.
const FIELDS: [&str; 6] = ["Subject", "Description", "Status", "Priority", "Origin", "Type"];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/", web::get().to(list)).route("/cases/{id}", web::get().to(edit)).service(
        web::scope("/sandbox")
            .route("/cases", web::post().to(create))
            .route("/cases/{id}", web::post().to(update))
            .route("/cases/{id}/delete", web::post().to(delete))
            .route("/faults", web::to(faults)),
    );
}

pub(super) fn html(page: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ))
        .body(page)
}

pub(super) fn see(place: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
}

async fn faults(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    http::faults(&mut shared.lock(), request.method().as_str(), &body)
}

async fn list(shared: web::Data<Shared>) -> HttpResponse {
    let state = shared.lock();
    let mut cases = state.of("Case").filter(|case| case.deleted.is_none()).collect::<Vec<_>>();
    cases.sort_by(|a, b| b.text("CaseNumber").cmp(a.text("CaseNumber")));
    let rows = cases.iter().take(200).map(|case| {
        let by = state.records.get(case.text("LastModifiedById")).map(|user| user.text("Name")).unwrap_or_default();
        format!(
            "<tr><td><a href=\"/cases/{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            case.text("Id"),
            case.text("CaseNumber"),
            escape(case.text("Subject")),
            escape(case.text("Status")),
            escape(case.text("Priority")),
            escape(by)
        )
    });
    let rows = rows.collect::<String>();
    let table = if rows.is_empty() {
        "<p class=\"empty\">No cases yet.</p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th>Case</th><th>Subject</th><th>Status</th><th>Priority</th><th>Last changed by</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    };
    let waiting = state.outbound.waiting();
    let note = if waiting == 0 {
        String::new()
    } else {
        format!("<p class=\"note\">{waiting} outbound messages wait for delivery. <a href=\"/setup#deliveries\">Why?</a></p>")
    };
    let told = state.outbound.address("Case").map_or_else(
        || "<p class=\"note\">No outbound message is set up. <a href=\"/setup\">Set it up</a></p>".to_owned(),
        |url| format!("<p class=\"note\">Saved cases are told to {}. <a href=\"/setup\">Change</a></p>", escape(url)),
    );
    let body = format!("<p><a href=\"/cases/new\">New case</a> · <a href=\"/setup\">Setup</a></p>{note}{table}{told}");
    html(frame("Cases", "Sandbox org, as its agent Mira Olsen", true, &body))
}

async fn edit(shared: web::Data<Shared>, id: web::Path<String>) -> HttpResponse {
    form(&shared.lock(), &id, None)
}

fn form(state: &State, id: &str, problem: Option<&ApiError>) -> HttpResponse {
    let case = state.records.get(id).filter(|case| case.object == "Case" && case.deleted.is_none());
    if case.is_none() && id != "new" {
        return HttpResponse::NotFound().content_type("text/html; charset=utf-8").body(frame(
            "No such case",
            "Sandbox org",
            false,
            "<p><a href=\"/\">All cases</a></p>",
        ));
    }
    let value = |name: &str| {
        case.map_or_else(
            || {
                state
                    .schema
                    .get("Case")
                    .and_then(|kind| kind.field(name)?.default.as_ref()?.as_str().map(str::to_owned))
                    .unwrap_or_default()
            },
            |case| case.text(name).to_owned(),
        )
    };
    let choices = |name: &str| {
        let field = state.schema.get("Case").and_then(|kind| kind.field(name));
        field.into_iter().flat_map(|field| &field.choices).map(|choice| choice.value.clone()).collect::<Vec<_>>()
    };
    let picks = ["Status", "Priority", "Origin", "Type"].map(|name| select(name, name, &value(name), &choices(name))).concat();
    let place = if case.is_some() { format!("/sandbox/cases/{}", escape(id)) } else { "/sandbox/cases".to_owned() };
    let problem = problem.map(|error| format!("<p class=\"error\">{}</p>", escape(&error.message))).unwrap_or_default();
    let delete = case.map_or_else(String::new, |_| {
        format!("<form method=\"post\" action=\"{place}/delete\"><button class=\"plain\">Delete</button></form>")
    });
    let body = format!(
        "<p><a href=\"/\">All cases</a></p>{problem}<form class=\"card\" method=\"post\" action=\"{place}\">{}{}<div class=\"row\">{picks}</div>\
         <button>Save</button></form>{delete}",
        input("Subject", "Subject", &value("Subject")),
        area("Description", "Description", &value("Description"))
    );
    let title = case.map_or_else(|| "New case".to_owned(), |case| format!("Case {}", case.text("CaseNumber")));
    html(frame(&title, "Sandbox org, as its agent Mira Olsen", false, &body))
}

/// The known fields of a form, with line ends as the API has them.
fn values(body: &[u8]) -> Map<String, Value> {
    let form = pairs(body);
    let known = FIELDS.iter().filter_map(|name| Some((*name, pick(&form, name)?)));
    known.map(|(name, value)| (name.to_owned(), Value::String(value.replace("\r\n", "\n")))).collect()
}

async fn act(
    shared: &Shared,
    request: &HttpRequest,
    id: &str,
    save: impl FnOnce(&mut State, &str) -> Result<(), ApiError>,
) -> HttpResponse {
    if !same_site(request) {
        return HttpResponse::Forbidden().finish();
    }
    let response = {
        let mut state = shared.lock();
        state.begin();
        let (who, mark) = (state.natives.agent.clone(), state.mark());
        match save(&mut state, &who) {
            Ok(()) => see("/"),
            Err(error) => {
                state.roll_back(mark);
                form(&state, id, Some(&error))
            }
        }
    };
    shared.wake.notify_one();
    response
}

async fn create(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    act(&shared, &request, "new", |state, who| state.create("Case", &values(&body), who, SaveOptions::default()).map(drop)).await
}

async fn update(shared: web::Data<Shared>, request: HttpRequest, id: web::Path<String>, body: web::Bytes) -> HttpResponse {
    act(&shared, &request, &id, |state, who| state.update("Case", &id, &values(&body), who, SaveOptions::default())).await
}

async fn delete(shared: web::Data<Shared>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    act(&shared, &request, &id, |state, who| state.delete(Some("Case"), &id, who)).await
}

/// Any other address. A record's short address leads to its page.
pub(super) fn other(state: &State, request: &HttpRequest, _body: &[u8]) -> HttpResponse {
    let last = request.path().trim_end_matches("/view").rsplit('/').next().unwrap_or_default();
    match super::ids::to_18(last).filter(|id| state.records.get(id).is_some_and(|record| record.object == "Case")) {
        Some(id) => see(&format!("/cases/{id}")),
        None => HttpResponse::NotFound().body("Not found"),
    }
}

/// `/services/oauth2/authorize`: the page that asks, and what follows the answer.
pub(super) fn authorize(state: &mut State, query: &[(String, String)], form: &[(String, String)], post: bool) -> HttpResponse {
    let asked = if post { form } else { query };
    if let Err(error) = state.check_authorize(asked) {
        return HttpResponse::BadRequest().content_type("text/html; charset=utf-8").body(frame(
            "Sign-in failed",
            "Sandbox org",
            false,
            &format!("<p class=\"error\">error={}&amp;error_description={}</p>", error.0, escape(&error.1)),
        ));
    }
    let who = if state.settings.auto_approve { Some("integration") } else { pick(form, "answer").filter(|_| post) };
    let Some(answer) = who else { return html_ask(asked) };
    let user = match answer {
        "integration" => Some(state.natives.integration.clone()),
        "agent" => Some(state.natives.agent.clone()),
        _ => None,
    };
    match state.authorize(asked, user.as_deref()) {
        Some(place) => HttpResponse::Found().insert_header((header::LOCATION, place)).finish(),
        None => HttpResponse::BadRequest().finish(),
    }
}

fn html_ask(asked: &[(String, String)]) -> HttpResponse {
    let kept = asked.iter().filter(|(name, _)| name != "answer");
    let hidden =
        kept.map(|(name, value)| format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value)));
    let body = format!(
        "<form class=\"card\" method=\"post\" action=\"/services/oauth2/authorize\">{}<p>An application asks for access to your data.</p>\
         <div class=\"row\"><button name=\"answer\" value=\"integration\">Allow as Sync Integration</button>\
         <button name=\"answer\" value=\"agent\">Allow as Mira Olsen</button><button class=\"plain\" name=\"answer\" value=\"deny\">Deny</button></div></form>",
        hidden.collect::<String>()
    );
    html(frame("Allow access?", "Sandbox org", false, &body))
}
