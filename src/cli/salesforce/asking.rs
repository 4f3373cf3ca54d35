//! What a package is made for, asked of the node: its own addresses, what the rules use, what the org says of its objects.
//!
//! Traps. An org that nobody can log in to yet tells nothing: names are then taken as they stand, as far as they are
//! standard ones. A field that rules name and the org does not show may be missing or only hidden from our user; where
//! a connection has a single type it is of that type, and the package brings the right to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::{
    api::{ApiClient, Refused},
    output::clean,
};
use crate::salesforce::package::{ALWAYS_TOLD, FieldWish, Needs};

/// Objects that orgs have from the beginning and that people sync.
const STANDARD: [&str; 18] = [
    "Account",
    "Asset",
    "Campaign",
    "Case",
    "Contact",
    "Contract",
    "Entitlement",
    "Event",
    "Lead",
    "Opportunity",
    "Order",
    "Pricebook2",
    "Product2",
    "ServiceAppointment",
    "ServiceContract",
    "Solution",
    "Task",
    "WorkOrder",
];
/// Types of fields that no message holds.
const UNTOLD: [&str; 4] = ["base64", "address", "location", "complexvalue"];

/// What the node said.
pub(super) struct Asked {
    /// Where the node is reached.
    pub(super) base_url: String,
    /// Where outbound messages go.
    pub(super) endpoint: String,
    /// By object.
    pub(super) needs: BTreeMap<String, Needs>,
    /// What our user sees of each object; absent where it sees none.
    pub(super) described: BTreeMap<String, Value>,
    /// The tracker.
    pub(super) tracker: Value,
    /// Fields that rules read or write, by object.
    pub(super) wishes: BTreeMap<String, BTreeMap<String, FieldWish>>,
    /// What could not be checked, or was left out.
    pub(super) notes: Vec<String>,
}

/// Asks for all of it.
pub(super) async fn ask(
    api: &ApiClient,
    name: &str,
    objects: &[String],
    fields: &[String],
    trust_names: bool,
) -> anyhow::Result<Asked> {
    let (tracker, endpoint, base_url) = door(api, name).await?;
    let mut notes = Vec::new();
    if base_url.starts_with("http://") {
        notes.push(format!("{base_url} is not https: Salesforce would send what is in the records readably"));
    }
    let extra = named_fields(fields, objects)?;
    let uses = uses(api, name).await?;
    check_objects(objects, types(api, name, &mut notes).await?, trust_names)?;
    let mut asked =
        Asked { base_url, endpoint, needs: BTreeMap::new(), described: BTreeMap::new(), tracker, wishes: BTreeMap::new(), notes };
    for object in objects {
        let described = described(api, name, object).await?;
        let mut wishes = wishes(object, &uses, described.as_ref(), &mut asked.notes);
        for (_, field) in extra.iter().filter(|(of, _)| of == object) {
            wishes.entry((*field).to_owned()).or_insert_with(|| wish(described.as_ref(), field)).written = true;
        }
        asked.needs.insert(object.clone(), Needs::of(&wishes));
        asked.wishes.insert(object.clone(), wishes);
        asked.described.extend(described.map(|described| (object.clone(), described)));
    }
    Ok(asked)
}

/// What the rules of the tracker's connections use.
pub(super) async fn uses(api: &ApiClient, name: &str) -> anyhow::Result<Vec<Value>> {
    Ok(api.list(&["trackers", name, "uses"], &[], usize::MAX).await?.items)
}

/// The tracker, where its messages go, and where the node is.
async fn door(api: &ApiClient, name: &str) -> anyhow::Result<(Value, String, String)> {
    let tracker = api.get(&["trackers", name]).await?;
    let kind = tracker["kind"].as_str().unwrap_or_default();
    if kind != "salesforce" {
        anyhow::bail!("`{}` is a `{}` tracker: only an org takes a package", clean(name), clean(kind));
    }
    let Some(endpoint) = tracker["outbound_message_url"].as_str().map(str::to_owned) else {
        anyhow::bail!("this token may not see where messages go: it needs the scope `configure`");
    };
    let Some(at) = endpoint.find("/salesforce/") else { anyhow::bail!("the node's address for messages is not one of its own") };
    let base = endpoint[..at].to_owned();
    Ok((tracker, endpoint, base))
}

/// Object and field of each `Case.Region__c`.
fn named_fields<'a>(fields: &'a [String], objects: &[String]) -> anyhow::Result<Vec<(&'a str, &'a str)>> {
    let mut named = Vec::new();
    for typed in fields {
        let Some((object, field)) = typed.split_once('.').filter(|(object, field)| is_name(object) && is_name(field)) else {
            return Err(super::Usage(format!("--field: `{}` is not of the form Case.Region__c", clean(typed))).into());
        };
        if !objects.iter().any(|one| one == object) {
            return Err(super::Usage(format!("--field: {object} is none of the objects {}", objects.join(", "))).into());
        }
        named.push((object, field));
    }
    Ok(named)
}

/// Whether a name can be that of an object or a field.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    name.len() <= 80
        && letters.next().is_some_and(|one| one.is_ascii_alphabetic())
        && letters.all(|one| one.is_ascii_alphanumeric() || one == '_')
}

/// The objects that our user may sync; `None` where the org cannot be asked.
async fn types(api: &ApiClient, name: &str, notes: &mut Vec<String>) -> anyhow::Result<Option<Vec<String>>> {
    match api.list(&["trackers", name, "types"], &[], usize::MAX).await {
        Ok(listed) => Ok(Some(listed.items.iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect())),
        Err(error) => {
            let refused = error.downcast::<Refused>()?;
            if matches!(refused.status, 401 | 403 | 404) {
                return Err(refused.into());
            }
            notes.push(format!(
                "the org cannot be asked yet ({}): names are not checked. Run this again once `wicketgate tracker check {name}` gets in",
                refused.headline()
            ));
            Ok(None)
        }
    }
}

fn check_objects(objects: &[String], seen: Option<Vec<String>>, trust_names: bool) -> anyhow::Result<()> {
    let known: BTreeSet<&str> = STANDARD.into_iter().chain(seen.iter().flatten().map(String::as_str)).collect();
    let mut named: BTreeMap<String, &str> = BTreeMap::new();
    for object in objects {
        let shown = clean(object);
        if !is_name(object) {
            return Err(super::Usage(format!("--objects: `{shown}` is no API name of an object")).into());
        }
        if let Some(other) = named.insert(crate::salesforce::package::message_name(object), object) {
            return Err(
                super::Usage(format!("--objects: the messages of {} and {shown} would have one name", clean(other))).into()
            );
        }
        if known.contains(object.as_str()) {
            continue;
        }
        let near = nearest(object, known.iter().copied());
        if trust_names && near.is_none_or(|near| !near.eq_ignore_ascii_case(object)) {
            continue;
        }
        let meant = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        let hidden =
            "If it is there and our user only lacks the right to it so far, which the package brings, add --trust-names.";
        return Err(super::Usage(format!("--objects: no object `{shown}` is known.{meant} {hidden}")).into());
    }
    Ok(())
}

fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let low = typed.to_lowercase();
    let near = known.map(|one| (strsim::damerau_levenshtein(&low, &one.to_lowercase()), one)).min()?;
    (near.0 <= 1 + low.len() / 4).then_some(near.1)
}

/// What our user sees of an object; `None` where it sees nothing.
async fn described(api: &ApiClient, name: &str, object: &str) -> anyhow::Result<Option<Value>> {
    match api.get(&["trackers", name, "types", object]).await {
        Ok(described) => Ok(Some(described)),
        Err(error) => match error.downcast::<Refused>()? {
            refused if matches!(refused.status, 401 | 403) => Err(refused.into()),
            _ => Ok(None),
        },
    }
}

/// A field as our user sees it.
pub(super) fn field_of<'a>(described: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    described?["fields"].as_array()?.iter().find(|field| field["name"] == name)
}

fn wish(described: Option<&Value>, name: &str) -> FieldWish {
    let field = field_of(described, name);
    let kind = field.and_then(|field| field["type"].as_str()).unwrap_or_default();
    FieldWish {
        written: false,
        permissionable: field.and_then(|field| field["permissionable"].as_bool()),
        tellable: !UNTOLD.contains(&kind),
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The fields of an object that rules use.
fn wishes(object: &str, uses: &[Value], described: Option<&Value>, notes: &mut Vec<String>) -> BTreeMap<String, FieldWish> {
    let mut found: BTreeMap<String, FieldWish> = BTreeMap::new();
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    let is_of = |one: &&Value| texts(&one["entity_types"]).any(|name| name == object);
    // An object that no connection names yet may become one of any.
    let any = !uses.iter().any(|one| is_of(&one));
    for one in uses.iter().filter(|one| any || is_of(one)) {
        let single = is_of(&one) && texts(&one["entity_types"]).count() == 1;
        for (member, written) in [("read", false), ("written", true)] {
            for name in texts(&one[member]).filter(|name| is_name(name)) {
                if single || field_of(described, name).is_some() {
                    found.entry(name.to_owned()).or_insert_with(|| wish(described, name)).written |= written;
                } else if !any && !ALWAYS_TOLD.contains(&name) {
                    unknown.insert(name);
                }
            }
        }
        if one["whole"] == false {
            let connection = clean(one["connection"].as_str().unwrap_or("a connection"));
            notes.push(format!(
                "the rules of {connection} make up names of fields while they run: add those of {object} with --field"
            ));
        }
    }
    unknown.retain(|name| !found.contains_key(*name));
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        notes.push(format!("{object} does not show {names}, which rules name: left out. If it has them, add them with --field"));
    }
    found
}
