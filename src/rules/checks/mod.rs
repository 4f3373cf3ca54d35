//! What can be said of a rule before it runs: names, rights, listed values and lengths, held against what the tracker
//! describes.
//!
//! ```text
//!  source ─▶ lexer ─▶ uses of `entity` ─┐
//!  tracker ─▶ descriptions ─────────────┴▶ findings: where, what, what to do
//! ```
//!
//! What counts as a field is what the script world takes for one (`world/entity.js`): a test runs both on the same names.
//! A rule may serve several entity types, and which one it meets is known only when it runs; so a name is unknown only
//! where none of the connection's types has it, and a value not listed only where none lists it. Where an entity type is
//! chosen by an expression, others may come: then it is a warning.
//!
//! Traps. A type that the tracker does not describe may have any field, and nothing is said of names then. What a rule does
//! by names that it makes up (`entity[name]`) is not seen here; the run checks it.

pub(super) mod lexer;
#[cfg(test)]
mod tests;
pub(super) mod token;
mod uses;

use std::collections::BTreeSet;

use serde::Serialize;

use self::uses::{Act, Place, Use, Uses};
use super::fault;
use crate::domain::{
    replica::Fields,
    tracker::{Description, Field},
};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The rule would fail there.
    Error,
    /// It may not do what is meant.
    Warning,
}

/// Which of the two rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Entity → replica.
    Outgoing,
    /// Replica → entity.
    Incoming,
}

impl Way {
    /// As it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// In which rule.
    pub way: Way,
    /// Line, from 1.
    pub line: u32,
    /// Column in that line, from 1.
    pub column: u32,
    /// That line's own text.
    pub text: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// What the tracker tells.
pub struct Told<'a> {
    /// The connection's entity types.
    pub descriptions: &'a [Description],
    /// Types that it does not have, with its words.
    pub refused: &'a [(String, String)],
    /// The type that is made where a rule chooses none.
    pub default_type: &'a str,
    /// What a new record of a type gets before the rule.
    pub defaults: &'a dyn Fn(&str) -> Fields,
}

/// Members of `entity` that are no fields, in both rules.
const MEMBERS: [&str; 4] = ["entityType", "key", "comments", "attachments"];
/// What the language gives every object, and what it asks any object for.
const LANGUAGE: [&str; 14] = [
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "toJSON",
    "then",
];
/// Those of them that may be assigned.
const ASSIGNABLE: [&str; 2] = ["toJSON", "then"];
/// Most values of a picklist that an advice repeats.
const MOST_SHOWN: usize = 20;

/// Entity types that a pair names: it makes records of them, or compares with them.
pub fn named_types(outgoing: &str, incoming: &str) -> Vec<String> {
    let mut names: Vec<String> = [outgoing, incoming]
        .into_iter()
        .map(uses::uses)
        .filter(|uses| uses.shadowed.is_none())
        .flat_map(|uses| chosen(&uses).0.into_iter().chain(uses.compared.clone()).map(|(name, _)| name))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The tracker's fields that a pair names, whatever entity type they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldUse {
    /// Read by either rule.
    pub read: BTreeSet<String>,
    /// Assigned by the incoming rule.
    pub written: BTreeSet<String>,
    /// There are no others: the pair uses none by a name that it makes up.
    pub whole: bool,
}

/// What a pair uses of `entity`.
pub fn field_use(outgoing: &str, incoming: &str) -> FieldUse {
    let mut found = FieldUse { whole: true, ..FieldUse::default() };
    for source in [outgoing, incoming] {
        let uses = uses::uses(source);
        found.whole &= !uses.unseen && uses.shadowed.is_none();
        for Use { name, act, .. } in uses.all {
            if MEMBERS.contains(&name.as_str()) || LANGUAGE.contains(&name.as_str()) || name == "changed" {
                continue;
            }
            if !matches!(act, Act::Assigned { also_read: false, .. }) {
                found.read.insert(name.clone());
            }
            if act != Act::Read {
                found.written.insert(name);
            }
        }
    }
    found
}

/// Findings in a pair, in order of place; the outgoing rule's first.
pub fn findings(outgoing: Option<&str>, incoming: Option<&str>, told: &Told<'_>) -> Vec<Finding> {
    let makes = incoming.map(uses::uses).unwrap_or_default();
    let open = makes.shadowed.is_some() || !chosen(&makes).1;
    let mut all = Vec::new();
    for (way, source) in [(Way::Outgoing, outgoing), (Way::Incoming, incoming)] {
        let Some(source) = source else { continue };
        let mut check = Check { way, source, told, open, found: Vec::new() };
        check.run(&uses::uses(source));
        check.found.sort_by_key(|finding| (finding.line, finding.column));
        all.append(&mut check.found);
    }
    all
}

/// Types that the rule makes records of, and whether it can make no others.
fn chosen(uses: &Uses) -> (Vec<(String, Place)>, bool) {
    let (mut named, mut all) = (Vec::new(), true);
    for one in uses.all.iter().filter(|one| one.name == "entityType") {
        if let Act::Assigned { texts, whole, .. } = &one.act {
            named.extend(texts.iter().cloned());
            all &= whole;
        }
    }
    (named, all)
}

struct Check<'a> {
    way: Way,
    source: &'a str,
    told: &'a Told<'a>,
    /// Other entity types may come.
    open: bool,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn run(&mut self, uses: &Uses) {
        if let Some(place) = uses.shadowed {
            let message = "the rule calls something of its own `entity`: its fields are checked only when it runs".to_owned();
            return self.add(Severity::Warning, place, message, "Choose another name for it.".to_owned());
        }
        for one in &uses.all {
            self.one(one);
        }
        if self.way == Way::Incoming {
            self.types(uses);
            self.required(uses);
        }
    }

    fn add(&mut self, severity: Severity, Place { line, column }: Place, message: String, advice: String) {
        let text = fault::line_text(self.source, line, column);
        self.found.push(Finding { severity, way: self.way, line, column, text, message, advice });
    }

    /// An error, unless a type that is not known here may make it right.
    fn doubted(&self) -> Severity {
        if self.open { Severity::Warning } else { Severity::Error }
    }

    /// The tracker tells all fields of all types.
    fn closed(&self) -> bool {
        !self.told.descriptions.is_empty() && self.told.descriptions.iter().all(|one| !one.fields.is_empty())
    }

    fn fields(&self, name: &str) -> Vec<&Field> {
        self.told.descriptions.iter().filter_map(|description| description.field(name)).collect()
    }

    fn one(&mut self, Use { name, place, act }: &Use) {
        match (self.way, act) {
            (_, Act::Read) => self.known(name, *place, "read"),
            (Way::Outgoing, _) => {
                let message = format!("entity.{name} cannot be changed: `entity` is read-only in the outgoing rule");
                self.add(Severity::Error, *place, message, "Write to the replica, or to a name of your own.".to_owned());
            }
            (Way::Incoming, Act::Deleted) => {
                let message = format!("entity.{name} cannot be deleted");
                self.add(Severity::Error, *place, message, "Assign null to clear a field.".to_owned());
            }
            (Way::Incoming, Act::Assigned { also_read, texts, .. }) => {
                if *also_read {
                    self.known(name, *place, "read");
                }
                self.assigned(name, *place, texts);
            }
        }
    }

    /// Whether there is a field of this name, or what else a rule may use.
    fn known(&mut self, name: &str, place: Place, verb: &str) {
        let member = match verb {
            "read" => MEMBERS.contains(&name) || LANGUAGE.contains(&name) || self.way == Way::Outgoing && name == "changed",
            _ => ASSIGNABLE.contains(&name),
        };
        if member || !self.closed() || !self.fields(name).is_empty() {
            return;
        }
        let descriptions = self.told.descriptions;
        let who = match descriptions {
            [one] => format!("{} has no field of this name", one.entity_type),
            several => {
                let names: Vec<&str> = several.iter().map(|one| one.entity_type.as_str()).collect();
                format!("none of {} has a field of this name", names.join(", "))
            }
        };
        let names = descriptions.iter().flat_map(|description| &description.fields).map(|field| field.name.as_str());
        let advice = match fault::nearest(name, names) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => "Look up its API name, and whether the integration user may see it.".to_owned(),
        };
        self.add(self.doubted(), place, format!("entity.{name} cannot be {verb}: {who}"), advice);
    }

    fn assigned(&mut self, name: &str, place: Place, texts: &[(String, Place)]) {
        if name == "entityType" {
            return;
        }
        let fields: Vec<Field> = self.fields(name).into_iter().cloned().collect();
        if name == "key" {
            let message = "entity.key is given by the tracker and cannot be assigned".to_owned();
            return self.add(Severity::Error, place, message, "`syncHelper.linkTo(key)` adopts a record that exists.".to_owned());
        }
        if fields.is_empty() {
            // Comments and files may be assigned what their helpers answer.
            if !MEMBERS.contains(&name) {
                self.known(name, place, "assigned");
            }
            return;
        }
        if self.closed() && fields.iter().all(|field| !field.writable) {
            let message = format!("entity.{name} cannot be written by the integration user");
            let advice = "Take it out of the incoming rule, or give the integration user edit right on it.".to_owned();
            return self.add(self.doubted(), place, message, advice);
        }
        for (text, place) in texts {
            self.fits(name, &fields, text, *place);
        }
    }

    /// Whether one of the fields of this name takes the text as it is.
    fn fits(&mut self, name: &str, fields: &[Field], text: &str, place: Place) {
        if !self.closed() || text.is_empty() {
            return;
        }
        let missing: Vec<(&Field, &str)> = fields.iter().filter_map(|field| Some((field, unlisted(field, text)?))).collect();
        if missing.len() == fields.len()
            && let Some((field, value)) = missing.first()
        {
            let listed = field.values.as_deref().unwrap_or_default();
            let shown = listed.iter().take(MOST_SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let more = if listed.len() > MOST_SHOWN { format!(" and {} more", listed.len() - MOST_SHOWN) } else { String::new() };
            let near = fault::nearest(value, listed.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("Did you mean `{near}`? "));
            let message = format!("`{name}` does not list the value `{value}`");
            return self.add(self.doubted(), place, message, format!("{near}It lists {shown}{more}."));
        }
        let letters = text.chars().count();
        let most = fields.iter().map(|field| field.length.filter(|_| field.values.is_none()).unwrap_or(0));
        let most = most.map(|most| if most == 0 { u32::MAX } else { most }).max().unwrap_or(u32::MAX);
        if letters > most as usize {
            let message = format!("this text has {letters} letters and `{name}` takes {most}: it would be cut");
            self.add(Severity::Warning, place, message, "Shorten it.".to_owned());
        }
    }

    /// Entity types that the tracker does not have.
    fn types(&mut self, uses: &Uses) {
        for (name, place) in chosen(uses).0 {
            let Some((_, words)) = self.told.refused.iter().find(|(refused, _)| *refused == name) else { continue };
            let words = words.clone();
            let known = self.told.descriptions.iter().map(|description| description.entity_type.as_str());
            let near = fault::nearest(&name, known).map_or_else(String::new, |near| format!("Did you mean `{near}`? "));
            self.add(Severity::Error, place, format!("the tracker has no entity type `{name}` for us"), format!("{near}{words}"));
        }
    }

    /// Fields that a create needs and no line assigns.
    fn required(&mut self, uses: &Uses) {
        let (named, all) = chosen(uses);
        if uses.unseen || !all {
            return;
        }
        let first = Place { line: 1, column: 1 };
        let made = if named.is_empty() { vec![(self.told.default_type.to_owned(), first)] } else { named };
        for (entity_type, place) in made {
            let Some(description) = self.told.descriptions.iter().find(|one| one.entity_type == entity_type) else { continue };
            let given = (self.told.defaults)(&entity_type);
            let assigned = |name: &str| uses.all.iter().any(|one| one.name == name && matches!(one.act, Act::Assigned { .. }));
            let lacking: Vec<String> = description
                .fields
                .iter()
                .filter(|field| field.required && field.writable && field.default.is_none())
                .filter(|field| !given.contains_key(&field.name) && !assigned(&field.name))
                .map(|field| format!("`{}`", field.name))
                .collect();
            if !lacking.is_empty() {
                let message = format!("a new {entity_type} needs {}, and no line assigns it", lacking.join(", "));
                let advice = "Assign it on the first sync, or give it in the tracker's `defaults`.".to_owned();
                self.add(Severity::Warning, place, message, advice);
            }
        }
    }
}

/// The part of the text that a picklist does not list.
fn unlisted<'t>(field: &Field, text: &'t str) -> Option<&'t str> {
    let listed = field.values.as_ref()?;
    let mut parts = if field.field_type == "multipicklist" { text.split(';').collect() } else { vec![text] };
    parts.retain(|part| !listed.iter().any(|known| known == part));
    parts.first().copied()
}
