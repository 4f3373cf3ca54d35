//! Cleaned HTML as a tree. The cleaner closes every element, quotes every value and escapes every letter that must be, so
//! this reads its output and nothing else.

/// Deepest nesting that is kept; what lies deeper is lifted up to it.
const DEEPEST: usize = 64;

/// A piece of a text.
#[derive(Debug)]
pub enum Node {
    /// Text.
    Text(String),
    /// An element.
    Element(Element),
}

/// An element with what is in it.
#[derive(Debug, Default)]
pub struct Element {
    /// Its name, in small letters.
    pub tag: String,
    attributes: Vec<(String, String)>,
    /// What is in it.
    pub children: Vec<Node>,
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads what the cleaner wrote.
pub fn read(html: &str) -> Vec<Node> {
    let mut open = vec![Element::default()];
    let mut rest = html;
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            push(&mut open, Node::Text(unescape(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        let end = tag.find('>').unwrap_or(tag.len());
        let inside = &tag[..end];
        rest = tag.get(end + 1..).unwrap_or_default();
        if let Some(name) = inside.strip_prefix('/') {
            close(&mut open, name);
        } else {
            let element = element(inside);
            if matches!(element.tag.as_str(), "br" | "hr" | "img") {
                push(&mut open, Node::Element(element));
            } else {
                open.push(element);
            }
        }
    }
    while open.len() > 1 {
        let tag = open.last().map(|element| element.tag.clone()).unwrap_or_default();
        close(&mut open, &tag);
    }
    open.pop().unwrap_or_default().children
}

fn push(open: &mut [Element], node: Node) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(node);
    }
}

fn close(open: &mut Vec<Element>, name: &str) {
    if open.len() < 2 || open.last().is_none_or(|element| element.tag != name) {
        return;
    }
    let deep = open.len() > DEEPEST;
    let Some(element) = open.pop() else { return };
    let Some(parent) = open.last_mut() else { return };
    if deep {
        parent.children.extend(element.children);
    } else {
        parent.children.push(Node::Element(element));
    }
}

fn element(inside: &str) -> Element {
    let (tag, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
    let mut attributes = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        attributes.push((name.trim().to_owned(), unescape(value)));
        rest = after;
    }
    Element { tag: tag.trim_end_matches('/').to_owned(), attributes, children: Vec::new() }
}

fn unescape(text: &str) -> String {
    let text = text.replace("&nbsp;", "\u{a0}").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&amp;", "&")
}
