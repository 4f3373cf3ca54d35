//! What a form sent: names and values, and what was wrong with them.
//!
//! A [`Form`] exists only where it came from a page of this session ([`super::gate`]), so a handler cannot forget to ask.
//! A refused form is shown again with its values; [`Errors`] holds each message for its field.

use std::collections::BTreeMap;

use url::form_urlencoded;

use crate::server::kit::{FieldError, Problem};

/// Largest form: a pair of rules, escaped.
pub(super) const LIMIT: usize = 4_000_000;
/// Largest form of somebody who is not signed in: a name and a password. It is read before anything is known of them.
pub(super) const OPEN_LIMIT: usize = 16_000;
/// Most fields of a form; what comes after them is read over.
const FIELDS: usize = 500;

/// Names and values as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).take(FIELDS).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a field; empty where the form has none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// All values of a field that may be sent more than once.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Without space around it; `None` where nothing was typed.
    pub(super) fn typed(&self, name: &str) -> Option<String> {
        Some(self.get(name).trim()).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// A box that was ticked, or a button that was pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// What is wrong with a form: by field, and as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    /// Shown above the form.
    pub whole: Option<String>,
    fields: BTreeMap<String, String>,
}

impl Errors {
    /// The message at a field; empty where it is fine.
    pub(super) fn at(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// Whether one of these fields is wrong.
    pub(super) fn any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.fields.contains_key(*field))
    }

    /// One field is wrong.
    pub(super) fn one(field: &str, message: &str) -> Self {
        Self { whole: None, fields: BTreeMap::from([(field.to_owned(), message.to_owned())]) }
    }
}

impl Errors {
    /// `shown` are the fields that the form has; what concerns others is said above it.
    pub(super) fn of(problem: &Problem, shown: &[&str]) -> Self {
        let mut errors = Self::default();
        let mut rest = Vec::new();
        for FieldError { field, message, .. } in &problem.errors {
            if shown.contains(&field.as_str()) {
                errors.fields.entry(field.clone()).or_insert_with(|| sentence(message));
            } else {
                rest.push(format!("{field}: {message}"));
            }
        }
        errors.whole = match (problem.errors.is_empty(), rest.is_empty()) {
            (true, _) => Some(problem.detail.clone()),
            (false, false) => Some(rest.join("; ")),
            (false, true) => None,
        };
        errors
    }
}

/// Messages of the API begin where the field's name ends.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
