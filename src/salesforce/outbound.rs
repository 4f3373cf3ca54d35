//! Outbound messages: parsed, judged and answered, without a call and without a clock.
//!
//! Flow: [`parse`] makes a [`Message`] of a body or says why it is none; the door compares the org, stores what
//! [`changes`] makes of it, and answers [`ack`]. One answer covers the whole post, so a notification that makes no
//! sense is kept as [`Broken`] and its neighbours go on; only what is no outbound message at all is refused.
//!
//! Traps. A null field is left out, so a name that is absent is unknown. A record deleted before the message left comes
//! without data: as a missing object, as nil, or with nothing but its id; all mean "look". Values are text here;
//! [`typed`] gives them the form that REST has. Deletes never come. The prefix `sf` is resolved, not assumed.

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
    /// Sending org, 18 characters.
    pub organization_id: String,
    /// Which outbound message fired (`04k…`), 18 characters.
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
    /// Why.
    pub reason: String,
}

/// Reads a body.
pub fn parse(body: &[u8], limits: Limits) -> Result<Message, Malformed> {
    let root = xml::read(body, limits)?;
    if !root.is(SOAP, "Envelope") {
        return Err(refuse("the root is no SOAP 1.1 envelope"));
    }
    let content = single(&root, SOAP, "Body")?.ok_or_else(|| refuse("the envelope has no Body"))?;
    let notifications = single(content, OUTBOUND, "notifications")?.ok_or_else(|| refuse("the Body holds no notifications"))?;
    if content.children.len() != 1 {
        return Err(refuse("the Body holds more than the notifications"));
    }
    for element in [&root, content, notifications] {
        if !element.text.trim().is_empty() {
            return Err(refuse("there is text where only elements belong"));
        }
    }
    let id_of = |name: &str, prefix: &str| {
        let element = single(notifications, OUTBOUND, name)?.ok_or_else(|| refuse(&format!("{name} is missing")))?;
        let id = leaf(element).and_then(|text| ids::complete(text.trim())).filter(|id| id.starts_with(prefix));
        id.ok_or_else(|| refuse(&format!("{name} is no id that begins with {prefix}")))
    };
    let session = single(notifications, OUTBOUND, "SessionId")?;
    let parts: Vec<&Element> = notifications.children.iter().filter(|child| child.is(OUTBOUND, "Notification")).collect();
    match parts.len() {
        0 => return Err(refuse("there is no Notification")),
        1..=MOST_NOTIFICATIONS => {}
        _ => return Err(refuse("there are more than 100 Notifications")),
    }
    Ok(Message {
        organization_id: id_of("OrganizationId", "00D")?,
        action_id: id_of("ActionId", "04k")?,
        session_id_present: session.is_some_and(|session| !session.nil && !session.text.trim().is_empty()),
        notifications: parts.into_iter().map(notification).collect(),
    })
}

fn refuse(reason: &str) -> Malformed {
    Malformed(reason.to_owned())
}

/// The only child of this name; two are refused.
fn single<'a>(parent: &'a Element, namespace: &str, name: &str) -> Result<Option<&'a Element>, Malformed> {
    let mut found = parent.children.iter().filter(|child| child.is(namespace, name));
    let first = found.next();
    if found.next().is_some() { Err(refuse(&format!("{name} stands there twice"))) } else { Ok(first) }
}

/// The text of an element that holds nothing else.
fn leaf(element: &Element) -> Option<&str> {
    (element.children.is_empty() && !element.nil).then_some(element.text.as_str())
}

fn notification(element: &Element) -> Result<Notification, Broken> {
    let id = single(element, OUTBOUND, "Id").ok().flatten().and_then(leaf).and_then(|text| ids::complete(text.trim()));
    let broken = |reason: &str| Broken { id: id.clone(), reason: reason.to_owned() };
    let Some(known) = id.clone().filter(|id| id.starts_with("04l")) else {
        return Err(broken("its Id is missing or no id that begins with 04l"));
    };
    let Ok(object) = single(element, OUTBOUND, "sObject") else { return Err(broken("it holds two records")) };
    let Some(object) = object.filter(|object| !object.nil) else { return Ok(Notification { id: known, object: None }) };
    if object.children.is_empty() && object.text.trim().is_empty() {
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
    if !element.text.trim().is_empty() {
        return Err("its record holds text beside its fields");
    }
    let mut fields = Fields::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for child in &element.children {
        // `fieldsToNull` is of the schema's base type; messages do not use it.
        if child.is(SOBJECT, "fieldsToNull") {
            continue;
        }
        if child.namespace != SOBJECT || !ids::is_name(&child.name) {
            return Err("its record holds an element that is no field");
        }
        if !child.children.is_empty() {
            return Err("a field of its record holds elements");
        }
        if !seen.insert(&child.name) {
            return Err("a field of its record stands there twice");
        }
        if !child.nil {
            fields.insert(child.name.clone(), Value::from(child.text.as_str()));
        }
    }
    let id = fields.get("Id").and_then(Value::as_str).and_then(|text| ids::complete(text.trim()));
    let id = id.ok_or("its record has no id of 15 or 18 characters")?;
    fields.insert("Id".to_owned(), Value::from(id.as_str()));
    Ok(SObject { entity_type, id, fields })
}

/// The changes that a message tells of. Broken notifications and those without data are left out: the first are for
/// the door to keep as errors, of the second nobody knows which record they mean, and the light look finds it.
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

/// What a message says of a record; `None` where it holds no data, so that the record is looked at.
fn content(fields: &Fields) -> Option<Content> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if fields.len() <= 1 || text("IsDeleted") == Some("true") {
        return None;
    }
    Some(Content {
        fields: fields.clone(),
        whole: false,
        deleted: false,
        url: None,
        stamp: text("SystemModstamp").and_then(|stamp| stamp.parse().ok()),
        editor: text("LastModifiedById").and_then(ids::complete),
        ..Content::default()
    })
}

/// The answer: `true` once all is stored, `false` to have it sent again.
pub fn ack(stored: bool) -> String {
    envelope(&format!("<notificationsResponse xmlns=\"{OUTBOUND}\"><Ack>{stored}</Ack></notificationsResponse>"))
}

/// The answer to what is no outbound message, or to one of another org.
pub fn fault(reason: &str) -> String {
    let reason: String = reason.chars().take(500).filter(|letter| xml::is_allowed(*letter)).collect();
    let escaped = quick_xml::escape::escape(reason.as_str());
    envelope(&format!("<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>{escaped}</faultstring></soapenv:Fault>"))
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
         xmlns:soapenv=\"{SOAP}\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}

#[cfg(test)]
#[path = "outbound/tests.rs"]
mod tests;
