//! A small tree of a document from outside, stricter than the reader below it.
//!
//! The reader accepts truncated input, two roots, bare text, duplicate attributes and unbound prefixes, and tells text,
//! CDATA and references as separate events. Refused here: all of that, document types, processing instructions,
//! references other than the five and characters, other encodings than UTF-8, `]]>` in text, `<` in attributes, and
//! anything beyond the limits.

use quick_xml::{
    events::{BytesRef, BytesStart, Event},
    name::{NamespaceResolver, QName, ResolveResult},
    reader::NsReader,
};

use super::{Limits, Malformed, refuse};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const MOST_ATTRIBUTES: usize = 64;

/// An element with its names resolved.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Empty where it has none.
    pub namespace: String,
    pub name: String,
    /// `xsi:nil`, where it stands.
    pub nil: Option<bool>,
    /// `xsi:type`, its prefix resolved.
    pub xsi_type: Option<(String, String)>,
    /// It has attributes that neither name space declarations nor schema instances may have.
    pub foreign: bool,
    /// `soap:mustUnderstand` is true.
    pub must_understand: bool,
    /// All its own text, joined.
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// Holds nothing but white space.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty() && !self.has_text()
    }

    /// Holds text of its own that is more than white space.
    pub fn has_text(&self) -> bool {
        self.text.contains(|letter| !is_space(letter))
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

/// Whether XML 1.0 knows this character.
pub(super) fn is_allowed(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Reads a whole document.
pub(super) fn read(body: &[u8], limits: Limits) -> Result<Element, Malformed> {
    if body.len() > limits.bytes {
        return Err(refuse(&format!("the body is larger than {} bytes", limits.bytes)));
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let head = &body[..body.len().min(4)];
    if head.starts_with(&[0xFE, 0xFF]) || head.starts_with(&[0xFF, 0xFE]) || head.contains(&0) {
        return Err(refuse("the body is UTF-16 or UTF-32: only UTF-8 is accepted"));
    }
    let text = std::str::from_utf8(body).map_err(|_| refuse("the body is not UTF-8"))?;
    let mut reader = NsReader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.check_comments = true;
    config.allow_dangling_amp = false;
    config.allow_unmatched_ends = false;
    let mut tree = Tree { open: Vec::new(), root: None, elements: 0, limits };
    let mut first = true;
    loop {
        let event = reader.read_event().map_err(|_| refuse("the body is not well-formed XML"))?;
        match event {
            Event::Start(start) => tree.start(element(reader.resolver(), &start)?)?,
            Event::Empty(start) => {
                tree.start(element(reader.resolver(), &start)?)?;
                tree.end()?;
            }
            Event::End(_) => tree.end()?,
            Event::Text(text) => {
                let text = text.xml10_content();
                if text.contains("]]>") {
                    return Err(refuse("`]]>` stands in text"));
                }
                tree.text(&text)?;
            }
            Event::CData(_) if tree.open.is_empty() => return Err(refuse("text outside the root")),
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => tree.reference(&reference)?,
            Event::Comment(_) => {}
            Event::Decl(declaration) if first => {
                if !declaration.version().is_ok_and(|version| version.as_ref() == "1.0") {
                    return Err(refuse("only XML 1.0 is accepted"));
                }
                check_encoding(declaration.encoding())?;
            }
            Event::Decl(_) => return Err(refuse("the XML declaration is not at the beginning")),
            Event::PI(_) => return Err(refuse("processing instructions are not accepted")),
            Event::DocType(_) => return Err(refuse("document types are not accepted")),
            Event::Eof => break,
        }
        first = false;
    }
    tree.finish()
}

fn check_encoding<E>(encoding: Option<Result<std::borrow::Cow<'_, str>, E>>) -> Result<(), Malformed> {
    match encoding {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(_) => Err(refuse("only the encoding UTF-8 is accepted")),
    }
}

struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    limits: Limits,
}

impl Tree {
    fn start(&mut self, element: Element) -> Result<(), Malformed> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(refuse("the document has too many elements"));
        }
        if self.open.len() >= self.limits.depth {
            return Err(refuse("the document is nested too deep"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(refuse("the document has two roots"));
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        let element = self.open.pop().ok_or_else(|| refuse("an element ends that never began"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Malformed> {
        if !text.chars().all(is_allowed) {
            return Err(refuse("a character stands there that XML does not know"));
        }
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.chars().all(is_space) => {}
            None => return Err(refuse("text outside the root")),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), Malformed> {
        let unknown = || refuse("an unknown reference");
        let letter = match reference.resolve_char_ref().map_err(|_| unknown())? {
            Some(letter) => letter,
            None => match reference.xml10_content().as_ref() {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "apos" => '\'',
                "quot" => '"',
                _ => return Err(unknown()),
            },
        };
        let element = self.open.last_mut().ok_or_else(|| refuse("text outside the root"))?;
        if !is_allowed(letter) {
            return Err(refuse("a character stands there that XML does not know"));
        }
        element.text.push(letter);
        Ok(())
    }

    fn finish(self) -> Result<Element, Malformed> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(refuse("the document ends too early")),
        }
    }
}

fn bound(result: ResolveResult<'_>) -> Result<String, Malformed> {
    match result {
        ResolveResult::Bound(namespace) => Ok(namespace.0.to_owned()),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(_) => Err(refuse("a prefix is not bound to a namespace")),
    }
}

fn element(resolver: &NamespaceResolver, start: &BytesStart<'_>) -> Result<Element, Malformed> {
    let (namespace, name) = resolver.resolve_element(start.name());
    let mut element = Element { namespace: bound(namespace)?, name: name.into_inner().to_owned(), ..Element::default() };
    let mut seen: Vec<(String, String)> = Vec::new();
    // Own check for doubles: by resolved name, and only after the count is known to be small.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| refuse("an attribute is malformed"))?;
        if seen.len() >= MOST_ATTRIBUTES {
            return Err(refuse("an element has too many attributes"));
        }
        let raw = attribute.key.into_inner();
        let (namespace, name) = if raw == "xmlns" || raw.starts_with("xmlns:") {
            ("xmlns".to_owned(), raw.to_owned())
        } else {
            let (namespace, name) = resolver.resolve_attribute(attribute.key);
            (bound(namespace)?, name.into_inner().to_owned())
        };
        if attribute.value.contains('<') {
            return Err(refuse("`<` stands in an attribute"));
        }
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| refuse("an unknown reference in an attribute"))?;
        if !value.chars().all(is_allowed) {
            return Err(refuse("a character stands there that XML does not know"));
        }
        match (namespace.as_str(), name.as_str()) {
            (XSI, "nil") => element.nil = Some(boolean(&value).ok_or_else(|| refuse("xsi:nil is neither true nor false"))?),
            (XSI, "type") => {
                let (namespace, name) = resolver.resolve_element(QName(value.trim_matches(is_space)));
                element.xsi_type = Some((bound(namespace)?, name.into_inner().to_owned()));
            }
            (SOAP, "mustUnderstand") => element.must_understand = boolean(&value) != Some(false),
            (XSI, "schemaLocation" | "noNamespaceSchemaLocation") | ("xmlns", _) => {}
            _ => element.foreign = true,
        }
        let place = (namespace, name);
        if seen.contains(&place) {
            return Err(refuse("an attribute stands there twice"));
        }
        seen.push(place);
    }
    Ok(element)
}

/// An `xsd:boolean`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim_matches(is_space) {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
