//! Whether rules parse, and where they do not.

use crate::{
    domain::rule::{RuleEngine, RuleError},
    server::kit::{Code, FieldError, Problem},
};

/// What keeps a pair from being published; empty where nothing does.
pub(super) async fn problems(engine: &dyn RuleEngine, outgoing: &str, incoming: &str) -> Vec<FieldError> {
    found(engine, outgoing, incoming).await.into_iter().map(|(error, _)| error).collect()
}

/// The same as a refusal.
pub(super) async fn require(engine: &dyn RuleEngine, outgoing: &str, incoming: &str) -> Result<(), Problem> {
    let found = found(engine, outgoing, incoming).await;
    let Some((first, _)) = found.first() else { return Ok(()) };
    if let Some((failed, _)) = found.iter().find(|(_, engine_failed)| *engine_failed) {
        return Err(Problem::new(Code::Internal, format!("{}. Nothing was published; try again.", failed.message)));
    }
    let detail = format!("Nothing was published: {} rule: {}", first.field, first.message);
    Err(Problem { errors: found.into_iter().map(|(error, _)| error).collect(), ..Problem::new(Code::RuleInvalid, detail) })
}

/// What is wrong, and whether that is the engine's fault rather than the rule's.
async fn found(engine: &dyn RuleEngine, outgoing: &str, incoming: &str) -> Vec<(FieldError, bool)> {
    let mut found = Vec::new();
    for (field, source) in [("outgoing", outgoing), ("incoming", incoming)] {
        if let Err(error) = engine.check(source).await {
            let failed = matches!(error, RuleError::Engine(_));
            found.push((told(field, error), failed));
        }
    }
    found
}

pub(super) fn told(field: &'static str, error: RuleError) -> FieldError {
    let message = error.to_string();
    match error {
        RuleError::Script { line, column, line_text, advice, .. } => {
            FieldError { line, column, text: line_text, ..FieldError::new(field, format!("{message}. {advice}")) }
        }
        RuleError::TooBig(_) | RuleError::Limit(_) | RuleError::Engine(_) | RuleError::Ended => FieldError::new(field, message),
    }
}
