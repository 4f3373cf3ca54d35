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
        replica,
        twin::{RemoteOutcome, Status, Twin},
    },
    store::rows::Arrived,
};

/// Longest key, entity type or title, in bytes.
const MOST_NAME: usize = 1_000;
/// Longest address.
const MOST_URL: usize = 2_000;
/// Trackers that a record may have come through.
const MOST_VIA: usize = 100;

/// What the events say together.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The newest state, with the union of what changed.
    pub sync: Option<Sync>,
    /// `seen` of that event.
    pub seen: u64,
    /// For each field that changed: `seen` of the last event that said so. It may be their decision on a conflict, folded
    /// with the edit that began it.
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
    /// Every twin of their epoch has been sent.
    pub resynced: bool,
    /// Cannot be used, and no whole record came after it.
    pub bad: Option<Trouble>,
    /// Number of that event.
    pub bad_n: u64,
    /// What came before the newest state could not be used: its list of changes is not all that changed.
    pub whole: bool,
    /// Last number.
    pub up_to: u64,
    /// Epoch of it.
    pub epoch: u64,
    /// Rows to end.
    pub rows: Vec<i64>,
    /// What a later one carried: the numbers of syncs, and of what cannot be used.
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
        match read(arrived) {
            Ok(event) => {
                take(&mut folded, event);
                if folded.link.is_some() && !linked {
                    break;
                }
            }
            Err(why) => stumble(&mut folded, arrived.n, unusable(arrived.n, &why)),
        }
    }
    folded
}

/// Whatever the peer sends is data: what is no event, or has no size for one, is told as text.
fn read(arrived: &Arrived) -> Result<Event, String> {
    let mut event =
        Event::deserialize(&mut serde_json::Deserializer::from_str(&arrived.json)).map_err(|error| error.to_string())?;
    if arrived.twin.is_none() && !matches!(event.body, Body::Resynced {}) {
        return Err("it names no twin".to_owned());
    }
    match &mut event.body {
        Body::Sync(sync) => {
            named(&sync.entity_type, &sync.key)?;
            for replica in std::iter::once(&sync.replica).chain(&sync.applied).chain(&sync.confirmed) {
                replica::check(replica).map_err(|error| error.to_string())?;
            }
            if sync.via.len() > MOST_VIA || sync.via.iter().any(|name| name.len() > MOST_NAME) {
                return Err(format!("via must have at most {MOST_VIA} names of {MOST_NAME} bytes"));
            }
            sync.url = sync.url.take().filter(|url| shown(url));
            // A key of ours that is no key is no wish.
            sync.remote = sync.remote.take().filter(|ours| named(&ours.entity_type, &ours.key).is_ok());
        }
        Body::Result(result) => {
            named(result.entity_type.as_deref().unwrap_or("-"), result.key.as_deref().unwrap_or("-"))?;
            result.url = result.url.take().filter(|url| shown(url));
            result.title = result.title.take().map(|title| cut(&title));
        }
        Body::Link { local, remote, .. } => {
            named(&local.entity_type, &local.key)?;
            named(&remote.entity_type, &remote.key)?;
            local.url = local.url.take().filter(|url| shown(url));
        }
        Body::Deleted { .. } | Body::Stop {} | Body::Resynced {} | Body::Empty {} => {}
    }
    Ok(event)
}

fn named(entity_type: &str, key: &str) -> Result<(), String> {
    let good = |text: &str| !text.is_empty() && text.len() <= MOST_NAME;
    if good(entity_type) && good(key) { Ok(()) } else { Err(format!("entity_type and key must have 1 to {MOST_NAME} bytes")) }
}

/// Addresses are shown as links: only what a browser opens as a page is kept.
fn shown(url: &str) -> bool {
    url.len() <= MOST_URL && (url.starts_with("https://") || url.starts_with("http://"))
}

fn cut(title: &str) -> String {
    let end = (0..=MOST_NAME.min(title.len())).rev().find(|at| title.is_char_boundary(*at)).unwrap_or(0);
    title[..end].to_owned()
}

fn take(folded: &mut Folded, event: Event) {
    match event.body {
        Body::Sync(sync) => {
            let mut sync = *sync;
            for name in sync.changed.keys() {
                folded.seen_by_field.insert(name.clone(), event.seen);
            }
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
            // It says all that the one which could not be used would have said.
            if folded.bad.take().is_some() {
                folded.superseded.push(folded.bad_n);
                folded.whole = true;
            }
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
        Body::Resynced {} => folded.resynced = true,
        Body::Empty {} => stumble(folded, event.n, emptied(event.n)),
    }
}

fn stumble(folded: &mut Folded, n: u64, trouble: Trouble) {
    let before = std::mem::replace(&mut folded.bad_n, n);
    if folded.bad.replace(trouble).is_some() {
        folded.superseded.push(before);
    }
}

fn emptied(n: u64) -> Trouble {
    Trouble {
        code: "event_emptied".to_owned(),
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

/// Takes their words on our events, `sent` of them so far, into the twin.
pub(super) fn take_results(twin: &mut Twin, results: &[ResultBody], sent: u64, now: Time) {
    for result in results {
        if result.outcome != Outcome::Parked {
            twin.peer_seen = twin.peer_seen.max(result.up_to.min(sent));
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

#[cfg(test)]
mod tests;
