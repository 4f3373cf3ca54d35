//! Their word against ours: what is put before the plan when an event is judged.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    asks::Desk,
    decide::Item,
    fold::our_clock,
    outgoing::Worker,
    plan::{
        self,
        incoming::{Ours, Resync, Theirs, Weighed},
    },
    written,
};
use crate::{
    clock::Time,
    domain::{
        event::{Body, Sync},
        replica,
        tracker::Entity,
        twin::Twin,
    },
    store::rows::Unseen,
};

/// Step 1 of the plan, with what our record says now; and when the differences that are still to be sent were first seen.
pub(super) async fn weigh(
    worker: &Worker,
    item: &Item,
    twin: &Twin,
    before: Option<&Entity>,
    outgoing: &str,
) -> (Weighed, BTreeMap<String, Time>) {
    let mut first_seen = twin.memory.first_seen.clone();
    let Some(sync) = &item.folded.sync else {
        let replica = twin.memory.received.clone().unwrap_or_default();
        let empty = Weighed { replica, before: None, conflicts: vec![], word: vec![], undecided: vec![], taken: vec![] };
        return (empty, first_seen);
    };
    let mut ours_changed = unheard(item);
    let mut ours_now = twin.memory.sent.clone().unwrap_or_default();
    if let Some(entity) = before
        && (sync.confirmed.is_some() || !replica::differences(&twin.memory.base, &entity.fields).is_empty())
        && let Some(fresh) = written::replica_of(
            worker,
            &item.connection,
            outgoing,
            (&twin.memory, entity),
            &Desk::comparing(worker, twin.connection_id),
        )
        .await
    {
        let at = entity.modified_at.map_or_else(|| worker.parts.clock.now(), |at| Time(at.0 + item.offset_ms));
        // What they say they applied has crossed already, whatever we remember of it.
        let crossed = |name: &str| {
            sync.applied.as_ref().is_some_and(|applied| replica::same(plan::value(applied, name), plan::value(&fresh, name)))
        };
        let told = twin.memory.sent.iter().flat_map(|sent| replica::differences(sent, &fresh));
        for name in told.filter(|name| !crossed(name)) {
            let first = *first_seen.entry(name.clone()).or_insert(at);
            ours_changed.insert(name, first);
        }
        ours_now = fresh;
    }
    // Nothing that has arrived was changed later than now, whatever it says.
    let (now, offset) = (worker.parts.clock.now(), item.link.offset_at(item.connection.side));
    let mut changed: BTreeMap<String, Time> =
        our_clock(&sync.changed, offset).into_iter().map(|(name, at)| (name, at.min(now))).collect();
    let modified_at = sync.modified_at.map_or(item.folded.at, |at| Time(at.0.saturating_add(offset))).min(now);
    if item.folded.whole && !changed.is_empty() {
        for name in plan::incoming::new_to_us(&twin.memory, &sync.replica) {
            changed.entry(name).or_insert(modified_at);
        }
    }
    let resync = Resync::of(sync, item.link.set_back_here || twin.memory.set_back);
    let decided = answered(item, &ours_changed);
    Resync::keep_unheard(resync, &mut ours_changed, (&twin.memory, &decided), &ours_now);
    let theirs = Theirs { replica: &sync.replica, changed: &changed, modified_at, resync };
    let ours =
        Ours { changed: &ours_changed, replica: &ours_now, decides: item.connection.decides(), prefer: item.connection.prefer };
    (plan::incoming::weigh(&twin.memory, theirs, ours), first_seen)
}

/// Fields of ours that changed and that they had not heard of when they changed theirs.
fn unheard(item: &Item) -> BTreeMap<String, Time> {
    let mut changed: BTreeMap<String, Time> = BTreeMap::new();
    for (unseen, sent) in told(item) {
        for (name, at) in &sent.changed {
            let seen = item.folded.seen_by_field.get(name).unwrap_or(&item.folded.seen);
            if unseen.n.is_none_or(|n| n > *seen) {
                changed.insert(name.clone(), *at);
            }
        }
    }
    changed
}

/// Fields that they changed after they had heard of our last change of them: nothing of ours is open there.
fn answered(item: &Item, unheard: &BTreeMap<String, Time>) -> BTreeSet<String> {
    let told = told(item).flat_map(|(_, sent)| sent.changed.keys());
    told.filter(|name| !unheard.contains_key(*name) && item.folded.seen_by_field.contains_key(*name)).cloned().collect()
}

/// What we said of the twin and had no word on yet.
fn told(item: &Item) -> impl Iterator<Item = (&Unseen, &Sync)> {
    item.unseen.iter().filter_map(|unseen| match &unseen.body {
        Body::Sync(sent) => Some((unseen, &**sent)),
        _ => None,
    })
}
