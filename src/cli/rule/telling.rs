//! What is wrong with rules, told as compilers do: the place, the line itself, and a mark below it.
//!
//! Trap: the node's answer holds the line's text without its indent. The mark needs the whole line, so it is taken from the
//! texts that were sent; a tab stays one, so that the mark stands below what it means.

use serde_json::Value;

use super::{
    super::{api::Refused, output::clean},
    Folder, Output, Pair,
};

/// The texts that a node has an opinion on, and what they are called.
pub(super) struct Sources {
    pair: Option<Pair>,
    folder: Option<Folder>,
}

impl Sources {
    /// Files of a directory.
    pub(super) fn of_folder(folder: &Folder, pair: Pair) -> Self {
        Self { pair: Some(pair), folder: Some(Folder(folder.0.clone())) }
    }

    /// The node's own draft, where there is one.
    pub(super) fn of_draft(pair: Option<Pair>) -> Self {
        Self { pair, folder: None }
    }

    /// Tells each problem.
    pub(super) fn tell(&self, out: &mut Output, problems: &Value) -> anyhow::Result<()> {
        for problem in problems.as_array().into_iter().flatten() {
            out.line(&self.told(problem))?;
        }
        Ok(())
    }

    /// A refusal of the texts with each problem on its line; any other error as it is.
    pub(super) fn refused(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<Refused>() {
            Some(refused) if matches!(refused.code.as_str(), "rule_invalid" | "rule_unfit") => {
                let told: Vec<String> = refused.errors.iter().map(|problem| self.told(problem)).collect();
                let forced = match refused.code.as_str() {
                    "rule_unfit" => "\nIf it is meant so, publish with --force.",
                    _ => "",
                };
                anyhow::anyhow!("{}\n{}{forced}", refused.headline(), told.join("\n"))
            }
            _ => error,
        }
    }

    fn told(&self, problem: &Value) -> String {
        let text = |name: &str| clean(problem[name].as_str().unwrap_or_default());
        let (rule, number) = (text("field"), |name: &str| problem[name].as_u64());
        let file = self.folder.as_ref().map_or_else(|| rule.clone(), |folder| folder.file(&rule).display().to_string());
        let place = |name: &str| number(name).map_or_else(String::new, |number| format!(":{number}"));
        let word = if problem["severity"] == "warning" { "warning: " } else { "" };
        let mut told = format!("{file}{}{}: {word}{}", place("line"), place("column"), text("message"));
        if let (Some(line), Some(column)) = (number("line"), number("column"))
            && let Some(line) = self.line(&rule, line)
        {
            let before = line.chars().take(usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1));
            let indent: String = before.map(|one| if one == '\t' { '\t' } else { ' ' }).collect();
            told.push_str(&format!("\n  {line}\n  {indent}^"));
        }
        match text("advice") {
            advice if advice.is_empty() => told,
            advice => format!("{told}\n  {advice}"),
        }
    }

    /// A line of a rule, without what could move a cursor. A very long one is left out.
    fn line(&self, rule: &str, line: u64) -> Option<String> {
        let pair = self.pair.as_ref()?;
        let source = if rule == "outgoing" { &pair.outgoing } else { &pair.incoming };
        let line = source.split('\n').nth(usize::try_from(line).ok()?.checked_sub(1)?)?.trim_end();
        let shown = |one: char| if one.is_control() && one != '\t' { '·' } else { one };
        Some(line.chars().map(shown).collect()).filter(|line: &String| line.chars().count() <= MOST_SHOWN)
    }
}

/// Longest line that is shown.
const MOST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_mark_stands_below_what_it_means() {
        let pair = Pair { outgoing: String::new(), incoming: "a;\n\t\tentity.Subjct = 1;\n".to_owned() };
        let problem = json!({"field": "incoming", "line": 2, "column": 10, "message": "no such field", "severity": "error",
            "advice": "Did you mean `Subject`?", "text": "entity.Subjct = 1;"});
        let told = Sources::of_folder(&Folder("rules".into()), pair).told(&problem);
        assert_eq!(
            told,
            "rules/incoming.js:2:10: no such field\n  \t\tentity.Subjct = 1;\n  \t\t       ^\n  Did you mean `Subject`?"
        );
        let other = json!({"field": "outgoing", "message": "m", "severity": "warning"});
        assert_eq!(Sources::of_draft(None).told(&other), "outgoing: warning: m");
    }
}
