//! Saving: the order in which an org checks and changes a record.
//!
//! Names and rights of fields first, then each value, then required fields and uniqueness, then the org's own automation
//! (flows, validation, duplicate rule), then derived fields, stamps and the outbound message. Nothing is stored before
//! all of that went well, so a refused save leaves no trace.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    errors::ApiError,
    ids::to_18,
    schema::ObjectType,
    state::{Record, State},
    values::{check_value, same_text},
};

/// How one save is to be treated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SaveOptions {
    /// Assignment rules choose the owner of a Case (`Sforce-Auto-Assign` was not FALSE).
    pub(super) auto_assign: bool,
    /// A duplicate rule that allows it is overridden.
    pub(super) allow_duplicates: bool,
}

type Values = BTreeMap<String, Value>;

impl State {
    /// Makes a record; returns its id.
    pub(super) fn create(
        &mut self,
        object: &str,
        values: &Map<String, Value>,
        who: &str,
        options: SaveOptions,
    ) -> Result<String, ApiError> {
        self.refuse_if_locked("500000000000000AAA")?;
        let kind = self.writable_type(object)?.clone();
        let mut fields = checked(&kind, values, true)?;
        for field in &kind.fields {
            if let Some(default) = &field.default {
                fields.entry(field.name.clone()).or_insert_with(|| default.clone());
            }
        }
        fields.retain(|_, value| !value.is_null());
        let missing = kind.fields.iter().filter(|field| field.required && !fields.contains_key(&field.name));
        let missing = missing.map(|field| field.name.clone()).collect::<Vec<_>>();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            return Err(ApiError { fields: missing, ..ApiError::new(400, "REQUIRED_FIELD_MISSING", message) });
        }
        let id = self.ids.make(&kind.prefix);
        let stamp = self.stamp();
        for (name, value) in
            [("Id", json!(id)), ("IsDeleted", json!(false)), ("CreatedDate", json!(stamp)), ("CreatedById", json!(who))]
        {
            fields.insert(name.to_owned(), value);
        }
        if kind.field("OwnerId").is_some() {
            fields.entry("OwnerId".to_owned()).or_insert_with(|| json!(who));
        }
        if kind.name == "Case" {
            self.case_number += 1;
            fields.insert("CaseNumber".to_owned(), json!(format!("{:08}", self.case_number)));
        }
        let comments = fields.remove("Comments");
        let record = Record { object: kind.name.clone(), fields, deleted: None };
        self.store(record, &kind, None, who, options)?;
        if let Some(body) = comments {
            let comment = Map::from_iter([("ParentId".to_owned(), json!(id)), ("CommentBody".to_owned(), body)]);
            self.create("CaseComment", &comment, who, options)?;
        }
        if kind.name == "ContentVersion" {
            self.publish_file(&id, who)?;
        }
        Ok(id)
    }

    /// Changes a record: names that are absent stay, null clears.
    pub(super) fn update(
        &mut self,
        object: &str,
        id: &str,
        values: &Map<String, Value>,
        who: &str,
        options: SaveOptions,
    ) -> Result<(), ApiError> {
        self.refuse_if_locked(id)?;
        let kind = self.writable_type(object)?.clone();
        let before = self.alive(object, id)?;
        let changes = checked(&kind, values, false)?;
        let mut record = (*before).clone();
        for (name, value) in changes {
            match value {
                Value::Null if kind.field(&name).is_some_and(|field| field.kind == super::schema::Kind::Checkbox) => {
                    record.fields.insert(name, json!(false));
                }
                Value::Null => {
                    record.fields.remove(&name);
                }
                value => {
                    record.fields.insert(name, value);
                }
            }
        }
        self.store(record, &kind, Some(&before), who, options)
    }

    /// Puts a record into the recycle bin. No outbound message: Salesforce tells nobody of deletes.
    pub(super) fn delete(&mut self, object: Option<&str>, id: &str, who: &str) -> Result<(), ApiError> {
        self.refuse_if_locked(id)?;
        let id = to_18(id).ok_or_else(|| malformed(object.unwrap_or("Record"), id))?;
        let object = object.map_or_else(|| self.type_of(&id), Ok)?.to_owned();
        self.writable_type(&object)?;
        let mut record = (*self.alive(&object, &id)?).clone();
        record.deleted = Some(self.now());
        record.fields.insert("IsDeleted".to_owned(), json!(true));
        self.touch(&mut record, who);
        self.keep(record);
        Ok(())
    }

    /// Takes a record out of the recycle bin.
    pub(super) fn undelete(&mut self, id: &str, who: &str) -> Result<(), ApiError> {
        let record = to_18(id).and_then(|id| self.records.get(&id).cloned()).filter(|record| record.deleted.is_some());
        let Some(record) = record else { return Err(ApiError::not_found()) };
        let mut record = (*record).clone();
        record.deleted = None;
        record.fields.insert("IsDeleted".to_owned(), json!(false));
        self.touch(&mut record, who);
        self.keep(record);
        Ok(())
    }

    /// The record, or why it cannot be written.
    pub(super) fn alive(&self, object: &str, id: &str) -> Result<Arc<Record>, ApiError> {
        let id = self.id_of(object, id)?;
        match self.records.get(&id) {
            Some(record) if record.deleted.is_some() => Err(ApiError::deleted()),
            Some(record) => Ok(record.clone()),
            None => Err(ApiError::not_found()),
        }
    }

    /// Brings an id of this type to 18 characters.
    pub(super) fn id_of(&self, object: &str, id: &str) -> Result<String, ApiError> {
        let prefix = self.schema.get(object).map_or("", |kind| kind.prefix.as_str());
        to_18(id).filter(|id| id.starts_with(prefix)).ok_or_else(|| malformed(object, id))
    }

    /// The object type whose ids begin like this one.
    pub(super) fn type_of(&self, id: &str) -> Result<&str, ApiError> {
        let prefix = id.get(..3).unwrap_or_default();
        let found = self.schema.values().find(|kind| kind.prefix == prefix);
        found.map(|kind| kind.name.as_str()).ok_or_else(|| malformed("Record", id))
    }

    /// The object type by name, whatever its case.
    pub(super) fn object_type(&self, name: &str) -> Result<&ObjectType, ApiError> {
        let found = self.schema.get(name).or_else(|| self.schema.values().find(|kind| kind.name.eq_ignore_ascii_case(name)));
        found.ok_or_else(ApiError::not_found)
    }

    fn writable_type(&self, name: &str) -> Result<&ObjectType, ApiError> {
        let kind = self.object_type(name)?;
        if kind.writable {
            return Ok(kind);
        }
        Err(ApiError::new(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", format!("entity type cannot be changed: {}", kind.name)))
    }

    fn refuse_if_locked(&mut self, id: &str) -> Result<(), ApiError> {
        if to_18(id).is_some_and(|id| self.locked.contains(&id)) {
            return Err(ApiError::locked(id));
        }
        if std::mem::take(&mut self.lock_next) { Err(ApiError::lock_row(id)) } else { Ok(()) }
    }

    /// The last part of a save: what concerns the whole record, then storing.
    fn store(
        &mut self,
        mut record: Record,
        kind: &ObjectType,
        before: Option<&Record>,
        who: &str,
        options: SaveOptions,
    ) -> Result<(), ApiError> {
        self.check_references(&record, kind)?;
        self.check_unique(&record, kind)?;
        if kind.name == "Case" {
            self.automate(&mut record, options)?;
            if options.auto_assign {
                record.fields.insert("OwnerId".to_owned(), json!(self.natives.queue));
            }
            self.close_or_open(&mut record, kind);
        }
        self.note_new_choices(&record, kind);
        self.touch(&mut record, who);
        if before.is_none() {
            let stamp = record.get("CreatedDate").clone();
            record.fields.insert("LastModifiedDate".to_owned(), stamp.clone());
            record.fields.insert("SystemModstamp".to_owned(), stamp);
        }
        let id = record.text("Id").to_owned();
        self.keep(record);
        if self.may_send(who) {
            let (now, ids) = (self.clock.now(), &mut self.ids);
            self.outbound.enqueue(&kind.name, &id, now, || ids.make("04l"));
        }
        Ok(())
    }

    fn touch(&self, record: &mut Record, who: &str) {
        let stamp = self.stamp();
        record.fields.insert("LastModifiedDate".to_owned(), json!(stamp));
        record.fields.insert("SystemModstamp".to_owned(), json!(stamp));
        record.fields.insert("LastModifiedById".to_owned(), json!(who));
    }

    fn check_references(&self, record: &Record, kind: &ObjectType) -> Result<(), ApiError> {
        for field in &kind.fields {
            let super::schema::Kind::Reference(targets) = &field.kind else { continue };
            let id = record.text(&field.name);
            if id.is_empty() || id.starts_with("012") {
                continue;
            }
            let fits = self
                .records
                .get(id)
                .is_some_and(|found| found.deleted.is_none() && (targets.is_empty() || targets.contains(&found.object)));
            if !fits {
                return Err(ApiError::field("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &field.name));
            }
        }
        Ok(())
    }

    fn check_unique(&self, record: &Record, kind: &ObjectType) -> Result<(), ApiError> {
        for field in kind.fields.iter().filter(|field| field.unique) {
            let value = record.text(&field.name);
            if value.is_empty() {
                continue;
            }
            let other = self.of(&kind.name).find(|other| {
                other.deleted.is_none() && other.text(&field.name) == value && other.text("Id") != record.text("Id")
            });
            if let Some(other) = other {
                let message =
                    format!("duplicate value found: {} duplicates value on record with id: {}", field.name, other.text("Id"));
                return Err(ApiError::new(400, "DUPLICATE_VALUE", message));
            }
        }
        Ok(())
    }

    /// Flows, validation rule and duplicate rule, as the settings have them.
    fn automate(&self, record: &mut Record, options: SaveOptions) -> Result<(), ApiError> {
        let automation = self.settings.automation;
        if automation.trims_subject {
            let mut letters = record.text("Subject").trim().chars();
            if let Some(first) = letters.next() {
                let subject = first.to_uppercase().chain(letters).collect::<String>();
                record.fields.insert("Subject".to_owned(), json!(subject));
            }
        }
        if automation.signs_description && !record.text("Description").ends_with("-- seen by a flow") {
            let signed = format!("{}\n-- seen by a flow", record.text("Description"));
            record.fields.insert("Description".to_owned(), json!(signed));
        }
        if automation.validation_rule && record.text("Subject").contains("INVALID") {
            return Err(ApiError::field("FIELD_CUSTOM_VALIDATION_EXCEPTION", "The subject must not say INVALID.", "Subject"));
        }
        if automation.duplicate_rule && !options.allow_duplicates {
            self.find_duplicate(record)?;
        }
        Ok(())
    }

    fn find_duplicate(&self, record: &Record) -> Result<(), ApiError> {
        let twin = self.of("Case").find(|other| {
            other.deleted.is_none()
                && other.get("IsClosed") != true
                && other.text("Id") != record.text("Id")
                && !record.text("Subject").is_empty()
                && same_text(other.text("Subject"), record.text("Subject"))
        });
        let Some(twin) = twin else { return Ok(()) };
        let found = json!({"matchConfidence": 100.0, "record": {"attributes": {"type": "Case"}, "Id": twin.text("Id")}});
        let mut error = ApiError::new(400, "DUPLICATES_DETECTED", "Use one of these records?");
        let result = json!({
            "allowSave": true, "duplicateRule": "Same_Subject", "duplicateRuleEntityType": "Case",
            "errorMessage": "Use one of these records?",
            "matchResults": [{"entityType": "Case", "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": [found],
                              "rule": "Same_Subject", "size": 1, "success": true}]
        });
        error.extra = Some(Box::new(Map::from_iter([("duplicateResut".to_owned(), result)])));
        Err(error)
    }

    /// `IsClosed` and `ClosedDate` follow the Status.
    fn close_or_open(&self, record: &mut Record, kind: &ObjectType) {
        let choices = kind.field("Status").map(|field| field.choices.as_slice()).unwrap_or_default();
        let closed = choices.iter().any(|choice| choice.closed && choice.value == record.text("Status"));
        let was = record.get("IsClosed") == true;
        record.fields.insert("IsClosed".to_owned(), json!(closed));
        if closed && !was {
            record.fields.insert("ClosedDate".to_owned(), json!(self.stamp()));
        } else if !closed {
            record.fields.remove("ClosedDate");
        }
    }

    /// An unlisted value in an unrestricted picklist becomes an inactive choice.
    fn note_new_choices(&mut self, record: &Record, kind: &ObjectType) {
        let Some(object) = self.schema.get_mut(&kind.name) else { return };
        for field in object.fields.iter_mut().filter(|field| field.kind == super::schema::Kind::Picklist) {
            let value = record.text(&field.name);
            if !value.is_empty() && !field.choices.iter().any(|choice| choice.value == value) {
                let value = value.to_owned();
                field.choices.push(super::schema::Choice { value, active: false, default: false, closed: false });
                self.schema_changed = self.clock.now();
            }
        }
    }

    /// A new file version gets its document and, where it names a record, the link to it.
    fn publish_file(&mut self, id: &str, who: &str) -> Result<(), ApiError> {
        let Some(version) = self.records.get(id).cloned() else { return Ok(()) };
        let mut version = (*version).clone();
        let size = version.text("VersionData").len() / 4 * 3
            - version.text("VersionData").bytes().rev().take_while(|b| *b == b'=').count();
        let extension = version.text("PathOnClient").rsplit_once('.').map_or("", |(_, extension)| extension).to_owned();
        let title =
            version.text("PathOnClient").rsplit_once('.').map_or(version.text("PathOnClient"), |(stem, _)| stem).to_owned();
        version.fields.entry("Title".to_owned()).or_insert_with(|| json!(title));
        let facts = [
            ("ContentSize", json!(size)),
            ("FileExtension", json!(extension)),
            ("FileType", json!(extension.to_uppercase())),
            ("VersionNumber", json!("1")),
            ("IsLatest", json!(true)),
        ];
        version.fields.extend(facts.clone().map(|(name, value)| (name.to_owned(), value)));
        if version.text("ContentDocumentId").is_empty() {
            let document = json!({"Title": version.get("Title"), "LatestPublishedVersionId": id, "ContentSize": size,
                                  "FileExtension": extension, "FileType": extension.to_uppercase()});
            let document = self.put("ContentDocument", document);
            version.fields.insert("ContentDocumentId".to_owned(), json!(document));
        }
        let (document, place) = (version.get("ContentDocumentId").clone(), version.get("FirstPublishLocationId").clone());
        self.keep(version);
        if !place.is_null() {
            let link = json!({"ContentDocumentId": document, "LinkedEntityId": place, "ShareType": "V"});
            let link = link.as_object().cloned().unwrap_or_default();
            self.create("ContentDocumentLink", &link, who, SaveOptions::default())?;
        }
        Ok(())
    }
}

/// Checks names, rights and values; the result has the names as the schema spells them.
fn checked(kind: &ObjectType, values: &Map<String, Value>, create: bool) -> Result<Values, ApiError> {
    let mut out = Values::new();
    let mut refused = Vec::new();
    for (name, value) in values.iter().filter(|(name, _)| *name != "attributes") {
        let field = kind.field(name).ok_or_else(|| ApiError::no_column(&kind.name, name))?;
        if !(if create { field.createable } else { field.updateable }) {
            refused.push(field.name.clone());
            continue;
        }
        out.insert(field.name.clone(), check_value(field, value)?);
    }
    if refused.is_empty() {
        return Ok(out);
    }
    let message = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is read/write \
         for your profile or permission set.",
        refused.join(", ")
    );
    Err(ApiError { fields: refused, ..ApiError::new(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message) })
}

pub(super) fn malformed(object: &str, id: &str) -> ApiError {
    ApiError::new(400, "MALFORMED_ID", format!("{object} ID: id value of incorrect type: {id}"))
}
