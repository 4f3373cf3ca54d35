//! The tree in a notation: one walk, and for each notation what it calls things.

use super::tree::{Element, Node};

/// A mark around a piece of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Bold.
    Strong,
    /// Italic.
    Emphasis,
    /// Inserted.
    Underline,
    /// Deleted.
    Strike,
    /// Below the line.
    Sub,
    /// Above the line.
    Sup,
}

/// What a notation calls things.
pub trait Notation {
    /// Text, with what would be read as a mark made harmless.
    fn text(&self, text: &str) -> String;
    /// Text in a mark.
    fn mark(&self, mark: Mark, inner: &str) -> String;
    /// Code within a line.
    fn code(&self, text: &str) -> String;
    /// A link.
    fn link(&self, inner: &str, href: &str) -> String;
    /// An image.
    fn image(&self, src: &str, alt: &str) -> String;
    /// A break within a paragraph.
    fn line_break(&self) -> &'static str;
    /// A heading.
    fn heading(&self, level: usize, inner: &str) -> String;
    /// A line across.
    fn rule(&self) -> &'static str;
    /// A block of code.
    fn code_block(&self, language: &str, text: &str) -> String;
    /// A quotation.
    fn quote(&self, inner: &str) -> String;
    /// What stands before an item: how deep, which number where the list has numbers.
    fn bullet(&self, depth: usize, number: Option<usize>) -> String;
    /// Whether an item's further lines stand below its first letter.
    fn indents(&self) -> bool;
    /// A row of a table; the first may be its head.
    fn row(&self, cells: &[String], head: bool, first: bool) -> String;
}

/// Writes the tree.
pub fn write(nodes: &[Node], notation: &dyn Notation) -> String {
    let written = Walk { notation }.blocks(nodes).join("\n\n");
    written.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}

struct Walk<'a> {
    notation: &'a dyn Notation,
}

const BLOCKS: [&str; 18] = [
    "p",
    "div",
    "section",
    "article",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "table",
    "li",
    "tr",
];

fn is_block(node: &Node) -> bool {
    matches!(node, Node::Element(element) if BLOCKS.contains(&element.tag.as_str()))
}

impl Walk<'_> {
    /// Blocks, in order; what stands between them is a paragraph of its own.
    fn blocks(&self, nodes: &[Node]) -> Vec<String> {
        let mut blocks = Vec::new();
        for part in nodes.chunk_by(|a, b| !is_block(a) && !is_block(b)) {
            match part {
                [Node::Element(element)] if is_block(&part[0]) => blocks.extend(self.block(element)),
                line => blocks.push(self.paragraph(line)),
            }
        }
        blocks.retain(|block| !block.is_empty());
        blocks
    }

    fn block(&self, element: &Element) -> Vec<String> {
        let one = match element.tag.as_str() {
            tag @ ("h1" | "h2" | "h3" | "h4" | "h5" | "h6") => {
                let level = tag[1..].parse().unwrap_or(1);
                self.notation.heading(level, &self.paragraph(&element.children).replace('\n', " "))
            }
            "hr" => self.notation.rule().to_owned(),
            "pre" => self.code_block(element),
            "blockquote" => self.notation.quote(&self.blocks(&element.children).join("\n\n")),
            "ul" | "ol" => self.list(element, 1),
            "table" => self.table(element),
            "p" => self.paragraph(&element.children),
            _ => return self.blocks(&element.children),
        };
        vec![one]
    }

    fn paragraph(&self, nodes: &[Node]) -> String {
        let mut line = String::new();
        nodes.iter().for_each(|node| self.inline(node, &mut line));
        let end = self.notation.line_break();
        let line = line.trim();
        line.strip_suffix(end.trim_end()).filter(|_| end.len() > 1).unwrap_or(line).trim().to_owned()
    }

    fn inline(&self, node: &Node, line: &mut String) {
        let element = match node {
            Node::Text(text) => {
                let text = squeeze(text);
                let text = if line.is_empty() || line.ends_with([' ', '\n']) { text.trim_start() } else { text.as_str() };
                line.push_str(&self.notation.text(text));
                return;
            }
            Node::Element(element) => element,
        };
        match element.tag.as_str() {
            "br" => {
                line.truncate(line.trim_end_matches(' ').len());
                line.push_str(self.notation.line_break());
            }
            "img" => {
                let (src, alt) = (element.attribute("src").unwrap_or_default(), element.attribute("alt").unwrap_or_default());
                line.push_str(&self.notation.image(src, alt));
            }
            "code" | "tt" | "kbd" => line.push_str(&self.notation.code(&plain(&element.children))),
            tag => {
                let mut inner = String::new();
                element.children.iter().for_each(|child| self.inline(child, &mut inner));
                let whole = match mark(tag) {
                    _ if inner.trim().is_empty() => inner,
                    Some(mark) => around(&inner, |inner| self.notation.mark(mark, inner)),
                    None if tag == "a" => match element.attribute("href") {
                        Some(href) => around(&inner, |inner| self.notation.link(inner, href)),
                        None => inner,
                    },
                    None if is_block(node) => format!("{}{}", inner.trim(), self.notation.line_break()),
                    None => inner,
                };
                line.push_str(&whole);
            }
        }
    }

    fn code_block(&self, element: &Element) -> String {
        let language = element.children.iter().find_map(|child| match child {
            Node::Element(code) => code.attribute("class")?.strip_prefix("language-"),
            Node::Text(_) => None,
        });
        self.notation.code_block(language.unwrap_or_default(), plain(&element.children).trim_matches('\n'))
    }

    fn list(&self, list: &Element, depth: usize) -> String {
        let ordered = list.tag == "ol";
        let items = list.children.iter().filter_map(|child| match child {
            Node::Element(item) => Some(item),
            Node::Text(_) => None,
        });
        let lines = items.enumerate().map(|(at, item)| {
            let bullet = self.notation.bullet(depth, ordered.then_some(at + 1));
            self.item(item, &bullet, depth)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn item(&self, item: &Element, bullet: &str, depth: usize) -> String {
        let is_list = |node: &Node| matches!(node, Node::Element(inner) if matches!(inner.tag.as_str(), "ul" | "ol"));
        let mut lines = vec![];
        for part in item.children.chunk_by(|a, b| !is_list(a) && !is_list(b)) {
            match part {
                [Node::Element(inner)] if is_list(&part[0]) => lines.push(self.list(inner, depth + 1)),
                other => lines.extend(self.blocks(other)),
            }
        }
        let pad = " ".repeat(if self.notation.indents() { bullet.chars().count() } else { 0 });
        let text = lines.join("\n");
        let text = text.lines().enumerate().map(|(at, line)| if at == 0 { line.to_owned() } else { format!("{pad}{line}") });
        format!("{bullet}{}", text.collect::<Vec<_>>().join("\n"))
    }

    fn table(&self, table: &Element) -> String {
        let mut rows = Vec::new();
        rows_of(&table.children, &mut rows);
        let lines = rows.iter().enumerate().map(|(at, row)| {
            let cells = row.children.iter().filter_map(|cell| match cell {
                Node::Element(cell) => Some(cell),
                Node::Text(_) => None,
            });
            let head = cells.clone().next().is_some_and(|cell| cell.tag == "th");
            let texts: Vec<String> =
                cells.map(|cell| self.blocks(&cell.children).join(" ").replace('\n', " ").trim().to_owned()).collect();
            self.notation.row(&texts, head, at == 0)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn rows_of<'a>(nodes: &'a [Node], rows: &mut Vec<&'a Element>) {
    for node in nodes {
        if let Node::Element(element) = node {
            if element.tag == "tr" { rows.push(element) } else { rows_of(&element.children, rows) }
        }
    }
}

fn mark(tag: &str) -> Option<Mark> {
    Some(match tag {
        "b" | "strong" => Mark::Strong,
        "i" | "em" => Mark::Emphasis,
        "u" | "ins" => Mark::Underline,
        "s" | "del" | "strike" => Mark::Strike,
        "sub" => Mark::Sub,
        "sup" => Mark::Sup,
        _ => return None,
    })
}

/// Marks stand close to the text; the space at its ends stays outside.
fn around(inner: &str, make: impl FnOnce(&str) -> String) -> String {
    let (start, end) = (inner.len() - inner.trim_start().len(), inner.trim_end().len());
    format!("{}{}{}", &inner[..start], make(&inner[start..end]), &inner[end..])
}

fn plain(nodes: &[Node]) -> String {
    let texts = nodes.iter().map(|node| match node {
        Node::Text(text) => text.clone(),
        Node::Element(element) if element.tag == "br" => "\n".to_owned(),
        Node::Element(element) => plain(&element.children),
    });
    texts.collect()
}

/// White space counts once.
fn squeeze(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for one in text.chars() {
        let space = matches!(one, ' ' | '\n' | '\t' | '\r');
        if !space {
            squeezed.push(one);
        } else if !squeezed.ends_with(' ') {
            squeezed.push(' ');
        }
    }
    squeezed
}
