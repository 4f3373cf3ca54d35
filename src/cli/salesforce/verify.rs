//! `salesforce verify`: what the org has of what the package brings, as far as describe shows it to our user.
//!
//! Trap: what our user may not see looks like what is not there. The advice names both. What describe never shows (flows,
//! messages, the app's policies, who has which permission set) is told as unseen, with where to look.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    super::{
        api::ApiClient,
        output::{Output, clean},
    },
    asking::{self, Asked, field_of},
};
use crate::salesforce::package::{MARK_FIELD, message_name};

const COLUMNS: [(&str, &str); 4] = [("what", "/what"), ("status", "/status"), ("detail", "/detail"), ("advice", "/advice")];

const DEPLOY: &str = "Deploy the package, and assign the permission set Wicketgate_Integration to the integration user.";
const PERMIT: &str =
    "Assign the permission set Wicketgate_Integration to the integration user; deploy the newest package if it is assigned.";

/// Lines of the answer.
#[derive(Default)]
struct Found(Vec<Value>);

impl Found {
    fn add(&mut self, what: &str, status: &str, detail: impl Into<String>, advice: &str) {
        self.0.push(json!({"what": what, "status": status, "detail": detail.into(), "advice": advice}));
    }

    fn is(&mut self, good: bool, what: &str, detail: &str, missing: &str, advice: &str) {
        if good {
            self.add(what, "ok", detail, "");
        } else {
            self.add(what, "missing", missing, advice);
        }
    }

    fn unseen(&mut self, what: &str, detail: impl Into<String>, advice: &str) {
        self.add(what, "unseen", detail, advice);
    }
}

/// `Ok(false)`: something is missing.
pub(super) async fn run(
    api: &ApiClient,
    tracker: &str,
    objects: &[String],
    as_json: bool,
    out: &mut Output,
) -> anyhow::Result<bool> {
    let objects = if objects.is_empty() { named(&asking::uses(api, tracker).await?) } else { objects.to_vec() };
    // What the org does not show our user is missing, not mistyped.
    let asked = asking::ask(api, tracker, &objects, &[], true).await?;
    let mut found = Found::default();
    for object in &objects {
        object_of(&asked, object, &mut found);
    }
    not_shown(&asked, &objects, &mut found);
    let good = found.0.iter().all(|line| line["status"] != "missing");
    if as_json {
        out.json(&json!({"ok": good, "items": found.0, "notes": asked.notes}))?;
        return Ok(good);
    }
    out.table(&COLUMNS, &found.0)?;
    for note in &asked.notes {
        out.line(&format!("note: {}", clean(note)))?;
    }
    Ok(good)
}

fn named(uses: &[Value]) -> Vec<String> {
    let names = uses.iter().flat_map(|one| one["entity_types"].as_array().into_iter().flatten()).filter_map(Value::as_str);
    names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn object_of(asked: &Asked, object: &str, found: &mut Found) {
    let described = asked.described.get(object);
    let hidden = "it does not exist, or is hidden from our user";
    found.is(described.is_some(), object, "our user sees it", hidden, DEPLOY);
    let Some(described) = described else { return };
    for (flag, verb) in [("createable", "create"), ("updateable", "edit")] {
        let what = format!("{object}: {verb}");
        match described[flag].as_bool() {
            Some(may) => found.is(may, &what, "our user may", "our user may not", PERMIT),
            None => found.unseen(&what, "the org does not tell", ""),
        }
    }
    mark(described, object, found);
    for (name, wish) in &asked.wishes[object] {
        let what = format!("{object}.{name}");
        let Some(field) = field_of(Some(described), name) else {
            found.is(false, &what, "", hidden, PERMIT);
            continue;
        };
        let writable = !wish.written || field["writable"] == true;
        let may = if wish.written { "read and written" } else { "read" };
        found.is(writable, &what, may, "a rule writes it, and our user may not", PERMIT);
    }
}

/// The field for the twin's id, all that must hold of it in one line.
fn mark(described: &Value, object: &str, found: &mut Found) {
    let what = format!("{object}.{MARK_FIELD}");
    let Some(field) = field_of(Some(described), MARK_FIELD) else {
        return found.is(false, &what, "", "it does not exist, or is hidden from our user", DEPLOY);
    };
    let faults: Vec<&str> = [
        (field["writable"] == true, "our user may not write it"),
        (field["external_id"] == true, "it is no external id"),
        (field["unique"] == true, "it is not unique"),
        (field["length"].as_u64().is_none_or(|length| length >= 36), "it has no room for 36 characters"),
    ]
    .into_iter()
    .filter_map(|(good, fault)| (!good).then_some(fault))
    .collect();
    found.is(faults.is_empty(), &what, "unique, external id, writable", &faults.join("; "), DEPLOY);
    let configured = described["external_id_field"] == MARK_FIELD;
    let advice =
        format!("Set external_id_fields = {{ {object} = \"{MARK_FIELD}\" }} under this tracker, and start the node again.");
    found.is(configured, &format!("{object}: configuration"), "names that field", "does not name that field", &advice);
}

/// What describe shows nobody.
fn not_shown(asked: &Asked, objects: &[String], found: &mut Found) {
    let names: Vec<String> = objects.iter().map(|object| message_name(object)).collect();
    let last = asked.tracker["last_notice_at"].as_str();
    let told = last.map_or("no message has come yet".to_owned(), |at| format!("the last message came at {}", clean(at)));
    found.unseen(
        "messages and flows",
        told,
        &format!(
            "Setup, Flows: {} active. Then save a record: `wicketgate tracker check` waits for its message.",
            names.join(", ")
        ),
    );
    found.unseen(
        "app policies",
        "our login works or not: `wicketgate tracker check`",
        "Setup, External Client App Manager, Wicketgate, Policies.",
    );
    found.unseen(
        "panel for record pages",
        "nothing of it shows in describe",
        "Setup, Named Credentials: Wicketgate with a token; permission sets Wicketgate_User and Wicketgate_Admin assigned.",
    );
}
