//! What commands print: tables for people, bodies for programs, questions before what cannot be undone.
//!
//! Names and values come from trackers and partners: control characters in them are shown as `·`, or somebody's case
//! subject could write on the operator's terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{Usage, api::Listed};

/// Where answers go.
pub(super) struct Output {
    to: Box<dyn Write + Send>,
}

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self { to: Box::new(io::stdout()) }
    }

    #[cfg(test)]
    pub(super) fn to(to: Box<dyn Write + Send>) -> Self {
        Self { to }
    }

    /// One line, or several.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{text}")?;
        self.to.flush()
    }

    /// A body for a program.
    pub(super) fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(&format!("{value:#}"))
    }

    /// What the API answered: its body for programs, one member a line for people.
    pub(super) fn answer(&mut self, json: bool, answer: &Value) -> anyhow::Result<()> {
        let printed = if json { self.json(answer) } else { self.object(answer) };
        Ok(printed?)
    }

    /// A list: bodies for programs, a table for people.
    pub(super) fn items(&mut self, json: bool, columns: &[(&str, &str)], listed: Listed) -> anyhow::Result<()> {
        let Listed { items, next } = listed;
        let printed = if json { self.json(&json!({ "items": items, "next": next })) } else { self.table(columns, &items) };
        Ok(printed?)
    }

    /// Something was done that has no answer; programs know by the exit code.
    pub(super) fn done(&mut self, json: bool, word: &str) -> anyhow::Result<()> {
        if json { Ok(()) } else { Ok(self.line(word)?) }
    }

    /// A table: each column is a heading and the JSON pointer of its value.
    pub(super) fn table(&mut self, columns: &[(&str, &str)], items: &[Value]) -> io::Result<()> {
        if items.is_empty() {
            return self.line("none");
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|(heading, _)| heading.to_uppercase()));
        for item in items {
            table.add_row(columns.iter().map(|(_, pointer)| cell(item.pointer(pointer).unwrap_or(&Value::Null))));
        }
        self.line(&table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n"))
    }

    /// An object, one member a line.
    pub(super) fn object(&mut self, value: &Value) -> io::Result<()> {
        let mut rows = Vec::new();
        flatten("", value, &mut rows);
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
        self.line(&lines.join("\n"))
    }
}

/// Says something on standard error; a closed one is nobody's loss.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks before something that cannot be undone. Without a terminal only `--yes` will do.
pub(super) fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Usage(format!("{question} Nobody is there to be asked: add --yes")).into());
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// A value on one line of a table.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => clean(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => clean(&other.to_string()),
    }
}

/// Text that writes nothing but itself.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '·' } else { one }).collect()
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                let name = if name.is_empty() { clean(member) } else { format!("{name}.{}", clean(member)) };
                flatten(&name, value, rows);
            }
        }
        other => rows.push((name.to_owned(), cell(other))),
    }
}
