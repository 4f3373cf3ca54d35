//! What is wrong with a configuration, for the person who wrote it.

use std::fmt;

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, `node.listen`, or the variable of the environment that set it; empty where the whole file is meant.
    pub key: String,
    /// Line in the file, from 1, where it came from there.
    pub line: Option<usize>,
    /// What is wrong and what to do; never a secret's value.
    pub message: String,
}

impl Problem {
    /// One that concerns the file as a whole.
    pub(super) fn whole(message: String) -> Self {
        Self { key: String::new(), line: None, message }
    }
}

/// All problems of a configuration at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name.
    pub file: String,
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.file)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

/// The name among `known` that a typo most likely meant.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&typed.to_lowercase(), name), name))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// "did you mean `x`? Known here: …"
pub(super) fn suggestion(typed: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? Known here: {list}"),
        None if known.is_empty() => "nothing is known here".to_owned(),
        None => format!("known here: {list}"),
    }
}
