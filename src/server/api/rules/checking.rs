//! Whether rules parse, and where they do not: with the line's own text, so that nobody has to count lines.

use crate::{
    domain::rule::{RuleEngine, RuleError},
    server::kit::{Code, FieldError, Problem},
};

/// So many characters of a line are shown on either side of the place.
const BESIDE: usize = 80;

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
            found.push((told(field, source, &error), failed));
        }
    }
    found
}

fn told(field: &'static str, source: &str, error: &RuleError) -> FieldError {
    let RuleError::Script { line: Some(line), column, .. } = error else { return FieldError::new(field, error.to_string()) };
    let text = line_of(source, *line, *column);
    let message = match &text {
        Some(text) => format!("{error}: {text}"),
        None => error.to_string(),
    };
    FieldError { line: Some(*line), column: *column, text, ..FieldError::new(field, message) }
}

/// The text of a line; of a long one what stands around the column.
fn line_of(source: &str, line: u32, column: Option<u32>) -> Option<String> {
    let number = usize::try_from(line).ok()?.checked_sub(1)?;
    let text = source.split('\n').nth(number)?.trim_end();
    let length = text.chars().count();
    if length <= 2 * BESIDE {
        return Some(text.trim_start().to_owned());
    }
    let at = column.and_then(|column| usize::try_from(column).ok()).unwrap_or(1).saturating_sub(1).min(length);
    let from = at.saturating_sub(BESIDE);
    let part: String = text.chars().skip(from).take(2 * BESIDE).collect();
    let (before, after) = (if from > 0 { "…" } else { "" }, if from + 2 * BESIDE < length { "…" } else { "" });
    Some(format!("{before}{}{after}", part.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_by_itself_and_a_long_one_around_its_place() {
        assert_eq!(line_of("one\r\n  two\r\nthree", 2, Some(3)).as_deref(), Some("two"));
        assert_eq!(line_of("one", 2, None), None);
        assert_eq!(line_of("one", 0, None), None);
        let long = format!("{}ü{}", "a".repeat(500), "b".repeat(500));
        let shown = line_of(&long, 1, Some(501)).expect("a line");
        assert_eq!(shown, format!("…{}ü{}…", "a".repeat(80), "b".repeat(79)));
        assert_eq!(line_of(&long, 1, Some(9_999)).expect("a line"), format!("…{}", "b".repeat(80)));
        assert_eq!(line_of(&long, 1, None).expect("a line"), format!("{}…", "a".repeat(160)));
    }
}
