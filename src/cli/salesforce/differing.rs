//! What changed between two packages, file by file. Metadata has one element a line, so lines that came and went tell it.
//!
//! Trap: one element is a secret, the address of the messages; that it changed is told, its value is not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::output::{Output, clean};

/// Most lines that are told of a file.
const MOST_LINES: usize = 40;

/// Files that came, went or changed, with their lines.
pub(super) fn changes(last: Option<&BTreeMap<String, String>>, now: &BTreeMap<String, String>) -> Vec<Value> {
    let Some(last) = last else { return Vec::new() };
    let mut found = Vec::new();
    for (path, text) in now {
        match last.get(path) {
            None => found.push(json!({"path": path, "change": "added", "lines": []})),
            Some(before) if before == text => {}
            Some(before) => found.push(json!({"path": path, "change": "changed", "lines": lines(path, before, text)})),
        }
    }
    let gone = last.keys().filter(|path| !now.contains_key(*path));
    found.extend(gone.map(|path| json!({"path": path, "change": "removed", "lines": []})));
    found
}

/// Lines with a value; those of metadata that only open and close say nothing.
fn lines(path: &str, before: &str, now: &str) -> Vec<String> {
    let says = |line: &str| !path.ends_with(".xml") || line.find("</").is_some_and(|at| at > 0);
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    for (text, step) in [(before, -1), (now, 1)] {
        text.lines().map(str::trim).filter(|line| says(line)).for_each(|line| *count.entry(line).or_default() += step);
    }
    let told = count.into_iter().filter(|(_, times)| *times != 0).map(|(line, times)| {
        let line = if line.starts_with("<endpointUrl>") { "<endpointUrl>…</endpointUrl>" } else { line };
        format!("{} {line}", if times > 0 { '+' } else { '-' })
    });
    told.take(MOST_LINES).collect()
}

/// For people.
pub(super) fn tell(changes: &[Value], out: &mut Output) -> anyhow::Result<()> {
    for change in changes {
        let text = |member: &str| clean(change[member].as_str().unwrap_or_default());
        out.line(&format!("{:8} {}", text("change"), text("path")))?;
        for line in change["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.line(&format!("           {}", clean(line)))?;
        }
    }
    Ok(())
}
