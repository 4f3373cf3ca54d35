//! Reads a section into its module's type and collects all that is wrong with it.
//!
//! Serde stops at the first mistake. So the mistake is noted, its key taken out of the table, and the rest is read
//! again, until nothing is wrong any more.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    problem::{Problem, suggestion},
    source::{Source, is_secret},
};

/// More mistakes than this in one section are told next time.
const MOST_PROBLEMS: usize = 50;

/// Keys of versions to come, each with what it comes with.
const LATER: [(&[&str], &str); 2] = [
    (&["node", "key"], "it comes with several nodes behind one address; this one keeps its key in data_dir"),
    (&["store", "seal_key"], "it comes with several nodes behind one address; this one keeps its key in data_dir"),
];

/// Reads sections and gathers problems.
pub(super) struct Reader<'a> {
    source: &'a Source,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// Notes a problem of a key.
    pub(super) fn problem(&mut self, path: &[&str], message: &str) {
        self.note(&[], &path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>(), message.to_owned());
    }

    /// A mistyped section is told with the nearest known one.
    pub(super) fn refuse_unknown_sections(&mut self, known: &[&str]) {
        let unknown: Vec<String> = self.source.tree.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for name in unknown {
            self.problem(&[&name], &format!("unknown section; {}", suggestion(&name, known)));
        }
    }

    /// The table of a section; empty where the file has none.
    pub(super) fn table(&mut self, section: &str) -> Option<Table> {
        match self.source.tree.get(section) {
            None => Some(Table::new()),
            Some(Value::Table(table)) => Some(table.clone()),
            Some(_) => {
                self.problem(&[section], &format!("must be a section: [{section}]"));
                None
            }
        }
    }

    /// Reads a whole section.
    pub(super) fn section<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let table = self.table(name)?;
        self.read(&[name], table, &[])
    }

    /// Reads `table`, which stands at `path`; `more` are further keys that are known there.
    pub(super) fn read<T: DeserializeOwned>(&mut self, path: &[&str], mut table: Table, more: &[&str]) -> Option<T> {
        let base: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let mut removed = BTreeSet::new();
        for _ in 0..MOST_PROBLEMS {
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(table.clone())) {
                Ok(read) if removed.is_empty() => return Some(read),
                Ok(_) => return None,
                Err(error) => error,
            };
            let mut inner: Vec<String> = error.path().iter().filter_map(segment).collect();
            let message = error.inner().message().to_owned();
            if let Some(name) = quoted_after(&message, "missing field `") {
                inner.push(name.to_owned());
                if !removed.contains(&inner) {
                    self.note(&base, &inner, "is missing".to_owned());
                }
                return None;
            }
            if let Some(name) = quoted_after(&message, "unknown field `") {
                if inner.last().is_none_or(|last| last != name) {
                    inner.push(name.to_owned());
                }
                let mut known = quoted_all(&message, 1);
                // Further keys are known at the top of the section only.
                if inner.len() == 1 {
                    known.extend(more);
                }
                let path: Vec<&str> = base.iter().chain(&inner).map(String::as_str).collect();
                let message = match LATER.iter().find(|(later, _)| path == *later) {
                    Some((_, why)) => format!("is not in this version: {why}"),
                    None => format!("unknown key; {}", suggestion(name, &known)),
                };
                self.note(&base, &inner, message);
            } else if self.as_text(&base, &inner, &mut table) {
                continue;
            } else {
                self.note(&base, &inner, explained(&message, inner.last()));
            }
            take_out(&mut table, &inner)?;
            removed.insert(inner);
        }
        None
    }

    fn note(&mut self, base: &[String], inner: &[String], message: String) {
        let path: Vec<String> = base.iter().chain(inner).cloned().collect();
        // It was told that its secret cannot be fetched; the rest follows from that.
        if !self.source.is_unresolved(&path) {
            self.problems.push(self.source.problem(&path, message));
        }
    }

    /// A value from the environment that was taken for a number or a list is put back as text, once.
    fn as_text(&self, base: &[String], inner: &[String], table: &mut Table) -> bool {
        let path: Vec<String> = base.iter().chain(inner).cloned().collect();
        let Some(found) = self.source.overridden(&path) else { return false };
        match place(table, inner) {
            Some(value) if !value.is_str() => {
                *value = Value::String(found.raw.clone());
                true
            }
            _ => false,
        }
    }
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// The text between `start` and the next backtick.
fn quoted_after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    text.strip_prefix(start)?.split_once('`').map(|(name, _)| name)
}

/// All names in backticks after the first `skip`.
fn quoted_all(text: &str, skip: usize) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).skip(skip).collect()
}

/// Serde's message in words for the person who wrote the value.
fn explained(message: &str, key: Option<&String>) -> String {
    match key.map(String::as_str) {
        Some("proxy") => "must be an address such as \"http://user:pass@proxy:3128\", or { url = \"…\", username = \"…\", \
                          password = { file = \"…\" } }"
            .to_owned(),
        Some(key) if is_secret(key) => "must be text, { env = \"NAME\" } or { file = \"PATH\" }".to_owned(),
        _ => match quoted_after(message, "unknown variant `") {
            Some(typed) => format!("`{typed}` is not known; {}", suggestion(typed, &quoted_all(message, 1))),
            None => message.trim_end().to_owned(),
        },
    }
}

fn place<'t>(table: &'t mut Table, path: &[String]) -> Option<&'t mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get_mut(first)?, |value, key| match value {
        Value::Table(table) => table.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Removes the key at `path`; where an item of a list is meant, the whole list.
fn take_out(table: &mut Table, path: &[String]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    if above.is_empty() {
        return table.remove(last);
    }
    match place(table, above)? {
        Value::Table(inner) => inner.remove(last),
        _ => take_out(table, above),
    }
}
