//! Holds the code to its layers: imports look down only, an outside library has one home, files stay short and begin
//! with an essay.
//!
//! The checker works on text, not on types: comments and literals are blanked, then paths that begin with `crate`,
//! `super` or the name of an outside library are read wherever they stand. Test code (files `tests.rs`, folders
//! `tests`, inline `mod tests`) may look anywhere: it is no part of the product.
//!
//! To add a module: its line in [`LAYERS`], and in docs/ARCHITECTURE.md.

#[path = "architecture/source.rs"]
mod source;

use std::path::Path;

use source::{SourceFile, Use};

/// Every module with its layer; a path of two parts wins over one of one part.
const LAYERS: [(&str, u8); 21] = [
    ("clock", 0),
    ("secret", 0),
    ("retry", 0),
    ("lifecycle", 0),
    ("telemetry", 0),
    ("http_client", 0),
    ("domain", 1),
    ("store", 2),
    ("salesforce", 2),
    ("trackers", 2),
    ("rules", 2),
    ("sync", 3),
    ("link", 3),
    ("server/kit", 4),
    ("server/api", 5),
    ("server/console", 5),
    ("server/hooks", 5),
    ("server/link", 5),
    ("sandbox", 5),
    ("server", 6),
    ("config", 6),
];

/// Modules above the engine's rooms.
const TOP: [(&str, u8); 3] = [("app", 7), ("cli", 8), ("main", 9)];

/// Value types that modules of layers 0 and 1 may use.
const VALUES: [&str; 2] = ["clock", "secret"];

/// Outside libraries and where they may be named: a module, or one file of it.
const HOMES: [(&str, &[&str]); 16] = [
    ("actix_http", &["server"]),
    ("actix_service", &["server"]),
    ("askama", &["server/console"]),
    ("actix_web", &["server", "server/kit", "server/api", "server/console", "server/hooks", "server/link", "sandbox"]),
    ("sqlx", &["store"]),
    ("rquickjs", &["rules"]),
    ("ammonia", &["rules"]),
    ("pulldown_cmark", &["rules"]),
    ("reqwest", &["http_client", "salesforce", "trackers", "link", "src/cli/api.rs", "src/sandbox/wire.rs", "app"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
    ("indicatif", &["cli"]),
    ("moka", &["salesforce"]),
    ("argon2", &["src/server/kit/passwords.rs"]),
    ("similar", &["src/server/api/rules/comparing.rs"]),
    ("zip", &["src/cli/salesforce/place.rs"]),
];

/// Longest file without a word about why.
const MOST_LINES: usize = 400;

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().chain(&TOP).find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The module that a path below `crate` belongs to.
fn module_of(path: &[String]) -> String {
    match path {
        [first, second, ..] if layer(&format!("{first}/{second}")).is_some() => format!("{first}/{second}"),
        [first, ..] => first.clone(),
        [] => "main".to_owned(),
    }
}

/// Why `from` may not import `to`, if it may not.
fn refusal(from: &str, to: &str) -> Option<String> {
    let (Some(here), Some(there)) = (layer(from), layer(to)) else {
        let unknown = if layer(from).is_none() { from } else { to };
        return Some(format!("`{unknown}` has no layer; give it one in tests/it/architecture.rs"));
    };
    if from == to {
        return None;
    }
    let fine = match from {
        _ if here <= 1 => VALUES.contains(&to),
        "sandbox" => there == 0 || to == "server/kit",
        "main" => to == "cli",
        _ => there < here,
    };
    let word = if there == here {
        "sideways"
    } else if there > here {
        "upward"
    } else {
        "too far down"
    };
    (!fine).then(|| format!("{word} import: `{from}` (layer {here}) must not use `{to}` (layer {there})"))
}

/// All that is wrong with these sources, one line each.
fn violations(files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let module = module_of(&file.module);
        for Use { line, path, outside } in file.uses() {
            if outside {
                let homes = HOMES.iter().find(|(name, _)| *name == path[0]).map_or(&[] as &[&str], |(_, homes)| homes);
                if !homes.iter().any(|home| *home == module || *home == file.path) {
                    found.push(format!("{}:{line}: `{}` has its home in {}", file.path, path[0], homes.join(", ")));
                }
            } else if let Some(why) = refusal(&module, &module_of(&path)) {
                found.push(format!("{}:{line}: {why}", file.path));
            }
        }
        found.extend(shape(file));
    }
    found
}

/// Length and essay of a file.
fn shape(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    let explained = file
        .text
        .lines()
        .take(15)
        .filter(|line| line.starts_with("//!"))
        .any(|line| line.split(|one: char| !one.is_alphanumeric()).any(|word| word == "long" || word == "lines"));
    if lines > MOST_LINES && !explained {
        found.push(format!("{}: {lines} lines; split it, or say at its top why it is long", file.path));
    }
    if !file.is_test && !file.text.starts_with("//!") {
        found.push(format!("{}: begins without an essay (`//!`)", file.path));
    }
    found
}

#[test]
fn the_code_keeps_to_its_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = source::read_all(root, &HOMES.map(|(name, _)| name));
    assert!(files.len() > 20, "the sources were found");
    let found = violations(&files);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn check(path: &str, text: &str) -> Vec<String> {
    violations(&[SourceFile::new(path, &format!("//! Essay.\n{text}"), &HOMES.map(|(name, _)| name))])
}

#[test]
fn an_upward_or_sideways_import_is_found() {
    assert_eq!(
        check("src/store/tx.rs", "use crate::{domain::twin::Twin, sync::Engine};\n"),
        ["src/store/tx.rs:2: upward import: `store` (layer 2) must not use `sync` (layer 3)"]
    );
    assert_eq!(check("src/sync/mod.rs", "fn f() {\n    crate::link::x();\n}\n").len(), 1, "inline paths count");
    assert_eq!(check("src/server/api/x.rs", "use super::super::hooks::Y;").len(), 1, "so do relative ones");
    assert_eq!(check("src/server/api/x.rs", "use crate::server::{kit::A, console::B};").len(), 1);
    assert_eq!(check("src/server/kit/x.rs", "use crate::server::Assembly;").len(), 1, "the assembly stands above its doors");
    assert_eq!(check("src/retry.rs", "use crate::telemetry::Metric;").len(), 1);
    assert_eq!(check("src/domain/x.rs", "use crate::retry::Backoff;").len(), 1);
    assert_eq!(check("src/sandbox/org.rs", "use crate::store::Store;").len(), 1, "the sandbox knows nothing of the engine");
    assert_eq!(check("src/main.rs", "fn main() { wicketgate::app::run() }").len(), 1);
    assert_eq!(check("src/nowhere/mod.rs", "use crate::clock::Time;").len(), 1, "a module without a layer");
}

#[test]
fn what_looks_down_passes() {
    assert!(check("src/sync/mod.rs", "use crate::{store::{self, Store}, domain::*};").is_empty());
    assert!(check("src/http_client/mod.rs", "use crate::secret::Secret;").is_empty());
    assert!(check("src/server/mod.rs", "use self::kit::x; use crate::server::api;").is_empty());
    assert!(check("src/server/kit/mod.rs", "mod inner { use super::Thing; }").is_empty(), "super of an inline module is here");
    assert!(check("src/store/mod.rs", "// use crate::sync;\nconst A: &str = \"crate::sync\";").is_empty());
    assert!(check("src/store/mod.rs", "#[cfg(test)]\nmod tests {\n use crate::sync::Engine;\n}").is_empty());
    assert!(check("src/store/tests.rs", "use crate::sync::Engine;").is_empty());
    assert!(check("src/main.rs", "fn main() { wicketgate::cli::run() }").is_empty());
}

#[test]
fn an_outside_library_has_one_home() {
    assert!(check("src/store/sqlite/mod.rs", "use sqlx::Row;").is_empty());
    assert_eq!(check("src/sync/mod.rs", "use sqlx::Row;"), ["src/sync/mod.rs:2: `sqlx` has its home in store"]);
    assert_eq!(check("src/sync/mod.rs", "type A = reqwest::Client;").len(), 1);
    assert!(check("src/cli/api.rs", "use reqwest::Client;").is_empty());
    assert_eq!(check("src/cli/twin.rs", "use reqwest::Client;").len(), 1);
}

#[test]
fn a_long_file_says_why_and_all_have_an_essay() {
    let body = "fn f() {}\n".repeat(MOST_LINES);
    assert_eq!(check("src/store/x.rs", &body).len(), 1);
    assert!(check("src/store/x.rs", &format!("//! Long: it is long because one statement is.\n{body}")).is_empty());
    assert_eq!(check("src/store/x.rs", &format!("//! This belongs here.\n{body}")).len(), 1, "`belongs` is no reason");
    let bare = SourceFile::new("src/store/x.rs", "fn f() {}\n", &[]);
    assert_eq!(violations(&[bare]).len(), 1);
}
