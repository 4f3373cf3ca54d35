//! What an object type is: its fields, their kinds, lengths, lists and rights. Describe and every save read this.
//!
//! To add an object to the standard ones, see `objects`; a user adds custom ones by `OrgSettings::custom_objects`.

use serde_json::Value;

/// A field's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The record's own id.
    Id,
    /// An id of one of these object types.
    Reference(Vec<String>),
    /// One line of text.
    Text,
    /// Classic encrypted text: callers see only a mask and its last four signs, queries may not filter by it.
    Encrypted,
    /// Text of many lines; not filterable in queries when longer than 255.
    TextArea,
    /// One of a list; others are accepted where the list is not restricted.
    Picklist,
    /// Several of a list, joined by `;`.
    MultiPicklist,
    /// True or false, never null.
    Checkbox,
    /// A number.
    Number,
    /// A whole number.
    Whole,
    /// A day.
    Date,
    /// A moment.
    DateTime,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A web address.
    Url,
    /// Bytes in base64.
    Base64,
}

impl Kind {
    /// As describe calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reference(_) => "reference",
            Self::Text => "string",
            Self::Encrypted => "encryptedstring",
            Self::TextArea => "textarea",
            Self::Picklist => "picklist",
            Self::MultiPicklist => "multipicklist",
            Self::Checkbox => "boolean",
            Self::Number => "double",
            Self::Whole => "int",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Base64 => "base64",
        }
    }

    /// As describe's `soapType` and an outbound message's schema call it.
    pub fn soap_type(&self) -> &'static str {
        match self {
            Self::Id | Self::Reference(_) => "tns:ID",
            Self::Checkbox => "xsd:boolean",
            Self::Number => "xsd:double",
            Self::Whole => "xsd:int",
            Self::Date => "xsd:date",
            Self::DateTime => "xsd:dateTime",
            Self::Base64 => "xsd:base64Binary",
            _ => "xsd:string",
        }
    }
}

/// One value of a picklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The API value.
    pub value: String,
    /// May be chosen; values that came over the API unlisted are shown as inactive.
    pub active: bool,
    /// What a create gets that names none.
    pub default: bool,
    /// A status that closes its record.
    pub closed: bool,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// API name.
    pub name: String,
    /// Label.
    pub label: String,
    /// Kind.
    pub kind: Kind,
    /// Longest text in characters; 0 where none applies.
    pub length: usize,
    /// May be set by a create.
    pub createable: bool,
    /// May be set by an update.
    pub updateable: bool,
    /// A create needs it.
    pub required: bool,
    /// No two records share a value.
    pub unique: bool,
    /// May stand in an upsert's address.
    pub external_id: bool,
    /// Unlisted values are refused.
    pub restricted: bool,
    /// Listed values.
    pub choices: Vec<Choice>,
    /// What a create gets that does not name it.
    pub default: Option<Value>,
}

impl Field {
    /// A writable field.
    pub fn new(name: &str, kind: Kind) -> Self {
        let length = match kind {
            Kind::Id | Kind::Reference(_) => 18,
            Kind::Text | Kind::Picklist => 255,
            Kind::Encrypted => 175,
            Kind::MultiPicklist => 4099,
            Kind::TextArea => 32_000,
            Kind::Email => 80,
            Kind::Phone => 40,
            Kind::Url => 255,
            _ => 0,
        };
        let default = (kind == Kind::Checkbox).then_some(Value::Bool(false));
        Self {
            name: name.to_owned(),
            label: label(name),
            kind,
            length,
            createable: true,
            updateable: true,
            required: false,
            unique: false,
            external_id: false,
            restricted: false,
            choices: Vec::new(),
            default,
        }
    }

    /// A line of text of at most `length` characters.
    pub fn text(name: &str, length: usize) -> Self {
        Self { length, ..Self::new(name, Kind::Text) }
    }

    /// Text of many lines.
    pub fn area(name: &str, length: usize) -> Self {
        Self { length, ..Self::new(name, Kind::TextArea) }
    }

    /// An id of another record.
    pub fn reference(name: &str, to: &[&str]) -> Self {
        Self::new(name, Kind::Reference(to.iter().map(|name| (*name).to_owned()).collect()))
    }

    /// A list; a `*` before a value makes it the default, a `/` closes the record.
    pub fn picklist(name: &str, values: &[&str]) -> Self {
        let choices = values.iter().map(|value| Choice {
            value: value.trim_start_matches(['*', '/']).to_owned(),
            active: true,
            default: value.starts_with('*'),
            closed: value.starts_with('/'),
        });
        let choices = choices.collect::<Vec<_>>();
        let default = choices.iter().find(|choice| choice.default).map(|choice| Value::String(choice.value.clone()));
        Self { choices, default, ..Self::new(name, Kind::Picklist) }
    }

    /// Nobody writes it.
    pub fn read_only(self) -> Self {
        Self { createable: false, updateable: false, ..self }
    }

    /// A create sets it, for ever.
    pub fn create_only(self) -> Self {
        Self { updateable: false, ..self }
    }

    /// A create needs it.
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Unlisted values are refused.
    pub fn restricted(self) -> Self {
        Self { restricted: true, ..self }
    }

    /// A unique external id.
    pub fn unique_external_id(self) -> Self {
        Self { unique: true, external_id: true, ..self }
    }

    /// An external id that two records may share.
    pub fn shared_external_id(self) -> Self {
        Self { external_id: true, ..self }
    }

    /// Queries may have it in `WHERE`.
    pub(super) fn filterable(&self) -> bool {
        !(matches!(self.kind, Kind::Base64 | Kind::Encrypted) || self.kind == Kind::TextArea && self.length > 255)
    }

    /// The right to it is given field by field: never for system fields and for those that every record has.
    pub(super) fn permissionable(&self) -> bool {
        let always = matches!(self.name.as_str(), "OwnerId" | "Status" | "CaseNumber");
        !always && !self.required && (self.createable || self.updateable || self.name.ends_with("__c"))
    }

    /// The name by which a query walks to the record that this points at: `OwnerId` → `Owner`, `Case__c` → `Case__r`.
    pub(super) fn relationship(&self) -> Option<String> {
        let Kind::Reference(_) = self.kind else { return None };
        match self.name.strip_suffix("__c") {
            Some(custom) => Some(format!("{custom}__r")),
            None => self.name.strip_suffix("Id").map(str::to_owned),
        }
    }
}

/// One object type.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectType {
    /// API name.
    pub name: String,
    /// The first three characters of its ids.
    pub prefix: String,
    /// Its fields, system fields included.
    pub fields: Vec<Field>,
    /// Callers may create, update and delete.
    pub writable: bool,
}

impl ObjectType {
    /// An object type with the system fields and these. No other type may have the prefix: ids tell their type by it.
    pub fn new(name: &str, prefix: &str, fields: Vec<Field>) -> Self {
        let mut all = vec![
            Field::new("Id", Kind::Id).read_only(),
            Field::new("IsDeleted", Kind::Checkbox).read_only(),
            Field::new("CreatedDate", Kind::DateTime).read_only(),
            Field::reference("CreatedById", &["User"]).read_only(),
            Field::new("LastModifiedDate", Kind::DateTime).read_only(),
            Field::reference("LastModifiedById", &["User"]).read_only(),
            Field::new("SystemModstamp", Kind::DateTime).read_only(),
        ];
        all.extend(fields);
        Self { name: name.to_owned(), prefix: prefix.to_owned(), fields: all, writable: true }
    }

    /// Callers only read it.
    pub fn read_only(self) -> Self {
        Self { writable: false, ..self }
    }

    /// The field of this name; names do not mind case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

/// `LastModifiedDate` → `Last Modified Date`.
fn label(name: &str) -> String {
    let plain = name.trim_end_matches("__c").replace('_', " ");
    let mut out = String::new();
    let mut before = ' ';
    for letter in plain.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            out.push(' ');
        }
        out.push(letter);
        before = letter;
    }
    out
}
