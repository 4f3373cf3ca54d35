//! What each object needs: the field for the twin's id, an outbound message, a flow that sends it; and one permission set
//! for the integration user over all of them.
//!
//! The flow runs on create and update, whatever changed: which fields matter the rules decide, and a list of fields here
//! would miss some. It leaves out saves by the integration user, which are our own.

use std::collections::BTreeMap;

use super::{
    Component, Files, Kind, MARK_FIELD, Needs, Part, Wanted,
    fill::{By, element, escaped, fill},
};

const FIELD: Kind = Kind { name: "CustomField", folder: "objects", ending: "object" };
const MESSAGE: Kind = Kind { name: "WorkflowOutboundMessage", folder: "workflows", ending: "workflow" };
const FLOW: Kind = Kind { name: "Flow", folder: "flows", ending: "flow" };
const PERMISSION_SET: Kind = Kind { name: "PermissionSet", folder: "permissionsets", ending: "permissionset" };

/// Fields that every message holds: what a notice is read by.
pub const ALWAYS_TOLD: [&str; 4] = ["Id", "LastModifiedById", "LastModifiedDate", "SystemModstamp"];

/// Standard fields to which no right is given, where the org cannot be asked. A required one makes a deploy fail.
pub const NEVER_GIVEN: [&str; 17] = [
    "Id",
    "IsDeleted",
    "CreatedById",
    "CreatedDate",
    "LastModifiedById",
    "LastModifiedDate",
    "SystemModstamp",
    "OwnerId",
    "RecordTypeId",
    "CaseNumber",
    "Status",
    "IsClosed",
    "Name",
    "LastName",
    "Company",
    "StageName",
    "CloseDate",
];

/// Objects of which others are a part: reading the first wants reading the second.
const PARENTS: [(&str, &str); 5] =
    [("Asset", "Account"), ("Contact", "Account"), ("Contract", "Account"), ("Opportunity", "Account"), ("Order", "Account")];

/// The name of an object's message and flow: single underscores only, and none at the end.
pub fn message_name(object: &str) -> String {
    let parts: Vec<&str> = object.split('_').filter(|part| !part.is_empty()).collect();
    format!("Wicketgate_{}", parts.join("_"))
}

pub(super) fn components(wanted: &Wanted) -> Vec<Component> {
    let mut all = Vec::new();
    for (object, needs) in &wanted.objects {
        all.push(field(object));
        all.push(message(wanted, object, needs));
        all.push(flow(wanted, object));
    }
    all.push(permission_set(&wanted.objects));
    all.extend(STATIC.map(|(name, text)| fixed(name, text)));
    all
}

fn field(object: &str) -> Component {
    let text = include_str!("../../../salesforce/templates/field.xml");
    let files = Files::Field(object.to_owned(), text.to_owned());
    Component { part: Part::Main, kind: &FIELD, member: format!("{object}.{MARK_FIELD}"), files }
}

fn label(object: &str) -> String {
    format!("Wicketgate: {object} saved")
}

fn message(wanted: &Wanted, object: &str, needs: &Needs) -> Component {
    let fields: String = needs.told.iter().map(|name| element(8, "fields", name)).collect();
    let name = message_name(object);
    let by = [
        ("name", By::Text(name.as_str())),
        ("endpoint", By::Text(&wanted.endpoint)),
        ("fields", By::Lines(&fields)),
        ("user", By::Text(&wanted.user)),
        ("label", By::Text(&label(object))),
    ];
    let text = fill(include_str!("../../../salesforce/templates/workflow.xml"), &by);
    Component { part: Part::Main, kind: &MESSAGE, member: format!("{object}.{name}"), files: Files::One(object.to_owned(), text) }
}

fn flow(wanted: &Wanted, object: &str) -> Component {
    let name = message_name(object);
    // A text of the formula language, inside the text of an element.
    let user = format!("'{}'", wanted.user.replace('\\', "\\\\").replace('\'', "\\'"));
    let by = [
        ("object", By::Text(object)),
        ("name", By::Text(name.as_str())),
        ("user", By::Text(&user)),
        ("label", By::Text(&label(object))),
    ];
    let text = fill(include_str!("../../../salesforce/templates/flow.xml"), &by);
    Component { part: Part::Main, kind: &FLOW, member: name.clone(), files: Files::One(name, text) }
}

fn permission_set(objects: &BTreeMap<String, Needs>) -> Component {
    let mut fields = String::new();
    for (object, needs) in objects {
        for (name, editable) in &needs.rights {
            fields.push_str("    <fieldPermissions>\n");
            fields.push_str(&element(8, "editable", if *editable { "true" } else { "false" }));
            fields.push_str(&element(8, "field", &format!("{object}.{name}")));
            fields.push_str("        <readable>true</readable>\n    </fieldPermissions>\n");
        }
    }
    let mut rights: BTreeMap<&str, bool> = objects.keys().map(|name| (name.as_str(), true)).collect();
    for (child, parent) in PARENTS {
        if objects.contains_key(child) {
            rights.entry(parent).or_insert(false);
        }
    }
    let objects: String = rights.iter().map(|(object, synced)| object_permissions(object, *synced)).collect();
    let by = [("fields", By::Lines(&fields)), ("objects", By::Lines(&objects))];
    let text = fill(include_str!("../../../salesforce/templates/permissionSet.xml"), &by);
    let name = "Wicketgate_Integration";
    Component { part: Part::Main, kind: &PERMISSION_SET, member: name.to_owned(), files: Files::One(name.to_owned(), text) }
}

/// All records, since a twin whose record is hidden from us looks deleted; no deletes, since sync makes none.
fn object_permissions(object: &str, synced: bool) -> String {
    format!(
        "    <objectPermissions>\n        <allowCreate>{synced}</allowCreate>\n        <allowDelete>false</allowDelete>\n        \
         <allowEdit>{synced}</allowEdit>\n        <allowRead>true</allowRead>\n        <modifyAllRecords>false</modifyAllRecords>\n        \
         <object>{}</object>\n        <viewAllRecords>true</viewAllRecords>\n    </objectPermissions>\n",
        escaped(object)
    )
}

/// Permission sets that are alike for all nodes.
const STATIC: [(&str, &str); 2] = [
    (
        "Wicketgate_Check",
        include_str!("../../../salesforce/force-app/main/default/permissionsets/Wicketgate_Check.permissionset-meta.xml"),
    ),
    (
        "Wicketgate_Send_Messages",
        include_str!("../../../salesforce/force-app/main/default/permissionsets/Wicketgate_Send_Messages.permissionset-meta.xml"),
    ),
];

pub(super) fn fixed(name: &str, text: &str) -> Component {
    let files = Files::One(name.to_owned(), text.to_owned());
    Component { part: Part::Main, kind: &PERMISSION_SET, member: name.to_owned(), files }
}
