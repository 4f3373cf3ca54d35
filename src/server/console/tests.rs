//! What holds for all templates, and the small words that pages are made of.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{
    form::{Errors, Form},
    page,
    text::{When, link, number, span},
};
use crate::{
    clock::Time,
    server::kit::{Code, FieldError, Problem},
};

fn templates() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/console/templates"), &mut found);
    assert!(found.len() > 15, "the templates were found");
    found
}

#[test]
fn no_template_writes_what_it_is_given_as_markup() {
    for (path, text) in templates() {
        for forbidden in ["|safe", "| safe", "|escape(\"none\")", "style=", "onclick", "<style"] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    for (path, text) in templates() {
        if path.parent().is_some_and(|folder| folder.ends_with("people")) {
            continue; // Nobody is signed in there yet.
        }
        for form in text.split("<form").skip(1) {
            let form = form.split("</form>").next().expect("a part");
            let carries = form.contains("call parts::token(frame)") || form.contains("name=\"_token\"");
            assert!(carries || !form.contains("method=\"post\""), "{}: <form{form}", path.display());
        }
    }
}

#[test]
fn every_field_has_its_label_and_every_table_its_heads() {
    for (path, text) in templates() {
        for tag in ["<input", "<textarea", "<select"] {
            for field in text.split(tag).skip(1) {
                let end = field.split('>').next().expect("a part");
                let quiet =
                    end.contains("type=\"hidden\"") || end.contains("type=\"checkbox\"") || end.contains("type=\"radio\"");
                let id = end.split("id=\"").nth(1).and_then(|part| part.split('"').next());
                let labelled = id.is_some_and(|id| text.contains(&format!("for=\"{id}\"")));
                assert!(quiet || labelled, "{}: {tag}{end}>", path.display());
            }
        }
        let heads = text.matches("<th").count() - text.matches("<thead").count();
        assert_eq!(heads, text.matches("scope=\"col\"").count() + text.matches("scope=\"row\"").count(), "{}", path.display());
    }
}

#[test]
fn words_are_as_people_say_them() {
    assert_eq!(
        [span(7), span(1_500), span(90_000), span(7_200_000), span(400_000_000)],
        ["7 ms", "1.5 s", "1 min", "2 h", "4 days"]
    );
    assert_eq!([number(7), number(1_000), number(12_408_000)], ["7", "1,000", "12,408,000"]);
    let told = When(Time(1_795_000_000_123)).to_string();
    assert!(told.starts_with("<time datetime=\"2026-11-18T") && told.ends_with(" UTC</time>"), "{told}");
    assert_eq!(link(Some("javascript:alert(1)")), None);
    assert_eq!(link(Some("https://a.example/x")).as_deref(), Some("https://a.example/x"));
}

#[test]
fn a_refusal_is_said_where_it_belongs() {
    let errors = vec![FieldError::new("name", "is taken"), FieldError::new("mode", "is unknown")];
    let told = Errors::of(&Problem::fields(errors), &["name"]);
    assert_eq!((told.at("name"), told.whole.as_deref()), ("Is taken", Some("mode: is unknown")));
    let told = Errors::of(&Problem::new(Code::State, "Not now."), &["name"]);
    assert_eq!((told.at("name"), told.whole.as_deref()), ("", Some("Not now.")));
}

proptest! {
    #[test]
    fn any_form_can_be_read(bytes: Vec<u8>) {
        let form = Form::read(&bytes);
        prop_assert!(form.typed("a").is_none_or(|value| !value.trim().is_empty()));
    }

    #[test]
    fn nobody_is_sent_elsewhere(next in "/{0,2}[\\t\\n /\\\\a-z.:@]{0,12}") {
        // As a browser reads it.
        let read: String = page::within(&next).chars().filter(|c| !c.is_control()).map(|c| if c == '\\' { '/' } else { c }).collect();
        prop_assert!(read.starts_with('/') && !read.starts_with("//"), "{:?} leads to {}", next, read);
    }
}
