//! The file's text and the environment as one tree of values, with the place that each came from.

use std::{collections::BTreeMap, fmt, io::Read, path::Path};

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::problem::{ConfigError, Problem};

/// Keys that hold a secret: they may be given as `{ env = "NAME" }` or `{ file = "PATH" }` and are masked when shown.
/// A proxy's address may hold one.
const SECRETS: [&str; 8] = ["admin_token", "api_key", "client_secret", "password", "private_key", "proxy", "secret", "token"];

/// A configuration or a secret's file larger than this is a mistake.
const MOST_BYTES: u64 = 1 << 20;

/// Prefix of the variables that override a key.
const PREFIX: &str = "WICKETGATE__";

/// Whether a key holds a secret.
pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// A variable that set a key.
#[derive(Clone)]
pub(super) struct Override {
    variable: String,
    /// As it stood in the environment.
    pub(super) raw: String,
}

/// The tree, and where its values came from.
#[derive(Clone)]
pub(super) struct Source {
    file: String,
    /// All values, secrets resolved.
    pub(super) tree: Table,
    lines: BTreeMap<Vec<String>, usize>,
    overrides: BTreeMap<Vec<String>, Override>,
    /// Secrets that could not be fetched: what else is wrong with them is not known.
    unresolved: Vec<Vec<String>>,
}

impl fmt::Debug for Source {
    /// The tree holds secrets: only the file's name is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.file)
    }
}

impl Source {
    /// Reads text and environment; problems that leave a usable tree come beside it.
    pub(super) fn load(
        file: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Problem>), ConfigError> {
        let broken = |error: toml::de::Error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let message = format!("not valid TOML: {}", error.message());
            ConfigError { file: file.to_owned(), problems: vec![Problem { key: String::new(), line, message }] }
        };
        let spanned = DeTable::parse(text).map_err(broken)?;
        let tree: Table = toml::from_str(text).map_err(broken)?;
        let mut lines = BTreeMap::new();
        note_lines(text, spanned.get_ref(), &mut Vec::new(), &mut lines);
        let mut source = Self { file: file.to_owned(), tree, lines, overrides: BTreeMap::new(), unresolved: Vec::new() };
        let env: BTreeMap<String, String> = env.into_iter().collect();
        let mut problems = Vec::new();
        for (variable, raw) in &env {
            if let Err(message) = source.override_by(variable, raw) {
                problems.push(Problem { key: variable.clone(), line: None, message });
            }
        }
        let (mut tree, mut unresolved) = (std::mem::take(&mut source.tree), Vec::new());
        source.resolve(&mut tree, &mut Vec::new(), &env, &mut |path, message| {
            problems.push(source.problem(path, message));
            unresolved.push(path.to_vec());
        });
        (source.tree, source.unresolved) = (tree, unresolved);
        Ok((source, problems))
    }

    /// An error of this file, its problems in the file's order.
    pub(super) fn error(&self, mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        ConfigError { file: self.file.clone(), problems }
    }

    /// A problem of the key at `path`, with the line or the variable it came from.
    pub(super) fn problem(&self, path: &[String], message: String) -> Problem {
        for length in (1..=path.len()).rev() {
            if let Some(found) = self.overrides.get(&path[..length]) {
                return Problem { key: found.variable.clone(), line: None, message };
            }
            if let Some(line) = self.lines.get(&path[..length]) {
                return Problem { key: path.join("."), line: Some(*line), message };
            }
        }
        Problem { key: path.join("."), line: None, message }
    }

    /// Whether a secret at `path`, above or below it could not be fetched.
    pub(super) fn is_unresolved(&self, path: &[String]) -> bool {
        self.unresolved.iter().any(|one| one.starts_with(path) || path.starts_with(one))
    }

    /// The variable that set exactly this key.
    pub(super) fn overridden(&self, path: &[String]) -> Option<&Override> {
        self.overrides.get(path)
    }

    fn override_by(&mut self, variable: &str, raw: &str) -> Result<(), String> {
        let names: Vec<&str> = match variable.strip_prefix(PREFIX) {
            Some(rest) => rest.split("__").collect(),
            None if variable == "WICKETGATE_ADMIN_TOKEN" => vec!["api", "admin_token"],
            None => return Ok(()),
        };
        if names.len() < 2 || names.iter().any(|name| name.is_empty()) {
            return Err("must be named WICKETGATE__SECTION__KEY".to_owned());
        }
        let mut table = &mut self.tree;
        let mut path = Vec::new();
        let (last, above) = names.split_last().ok_or("names no key")?;
        for name in above {
            let key = spelled_as_there(table, name);
            path.push(key.clone());
            let Value::Table(next) = table.entry(key).or_insert_with(|| Value::Table(Table::new())) else {
                return Err(format!("`{}` is no section", path.join(".")));
            };
            table = next;
        }
        let key = spelled_as_there(table, last);
        path.push(key.clone());
        let value = value_of(raw, is_secret(&key));
        table.insert(key, value);
        self.overrides.insert(path, Override { variable: variable.to_owned(), raw: raw.to_owned() });
        Ok(())
    }

    /// Replaces `{ env = … }` and `{ file = … }` at secret keys by what they name.
    fn resolve(&self, table: &mut Table, path: &mut Vec<String>, env: &BTreeMap<String, String>, tell: &mut Tell<'_>) {
        for (key, value) in table.iter_mut() {
            path.push(key.clone());
            match value {
                Value::Array(items) if is_secret(key) => {
                    items.iter_mut().for_each(|item| self.resolve_one(item, path, env, tell));
                }
                _ if is_secret(key) => self.resolve_one(value, path, env, tell),
                Value::Table(inner) => self.resolve(inner, path, env, tell),
                _ => {}
            }
            path.pop();
        }
    }

    fn resolve_one(&self, value: &mut Value, path: &mut Vec<String>, env: &BTreeMap<String, String>, tell: &mut Tell<'_>) {
        let Value::Table(inner) = value else { return };
        match reference(inner).map(|reference| reference.fetch(env)) {
            None => self.resolve(inner, path, env, tell),
            Some(fetched) => {
                *value = Value::String(fetched.unwrap_or_else(|message| {
                    tell(path, message);
                    String::new()
                }));
            }
        }
    }
}

/// Hears of a secret that could not be fetched.
type Tell<'t> = dyn FnMut(&[String], String) + 't;

/// Where a secret stands.
enum Reference {
    Env(String),
    File(String),
}

fn reference(table: &Table) -> Option<Reference> {
    let mut entries = table.iter();
    let (Some((key, Value::String(name))), None) = (entries.next(), entries.next()) else { return None };
    match key.as_str() {
        "env" => Some(Reference::Env(name.clone())),
        "file" => Some(Reference::File(name.clone())),
        _ => None,
    }
}

impl Reference {
    fn fetch(self, env: &BTreeMap<String, String>) -> Result<String, String> {
        match self {
            Self::Env(name) => env.get(&name).cloned().ok_or_else(|| format!("the environment has no variable {name}")),
            Self::File(path) => {
                let text = read_limited(Path::new(&path)).map_err(|why| format!("the file {path} cannot be read: {why}"))?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
        }
    }
}

/// Reads a text file up to the size that a configuration can sensibly have.
pub(super) fn read_limited(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES { Err("it is larger than 1 MiB".to_owned()) } else { Ok(text) }
}

/// The key of `table` that a variable's part means: upper case and `_` stand for any case and `-`.
fn spelled_as_there(table: &Table, name: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    match table.keys().find(|key| plain(key) == plain(name)) {
        Some(key) => key.clone(),
        None if name.chars().any(char::is_lowercase) => name.to_owned(),
        None => name.to_lowercase(),
    }
}

/// A variable's text as a value: TOML where it parses. A secret is text, or says where it stands.
fn value_of(raw: &str, secret: bool) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {raw}")).ok().filter(|table| table.len() == 1);
    match parsed.and_then(|mut table| table.remove("value")) {
        Some(Value::Datetime(_)) | None => Value::String(raw.to_owned()),
        Some(value @ (Value::Table(_) | Value::Array(_))) => value,
        Some(_) if secret => Value::String(raw.to_owned()),
        Some(value) => value,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn note_lines(text: &str, table: &DeTable<'_>, path: &mut Vec<String>, lines: &mut BTreeMap<Vec<String>, usize>) {
    for (key, value) in table.iter() {
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), line_of(text, key.span().start));
        note_value(text, value, path, lines);
        path.pop();
    }
}

fn note_value(text: &str, value: &Spanned<DeValue<'_>>, path: &mut Vec<String>, lines: &mut BTreeMap<Vec<String>, usize>) {
    match value.get_ref() {
        DeValue::Table(inner) => note_lines(text, inner, path, lines),
        DeValue::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                lines.insert(path.clone(), line_of(text, item.span().start));
                note_value(text, item, path, lines);
                path.pop();
            }
        }
        _ => {}
    }
}
