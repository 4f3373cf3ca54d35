//! Which kinds of tracker there are, and whose settings they have.

use super::{ConfigError, TrackerSection, problem::suggestion, section::Reader};
use crate::{
    salesforce,
    trackers::{standard_webhooks::Signer, webhook},
};

/// Reads a section as its kind would. What the keys do not show one by one is `Ok(Err(why))`.
type Check = fn(&TrackerSection) -> Result<Result<(), String>, ConfigError>;

/// Every kind with the settings of its module.
const KINDS: [(&str, Check); 2] = [
    ("salesforce", |section| section.settings::<salesforce::Settings>().map(|settings| settings.check())),
    ("webhook", |section| {
        let usable =
            |settings: webhook::Settings| Signer::new(&settings.secret).map(drop).map_err(|why| format!("`secret`: {why}"));
        section.settings::<webhook::Settings>().map(usable)
    }),
];

/// Kinds of versions to come.
const LATER: [&str; 2] = ["jira", "redmine"];

/// For people.
pub(super) fn names() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

/// Notes what is wrong with a tracker's own keys.
pub(super) fn check(reader: &mut Reader<'_>, section: &TrackerSection) {
    let path = ["trackers", section.name.as_str()];
    match KINDS.iter().find(|(name, _)| *name == section.kind).map(|(_, check)| check(section)) {
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(why))) => reader.problem(&path, &why),
        Some(Err(error)) => reader.problems.extend(error.problems),
        None if LATER.contains(&section.kind.as_str()) => {
            let message = format!(
                "`{}` is not in this version, which knows {}; a system that can call and be called is joined by `webhook`",
                section.kind,
                names()
            );
            reader.problem(&[path[0], path[1], "kind"], &message);
        }
        None => {
            let message = format!("unknown kind `{}`; {}", section.kind, suggestion(&section.kind, &KINDS.map(|(name, _)| name)));
            reader.problem(&[path[0], path[1], "kind"], &message);
        }
    }
}
