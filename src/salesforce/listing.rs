//! The records that match a filter, for a bulk run: one query for the ids of a part, one read for its records.
//!
//! Parts go by id, so that a part that is asked for again is the same but for what was saved meanwhile.

use serde_json::Value;

use super::{ids, look, matching::check_form, reading::READ_BATCH, tracker::Salesforce};
use crate::domain::tracker::{Caller, Found, Listing, TrackerError};

impl Salesforce {
    /// See [`crate::domain::tracker::Tracker::list`].
    pub(super) async fn list_matching(
        &self,
        caller: Caller,
        entity_type: &str,
        filter: &str,
        after: Option<&str>,
    ) -> Result<Listing, TrackerError> {
        let filter = filter.trim();
        check_form(entity_type, filter)?;
        let behind = after.map(|id| format!("Id > {}", ids::quoted(id)));
        let wanted = Some(filter).filter(|filter| !filter.is_empty()).map(|filter| format!("({filter})"));
        let conditions: Vec<String> = wanted.into_iter().chain(behind).collect();
        let condition = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let soql = format!("SELECT Id FROM {entity_type}{condition} ORDER BY Id LIMIT {READ_BATCH}");
        let rows = self.query(caller, &soql, false, READ_BATCH).await?;
        let keys: Vec<String> =
            rows.records.iter().filter_map(|record| record.get("Id").and_then(Value::as_str).and_then(ids::complete)).collect();
        if keys.is_empty() {
            return Ok(Listing::default());
        }
        let read = self.read_records(caller, entity_type, &keys).await?;
        let read_at = read.tracker_time.unwrap_or_else(|| self.rest.their_now());
        // What was deleted between the two calls is no match any more.
        let records = read.found.into_iter().filter_map(|found| match found {
            Found::Here(entity) => Some((entity.key.clone(), look::content(*entity, read_at))),
            _ => None,
        });
        let next = keys.last().filter(|_| keys.len() >= READ_BATCH).cloned();
        Ok(Listing { records: records.collect(), next })
    }
}
