//! Outbound messages: parsed and judged, without a call and without a clock.
//!
//! Flow: [`parse`] makes a [`Message`] of a body or says why it is none; the door compares the org, stores what
//! [`changes`] makes of it, and acknowledges. One answer covers the whole post, so a notification that makes no sense is
//! kept as [`Broken`] and its neighbours go on; only what is no outbound message at all is refused.
//!
//! How strict. The contract (WSDL) fixes names, name spaces, order and count, and whatever it refuses is refused or
//! broken here. It is loosened where real traffic is known or said to differ: ids may have 15 characters, `SessionId`
//! may be missing, the fields of a record come in any order. Of a notification whose record was deleted before the
//! message left nobody has published the form: a missing record, a nil one, an empty one and one with nothing but its id
//! are all taken; with an id they mean "look", without one nobody knows which record is meant ([`without_record`]).
//! Prefixes of ids and their checksums are not asked for: the contract names neither, and a lost message is worse than
//! an odd id.
//!
//! Traps. A null field is left out, so a name that is absent is unknown. Values are text here; [`typed`] gives them the
//! form that REST has. Deletes never come. The prefix `sf` is resolved, not assumed. An old `SessionId` is a password:
//! it is not even kept in memory.

mod typed;
mod xml;

use std::collections::HashSet;

use serde_json::Value;

pub use self::typed::typed;
use self::xml::Element;
use super::ids;
use crate::{
    clock::{Clock, Time},
    domain::{
        change::{Content, NewChange, Source},
        ids::CorrelationId,
        replica::Fields,
    },
};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";
const SOBJECT: &str = "urn:sobject.enterprise.soap.sforce.com";
/// Notifications of one message, by its contract.
const MOST_NOTIFICATIONS: usize = 100;

/// What a body may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body.
    pub bytes: usize,
    /// Elements of the document.
    pub elements: usize,
    /// Elements inside each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A hundred records of eight hundred fields, and long texts in some of them.
        Self { bytes: 16 * 1024 * 1024, elements: 100_000, depth: 32 }
    }
}

/// Why a body is no outbound message. Safe to show: it quotes no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// One post: one org, one action, up to a hundred notifications.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Sending org as it was sent, 15 or 18 characters; compare the first 15.
    pub organization_id: String,
    /// Which outbound message fired (`04k…`), as it was sent.
    pub action_id: String,
    /// It carried a session id, which no org should send any more; the id itself is not kept.
    pub session_id_present: bool,
    /// In the order sent.
    pub notifications: Vec<Result<Notification, Broken>>,
}

/// One record that was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// `04l…`; the same when it is sent again.
    pub id: String,
    /// The record as it was when the message left; `None` where it came without data.
    pub object: Option<SObject>,
}

/// A record in a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct SObject {
    /// API name, like `Case`.
    pub entity_type: String,
    /// 18 characters.
    pub id: String,
    /// Values as text by API name, `Id` included.
    pub fields: Fields,
}

/// A notification that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The record that it seems to mean.
    pub record: Option<String>,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.id.as_deref().unwrap_or("without id");
        match &self.record {
            Some(record) => write!(f, "{id} (record {record}): {}", self.reason),
            None => write!(f, "{id}: {}", self.reason),
        }
    }
}

/// Reads a body.
pub fn parse(body: &[u8], limits: Limits) -> Result<Message, Malformed> {
    let root = xml::read(body, limits)?;
    if !root.is(SOAP, "Envelope") {
        return Err(refuse("the root is no SOAP 1.1 envelope"));
    }
    let content = body_of(&root)?;
    let [notifications] = content.children.as_slice() else {
        return Err(refuse("the Body holds something else than one element `notifications`"));
    };
    if !notifications.is(OUTBOUND, "notifications") {
        return Err(refuse("the Body holds no notifications"));
    }
    if [&root, content, notifications].into_iter().any(Element::has_text) {
        return Err(refuse("there is text where only elements belong"));
    }
    if !is_plain(notifications) {
        return Err(refuse("notifications has an attribute that does not belong there"));
    }
    let mut parts = notifications.children.iter().peekable();
    let mut next = |name: &str| parts.next_if(|part| part.is(OUTBOUND, name));
    let missing = |name: &str| refuse(&format!("{name} is missing, stands twice or in the wrong place"));
    let mut id_of = |name: &str, prefix: &str| {
        let id = next(name).ok_or_else(|| missing(name))?;
        leaf(id)
            .filter(|text| is_id(text) && text.starts_with(prefix))
            .map(str::to_owned)
            .ok_or_else(|| refuse(&format!("{name} is no id of 15 or 18 characters")))
    };
    let organization_id = id_of("OrganizationId", "00D")?;
    let action_id = id_of("ActionId", "")?;
    let session = next("SessionId");
    if session.is_some_and(|session| !is_plain_value(session, true)) {
        return Err(refuse("SessionId holds more than text"));
    }
    for name in ["EnterpriseUrl", "PartnerUrl"] {
        leaf(next(name).ok_or_else(|| missing(name))?).ok_or_else(|| refuse(&format!("{name} holds more than text")))?;
    }
    let session_id_present = session.is_some_and(Element::has_text);
    let parts: Vec<&Element> = parts.collect();
    if let Some(other) = parts.iter().find(|part| !part.is(OUTBOUND, "Notification")) {
        let known = ["OrganizationId", "ActionId", "SessionId", "EnterpriseUrl", "PartnerUrl"];
        let name = known.into_iter().find(|name| other.is(OUTBOUND, name));
        return Err(name.map_or_else(|| refuse("notifications holds an element that does not belong there"), missing));
    }
    match parts.len() {
        0 => Err(refuse("there is no Notification")),
        1..=MOST_NOTIFICATIONS => {
            let notifications = parts.into_iter().map(notification).collect();
            Ok(Message { organization_id, action_id, session_id_present, notifications })
        }
        _ => Err(refuse("there are more than 100 Notifications")),
    }
}

fn refuse(reason: &str) -> Malformed {
    Malformed(reason.to_owned())
}

/// The Body: alone, or behind a Header that asks for nothing.
fn body_of(root: &Element) -> Result<&Element, Malformed> {
    let (header, body) = match root.children.as_slice() {
        [body] => (None, body),
        [header, body] if header.is(SOAP, "Header") => (Some(header), body),
        _ => return Err(refuse("the envelope holds something else than one Body")),
    };
    if header.is_some_and(|header| header.children.iter().any(|one| one.must_understand)) {
        return Err(refuse("a header asks to be understood, and none is"));
    }
    if body.is(SOAP, "Body") { Ok(body) } else { Err(refuse("the envelope has no Body")) }
}

/// The form of an id, by the contract; 15 characters are taken too.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 15 | 18) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// 18 characters, also where the last three are no checksum.
fn completed(text: &str) -> Option<String> {
    ids::complete(text).or_else(|| is_id(text).then(|| text.to_owned()))
}

/// Without attributes beyond declarations.
fn is_plain(element: &Element) -> bool {
    !element.foreign && element.nil.is_none() && element.xsi_type.is_none()
}

/// A value as the contract knows it: only text, and none where it is nil.
fn is_plain_value(element: &Element, nillable: bool) -> bool {
    let nil = match element.nil {
        None => true,
        Some(nil) => nillable && (!nil || element.text.is_empty()),
    };
    element.children.is_empty() && !element.foreign && nil
}

/// The text of an element that may hold nothing else.
fn leaf(element: &Element) -> Option<&str> {
    (is_plain(element) && element.children.is_empty()).then_some(element.text.as_str())
}

fn notification(element: &Element) -> Result<Notification, Broken> {
    let (first, rest) = match element.children.split_first() {
        Some((first, rest)) if first.is(OUTBOUND, "Id") => (leaf(first).filter(|text| is_id(text)), rest),
        _ => (None, &element.children[..]),
    };
    let id = first.and_then(completed);
    let record = || rest.iter().find_map(|object| object.children.iter().find(|child| child.is(SOBJECT, "Id")));
    let broken = |reason: &str| Broken {
        id: id.clone(),
        record: record().map(|id| id.text.as_str()).filter(|text| is_id(text)).and_then(completed),
        reason: reason.to_owned(),
    };
    let Some(known) = id.clone() else {
        return Err(broken("its Id is missing or no id of 15 or 18 characters"));
    };
    if element.has_text() || !is_plain(element) {
        return Err(broken("it holds text or attributes that do not belong there"));
    }
    let object = match rest {
        [] => return Ok(Notification { id: known, object: None }),
        [object] if object.is(OUTBOUND, "sObject") => object,
        [object, second] if object.is(OUTBOUND, "sObject") && second.is(OUTBOUND, "sObject") => {
            return Err(broken("it holds two records"));
        }
        _ => return Err(broken("it holds an element that does not belong there")),
    };
    if object.foreign || (object.nil == Some(true) && !object.is_empty()) {
        return Err(broken("its record has attributes that do not belong there"));
    }
    if object.is_empty() {
        return Ok(Notification { id: known, object: None });
    }
    match sobject(object) {
        Ok(object) => Ok(Notification { id: known, object: Some(object) }),
        Err(reason) => Err(broken(reason)),
    }
}

fn sobject(element: &Element) -> Result<SObject, &'static str> {
    let entity_type = match &element.xsi_type {
        Some((namespace, name)) if namespace == SOBJECT && ids::is_name(name) => name.clone(),
        Some(_) => return Err("its record's type is not one of Salesforce's objects"),
        None => return Err("its record has no type"),
    };
    if element.has_text() {
        return Err("its record holds text beside its fields");
    }
    let mut fields = Fields::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for child in &element.children {
        if child.namespace != SOBJECT || !ids::is_name(&child.name) {
            return Err("its record holds an element that is no field");
        }
        if !is_plain_value(child, true) {
            return Err("a field of its record holds more than a value");
        }
        // Of the contract's base type, any number of times; messages do not use it.
        if child.name == "fieldsToNull" {
            continue;
        }
        if !seen.insert(&child.name) {
            return Err("a field of its record stands there twice");
        }
        if child.nil == Some(true) {
            continue;
        }
        if !fits(&child.name, &child.text) {
            return Err("a system field of its record has a value of another type");
        }
        fields.insert(child.name.clone(), Value::from(child.text.as_str()));
    }
    let id = fields.get("Id").and_then(Value::as_str).and_then(completed);
    let id = id.ok_or("its record has no id of 15 or 18 characters")?;
    fields.insert("Id".to_owned(), Value::from(id.as_str()));
    Ok(SObject { entity_type, id, fields })
}

/// Whether a value has the type that every object's contract gives to its system fields.
fn fits(name: &str, text: &str) -> bool {
    match name {
        "Id" | "CreatedById" | "LastModifiedById" => is_id(text),
        "CreatedDate" | "LastModifiedDate" | "SystemModstamp" => {
            let text = text.trim();
            let zone = text.ends_with('Z') || text.len() > 6 && text.as_bytes()[text.len() - 3] == b':';
            zone && text.parse::<Time>().is_ok()
        }
        "IsDeleted" => xml::boolean(text).is_some(),
        _ => true,
    }
}

/// The changes that a message tells of. Broken notifications and those [`without_record`] are left out.
pub fn changes(message: &Message, tracker_name: &str, received_at: Time, clock: &dyn Clock) -> Vec<NewChange> {
    let whole = message.notifications.iter().flatten();
    whole
        .filter_map(|notification| notification.object.as_ref().map(|object| (notification, object)))
        .map(|(notification, object)| NewChange {
            tracker: tracker_name.to_owned(),
            entity_type: object.entity_type.clone(),
            key: object.id.clone(),
            source: Source::OutboundMessage,
            notice_id: Some(notification.id.clone()),
            connection: None,
            content: content(&object.fields),
            received_at,
            due_at: received_at,
            correlation: CorrelationId(clock.id()),
        })
        .collect()
}

/// Notifications whose record was gone before the message left, and that name none. The light look finds what was
/// deleted; where none is taken, nobody would ever know.
pub fn without_record(message: &Message) -> Vec<Broken> {
    let whole = message.notifications.iter().flatten().filter(|one| one.object.is_none());
    whole
        .map(|one| Broken {
            id: Some(one.id.clone()),
            record: None,
            reason: "its record was deleted before the message left, and it does not say which".to_owned(),
        })
        .collect()
}

/// What a message says of a record; `None` where it holds no data, so that the record is looked at.
fn content(fields: &Fields) -> Option<Content> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if fields.len() <= 1 || text("IsDeleted").and_then(xml::boolean) == Some(true) {
        return None;
    }
    Some(Content {
        fields: fields.clone(),
        whole: false,
        deleted: false,
        url: None,
        stamp: text("SystemModstamp").and_then(|stamp| stamp.trim().parse().ok()),
        editor: text("LastModifiedById").and_then(ids::complete),
        ..Content::default()
    })
}

#[cfg(test)]
#[path = "outbound/contract_tests.rs"]
mod contract_tests;
#[cfg(test)]
#[path = "outbound/tests.rs"]
mod tests;
