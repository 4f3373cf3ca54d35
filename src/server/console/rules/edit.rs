//! The editor: both rules, what is wrong with them, the tracker's fields, and a trial on a record.

use actix_web::{HttpResponse, http::Method, web};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Found, Rules, found};
use crate::{
    clock::Time,
    domain::{history::FieldChange, ids::ConnectionId, replica::Fields, token::Scope},
    server::{
        console::{
            connections::{Connection, List},
            form::{Errors, Form},
            gate::{Person, Refusal, Signed},
            page::{self, Frame, Room},
            text::When,
        },
        kit::{Code, FieldError, Problem},
    },
};

/// A field of the tracker.
#[derive(Debug, Deserialize)]
pub(crate) struct Field {
    pub name: String,
    pub label: Option<String>,
    #[serde(rename = "type")]
    pub field_type: String,
    #[serde(default)]
    pub writable: bool,
    #[serde(default)]
    pub values: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    fields: Vec<Field>,
}

/// What a person tries a rule on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub incoming: bool,
    pub entity_type: String,
    pub key: String,
    pub replica: String,
}

impl Asked {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.get(name).trim().to_owned();
        Self {
            incoming: form.get("direction") == "incoming",
            entity_type: text("entity_type"),
            key: text("key"),
            replica: form.get("replica").to_owned(),
        }
    }
}

/// What a trial found.
#[derive(Debug, Deserialize)]
pub(crate) struct Trial {
    pub error: Option<FieldError>,
    pub skip: Option<String>,
    pub replica: Option<Fields>,
    pub assigned: Option<Fields>,
    pub differences: Vec<FieldChange>,
    pub cut: Vec<String>,
    pub calls: Vec<Call>,
    pub log: Vec<String>,
    pub took_us: u64,
    pub memory_bytes: Option<u64>,
}

/// A call that the rule would make.
#[derive(Debug, Deserialize)]
pub(crate) struct Call {
    pub method: String,
    pub path: String,
}

impl Trial {
    pub(crate) fn problem(&self) -> Option<Found> {
        self.error.as_ref().map(Found::from)
    }

    pub(crate) fn result(&self) -> String {
        let made = self.replica.as_ref().or(self.assigned.as_ref());
        made.and_then(|fields| serde_json::to_string_pretty(fields).ok()).unwrap_or_default()
    }

    pub(crate) fn changes(&self) -> Vec<(String, String, String)> {
        let told = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.differences.iter().map(|it| (it.field.clone(), told(&it.from), told(&it.to))).collect()
    }

    pub(crate) fn cost(&self) -> String {
        let memory = self.memory_bytes.map_or_else(String::new, |bytes| format!(", {} kB of memory", bytes / 1024));
        format!("{:.2} ms{memory}", self.took_us as f64 / 1000.0)
    }
}

/// What saving left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// A draft, to be published.
    Draft,
    /// No draft: the text is what runs.
    Running,
}

impl Saved {
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Draft => "The draft is saved. It runs once it is published.",
            Self::Running => "This is what runs already; there is no draft.",
        }
    }
}

#[derive(Template)]
#[template(path = "rules/edit.html", config = "src/server/console/askama.toml")]
pub(crate) struct EditPage {
    pub frame: Frame,
    pub connection: Connection,
    pub rules: Rules,
    /// The texts as they stand in the editor.
    pub outgoing: String,
    pub incoming: String,
    pub base: u32,
    /// `at` of the draft that the editor began from; empty where there was none.
    pub over: String,
    pub found: Vec<Found>,
    pub entity_type: String,
    pub fields: Vec<Field>,
    pub asked: Asked,
    pub trial: Option<Trial>,
    pub errors: Errors,
    /// Somebody else saved or published meanwhile.
    pub overtaken: bool,
    pub saved: Option<Saved>,
    pub may_configure: bool,
}

impl EditPage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    /// `1⏎2⏎…`, one for each line of a text.
    pub(crate) fn numbers(&self, text: &str) -> String {
        let lines = text.split('\n').count().max(1);
        (1..=lines).map(|n| n.to_string()).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn is_editable(&self) -> bool {
        self.may_configure && self.connection.is_script()
    }
}

/// The page with the texts that the form holds, or those that are kept.
async fn shown(person: &Person, id: ConnectionId, form: Option<&Form>) -> Result<EditPage, Refusal> {
    let connection: Connection = person.api.get(format!("/connections/{id}")).await?;
    let rules: Rules = person.api.get(format!("/connections/{id}/rules")).await?;
    let frame = Frame::of(person, Room::Connections, format!("Rules of {}", connection.name)).await?;
    let (mut outgoing, mut incoming, mut base, mut over) =
        (rules.published.outgoing.clone(), rules.published.incoming.clone(), rules.published.version, String::new());
    if let Some(draft) = &rules.draft {
        (outgoing, incoming, base, over) = (draft.outgoing.clone(), draft.incoming.clone(), draft.base, draft.at.to_string());
    }
    let mut found = found(&rules.problems);
    let mut asked = Asked { entity_type: "Case".to_owned(), ..Asked::default() };
    if let Some(form) = form {
        (outgoing, incoming) = (unix(form.get("outgoing")), unix(form.get("incoming")));
        (base, over) = (form.get("base").parse().unwrap_or(base), form.get("over").to_owned());
        asked = Asked::of(form);
        found = Vec::new();
    }
    let described = fields(person, &connection.tracker, form.map(|form| form.get("fields_of")).unwrap_or_default()).await;
    let (entity_type, fields) = described.map(|it| (it.name, it.fields)).unwrap_or_default();
    if form.is_none() && !entity_type.is_empty() {
        asked.entity_type.clone_from(&entity_type);
    }
    Ok(EditPage {
        frame,
        connection,
        rules,
        outgoing,
        incoming,
        base,
        over,
        found,
        entity_type,
        fields,
        asked,
        trial: None,
        errors: Errors::default(),
        overtaken: false,
        saved: None,
        may_configure: person.may(Scope::Configure),
    })
}

/// Forms end lines with CR LF.
fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

#[derive(Deserialize)]
struct TypeName {
    name: String,
}

/// The fields of a type, of the tracker's first unless one is named; nothing where the tracker does not answer now.
async fn fields(person: &Person, tracker: &str, wanted: &str) -> Option<Described> {
    let types: List<TypeName> = person.api.get(format!("/trackers/{tracker}/types")).await.ok()?;
    let usual = ["Case", "issue"].into_iter().find(|usual| types.items.iter().any(|one| one.name == *usual));
    let first = types.items.first().map(|one| one.name.as_str());
    let name = Some(wanted).filter(|wanted| !wanted.is_empty()).or(usual).or(first)?;
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    person.api.get(format!("/trackers/{tracker}/types/{name}")).await.ok()
}

/// `GET /connections/{id}/rules`
pub(super) async fn page(person: Person, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    page::ok(&shown(&person, *id, None).await?)
}

/// `POST /connections/{id}/rules`: saves the draft; `publish` goes on to that page.
pub(super) async fn save(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let over = Some(form.get("over")).filter(|at| !at.is_empty());
    let body = json!({
        "outgoing": unix(form.get("outgoing")),
        "incoming": unix(form.get("incoming")),
        "base": form.get("base").parse::<u32>().unwrap_or_default(),
        "over": over,
    });
    match person.api.json::<Rules>(Method::PUT, format!("/connections/{id}/rules"), Some(body)).await {
        Ok(_) if form.has("publish") => Ok(page::go(&format!("/connections/{id}/rules/publish"))),
        Ok(rules) => {
            let saved = Some(if rules.draft.is_some() { Saved::Draft } else { Saved::Running });
            page::ok(&EditPage { saved, ..shown(&person, *id, None).await? })
        }
        Err(problem) => {
            let problem = page::closed(problem)?;
            let overtaken = problem.code == Code::RuleChanged;
            let errors = Errors::of(&problem, &["outgoing", "incoming"]);
            page::again(&problem, &EditPage { errors, overtaken, ..shown(&person, *id, Some(&form)).await? })
        }
    }
}

/// What was found in a pair.
#[derive(Debug, Deserialize)]
struct Checked {
    problems: Vec<FieldError>,
}

#[derive(Template)]
#[template(path = "rules/found.html", config = "src/server/console/askama.toml")]
struct FoundPart {
    found: Vec<Found>,
}

/// `POST /connections/{id}/rules/check`: what is wrong, as a fragment, while somebody types.
pub(super) async fn check(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    let body = json!({"outgoing": unix(form.get("outgoing")), "incoming": unix(form.get("incoming"))});
    let checked: Checked = person.api.post(format!("/connections/{id}/rules/check"), body).await?;
    page::ok(&FoundPart { found: found(&checked.problems) })
}

/// `POST /connections/{id}/rules/test`: tries the text in the editor on a record; nothing is written, anywhere.
pub(super) async fn test(Signed { person, form }: Signed, id: web::Path<ConnectionId>) -> Result<HttpResponse, Refusal> {
    person.require(Scope::Configure)?;
    let page = shown(&person, *id, Some(&form)).await?;
    let mut body = json!({"direction": if page.asked.incoming { "incoming" } else { "outgoing" }});
    if page.connection.is_script() {
        body["rule"] = Value::String(if page.asked.incoming { page.incoming.clone() } else { page.outgoing.clone() });
    }
    if !page.asked.key.is_empty() {
        body["entity_type"] = Value::String(page.asked.entity_type.clone());
        body["key"] = Value::String(page.asked.key.clone());
    }
    if page.asked.incoming && !page.asked.replica.trim().is_empty() {
        match serde_json::from_str(&page.asked.replica) {
            Ok(replica) => body["replica"] = replica,
            Err(error) => {
                let errors = Errors::one("replica", &format!("This is not JSON: {error}."));
                return page::unfit(&EditPage { errors, ..page });
            }
        }
    }
    let tried: Result<Trial, Problem> = person.api.post(format!("/connections/{id}/rules/test"), body).await;
    match tried {
        Ok(trial) => page::ok(&EditPage { trial: Some(trial), ..page }),
        Err(problem) => {
            let problem = page::closed(problem)?;
            let errors = Errors::of(&problem, &["entity_type", "key", "replica"]);
            page::again(&problem, &EditPage { errors, ..page })
        }
    }
}
