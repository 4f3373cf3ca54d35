//! All waiting events of a twin, folded into one: what they say together, and up to which number.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settle::{Again, Trouble};
use crate::{
    clock::Time,
    domain::{
        event::{Body, Event, RemoteRef, ResultBody, Start, Sync},
        history::Outcome,
        ids::{CorrelationId, EntityRef},
        twin::{RemoteOutcome, Status, Twin},
    },
    store::rows::Arrived,
};

/// What the events say together.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The newest state, with the union of what changed.
    pub sync: Option<Sync>,
    /// `seen` of that event.
    pub seen: u64,
    /// For each field that changed: `seen` of the first event that said so.
    pub seen_by_field: BTreeMap<String, u64>,
    /// Number of that event.
    pub sync_n: u64,
    /// When that event was made there.
    pub at: Time,
    /// It follows this change.
    pub correlation: Option<CorrelationId>,
    /// Their record is gone.
    pub deleted: bool,
    /// They stopped the twin, and nothing came after.
    pub stopped: bool,
    /// They want these two to be a twin.
    pub link: Option<(RemoteRef, RemoteRef, Start)>,
    /// Words on our events.
    pub results: Vec<ResultBody>,
    /// Cannot be used.
    pub bad: Option<Trouble>,
    /// Last number.
    pub up_to: u64,
    /// Epoch of it.
    pub epoch: u64,
    /// Rows to end.
    pub rows: Vec<i64>,
    /// Syncs that a later one carried: their numbers.
    pub superseded: Vec<u64>,
    /// When the first of them arrived.
    pub received_at: Time,
}

/// Folds in order of number. A record that is still to be linked is told by the link alone: what follows it is for the
/// next round, when both records are known.
pub(super) fn fold(events: &[Arrived], linked: bool) -> Folded {
    let mut folded = Folded { received_at: events.first().map_or(Time(0), |event| event.received_at), ..Folded::default() };
    for arrived in events {
        folded.rows.push(arrived.row);
        folded.up_to = arrived.n;
        folded.epoch = arrived.epoch;
        match Event::deserialize(&mut serde_json::Deserializer::from_str(&arrived.json)) {
            Ok(event) => {
                take(&mut folded, event);
                if folded.link.is_some() && !linked {
                    break;
                }
            }
            Err(error) => folded.bad = Some(unusable(arrived.n, &error.to_string())),
        }
    }
    folded
}

fn take(folded: &mut Folded, event: Event) {
    match event.body {
        Body::Sync(sync) => {
            let mut sync = *sync;
            for name in sync.changed.keys() {
                folded.seen_by_field.entry(name.clone()).or_insert(event.seen);
            }
            // It says all that the one that went empty would have said.
            folded.bad.take_if(|bad| bad.code == EMPTIED);
            if let Some(before) = folded.sync.take() {
                folded.superseded.push(std::mem::replace(&mut folded.sync_n, event.n));
                for (name, at) in before.changed {
                    let slot = sync.changed.entry(name).or_insert(at);
                    *slot = (*slot).max(at);
                }
                sync.applied = sync.applied.or(before.applied);
                sync.confirmed = sync.confirmed.or(before.confirmed);
                sync.remote = sync.remote.or(before.remote);
            }
            folded.sync = Some(sync);
            folded.sync_n = event.n;
            folded.seen = event.seen;
            folded.at = event.at;
            folded.correlation = event.correlation;
            folded.deleted = false;
            folded.stopped = false;
        }
        Body::Result(result) => folded.results.push(result),
        Body::Link { local, remote, start } => {
            folded.link = Some((local, remote, start));
            folded.correlation = event.correlation.or(folded.correlation);
            folded.seen = event.seen;
            folded.stopped = false;
        }
        Body::Deleted { .. } => {
            folded.deleted = true;
            folded.correlation = event.correlation.or(folded.correlation);
            folded.seen = event.seen;
        }
        Body::Stop {} => folded.stopped = true,
        Body::Resynced {} => {}
        Body::Empty {} => folded.bad = Some(emptied(event.n)),
    }
}

/// Code of an event that left without its words.
const EMPTIED: &str = "event_emptied";

fn emptied(n: u64) -> Trouble {
    Trouble {
        code: EMPTIED.to_owned(),
        title: "A record of the other side is too large for the way here".to_owned(),
        detail: format!("event {n} was refused as too large by something between the nodes, and left without its words"),
        advice: "Raise the body limit of the proxy in between to 4 MB; the other side's admin then retries its error.".to_owned(),
        again: Again::Newer,
    }
}

fn unusable(n: u64, why: &str) -> Trouble {
    Trouble {
        code: "event_unusable".to_owned(),
        title: "An event of the other side cannot be used".to_owned(),
        detail: format!("event {n}: {why}"),
        advice: "Tell the partner's admin; skipping it gives the event up.".to_owned(),
        again: Again::Newer,
    }
}

/// Takes their words on our events into the twin.
pub(super) fn take_results(twin: &mut Twin, results: &[ResultBody], now: Time) {
    for result in results {
        if result.outcome != Outcome::Parked {
            twin.peer_seen = twin.peer_seen.max(result.up_to);
        }
        if let Some(key) = &result.key {
            let entity_type = result
                .entity_type
                .clone()
                .or_else(|| twin.remote.as_ref().map(|remote| remote.entity_type.clone()))
                .unwrap_or_default();
            let url = result.url.clone().or_else(|| twin.remote.as_ref().and_then(|remote| remote.url.clone()));
            twin.remote = Some(EntityRef { entity_type, key: key.clone(), url });
        }
        twin.remote_outcome = Some(RemoteOutcome { outcome: result.outcome, title: result.title.clone(), at: now });
        if twin.status == Status::Waiting && twin.remote.is_some() && twin.local.is_some() {
            twin.status = Status::InSync;
        }
        if result.outcome == Outcome::Applied {
            twin.last_synced_at = Some(now);
        }
    }
}

/// Their times on our clock.
pub(super) fn our_clock(changed: &BTreeMap<String, Time>, offset_ms: i64) -> BTreeMap<String, Time> {
    changed.iter().map(|(name, at)| (name.clone(), Time(at.0.saturating_add(offset_ms)))).collect()
}
