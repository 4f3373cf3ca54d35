//! A record changed here: does the other side have to hear of it?

use std::{collections::BTreeMap, time::Duration};

use super::value;
use crate::{
    clock::Time,
    domain::{
        history::FieldChange,
        replica::{self, Fields},
        twin::{Flip, Memory, Unconfirmed},
    },
};

/// A field that went around this often within [`FLIP_WINDOW`] is stopped.
pub const MAX_FLIPS: u32 = 5;
/// See [`MAX_FLIPS`].
pub const FLIP_WINDOW: Duration = Duration::from_secs(600);

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The other side has all of it.
    Unchanged,
    /// It has to hear of these differences.
    Send {
        /// When each difference was first seen.
        changed: BTreeMap<String, Time>,
        /// For the history.
        changes: Vec<FieldChange>,
    },
    /// A field goes back and forth between the two sides.
    PingPong {
        /// The replica's field.
        field: String,
        /// The two values.
        flip: Flip,
    },
}

/// The record as it was read and what the outgoing rule made of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Our record's fields.
    pub fields: &'a Fields,
    /// The replica.
    pub replica: &'a Fields,
    /// When the record says it changed, on our node's clock.
    pub modified_at: Time,
    /// Now, on our node's clock.
    pub now: Time,
}

/// Compares, and brings the memory up to date as if the decision were carried out.
pub fn plan(memory: &mut Memory, seen: Seen<'_>) -> Decision {
    let empty = Fields::new();
    let sent = memory.sent.as_ref().unwrap_or(&empty);
    let first = memory.sent.is_none();
    let mut names = replica::differences(sent, seen.replica);
    if first {
        names.extend(seen.replica.keys().filter(|name| !sent.contains_key(*name)).cloned());
        names.sort();
        names.dedup();
    }
    if names.is_empty() && !first && !memory.owes_word {
        memory.base = seen.fields.clone();
        memory.first_seen.clear();
        return Decision::Unchanged;
    }
    if let Some(stopped) = count_flips(&mut memory.flips, &names, seen) {
        return stopped;
    }
    let changes = names
        .iter()
        .filter(|name| !first || !seen.replica.get(*name).is_none_or(serde_json::Value::is_null))
        .map(|name| FieldChange {
            field: name.clone(),
            from: value(sent, name).clone(),
            to: value(seen.replica, name).clone(),
            conflict: false,
        })
        .collect();
    let mut changed: BTreeMap<String, Time> = names
        .into_iter()
        .map(|name| {
            // Where the record names no time, its notice may know an earlier one than the read that came before it.
            let at = memory.first_seen.get(&name).copied().unwrap_or(seen.modified_at).min(seen.modified_at);
            (name, at)
        })
        .collect();
    for name in std::mem::take(&mut memory.word) {
        changed.entry(name).or_insert(seen.modified_at);
    }
    for (name, at) in changed.iter().filter(|_| !first) {
        let before = Unconfirmed { from: value(sent, name).clone(), at: *at };
        memory.unconfirmed.entry(name.clone()).or_insert(before);
    }
    remember_sent_values(memory, seen.fields);
    memory.base = seen.fields.clone();
    memory.sent = Some(seen.replica.clone());
    memory.first_seen.clear();
    memory.owes_word = false;
    Decision::Send { changed, changes }
}

/// Fields of ours that people changed are about to be known there: when such a value comes back it is no change. Before
/// anything of theirs is in effect here, any field may turn out to be one that the incoming rule assigns.
pub fn remember_sent_values(memory: &mut Memory, fields: &Fields) {
    for name in replica::differences(&memory.base, fields) {
        if memory.assigned.contains_key(&name) || memory.received.is_none() && memory.sent.is_some() {
            memory.sent_local.insert(name.clone(), value(fields, &name).clone());
        }
    }
}

fn count_flips(flips: &mut BTreeMap<String, Flip>, names: &[String], seen: Seen<'_>) -> Option<Decision> {
    flips.retain(|_, flip| seen.now.since(flip.since) < FLIP_WINDOW);
    for name in names {
        let Some(flip) = flips.get_mut(name) else { continue };
        if replica::same(&flip.ours, value(seen.replica, name)) {
            flip.count += 1;
            if flip.count >= MAX_FLIPS {
                let flip = flip.clone();
                flips.remove(name);
                return Some(Decision::PingPong { field: name.clone(), flip });
            }
        } else {
            flips.remove(name);
        }
    }
    None
}
