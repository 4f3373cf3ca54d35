//! The two forms in which components travel: source for the Salesforce CLI, metadata for a zip that any tool deploys.
//!
//! Trap: a zip's `package.xml` names the messages, not the `Workflow` around them: what else an org has on that object is
//! left alone. The CLI would put such a message into a folder that no org knows, so its manifests name the `Workflow`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Component, Files, Part, fill::element};

/// Files by path.
pub type Tree = BTreeMap<String, String>;

const NAMESPACE: &str = "http://soap.sforce.com/2006/04/metadata";
const VERSION: &str = "66.0";
const PARTS: [Part; 3] = [Part::Main, Part::ExternalClientApp, Part::ConnectedApp];
/// An active flow is not deleted, and an app only by hand.
const NOT_REMOVED: [&str; 1] = ["Flow"];

/// A project for the Salesforce CLI: both apps, each in a folder of its own with a manifest.
pub fn source_form(components: &[Component]) -> Tree {
    let mut tree = Tree::new();
    tree.insert("sfdx-project.json".to_owned(), include_str!("../../../salesforce/sfdx-project.json").to_owned());
    for Component { part, kind, files, .. } in components {
        let base = format!("{}/main/default/{}", part.folder(), kind.folder);
        match files {
            Files::One(name, text) => drop(tree.insert(format!("{base}/{name}.{}-meta.xml", kind.ending), text.clone())),
            Files::Field(object, text) => {
                drop(tree.insert(format!("{base}/{object}/fields/{}.field-meta.xml", super::MARK_FIELD), text.clone()));
            }
            Files::Many(files) => {
                tree.extend(files.iter().map(|(name, text)| (format!("{base}/{name}"), (*text).to_owned())));
            }
        }
    }
    for part in PARTS {
        let own = components.iter().filter(|one| one.part == part);
        tree.insert(format!("manifest/{}.xml", part.folder()), manifest(own.map(as_the_cli_has_it)));
    }
    tree.insert("manifest/remove/package.xml".to_owned(), manifest([].into_iter()));
    let removed = components.iter().filter(|one| one.part == Part::Main && !NOT_REMOVED.contains(&one.kind.name));
    tree.insert("manifest/remove/destructiveChanges.xml".to_owned(), manifest(removed.map(as_it_is)));
    tree
}

/// The content of a zip to deploy, with one of the apps, or none.
pub fn metadata_form(components: &[Component], app: Option<Part>) -> Tree {
    let chosen: Vec<&Component> = components.iter().filter(|one| one.part == Part::Main || Some(one.part) == app).collect();
    let mut tree = Tree::new();
    for Component { kind, files, .. } in &chosen {
        match files {
            Files::One(name, text) => drop(tree.insert(format!("{}/{name}.{}", kind.folder, kind.ending), text.clone())),
            Files::Field(object, text) => {
                drop(tree.insert(format!("{}/{object}.{}", kind.folder, kind.ending), object_around(text)));
            }
            Files::Many(files) => {
                tree.extend(files.iter().map(|(name, text)| (format!("{}/{name}", kind.folder), (*text).to_owned())));
            }
        }
    }
    tree.insert("package.xml".to_owned(), manifest(chosen.into_iter().map(as_it_is)));
    tree
}

/// The file of an object that brings nothing but this field.
fn object_around(field: &str) -> String {
    let inner = field.lines().filter(|line| line.starts_with("    ")).map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CustomObject xmlns=\"{NAMESPACE}\">\n    <fields>\n{inner}    </fields>\n</CustomObject>\n"
    )
}

/// Type and member of a component.
fn as_it_is(component: &Component) -> (&str, &str) {
    (component.kind.name, &component.member)
}

fn as_the_cli_has_it(component: &Component) -> (&str, &str) {
    match &component.files {
        Files::One(object, _) if component.kind.name == "WorkflowOutboundMessage" => ("Workflow", object),
        _ => as_it_is(component),
    }
}

fn manifest<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, member) in members {
        types.entry(name).or_default().insert(member);
    }
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Package xmlns=\"{NAMESPACE}\">\n");
    for (name, members) in types {
        text.push_str("    <types>\n");
        text.extend(members.into_iter().map(|member| element(8, "members", member)));
        text.push_str(&element(8, "name", name));
        text.push_str("    </types>\n");
    }
    text.push_str(&element(4, "version", VERSION));
    text.push_str("</Package>\n");
    text
}
