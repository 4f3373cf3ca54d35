//! Looks into the folders of nodes that are gone: did everything reach exactly one outcome?

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use wicketgate::{
    clock::SystemClock,
    domain::{
        event::{Body, Event},
        history::{Direction, HistoryLine, Outcome},
        ids::TwinId,
        twin::Twin,
    },
    secret::Sealer,
    store::{
        Store, keyfile,
        rows::{Numbered, Page, TwinFilter},
    },
};

/// What a node left behind.
pub(super) struct Folder {
    pub twins: Vec<Twin>,
    /// Of its connection's link.
    pub epoch: u64,
    /// Every line, by its record here (empty key: none yet) and by its twin.
    lines: Vec<HistoryLine>,
    /// How many `sync` events were numbered, by twin.
    pub sent: BTreeMap<TwinId, usize>,
}

impl Folder {
    /// Reads the folder of a node that does not run.
    pub(super) async fn read(dir: &Path, tracker: &str, entity_type: &str) -> Self {
        let key = keyfile::load_or_create(dir, &SystemClock).expect("the key file");
        let sealer = Arc::new(Sealer::new(&[key]));
        let store = Store::open("sqlite:wicketgate.db", dir, sealer, Arc::new(SystemClock)).await.expect("opens");
        let (tracker, entity_type) = (tracker.to_owned(), entity_type.to_owned());
        let read = store.read("audit", move |tx| {
            Box::pin(async move {
                let connection = tx.connections().await?.remove(0).id;
                let all = |after| Page { after, limit: 500 };
                let (mut twins, mut after) = (Vec::new(), None);
                loop {
                    let part = tx.list_twins(&TwinFilter::default(), &all(after)).await?;
                    twins.extend(part.items);
                    after = part.next;
                    if after.is_none() {
                        break;
                    }
                }
                let mut lines = Vec::new();
                let keys: BTreeSet<String> = twins.iter().filter_map(|twin| Some(twin.local.as_ref()?.key.clone())).collect();
                for key in keys {
                    let mut after = None;
                    loop {
                        let part = tx.history_of_record(&tracker, &entity_type, &key, &all(after)).await?;
                        lines.extend(part.items);
                        after = part.next;
                        if after.is_none() {
                            break;
                        }
                    }
                }
                let sent = tx.numbered_from(connection, 1, 1_000_000, usize::MAX / 2).await?;
                Ok((twins, lines, sent, tx.link_state(connection).await?.epoch.max(1)))
            })
        });
        let (twins, lines, sent, epoch) = read.await.expect("reads");
        store.close().await;
        Self { twins, epoch, lines, sent: syncs(&sent) }
    }

    /// Ends of what the other side sent, by twin.
    pub(super) fn applied(&self) -> BTreeMap<TwinId, usize> {
        let mut count = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.direction == Direction::In && line.outcome != Outcome::Parked) {
            if let Some(twin) = line.twin_id {
                *count.entry(twin).or_default() += 1;
            }
        }
        count
    }

    /// Ends of what the tracker told, by record. What the engine asked itself to look at follows an event that came in
    /// before and is left out.
    pub(super) fn told(&self) -> BTreeMap<String, usize> {
        let mut incoming = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.direction == Direction::In) {
            let first = incoming.entry(line.correlation).or_insert(line.at);
            *first = line.at.min(*first);
        }
        let mut count = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.direction == Direction::Out && line.outcome != Outcome::Parked) {
            if incoming.get(&line.correlation).is_none_or(|first| *first > line.at) {
                *count.entry(line.key.clone()).or_default() += 1;
            }
        }
        count
    }

    /// The lines of a record, for whoever reads a failure.
    pub(super) fn story(&self, key: &str) -> String {
        let lines = self.lines.iter().filter(|line| line.key == key);
        lines
            .map(|line| format!("{} {:?} {:?} {:?} {:?}\n", line.at, line.direction, line.outcome, line.reason, line.changes))
            .collect()
    }
}

fn syncs(events: &[Numbered]) -> BTreeMap<TwinId, usize> {
    let mut count = BTreeMap::new();
    for numbered in events {
        let event: Event = serde_json::from_str(&numbered.json).expect("an event of ours");
        if let (Body::Sync(_), Some(twin)) = (&event.body, numbered.twin) {
            *count.entry(twin).or_default() += 1;
        }
    }
    count
}
