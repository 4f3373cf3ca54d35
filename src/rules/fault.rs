//! What a person is told about a script that failed: where, the line itself, what the value was, and what to do.
//!
//! ```text
//!  engine: message, line, column ─▶ the line's text ─▶ the expression at that column ─▶ words and advice
//! ```
//!
//! The engine says `cannot read property 'name' of undefined` and leaves open what was undefined; the line tells that. An
//! expression is read backwards from the place by its letters alone, so only plain chains (`replica.status`) are named; of
//! anything harder nothing is said rather than something wrong.
//!
//! Trap: a syntax error behind the last line is one of the text around the rule. It means that the rule's brackets or
//! quotes do not match, and is told as that, at the rule's end.

use super::source::PARAMETERS;
use crate::domain::rule::RuleError;

/// Most characters of a line that are shown.
const MAX_SHOWN: usize = 160;
/// What stands before the place in a longer line.
const BEFORE: usize = 60;
const NOT_CLOSED: &str = "SyntaxError: the rule's brackets or quotes do not match";

/// The error of a script from what the engine says of it.
pub fn script(source: &str, message: String, line: Option<u32>, column: Option<u32>) -> RuleError {
    let last = source.split('\n').count();
    if message.starts_with("SyntaxError") && line.is_some_and(|line| line as usize > last) {
        return at_the_end(source);
    }
    let text = line.and_then(|line| source.split('\n').nth(line as usize - 1)).map(|text| text.trim_end_matches('\r'));
    let place = text.map(|text| Place { text, column: column.unwrap_or(1) });
    let (told, advice) = explain(&message, place);
    let message = told.map_or(message.clone(), |told| format!("{message}: {told}"));
    RuleError::Script { message, line, column, line_text: place.map(Place::shown), advice }
}

/// A line's own text, or its part around the place.
pub fn line_text(source: &str, line: u32, column: u32) -> String {
    let text = source.split('\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
    Place { text: text.trim_end_matches('\r'), column: column.max(1) }.shown()
}

fn at_the_end(source: &str) -> RuleError {
    let (line, text) = source.split('\n').enumerate().filter(|(_, text)| !text.trim().is_empty()).last().unwrap_or((0, ""));
    let column = text.trim_end().chars().count().max(1);
    let (line, column) = (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX));
    RuleError::Script {
        message: NOT_CLOSED.to_owned(),
        line: Some(line),
        column: Some(column),
        line_text: Some(Place { text, column }.shown()),
        advice: "Close what is still open, or take out the bracket that closes nothing.".to_owned(),
    }
}

/// A place in a line.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    column: u32,
}

impl<'a> Place<'a> {
    /// The line, or its part around the place.
    fn shown(self) -> String {
        if self.text.chars().count() <= MAX_SHOWN {
            return self.text.trim().to_owned();
        }
        let from = (self.column as usize).saturating_sub(BEFORE);
        let part: String = self.text.chars().skip(from).take(MAX_SHOWN).collect();
        format!("{}{part}…", if from > 0 { "…" } else { "" })
    }

    /// Byte offset of the column.
    fn offset(self) -> usize {
        self.text.char_indices().nth(self.column as usize - 1).map_or(self.text.len(), |(at, _)| at)
    }

    /// The chain of names that ends right before this byte.
    fn chain_before(self, end: usize) -> Option<&'a str> {
        let head = &self.text[..end];
        let start = head.char_indices().rev().take_while(|(_, one)| is_part(*one)).last()?.0;
        let chain = head[start..].trim_end_matches('?');
        let named = chain.starts_with(|one: char| one.is_alphabetic() || one == '_' || one == '$');
        // After a bracket the chain's beginning is not seen.
        let whole = !head[..start].ends_with([')', ']', '}']);
        (named && whole).then_some(chain)
    }

    /// What stands before `.name`, at the occurrence nearest to the place.
    fn owner_of(self, name: &str) -> Option<&'a str> {
        let dotted = format!(".{name}");
        let place = self.offset();
        let (at, _) = self.text.match_indices(&dotted).min_by_key(|(at, _)| at.abs_diff(place))?;
        self.chain_before(at)
    }

    /// What is called at the place, or next after it.
    fn called(self) -> Option<&'a str> {
        let place = self.offset();
        let at = place + self.text[place..].find('(')?;
        self.chain_before(at)
    }
}

fn is_part(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, '_' | '$' | '.' | '?')
}

/// What the value was, where that can be told, and what to do.
fn explain(message: &str, place: Option<Place<'_>>) -> (Option<String>, String) {
    if let Some((name, value)) = read_of_nothing(message) {
        let Some(owner) = place.and_then(|place| place.owner_of(name)) else {
            return (None, format!("Write `?.{name}` where what stands before it may be missing."));
        };
        let advice = format!("Write `{owner}?.{name}` if `{owner}` may be missing, or give it a value before this line.");
        return (Some(format!("`{owner}` is {value}")), advice);
    }
    if let Some(name) = message.strip_prefix("ReferenceError: ").and_then(|rest| rest.strip_suffix(" is not defined")) {
        let name = name.trim_matches('\'');
        let near = nearest(name, PARAMETERS.split(',')).map_or_else(String::new, |near| format!("Did you mean `{near}`? "));
        return (None, format!("{near}A name of your own is declared with `const` or `let` before it is used."));
    }
    if message == "TypeError: not a function" {
        let told = place.and_then(Place::called).map(|called| format!("`{called}` is none"));
        return (told, "Look for a misspelt name, or for a value that is missing here.".to_owned());
    }
    if message.starts_with("SyntaxError") {
        return (None, "The rule does not parse: mend it at this place, or right before it.".to_owned());
    }
    if message.starts_with("TypeError: ") && message.ends_with("is read-only") {
        return (None, "Assign to a member of it, or to a name of your own.".to_owned());
    }
    (None, "Mend the rule, or the value it stumbles over, then retry.".to_owned())
}

/// The name and the value of `cannot read property 'name' of undefined`.
fn read_of_nothing(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("cannot read property '").or_else(|| message.split_once("cannot set property '"))?;
    rest.split_once("' of ")
}

/// The known name that is nearest to a misspelt one, if any is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let low = name.to_lowercase();
    let near = known.into_iter().map(|one| (strsim::damerau_levenshtein(&low, &one.to_lowercase()), one));
    near.min_by_key(|(far, _)| *far).filter(|(far, _)| *far <= 1 + name.chars().count() / 3).map(|(_, one)| one)
}
