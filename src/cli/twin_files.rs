//! Twins as CSV files: written out by `twin export` and `connection delete --keep-twins`, read by `twin link --csv`.
//!
//! A file is written beside its name first and put in its place when it is whole and on disk: whoever deletes what it
//! tells of can rely on it. A long file goes to the node in parts, each with the header; what the node says of a line is
//! told by its number in the whole file.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    Usage,
    api::ApiClient,
    output::{Output, clean},
};
use crate::domain::csv;

/// Lines, and bytes, of one part.
const LINES: usize = 2_000;
const BYTES: usize = 800_000;
/// Largest file.
const MOST: u64 = 256 << 20;

/// Writes all twins of a connection to a file that is not there yet, or replaces one.
pub(super) async fn write(api: &ApiClient, id: &str, to: &Path) -> anyhow::Result<()> {
    let beside = part_of(to);
    let whole = async {
        let mut file = File::create(&beside)?;
        api.download(&["connections", id, "twins.csv"], &mut file).await?;
        file.sync_all()?;
        fs::rename(&beside, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Its name is on disk, too.
        File::open(folder)?.sync_all()?;
        anyhow::Ok(())
    };
    let written = whole.await;
    if written.is_err() {
        // The half that there is helps nobody.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("the twins could not be written to {}", to.display()))
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

/// Writes all twins of a connection to a file, or to standard output.
pub(super) async fn export(api: &ApiClient, id: &str, to: Option<&Path>, out: &mut Output) -> anyhow::Result<()> {
    match to {
        Some(to) => {
            write(api, id, to).await?;
            out.done(false, &format!("written to {}", to.display()))
        }
        None => {
            let mut stdout = io::stdout();
            api.download(&["connections", id, "twins.csv"], &mut stdout).await?;
            Ok(stdout.flush()?)
        }
    }
}

/// A part of a file as it is sent, and the number in the whole file of each of its lines.
struct Part {
    text: String,
    lines: Vec<(usize, usize)>,
}

fn parts(text: &str) -> Vec<Part> {
    let mut rows = csv::rows(text).into_iter();
    let Some(header) = rows.next() else { return vec![Part { text: text.to_owned(), lines: Vec::new() }] };
    let mut head = text[header.text].to_owned();
    if !head.ends_with('\n') {
        head.push('\n');
    }
    let begin = || (Part { text: head.clone(), lines: Vec::new() }, 1 + head.matches('\n').count());
    let (mut parts, (mut part, mut line)) = (Vec::new(), begin());
    for row in rows {
        let row_text = &text[row.text];
        if part.lines.len() >= LINES || part.text.len() + row_text.len() > BYTES && !part.lines.is_empty() {
            let (next, first) = begin();
            parts.push(std::mem::replace(&mut part, next));
            line = first;
        }
        part.lines.push((line, row.line));
        line += row_text.matches('\n').count();
        part.text.push_str(row_text);
    }
    parts.push(part);
    parts
}

/// Links what a file names. `Ok(false)`: some lines were refused, and that was told.
pub(super) async fn link(
    api: &ApiClient,
    id: &str,
    (file, preview): (&Path, bool),
    out: &mut Output,
    as_json: bool,
) -> anyhow::Result<bool> {
    let shown = file.display();
    let size = fs::metadata(file).with_context(|| format!("{shown} cannot be read"))?.len();
    if size > MOST {
        return Err(Usage(format!("{shown} has {size} bytes; at most {MOST} are read")).into());
    }
    let bytes = fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| Usage(format!("{shown} is not UTF-8 (byte {}): save it as that", error.utf8_error().valid_up_to())))?;
    let mut report = json!({"preview": preview, "linked": 0, "already_linked": 0, "skipped": 0, "refused": 0, "lines": []});
    for part in parts(&text) {
        let query = [("preview", if preview { "true" } else { "false" })];
        let answer = api.post_csv(&["connections", id, "twins", "link"], &query, part.text).await?;
        add(&mut report, answer, &part.lines);
    }
    if as_json {
        out.json(&report)?;
    } else {
        tell(out, &report)?;
    }
    Ok(report["refused"] == 0)
}

fn add(report: &mut Value, answer: Value, lines: &[(usize, usize)]) {
    for name in ["linked", "already_linked", "skipped", "refused"] {
        report[name] = (report[name].as_u64().unwrap_or(0) + answer[name].as_u64().unwrap_or(0)).into();
    }
    for mut line in answer["lines"].as_array().cloned().unwrap_or_default() {
        let at = lines.iter().find(|(sent, _)| line["line"] == *sent).map(|(_, whole)| *whole);
        if let (Some(at), Some(all)) = (at, report["lines"].as_array_mut()) {
            line["line"] = at.into();
            all.push(line);
        }
    }
}

fn tell(out: &mut Output, report: &Value) -> io::Result<()> {
    for line in report["lines"].as_array().into_iter().flatten().filter(|line| !line["reason"].is_null()) {
        let word = |name: &str| clean(line[name].as_str().unwrap_or_default());
        out.line(&format!("line {}: {}: {}", line["line"], word("result"), word("reason")))?;
    }
    let verb = if report["preview"] == true { "would be linked" } else { "linked" };
    let [linked, already, skipped, refused] = ["linked", "already_linked", "skipped", "refused"].map(|name| &report[name]);
    out.line(&format!("{linked} {verb}, {already} linked already, {skipped} skipped, {refused} refused"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_goes_in_parts_whose_lines_keep_their_numbers() {
        let mut text = "\u{feff}a,b\r\n".to_owned();
        for n in 0..(LINES * 2 + 5) {
            text.push_str(&format!("{n},\"two\nlines\"\n\n"));
        }
        let parts = parts(&text);
        assert_eq!(parts.iter().map(|part| part.lines.len()).collect::<Vec<_>>(), [LINES, LINES, 5]);
        let whole: Vec<_> = csv::rows(&text).into_iter().skip(1).map(|row| (row.line, row.cells)).collect();
        let mut at = 0;
        for part in parts {
            let mut rows = csv::rows(&part.text).into_iter();
            assert_eq!(rows.next().expect("a header").cells, Ok(vec!["a".to_owned(), "b".to_owned()]));
            for ((sent, number), row) in part.lines.iter().zip(rows) {
                assert_eq!((*sent, (*number, row.cells)), (row.line, whole[at].clone()));
                at += 1;
            }
        }
        assert_eq!(at, whole.len());
    }
}
