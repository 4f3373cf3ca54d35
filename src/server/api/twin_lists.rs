//! Twins in bulk: linked from a CSV file, written out as one, stopped by filter.
//!
//! Both files have the same columns, and cells are guarded alike ([`csv`]): what was written out and is sent back links
//! nothing anew, and what a deleted connection left behind links the same pairs on another one. The columns that only the
//! way out fills are read over on the way in, but one: a twin that had been stopped is not linked again by the file that
//! tells so.
//!
//! To add a column to the way out: [`COLUMNS`] and [`written`]; to the way in: [`Columns`].

use std::{collections::VecDeque, str::FromStr as _};

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    common::{audit, visible},
    connections::NAME,
    many::{self, ManyDone},
    twins::{KEY, keys},
};
use crate::{
    domain::{
        csv,
        event::Start,
        ids::{ConnectionId, EntityRef, TwinId},
        replica::Fields,
        token::Scope,
        twin::{Status, Twin},
    },
    server::kit::{Body, Caller, FieldError, Node, Problem, query},
    store::{
        StoreError,
        rows::{Page, Paged, TwinFilter},
    },
    sync::linking::{Answer, Linked, Pair},
};

/// Most lines of one file.
const LINES: usize = 10_000;
/// Twins read at a time for the way out.
const PART: u32 = 500;

/// What the way out has; the first four are what the way in needs.
const COLUMNS: [&str; 9] =
    ["local_type", "local_key", "remote_type", "remote_key", "start", "status", "twin_id", "created_at", "last_synced_at"];

/// How to link.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LinkQuery {
    /// With a CSV file, `true`: only tell what would happen.
    #[param(value_type = Option<bool>)]
    pub(super) preview: Option<String>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineResult {
    /// The two are a twin now; in a preview: they would be.
    Linked,
    /// They were before.
    AlreadyLinked,
    /// The line says itself that there is nothing to link.
    Skipped,
    /// It cannot be; the reason tells.
    Refused,
}

/// One line of the file.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkLine {
    /// Its number in the file; the header is 1.
    pub line: usize,
    /// What became of it.
    pub result: LineResult,
    /// Why, where it was not linked.
    pub reason: Option<String>,
    /// The twin.
    #[schema(value_type = Option<String>)]
    pub twin_id: Option<TwinId>,
    /// In a preview of a line with `send`: what would be made true there, by the replica's names.
    #[schema(value_type = Option<Object>)]
    pub sends: Option<Fields>,
}

/// What became of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkReport {
    /// Nothing was written.
    pub preview: bool,
    /// Lines that were linked.
    pub linked: usize,
    /// Lines that were linked before.
    pub already_linked: usize,
    /// Lines with nothing to link.
    pub skipped: usize,
    /// Lines that were refused.
    pub refused: usize,
    /// Each line.
    pub lines: Vec<LinkLine>,
}

/// Which twins; at least one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopMany {
    /// All that pass each of its members; at least one member.
    filter: StopFilter,
    /// `next` of the answer before.
    cursor: Option<String>,
}

/// All that pass each of its members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopFilter {
    connection_id: Option<ConnectionId>,
    tracker: Option<String>,
    status: Option<Status>,
    /// Of records of this type here.
    entity_type: Option<String>,
    /// Of these records, here or there; at most 500.
    keys: Option<Vec<String>>,
}

/// Links what a file names.
pub(super) async fn link(
    node: &Node,
    caller: &Caller,
    id: ConnectionId,
    text: &str,
    preview: bool,
) -> Result<HttpResponse, Problem> {
    let (mut lines, mut pairs) = (Vec::new(), Vec::new());
    let mut rows = csv::rows(text).into_iter();
    let columns = Columns::of(rows.next())?;
    let rows: Vec<csv::Row> = rows.collect();
    if rows.len() > LINES {
        return Err(Problem::field("body", format!("has {} lines; at most {LINES} are taken in one call", rows.len())));
    }
    for row in rows {
        match columns.read(&row) {
            Ok(pair) => pairs.push(pair),
            Err((result, reason)) => {
                lines.push(LinkLine { line: row.line, result, reason: Some(reason), twin_id: None, sends: None })
            }
        }
    }
    for Answer { line, linked, sends } in node.engine.link_many(id, pairs, preview).await? {
        let (result, reason, twin_id) = match linked {
            Linked::New(twin) => (LineResult::Linked, None, Some(twin)),
            Linked::Already(twin) => (LineResult::AlreadyLinked, None, Some(twin)),
            Linked::Refused(reason) => (LineResult::Refused, Some(reason), None),
        };
        lines.push(LinkLine { line, result, reason, twin_id, sends });
    }
    lines.sort_by_key(|line| line.line);
    let count = |result| lines.iter().filter(|line| line.result == result).count();
    let (linked, already_linked) = (count(LineResult::Linked), count(LineResult::AlreadyLinked));
    let (skipped, refused) = (count(LineResult::Skipped), count(LineResult::Refused));
    if !preview {
        let detail = format!("{linked} linked, {already_linked} before, {skipped} skipped, {refused} refused");
        audit(node, caller.audit(node.now(), "twin.link_many", id.to_string(), detail)).await?;
    }
    Ok(HttpResponse::Ok().json(LinkReport { preview, linked, already_linked, skipped, refused, lines }))
}

/// Where in a row the columns stand.
struct Columns {
    places: [usize; 4],
    start: Option<usize>,
    status: Option<usize>,
    width: usize,
}

impl Columns {
    fn of(header: Option<csv::Row>) -> Result<Self, Problem> {
        let wrong = |message: String| Problem::field("body", message);
        let needed = || COLUMNS[..4].join(",");
        let Some(header) = header else {
            return Err(wrong(format!("is empty; the first line names the columns: {}", needed())));
        };
        let names = header.cells.map_err(|why| wrong(format!("line {}: {why}", header.line)))?;
        let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        for (place, name) in names.iter().enumerate() {
            if !COLUMNS.contains(name) {
                let shown: String = name.chars().take(100).collect();
                return Err(wrong(format!("there is no column `{shown}`; the columns are {}", COLUMNS.join(","))));
            }
            if names[..place].contains(name) {
                return Err(wrong(format!("the column `{name}` stands there twice")));
            }
        }
        let place = |wanted: &str| names.iter().position(|name| *name == wanted);
        let [Some(a), Some(b), Some(c), Some(d)] = [0, 1, 2, 3].map(|n| place(COLUMNS[n])) else {
            return Err(wrong(format!("the first line must name the columns {}", needed())));
        };
        Ok(Self { places: [a, b, c, d], start: place("start"), status: place("status"), width: names.len() })
    }

    fn read(&self, row: &csv::Row) -> Result<Pair, (LineResult, String)> {
        let refused = |reason: String| (LineResult::Refused, reason);
        let cells = row.cells.as_ref().map_err(|why| refused((*why).to_owned()))?;
        if cells.len() != self.width {
            return Err(refused(format!("has {} cells; the first line has {}", cells.len(), self.width)));
        }
        let cell = |place: Option<usize>| place.map_or("", |place| cells[place].trim());
        if cell(self.status) == Status::Stopped.as_str() {
            return Err((LineResult::Skipped, "stopped, as its own line says; empty that cell to link it".to_owned()));
        }
        let [local_type, local_key, remote_type, remote_key] = self.places.map(|place| cell(Some(place)).to_owned());
        if local_key.is_empty() || remote_key.is_empty() {
            return Err((LineResult::Skipped, "names no record on one of the sides".to_owned()));
        }
        for (name, value, most) in [
            ("local_type", &local_type, NAME),
            ("local_key", &local_key, KEY),
            ("remote_type", &remote_type, NAME),
            ("remote_key", &remote_key, KEY),
        ] {
            query::text(name, value, 1, most).map_err(|problem| refused(problem.detail))?;
        }
        let start = match cell(self.start) {
            "" | "none" => Start::None,
            "send" => Start::Send,
            "receive" => Start::Receive,
            other => {
                let shown: String = other.chars().take(100).collect();
                return Err(refused(format!("start: `{shown}` is none of none, send, receive")));
            }
        };
        Ok(Pair { line: row.line, local: (local_type, local_key), remote: (remote_type, remote_key), start })
    }
}

/// All twins of a connection as CSV: the columns that linking takes, and how they stand.
#[utoipa::path(get, path = "/connections/{id}/twins.csv", tag = "twins", params(("id" = String, Path)),
    responses((status = 200, description = "A line for each twin, youngest first", content_type = "text/csv", body = String)))]
pub async fn export(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let filter = TwinFilter { connection_id: Some(connection.id), ..TwinFilter::default() };
    let begin = Export { node, filter, after: None, ready: VecDeque::from([csv::row(COLUMNS)]), more: true };
    let parts = futures_util::stream::unfold(Some(begin), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(part)) => Some((Ok(part), Some(export))),
            Ok(None) => None,
            // The answer ends without its end: nobody takes it for the whole.
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header(("content-disposition", format!("attachment; filename=\"twins-{}.csv\"", connection.id)))
        .streaming(parts))
}

struct Export {
    node: web::Data<Node>,
    filter: TwinFilter,
    after: Option<String>,
    ready: VecDeque<String>,
    more: bool,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.ready.is_empty() && self.more {
            let (filter, page) = (self.filter.clone(), Page { after: self.after.take(), limit: PART });
            let read =
                self.node.store.read("api.twins.csv", move |tx| Box::pin(async move { tx.list_twins(&filter, &page).await }));
            let part = read.await?;
            self.ready.extend(part.items.iter().map(written));
            self.more = part.next.is_some();
            self.after = part.next;
        }
        let text: String = self.ready.drain(..).collect();
        Ok((!text.is_empty()).then(|| text.into()))
    }
}

fn written(twin: &Twin) -> String {
    fn record(record: Option<&EntityRef>) -> [&str; 2] {
        record.map_or(["", ""], |record| [&record.entity_type, &record.key])
    }
    let ([local_type, local_key], [remote_type, remote_key]) = (record(twin.local.as_ref()), record(twin.remote.as_ref()));
    let (id, created) = (twin.id.to_string(), twin.created_at.to_string());
    let synced = twin.last_synced_at.map(|at| at.to_string()).unwrap_or_default();
    csv::row([local_type, local_key, remote_type, remote_key, "", twin.status.as_str(), &id, &created, &synced])
}

/// Stops all twins that a filter passes, on both sides; the records keep their values.
#[utoipa::path(post, path = "/twins/stop", tag = "twins", request_body = StopMany, responses((status = 200, body = ManyDone)))]
pub async fn stop_many(node: web::Data<Node>, caller: Caller, body: Body) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let asked: StopMany = body.json()?;
    let filter = asked.filter.checked(&node, &caller)?;
    let page = |page: Page| {
        let filter = filter.clone();
        let read = node.store.read("api.twins.stop", move |tx| Box::pin(async move { tx.list_twins(&filter, &page).await }));
        async move {
            let Paged { items, next } = read.await?;
            Ok(Paged { items: items.iter().filter(|twin| twin.status != Status::Stopped).map(|twin| twin.id).collect(), next })
        }
    };
    let engine = &node.engine;
    let act = |twin: TwinId| async move {
        match engine.stop_twin(twin).await {
            Ok(_) => Ok(true),
            Err(crate::sync::Refused::NotFound(_)) => Ok(false),
            Err(refused) => Err(FieldError::new(twin.to_string(), refused.to_string())),
        }
    };
    let done = many::all(&node, asked.cursor, page, act).await?;
    let detail = format!("{} done, {} failed", done.done, done.failed.len());
    audit(&node, caller.audit(node.now(), "twin.stop", "many", detail)).await?;
    Ok(HttpResponse::Ok().json(done))
}

impl StopFilter {
    /// The filter, within what the caller may see. One that passes all is nobody's wish.
    fn checked(self, node: &Node, caller: &Caller) -> Result<TwinFilter, Problem> {
        let Self { connection_id, tracker, status, entity_type, keys: typed } = self;
        let typed = typed.unwrap_or_default();
        if typed.len() > many::MOST {
            return Err(Problem::field("filter.keys", format!("at most {} in one call", many::MOST)));
        }
        let forms = |key: &String| keys(node, tracker.as_deref(), entity_type.as_deref(), key);
        let keys: Vec<String> = typed.iter().flat_map(forms).collect();
        let filter = TwinFilter { connection_id, connections: None, tracker, status, entity_type, keys };
        if filter == TwinFilter::default() {
            return Err(Problem::field("filter", "names nothing: give connection_id, tracker, status, entity_type or keys"));
        }
        Ok(TwinFilter { connections: caller.only(), ..filter })
    }
}

/// Whether only a preview is wanted.
pub(super) fn is_preview(asked: &LinkQuery) -> Result<bool, Problem> {
    let told = asked.preview.as_deref().map(bool::from_str).transpose();
    Ok(told.map_err(|_| Problem::field("preview", "must be true or false"))?.unwrap_or(false))
}
