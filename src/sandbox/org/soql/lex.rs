//! Words of a query, each with its place for the error text.

use super::super::errors::ApiError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// Names, keywords, numbers, dates: everything unquoted.
    Bare(String),
    /// A quoted text, unescaped.
    Quoted(String),
    /// `= != <> < > <= >= ( ) ,`
    Sign(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) at: usize,
}

/// Longest query that is read, in characters.
const LONGEST: usize = 100_000;

pub(super) fn lex(text: &str) -> Result<Vec<Token>, ApiError> {
    if text.len() > LONGEST {
        return Err(malformed(text, LONGEST, "SOQL statements cannot be longer than 100000 characters."));
    }
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        let word = match letter {
            letter if letter.is_whitespace() => continue,
            '\'' => Word::Quoted(quoted(text, at, &mut rest)?),
            '(' => Word::Sign("("),
            ')' => Word::Sign(")"),
            ',' => Word::Sign(","),
            '=' => Word::Sign("="),
            '<' if rest.next_if(|(_, next)| *next == '=').is_some() => Word::Sign("<="),
            '<' if rest.next_if(|(_, next)| *next == '>').is_some() => Word::Sign("!="),
            '<' => Word::Sign("<"),
            '>' if rest.next_if(|(_, next)| *next == '=').is_some() => Word::Sign(">="),
            '>' => Word::Sign(">"),
            '!' if rest.next_if(|(_, next)| *next == '=').is_some() => Word::Sign("!="),
            letter if is_bare(letter) => {
                let mut bare = letter.to_string();
                while let Some((_, next)) = rest.next_if(|(_, next)| is_bare(*next)) {
                    bare.push(next);
                }
                Word::Bare(bare)
            }
            other => return Err(malformed(text, at, &format!("unexpected token: '{other}'"))),
        };
        tokens.push(Token { word, at });
    }
    Ok(tokens)
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | ':' | '-' | '+')
}

fn quoted(text: &str, at: usize, rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> Result<String, ApiError> {
    let mut out = String::new();
    while let Some((place, letter)) = rest.next() {
        match letter {
            '\'' => return Ok(out),
            '\\' => match rest.next().map(|(_, letter)| letter) {
                Some('n' | 'N') => out.push('\n'),
                Some('r' | 'R') => out.push('\r'),
                Some('t' | 'T') => out.push('\t'),
                Some('b' | 'B') => out.push('\u{8}'),
                Some('f' | 'F') => out.push('\u{c}'),
                Some(letter @ ('\'' | '"' | '\\')) => out.push(letter),
                // `LIKE` needs to know that the sign was meant literally.
                Some(letter @ ('_' | '%')) => out.extend(['\\', letter]),
                _ => return Err(malformed(text, place, "Illegal string literal: invalid escape sequence")),
            },
            letter => out.push(letter),
        }
    }
    Err(malformed(text, at, "unterminated string literal"))
}

/// A syntax error, with the line shown and a mark under the place.
pub(super) fn malformed(text: &str, at: usize, what: &str) -> ApiError {
    let shown = text.chars().take(80).collect::<String>();
    let column = text.get(..at.min(text.len())).map_or(0, |before| before.chars().count());
    let pad = " ".repeat(column.min(80));
    ApiError::new(400, "MALFORMED_QUERY", format!("\n{shown}\n{pad}^\nERROR at Row:1:Column:{}\n{what}", column + 1))
}
