//! What the store knows of a batch of twins with events: one statement per kind of row, however many twins.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    decide::Item,
    fold::{Folded, fold, take_results},
    incoming::Claimed,
    outgoing::Worker,
};
use crate::{
    domain::{
        connection::Connection,
        ids::{ConnectionId, TwinId},
        twin::{Status, Twin},
    },
    store::{
        StoreError, Tx,
        rows::{Arrived, LinkState, Standing, Unseen},
    },
};

/// The items of a batch, with the peer's words on our own events taken in.
pub(super) async fn load(worker: &Worker, claimed: &[Claimed]) -> Result<Vec<Item>, StoreError> {
    let mut wanted: BTreeMap<ConnectionId, Vec<Option<TwinId>>> = BTreeMap::new();
    for one in claimed {
        wanted.entry(one.connection).or_default().push(one.twin);
    }
    let read = worker.parts.store.read("events_known", move |tx| {
        Box::pin(async move {
            let mut items = Vec::new();
            for (id, twins) in wanted {
                let Some(Standing { connection, link, .. }) = tx.standing(id).await? else { continue };
                items.extend(of_connection(tx, &connection, &link, &twins).await?);
            }
            Ok(items)
        })
    });
    let mut items = read.await?;
    let now = worker.parts.clock.now();
    for item in &mut items {
        if let Some(twin) = &mut item.twin {
            take_results(twin, &item.folded.results, item.link.out_n, now);
            let heard = !item.folded.results.is_empty();
            if heard && item.unseen.iter().all(|event| event.n.is_some_and(|n| n <= twin.peer_seen)) {
                twin.memory.unconfirmed.clear();
            }
        }
    }
    Ok(items)
}

async fn of_connection(
    tx: &mut dyn Tx,
    connection: &Connection,
    link: &LinkState,
    wanted: &[Option<TwinId>],
) -> Result<Vec<Item>, StoreError> {
    let id = connection.id;
    let mut events: HashMap<Option<TwinId>, Vec<Arrived>> = HashMap::new();
    for event in tx.arrived_of(id, wanted).await? {
        events.entry(event.twin).or_default().push(event);
    }
    let ids: Vec<TwinId> = wanted.iter().copied().flatten().collect();
    let mut twins: HashMap<TwinId, Twin> = HashMap::new();
    for mut twin in tx.twins_by_ids(id, &ids).await? {
        twin.enter(link.epoch);
        twins.insert(twin.id, twin);
    }
    let mut folded: Vec<(Option<TwinId>, Folded)> = Vec::new();
    for twin_id in wanted {
        let Some(events) = events.get(twin_id) else { continue };
        let twin = twin_id.and_then(|id| twins.get(&id));
        let linked = twin.is_some_and(|twin| twin.local.is_some() && twin.status != Status::Stopped);
        folded.push((*twin_id, fold(events, linked)));
    }
    let seen: Vec<(TwinId, u64)> = twins.values().map(|twin| (twin.id, twin.peer_seen.min(link.acked))).collect();
    let mut unseen: HashMap<TwinId, Vec<Unseen>> = HashMap::new();
    for (twin, event) in tx.unseen_of(id, &seen).await? {
        unseen.entry(twin).or_default().push(event);
    }
    let strangers = Strangers::of(tx, id, &folded, &twins).await?;
    let items = folded.into_iter().map(|(twin_id, folded)| {
        let twin = twin_id.and_then(|id| twins.remove(&id));
        let unseen = twin.as_ref().and_then(|twin| unseen.remove(&twin.id)).unwrap_or_default();
        let stranger = twin_id.filter(|_| twin.is_none());
        Item {
            connection: connection.clone(),
            link: link.clone(),
            twin_id,
            unseen,
            elsewhere: stranger.is_some_and(|id| strangers.elsewhere.contains(&id)),
            rival: stranger.and_then(|id| strangers.rival(id, &folded)),
            twin,
            folded,
            record: None,
            read_at: None,
            offset_ms: 0,
        }
    });
    Ok(items.collect())
}

/// What there is about twins that this connection does not have.
struct Strangers {
    /// Another connection has them.
    elsewhere: HashSet<TwinId>,
    /// Twins of the records that their events speak of.
    rivals: Vec<Twin>,
}

impl Strangers {
    async fn of(
        tx: &mut dyn Tx,
        connection: ConnectionId,
        folded: &[(Option<TwinId>, Folded)],
        twins: &HashMap<TwinId, Twin>,
    ) -> Result<Self, StoreError> {
        let (mut ids, mut records) = (Vec::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
        for (twin_id, folded) in folded {
            let Some(id) = twin_id.filter(|id| !twins.contains_key(id)) else { continue };
            ids.push(id);
            if let Some(sync) = &folded.sync {
                records.entry(&sync.entity_type).or_default().insert(&sync.key);
            }
        }
        let elsewhere = if ids.is_empty() { Vec::new() } else { tx.twins_anywhere(&ids).await? };
        let mut rivals = Vec::new();
        for (entity_type, keys) in records {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            rivals.extend(tx.twins_of_remotes(connection, entity_type, &keys).await?);
        }
        Ok(Self { elsewhere: elsewhere.into_iter().collect(), rivals })
    }

    /// The twin that their record has already, where the events would start another.
    fn rival(&self, id: TwinId, folded: &Folded) -> Option<Twin> {
        let sync = folded.sync.as_ref()?;
        let theirs = |twin: &&Twin| {
            let remote = twin.remote.as_ref();
            remote.is_some_and(|remote| remote.entity_type == sync.entity_type && remote.key == sync.key)
        };
        self.rivals.iter().filter(theirs).find(|twin| twin.id != id && twin.status != Status::Stopped).cloned()
    }
}
