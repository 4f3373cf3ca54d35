//! Comma-separated values, as RFC 4180 has them, read and written exactly.
//!
//! ```text
//!  text ─▶ rows, each with its line number and its cells, or with what is wrong with it ─▶ the next row is read all the same
//! ```
//!
//! A cell that holds a comma, a quote or a line break stands in quotes, a quote in it is doubled. Lines end with LF or
//! CRLF; empty ones are passed over, and a byte-order mark at the beginning too.
//!
//! The trap is what spreadsheets do: they run a cell that begins with `=`, `+`, `-` or `@`. Such a cell is written with an
//! apostrophe before it, which they show as plain text, and so is one that begins with an apostrophe. Reading takes that
//! one apostrophe away again, so whatever is written is read as it was.

use std::ops::Range;

/// What must not stand first in a cell that a spreadsheet opens; the apostrophe is what is put before it.
const RUN: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its text, with its line end.
    pub text: Range<usize>,
    /// Its cells, or what is wrong with it.
    pub cells: Result<Vec<String>, &'static str>,
}

/// All rows of a text.
pub fn rows(text: &str) -> Vec<Row> {
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }, line: 1 };
    let mut rows = Vec::new();
    while reader.at < text.len() {
        let (line, start) = (reader.line, reader.at);
        let cells = reader.row();
        if cells.as_ref().is_ok_and(|cells| matches!(cells.as_slice(), [only] if only.is_empty())) {
            continue;
        }
        rows.push(Row { line, text: start..reader.at, cells });
    }
    rows
}

/// A row as it is written, with its line end.
pub fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    // An empty line is no row.
    let only_empty = matches!(cells.as_slice(), [only] if only.is_empty());
    if only_empty { "\"\"\r\n".to_owned() } else { format!("{}\r\n", cells.join(",")) }
}

fn cell(value: &str) -> String {
    let guarded = if value.starts_with(RUN) { format!("'{value}") } else { value.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

fn unguarded(cell: String) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(RUN) => rest.to_owned(),
        _ => cell,
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

enum End {
    Cell,
    Row,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn row(&mut self) -> Result<Vec<String>, &'static str> {
        let mut cells = Vec::new();
        loop {
            let read = if self.rest().starts_with('"') { self.quoted() } else { self.plain() };
            match read {
                Ok((cell, end)) => {
                    cells.push(unguarded(cell));
                    if matches!(end, End::Row) {
                        return Ok(cells);
                    }
                }
                Err(wrong) => {
                    self.skip_line();
                    return Err(wrong);
                }
            }
        }
    }

    fn plain(&mut self) -> Result<(String, End), &'static str> {
        let rest = self.rest();
        let length = rest.find([',', '\n', '\r', '"']).unwrap_or(rest.len());
        let cell = rest[..length].to_owned();
        self.at += length;
        if self.rest().starts_with('"') {
            return Err("a quote stands in a cell that does not begin with one");
        }
        Ok((cell, self.end()?))
    }

    fn quoted(&mut self) -> Result<(String, End), &'static str> {
        self.at += 1;
        let mut cell = String::new();
        loop {
            let rest = self.rest();
            let Some(length) = rest.find('"') else {
                self.at = self.text.len();
                return Err("a quote is never closed");
            };
            let part = &rest[..length];
            self.line += part.matches('\n').count();
            cell.push_str(part);
            self.at += length + 1;
            if !self.rest().starts_with('"') {
                return Ok((cell, self.end()?));
            }
            cell.push('"');
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<End, &'static str> {
        let rest = self.rest();
        let (length, end) = match rest.as_bytes() {
            [] => (0, End::Row),
            [b',', ..] => (1, End::Cell),
            [b'\n', ..] => (1, End::Row),
            [b'\r', b'\n', ..] => (2, End::Row),
            [b'\r', ..] => return Err("a carriage return stands without its line feed"),
            _ => return Err("something stands behind a closing quote"),
        };
        self.at += length;
        self.line += usize::from(matches!(end, End::Row) && length > 0);
        Ok(end)
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        match rest.find('\n') {
            Some(length) => {
                self.at += length + 1;
                self.line += 1;
            }
            None => self.at = self.text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(usize, Result<Vec<String>, &'static str>)> {
        rows(text).into_iter().map(|row| (row.line, row.cells)).collect()
    }

    fn good(cells: &[&str]) -> Result<Vec<String>, &'static str> {
        Ok(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn rows_are_read_with_their_line() {
        let text = "\u{feff}a,b\r\n\r\n1,\"x,\"\"y\"\"\nz\"\n,\n2";
        assert_eq!(
            read(text),
            [(1, good(&["a", "b"])), (3, good(&["1", "x,\"y\"\nz"])), (5, good(&["", ""])), (6, good(&["2"]))]
        );
        assert_eq!(read(""), []);
        assert_eq!(read("\"\"\n"), [], "one empty cell is an empty line");
    }

    #[test]
    fn what_is_malformed_spoils_no_other_row() {
        let text = "a\"b,c\n1\n\"x\"y\n2\nq\rr\n3\n\"open\n4\n";
        let lines = read(text);
        let bad: Vec<usize> = lines.iter().filter(|(_, cells)| cells.is_err()).map(|(line, _)| *line).collect();
        assert_eq!(bad, [1, 3, 5, 7]);
        assert_eq!(lines[1], (2, good(&["1"])));
        assert_eq!(lines[5], (6, good(&["3"])));
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        assert_eq!(row(["=1+1", "-5", "'tis", "it's", "@x"]), "'=1+1,'-5,''tis,it's,'@x\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in proptest::collection::vec(proptest::collection::vec("(\\PC|[=+@',\"\n\r\t-]){0,6}", 2..5), 0..6)) {
            let text: String = table.iter().map(|cells| row(cells.iter().map(String::as_str))).collect();
            let read: Vec<Vec<String>> = rows(&text).into_iter().map(|row| row.cells.expect("our own")).collect();
            prop_assert_eq!(read, table);
        }

        #[test]
        fn rows_cover_the_text_and_nothing_makes_it_panic(text in "(\\PC|[,\"\n\r'=]){0,40}") {
            let mut last = 0;
            for row in rows(&text) {
                prop_assert!(row.text.start >= last && row.text.end > row.text.start);
                prop_assert_eq!(row.line, 1 + text[..row.text.start].matches('\n').count());
                last = row.text.end;
            }
        }
    }
}
