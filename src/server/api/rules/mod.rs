//! The rules of a connection: a draft that people write, and versions of which the newest runs.
//!
//! ```text
//!   PUT ──▶ draft ──publish──▶ version N+1 ◀──rollback── version M's text
//!             │ does not parse or fit: kept,              │ does not parse: 422, version N goes on running
//!             │ `problems` tell
//! ```
//!
//! Publishing asks the tracker for its fields (`checking`): what would fail there is refused unless it is forced, and what
//! cannot be asked for is told.
//!
//! Whoever writes says on which version it is based (`base`). Where another one runs meanwhile, the answer is 409
//! `rule_changed`, at saving and at publishing: nobody's work is lost by somebody who did not see it.
//!
//! Traps. Rules are checked by the engine, which must not be awaited inside a transaction: so `base` is looked at in the
//! transaction that writes (`publishing`), not before. A draft that was not what is published stays: it is somebody's
//! work, and its old base says that it has to be merged. A connection in basic mode runs the built-in pair, whatever
//! is kept for it.

mod bodies;
mod checking;
mod comparing;
mod known;
mod publishing;
mod trying;
pub mod uses;

use actix_web::{HttpResponse, web};

use self::{
    bodies::{
        CheckQuestion, Checked, CompareQuery, Comparison, DeclarationsQuery, Draft, NewDraft, Publication, Published,
        PublishedNow, RollBack, RulesBody, VersionLine, VersionsQuery,
    },
    checking::Texts,
    comparing::Side,
    publishing::{Done, Fits, New, Outcome},
    trying::{NewTrial, Rule, TrialBody},
};
use super::{bodies::List, common::visible};
use crate::{
    domain::{
        connection::{Connection, Mode},
        ids::ConnectionId,
        rule::RulePair,
        token::Scope,
        version::{Imprint, RuleDraft},
    },
    rules,
    server::kit::{Body, Caller, Code, Node, Problem, query},
    store::{StoreError, Tx},
};

/// The pair that comes with the program for the connection's tracker; `None` where the configuration lost that tracker.
fn built_in(node: &Node, connection: &Connection) -> Option<RulePair> {
    node.rules.built_in(node.trackers.get(&connection.tracker)?.kind())
}

fn no_pair() -> Problem {
    Problem::not_found("pair of rules for this tracker")
}

/// The pair that runs on a connection.
async fn running(tx: &mut dyn Tx, connection: &Connection, built_in: Option<RulePair>) -> Result<Option<Published>, StoreError> {
    if connection.mode == Mode::Script
        && let Some(newest) = tx.newest_rule_version(connection.id).await?
    {
        return Ok(Some(newest.into()));
    }
    Ok(built_in.map(Published::built_in))
}

/// What runs and what is being written, as one moment has it.
async fn both(node: &Node, connection: &Connection) -> Result<(Published, Option<RuleDraft>), Problem> {
    let (connection, pair) = (connection.clone(), built_in(node, connection));
    let found = node.store.read("api.rules", move |tx| {
        Box::pin(async move {
            let running = running(tx, &connection, pair).await?;
            let draft = if connection.mode == Mode::Script { tx.rule_draft(connection.id).await? } else { None };
            Ok(running.map(|running| (running, draft)))
        })
    });
    found.await?.ok_or_else(no_pair)
}

/// A version by its number; 0 is the built-in pair.
async fn version_of(node: &Node, connection: &Connection, version: u32) -> Result<Option<Published>, Problem> {
    if version == 0 {
        return Ok(built_in(node, connection).map(Published::built_in));
    }
    if connection.mode == Mode::Basic {
        return Ok(None);
    }
    let id = connection.id;
    let found = node.store.read("api.rules.version", move |tx| Box::pin(async move { tx.rule_version(id, version).await }));
    Ok(found.await?.map(Published::from))
}

/// The connection whose rules the caller may write.
async fn written(node: &Node, caller: &Caller, id: ConnectionId) -> Result<Connection, Problem> {
    caller.require(Scope::Configure)?;
    visible(node, caller, id).await
}

/// 409 where the rules are not people's to write.
fn require_script(connection: &Connection) -> Result<(), Problem> {
    match connection.mode {
        Mode::Script => Ok(()),
        Mode::Basic => Err(Problem::new(
            Code::BasicMode,
            "The connection is in basic mode: its rules are the built-in pair, read-only. `PATCH /connections/{id}` with `{\"mode\": \"script\"}` makes them yours to write, from the same pair; there is no way back.",
        )),
    }
}

async fn body(
    node: &Node,
    connection: &Connection,
    published: Published,
    draft: Option<RuleDraft>,
) -> Result<RulesBody, Problem> {
    let problems = match &draft {
        Some(RuleDraft { outgoing, incoming, .. }) => checking::problems(node, connection, Texts { outgoing, incoming }).await?,
        None => Vec::new(),
    };
    let problems = Some(problems).filter(|problems| !problems.is_empty());
    Ok(RulesBody { draft: draft.map(Draft::from), published, problems })
}

/// The texts given; where none is given the draft's, else those that run.
pub(super) async fn drafted(
    node: &Node,
    connection: &Connection,
    (outgoing, incoming): (Option<String>, Option<String>),
) -> Result<(String, String), Problem> {
    for (field, text) in [("outgoing", &outgoing), ("incoming", &incoming)] {
        if let Some(text) = text {
            require_script(connection)?;
            bodies::size(field, text)?;
        }
    }
    let (running, draft) = both(node, connection).await?;
    let (ours, theirs) = draft.map_or((running.outgoing, running.incoming), |draft| (draft.outgoing, draft.incoming));
    Ok((outgoing.unwrap_or(ours), incoming.unwrap_or(theirs)))
}

/// The rules of a connection: what runs and what is being written.
#[utoipa::path(get, path = "/connections/{id}/rules", tag = "rules", params(("id" = String, Path)),
    responses((status = 200, body = RulesBody)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let (published, draft) = both(&node, &connection).await?;
    Ok(HttpResponse::Ok().json(body(&node, &connection, published, draft).await?))
}

/// Saves the draft; one that does not parse or does not fit the tracker is kept, and `problems` say where. What runs stays.
#[utoipa::path(put, path = "/connections/{id}/rules", tag = "rules", params(("id" = String, Path)), request_body = NewDraft,
    responses((status = 200, body = RulesBody)))]
pub async fn save(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    given: Body,
) -> Result<HttpResponse, Problem> {
    let connection = written(&node, &caller, *id).await?;
    let given: NewDraft = given.json()?;
    require_script(&connection)?;
    given.check()?;
    let (published, draft) = publishing::save(&node, &caller, &connection, given).await?;
    Ok(HttpResponse::Ok().json(body(&node, &connection, published, draft).await?))
}

/// Looks a pair of texts through, as publishing would; keeps nothing.
#[utoipa::path(post, path = "/connections/{id}/rules/check", tag = "rules", params(("id" = String, Path)),
    request_body = CheckQuestion, responses((status = 200, body = Checked)))]
pub async fn check(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    given: Body,
) -> Result<HttpResponse, Problem> {
    let connection = written(&node, &caller, *id).await?;
    let given: CheckQuestion = given.json()?;
    given.check()?;
    let CheckQuestion { outgoing, incoming } = &given;
    let problems = checking::problems(&node, &connection, Texts { outgoing, incoming }).await?;
    Ok(HttpResponse::Ok().json(Checked { problems }))
}

/// Publishes the draft, or the texts given: a new version, which runs from the next change on.
///
/// 200 where the texts run already: nothing is added. What does not fit the tracker is refused (`rule_unfit`) unless `force`
/// is true; then, and where there are only warnings, `problems` tell it.
#[utoipa::path(post, path = "/connections/{id}/rules/publish", tag = "rules", params(("id" = String, Path)),
    request_body = Publication, responses((status = 201, body = PublishedNow), (status = 200, body = PublishedNow)))]
pub async fn publish(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    given: Body,
) -> Result<HttpResponse, Problem> {
    let connection = written(&node, &caller, *id).await?;
    let given: Publication = given.json_or_empty()?;
    require_script(&connection)?;
    given.check()?;
    let (running, draft) = both(&node, &connection).await?;
    let (outgoing, incoming, bases) = match (given.outgoing, given.incoming, draft) {
        (None, None, None) => {
            return Err(Problem::new(
                Code::State,
                "There is no draft, so there is nothing to publish. Save one first, or send texts.",
            ));
        }
        (None, None, Some(draft)) if given.over.is_some_and(|seen| seen != draft.at) => {
            return Err(publishing::overtaken(&draft));
        }
        (None, None, Some(draft)) => (draft.outgoing, draft.incoming, given.base.into_iter().chain([draft.base]).collect()),
        (outgoing, incoming, _) => {
            let (ran_out, ran_in) = (running.outgoing.clone(), running.incoming.clone());
            (outgoing.unwrap_or(ran_out), incoming.unwrap_or(ran_in), given.base.into_iter().collect())
        }
    };
    // What runs already is no news.
    let told = given.force || running.says(&outgoing, &incoming);
    let fits = if told { Fits::Told } else { Fits::Required };
    let new = New { outgoing, incoming, note: given.note, fits, bases, action: "rules.publish" };
    publishing::publish(&node, &caller, &connection, new).await.map(answer)
}

/// Tries a rule on a real record or a recorded replica; writes nothing, anywhere.
#[utoipa::path(post, path = "/connections/{id}/rules/test", tag = "rules", params(("id" = String, Path)),
    request_body = NewTrial, responses((status = 200, body = TrialBody)))]
pub async fn test(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    given: Body,
) -> Result<HttpResponse, Problem> {
    let connection = written(&node, &caller, *id).await?;
    let given: NewTrial = given.json()?;
    if let Some(rule) = &given.rule {
        require_script(&connection)?;
        bodies::size("rule", rule)?;
    }
    let (_, draft) = both(&node, &connection).await?;
    let fallback = draft.map(|draft| match given.direction {
        Rule::Outgoing => draft.outgoing,
        Rule::Incoming => draft.incoming,
    });
    let tried = node.engine.dry_run(connection.id, given.trial(fallback)?).await?;
    Ok(HttpResponse::Ok().json(TrialBody::from(tried)))
}

/// Publishes an older version's texts again, as a new version.
#[utoipa::path(post, path = "/connections/{id}/rules/rollback", tag = "rules", params(("id" = String, Path)),
    request_body = RollBack, responses((status = 201, body = PublishedNow), (status = 200, body = PublishedNow)))]
pub async fn rollback(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    given: Body,
) -> Result<HttpResponse, Problem> {
    let connection = written(&node, &caller, *id).await?;
    let given: RollBack = given.json()?;
    require_script(&connection)?;
    given.check()?;
    let Some(Published { outgoing, incoming, version, .. }) = version_of(&node, &connection, given.version).await? else {
        return Err(no_version("version", given.version));
    };
    let note = match given.note.trim() {
        "" => format!("Back to version {version}"),
        _ => given.note,
    };
    // It ran before, and going back must not wait for the tracker's fields.
    let new = New { outgoing, incoming, note, fits: Fits::Told, bases: Vec::new(), action: "rules.rollback" };
    publishing::publish(&node, &caller, &connection, new).await.map(answer)
}

fn answer(Done { outcome, problems }: Done) -> HttpResponse {
    let problems = Some(problems).filter(|problems| !problems.is_empty());
    match outcome {
        Outcome::Made(version) => HttpResponse::Created().json(PublishedNow { version, problems }),
        Outcome::Ran(version) => HttpResponse::Ok().json(PublishedNow { version, problems }),
    }
}

fn no_version(field: &'static str, version: u32) -> Problem {
    Problem::field(field, format!("there is no version {version}; `GET /connections/{{id}}/rules/versions` lists them"))
}

/// Lists versions, newest first, without their texts; the last is the built-in pair, 0.
#[utoipa::path(get, path = "/connections/{id}/rules/versions", tag = "rules", params(("id" = String, Path), VersionsQuery),
    responses((status = 200, body = List<VersionLine>)))]
pub async fn versions(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    asked: web::Query<VersionsQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let kept: Vec<Imprint> = match connection.mode {
        Mode::Basic => Vec::new(),
        Mode::Script => {
            let found =
                node.store.read("api.rules.versions", move |tx| Box::pin(async move { tx.rule_versions(connection.id).await }));
            found.await?
        }
    };
    let first = VersionLine { version: 0, at: None, by: None, note: None };
    let all = kept.into_iter().map(VersionLine::from).chain([first]).collect();
    let part = query::cut(all, &page, |line| format!("{:010}", u32::MAX - line.version))?;
    Ok(HttpResponse::Ok().json(List { items: part.items, next: part.next }))
}

/// Shows one version with its texts.
#[utoipa::path(get, path = "/connections/{id}/rules/versions/{version}", tag = "rules",
    params(("id" = String, Path), ("version" = u32, Path)), responses((status = 200, body = Published)))]
pub async fn version(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(ConnectionId, u32)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let (id, version) = *path;
    let connection = visible(&node, &caller, id).await?;
    let found = version_of(&node, &connection, version).await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(|| Problem::not_found("version of these rules"))?))
}

/// Shows what differs between two versions, or a version and the draft.
#[utoipa::path(get, path = "/connections/{id}/rules/compare", tag = "rules", params(("id" = String, Path), CompareQuery),
    responses((status = 200, body = Comparison)))]
pub async fn compare(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    asked: web::Query<CompareQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let (published, draft) = both(&node, &connection).await?;
    let from = side(&node, &connection, ("from", asked.from.as_deref().unwrap_or("published")), &published, &draft).await?;
    let to = side(&node, &connection, ("to", asked.to.as_deref().unwrap_or("draft")), &published, &draft).await?;
    let told = web::block(move || comparing::compare(from, to)).await;
    Ok(HttpResponse::Ok().json(told.map_err(|_| Problem::new(Code::Stopping, "The node is stopping; try again in a moment."))?))
}

/// Type declarations for editors (`wicketgate.d.ts`): what the rules see, with the tracker's own field names.
#[utoipa::path(get, path = "/connections/{id}/rules/declarations", tag = "rules",
    params(("id" = String, Path), DeclarationsQuery),
    responses((status = 200, description = "TypeScript declarations", content_type = "text/plain", body = String)))]
pub async fn declarations(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    asked: web::Query<DeclarationsQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let connection = visible(&node, &caller, *id).await?;
    let wanted = asked.entity_type.as_deref().map(str::trim);
    if let Some(wanted) = wanted {
        query::text("entity_type", wanted, 1, bodies::NAME)?;
    }
    let tracker = node.trackers.get(&connection.tracker).ok_or_else(no_pair)?;
    let known = known::known(&node, &connection, &**tracker, wanted.map(str::to_owned)).await?;
    let refused = known.refused.into_iter().find(|(refused, _)| Some(refused.as_str()) == wanted).map(|(_, error)| error);
    if let Some(error) = known.silent.or(refused) {
        return Err(error.into());
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("content-disposition", "attachment; filename=\"wicketgate.d.ts\""))
        .body(rules::declarations(&connection.name, &known.descriptions)))
}

/// One side of a comparison; without a draft, `draft` is what runs.
async fn side(
    node: &Node,
    connection: &Connection,
    (field, word): (&'static str, &str),
    published: &Published,
    draft: &Option<RuleDraft>,
) -> Result<Side, Problem> {
    match (word, draft) {
        ("draft", Some(draft)) => {
            Ok(Side { name: "draft".to_owned(), outgoing: draft.outgoing.clone(), incoming: draft.incoming.clone() })
        }
        ("draft" | "published", _) => Ok(published.clone().into()),
        (number, _) => {
            let wanted = query::part::<u32>(field, Some(number), "the number of a version, `published` or `draft`")?;
            let wanted = wanted.unwrap_or_default();
            version_of(node, connection, wanted).await?.map(Side::from).ok_or_else(|| no_version(field, wanted))
        }
    }
}
