//! `docs/FIRST-HOUR.md` is typed by people who have never seen the product: its commands exist, its sample loads.

use std::{collections::BTreeSet, process::Command};

use wicketgate::config::{Config, Role};

const PAGE: &str = include_str!("../../docs/FIRST-HOUR.md");

/// What stands between backticks, in one line each.
fn quoted() -> impl Iterator<Item = Vec<&'static str>> {
    PAGE.split('`').skip(1).step_by(2).map(|text| text.split_whitespace().collect())
}

#[test]
fn every_command_exists_with_its_options() {
    let commands: BTreeSet<Vec<&str>> = quoted().filter(|words: &Vec<_>| words.first() == Some(&"wicketgate")).collect();
    assert!(commands.len() > 15, "the commands were found: {commands:?}");
    for words in commands {
        // A command has at most two words; what follows is what it is about.
        let command = words[1..].iter().take(2).take_while(|word| !word.starts_with('-'));
        let told = Command::new(env!("CARGO_BIN_EXE_wicketgate")).args(command).arg("--help").output().expect("it runs");
        let help = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")), "{words:?}: {option}");
        }
    }
}

#[test]
fn its_node_to_try_things_on_loads() {
    let sample = PAGE.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("a sample");
    let token = [("WICKETGATE_ADMIN_TOKEN".to_owned(), "a-long-random-word-for-one-hour".to_owned())];
    let config = Config::parse("try.toml", sample, token.to_vec(), Role::Public).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.trackers["desk"].kind, "webhook");
}

#[test]
fn the_pages_that_it_leads_to_are_there() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for link in PAGE.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()).filter(|link| !link.is_empty()) {
        assert!(docs.join(link).exists(), "{link}");
    }
}
