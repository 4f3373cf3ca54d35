//! The org in the hands of its people and of tests: saves as a user, outbound messages, faults, counters.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Shared,
    errors::ApiError,
    faults::Fault,
    outbound::{Delivery, OutboundMessage},
    save::SaveOptions,
    usage::LoggedCall,
};

/// A handle on a running org; clones mean the same org.
#[derive(Clone)]
pub struct OrgHandle(Arc<Shared>);

impl fmt::Debug for OrgHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrgHandle")
    }
}

impl OrgHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The id of the integration user.
    pub fn integration_user(&self) -> String {
        self.0.lock().natives.integration.clone()
    }

    /// The id of the human agent.
    pub fn agent_user(&self) -> String {
        self.0.lock().natives.agent.clone()
    }

    /// The org's own id.
    pub fn org_id(&self) -> String {
        self.0.lock().settings.org_id.clone()
    }

    /// Adds a user; gives the permission *Send Outbound Messages* or not. Returns its id.
    pub fn add_user(&self, username: &str, first: &str, last: &str, sends: bool) -> String {
        let mut state = self.0.lock();
        let profile = state.of("Profile").next().map(|profile| profile.text("Id").to_owned()).unwrap_or_default();
        let id = state.add_user(username, first, last, &profile);
        state.permit_sending(&id, sends);
        id
    }

    /// Gives a user the permission *Send Outbound Messages*, or takes it.
    pub fn permit_sending(&self, user: &str, permitted: bool) {
        let mut state = self.0.lock();
        if let Some(user) = state.user(user) {
            state.permit_sending(&user, permitted);
        }
    }

    /// Creates a record as a user (id or name), without assignment rules. Returns its id.
    pub fn create(&self, object: &str, fields: &Value, as_user: &str) -> Result<String, ApiError> {
        self.save(as_user, |state, who| state.create(object, &members(fields), who, SaveOptions::default()))
    }

    /// Creates many records in one save, as a data loader does. Nothing is kept where one fails.
    pub fn create_many(&self, object: &str, rows: &[Value], as_user: &str) -> Result<Vec<String>, ApiError> {
        self.save(as_user, |state, who| {
            rows.iter().map(|row| state.create(object, &members(row), who, SaveOptions::default())).collect()
        })
    }

    /// Changes a record as a user.
    pub fn update(&self, id: &str, fields: &Value, as_user: &str) -> Result<(), ApiError> {
        self.save(as_user, |state, who| {
            let object = state.type_of(id)?.to_owned();
            state.update(&object, id, &members(fields), who, SaveOptions::default())
        })
    }

    /// Puts a record into the recycle bin.
    pub fn delete(&self, id: &str, as_user: &str) -> Result<(), ApiError> {
        self.save(as_user, |state, who| state.delete(None, id, who))
    }

    /// Takes a record out of the recycle bin.
    pub fn undelete(&self, id: &str, as_user: &str) -> Result<(), ApiError> {
        self.save(as_user, |state, who| state.undelete(id, who))
    }

    fn save<T>(
        &self,
        as_user: &str,
        act: impl FnOnce(&mut super::state::State, &str) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut state = self.0.lock();
        let who =
            state.user(as_user).ok_or_else(|| ApiError::new(400, "INVALID_CROSS_REFERENCE_KEY", format!("no user {as_user}")))?;
        state.begin();
        let mark = state.mark();
        let done = act(&mut state, &who);
        if done.is_err() {
            state.roll_back(mark);
        }
        drop(state);
        self.0.wake.notify_one();
        done
    }

    /// A record with all its fields as REST shows them, deleted or not.
    pub fn get(&self, id: &str) -> Option<Value> {
        let state = self.0.lock();
        let record = state.records.get(&super::ids::to_18(id)?)?;
        Some(Value::Object(state.show(record, None)))
    }

    /// All living records of a type.
    pub fn all(&self, object: &str) -> Vec<Value> {
        let state = self.0.lock();
        let living = state.of(object).filter(|record| record.deleted.is_none());
        living.map(|record| Value::Object(state.show(record, None))).collect()
    }

    /// How many living records of a type there are.
    pub fn count(&self, object: &str) -> usize {
        self.0.lock().of(object).filter(|record| record.deleted.is_none()).count()
    }

    /// Adds a field to an object type, or replaces it.
    pub fn set_field(&self, object: &str, field: super::schema::Field) {
        let mut state = self.0.lock();
        if let Some(kind) = state.schema.get_mut(object) {
            kind.fields.retain(|known| known.name != field.name);
            kind.fields.push(field);
        }
        state.schema_changed = state.now();
    }

    /// Removes a field, or hides it from everybody.
    pub fn remove_field(&self, object: &str, name: &str) {
        let mut state = self.0.lock();
        if let Some(kind) = state.schema.get_mut(object) {
            kind.fields.retain(|known| known.name != name);
        }
        state.schema_changed = state.now();
    }

    /// Forgets the places of all long queries.
    pub fn lose_locators(&self) {
        self.0.lock().cursors = super::query::Cursors::default();
    }

    /// Empties the recycle bin: what was deleted is in no query and no list any more.
    pub fn empty_bin(&self) {
        let mut state = self.0.lock();
        state.records.retain(|_, record| record.deleted.is_none());
        state.bin_emptied = Some(state.now());
    }

    /// Sends saves of these objects to an address; replaces what was set for the object. Returns the action's id.
    pub fn set_outbound_message(&self, message: OutboundMessage) -> String {
        let mut state = self.0.lock();
        state.outbound.undefine(&message.object);
        let action = state.ids.make("04k");
        state.outbound.define(action.clone(), message);
        action
    }

    /// Adds a second outbound message for an object. Returns the action's id.
    pub fn add_outbound_message(&self, message: OutboundMessage) -> String {
        let mut state = self.0.lock();
        let action = state.ids.make("04k");
        state.outbound.define(action.clone(), message);
        action
    }

    /// Sends what waits for an object, and what comes, to another address.
    pub fn readdress(&self, object: &str, url: &str) {
        self.0.lock().outbound.readdress(object, url);
    }

    /// No more messages for an object; what waits is forgotten.
    pub fn remove_outbound_messages(&self, object: &str) {
        self.0.lock().outbound.undefine(object);
    }

    /// What waits for delivery.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.0.lock().outbound.lines()
    }

    /// Notifications that were delivered, that were given up, and POSTs that were made.
    pub fn delivery_counts(&self) -> (u64, u64, u64) {
        let state = self.0.lock();
        (state.outbound.delivered, state.outbound.dropped, state.outbound.attempts)
    }

    /// Every notification that was acknowledged, with its record.
    pub fn acknowledged(&self) -> BTreeMap<String, String> {
        self.0.lock().outbound.acknowledged.clone()
    }

    /// Sends all that waits now.
    pub fn retry_deliveries(&self) {
        let now = self.0.clock.now();
        self.0.lock().outbound.retry_now(now);
        self.0.wake.notify_one();
    }

    /// Submits a record for approval, or ends that: nobody edits it meanwhile.
    pub fn lock(&self, id: &str, locked: bool) {
        let mut state = self.0.lock();
        let Some(id) = super::ids::to_18(id) else { return };
        if locked {
            state.locked.insert(id)
        } else {
            state.locked.remove(&id)
        };
    }

    /// What the org does by itself on a save, from now on.
    pub fn set_automation(&self, automation: super::settings::Automation) {
        self.0.lock().settings.automation = automation;
    }

    /// The next calls that match go wrong.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.add(fault);
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// Ends every session: the next calls hear 401.
    pub fn expire_sessions(&self) {
        self.0.lock().auth.expire_all();
    }

    /// Pretends that others made so many calls in the last 24 hours.
    pub fn set_calls_of_others(&self, calls: u64) {
        self.0.lock().usage.others = calls;
    }

    /// Calls by kind: `login`, `query`, `query_all`, `query_more`, `retrieve`, `collections_write`, `composite`, `batch`,
    /// `describe`, `record_read`, `record_write`, `updated`, `deleted`, `limits`, `versions`, `userinfo`…
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.0.lock().usage.kinds.clone()
    }

    /// Calls that counted against the daily allowance, since the start.
    pub fn api_calls_total(&self) -> u64 {
        self.0.lock().usage.total
    }

    /// Every request, oldest first.
    pub fn log(&self) -> Vec<LoggedCall> {
        self.0.lock().usage.log.iter().cloned().collect()
    }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
