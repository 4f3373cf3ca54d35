//! Describe: what object types there are and what their fields allow.

use serde_json::{Value, json};

use super::{Call, Reply};
use crate::sandbox::org::{
    errors::ApiError,
    schema::{Field, Kind, ObjectType},
    state::State,
};

/// `/sobjects`.
pub(super) fn all(state: &State, base: &str) -> Value {
    let heads = state.schema.values().map(|kind| {
        let mut head = head_of(kind);
        head["urls"] = json!({"sobject": format!("{base}/sobjects/{}", kind.name),
                              "describe": format!("{base}/sobjects/{}/describe", kind.name),
                              "rowTemplate": format!("{base}/sobjects/{}/{{ID}}", kind.name)});
        head
    });
    json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": heads.collect::<Vec<_>>()})
}

/// The head of one type.
pub(super) fn head(state: &State, object: &str) -> Value {
    state.schema.get(object).map_or(Value::Null, head_of)
}

fn head_of(kind: &ObjectType) -> Value {
    let custom = kind.name.ends_with("__c");
    json!({
        "name": kind.name, "label": kind.name, "labelPlural": format!("{}s", kind.name), "keyPrefix": kind.prefix, "custom": custom,
        "createable": kind.writable, "updateable": kind.writable, "deletable": kind.writable, "undeletable": kind.writable,
        "queryable": true, "retrieveable": true, "replicateable": true, "searchable": true, "layoutable": true,
        "triggerable": kind.writable, "customSetting": false, "deprecatedAndHidden": false, "mruEnabled": kind.writable,
    })
}

/// `/sobjects/Case/describe`; 304 where nothing was modified since the caller's time.
pub(super) fn asked(state: &State, object: &str, call: &Call) -> Result<Reply, ApiError> {
    let since = call
        .header("if-modified-since")
        .and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|stamp| stamp.as_second()));
    if since.is_some_and(|since| since >= state.schema_changed.seconds()) {
        return Ok(Reply::empty(304));
    }
    one(state, object).map(Reply::json)
}

fn one(state: &State, object: &str) -> Result<Value, ApiError> {
    let kind = state.object_type(object)?;
    let mut out = head_of(kind);
    out["fields"] = Value::Array(kind.fields.iter().map(field).collect());
    out["recordTypeInfos"] = json!([{
        "active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master", "master": true,
        "name": "Master", "recordTypeId": "012000000000000AAA",
        "urls": {"layout": format!("/services/data/v68.0/sobjects/{}/describe/layouts/012000000000000AAA", kind.name)},
    }]);
    out["childRelationships"] = json!([]);
    Ok(out)
}

fn field(field: &Field) -> Value {
    let targets = if let Kind::Reference(targets) = &field.kind { targets.clone() } else { Vec::new() };
    let choices = field.choices.iter().map(|choice| {
        json!({"active": choice.active, "defaultValue": choice.default, "label": choice.value, "validFor": null, "value": choice.value})
    });
    let checkbox = field.kind == Kind::Checkbox;
    let number = matches!(field.kind, Kind::Number);
    json!({
        "name": field.name, "label": field.label, "type": field.kind.name(), "soapType": field.kind.soap_type(),
        "length": field.length, "byteLength": field.length * 3, "precision": if number { 18 } else { 0 }, "scale": if number { 2 } else { 0 },
        "digits": 0, "createable": field.createable, "updateable": field.updateable,
        "nillable": !field.required && !checkbox && (field.createable || field.updateable || field.name.ends_with("Date")),
        "defaultedOnCreate": field.default.is_some() || !field.createable, "defaultValue": field.default,
        "restrictedPicklist": field.restricted, "picklistValues": choices.collect::<Vec<_>>(), "dependentPicklist": false,
        "calculated": false, "autoNumber": field.name == "CaseNumber", "externalId": field.external_id,
        "idLookup": field.external_id || field.name == "Id", "unique": field.unique,
        "caseSensitive": field.unique, "custom": field.name.ends_with("__c"), "filterable": field.filterable(),
        "sortable": field.filterable(), "groupable": field.filterable(), "encrypted": false, "htmlFormatted": false,
        "nameField": field.name == "CaseNumber" || field.name == "Name", "permissionable": field.permissionable(),
        "referenceTo": targets, "relationshipName": field.relationship(),
        "extraTypeInfo": (field.kind == Kind::TextArea).then_some("plaintextarea"),
    })
}
