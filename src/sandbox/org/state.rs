//! The org's memory: object types, records, who may do what. One lock around all of it, one call at a time, so that a
//! call is a transaction; [`State::mark`] and [`State::roll_back`] undo a part of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use super::{
    auth::Auth,
    faults::FaultList,
    ids::{IdMaker, to_18},
    objects,
    outbound::Outbound,
    query::Cursors,
    schema::{Field, Kind, ObjectType},
    settings::OrgSettings,
    usage::Usage,
};
use crate::clock::{Clock, Time};

/// One record. A field without a value is not in `fields`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) object: String,
    pub(super) fields: BTreeMap<String, Value>,
    /// When it went to the recycle bin.
    pub(super) deleted: Option<Time>,
}

impl Record {
    /// The value by its exact name; null where there is none.
    pub(super) fn get(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    /// The text of a field; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    /// The moment in a field.
    pub(super) fn time(&self, name: &str) -> Option<Time> {
        self.text(name).parse().ok()
    }
}

/// Ids of what a fresh org is born with.
#[derive(Clone, Debug)]
pub(super) struct Natives {
    pub(super) integration: String,
    pub(super) agent: String,
    pub(super) queue: String,
    sender_set: String,
}

/// Where a roll-back returns to.
pub(super) struct Mark {
    journal: usize,
    case_number: u64,
    outbound: usize,
}

pub(super) struct State {
    pub(super) settings: OrgSettings,
    pub(super) clock: Arc<dyn Clock>,
    /// The address under which it was started, without a slash at the end.
    pub(super) url: String,
    pub(super) schema: BTreeMap<String, ObjectType>,
    pub(super) records: BTreeMap<String, Arc<Record>>,
    /// What the records of the running call were before, newest last.
    journal: Vec<(String, Option<Arc<Record>>)>,
    pub(super) ids: IdMaker,
    pub(super) case_number: u64,
    pub(super) natives: Natives,
    pub(super) auth: Auth,
    pub(super) usage: Usage,
    pub(super) faults: FaultList,
    pub(super) outbound: Outbound,
    pub(super) cursors: Cursors,
    /// When the recycle bin was emptied.
    pub(super) bin_emptied: Option<Time>,
    /// When an object type last changed.
    pub(super) schema_changed: Time,
    /// Saves of the running call that a fault refuses with a lock.
    pub(super) lock_next: bool,
    /// Records in an approval.
    pub(super) locked: BTreeSet<String>,
}

impl State {
    pub(super) fn new(settings: OrgSettings, clock: Arc<dyn Clock>) -> Self {
        let mut types = objects::standard(settings.external_id);
        types.extend(settings.custom_objects.iter().cloned());
        let mut schema = types.into_iter().map(|object| (object.name.clone(), object)).collect::<BTreeMap<_, _>>();
        for (object, field) in &settings.custom_fields {
            if let Some(object) = schema.get_mut(object) {
                object.fields.push(field.clone());
            }
        }
        let none = String::new();
        let natives = Natives { integration: none.clone(), agent: none.clone(), queue: none.clone(), sender_set: none };
        let outbound = Outbound::new(settings.outbound);
        let mut state = Self {
            settings,
            clock,
            url: String::new(),
            schema,
            records: BTreeMap::new(),
            journal: Vec::new(),
            ids: IdMaker::default(),
            case_number: 1000,
            natives,
            auth: Auth::default(),
            usage: Usage::default(),
            faults: FaultList::default(),
            outbound,
            cursors: Cursors::default(),
            lock_next: false,
            locked: BTreeSet::new(),
            schema_changed: Time(0),
            bin_emptied: None,
        };
        state.schema_changed = state.now();
        state.furnish();
        state
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A stamp as the org writes it: whole seconds.
    pub(super) fn stamp(&self) -> String {
        rest_time(Time::from_seconds(self.now().seconds()))
    }

    /// What a fresh org has: users, a queue, permission sets, statuses.
    fn furnish(&mut self) {
        let profile = self.put("Profile", json!({"Name": "Standard User"}));
        let (integration, agent) = (self.settings.integration_username.clone(), self.settings.agent_username.clone());
        self.natives.integration = self.add_user(&integration, "Sync", "Integration", &profile);
        self.natives.agent = self.add_user(&agent, "Mira", "Olsen", &profile);
        self.natives.queue = self.put("Group", json!({"Name": "Support", "DeveloperName": "Support", "Type": "Queue"}));
        let queue = self.natives.queue.clone();
        self.put("QueueSobject", json!({"QueueId": queue, "SobjectType": "Case"}));
        let editors = self.put(
            "PermissionSet",
            json!({"Name": "Case_Editors", "Label": "Case editors", "IsOwnedByProfile": false,
                   "PermissionsEnableNotifications": false, "PermissionsApiEnabled": true}),
        );
        self.put(
            "ObjectPermissions",
            json!({"ParentId": editors, "SobjectType": "Case", "PermissionsRead": true, "PermissionsCreate": true,
                   "PermissionsEdit": true, "PermissionsDelete": true}),
        );
        self.natives.sender_set = self.put(
            "PermissionSet",
            json!({"Name": "Send_Outbound_Messages", "Label": "Send outbound messages", "IsOwnedByProfile": false,
                   "PermissionsEnableNotifications": true, "PermissionsApiEnabled": false}),
        );
        let (integration, agent) = (self.natives.integration.clone(), self.natives.agent.clone());
        for user in [&integration, &agent] {
            self.put("PermissionSetAssignment", json!({"PermissionSetId": editors, "AssigneeId": user}));
        }
        self.permit_sending(&agent, true);
        for (order, (name, closed)) in
            [("New", false), ("Working", false), ("Escalated", false), ("Closed", true)].iter().enumerate()
        {
            self.put(
                "CaseStatus",
                json!({"ApiName": name, "MasterLabel": name, "IsClosed": closed, "IsDefault": order == 0, "SortOrder": order + 1}),
            );
        }
        let org = self.settings.org_id.clone();
        self.put_as(
            &org,
            "Organization",
            json!({"Name": "Sandbox", "IsSandbox": true, "OrganizationType": "Developer Edition", "InstanceName": "LOCAL"}),
        );
    }

    /// Adds a user; returns its id.
    pub(super) fn add_user(&mut self, username: &str, first: &str, last: &str, profile: &str) -> String {
        self.put(
            "User",
            json!({"Username": username, "Name": format!("{first} {last}"), "FirstName": first, "LastName": last,
                   "Email": username, "Alias": last.chars().take(8).collect::<String>(), "IsActive": true,
                   "ProfileId": profile, "UserType": "Standard", "TimeZoneSidKey": "GMT", "LocaleSidKey": "en_GB"}),
        )
    }

    /// Puts a record in as the system, unchecked.
    pub(super) fn put(&mut self, object: &str, values: Value) -> String {
        let prefix = self.schema.get(object).map_or("000", |known| known.prefix.as_str());
        let id = self.ids.make(prefix);
        self.put_as(&id, object, values);
        id
    }

    fn put_as(&mut self, id: &str, object: &str, values: Value) {
        let stamp = self.stamp();
        let user = if self.natives.integration.is_empty() { id } else { &self.natives.integration }.to_owned();
        let mut fields = match values {
            Value::Object(values) => values.into_iter().collect::<BTreeMap<_, _>>(),
            _ => BTreeMap::new(),
        };
        fields.insert("Id".to_owned(), json!(id));
        fields.insert("IsDeleted".to_owned(), json!(false));
        for name in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
            fields.insert(name.to_owned(), json!(stamp));
        }
        for name in ["CreatedById", "LastModifiedById"] {
            fields.insert(name.to_owned(), json!(user));
        }
        self.keep(Record { object: object.to_owned(), fields, deleted: None });
    }

    /// Gives or takes the permission *Send Outbound Messages*.
    pub(super) fn permit_sending(&mut self, user: &str, permitted: bool) {
        let set = self.natives.sender_set.clone();
        self.records.retain(|_, record| {
            record.object != "PermissionSetAssignment"
                || record.text("PermissionSetId") != set
                || record.text("AssigneeId") != user
        });
        if permitted {
            self.put("PermissionSetAssignment", json!({"PermissionSetId": set, "AssigneeId": user}));
        }
    }

    /// Whether saves of this user send outbound messages.
    pub(super) fn may_send(&self, user: &str) -> bool {
        let sends = |id: &str| self.records.get(id).is_some_and(|set| set.get("PermissionsEnableNotifications") == true);
        self.of("PermissionSetAssignment")
            .any(|assignment| assignment.text("AssigneeId") == user && sends(assignment.text("PermissionSetId")))
    }

    /// The user of this name or id.
    pub(super) fn user(&self, name_or_id: &str) -> Option<String> {
        if let Some(id) = to_18(name_or_id).filter(|id| self.records.get(id).is_some_and(|record| record.object == "User")) {
            return Some(id);
        }
        self.of("User")
            .find(|record| record.text("Username").eq_ignore_ascii_case(name_or_id))
            .map(|record| record.text("Id").to_owned())
    }

    /// Records of one type, in the order of their ids. All ids of a type share its prefix.
    pub(super) fn of<'a>(&'a self, object: &str) -> impl Iterator<Item = &'a Arc<Record>> + use<'a> {
        let prefix = self.schema.get(object).map_or_else(String::new, |kind| kind.prefix.clone());
        let from = self.records.range(prefix.clone()..);
        from.take_while(move |(id, _)| id.starts_with(&prefix)).map(|(_, record)| record)
    }

    /// The one way of a record into the memory.
    pub(super) fn keep(&mut self, record: Record) {
        let id = record.text("Id").to_owned();
        let before = self.records.insert(id.clone(), Arc::new(record));
        self.journal.push((id, before));
    }

    /// A call begins: nothing before it can be undone.
    pub(super) fn begin(&mut self) {
        self.journal.clear();
    }

    /// A place to return to within the running call.
    pub(super) fn mark(&self) -> Mark {
        Mark { journal: self.journal.len(), case_number: self.case_number, outbound: self.outbound.waiting() }
    }

    /// Undoes what was saved since the mark; ids of the undone saves are gone for good.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        for (id, before) in self.journal.drain(mark.journal..).rev() {
            match before {
                Some(record) => self.records.insert(id, record),
                None => self.records.remove(&id),
            };
        }
        self.case_number = mark.case_number;
        self.outbound.forget_after(mark.outbound);
    }

    /// A record as REST shows it: `attributes` first, then the named fields, nulls included.
    pub(super) fn show(&self, record: &Record, names: Option<&[String]>) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("attributes".to_owned(), attributes(&record.object, record.text("Id")));
        let Some(object) = self.schema.get(&record.object) else { return out };
        for field in &object.fields {
            if names.is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(&field.name))) {
                out.insert(field.name.clone(), seen(field, record.get(&field.name)));
            }
        }
        out
    }
}

/// A value as nobody without *View Encrypted Data* is kept from seeing it.
pub(super) fn seen(field: &Field, value: &Value) -> Value {
    match (&field.kind, value) {
        (Kind::Encrypted, Value::String(text)) => json!(masked(text)),
        _ => value.clone(),
    }
}

/// All but the last four signs hidden.
pub(super) fn masked(text: &str) -> String {
    let hidden = text.chars().count().saturating_sub(4);
    text.chars().enumerate().map(|(at, letter)| if at < hidden { '*' } else { letter }).collect()
}

/// What stands before each record.
pub(super) fn attributes(object: &str, id: &str) -> Value {
    json!({"type": object, "url": format!("/services/data/v68.0/sobjects/{object}/{id}")})
}

/// A moment as REST writes it: no colon in the offset.
pub(super) fn rest_time(time: Time) -> String {
    time.to_string().replace('Z', "+0000")
}
