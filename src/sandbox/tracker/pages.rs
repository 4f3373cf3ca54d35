//! What a person sees: the list of issues, one issue with its form and comments.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::{Map, Value, json};

use super::{Hook, Shared, book::Book};
use crate::{
    sandbox::{
        page::{area, escape, frame, input, same_site, select},
        wire::{pairs, pick},
    },
    secret::Secret,
};

/// Fields of the form.
const FIELDS: [&str; 4] = ["summary", "description", "status", "priority"];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(list))
        .route("/issues/{key}", web::get().to(show))
        .route("/setup", web::get().to(setup))
        .route("/sandbox/hook", web::post().to(hook))
        .route("/sandbox/issues", web::post().to(create))
        .route("/sandbox/issues/{key}", web::post().to(update))
        .route("/sandbox/issues/{key}/comments", web::post().to(comment))
        .route("/sandbox/issues/{key}/delete", web::post().to(delete));
}

fn html(page: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ))
        .body(page)
}

/// A value as one line of text.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

async fn list(shared: web::Data<Shared>) -> HttpResponse {
    let book = shared.lock();
    let mut issues = book.entities.values().filter(|entity| !entity.deleted).collect::<Vec<_>>();
    issues.sort_by_key(|entity| std::cmp::Reverse((entity.changed_at, entity.key.clone())));
    let rows = issues.iter().take(200).map(|entity| {
        let cell = |name: &str| escape(&text(entity.fields.get(name)));
        format!(
            "<tr><td><a href=\"/issues/{0}\">{0}</a></td><td>{1}</td><td>{2}</td><td>{3}</td></tr>",
            escape(&entity.key),
            cell("summary"),
            cell("status"),
            cell("priority")
        )
    });
    let rows = rows.collect::<String>();
    let table = if rows.is_empty() {
        "<p class=\"empty\">No issues yet.</p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th>Issue</th><th>Summary</th><th>Status</th><th>Priority</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    };
    html(frame(
        "Issues",
        "Sandbox tracker",
        true,
        &format!("<p><a href=\"/issues/new\">New issue</a> · <a href=\"/setup\">Hook</a></p>{table}"),
    ))
}

async fn setup(shared: web::Data<Shared>) -> HttpResponse {
    let url = shared.lock().settings.hook.as_ref().map(|hook| hook.url.clone()).unwrap_or_default();
    let body = format!(
        "<p><a href=\"/\">All issues</a></p><form class=\"card\" method=\"post\" action=\"/sandbox/hook\">{}{}<button>Save</button></form>",
        input("Where changes are told", "url", &url),
        input("Secret (whsec_…)", "secret", "")
    );
    html(frame("Hook", "Sandbox tracker", false, &body))
}

/// Where changes are told: `url` and `secret` of the form.
async fn hook(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if !same_site(&request) {
        return HttpResponse::Forbidden().finish();
    }
    let form = pairs(&body);
    let url = pick(&form, "url").unwrap_or_default().trim().to_owned();
    let secret = pick(&form, "secret").unwrap_or_default().trim();
    if !(url.starts_with("http://") || url.starts_with("https://")) || !secret.starts_with("whsec_") {
        return HttpResponse::BadRequest().body("`url` must begin with http:// or https://, `secret` with whsec_");
    }
    let hook = Hook { url, secret: Secret::new(secret) };
    act(&shared, &request, |book| {
        book.settings.hook = Some(hook);
        Some("/".to_owned())
    })
}

async fn show(shared: web::Data<Shared>, key: web::Path<String>) -> HttpResponse {
    form(&shared.lock(), &key)
}

fn form(book: &Book, key: &str) -> HttpResponse {
    let entity = book.entities.get(key).filter(|entity| !entity.deleted);
    if entity.is_none() && key != "new" {
        let page = frame("No such issue", "Sandbox tracker", false, "<p><a href=\"/\">All issues</a></p>");
        return HttpResponse::NotFound().content_type("text/html; charset=utf-8").body(page);
    }
    let value = |name: &str| text(entity.and_then(|entity| entity.fields.get(name)));
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let place = entity.map_or_else(|| "/sandbox/issues".to_owned(), |entity| format!("/sandbox/issues/{}", escape(&entity.key)));
    let mut body = format!(
        "<p><a href=\"/\">All issues</a></p><form class=\"card\" method=\"post\" action=\"{place}\">{}{}<div class=\"row\">{}{}</div><button>Save</button></form>",
        input("Summary", "summary", &value("summary")),
        area("Description", "description", &value("description")),
        select("Status", "status", &value("status"), &list(&["New", "In Progress", "Resolved", "Closed"])),
        select("Priority", "priority", &value("priority"), &list(&["Low", "Medium", "High"])),
    );
    if let Some(entity) = entity {
        let rows = entity.comments.iter().map(|comment| {
            let author = comment["author"]["name"].as_str().unwrap_or("somebody");
            format!("<tr><td>{}</td><td>{}</td></tr>", escape(author), escape(&text(comment.get("body"))))
        });
        let rows = rows.collect::<String>();
        if !rows.is_empty() {
            body.push_str(&format!(
                "<table><thead><tr><th>Comment by</th><th>Text</th></tr></thead><tbody>{rows}</tbody></table>"
            ));
        }
        body.push_str(&format!(
            "<form class=\"card\" method=\"post\" action=\"{place}/comments\">{}<button>Comment</button></form>\
             <form method=\"post\" action=\"{place}/delete\"><button class=\"plain\">Delete</button></form>",
            area("New comment", "body", "")
        ));
    }
    html(frame(entity.map_or("New issue", |entity| &entity.key), "Sandbox tracker", false, &body))
}

/// The known fields of a form, with plain line ends.
fn values(body: &[u8]) -> Map<String, Value> {
    let form = pairs(body);
    let known = FIELDS.iter().filter_map(|name| Some((*name, pick(&form, name)?)));
    known.map(|(name, value)| (name.to_owned(), json!(value.replace("\r\n", "\n")))).collect()
}

fn act(shared: &Shared, request: &HttpRequest, work: impl FnOnce(&mut Book) -> Option<String>) -> HttpResponse {
    if !same_site(request) {
        return HttpResponse::Forbidden().finish();
    }
    let place = work(&mut shared.lock());
    shared.wake.notify_one();
    match place {
        Some(place) => HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish(),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn create(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    act(&shared, &request, |book| {
        book.create(&values(&body));
        Some("/".to_owned())
    })
}

async fn update(shared: web::Data<Shared>, request: HttpRequest, key: web::Path<String>, body: web::Bytes) -> HttpResponse {
    act(&shared, &request, |book| {
        let old = book.entities.get(key.as_str())?.fields.clone();
        // Only what the person changed: an empty line of the form does not make an empty value of an absent one.
        let changed = values(&body).into_iter().filter(|(name, value)| text(old.get(name)) != text(Some(value)));
        let fields = changed.collect::<Map<_, _>>();
        book.edit(&key, &json!({"fields": fields})).then(|| "/".to_owned())
    })
}

async fn comment(shared: web::Data<Shared>, request: HttpRequest, key: web::Path<String>, body: web::Bytes) -> HttpResponse {
    act(&shared, &request, |book| {
        let form = pairs(&body);
        let text = pick(&form, "body").filter(|text| !text.trim().is_empty())?.replace("\r\n", "\n");
        let comment = json!({"author": {"name": "Sam Ito", "email": "sam.ito@example.com"}, "body": text, "format": "plain", "public": true});
        book.edit(&key, &json!({"comments": [comment]})).then(|| format!("/issues/{}", key.as_str()))
    })
}

async fn delete(shared: web::Data<Shared>, request: HttpRequest, key: web::Path<String>) -> HttpResponse {
    act(&shared, &request, |book| book.remove(&key, true).then(|| "/".to_owned()))
}
