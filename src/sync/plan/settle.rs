//! After a write: what the twin remembers now.

use serde_json::Value;

use super::{
    incoming::{Chosen, Weighed},
    value,
};
use crate::{
    clock::Time,
    domain::{
        replica::{self, Fields},
        tracker::Entity,
        twin::Memory,
    },
};

/// Takes in what was written, or that nothing had to be. `before` is the record right before the write (`None` for a
/// create), `after` the read-back where the tracker was asked.
pub fn settle(memory: &mut Memory, weighed: &Weighed, chosen: &Chosen, before: Option<&Entity>, after: Option<&Entity>) {
    let created = before.is_none();
    if created {
        memory.base = match after {
            Some(entity) if entity.edited_by_us != Some(false) => entity.fields.clone(),
            _ => chosen.write.clone(),
        };
    }
    if let Some(entity) = before
        && memory.base.is_empty()
        && memory.assigned.is_empty()
    {
        // A twin that a restore lost: what differs from their word was done here.
        memory.base.clone_from(&entity.fields);
        memory.base.extend(chosen.assigned.clone());
    }
    for (name, written) in &chosen.write {
        memory.base.insert(name.clone(), baseline(name, written, after));
        memory.sent_local.remove(name);
    }
    for name in &chosen.agree {
        let now = before.map_or(&Value::Null, |entity| value(&entity.fields, name));
        memory.base.insert(name.clone(), now.clone());
        memory.sent_local.remove(name);
    }
    for (name, assigned) in &chosen.assigned {
        memory.assigned.insert(name.clone(), assigned.clone());
        if !chosen.cut.contains(name) {
            memory.cut.retain(|cut| cut != name || !chosen.write.contains_key(name));
        }
    }
    for name in &chosen.cut {
        if !memory.cut.contains(name) {
            memory.cut.push(name.clone());
        }
    }
    memory.received = Some(weighed.replica.clone());
    memory.undecided.clone_from(&weighed.undecided);
    if !weighed.word.is_empty() {
        memory.owes_word = true;
        memory.word.clone_from(&weighed.word);
    }
    match (after, before) {
        (Some(entity), _) => note_read(memory, entity, None),
        (None, Some(entity)) if chosen.write.is_empty() => note_read(memory, entity, None),
        // Written, and not read since: no stamp that we know is that of the record as it is now.
        _ => memory.stamp = None,
    }
}

/// Remembers the stamp of a read, so that later notices of the same state cost nothing. `read_at` is the tracker's time
/// then, where known; a stamp that lies ahead of it is not kept.
pub fn note_read(memory: &mut Memory, entity: &Entity, read_at: Option<Time>) {
    memory.stamp = entity.stamp.filter(|stamp| read_at.is_none_or(|now| stamp.seconds() <= now.seconds()));
    memory.read_at = read_at;
    memory.stamp_is_ours = entity.edited_by_us == Some(true);
}

/// What the tracker made of a value that we just wrote becomes the baseline only while the record still names us as its
/// last editor; where no editor is named, only if the difference is of the sort that trackers make.
fn baseline(name: &str, written: &Value, after: Option<&Entity>) -> Value {
    let Some(entity) = after else { return written.clone() };
    let Some(read) = entity.fields.get(name) else { return written.clone() };
    match entity.edited_by_us {
        Some(true) => read.clone(),
        Some(false) => written.clone(),
        None if cleaned(written, read) => read.clone(),
        None => written.clone(),
    }
}

/// Whether `read` is what a tracker makes of `written`: trimmed, cut, in another case, rounded, or written as text.
fn cleaned(written: &Value, read: &Value) -> bool {
    if replica::same_loosely(written, read) {
        return true;
    }
    match (written, read) {
        (Value::String(written), Value::String(read)) => {
            let (a, b) = (squeeze(written), squeeze(read));
            a == b || !b.is_empty() && a.starts_with(&b)
        }
        (Value::Number(written), Value::Number(read)) => match (written.as_f64(), read.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() < 1.0,
            _ => false,
        },
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            text.trim().parse::<f64>().ok() == number.as_f64()
        }
        _ => false,
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether somebody changed a field since a write of ours left for it whose answer is still out: a repeat would land on
/// what people did.
pub fn changed_since(memory: &Memory, fields: &Fields) -> bool {
    memory.pending_write.as_ref().filter(|pending| pending.key.is_some()).is_some_and(|pending| {
        pending.fields.iter().any(|(name, ours)| {
            let now = value(fields, name);
            !replica::same_loosely(now, ours) && !replica::same_loosely(now, value(&memory.base, name))
        })
    })
}

/// The record without what a write of ours made of it whose answer is still out: such a value is no edit, and becomes the
/// baseline when the write is settled.
pub fn without_open_write(memory: &Memory, fields: &mut Fields) {
    let Some(pending) = memory.pending_write.as_ref().filter(|pending| pending.key.is_some()) else { return };
    for (name, ours) in &pending.fields {
        if replica::same_loosely(value(fields, name), ours) {
            fields.insert(name.clone(), value(&memory.base, name).clone());
        }
    }
}

/// An edit of a field that holds a cut text is not sent back over the longer original: the record as the outgoing rule
/// should see it, and the fields that were put back.
pub fn without_cut_edits(memory: &Memory, fields: &Fields) -> (Fields, Vec<String>) {
    let mut shown = fields.clone();
    let mut put_back = Vec::new();
    for name in &memory.cut {
        let base = value(&memory.base, name);
        if !replica::same_loosely(base, value(fields, name)) {
            shown.insert(name.clone(), base.clone());
            put_back.push(name.clone());
        }
    }
    (shown, put_back)
}
