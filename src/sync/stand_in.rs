//! When a notice says so much that the record need not be read: nothing new, or all that is asked.
//!
//! What the light look brings was read by ourselves: it stands in. A message stands in only where the tracker's
//! `trust_messages` says so and it holds every field that the rules need, for a field that is missing from a message is
//! unknown, never empty. Both only where their stamp is later than all that we know of the record: messages come late
//! and out of order. A stamp that lies ahead of the tracker's clock proves nothing, so the record is read.

use std::{collections::BTreeSet, time::Duration};

use super::{judge::Known, outgoing::Worker};
use crate::{
    clock::Time,
    domain::{
        change::{Change, Content, Source},
        ids::ConnectionId,
        replica,
        tracker::Found,
        twin::Twin,
    },
};

/// How far the tracker's clock, as we know it, may be off.
const SLACK: Duration = Duration::from_secs(1);

/// A notice in place of a read.
#[derive(Debug)]
pub(super) struct Told {
    pub found: Found,
    /// Fields that it does not name are unknown.
    pub partial: bool,
    /// When the values were read, by the tracker's clock, if known.
    pub read_at: Option<Time>,
}

/// The notice that stands in for a read of this record, if one does.
pub(super) async fn told(worker: &Worker, known: &Known, changes: &[Change], twins: &[Twin]) -> Option<Told> {
    let stamped: Vec<(&Change, &Content, Time)> =
        changes.iter().filter_map(|change| content_of(change).map(|(content, stamp)| (change, content, stamp))).collect();
    let newest = stamped.iter().map(|(_, _, stamp)| *stamp).max()?;
    // Something only says "look", or two notices of one second may show different states of it.
    if stamped.len() < changes.len() || stamped.iter().filter(|(_, _, stamp)| *stamp == newest).count() > 1 {
        return None;
    }
    let (change, content, stamp) = stamped.into_iter().find(|(_, _, stamp)| *stamp == newest)?;
    if change.change.source == Source::Look && content.deleted && content.whole {
        return Some(Told { found: Found::Deleted, partial: false, read_at: None });
    }
    let their_now = Time(change.change.received_at.0 - worker.tracker.clock_offset_ms());
    let newer = |twin: &Twin| !twin.memory.deleted_here && twin.memory.stamp.is_some_and(|known| known < stamp);
    if !usable(worker, change, content) || stamp > their_now.plus(SLACK) || !twins.iter().all(newer) {
        return None;
    }
    if content.deleted {
        return Some(Told { found: Found::Deleted, partial: false, read_at: None });
    }
    // A message need not name our mark, and this may be a record that we are making.
    if twins.is_empty() && !content.whole && (!known.creates.is_empty() || known.resyncing) {
        return None;
    }
    let holds = |needed: &Option<BTreeSet<String>>| {
        needed.as_ref().is_some_and(|needed| needed.iter().all(|name| content.fields.contains_key(name)))
    };
    if !content.whole && !known.needs.values().all(holds) {
        return None;
    }
    let entity = worker.tracker.told(&change.change.entity_type, content).await?;
    Some(Told { found: Found::Here(Box::new(entity)), partial: !content.whole, read_at: content.read_at })
}

fn content_of(change: &Change) -> Option<(&Content, Time)> {
    let content = change.change.content.as_ref()?;
    Some((content, content.stamp?))
}

fn usable(worker: &Worker, change: &Change, content: &Content) -> bool {
    match change.change.source {
        Source::Look | Source::Trigger => content.whole || content.deleted,
        Source::OutboundMessage => worker.parts.trusted_messages.contains(&worker.name) && !content.deleted,
        _ => false,
    }
}

/// Whether all these notices show states of the record that its twins know.
pub(super) async fn all_known(worker: &Worker, known: &Known, changes: &[Change], twins: &[Twin]) -> bool {
    for twin in twins {
        let needs = known.needs.get(&twin.connection_id).and_then(Option::as_ref);
        for change in changes {
            if !shows_known(worker, needs, twin, change).await {
                return false;
            }
        }
    }
    true
}

/// Whether a notice shows a state of the record that we have read, and judged to its end.
async fn shows_known(worker: &Worker, needs: Option<&BTreeSet<String>>, twin: &Twin, change: &Change) -> bool {
    let Some(content) = &change.change.content else { return false };
    let memory = &twin.memory;
    if content.deleted || memory.owes_word || memory.deleted_here || memory.parked_out {
        return false;
    }
    // The look finds what the messages brought in the very second of its change: the content proves what no stamp can.
    if content.whole && memory.sent.is_some() && replica::differences(&memory.base, &content.fields).is_empty() {
        return true;
    }
    let (Some(stamp), Some(known)) = (content.stamp, memory.stamp) else { return false };
    let read_later = memory.read_at.is_some_and(|read_at| read_at.seconds() > stamp.seconds());
    stamp <= known && (read_later || is_echo(worker, needs, twin, change).await)
}

/// Whether a notice of the very second of our own write shows what we wrote and nothing more.
async fn is_echo(worker: &Worker, needs: Option<&BTreeSet<String>>, twin: &Twin, change: &Change) -> bool {
    let Some((content, stamp)) = content_of(change) else { return false };
    let by_us = content.editor.as_deref().is_some_and(|editor| worker.tracker.is_us(editor));
    if !by_us || !twin.memory.stamp_is_ours || twin.memory.stamp != Some(stamp) {
        return false;
    }
    let (Some(needs), Some(entity)) = (needs, worker.tracker.told(&change.change.entity_type, content).await) else {
        return false;
    };
    needs.iter().all(|name| {
        let value = |fields: &replica::Fields| fields.get(name).cloned().unwrap_or_default();
        replica::same_loosely(&value(&entity.fields), &value(&twin.memory.base))
    })
}

/// The fields of `entity` that an outgoing rule reads, as far as its text shows; `None` where it does not, as with
/// `entity[name]`.
pub(super) fn needs(source: &str) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    for (at, word) in source.match_indices("entity") {
        let rest = &source[at + word.len()..];
        if source[..at].chars().next_back().is_some_and(|before| is_part(before) || before == '.') || rest.starts_with(is_part) {
            continue;
        }
        let name: String = rest.strip_prefix('.')?.chars().take_while(|letter| is_part(*letter)).collect();
        match name.as_str() {
            "" | "comments" | "attachments" => return None,
            "entityType" | "key" => {}
            _ => {
                names.insert(name);
            }
        }
    }
    Some(names)
}

/// What the outgoing rules of these connections read.
pub(super) async fn needs_of(
    worker: &Worker,
    connections: impl Iterator<Item = &crate::domain::connection::Connection>,
) -> std::collections::BTreeMap<ConnectionId, Option<BTreeSet<String>>> {
    let mut all = std::collections::BTreeMap::new();
    for connection in connections {
        let pair = super::view::rules(worker, connection).await.ok();
        all.insert(connection.id, pair.and_then(|pair| needs(&pair.outgoing)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_shows_what_it_reads() {
        let names = |source: &str| needs(source).map(|names| names.into_iter().collect::<Vec<_>>().join(","));
        assert_eq!(names("replica.entity = entity.Status").as_deref(), Some("Status"));
        assert_eq!(
            names("replica.a = entity.Subject; replica.b = entity.key + entity.Status").as_deref(),
            Some("Status,Subject")
        );
        assert_eq!(names("for (const name in entity) {}"), None);
        assert_eq!(names("replica.a = entity['Subject']"), None);
        assert_eq!(names("const myentity = 1; replica.b = entityType").as_deref(), Some(""));
    }
}
