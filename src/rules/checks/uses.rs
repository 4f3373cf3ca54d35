//! Where a rule names the fields of `entity`: read, assigned, and with which texts.
//!
//! It sees `entity.Name`, `entity?.Name` and `entity["Name"]`. What it cannot see (`entity[name]`, `{Name} = entity`, an
//! `entity` that is handed on) is checked when the rule runs; [`Uses::unseen`] says that there is some.
//!
//! Trap: a rule may call something of its own `entity`. Then nothing is known of any of them ([`Uses::shadowed`]).

use super::{
    lexer::tokens,
    token::{Kind, Token},
};

/// A place in a rule, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// What is done with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read.
    Read,
    /// Assigned; `also_read`: `+=` and its like.
    Assigned {
        /// It is read too.
        also_read: bool,
        /// Texts that it may get.
        texts: Vec<(String, Place)>,
        /// It gets nothing else.
        whole: bool,
    },
    /// Deleted.
    Deleted,
}

/// One use of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// What is done.
    pub act: Act,
}

/// All that a rule says of `entity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// In order of place.
    pub all: Vec<Use>,
    /// Texts that `entity.entityType` is compared with, and those of a `switch` over it.
    pub compared: Vec<(String, Place)>,
    /// Something of the rule's own is called `entity`, here.
    pub shadowed: Option<Place>,
    /// Fields may be used in ways that are not seen.
    pub unseen: bool,
}

/// Signs that read and assign.
const ASSIGNING: [&str; 15] = ["+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", ">>>=", "&=", "|=", "^=", "&&=", "||=", "??="];

/// The uses in a rule's source.
pub fn uses(source: &str) -> Uses {
    let tokens = tokens(source);
    let brackets = Brackets::of(&tokens);
    let mut uses = Uses::default();
    for at in 0..tokens.len() {
        if tokens[at].name() != Some("entity") || before(&tokens, at, 1).is_some_and(|last| last.is(".") || last.is("?.")) {
            continue;
        }
        if brackets.bind(&tokens, at) {
            uses.shadowed = uses.shadowed.or(Some(place(&tokens[at])));
        }
        match member(&tokens, at + 1) {
            Some((name, named, after)) => {
                let name = name.to_owned();
                if name == "entityType" {
                    uses.compared.extend(compared(&tokens, at, after));
                    uses.compared.extend(brackets.cases(&tokens, at));
                }
                uses.all.push(Use { name, place: place(&tokens[named]), act: act(&tokens, at, after) });
            }
            None => uses.unseen |= !harmless(&tokens, at),
        }
    }
    uses
}

fn place(token: &Token) -> Place {
    Place { line: token.line, column: token.column }
}

fn before(tokens: &[Token], at: usize, back: usize) -> Option<&Token> {
    tokens.get(at.checked_sub(back)?)
}

fn is(tokens: &[Token], at: usize, sign: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(sign))
}

/// The member that is named from here on: its name, the token that says it, and the token after it.
fn member(tokens: &[Token], at: usize) -> Option<(&str, usize, usize)> {
    let dotted = is(tokens, at, ".") || is(tokens, at, "?.");
    if dotted && let Some(name) = tokens.get(at + 1).and_then(Token::name) {
        return Some((name, at + 1, at + 2));
    }
    let open = at + usize::from(is(tokens, at, "?."));
    match tokens.get(open + 1).map(|token| &token.kind) {
        Some(Kind::Text(name)) if is(tokens, open, "[") && is(tokens, open + 2, "]") => Some((name, open + 1, open + 3)),
        _ => None,
    }
}

/// What is done with the member between `entity` and the token after it.
fn act(tokens: &[Token], entity: usize, after: usize) -> Act {
    let changed = |also_read| Act::Assigned { also_read, texts: Vec::new(), whole: false };
    let last = before(tokens, entity, 1);
    if last.is_some_and(|last| last.name() == Some("delete")) {
        return Act::Deleted;
    }
    if last.is_some_and(|last| last.is("++") || last.is("--")) {
        return changed(true);
    }
    let Some(Token { kind: Kind::Sign(sign), fresh, .. }) = tokens.get(after) else { return Act::Read };
    match *sign {
        "=" => {
            let (texts, whole) = texts(&tokens[after + 1..]);
            Act::Assigned { also_read: false, texts, whole }
        }
        "++" | "--" if !fresh => changed(true),
        sign if ASSIGNING.contains(&sign) => changed(true),
        _ => Act::Read,
    }
}

/// The texts that an expression may give, and whether it can give nothing else: `'a'`, `x ? 'a' : 'b'`, `x ?? 'a'`.
fn texts(tokens: &[Token]) -> (Vec<(String, Place)>, bool) {
    let end = expression_end(tokens);
    let level: Vec<&Token> = own_level(&tokens[..end]);
    if level.iter().any(|token| token.is("=>")) {
        return (Vec::new(), false);
    }
    let is = |at: usize, signs: &[&str]| level.get(at).is_some_and(|token| signs.iter().any(|sign| token.is(sign)));
    let text = |at: usize| level.get(at).and_then(|token| token.text());
    let mut found = Vec::new();
    for (at, token) in level.iter().enumerate() {
        let begins = at == 0 || is(at - 1, &["?", ":", "??", "||", "&&"]);
        let ends = at + 1 == level.len() || is(at + 1, &[":"]);
        if let (Some(text), true, true) = (text(at), begins, ends) {
            found.push((text.to_owned(), place(token)));
        }
    }
    let last = level.len().wrapping_sub(1);
    let choices: Vec<usize> = (0..level.len()).filter(|at| is(*at, &["?"])).collect();
    let each = choices.iter().all(|at| text(at + 1).is_some() && is(at + 2, &[":"]));
    let whole = text(last).is_some() && (level.len() == 1 || !choices.is_empty() && each && is(last - 1, &[":"]));
    (found, whole)
}

/// How many tokens belong to the expression that begins here.
fn expression_end(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            _ if depth == 0 && at > 0 && begins_statement(&tokens[at - 1], token) => return at,
            Kind::Sign("(" | "[" | "{" | "${") => depth += 1,
            Kind::Sign(")" | "]" | "}" | "$}") if depth == 0 => return at,
            Kind::Sign(")" | "]" | "}" | "$}") => depth -= 1,
            Kind::Sign(";" | ",") if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len()
}

/// Whether a line's end between these two ended a statement.
fn begins_statement(last: &Token, next: &Token) -> bool {
    let ended = match &last.kind {
        Kind::Sign(sign) => matches!(*sign, ")" | "]" | "}"),
        _ => true,
    };
    let begins = match &next.kind {
        Kind::Name(name) => !matches!(name.as_str(), "in" | "instanceof"),
        Kind::Sign(sign) => matches!(*sign, "{" | "++" | "--" | "!" | "~"),
        _ => true,
    };
    next.fresh && ended && begins
}

/// The tokens outside brackets; a pair of brackets stands for what is in it.
fn own_level(tokens: &[Token]) -> Vec<&Token> {
    let (mut depth, mut level) = (0_usize, Vec::new());
    for token in tokens {
        let closes = matches!(token.kind, Kind::Sign(")" | "]" | "}" | "$}"));
        depth = depth.saturating_sub(usize::from(closes));
        if depth == 0 {
            level.push(token);
        }
        depth += usize::from(matches!(token.kind, Kind::Sign("(" | "[" | "{" | "${")));
    }
    level
}

/// Texts that a member is compared with: before or after it.
fn compared(tokens: &[Token], entity: usize, after: usize) -> Vec<(String, Place)> {
    let equals = |token: &Token| ["===", "==", "!==", "!="].iter().any(|sign| token.is(sign));
    let text = |token: &Token| Some((token.text()?.to_owned(), place(token)));
    let behind = tokens.get(after).filter(|token| equals(token)).and_then(|_| text(tokens.get(after + 1)?));
    let ahead = before(tokens, entity, 1).filter(|token| equals(token)).and_then(|_| text(before(tokens, entity, 2)?));
    behind.into_iter().chain(ahead).collect()
}

/// Whether no other field can be assigned here: `'Name' in entity`, `commentHelper.mergeComments(entity, …)`, `store(entity)`.
fn harmless(tokens: &[Token], at: usize) -> bool {
    let name = |back: usize| before(tokens, at, back).and_then(Token::name);
    name(1) == Some("in")
        || is(tokens, at.wrapping_sub(1), "(") && matches!(name(2), Some("mergeComments" | "mergeAttachments" | "store"))
}

/// Which bracket stands around a token, and where it closes.
struct Brackets {
    around: Vec<Option<usize>>,
    close: Vec<Option<usize>>,
}

impl Brackets {
    fn of(tokens: &[Token]) -> Self {
        let mut brackets = Self { around: Vec::with_capacity(tokens.len()), close: vec![None; tokens.len()] };
        let mut open: Vec<usize> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            if matches!(token.kind, Kind::Sign(")" | "]" | "}" | "$}"))
                && let Some(opened) = open.pop()
            {
                brackets.close[opened] = Some(at);
            }
            brackets.around.push(open.last().copied());
            if matches!(token.kind, Kind::Sign("(" | "[" | "{" | "${")) {
                open.push(at);
            }
        }
        brackets
    }

    /// Whether `entity` here may be the name of something of the rule's own. In doubt it is.
    fn bind(&self, tokens: &[Token], at: usize) -> bool {
        let word = before(tokens, at, 1).and_then(Token::name);
        if matches!(word, Some("const" | "let" | "var" | "function" | "class")) {
            return true;
        }
        if is(tokens, at + 1, "=>") || is(tokens, at + 1, "=") {
            return true;
        }
        let mut around = self.around[at];
        while let Some(open) = around {
            if self.holds_names(tokens, open) {
                return true;
            }
            around = self.around[open];
        }
        false
    }

    /// The texts of a `switch` over what begins here.
    fn cases(&self, tokens: &[Token], at: usize) -> Vec<(String, Place)> {
        let switch = is(tokens, at.wrapping_sub(1), "(") && before(tokens, at, 2).and_then(Token::name) == Some("switch");
        let open = at.checked_sub(1).filter(|_| switch).and_then(|open| self.close[open]).map(|close| close + 1);
        let Some((open, close)) = open.and_then(|open| Some((open, (*self.close.get(open)?)?))) else { return Vec::new() };
        let cases = tokens[open..close].windows(2).filter(|pair| pair[0].name() == Some("case"));
        cases.filter_map(|pair| Some((pair[1].text()?.to_owned(), place(&pair[1])))).collect()
    }

    /// Whether the bracket that opens here is a pattern or a list of parameters.
    fn holds_names(&self, tokens: &[Token], open: usize) -> bool {
        let word = before(tokens, open, 1).and_then(Token::name);
        if !tokens[open].is("(") {
            return matches!(word, Some("const" | "let" | "var"));
        }
        let Some(close) = self.close[open] else { return true };
        let body = is(tokens, close + 1, "{") && !matches!(word, Some("if" | "while" | "for" | "with" | "switch"));
        is(tokens, close + 1, "=>") || body
    }
}
