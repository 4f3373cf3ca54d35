//! `docs/FROM-EXALATE.md` is held to what it says. A block ```` ```js pattern NAME ```` is a file of `tests/it/patterns`, word for
//! word, and those run there; a block ```` ```js outgoing ```` runs here and leaves the `json` below it.

use std::{collections::BTreeSet, path::PathBuf};

use super::*;

const PAGE: &str = include_str!("../../../docs/FROM-EXALATE.md");

/// Kind and text of each block.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("\n```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').expect("a kind and a text"));
    }
    blocks
}

#[tokio::test]
async fn every_example_for_those_who_come_from_exalate_runs() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/patterns");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (blocks, mut shown, mut ran) = (blocks(), BTreeSet::new(), 0);
    for (at, (kind, text)) in blocks.iter().enumerate() {
        match (*kind, kind.strip_prefix("js pattern ")) {
            (_, Some(name)) => {
                let name = format!("{name}.js");
                assert_eq!(text.trim_end(), read(&name).trim_end(), "{name}");
                shown.insert(name);
            }
            ("js outgoing", _) => {
                let (said, expected) = blocks[at + 1];
                assert_eq!(said, "json");
                let expected: Value = serde_json::from_str(expected).expect("JSON");
                assert_eq!(replica_of(text).await.expect("runs"), expected);
                ran += 1;
            }
            (other, _) => assert_eq!(other, "json", "what is this block?"),
        }
    }
    assert!(ran > 0);
    let all: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("the patterns")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(shown, all, "each pattern is on the page");
}

/// What the right columns offer is there.
#[tokio::test]
async fn every_helper_that_the_page_offers_exists() {
    let offered: BTreeSet<&str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | ").map(|(_, ours)| ours))
        .flat_map(|ours| ours.split('`').skip(1).step_by(2))
        .filter_map(|code| code.split('(').next().filter(|name| name.contains("Helper.")))
        .collect();
    assert!(offered.contains("syncHelper.linkTo") && offered.len() > 5, "{offered:?}");
    for name in offered {
        let kind = replica_of(&format!("replica.kind = typeof {name}")).await.expect("runs");
        assert_eq!(kind, json!({"kind": "function"}), "{name}");
    }
    for word in ["exalate", "connect", "unexalate"] {
        assert!(PAGE.contains(&format!("*{word}*")), "{word}");
    }
}
