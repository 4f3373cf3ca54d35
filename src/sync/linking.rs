//! Links that people ask for: one pair, or a whole list of them.
//!
//! ```text
//!  pairs ─▶ keys brought into form ─▶ repeats out ─▶ records read, many in a call ─▶ part by part:
//!           hold ─▶ who is under sync already? ─▶ baseline (outgoing rule) ─▶ one transaction
//! ```
//!
//! Each pair has its own answer, and one that cannot be linked spoils no other. A pair that is linked already is left as it
//! is, so the same list again changes nothing. A preview goes the same way and stops before the hold.
//!
//! Trap: who is under sync is asked while the records are held, or two lists at a time would both find them free.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::StreamExt as _;

use super::{
    Engine, Refused,
    asks::Desk,
    links,
    outgoing::Worker,
    record::draft,
    settle::{Settle, line},
    view,
    wishes::{asked, person_reads, seen, started_here},
    written,
};
use crate::{
    domain::{
        connection::Connection,
        event::{Body, RemoteRef, Start},
        history::{Direction, Outcome},
        ids::{ConnectionId, EntityRef, TwinId, linked_twin_id},
        replica::Fields,
        tracker::{Caller, Entity, Found},
        twin::{Memory, Status, Twin},
    },
    store::StoreError,
};

/// Links in one transaction.
const PART: usize = 100;
/// Rule runs side by side.
const RUNS: usize = 8;

/// Two records that are to be a twin.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Where it was asked for: the line of a file.
    pub line: usize,
    /// Our record, by type and key as typed.
    pub local: (String, String),
    /// Theirs.
    pub remote: (String, String),
    /// What happens first.
    pub start: Start,
}

/// What became of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It is linked now; a preview: it would be.
    New(TwinId),
    /// It was before.
    Already(TwinId),
    /// Why not.
    Refused(String),
}

/// A pair's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Where it was asked for.
    pub line: usize,
    /// What became of it.
    pub linked: Linked,
    /// A preview of a link that sends first: what would be made true there, by the replica's names.
    pub sends: Option<Fields>,
}

/// A pair whose record here was read.
struct Known {
    line: usize,
    entity: Entity,
    remote: (String, String),
    start: Start,
    id: TwinId,
}

impl Engine {
    /// Makes two records that exist a twin.
    pub async fn link_existing(
        &self,
        connection: ConnectionId,
        local: (&str, &str),
        remote: (&str, &str),
        start: Start,
    ) -> Result<Twin, Refused> {
        let (connection, worker) = self.joined(connection).await?;
        let entity = person_reads(&worker, local.0, local.1).await?;
        let known = Known::new(&connection, 0, entity, (remote.0.to_owned(), remote.1.to_owned()), start);
        let twin = started_here(&worker, &connection, known.id, &known.entity);
        let _lease = self.hold_twin(&worker, &twin).await?;
        let there = there(&worker, &connection, std::slice::from_ref(&known)).await?;
        match there.judge(&known) {
            Linked::New(_) => {}
            Linked::Already(_) => {
                return Err(Refused::State("that record is under sync on this connection already".to_owned()));
            }
            Linked::Refused(reason) => return Err(Refused::State(reason)),
        }
        let settle = link(&worker, &connection, &known, twin, there.stopped.get(&known.id)).await;
        let twin = settle.twins.first().cloned().ok_or(Refused::NotFound("twin"))?;
        settle.commit(&worker.parts.store, worker.parts.clock.as_ref(), "link").await?;
        Ok(twin)
    }

    /// Links all of these that can be, each with its answer. A preview writes nothing.
    pub async fn link_many(&self, connection: ConnectionId, pairs: Vec<Pair>, preview: bool) -> Result<Vec<Answer>, Refused> {
        let (connection, worker) = self.joined(connection).await?;
        let mut answers = Vec::new();
        let mut sends = HashMap::new();
        let once = without_repeats(&worker, pairs, &mut answers);
        let known = read(&worker, &connection, once, &mut answers).await?;
        for part in known.chunks(PART) {
            if preview {
                let there = there(&worker, &connection, part).await?;
                for one in part {
                    let answer = there.judge(one);
                    if matches!(answer, Linked::New(_)) && one.start == Start::Send {
                        sends.insert(one.line, replica(&worker, &connection, one).await);
                    }
                    answers.push((one.line, answer));
                }
            } else {
                answers.extend(self.link_part(&worker, &connection, part).await?);
            }
        }
        answers.sort_by_key(|(line, _)| *line);
        let answer = |(line, linked)| Answer { line, linked, sends: sends.remove(&line).flatten() };
        Ok(answers.into_iter().map(answer).collect())
    }

    async fn link_part(&self, worker: &Worker, connection: &Connection, part: &[Known]) -> Result<Vec<(usize, Linked)>, Refused> {
        let (mut answers, mut leases, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for one in part {
            match self.hold_twin(worker, &started_here(worker, connection, one.id, &one.entity)).await {
                Ok(lease) => {
                    leases.push(lease);
                    held.push(one);
                }
                Err(Refused::State(reason)) => answers.push((one.line, Linked::Refused(reason))),
                Err(other) => return Err(other),
            }
        }
        let there = there(worker, connection, part).await?;
        let (mut free, mut done) = (Vec::new(), Settle::default());
        for one in held {
            let answer = there.judge(one);
            if matches!(answer, Linked::New(_)) {
                free.push(one);
            }
            answers.push((one.line, answer));
        }
        let mut settled = futures_util::stream::iter(free)
            .map(|one| {
                let twin = started_here(worker, connection, one.id, &one.entity);
                link(worker, connection, one, twin, there.stopped.get(&one.id))
            })
            .buffer_unordered(RUNS);
        while let Some(settle) = settled.next().await {
            done.join(settle);
        }
        drop(settled);
        done.commit(&worker.parts.store, worker.parts.clock.as_ref(), "link_many").await?;
        drop(leases);
        Ok(answers)
    }
}

impl Known {
    fn new(connection: &Connection, line: usize, entity: Entity, remote: (String, String), start: Start) -> Self {
        let (ours, theirs) = ((entity.entity_type.as_str(), entity.key.as_str()), (remote.0.as_str(), remote.1.as_str()));
        let id = if connection.decides() {
            linked_twin_id(connection.id, ours, theirs)
        } else {
            linked_twin_id(connection.id, theirs, ours)
        };
        Self { line, entity, remote, start, id }
    }
}

/// Brings our keys into form, and takes out those that a line before names already: which of them is meant, nobody knows.
fn without_repeats(worker: &Worker, pairs: Vec<Pair>, answers: &mut Vec<(usize, Linked)>) -> Vec<Pair> {
    let (mut ours, mut theirs): (HashMap<_, usize>, HashMap<_, usize>) = Default::default();
    let mut once = Vec::with_capacity(pairs.len());
    for mut pair in pairs {
        match worker.tracker.key(&pair.local.0, &pair.local.1) {
            Ok(key) => pair.local.1 = key,
            Err(error) => {
                answers.push((pair.line, Linked::Refused(format!("local_key: {error}"))));
                continue;
            }
        }
        let before = match (ours.get(&pair.local), theirs.get(&pair.remote)) {
            (Some(line), _) => Some((line, &pair.local)),
            (None, Some(line)) => Some((line, &pair.remote)),
            (None, None) => None,
        };
        if let Some((line, (entity_type, key))) = before {
            answers.push((pair.line, Linked::Refused(format!("line {line} names {entity_type} {key} already"))));
            continue;
        }
        ours.insert(pair.local.clone(), pair.line);
        theirs.insert(pair.remote.clone(), pair.line);
        once.push(pair);
    }
    once
}

/// Reads our records, as many in a call as the tracker takes.
async fn read(
    worker: &Worker,
    connection: &Connection,
    pairs: Vec<Pair>,
    answers: &mut Vec<(usize, Linked)>,
) -> Result<Vec<Known>, Refused> {
    let mut by_type: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
    for pair in pairs {
        by_type.entry(pair.local.0.clone()).or_default().push(pair);
    }
    let mut known = Vec::new();
    for (entity_type, pairs) in by_type {
        for part in pairs.chunks(worker.tracker.traits().read_batch) {
            let keys: Vec<String> = part.iter().map(|pair| pair.local.1.clone()).collect();
            let found = match worker.tracker.read(Caller::Person, &entity_type, &keys).await {
                Ok(read) => read.found,
                Err(error) if error.concerns_all() => return Err(error.into()),
                // This type cannot be read: its lines are told so, the others go on.
                Err(error) => vec![Found::Failed(error); keys.len()],
            };
            for (pair, found) in part.iter().zip(found) {
                match seen(&entity_type, pair.local.1.clone(), Some(found)) {
                    Ok(entity) => known.push(Known::new(connection, pair.line, entity, pair.remote.clone(), pair.start)),
                    Err(refused) => answers.push((pair.line, Linked::Refused(refused.to_string()))),
                }
            }
        }
    }
    known.sort_by_key(|one| one.line);
    Ok(known)
}

type Record = (String, String);

/// What is under sync on the connection already, as far as these pairs have to do with it.
#[derive(Default)]
struct There {
    ours: HashMap<Record, Twin>,
    theirs: HashMap<Record, Twin>,
    /// Twins of before a stop, by id: the numbers that were heard still count.
    stopped: HashMap<TwinId, Twin>,
}

impl There {
    fn judge(&self, one: &Known) -> Linked {
        let ours = (one.entity.entity_type.clone(), one.entity.key.clone());
        match (self.ours.get(&ours), self.theirs.get(&one.remote)) {
            (Some(twin), _) => match &twin.remote {
                Some(remote) if remote.entity_type == one.remote.0 && remote.key == one.remote.1 => Linked::Already(twin.id),
                Some(remote) => Linked::Refused(format!(
                    "our {} {} is under sync with {} {} on this connection already",
                    ours.0, ours.1, remote.entity_type, remote.key
                )),
                None => Linked::Refused(format!(
                    "our {} {} is under sync on this connection already, and its record there is not known yet",
                    ours.0, ours.1
                )),
            },
            (None, Some(Twin { local: Some(local), .. })) => Linked::Refused(format!(
                "the other side's {} {} is under sync with {} {} on this connection",
                one.remote.0, one.remote.1, local.entity_type, local.key
            )),
            _ => Linked::New(one.id),
        }
    }
}

async fn there(worker: &Worker, connection: &Connection, pairs: &[Known]) -> Result<There, StoreError> {
    let (mut ours, mut theirs): (BTreeMap<String, HashSet<String>>, BTreeMap<String, HashSet<String>>) = Default::default();
    for one in pairs {
        ours.entry(one.entity.entity_type.clone()).or_default().insert(one.entity.key.clone());
        theirs.entry(one.remote.0.clone()).or_default().insert(one.remote.1.clone());
    }
    let (id, tracker, ids) = (connection.id, worker.name.clone(), pairs.iter().map(|one| one.id).collect::<Vec<_>>());
    let read = worker.parts.store.read("linked_already", move |tx| {
        Box::pin(async move {
            let (mut here, mut remote) = (Vec::new(), Vec::new());
            for (entity_type, keys) in ours {
                here.extend(tx.twins_of_records(&tracker, &entity_type, &keys.into_iter().collect::<Vec<_>>()).await?);
            }
            for (entity_type, keys) in theirs {
                remote.extend(tx.twins_of_remotes(id, &entity_type, &keys.into_iter().collect::<Vec<_>>()).await?);
            }
            Ok((here, remote, tx.twins_by_ids(id, &ids).await?))
        })
    });
    let (here, remote, same) = read.await?;
    let at = |record: &Option<EntityRef>| record.as_ref().map(|one| (one.entity_type.clone(), one.key.clone()));
    let alive = |twin: &Twin| twin.connection_id == id && twin.status != Status::Stopped;
    let mut there = There::default();
    there.ours.extend(here.into_iter().filter(alive).filter_map(|twin| Some((at(&twin.local)?, twin))));
    let with_ours = |twin: &Twin| alive(twin) && twin.local.is_some();
    there.theirs.extend(remote.into_iter().filter(with_ours).filter_map(|twin| Some((at(&twin.remote)?, twin))));
    there.stopped.extend(same.into_iter().map(|twin| (twin.id, twin)));
    Ok(there)
}

/// What the outgoing rule makes of our record.
async fn replica(worker: &Worker, connection: &Connection, known: &Known) -> Option<Fields> {
    let pair = view::rules(worker, connection).await.ok()?;
    let desk = Desk::comparing(worker, connection.id);
    written::replica_of(worker, connection, &pair.outgoing, (&Memory::default(), &known.entity), &desk).await
}

/// All that a link is: the twin with what our record holds as the baseline, and the word to the other side.
async fn link(worker: &Worker, connection: &Connection, known: &Known, mut twin: Twin, before: Option<&Twin>) -> Settle {
    let Known { entity, remote: (entity_type, key), start, .. } = known;
    if let Some(before) = before {
        twin.memory.seen = before.memory.seen;
        twin.memory.epoch = before.memory.epoch;
        twin.peer_seen = before.peer_seen;
    }
    twin.remote = Some(EntityRef { entity_type: entity_type.clone(), key: key.clone(), url: None });
    twin.memory.linked = true;
    links::baseline(worker, connection, &mut twin, entity).await;
    let event = Body::Link {
        local: RemoteRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() },
        remote: RemoteRef { entity_type: entity_type.clone(), key: key.clone(), url: None },
        start: *start,
    };
    let mut told = line(&twin, worker.parts.clock.now(), Direction::Out, Outcome::Sent);
    told.reason = Some("linked by a person".to_owned());
    let mut settle = Settle { drafts: vec![draft(worker, &twin, event, None)], history: vec![told], ..Settle::default() };
    if *start == Start::Send {
        twin.memory.owes_word = true;
        twin.memory.word = twin.memory.sent.iter().flat_map(|sent| sent.keys().cloned()).collect();
        settle.changes.push(asked(worker, connection, entity));
    }
    settle.twins.push(twin);
    settle
}
