//! Reads sources and finds the paths in them.

use std::{
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    slice,
};

/// One file of the product.
pub struct SourceFile {
    /// From the repository's root.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Its module below `crate`: `src/server/api/mod.rs` is `[server, api]`.
    pub module: Vec<String>,
    /// Test code, which is no part of the product.
    pub is_test: bool,
    outside: Vec<String>,
}

/// A path in a file.
#[derive(Debug, PartialEq)]
pub struct Use {
    /// From 1.
    pub line: usize,
    /// Below `crate`; of an outside library its name.
    pub path: Vec<String>,
    /// An outside library.
    pub outside: bool,
}

/// All files below `src`; `outside` are the libraries to look for.
pub fn read_all(root: &Path, outside: &[&str]) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            SourceFile::new(&name, &fs::read_to_string(path).expect("readable"), outside)
        })
        .filter(|file| file.path != "src/lib.rs")
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

impl SourceFile {
    /// A file by its name and text.
    pub fn new(path: &str, text: &str, outside: &[&str]) -> Self {
        let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        let is_test = module.iter().any(|part| part == "tests" || part.ends_with("_tests"));
        let outside = outside.iter().map(|name| (*name).to_owned()).collect();
        Self { path: path.to_owned(), text: text.to_owned(), module, is_test, outside }
    }

    /// Every path to our own modules and to the outside libraries, except in test code.
    pub fn uses(&self) -> Vec<Use> {
        if self.is_test {
            return Vec::new();
        }
        let tokens = tokens(&blanked(&self.text));
        let mut found = Vec::new();
        // One entry per open brace: the inline module that it opened, if it did.
        let mut open: Vec<Option<String>> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let word = tokens[at].text.as_str();
            let inline = (word == "{" && at >= 2 && tokens[at - 2].text == "mod").then(|| tokens[at - 1].text.clone());
            match word {
                "{" => open.push(inline),
                "}" => drop(open.pop()),
                _ => {}
            }
            let in_tests = open.iter().flatten().any(|name| name == "tests");
            let after_path = at > 0 && tokens[at - 1].text == "::";
            if !in_tests && !after_path {
                at += self.path_at(&tokens[at..], open.iter().flatten().count(), &mut found);
            }
            at += 1;
        }
        found
    }

    /// Reads a path that begins here, and says how many tokens beyond the first to pass over.
    fn path_at(&self, tokens: &[Token], inline_depth: usize, found: &mut Vec<Use>) -> usize {
        let first = &tokens[0];
        let goes_on = tokens.get(1).is_some_and(|next| next.text == "::");
        if self.outside.contains(&first.text) && (goes_on || tokens.get(1).is_some_and(|next| next.text == ";")) {
            found.push(Use { line: first.line, path: vec![first.text.clone()], outside: true });
            return 0;
        }
        if !goes_on {
            return 0;
        }
        let mut start = 0;
        let base = match first.text.as_str() {
            "crate" | "wicketgate" => Vec::new(),
            "super" => {
                let mut ups = 1;
                while tokens.get(start + 2).is_some_and(|next| next.text == "super")
                    && tokens.get(start + 3).is_some_and(|next| next.text == "::")
                {
                    start += 2;
                    ups += 1;
                }
                let beyond = ups.max(inline_depth) - inline_depth;
                self.module[..self.module.len().saturating_sub(beyond)].to_vec()
            }
            _ => return 0,
        };
        let mut rest = tokens[start + 2..].iter().peekable();
        let before = rest.len();
        let mut paths = Vec::new();
        tree(&base, &mut rest, &mut paths);
        found.extend(paths.into_iter().map(|(line, path)| Use { line, path, outside: false }));
        start + 1 + (before - rest.len())
    }
}

/// Reads `a::{b, c::*}` into its paths.
fn tree(base: &[String], tokens: &mut Peekable<slice::Iter<'_, Token>>, paths: &mut Vec<(usize, Vec<String>)>) {
    let mut path = base.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.peek().copied() {
        if token.text == "{" {
            tokens.next();
            while tokens.peek().is_some_and(|next| next.text != "}") {
                tree(&path, tokens, paths);
                // Past the comma, and past what `as` renames to.
                while tokens.peek().is_some_and(|next| next.text != "," && next.text != "}") {
                    tokens.next();
                }
                if tokens.peek().is_some_and(|next| next.text == ",") {
                    tokens.next();
                }
            }
            tokens.next();
            return;
        }
        if !token.is_word() && token.text != "*" {
            break;
        }
        line = token.line;
        tokens.next();
        if token.text != "self" {
            path.push(token.text.clone());
        }
        if tokens.peek().is_some_and(|next| next.text == "::") {
            tokens.next();
        } else {
            break;
        }
    }
    paths.push((line, path));
}

/// A word, `::`, or one other character.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        let mut token = one.to_string();
        if one == '\n' {
            line += 1;
        }
        if one.is_whitespace() {
            continue;
        }
        if one.is_alphanumeric() || one == '_' {
            while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                token.push(next);
            }
        } else if one == ':' && rest.next_if_eq(&':').is_some() {
            token.push(':');
        }
        found.push(Token { text: token, line });
    }
    found
}

/// The text with comments and literals blanked; lines stay where they are.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_hidden(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|one| if *one == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `at` itself where none begins.
fn end_of_hidden(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let before = at.checked_sub(1).map(|before| chars[before]);
    let in_word = before.is_some_and(|before| before.is_alphanumeric() || before == '_');
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|one| *one == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => {
            (at + 2..chars.len()).find(|end| chars[end - 1..].starts_with(&['*', '/'])).map_or(chars.len(), |end| end + 1)
        }
        ['r', '"' | '#', ..] if !in_word || before == Some('b') => end_of_raw(chars, at),
        ['"', ..] => end_of_quoted(chars, at, '"'),
        // A lifetime has no closing quote after its first character.
        ['\'', '\\', ..] => end_of_quoted(chars, at, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn end_of_raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|one| **one == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    let start = at + 2 + hashes;
    (start..chars.len()).find(|end| chars[*end..].starts_with(&close)).map_or(chars.len(), |end| end + close.len())
}

fn end_of_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != quote {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}
