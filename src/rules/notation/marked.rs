//! Textile and Jira's wiki as HTML. The two are cousins: marks, headings and lists are the same, links, code and tables are
//! not.
//!
//! Lines are gathered into blocks, and each line is read from left to right: an escape, code, a link, an image, a mark that
//! has its end, or a letter. A mark without an end is text.

use super::escape;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As Redmine reads it.
    Textile,
    /// As Jira reads it.
    Wiki,
}

const MARKS: [(char, &str); 6] = [('*', "strong"), ('_', "em"), ('+', "ins"), ('-', "del"), ('~', "sub"), ('^', "sup")];
/// Marks within marks, at most.
const DEEPEST: usize = 16;

/// Reads a text.
pub fn to_html(dialect: Dialect, text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut reader = Reader { dialect, html: String::new(), paragraph: Vec::new() };
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        if let Some((opening, first)) = opens_code(dialect, line) {
            reader.end_paragraph();
            reader.code(&opening, first, &mut lines);
        } else if dialect == Dialect::Wiki && line.trim() == "{quote}" {
            reader.end_paragraph();
            let inner: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "{quote}").collect();
            reader.html.push_str(&format!("<blockquote>{}</blockquote>", to_html(dialect, &inner.join("\n"))));
        } else if bullet(line).is_some() {
            reader.end_paragraph();
            let mut items = vec![line];
            while let Some(next) = lines.next_if(|line| bullet(line).is_some()) {
                items.push(next);
            }
            reader.list(&items);
        } else if line.trim_start().starts_with('|') {
            reader.end_paragraph();
            let mut rows = vec![line];
            while let Some(next) = lines.next_if(|line| line.trim_start().starts_with('|')) {
                rows.push(next);
            }
            reader.table(&rows);
        } else {
            reader.line(line);
        }
    }
    reader.end_paragraph();
    reader.html
}

/// The word that ends a block of code, its language, and what stands behind the opening in its line.
fn opens_code(dialect: Dialect, line: &str) -> Option<((&'static str, String), &str)> {
    let line = line.trim_start();
    if dialect == Dialect::Textile {
        let rest = line.strip_prefix("<pre>")?;
        let Some((language, rest)) = rest.strip_prefix("<code class=\"").and_then(|rest| rest.split_once("\">")) else {
            return Some((("</pre>", String::new()), rest));
        };
        return Some((("</pre>", language.to_owned()), rest));
    }
    if let Some(rest) = line.strip_prefix("{noformat}") {
        return Some((("{noformat}", String::new()), rest));
    }
    let (language, rest) = line.strip_prefix("{code")?.split_once('}')?;
    Some((("{code}", language.trim_start_matches(':').split('|').next().unwrap_or_default().to_owned()), rest))
}

/// How deep an item is, whether its list has numbers, and its text.
fn bullet(line: &str) -> Option<(usize, bool, &str)> {
    let line = line.trim_start();
    let depth = line.chars().take_while(|one| matches!(one, '*' | '#' | '-')).count();
    let text = line.get(depth..)?.strip_prefix(' ')?;
    let numbered = line[..depth].ends_with('#');
    (depth > 0 && (!line.starts_with('-') || depth == 1)).then_some((depth, numbered, text))
}

struct Reader<'a> {
    dialect: Dialect,
    html: String,
    paragraph: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn end_paragraph(&mut self) {
        if !self.paragraph.is_empty() {
            let lines: Vec<String> = self.paragraph.drain(..).map(|line| inline(self.dialect, line, 0)).collect();
            self.html.push_str(&format!("<p>{}</p>", lines.join("<br>")));
        }
    }

    fn line(&mut self, line: &'a str) {
        let text = line.trim();
        let dashes = text.len() >= 3 && text.chars().all(|one| one == '-');
        if text.is_empty() {
            self.end_paragraph();
        } else if dashes {
            self.end_paragraph();
            self.html.push_str("<hr>");
        } else if let Some((level, rest)) = heading(text) {
            self.end_paragraph();
            self.html.push_str(&format!("<h{level}>{}</h{level}>", inline(self.dialect, rest, 0)));
        } else if let Some(rest) = text.strip_prefix("bq. ") {
            self.end_paragraph();
            self.html.push_str(&format!("<blockquote><p>{}</p></blockquote>", inline(self.dialect, rest, 0)));
        } else {
            self.paragraph.push(text);
        }
    }

    fn code(&mut self, (end, language): &(&str, String), first: &str, lines: &mut dyn Iterator<Item = &'a str>) {
        let mut code = Vec::new();
        let mut next = Some(first);
        while let Some(line) = next {
            if let Some((last, _)) = line.split_once(end) {
                code.push(last);
                break;
            }
            code.push(line);
            next = lines.next();
        }
        let code = code.join("\n");
        let code = code.trim_matches('\n');
        let code = match self.dialect {
            Dialect::Wiki => escape(code),
            Dialect::Textile => with_entities(code.trim_end_matches("</code>").trim_end_matches('\n')),
        };
        let class = if language.is_empty() { String::new() } else { format!(" class=\"language-{}\"", escape(language)) };
        self.html.push_str(&format!("<pre><code{class}>{code}</code></pre>"));
    }

    fn list(&mut self, items: &[&str]) {
        let mut open: Vec<&str> = Vec::new();
        for (depth, numbered, text) in items.iter().filter_map(|item| bullet(item)) {
            let tag = if numbered { "ol" } else { "ul" };
            while open.len() > depth || open.len() == depth && open.last() != Some(&tag) {
                self.html.push_str(&format!("</li></{}>", open.pop().unwrap_or_default()));
            }
            if open.len() == depth {
                self.html.push_str("</li>");
            }
            while open.len() < depth {
                self.html.push_str(&format!("<{tag}>"));
                if open.len() + 1 < depth {
                    self.html.push_str("<li>");
                }
                open.push(tag);
            }
            self.html.push_str(&format!("<li>{}", inline(self.dialect, text, 0)));
        }
        while let Some(tag) = open.pop() {
            self.html.push_str(&format!("</li></{tag}>"));
        }
    }

    fn table(&mut self, rows: &[&str]) {
        self.html.push_str("<table>");
        for row in rows {
            self.html.push_str("<tr>");
            for (head, cell) in cells(self.dialect, row.trim()) {
                let tag = if head { "th" } else { "td" };
                self.html.push_str(&format!("<{tag}>{}</{tag}>", inline(self.dialect, cell.trim(), 0)));
            }
            self.html.push_str("</tr>");
        }
        self.html.push_str("</table>");
    }
}

fn heading(text: &str) -> Option<(u32, &str)> {
    let (level, rest) = text.strip_prefix('h')?.split_once(". ")?;
    level.parse().ok().filter(|level| (1..=6).contains(level)).map(|level| (level, rest))
}

/// The cells of a row. A bar within a link or behind a backslash divides nothing.
fn cells(dialect: Dialect, row: &str) -> Vec<(bool, &str)> {
    let head = dialect == Dialect::Wiki && row.starts_with("||");
    let bar = if head { "||" } else { "|" };
    let row = row.strip_prefix(bar).unwrap_or(row);
    let row = row.strip_suffix(bar).unwrap_or(row);
    let (mut found, mut start, mut linked, mut escaped) = (Vec::new(), 0, false, false);
    for (at, one) in row.char_indices() {
        match one {
            '[' if !escaped => linked = true,
            ']' => linked = false,
            '|' if !linked && !escaped && at >= start && row[at..].starts_with(bar) => {
                found.push(&row[start..at]);
                start = at + bar.len();
            }
            _ => {}
        }
        escaped = one == '\\' && !escaped;
    }
    found.push(&row[start..]);
    let cell = |cell: &'_ str| cell.strip_prefix("_.").is_some();
    found.into_iter().map(|text| (head || cell(text), text.strip_prefix("_.").unwrap_or(text))).collect()
}

/// Text as HTML whose entities stay.
fn with_entities(text: &str) -> String {
    let mut html = String::new();
    for (at, one) in text.char_indices() {
        if one == '&' && entity(&text[at..]).is_some() { html.push('&') } else { html.push_str(&escape(&one.to_string())) }
    }
    html
}

/// The entity that the text begins with.
fn entity(text: &str) -> Option<&str> {
    let end = text.find(';').filter(|end| (3..=10).contains(end))?;
    let name = text[1..end].trim_start_matches('#');
    name.chars().all(|one| one.is_ascii_alphanumeric()).then_some(&text[..=end])
}

fn inline(dialect: Dialect, text: &str, depth: usize) -> String {
    let mut html = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(one) = rest.chars().next() {
        let (made, length) = piece(dialect, rest, before, depth).unwrap_or_else(|| (escape(&one.to_string()), one.len_utf8()));
        html.push_str(&made);
        before = rest[..length].chars().last().unwrap_or(' ');
        rest = &rest[length..];
    }
    html
}

/// What stands at the beginning of the rest, if it is more than a letter: its HTML and its length.
fn piece(dialect: Dialect, rest: &str, before: char, depth: usize) -> Option<(String, usize)> {
    let one = rest.chars().next()?;
    if one == '&' {
        return entity(rest).map(|found| (found.to_owned(), found.len()));
    }
    if one == '!' {
        return image(dialect, rest);
    }
    match dialect {
        Dialect::Wiki => wiki(rest, depth),
        Dialect::Textile => textile(rest, before, depth),
    }
    .or_else(|| mark(dialect, rest, before, depth))
}

fn wiki(rest: &str, depth: usize) -> Option<(String, usize)> {
    if rest.starts_with("\\\\") {
        return Some(("<br>".to_owned(), 2));
    }
    if let Some(next) = rest.strip_prefix('\\').and_then(|rest| rest.chars().next()).filter(char::is_ascii_punctuation) {
        return Some((escape(&next.to_string()), 1 + next.len_utf8()));
    }
    if let Some((code, _)) = rest.strip_prefix("{{").and_then(|rest| rest.split_once("}}")) {
        return Some((format!("<code>{}</code>", escape(code)), code.len() + 4));
    }
    let (inside, _) = rest.strip_prefix('[')?.split_once(']')?;
    let (text, href) = inside.rsplit_once('|').unwrap_or((inside, inside));
    let known = href.contains("://") || href.starts_with("mailto:");
    known.then(|| (link(Dialect::Wiki, text, href, depth), inside.len() + 2))
}

fn textile(rest: &str, before: char, depth: usize) -> Option<(String, usize)> {
    if let Some((code, _)) = rest.strip_prefix("<code>").and_then(|rest| rest.split_once("</code>")) {
        return Some((format!("<code>{}</code>", with_entities(code)), code.len() + 13));
    }
    if let Some((code, _)) = rest.strip_prefix('@').and_then(|rest| rest.split_once('@')).filter(|(code, _)| !code.is_empty()) {
        return (!before.is_alphanumeric()).then(|| (format!("<code>{}</code>", escape(code)), code.len() + 2));
    }
    let (text, after) = rest.strip_prefix('"')?.split_once("\":")?;
    let href = after.split(|one: char| one.is_whitespace() || one == '|').next()?;
    let href = href.trim_end_matches(['.', ',', ';', ')']);
    let known = href.contains("://") || href.starts_with("mailto:");
    known.then(|| (link(Dialect::Textile, text, href, depth), text.len() + 3 + href.len()))
}

fn link(dialect: Dialect, text: &str, href: &str, depth: usize) -> String {
    format!("<a href=\"{}\">{}</a>", escape(href), if text == href { escape(text) } else { inline(dialect, text, depth + 1) })
}

fn image(dialect: Dialect, rest: &str) -> Option<(String, usize)> {
    let (inside, _) = rest[1..].split_once('!')?;
    let (src, alt) = match dialect {
        Dialect::Wiki => inside.split_once('|').map_or((inside, ""), |(src, rest)| (src, rest.trim_start_matches("alt="))),
        Dialect::Textile => inside.strip_suffix(')').and_then(|inside| inside.split_once('(')).unwrap_or((inside, "")),
    };
    let known = src.contains("://") && !src.contains(char::is_whitespace);
    known.then(|| (format!("<img src=\"{}\" alt=\"{}\">", escape(src), escape(alt)), inside.len() + 2))
}

/// A mark that begins at a word's edge and has its end at one.
fn mark(dialect: Dialect, rest: &str, before: char, depth: usize) -> Option<(String, usize)> {
    let one = rest.chars().next()?;
    let (_, tag) = MARKS.iter().find(|(known, _)| *known == one)?;
    let inside = &rest[1..];
    if before.is_alphanumeric() || depth >= DEEPEST || inside.starts_with(|next: char| next.is_whitespace() || next == one) {
        return None;
    }
    let ends = |at: &usize| {
        let (head, tail) = (&inside[..*at], &inside[at + 1..]);
        let escaped = dialect == Dialect::Wiki && head.ends_with('\\');
        !head.ends_with(char::is_whitespace) && !escaped && !tail.starts_with(|next: char| next.is_alphanumeric() || next == one)
    };
    let end = inside.match_indices(one).map(|(at, _)| at).filter(|at| *at > 0).find(ends)?;
    Some((format!("<{tag}>{}</{tag}>", inline(dialect, &inside[..end], depth + 1)), end + 2))
}
