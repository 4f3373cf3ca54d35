//! `/query`, `/queryAll` and their pages.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{errors::ApiError, soql, state::State};
use crate::clock::Time;

/// A cursor lives this long.
const LIFE: Duration = Duration::from_secs(2 * 24 * 3600);
/// As many as are kept; the oldest goes first.
const MOST: usize = 50;

#[derive(Debug)]
struct Cursor {
    rows: Vec<Value>,
    page: usize,
    made: Time,
}

#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: BTreeMap<String, Cursor>,
}

impl State {
    /// Runs a query and gives its first page.
    pub(super) fn query(&mut self, text: &str, deleted: bool, batch: usize, base: &str) -> Result<Value, ApiError> {
        let parsed = soql::parse(text)?;
        let rows = match soql::run(self, &parsed, deleted)? {
            soql::Answer::Count(count) => return Ok(json!({"totalSize": count, "done": true, "records": []})),
            soql::Answer::Rows(rows) => rows,
        };
        if rows.len() <= batch {
            return Ok(json!({"totalSize": rows.len(), "done": true, "records": rows}));
        }
        let locator = self.ids.make("01g");
        if self.cursors.open.len() >= MOST
            && let Some(oldest) = self.cursors.open.iter().min_by_key(|(_, cursor)| cursor.made).map(|(key, _)| key.clone())
        {
            self.cursors.open.remove(&oldest);
        }
        self.cursors.open.insert(locator.clone(), Cursor { rows, page: batch, made: self.clock.now() });
        self.more(&format!("{locator}-0"), base)
    }

    /// The page that a locator names: cursor, a dash, rows already given.
    pub(super) fn more(&self, locator: &str, base: &str) -> Result<Value, ApiError> {
        let bogus = || ApiError::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        let (key, from) = locator.rsplit_once('-').ok_or_else(bogus)?;
        let from = from.parse::<usize>().map_err(|_| bogus())?;
        let cursor = self.cursors.open.get(key).filter(|cursor| self.now().since(cursor.made) < LIFE).ok_or_else(bogus)?;
        if from > cursor.rows.len() {
            return Err(bogus());
        }
        let until = (from + cursor.page).min(cursor.rows.len());
        let mut answer = json!({"totalSize": cursor.rows.len(), "done": until == cursor.rows.len()});
        if until < cursor.rows.len() {
            answer["nextRecordsUrl"] = json!(format!("{base}/query/{key}-{until}"));
        }
        answer["records"] = json!(cursor.rows[from..until]);
        Ok(answer)
    }
}
