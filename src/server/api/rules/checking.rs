//! Whether a pair of rules parses and fits the tracker, and where it does not.
//!
//! A rule that parses is held against what the tracker describes ([`crate::rules::checks`]). A tracker that cannot be asked
//! keeps nobody from publishing: then a warning says what was not checked.

use super::known::{self, Known};
use crate::{
    domain::{
        connection::Connection,
        replica::Fields,
        rule::{RuleEngine, RuleError},
    },
    rules::checks::{self, Finding, Severity, Told},
    server::kit::{Code, FieldError, Node, Problem},
};

/// A pair's texts.
#[derive(Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) outgoing: &'a str,
    pub(super) incoming: &'a str,
}

/// What is wrong with a pair; empty where nothing is.
pub(super) async fn problems(node: &Node, connection: &Connection, texts: Texts<'_>) -> Result<Vec<FieldError>, Problem> {
    let broken: Vec<FieldError> = broken(&*node.rules, texts).await.into_iter().map(|(error, _)| error).collect();
    let parses = |rule: &str| broken.iter().all(|error| error.field != rule);
    let outgoing = Some(texts.outgoing).filter(|_| parses("outgoing"));
    let incoming = Some(texts.incoming).filter(|_| parses("incoming"));
    let unfit = unfit(node, connection, outgoing, incoming).await?;
    Ok(broken.into_iter().chain(unfit).collect())
}

/// Refuses a pair that does not parse.
pub(super) async fn require_parses(engine: &dyn RuleEngine, texts: Texts<'_>) -> Result<(), Problem> {
    let found = broken(engine, texts).await;
    let Some((first, _)) = found.first() else { return Ok(()) };
    if let Some((failed, _)) = found.iter().find(|(_, engine_failed)| *engine_failed) {
        return Err(Problem::new(Code::Internal, format!("{}. Nothing was published; try again.", failed.message)));
    }
    let detail = format!("Nothing was published: the {}", sentence(first));
    Err(Problem { errors: found.into_iter().map(|(error, _)| error).collect(), ..Problem::new(Code::RuleInvalid, detail) })
}

/// What the tracker has to say of a pair that parses; refuses it where that is an error, unless it is forced.
pub(super) async fn require_fits(
    node: &Node,
    connection: &Connection,
    texts: Texts<'_>,
    force: bool,
) -> Result<Vec<FieldError>, Problem> {
    let found = unfit(node, connection, Some(texts.outgoing), Some(texts.incoming)).await?;
    let Some(first) = found.iter().find(|error| error.severity == Some(Severity::Error)).filter(|_| !force) else {
        return Ok(found);
    };
    let line = first.line.unwrap_or_default();
    let detail =
        format!("Nothing was published: line {line} of the {} If it is meant so, publish with `force`.", sentence(first));
    Err(Problem { errors: found, ..Problem::new(Code::RuleUnfit, detail) })
}

fn sentence(error: &FieldError) -> String {
    format!("{} rule: {}. {}", error.field, error.message, error.advice.as_deref().unwrap_or_default())
}

/// Where they do not parse, and whether that is the engine's fault rather than the rule's.
async fn broken(engine: &dyn RuleEngine, Texts { outgoing, incoming }: Texts<'_>) -> Vec<(FieldError, bool)> {
    let mut found = Vec::new();
    for (field, source) in [("outgoing", outgoing), ("incoming", incoming)] {
        if let Err(error) = engine.check(source).await {
            let failed = matches!(error, RuleError::Engine(_));
            found.push((told(field, error), failed));
        }
    }
    found
}

async fn unfit(
    node: &Node,
    connection: &Connection,
    outgoing: Option<&str>,
    incoming: Option<&str>,
) -> Result<Vec<FieldError>, Problem> {
    let Some(tracker) = node.trackers.get(&connection.tracker) else { return Ok(Vec::new()) };
    if outgoing.or(incoming).is_none() {
        return Ok(Vec::new());
    }
    let named = checks::named_types(outgoing.unwrap_or_default(), incoming.unwrap_or_default());
    let Known { descriptions, refused, silent } = known::known(node, connection, &**tracker, named).await?;
    if let Some(error) = silent {
        let message = format!("fields, rights and values were not checked against the tracker: {}", error.title);
        return Ok(vec![FieldError {
            severity: Some(Severity::Warning),
            advice: Some(format!("{} {}", error.detail, error.advice).trim().to_owned()),
            ..FieldError::new(if outgoing.is_some() { "outgoing" } else { "incoming" }, message)
        }]);
    }
    let refused: Vec<(String, String)> =
        refused.into_iter().map(|(name, error)| (name, format!("{} {}", error.detail, error.advice))).collect();
    let defaults = |entity_type: &str| -> Fields { tracker.defaults(entity_type) };
    let told =
        Told { descriptions: &descriptions, refused: &refused, default_type: tracker.default_entity_type(), defaults: &defaults };
    Ok(checks::findings(outgoing, incoming, &told).into_iter().map(FieldError::from).collect())
}

impl From<Finding> for FieldError {
    fn from(finding: Finding) -> Self {
        let Finding { severity, way, line, column, text, message, advice } = finding;
        Self {
            line: Some(line),
            column: Some(column),
            text: Some(text),
            severity: Some(severity),
            advice: Some(advice),
            ..Self::new(way.as_str(), message)
        }
    }
}

pub(super) fn told(field: &'static str, error: RuleError) -> FieldError {
    let message = error.to_string();
    let error_of = |message| FieldError { severity: Some(Severity::Error), ..FieldError::new(field, message) };
    match error {
        RuleError::Script { line, column, line_text, advice, .. } => {
            FieldError { line, column, text: line_text, advice: Some(advice), ..error_of(message) }
        }
        RuleError::TooBig(_) | RuleError::Limit(_) | RuleError::Engine(_) | RuleError::Ended => error_of(message),
    }
}
