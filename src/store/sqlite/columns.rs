//! Between Rust's values and columns: reading, writing, and pages.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};

use super::tx::Got;
use crate::{
    clock::Time,
    store::{
        StoreError,
        rows::{Page, Paged},
    },
};

/// A column's value.
pub(super) fn col<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, index: usize) -> Got<T> {
    Ok(row.try_get(index)?)
}

/// A column that holds text which parses, such as an id or a status.
pub(super) fn parsed<T: std::str::FromStr>(row: &SqliteRow, index: usize) -> Got<T> {
    let text: &str = col(row, index)?;
    text.parse().map_err(|_| StoreError::Broken(format!("`{text}` is not understood")))
}

/// Such a column that may be NULL or empty.
pub(super) fn parsed_opt<T: std::str::FromStr>(row: &SqliteRow, index: usize) -> Got<Option<T>> {
    match col::<Option<&str>>(row, index)? {
        None | Some("") => Ok(None),
        Some(_) => parsed(row, index).map(Some),
    }
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, index: usize) -> Got<T> {
    from_json(col(row, index)?)
}

/// A moment.
pub(super) fn time(row: &SqliteRow, index: usize) -> Got<Time> {
    Ok(Time(col(row, index)?))
}

/// A moment or NULL.
pub(super) fn time_opt(row: &SqliteRow, index: usize) -> Got<Option<Time>> {
    Ok(col::<Option<i64>>(row, index)?.map(Time))
}

/// A number that counts up from zero.
pub(super) fn count(row: &SqliteRow, index: usize) -> Got<u64> {
    Ok(u64::try_from(col::<i64>(row, index)?).unwrap_or(0))
}

/// As SQLite counts: what is beyond stays at the end.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// JSON out of the database.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Got<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("a stored document is not understood: {error}")))
}

/// JSON for the database.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Got<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a document cannot be written: {error}")))
}

/// The word of an enum without content, as in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> Got<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Broken("a word was expected".to_owned())),
    }
}

/// Ids as the JSON array that `json_each` opens.
pub(super) fn list<T: ToString>(ids: &[T]) -> Got<String> {
    to_json(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Rows in one statement, the largest first: few lengths, so that each text is parsed once and kept.
const ROWS: [usize; 3] = [32, 8, 1];

/// Parts of a list in the lengths of [`ROWS`].
pub(super) fn parts<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (part, rest) = rows.split_at(length);
        rows = rest;
        Some(part)
    })
}

/// Places for so many rows of so many values.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

/// Where a page begins: everything before this moment and tie-breaker, newest first.
pub(super) fn place(page: &Page) -> Got<(i64, Option<&str>)> {
    let Some(after) = &page.after else { return Ok((i64::MAX, None)) };
    after.split_once('.').and_then(|(at, tie)| Some((at.parse().ok()?, Some(tie)))).ok_or(StoreError::NoPlace)
}

/// How many rows to read for a page: one more shows whether something follows.
pub(super) fn page_rows(page: &Page) -> i64 {
    i64::from(page.limit) + 1
}

/// Makes a page of rows read with their places.
pub(super) fn paged<T>(mut rows: Vec<(String, T)>, page: &Page) -> Paged<T> {
    let limit = page.limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(place, _)| place.clone());
    Paged { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}
