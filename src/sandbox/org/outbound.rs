//! Outbound messages: the queue, the envelope, the listener's answer. `delivery` carries them.
//!
//! A notification holds an id and points at a record; its values are read when it is sent. Each is retried by itself,
//! so they overtake each other. What waits together and goes to one address shares a POST, at most 100.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use quick_xml::{NsReader, events::Event, name::ResolveResult};
use serde_json::Value;

use super::{
    schema::Kind,
    settings::{DeletedForm, OutboundSettings},
    state::{Record, State, masked},
};
use crate::{
    clock::{Clock, Time},
    sandbox::wire::{Answer, chance},
};

/// Most notifications in one POST.
const BATCH: usize = 100;
/// The namespace of the envelope's content.
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";

/// One outbound message definition: which object, to where, with which fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// Object type.
    pub object: String,
    /// Endpoint.
    pub url: String,
    /// Fields that are sent, all where the list is empty; `Id` always is.
    pub fields: Vec<String>,
}

/// One line of the page *View Message Delivery Status*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The notification's id.
    pub id: String,
    /// The record it is about.
    pub record: String,
    /// The definition's id.
    pub action: String,
    /// Times that it was sent.
    pub attempts: u32,
    /// When it is sent next.
    pub next_attempt: Time,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// It was given up, and stays listed.
    pub dead: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    line: Delivery,
    queued: Time,
    in_flight: bool,
}

#[derive(Debug)]
pub(super) struct Outbound {
    settings: OutboundSettings,
    /// Action id → definition.
    definitions: BTreeMap<String, OutboundMessage>,
    queue: Vec<Waiting>,
    /// Notifications that were acknowledged, with their record.
    pub(super) acknowledged: BTreeMap<String, String>,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    pub(super) attempts: u64,
}

/// What goes together: one definition, and each notification's id with its record's.
struct Batch {
    action: String,
    definition: OutboundMessage,
    notifications: Vec<(String, String)>,
}

/// One POST to be made.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) url: String,
    pub(super) body: String,
    pub(super) ids: Vec<String>,
}

impl Outbound {
    pub(super) fn new(settings: OutboundSettings) -> Self {
        Self {
            settings,
            definitions: BTreeMap::new(),
            queue: Vec::new(),
            acknowledged: BTreeMap::new(),
            delivered: 0,
            dropped: 0,
            attempts: 0,
        }
    }

    pub(super) fn define(&mut self, action: String, definition: OutboundMessage) {
        self.definitions.insert(action, definition);
    }

    /// Where saves of an object are told.
    pub(super) fn address(&self, object: &str) -> Option<&str> {
        self.definitions.values().find(|known| known.object == object).map(|known| known.url.as_str())
    }

    pub(super) fn readdress(&mut self, object: &str, url: &str) {
        for known in self.definitions.values_mut().filter(|known| known.object == object) {
            url.clone_into(&mut known.url);
        }
    }

    pub(super) fn undefine(&mut self, object: &str) {
        self.definitions.retain(|_, known| known.object != object);
        let definitions = &self.definitions;
        self.queue.retain(|waiting| definitions.contains_key(&waiting.line.action));
    }

    pub(super) fn enqueue(&mut self, object: &str, record: &str, now: Time, mut id: impl FnMut() -> String) {
        for (action, _) in self.definitions.iter().filter(|(_, definition)| definition.object == object) {
            let line = Delivery {
                id: id(),
                record: record.to_owned(),
                action: action.clone(),
                attempts: 0,
                next_attempt: now,
                failure: None,
                dead: false,
            };
            self.queue.push(Waiting { line, queued: now, in_flight: false });
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn forget_after(&mut self, length: usize) {
        self.queue.truncate(length);
    }

    pub(super) fn lines(&self) -> Vec<Delivery> {
        self.queue.iter().map(|waiting| waiting.line.clone()).collect()
    }

    /// *Retry* on the status page, for all.
    pub(super) fn retry_now(&mut self, now: Time) {
        for waiting in self.queue.iter_mut().filter(|waiting| !waiting.in_flight) {
            waiting.line.next_attempt = now;
            waiting.line.dead = false;
        }
    }

    fn hasten(&self, span: Duration) -> Duration {
        Duration::from_secs_f64(span.as_secs_f64() / self.settings.haste.max(0.001))
    }

    /// When the next waiting message is due.
    pub(super) fn next_due(&self) -> Option<Time> {
        let idle = self.queue.iter().filter(|waiting| !waiting.in_flight && !waiting.line.dead);
        idle.map(|waiting| waiting.line.next_attempt).min()
    }

    /// The due notifications of one definition, at most a hundred, now under way.
    fn take(&mut self, now: Time) -> Option<Batch> {
        let due = |waiting: &Waiting| !waiting.in_flight && !waiting.line.dead && waiting.line.next_attempt <= now;
        let action = self.queue.iter().find(|waiting| due(waiting))?.line.action.clone();
        let definition = self.definitions.get(&action)?.clone();
        let batch = self.queue.iter_mut().filter(|waiting| waiting.line.action == action && due(waiting)).take(BATCH);
        let mut notifications = Vec::new();
        for waiting in batch {
            waiting.in_flight = true;
            waiting.line.attempts += 1;
            notifications.push((waiting.line.id.clone(), waiting.line.record.clone()));
        }
        self.attempts += 1;
        Some(Batch { action, definition, notifications })
    }

    /// Puts the outcome of a POST into the queue.
    pub(super) fn settle(&mut self, ids: &[String], outcome: Result<(), String>, clock: &dyn Clock) {
        let now = clock.now();
        let life = self.hasten(Duration::from_secs(24 * 3600));
        let (settings, mut finished) = (self.settings, Vec::new());
        let paces = [30, 7200].map(|seconds| self.hasten(Duration::from_secs(seconds)));
        for waiting in self.queue.iter_mut().filter(|waiting| ids.contains(&waiting.line.id)) {
            waiting.in_flight = false;
            if outcome.is_ok() {
                self.acknowledged.insert(waiting.line.id.clone(), waiting.line.record.clone());
            }
            match &outcome {
                Ok(()) if settings.duplicates > 0.0 && waiting.line.attempts < 3 && chance(clock) < settings.duplicates => {
                    waiting.line.next_attempt = now;
                }
                Ok(()) => finished.push(waiting.line.id.clone()),
                Err(_) if now.since(waiting.queued) >= life => {
                    self.dropped += 1;
                    if settings.dead_letters {
                        waiting.line.dead = true;
                    } else {
                        finished.push(waiting.line.id.clone());
                    }
                }
                Err(why) => {
                    waiting.line.failure = Some(why.clone());
                    let doubled = paces[0].saturating_mul(1 << waiting.line.attempts.saturating_sub(1).min(16)).min(paces[1]);
                    waiting.line.next_attempt = now.plus(doubled.mul_f64(1.0 + settings.jitter * chance(clock)));
                }
            }
        }
        if outcome.is_ok() {
            self.delivered += u64::try_from(finished.len()).unwrap_or(0);
        }
        self.queue.retain(|waiting| !finished.contains(&waiting.line.id));
    }
}

impl State {
    /// The next POST that is due, with the values as they are now.
    pub(super) fn next_parcel(&mut self) -> Option<Parcel> {
        let now = self.now();
        let Batch { action, definition, notifications } = self.outbound.take(now)?;
        let body = self.envelope(&action, &definition, &notifications);
        Some(Parcel { url: definition.url, body, ids: notifications.into_iter().map(|(id, _)| id).collect() })
    }

    fn envelope(&self, action: &str, definition: &OutboundMessage, notifications: &[(String, String)]) -> String {
        let org = &self.settings.org_id;
        let mut xml = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n <soapenv:Body>\n  \
             <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\">\n",
        );
        for (name, value) in [("OrganizationId", org.as_str()), ("ActionId", action)] {
            let _ = writeln!(xml, "   <{name}>{value}</{name}>");
        }
        xml.push_str("   <SessionId xsi:nil=\"true\"/>\n");
        for (name, kind) in [("EnterpriseUrl", 'c'), ("PartnerUrl", 'u')] {
            let _ = writeln!(xml, "   <{name}>{}/services/Soap/{kind}/68.0/{}</{name}>", escape(&self.url), &org[..15]);
        }
        for (id, record) in notifications {
            let _ = writeln!(xml, "   <Notification>\n    <Id>{id}</Id>");
            let found = self.records.get(record).filter(|found| found.deleted.is_none());
            match (found, self.settings.outbound.deleted_form) {
                (None, DeletedForm::Missing) => {}
                (None, DeletedForm::Nil) => xml.push_str("    <sObject xsi:nil=\"true\"/>\n"),
                (found, _) => self.write_record(&mut xml, definition, record, found),
            }
            xml.push_str("   </Notification>\n");
        }
        xml.push_str("  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>\n");
        xml
    }

    fn write_record(&self, xml: &mut String, definition: &OutboundMessage, id: &str, found: Option<&Arc<Record>>) {
        let _ = writeln!(
            xml,
            "    <sObject xsi:type=\"sf:{0}\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">",
            definition.object
        );
        let _ = writeln!(xml, "     <sf:Id>{id}</sf:Id>");
        if let Some(found) = found {
            self.write_fields(xml, definition, found);
        }
        xml.push_str("    </sObject>\n");
    }

    /// The selected fields in the order of their names; null ones are left out, as in the real payload.
    fn write_fields(&self, xml: &mut String, definition: &OutboundMessage, record: &Record) {
        let Some(object) = self.schema.get(&definition.object) else { return };
        let chosen =
            |name: &str| definition.fields.is_empty() || definition.fields.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        let mut fields = object.fields.iter().filter(|field| chosen(&field.name)).collect::<Vec<_>>();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        for field in fields.iter().filter(|field| field.name != "Id" && field.kind != Kind::Base64) {
            let text = match record.get(&field.name) {
                Value::Null => continue,
                Value::String(text) if field.kind == Kind::DateTime => text.replace("+0000", "Z"),
                Value::String(text) if field.kind == Kind::Encrypted => escape(&masked(text)),
                Value::String(text) => escape(text),
                Value::Number(number) if field.kind == Kind::Number => java_double(number.as_f64().unwrap_or_default()),
                Value::Number(number) => format!("{:.0}", number.as_f64().unwrap_or_default()),
                other => other.to_string(),
            };
            let _ = writeln!(xml, "     <sf:{0}>{text}</sf:{0}>", field.name);
        }
    }
}

fn escape(text: &str) -> String {
    let allowed = text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t')).collect::<String>();
    quick_xml::escape::partial_escape(allowed.as_str()).into_owned()
}

/// A number as Java prints it: `12.0`, `1250.5`, from ten million up `1.25E7`.
fn java_double(number: f64) -> String {
    if number != 0.0 && !(1e-3..1e7).contains(&number.abs()) {
        let text = format!("{number:E}");
        let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") };
        return format!("{digits}E{exponent}");
    }
    if number.fract() == 0.0 { format!("{number:.1}") } else { number.to_string() }
}

/// Whether the listener acknowledged, or the text that the status page shows.
pub(super) fn acknowledged(answer: &Answer) -> Result<(), String> {
    if !(200..300).contains(&answer.status) {
        let reason =
            http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        return Err(format!("({}){reason}", answer.status));
    }
    let parse = |what: &str| Err(format!("org.xml.sax.SAXParseException: {what}"));
    let Ok(text) = std::str::from_utf8(&answer.body) else { return parse("Invalid byte sequence.") };
    if !text.trim_start_matches('\u{feff}').starts_with('<') {
        let what = if text.is_empty() { "Premature end of file." } else { "Content is not allowed in prolog." };
        return parse(what);
    }
    match read_ack(text) {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => Err("SOAP response was a nack".to_owned()),
        Ok(None) => Err("no Ack in the SOAP response".to_owned()),
        Err(what) => parse(&what),
    }
}

/// The value of `notificationsResponse/Ack` in the right namespace.
fn read_ack(text: &str) -> Result<Option<bool>, String> {
    let mut reader = NsReader::from_str(text);
    let mut path = Vec::<String>::new();
    let mut ack = None;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|error| error.to_string())?;
        let ours = matches!(namespace, ResolveResult::Bound(bound) if bound.0 == OUTBOUND);
        match event {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                path.push(if ours { format!("out:{name}") } else { name });
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Text(words) if path.ends_with(&["out:notificationsResponse".to_owned(), "out:Ack".to_owned()]) => {
                let words: &str = words.as_ref();
                ack = match words.trim() {
                    "true" | "1" => Some(true),
                    "false" | "0" => Some(false),
                    _ => ack,
                };
            }
            Event::Eof if path.is_empty() => return Ok(ack),
            Event::Eof => return Err("XML document structures must start and end within the same entity.".to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
