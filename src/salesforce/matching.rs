//! Queries, and filters put to Salesforce itself: one query for many records.
//!
//! A long answer comes in pages behind a locator. Where it is lost (it lives two days, and an org keeps few), the query
//! begins anew, once. A page that leads nowhere although it is not the last is an error: rows left out in silence would
//! look like records that do not match.

use std::collections::HashSet;

use serde_json::Value;

use super::{error, ids, reading, rest::Call, tracker::Salesforce};
use crate::domain::tracker::{Caller, Entity, TrackerError};

/// Longest query as it stands in the address: Salesforce takes 16,384 bytes of address and headers.
const MOST_URI: usize = 13_000;
/// Longest filter, in characters.
const MOST_FILTER: usize = 4_000;

/// Rows of a query.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub records: Vec<Value>,
    /// There are more than were asked for.
    pub more: bool,
}

/// Slices of at most `most`.
pub(super) fn batches<T>(items: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    items.chunks(most.max(1))
}

impl Salesforce {
    /// Runs a query and follows its pages until there are `most` rows.
    pub(super) async fn query(&self, caller: Caller, soql: &str, all: bool, most: usize) -> Result<Rows, TrackerError> {
        match self.query_once(caller, soql, all, most).await {
            Err(error) if error.code == "INVALID_QUERY_LOCATOR" => self.query_once(caller, soql, all, most).await,
            other => other,
        }
    }

    async fn query_once(&self, caller: Caller, soql: &str, all: bool, most: usize) -> Result<Rows, TrackerError> {
        let first = if all { "/queryAll" } else { "/query" };
        let mut call = Call::get(first).query("q", soql);
        let mut rows = Rows::default();
        loop {
            let mut page = self.rest.call(caller, call).await?.json()?;
            match page.get_mut("records").map(Value::take) {
                Some(Value::Array(records)) => rows.records.extend(records),
                _ => return Err(error::unexpected("The query's answer has no rows.", false)),
            }
            let done = page.get("done").and_then(Value::as_bool);
            match page.get("nextRecordsUrl").and_then(Value::as_str) {
                None if done == Some(false) => {
                    return Err(error::unexpected("A query's page does not say where the next one is.", false));
                }
                None => return Ok(rows),
                Some(_) if rows.records.len() >= most => {
                    rows.more = true;
                    return Ok(rows);
                }
                Some(next) => call = Call::get(path_of(next)?),
            }
        }
    }

    /// See [`crate::domain::tracker::Tracker::matches`].
    pub(super) async fn match_records(
        &self,
        caller: Caller,
        entity_type: &str,
        filter: &str,
        entities: &[&Entity],
    ) -> Result<Vec<bool>, TrackerError> {
        let filter = filter.trim();
        if filter.is_empty() {
            return Ok(vec![true; entities.len()]);
        }
        check_form(entity_type, filter)?;
        let keys: Vec<String> = entities.iter().map(|entity| entity.key.clone()).collect();
        for key in &keys {
            reading::check_key(key)?;
        }
        let mut matching: HashSet<String> = HashSet::new();
        for batch in batches(&keys, batch_size(filter)) {
            let soql = format!("SELECT Id FROM {entity_type} WHERE Id IN ({}) AND ({filter})", reading::list(batch));
            let rows = self.query(caller, &soql, false, usize::MAX).await?;
            let found = rows.records.iter().filter_map(|record| record.get("Id")?.as_str());
            matching.extend(found.filter_map(ids::complete));
        }
        Ok(keys.iter().map(|key| ids::complete(key).is_some_and(|key| matching.contains(&key))).collect())
    }

    /// See [`crate::domain::tracker::Tracker::count`]. One call, however many there are.
    pub(super) async fn count_matching(&self, caller: Caller, entity_type: &str, filter: &str) -> Result<u64, TrackerError> {
        let filter = filter.trim();
        check_form(entity_type, filter)?;
        let condition = if filter.is_empty() { String::new() } else { format!(" WHERE ({filter})") };
        let soql = format!("SELECT COUNT() FROM {entity_type}{condition}");
        let answer = self.rest.call(caller, Call::get("/query").query("q", &soql)).await?.json()?;
        Ok(answer.get("totalSize").and_then(Value::as_u64).unwrap_or_default())
    }

    /// See [`crate::domain::tracker::Tracker::check_filter`].
    pub(super) async fn try_filter(&self, entity_type: &str, filter: &str) -> Result<(), TrackerError> {
        let filter = filter.trim();
        if filter.is_empty() {
            return Ok(());
        }
        check_form(entity_type, filter)?;
        let soql = format!("SELECT Id FROM {entity_type} WHERE ({filter}) LIMIT 1");
        self.query(Caller::Person, &soql, false, 1).await.map(|_| ())
    }
}

/// Where the next page is: a path, or an address whose path counts.
fn path_of(next: &str) -> Result<String, TrackerError> {
    let path = match url::Url::parse(next) {
        Ok(address) => address.path().to_owned(),
        Err(_) => next.to_owned(),
    };
    match path.starts_with("/services/data/") {
        true => Ok(path),
        false => Err(error::unexpected("A query's next page is no address of the API.", false)),
    }
}

/// Ids that fit into one query beside the filter.
fn batch_size(filter: &str) -> usize {
    let room = MOST_URI.saturating_sub(encoded_len(filter) + 200);
    // An id with its quotes and comma: 18 + 3 + 3 + 3.
    (room / 27).clamp(1, 500)
}

fn encoded_len(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

/// Refuses a filter that would not stay within its brackets: then it could show records that it was not put to.
pub(super) fn check_form(entity_type: &str, filter: &str) -> Result<(), TrackerError> {
    let refuse = |detail: String| {
        Err(error::record(
            "MALFORMED_QUERY",
            "Salesforce cannot be asked with this filter",
            detail,
            "Write a SOQL condition without WHERE.",
        ))
    };
    if !ids::is_name(entity_type) {
        return refuse(format!("`{}` is no API name of an object.", error::short(entity_type)));
    }
    if filter.chars().count() > MOST_FILTER {
        return refuse(format!("The filter is longer than {MOST_FILTER} characters."));
    }
    if encoded_len(filter) > MOST_URI - 1_000 {
        return refuse(
            "The filter is too long for an address: each letter beyond ASCII takes six bytes or more there.".to_owned(),
        );
    }
    if closes_too_much(filter) {
        return refuse("Its brackets or quotes do not close.".to_owned());
    }
    Ok(())
}

fn closes_too_much(filter: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0i32, false, false);
    for letter in filter.chars() {
        match (quoted, letter) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => escaped = true,
            (_, '\'') => quoted = !quoted,
            (false, '(') => depth += 1,
            (false, ')') => {
                depth -= 1;
                if depth < 0 {
                    return true;
                }
            }
            _ => {}
        }
    }
    quoted || depth != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stays_within_its_brackets() {
        assert!(check_form("Case", "Status = 'New' AND (Priority = 'High' OR Subject LIKE '%)%')").is_ok());
        assert!(check_form("Case", "Subject = 'it\\'s (open'").is_ok());
        assert!(check_form("Case", "Id != null) OR (Id != null").is_err());
        assert!(check_form("Case", "Status = 'New").is_err());
        assert!(check_form("Case WHERE", "Id != null").is_err());
        assert!(check_form("Case", &format!("Subject = '{}'", "ä".repeat(3_000))).is_err());
    }

    #[test]
    fn the_next_page_is_a_path_of_the_api() {
        assert_eq!(path_of("/services/data/v68.0/query/01g-2000").expect("a path"), "/services/data/v68.0/query/01g-2000");
        assert_eq!(path_of("https://acme/services/data/v68.0/query/01g").expect("a path"), "/services/data/v68.0/query/01g");
        assert!(path_of("/elsewhere").is_err());
    }

    #[test]
    fn a_long_filter_leaves_less_room() {
        assert!(batch_size("Status = 'New'") > 400);
        assert!(batch_size(&"x".repeat(4_000)) < 350);
        assert!(batch_size(&"'".repeat(8_000)) >= 1);
    }
}
