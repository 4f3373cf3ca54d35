//! The administrator's page: what to configure, where outbound messages go and how their delivery stands, and faults to
//! try a node with. What the page shows in words the program prints at its start.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    Fault, FaultKind, Matcher, OrgHandle, OrgSettings, OutboundMessage, Shared,
    pages::{html, see},
    state::State,
};
use crate::sandbox::{
    page::{escape, frame, input, same_site, select},
    wire::{pairs, pick},
};

/// Faults of the page: word, what the page says, what happens.
const FAULTS: [(&str, &str, FaultKind); 8] = [
    ("unavailable", "503, Server Unavailable", FaultKind::ServerUnavailableArray),
    ("maintenance", "503, a page for people", FaultKind::Html503),
    ("error", "500, an internal error", FaultKind::Error500),
    ("lost", "the work is done, the answer is lost", FaultKind::ResetAfterCommit),
    ("hang", "no answer for a minute", FaultKind::Hang(60_000)),
    ("session", "401, the session has ended", FaultKind::Unauthorized),
    ("allowance", "403, the calls of the day are used up", FaultKind::LimitExceeded),
    ("lock", "the record is locked by somebody else", FaultKind::LockRow),
];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/setup", web::get().to(show))
        .route("/setup/outbound-message", web::post().to(outbound_message))
        .route("/setup/deliveries/retry", web::post().to(retry))
        .route("/setup/sessions/end", web::post().to(end_sessions))
        .route("/setup/faults", web::post().to(faults))
        .route("/setup/calls", web::post().to(calls));
}

/// What to configure in a node beside this org.
pub(super) fn instructions(url: &str, settings: &OrgSettings) -> String {
    let mark = if settings.external_id { "  external_id_fields = { Case = \"Wicketgate_Id__c\" }\n" } else { "" };
    let jwt = match settings.jwt_public_key {
        Some(_) => format!(
            "flow = \"jwt-bearer\", username = \"{}\", private_key = the other half of the key given with --jwt-certificate",
            settings.integration_username
        ),
        None => "flow = \"jwt-bearer\" needs this org started with --jwt-certificate".to_owned(),
    };
    format!(
        "Sandbox org at {url}; it forgets everything when it stops.\n\n  Cases, as its agent:  {url}/\n  Setup and faults:     {url}/setup\n\n\
         In the configuration of the node beside it:\n\n  [trackers.support]\n  kind = \"salesforce\"\n  login_url = \"{url}\"\n  \
         flow = \"client-credentials\"\n  client_id = \"{}\"\n  client_secret = \"{}\"\n{mark}\n\
         Other ways to log in: {jwt};\nflow = \"authorization-code\", then `wicketgate tracker sign-in support` prints where to sign in.\n\n\
         `wicketgate tracker show support` prints the address for outbound messages: enter it at {url}/setup.",
        settings.client_id,
        settings.client_secret.expose(),
    )
}

async fn show(shared: web::Data<Shared>) -> HttpResponse {
    let state = shared.lock();
    let body = format!(
        "<p><a href=\"/\">All cases</a></p>{}{}{}{}",
        endpoint(&state),
        deliveries(&state),
        trouble(&state),
        format_args!("<h2>For a node beside this org</h2><pre>{}</pre>", escape(&instructions(&state.url, &state.settings)))
    );
    html(frame("Setup", "Sandbox org, as its administrator", false, &body))
}

fn endpoint(state: &State) -> String {
    format!(
        "<h2>Outbound message</h2><form class=\"card\" method=\"post\" action=\"/setup/outbound-message\">{}<button>Save</button></form>",
        input(
            "Endpoint URL: saved cases are told here, except those that the integration user saves",
            "url",
            state.outbound.address("Case").unwrap_or_default()
        )
    )
}

fn deliveries(state: &State) -> String {
    let lines = state.outbound.lines();
    let rows = lines.iter().take(100).map(|line| {
        let next = if line.dead { "given up".to_owned() } else { line.next_attempt.to_string() };
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&line.record),
            line.attempts,
            escape(&next),
            escape(line.failure.as_deref().unwrap_or("under way"))
        )
    });
    let rows = rows.collect::<String>();
    let table = if rows.is_empty() {
        "<p class=\"empty\">Nothing waits for delivery.</p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th>Record</th><th>Attempts</th><th>Next attempt</th><th>Delivery failure</th></tr></thead><tbody>{rows}</tbody></table>\
             <form method=\"post\" action=\"/setup/deliveries/retry\"><button class=\"plain\">Retry all now</button></form>"
        )
    };
    format!("<h2 id=\"deliveries\">Message delivery status</h2>{table}")
}

fn trouble(state: &State) -> String {
    let now = state.now();
    let names = FAULTS.map(|(_, words, _)| words.to_owned());
    let open = state.faults.open();
    let waiting =
        if open == 0 { String::new() } else { format!("<p class=\"note\">Calls that will still go wrong: {open}.</p>") };
    format!(
        "<h2>Trouble on purpose</h2>{waiting}<form class=\"card\" method=\"post\" action=\"/setup/faults\"><div class=\"row\">{}{}{}</div>\
         <button>Let them go wrong</button></form>\
         <form method=\"post\" action=\"/setup/sessions/end\"><button class=\"plain\">End all sessions</button></form>\
         <form class=\"card\" method=\"post\" action=\"/setup/calls\">{}<button class=\"plain\">Set</button></form>\
         <p class=\"note\">{} of {} calls of the last 24 hours are used.</p>",
        select("The next calls", "kind", &names[0], &names),
        input("How many", "times", "1"),
        select("Which", "which", "all", &["all".to_owned(), "writes".to_owned()]),
        input("Calls that others made in the last 24 hours", "others", &state.usage.others.to_string()),
        state.usage.used_at(now),
        state.settings.daily_limit
    )
}

/// Where saved cases are told: `url` of the form, with all fields of the object (`object`, else Case).
async fn outbound_message(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    let form = pairs(&body);
    let url = pick(&form, "url").unwrap_or_default().trim().to_owned();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return HttpResponse::BadRequest().body("`url` must begin with http:// or https://");
    }
    let object = pick(&form, "object").unwrap_or("Case").to_owned();
    OrgHandle::new(shared.into_inner()).set_outbound_message(OutboundMessage { object, url, fields: Vec::new() });
    see("/setup")
}

async fn retry(shared: web::Data<Shared>, request: HttpRequest) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    OrgHandle::new(shared.into_inner()).retry_deliveries();
    see("/setup#deliveries")
}

async fn end_sessions(shared: web::Data<Shared>, request: HttpRequest) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    OrgHandle::new(shared.into_inner()).expire_sessions();
    see("/setup")
}

async fn faults(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    let form = pairs(&body);
    let wanted = pick(&form, "kind").unwrap_or_default();
    let Some((_, _, kind)) = FAULTS.iter().find(|(word, words, _)| *word == wanted || *words == wanted) else {
        return HttpResponse::BadRequest().body("no such trouble");
    };
    let times = pick(&form, "times").and_then(|times| times.trim().parse().ok()).unwrap_or(1);
    let when = Matcher {
        path: Some("/services/data/".to_owned()),
        writes: pick(&form, "which") == Some("writes"),
        ..Matcher::default()
    };
    OrgHandle::new(shared.into_inner()).fail(Fault { when, times, skip: 0, kind: *kind });
    see("/setup")
}

async fn calls(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    let others = pick(&pairs(&body), "others").and_then(|calls| calls.trim().parse().ok()).unwrap_or(0);
    OrgHandle::new(shared.into_inner()).set_calls_of_others(others);
    see("/setup")
}
