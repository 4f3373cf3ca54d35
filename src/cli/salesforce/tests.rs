//! Places: what is overwritten, what is not, and what is told of a change.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use super::{differing::changes, place::Place};

fn tree(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn write(to: &Path, files: &[(&str, &str)], force: bool) -> anyhow::Result<()> {
    let place = Place::at(to);
    let last = place.last()?;
    place.write(&tree(files), json!({"user": "u@x"}), last, force)
}

#[test]
fn a_folder_is_kept_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().join("out");
    write(&at, &[("a/b/one.xml", "1"), ("two.xml", "2")], false).expect("fresh");
    assert_eq!(Place::at(&at).last().expect("readable").expect("there").note.inputs["user"], "u@x");
    fs::write(at.join("theirs.txt"), "mine").expect("written");
    write(&at, &[("two.xml", "2b")], false).expect("again");
    assert!(!at.join("a").exists(), "what is no longer part of it goes, with its folders");
    assert_eq!(fs::read_to_string(at.join("theirs.txt")).expect("there"), "mine");
    fs::write(at.join("two.xml"), "edited").expect("written");
    let refused = write(&at, &[("two.xml", "3")], false).expect_err("edited");
    assert!(format!("{refused:#}").contains("two.xml"), "{refused:#}");
    let refused =
        write(&at, &[("theirs.txt", "x"), ("two.xml", "edited")], true).map(|()| fs::read_to_string(at.join("two.xml")));
    assert_eq!(refused.expect("forced").expect("there"), "edited");
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("x"), "").expect("written");
    let refused = write(&foreign, &[("two.xml", "2")], true).expect_err("not even forced");
    assert!(refused.to_string().contains("holds other files"), "{refused:#}");
}

#[test]
fn a_note_leads_nowhere_outside() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().join("out");
    write(&at, &[("two.xml", "2")], false).expect("fresh");
    let outside = dir.path().join("precious");
    fs::write(&outside, "kept").expect("written");
    let note = fs::read_to_string(at.join("wicketgate.json")).expect("there");
    // Its true hash, or it would only count as edited.
    let sum = json!(crate::secret::base64url(&crate::secret::sha256(b"kept")));
    fs::write(
        at.join("wicketgate.json"),
        note.replace("\"two.xml\"", &format!("\"../precious\": {sum},\n{}: {sum},\n\"two.xml\"", json!(outside))),
    )
    .expect("written");
    write(&at, &[("three.xml", "3")], false).expect("again");
    assert_eq!(fs::read_to_string(&outside).expect("there"), "kept");
    assert!(!at.join("two.xml").exists() && at.join("three.xml").exists());
}

#[test]
fn a_zip_is_the_same_byte_for_byte_and_known_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let files = [("classes/A.cls", "class A {}"), ("package.xml", "<Package/>")];
    write(&at("a.zip"), &files, false).expect("fresh");
    write(&at("b.zip"), &files, false).expect("fresh");
    assert_eq!(fs::read(at("a.zip")).expect("there"), fs::read(at("b.zip")).expect("there"));
    let last = Place::at(&at("a.zip")).last().expect("readable").expect("there");
    assert_eq!(last.tree, tree(&files));
    write(&at("a.zip"), &[("package.xml", "<Other/>")], false).expect("again");
    fs::write(at("c.zip"), "no zip").expect("written");
    let refused = write(&at("c.zip"), &files, true).expect_err("somebody's own");
    assert!(refused.to_string().contains("no package of ours"), "{refused:#}");
}

#[test]
fn changes_are_told_without_the_secret_address() {
    let before = tree(&[("a.xml", "<x>\n  <fields>A</fields>\n<endpointUrl>https://old</endpointUrl>\n</x>"), ("gone.xml", "")]);
    let now = tree(&[("a.xml", "<x>\n  <fields>B</fields>\n<endpointUrl>https://new</endpointUrl>\n</x>"), ("new.xml", "")]);
    let told = changes(Some(&before), &now);
    let expected = json!([
        {"path": "a.xml", "change": "changed", "lines": ["+ <endpointUrl>…</endpointUrl>", "- <endpointUrl>…</endpointUrl>",
            "- <fields>A</fields>", "+ <fields>B</fields>"]},
        {"path": "new.xml", "change": "added", "lines": []},
        {"path": "gone.xml", "change": "removed", "lines": []},
    ]);
    let mut told_lines = told.clone();
    if let Some(lines) = told_lines[0]["lines"].as_array_mut() {
        lines.sort_by_key(|line| line.as_str().unwrap_or_default()[2..].to_owned());
    }
    assert_eq!(serde_json::Value::from(told_lines), expected);
    assert!(!serde_json::Value::from(told).to_string().contains("https"));
    assert!(changes(None, &now).is_empty(), "the first has nothing to compare with");
}
