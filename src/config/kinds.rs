//! Which kinds of tracker there are, and whose settings they have.

use super::{TrackerSection, problem::suggestion, section::Reader};

/// Checks the settings of one kind.
type Check = fn(&TrackerSection) -> Result<(), super::ConfigError>;

/// Every kind with the settings of its module.
const KINDS: [(&str, Check); 2] = [("salesforce", |_| Ok(())), ("webhook", |_| Ok(()))];

/// For people.
pub(super) fn names() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

/// Reads the section as its kind would.
pub(super) fn check(reader: &mut Reader<'_>, section: &TrackerSection) {
    match KINDS.iter().find(|(name, _)| *name == section.kind) {
        Some((_, check)) => {
            if let Err(error) = check(section) {
                reader.problems.extend(error.problems);
            }
        }
        None => {
            let message = format!("unknown kind `{}`; {}", section.kind, suggestion(&section.kind, &KINDS.map(|(name, _)| name)));
            reader.problem(&["trackers", &section.name, "kind"], &message);
        }
    }
}
