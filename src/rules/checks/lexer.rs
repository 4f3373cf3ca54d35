//! JavaScript's tokens, told apart exactly enough that a name in a comment, a text or a regular expression is none.
//!
//! It reads sources that the engine has parsed already, so it refuses nothing: whatever it does not know is a token of its
//! own, and it always comes to an end.
//!
//! Traps. A slash divides or begins a regular expression, and only what stands before it tells: after a value it divides.
//! A closing bracket is a value or the end of a statement's head; so brackets are remembered with what they opened. A
//! template is text with code in it: the code's tokens come between `${` and `$}`. The engine knows HTML's comments too.

use super::token::{Kind, Token, Units, is_line_end, is_start};

/// Longest first.
const SIGNS: [&str; 56] = [
    ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", ">>>", "&&=", "||=", "??=", "=>", "==", "!=", "<=", ">=", "&&", "||", "??",
    "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<", ">>", "**", "(", ")", "[", "]", "{", "}", ";", ",",
    "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "!", "~", "?", ":", "=",
];
/// Words after which a value is awaited.
const BEFORE_VALUES: [&str; 13] =
    ["return", "typeof", "instanceof", "in", "new", "delete", "void", "throw", "case", "do", "else", "yield", "await"];

#[derive(Clone, Copy, PartialEq)]
enum Open {
    /// `head`: of `if`, `while`, `for`, `with`.
    Round {
        head: bool,
    },
    Square,
    Block,
    Object,
    Template,
}

/// The tokens of a source.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        source: source.chars().collect(),
        at: 0,
        line: 1,
        line_start: 0,
        fresh: false,
        open: Vec::new(),
        value_next: true,
        tokens: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer {
    source: Vec<char>,
    at: usize,
    line: u32,
    line_start: usize,
    fresh: bool,
    open: Vec<Open>,
    /// A slash here would begin a regular expression.
    value_next: bool,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.source.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, one)| self.peek(ahead) == Some(one))
    }

    /// Takes one character.
    fn bump(&mut self) -> Option<char> {
        let one = self.peek(0)?;
        self.at += 1;
        if is_line_end(one) {
            self.fresh = true;
            // The engine counts these lines only.
            if one == '\n' {
                self.line += 1;
                self.line_start = self.at;
            }
        }
        Some(one)
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&keep) {
            self.bump();
        }
    }

    /// One token, comment or gap; `false` at the end.
    fn step(&mut self) -> bool {
        let Some(one) = self.peek(0) else { return false };
        if one.is_whitespace() || one == '\u{feff}' {
            self.bump();
        } else if self.starts("//") || self.starts("<!--") || self.starts("-->") && (self.fresh || self.tokens.is_empty()) {
            self.take_while(|one| !is_line_end(one));
        } else if self.starts("/*") {
            self.at += 2;
            while self.peek(0).is_some() && !self.starts("*/") {
                self.bump();
            }
            self.at = self.source.len().min(self.at + 2);
        } else if one == '}' && self.open.last() == Some(&Open::Template) {
            self.token(|lexer| {
                lexer.bump();
                lexer.open.pop();
                Kind::Sign("$}")
            });
            self.token(|lexer| lexer.template(false));
        } else {
            self.token(|lexer| lexer.kind(one));
        }
        true
    }

    fn token(&mut self, read: impl FnOnce(&mut Self) -> Kind) {
        let (line, column, fresh) = (self.line, self.at - self.line_start + 1, self.fresh);
        let kind = read(self);
        self.fresh = false;
        self.tokens.push(Token { kind, line, column: u32::try_from(column).unwrap_or(u32::MAX), fresh });
    }

    fn kind(&mut self, one: char) -> Kind {
        let next_is_digit = self.peek(1).is_some_and(|next| next.is_ascii_digit());
        match one {
            '"' | '\'' => {
                self.bump();
                let text = self.text(one);
                self.value(Kind::Text(text))
            }
            '`' => {
                self.bump();
                self.template(true)
            }
            '/' if self.value_next => self.regular_expression(),
            '.' if next_is_digit => self.number(),
            '.' if !self.starts("...") => {
                self.bump();
                self.value_next = false;
                Kind::Sign(".")
            }
            '#' => {
                self.bump();
                self.word();
                self.value(Kind::Value)
            }
            _ if one.is_ascii_digit() => self.number(),
            _ if is_start(one) => self.named(),
            _ => self.sign(),
        }
    }

    fn value(&mut self, kind: Kind) -> Kind {
        self.value_next = false;
        kind
    }

    /// A template's text up to code or its end.
    fn template(&mut self, whole: bool) -> Kind {
        let mut text = Units::default();
        loop {
            if self.starts("${") {
                self.at += 2;
                self.open.push(Open::Template);
                self.value_next = true;
                return Kind::Sign("${");
            }
            match self.bump() {
                None => return self.value(Kind::Other),
                Some('`') if whole => {
                    let text = text.read();
                    return self.value(Kind::Text(text));
                }
                Some('`') => return self.value(Kind::Value),
                Some('\\') => self.escape(&mut text),
                Some(one) => text.push(one),
            }
        }
    }

    /// A string after its opening quote.
    fn text(&mut self, quote: char) -> String {
        let mut text = Units::default();
        while let Some(one) = self.bump() {
            match one {
                _ if one == quote => break,
                '\\' => self.escape(&mut text),
                _ => text.push(one),
            }
        }
        text.read()
    }

    /// What an escape means, after its `\`.
    fn escape(&mut self, text: &mut Units) {
        match self.bump() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('v') => text.push('\u{b}'),
            Some('0') => text.push('\0'),
            Some('x') => text.code(self.hex(2)),
            Some('u') => text.code(self.unicode()),
            // A line that goes on below.
            Some('\r') if self.peek(0) == Some('\n') => {
                self.bump();
            }
            Some(one) if is_line_end(one) => {}
            Some(one) => text.push(one),
            None => {}
        }
    }

    /// `XXXX` or `{X…}` after `\u`.
    fn unicode(&mut self) -> u32 {
        if self.peek(0) != Some('{') {
            return self.hex(4);
        }
        self.bump();
        let code = self.hex(8);
        self.take_while(|one| one.is_ascii_hexdigit());
        if self.peek(0) == Some('}') {
            self.bump();
        }
        code
    }

    fn hex(&mut self, most: usize) -> u32 {
        let mut code: u32 = 0;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|one| one.to_digit(16)) else { break };
            self.bump();
            code = code.wrapping_shl(4) | digit;
        }
        code
    }

    fn regular_expression(&mut self) -> Kind {
        self.bump();
        let mut listed = false;
        while let Some(one) = self.peek(0) {
            if is_line_end(one) {
                break;
            }
            self.bump();
            match one {
                '\\' => {
                    self.bump();
                }
                '[' => listed = true,
                ']' => listed = false,
                '/' if !listed => break,
                _ => {}
            }
        }
        self.word();
        self.value(Kind::Value)
    }

    fn number(&mut self) -> Kind {
        let radix = self.peek(0) == Some('0') && self.peek(1).is_some_and(|one| "xXoObB".contains(one));
        let mut dotted = false;
        while let Some(one) = self.peek(0) {
            let exponent = !radix && (one == 'e' || one == 'E');
            if one == '.' && !radix && !dotted {
                dotted = true;
            } else if !one.is_ascii_alphanumeric() && one != '_' {
                break;
            }
            self.bump();
            if exponent && self.peek(0).is_some_and(|sign| sign == '+' || sign == '-') {
                self.bump();
            }
            dotted = dotted || exponent;
        }
        self.value(Kind::Value)
    }

    /// The letters of a name from here on.
    fn word(&mut self) -> String {
        let mut name = Units::default();
        while let Some(one) = self.peek(0) {
            if one == '\\' && self.peek(1) == Some('u') {
                self.at += 2;
                name.code(self.unicode());
            } else if is_start(one) && one != '\\' || one.is_alphanumeric() || matches!(one, '\u{200c}' | '\u{200d}') {
                name.push(one);
                self.bump();
            } else {
                break;
            }
        }
        name.read()
    }

    fn named(&mut self) -> Kind {
        let begun = self.at;
        let name = self.word();
        if self.at == begun {
            self.bump();
            return self.value(Kind::Other);
        }
        let member = self.tokens.last().is_some_and(|last| last.is(".") || last.is("?."));
        // `of` is a word of the language in the head of a loop only.
        let of = name == "of" && self.open.last() == Some(&Open::Round { head: true });
        self.value_next = !member && (of || BEFORE_VALUES.contains(&name.as_str()));
        Kind::Name(name)
    }

    fn sign(&mut self) -> Kind {
        let found = SIGNS.iter().copied().find(|sign| self.starts(sign));
        // `a?.5:b` is a choice.
        let found = found.filter(|sign| *sign != "?." || !self.peek(2).is_some_and(|one| one.is_ascii_digit()));
        let found = found.or_else(|| self.starts("?").then_some("?"));
        let Some(sign) = found else {
            self.bump();
            return self.value(Kind::Other);
        };
        self.at += sign.len();
        match sign {
            "(" => self.open.push(Open::Round { head: self.is_head() }),
            "[" => self.open.push(Open::Square),
            "{" => self.open.push(if self.begins_object() { Open::Object } else { Open::Block }),
            _ => {}
        }
        self.value_next = match sign {
            ")" => self.open.pop() == Some(Open::Round { head: true }),
            "]" => {
                self.open.pop();
                false
            }
            "}" => self.open.pop() != Some(Open::Object),
            // Behind a value they belong to it.
            "++" | "--" => self.value_next,
            _ => true,
        };
        Kind::Sign(sign)
    }

    /// Whether a round bracket here belongs to a statement.
    fn is_head(&self) -> bool {
        let word = |back: usize| {
            let at = self.tokens.len().checked_sub(back)?;
            let member = at.checked_sub(1).is_some_and(|before| self.tokens[before].is(".") || self.tokens[before].is("?."));
            self.tokens[at].name().filter(|_| !member)
        };
        match word(1) {
            Some("if" | "while" | "for" | "with") => true,
            Some("await") => word(2) == Some("for"),
            _ => false,
        }
    }

    /// Whether a curly bracket here begins a value.
    fn begins_object(&self) -> bool {
        let Some(last) = self.tokens.last() else { return false };
        match &last.kind {
            _ if !self.value_next => false,
            Kind::Name(name) => !matches!(name.as_str(), "else" | "do"),
            Kind::Sign(";" | "{" | "}" | ")" | "=>") => false,
            Kind::Sign(":") => self.open.last().is_some_and(|open| *open != Open::Block),
            _ => true,
        }
    }
}
