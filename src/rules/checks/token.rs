//! A token of JavaScript and its place, and the letters that names and texts are made of.

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a word of the language, its escapes read.
    Name(String),
    /// A text: a string, or a template without code in it.
    Text(String),
    /// A sign; `${` and `$}` stand around the code in a template.
    Sign(&'static str),
    /// Any other value: a number, a regular expression, the end of a template, a `#name`.
    Value,
    /// What no rule that parses has.
    Other,
}

/// A token and its place, both from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// A line ended before it.
    pub fresh: bool,
}

impl Token {
    /// Whether it is this sign.
    pub fn is(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(one) if one == sign)
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name that it is.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Text in the language's own units, in which half a character may stand alone.
#[derive(Default)]
pub struct Units(Vec<u16>);

impl Units {
    /// Adds a character.
    pub fn push(&mut self, one: char) {
        self.0.extend_from_slice(one.encode_utf16(&mut [0; 2]));
    }

    /// Adds what an escape names; what names nothing is left out.
    pub fn code(&mut self, code: u32) {
        match (u16::try_from(code), char::from_u32(code)) {
            (Ok(unit), _) => self.0.push(unit),
            (Err(_), Some(one)) => self.push(one),
            (Err(_), None) => {}
        }
    }

    /// As text; half a character becomes a mark.
    pub fn read(self) -> String {
        String::from_utf16_lossy(&self.0)
    }
}

/// Whether a line ends with it.
pub fn is_line_end(one: char) -> bool {
    matches!(one, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// Whether a name may begin with it.
pub fn is_start(one: char) -> bool {
    one.is_alphabetic() || matches!(one, '_' | '$' | '\\')
}
