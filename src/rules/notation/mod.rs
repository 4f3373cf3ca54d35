//! Texts from one notation into another: HTML, Markdown, plain text, Textile (Redmine) and Jira's wiki.
//!
//! ```text
//!  any ── reader ──▶ HTML ── cleaned ──▶ tree ── writer ──▶ any
//! ```
//!
//! HTML is the middle: each notation has a reader that makes HTML of it and a writer that makes it of the tree. What goes
//! through is what all can say: paragraphs, breaks, headings, lists, quotes, code, tables, links, images, and marks (strong,
//! emphasis, underline, strike, code, sub, sup). What a notation cannot say is left out, its text never. Everything passes
//! the cleaner, so neither scripts nor `javascript:` links come out, whatever the notation of the source.
//!
//! Traps: the cleaner's output is the only HTML that `tree` reads, and it relies on its form. Native code cannot be
//! interrupted: the length of a text is limited, and so is the depth of the tree.
//!
//! One more notation: a reader, a writer, a line in [`convert`] and in `world/helpers.js`.

mod marked;
mod styles;
mod tree;
mod writer;

use std::collections::{HashMap, HashSet};

use self::{
    marked::Dialect,
    styles::{Markdown, Plain, Textile, Wiki},
};
use super::limits::CONVERTED;

const TAGS: [&str; 41] = [
    "p",
    "div",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "del",
    "strike",
    "code",
    "tt",
    "kbd",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "a",
    "img",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "sub",
    "sup",
    "span",
    "section",
    "article",
];

/// Turns a text from one notation into another; names as the prelude gives them.
pub fn convert(from: &str, to: &str, text: &str) -> Result<String, String> {
    if text.len() > CONVERTED {
        return Err(format!("a text of {} bytes is too long to be converted; at most {CONVERTED} are", text.len()));
    }
    let html = clean(&match from {
        "html" => text.to_owned(),
        "markdown" => from_markdown(text),
        "plain" => from_plain(text),
        "textile" => marked::to_html(Dialect::Textile, text),
        "wiki" => marked::to_html(Dialect::Wiki, text),
        other => return Err(format!("`{other}` is no notation")),
    });
    let tree = || tree::read(&html);
    Ok(match to {
        "html" => html.trim().to_owned(),
        "markdown" => writer::write(&tree(), &Markdown),
        "plain" => writer::write(&tree(), &Plain),
        "textile" => writer::write(&tree(), &Textile),
        "wiki" => writer::write(&tree(), &Wiki),
        other => return Err(format!("`{other}` is no notation")),
    })
}

fn clean(html: &str) -> String {
    let attributes = HashMap::from([
        ("a", HashSet::from(["href"])),
        ("img", HashSet::from(["src", "alt"])),
        ("code", HashSet::from(["class"])),
    ]);
    ammonia::Builder::new()
        .tags(HashSet::from(TAGS))
        .clean_content_tags(HashSet::from(["script", "style", "title"]))
        .tag_attributes(attributes)
        .generic_attributes(HashSet::new())
        .link_rel(None)
        .clean(html)
        .to_string()
}

fn from_markdown(text: &str) -> String {
    let options = pulldown_cmark::Options::ENABLE_TABLES | pulldown_cmark::Options::ENABLE_STRIKETHROUGH;
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, pulldown_cmark::Parser::new_ext(text, options));
    html
}

fn from_plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").map(|part| part.trim_matches('\n')).filter(|part| !part.is_empty());
    paragraphs.map(|part| format!("<p>{}</p>", escape(part).replace('\n', "<br>"))).collect()
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
