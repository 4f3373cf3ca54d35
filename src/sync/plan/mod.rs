//! What should happen, decided without any I/O: twin, record, replica and rule outcome in; effects out.
//!
//! [`outgoing`] compares a fresh replica with what the other side has. [`incoming`] decides, field by field, what of the
//! other side's word is written here. [`settle`] brings the twin's memory up to date after a write. All three only read
//! content, never names of users, so the integration user's own edits sync like anybody's.
//!
//! Words used below: *ours* is our record's side, *theirs* the other. A field of the replica and a field of the record
//! are different things: rules map one to the other and may rename, join or drop.

pub mod incoming;
pub mod outgoing;
pub mod settle;
#[cfg(test)]
mod tests;

use crate::domain::replica::Fields;

/// The value under a name, null where there is none.
pub(crate) fn value<'a>(fields: &'a Fields, name: &str) -> &'a serde_json::Value {
    fields.get(name).unwrap_or(&serde_json::Value::Null)
}
