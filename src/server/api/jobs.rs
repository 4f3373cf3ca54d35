//! Work over many records: list, watch, pause, cancel, read the report; and the operations that ask for it.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    bodies::List,
    common::{audit, visible},
    rules::drafted,
    triggers,
};
use crate::{
    clock::Time,
    domain::{
        ids::{ConnectionId, JobId, TriggerId},
        job::{Finding, Job, Status, Work},
        token::Scope,
    },
    server::kit::{Body, Caller, Node, Problem, query},
    store::rows::JobFilter,
};

/// A job as it travels.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobBody {
    /// Its id.
    pub id: JobId,
    /// `trigger_run`, `rules_preview`, `rules_reapply` or `reconcile`.
    pub kind: String,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// How far it is.
    pub status: Status,
    /// It stands still until it is resumed.
    pub paused: bool,
    /// Items that are done with.
    pub done: u64,
    /// Items in all; `null` until known.
    pub total: Option<u64>,
    /// How they ended, by the job's own words.
    #[schema(value_type = Object)]
    pub counts: std::collections::BTreeMap<String, u64>,
    /// Why it failed or was ended.
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Who asked.
    pub by: String,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            kind: job.work.kind().to_owned(),
            connection_id: job.connection_id,
            status: job.status,
            paused: job.paused,
            done: job.done,
            total: job.total,
            counts: job.counts,
            detail: job.detail,
            created_at: job.created_at,
            ended_at: job.ended_at,
            by: job.by,
        }
    }
}

/// A line of a job's report.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingBody {
    /// What was found: a word of `counts`.
    pub what: String,
    /// The record here.
    pub entity_type: String,
    /// The record here.
    pub key: String,
    /// More, as this kind of job tells it.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

impl From<Finding> for FindingBody {
    fn from(finding: Finding) -> Self {
        let Finding { what, entity_type, key, detail } = finding;
        Self { what, entity_type, key, detail }
    }
}

/// Which jobs, and which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// Of this connection.
    connection_id: Option<String>,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    status: Option<String>,
    /// 1 to 500; 50 unless told.
    limit: Option<String>,
    /// `next` of the part before.
    cursor: Option<String>,
}

/// Which part of a report.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReportQuery {
    /// 1 to 500; 50 unless told.
    limit: Option<String>,
    /// `next` of the part before.
    cursor: Option<String>,
}

/// Which rules are tried, and on how many twins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreviewQuestion {
    /// Entity → replica; the draft's, else the published one, unless given.
    outgoing: Option<String>,
    /// Replica → entity; the same.
    incoming: Option<String>,
    /// Only so many twins, by chance; all unless given.
    sample: Option<u32>,
}

/// Whether what is found is put right.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcileQuestion {
    /// Put right what was found; only told unless true.
    repair: bool,
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobsQuery), responses((status = 200, body = List<JobBody>)))]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<JobsQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let filter = JobFilter {
        connection_id: query::part("connection_id", asked.connection_id.as_deref(), "the id of a connection")?,
        connections: caller.only(),
        status: query::word("status", asked.status.as_deref())?,
    };
    let read = node.store.read("api.jobs", move |tx| Box::pin(async move { tx.list_jobs(&filter, &page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, JobBody::from)))
}

/// Shows one job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = JobBody)))]
pub async fn get(node: web::Data<Node>, caller: Caller, id: web::Path<JobId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    Ok(HttpResponse::Ok().json(JobBody::from(find(&node, &caller, *id).await?)))
}

/// The lines of a job's report, at most 10,000: what a preview or a reconcile found.
#[utoipa::path(get, path = "/jobs/{id}/report", tag = "jobs", params(("id" = String, Path), ReportQuery),
    responses((status = 200, body = List<FindingBody>)))]
pub async fn report(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<JobId>,
    asked: web::Query<ReportQuery>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let job = find(&node, &caller, *id).await?;
    let page = query::page(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let read = node.store.read("api.job.report", move |tx| Box::pin(async move { tx.list_findings(job.id, &page).await }));
    Ok(HttpResponse::Ok().json(List::of(read.await?, FindingBody::from)))
}

/// Cancels a job: nothing more is begun; what was begun goes on. A job that has ended stays as it is.
#[utoipa::path(delete, path = "/jobs/{id}", tag = "jobs", params(("id" = String, Path)), responses((status = 204)))]
pub async fn cancel(node: web::Data<Node>, caller: Caller, id: web::Path<JobId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let job = find(&node, &caller, *id).await?;
    node.engine.cancel_job(job.id).await?;
    audit(&node, caller.audit(node.now(), "job.cancel", job.id.to_string(), job.work.kind().to_owned())).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Has a job stand still.
#[utoipa::path(post, path = "/jobs/{id}/pause", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = JobBody)))]
pub async fn pause(node: web::Data<Node>, caller: Caller, id: web::Path<JobId>) -> Result<HttpResponse, Problem> {
    switch(&node, &caller, *id, true).await
}

/// Has a paused job go on.
#[utoipa::path(post, path = "/jobs/{id}/resume", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = JobBody)))]
pub async fn resume(node: web::Data<Node>, caller: Caller, id: web::Path<JobId>) -> Result<HttpResponse, Problem> {
    switch(&node, &caller, *id, false).await
}

/// Syncs all that a trigger matches and that is not under sync yet: a job.
#[utoipa::path(post, path = "/connections/{id}/triggers/{trigger}/run", tag = "triggers",
    params(("id" = String, Path), ("trigger" = String, Path)), responses((status = 201, body = JobBody)))]
pub async fn run_trigger(
    node: web::Data<Node>,
    caller: Caller,
    path: web::Path<(ConnectionId, TriggerId)>,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let (connection, trigger) = triggers::find(&node, &caller, *path).await?;
    triggers::can_list(&node, &connection, &trigger).await?;
    start(&node, &caller, connection.id, Work::run_of(&trigger)).await
}

/// Says which twins other rules would change: a job that writes nothing; its report has the differences.
#[utoipa::path(post, path = "/connections/{id}/rules/preview", tag = "rules", params(("id" = String, Path)),
    request_body = PreviewQuestion, responses((status = 201, body = JobBody)))]
pub async fn preview(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: PreviewQuestion = body.json_or_empty()?;
    if asked.sample == Some(0) {
        return Err(Problem::field("sample", "must be at least 1"));
    }
    let (outgoing, incoming) = drafted(&node, &connection, (asked.outgoing, asked.incoming)).await?;
    start(&node, &caller, connection.id, Work::RulesPreview { outgoing, incoming, sample: asked.sample }).await
}

/// Runs the published rules on every twin again: a job.
#[utoipa::path(post, path = "/connections/{id}/rules/reapply", tag = "rules", params(("id" = String, Path)),
    responses((status = 201, body = JobBody)))]
pub async fn reapply(node: web::Data<Node>, caller: Caller, id: web::Path<ConnectionId>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let id = connection.id;
    let published = node.store.read("api.job.rules", move |tx| Box::pin(async move { tx.rules(id).await })).await?;
    let version = published.map_or(0, |pair| pair.version);
    start(&node, &caller, connection.id, Work::RulesReapply { version }).await
}

/// Compares every twin's record, and what the triggers match, with what is known of them: a job.
#[utoipa::path(post, path = "/connections/{id}/reconcile", tag = "connections", params(("id" = String, Path)),
    request_body = ReconcileQuestion, responses((status = 201, body = JobBody)))]
pub async fn reconcile(
    node: web::Data<Node>,
    caller: Caller,
    id: web::Path<ConnectionId>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let connection = visible(&node, &caller, *id).await?;
    let asked: ReconcileQuestion = body.json_or_empty()?;
    start(&node, &caller, connection.id, Work::Reconcile { repair: asked.repair }).await
}

async fn start(node: &Node, caller: &Caller, connection: ConnectionId, work: Work) -> Result<HttpResponse, Problem> {
    let by = caller.name.clone();
    let job = node.engine.start_job(connection, work, by).await?;
    audit(node, caller.audit(node.now(), "job.start", job.id.to_string(), job.work.kind().to_owned())).await?;
    Ok(HttpResponse::Created().json(JobBody::from(job)))
}

async fn switch(node: &Node, caller: &Caller, id: JobId, paused: bool) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Operate)?;
    let job = find(node, caller, id).await?;
    let action = if paused { "job.pause" } else { "job.resume" };
    let job = node.engine.pause_job(job.id, paused).await?;
    audit(node, caller.audit(node.now(), action, job.id.to_string(), job.work.kind().to_owned())).await?;
    Ok(HttpResponse::Ok().json(JobBody::from(job)))
}

async fn find(node: &Node, caller: &Caller, id: JobId) -> Result<Job, Problem> {
    let found = node.store.read("api.job", move |tx| Box::pin(async move { tx.job(id).await })).await?;
    found.filter(|job| caller.sees(job.connection_id)).ok_or_else(|| Problem::not_found("job"))
}
