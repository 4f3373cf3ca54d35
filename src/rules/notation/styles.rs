//! What each notation calls things.
//!
//! Trap: a letter is made harmless where it could begin or end a mark, not everywhere: `a - b` stays as people wrote it.

use super::writer::{Mark, Notation};

/// Letters that would begin or end a mark, each made harmless; the rest as it is.
fn disarm(text: &str, always: &str, at_edges: &str, make: impl Fn(char) -> String) -> String {
    let letters: Vec<char> = text.chars().collect();
    let free = |at: Option<usize>| at.and_then(|at| letters.get(at)).is_none_or(|one| !one.is_alphanumeric());
    let edge = |at: usize| {
        let (before, after) = (at.checked_sub(1), at + 1);
        free(before) && letters.get(after).is_some_and(|one| !one.is_whitespace())
            || free(Some(after)) && before.and_then(|at| letters.get(at)).is_some_and(|one| !one.is_whitespace())
    };
    let harmless = letters.iter().enumerate().map(|(at, one)| match one {
        one if always.contains(*one) || at_edges.contains(*one) && edge(at) => make(*one),
        one => one.to_string(),
    });
    harmless.collect()
}

fn entity(one: char) -> String {
    format!("&#{};", one as u32)
}

fn prefixed(prefix: &str, text: &str) -> String {
    text.lines().map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n")
}

/// Text alone.
pub struct Plain;

impl Notation for Plain {
    fn text(&self, text: &str) -> String {
        text.to_owned()
    }
    fn mark(&self, _: Mark, inner: &str) -> String {
        inner.to_owned()
    }
    fn code(&self, text: &str) -> String {
        text.to_owned()
    }
    fn link(&self, inner: &str, href: &str) -> String {
        let bare = href.trim_start_matches("mailto:");
        if inner == href || inner == bare { inner.to_owned() } else { format!("{inner} ({bare})") }
    }
    fn image(&self, src: &str, alt: &str) -> String {
        if alt.is_empty() { src.to_owned() } else { alt.to_owned() }
    }
    fn line_break(&self) -> &'static str {
        "\n"
    }
    fn heading(&self, _: usize, inner: &str) -> String {
        inner.to_owned()
    }
    fn rule(&self) -> &'static str {
        "----"
    }
    fn code_block(&self, _: &str, text: &str) -> String {
        text.to_owned()
    }
    fn quote(&self, inner: &str) -> String {
        prefixed("> ", inner)
    }
    fn bullet(&self, _: usize, number: Option<usize>) -> String {
        number.map_or_else(|| "- ".to_owned(), |number| format!("{number}. "))
    }
    fn indents(&self) -> bool {
        true
    }
    fn row(&self, cells: &[String], _: bool, _: bool) -> String {
        cells.join(" | ")
    }
}

/// CommonMark with tables and strikethrough.
pub struct Markdown;

impl Notation for Markdown {
    fn text(&self, text: &str) -> String {
        let text = disarm(text, "\\`*[]<|", "_~", |one| format!("\\{one}"));
        let first = text.split(' ').next().unwrap_or_default();
        let numbered = first.strip_suffix(['.', ')']).is_some_and(|number| number.parse::<u32>().is_ok());
        let begins = |one: char| !first.is_empty() && first.chars().all(|other| other == one);
        if text.starts_with('>') || ['#', '-', '+', '='].into_iter().any(begins) {
            format!("\\{text}")
        } else if numbered {
            text.replacen(['.', ')'], if first.ends_with('.') { "\\." } else { "\\)" }, 1)
        } else {
            text
        }
    }
    fn mark(&self, mark: Mark, inner: &str) -> String {
        match mark {
            Mark::Strong => format!("**{inner}**"),
            Mark::Emphasis => format!("*{inner}*"),
            Mark::Strike => format!("~~{inner}~~"),
            Mark::Underline | Mark::Sub | Mark::Sup => inner.to_owned(),
        }
    }
    fn code(&self, text: &str) -> String {
        if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
    }
    fn link(&self, inner: &str, href: &str) -> String {
        format!("[{inner}](<{}>)", href.replace(['<', '>', '\n'], "")).replace("(<", "(").replace(">)", ")")
    }
    fn image(&self, src: &str, alt: &str) -> String {
        format!("![{}]({src})", alt.replace(['[', ']'], ""))
    }
    fn line_break(&self) -> &'static str {
        "\\\n"
    }
    fn heading(&self, level: usize, inner: &str) -> String {
        format!("{} {inner}", "#".repeat(level))
    }
    fn rule(&self) -> &'static str {
        "---"
    }
    fn code_block(&self, language: &str, text: &str) -> String {
        let fence = if text.contains("```") { "~~~~" } else { "```" };
        format!("{fence}{language}\n{text}\n{fence}")
    }
    fn quote(&self, inner: &str) -> String {
        prefixed("> ", inner)
    }
    fn bullet(&self, _: usize, number: Option<usize>) -> String {
        number.map_or_else(|| "- ".to_owned(), |number| format!("{number}. "))
    }
    fn indents(&self) -> bool {
        true
    }
    fn row(&self, cells: &[String], _: bool, first: bool) -> String {
        let line = format!("| {} |", cells.join(" | "));
        if first { format!("{line}\n|{}", " --- |".repeat(cells.len())) } else { line }
    }
}

/// Marks that Textile and Jira's wiki share.
fn marked(mark: Mark, inner: &str) -> String {
    let one = match mark {
        Mark::Strong => '*',
        Mark::Emphasis => '_',
        Mark::Underline => '+',
        Mark::Strike => '-',
        Mark::Sub => '~',
        Mark::Sup => '^',
    };
    format!("{one}{inner}{one}")
}

fn bulleted(depth: usize, number: Option<usize>) -> String {
    format!("{} ", if number.is_some() { "#" } else { "*" }.repeat(depth))
}

/// What would make a block of a line: a bullet, a heading, a line across.
fn at_start(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let bullet = !first.is_empty() && first.chars().all(|one| matches!(one, '*' | '#' | '-'));
    let heading = first == "bq." || first.len() == 3 && first.starts_with('h') && first.ends_with('.');
    match text.chars().next() {
        Some(one) if bullet || heading => format!("{}{}", entity(one), &text[one.len_utf8()..]),
        _ => text.to_owned(),
    }
}

/// Textile as Redmine reads it.
pub struct Textile;

impl Notation for Textile {
    fn text(&self, text: &str) -> String {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        at_start(&disarm(&text, "|", "*_+-@~^!\"", entity))
    }
    fn mark(&self, mark: Mark, inner: &str) -> String {
        marked(mark, inner)
    }
    fn code(&self, text: &str) -> String {
        if text.contains('@') { format!("<code>{}</code>", super::escape(text)) } else { format!("@{text}@") }
    }
    fn link(&self, inner: &str, href: &str) -> String {
        format!("\"{inner}\":{}", href.replace(' ', "%20"))
    }
    fn image(&self, src: &str, alt: &str) -> String {
        if alt.is_empty() { format!("!{src}!") } else { format!("!{src}({})!", alt.replace(['(', ')', '!'], "")) }
    }
    fn line_break(&self) -> &'static str {
        "\n"
    }
    fn heading(&self, level: usize, inner: &str) -> String {
        format!("h{level}. {inner}")
    }
    fn rule(&self) -> &'static str {
        "---"
    }
    fn code_block(&self, language: &str, text: &str) -> String {
        let text = super::escape(text);
        if language.is_empty() {
            format!("<pre>\n{text}\n</pre>")
        } else {
            format!("<pre><code class=\"{language}\">\n{text}\n</code></pre>")
        }
    }
    fn quote(&self, inner: &str) -> String {
        inner.split("\n\n").map(|part| format!("bq. {part}")).collect::<Vec<_>>().join("\n\n")
    }
    fn bullet(&self, depth: usize, number: Option<usize>) -> String {
        bulleted(depth, number)
    }
    fn indents(&self) -> bool {
        false
    }
    fn row(&self, cells: &[String], head: bool, _: bool) -> String {
        let before = if head { "|_. " } else { "| " };
        cells.iter().map(|cell| format!("{before}{cell} ")).collect::<String>() + "|"
    }
}

/// Jira's wiki.
pub struct Wiki;

impl Notation for Wiki {
    fn text(&self, text: &str) -> String {
        let text = text.replace('&', "&amp;").replace('\\', "&#92;");
        at_start(&disarm(&text, "{}[]|", "*_+-~^!", |one| format!("\\{one}")))
    }
    fn mark(&self, mark: Mark, inner: &str) -> String {
        marked(mark, inner)
    }
    fn code(&self, text: &str) -> String {
        format!("{{{{{text}}}}}")
    }
    fn link(&self, inner: &str, href: &str) -> String {
        if inner == href { format!("[{href}]") } else { format!("[{inner}|{href}]") }
    }
    fn image(&self, src: &str, alt: &str) -> String {
        if alt.is_empty() { format!("!{src}!") } else { format!("!{src}|alt={}!", alt.replace(['|', '!', ','], "")) }
    }
    fn line_break(&self) -> &'static str {
        "\n"
    }
    fn heading(&self, level: usize, inner: &str) -> String {
        format!("h{level}. {inner}")
    }
    fn rule(&self) -> &'static str {
        "----"
    }
    fn code_block(&self, language: &str, text: &str) -> String {
        let language = if language.is_empty() { String::new() } else { format!(":{language}") };
        format!("{{code{language}}}\n{text}\n{{code}}")
    }
    fn quote(&self, inner: &str) -> String {
        format!("{{quote}}\n{inner}\n{{quote}}")
    }
    fn bullet(&self, depth: usize, number: Option<usize>) -> String {
        bulleted(depth, number)
    }
    fn indents(&self) -> bool {
        false
    }
    fn row(&self, cells: &[String], head: bool, _: bool) -> String {
        let bar = if head { "||" } else { "|" };
        cells.iter().map(|cell| format!("{bar}{} ", if cell.is_empty() { " " } else { cell })).collect::<String>() + bar
    }
}
