//! What a rule asked for beside its values, carried out in the transaction that ends the run's work.
//!
//! - *Adopt* (`syncHelper.linkTo`): the record becomes the twin's, with what it holds as the baseline. The events stay and
//!   are taken up again as an update, for which the rule runs once more; `firstSync` is false then.
//! - *Sync back*: the record is looked at once the work is done, and told even where nothing differs.
//! - *Stop*: the twin ends on both sides once the work is done. It has the last word: nothing is synced back then.
//! - *Sync*: another record of ours is looked at for this connection, unless it is under sync there already. So two rules
//!   that name each other's records come to rest.
//!
//! What no tracker can do yet is told in the history rather than dropped without a word.

use std::time::Duration;

use super::{
    asks::both,
    decide::{Item, Work},
    links,
    outgoing::{Worker, look_at},
    record::draft,
    settle::{Again, Settle, Trouble, line},
};
use crate::{
    domain::{
        change::Source,
        connection::Connection,
        event::Body,
        history::{Direction, Outcome},
        ids::{CorrelationId, EntityRef},
        rule::Wishes,
        tracker::{Caller, Entity, Found},
        twin::{Status, Twin},
    },
    store::{LeaseKey, StoreError, rows::Draft},
};

/// How soon a record is asked for again that somebody works on.
const BUSY: Duration = Duration::from_millis(200);

/// Makes a record of ours the twin's.
pub(super) async fn adopt(worker: &Worker, item: &Item, mut twin: Twin, entity_type: &str, key: &str) -> Result<Settle, Trouble> {
    let key = worker.tracker.key(entity_type, key).map_err(|error| Trouble::from(&error))?;
    let record = LeaseKey::Record { tracker: worker.name.clone(), entity_type: entity_type.to_owned(), key: key.clone() };
    let Some(lease) = worker.parts.store.leases().take(vec![record]) else {
        let until = worker.parts.clock.now().plus(BUSY);
        return Ok(Settle { resting: vec![(twin.connection_id, twin.id, until)], ..Settle::default() });
    };
    let read = worker.tracker.read(Caller::Sync, entity_type, std::slice::from_ref(&key)).await;
    let entity = match read.map_err(|error| Trouble::from(&error))?.found.into_iter().next() {
        Some(Found::Here(entity)) => *entity,
        Some(Found::CannotAsk) => Entity { entity_type: entity_type.to_owned(), key, ..Entity::default() },
        Some(Found::Failed(error)) => return Err(Trouble::from(&error)),
        _ => return Err(not_there(entity_type, &key)),
    };
    twin.local = Some(EntityRef { entity_type: entity.entity_type.clone(), key: entity.key.clone(), url: entity.url.clone() });
    twin.memory.linked = true;
    links::baseline(worker, &item.connection, &mut twin, &entity).await;
    let mut told = line(&twin, worker.parts.clock.now(), Direction::In, Outcome::Applied);
    told.reason = Some("linked by the incoming rule".to_owned());
    told.correlation = item.folded.correlation;
    Ok(Settle { twins: vec![twin], history: vec![told], leases: vec![lease], ..Settle::default() })
}

/// After an incoming run: what is to be told of it.
pub(super) async fn incoming(worker: &Worker, work: &mut Work, settle: &mut Settle) -> Vec<String> {
    let mut told = not_carried_out(&work.wishes);
    let ends = work.folded.deleted || work.folded.stopped;
    if work.wishes.stop && !ends {
        settle.drafts.push(stop(worker, &mut work.twin, work.folded.correlation));
        settle.healed.push((work.twin.connection_id, work.twin.id));
        settle.ended.extend(both(&work.twin));
        told.push("stopped by the incoming rule".to_owned());
    }
    told.extend(others(worker, &work.connection, &work.wishes, settle).await);
    told
}

/// After an outgoing run: the same.
pub(super) async fn outgoing(
    worker: &Worker,
    connection: &Connection,
    (twin, wishes): (&mut Twin, &Wishes),
    correlation: Option<CorrelationId>,
    settle: &mut Settle,
) -> Vec<String> {
    let mut told = Vec::new();
    if wishes.stop {
        settle.drafts.push(stop(worker, twin, correlation));
        settle.healed.push((twin.connection_id, twin.id));
        settle.ended.extend(both(twin));
        told.push("stopped by the outgoing rule".to_owned());
    }
    told.extend(others(worker, connection, wishes, settle).await);
    told
}

/// Whether the record is to be looked at once the work is done.
pub(super) fn syncs_back(work: &Work) -> bool {
    work.wishes.sync_back && !work.wishes.stop && !work.folded.deleted && !work.folded.stopped
}

fn stop(worker: &Worker, twin: &mut Twin, correlation: Option<CorrelationId>) -> Draft {
    twin.status = Status::Stopped;
    super::ending::let_go(twin);
    let word = draft(worker, twin, Body::Stop {}, correlation);
    twin.memory.stop_event = Some(word.id);
    word
}

/// Starts the sync of other records; what cannot be started is told.
async fn others(worker: &Worker, connection: &Connection, wishes: &Wishes, settle: &mut Settle) -> Vec<String> {
    let mut told = Vec::new();
    for wish in &wishes.sync {
        let key = match worker.tracker.key(&wish.entity_type, &wish.key) {
            Ok(key) => key,
            Err(error) => {
                told.push(format!("{} {} was not synced: {}", wish.entity_type, wish.key, error.detail));
                continue;
            }
        };
        match is_synced(worker, connection, &wish.entity_type, &key).await {
            Ok(true) => {}
            Ok(false) => {
                let record = (wish.entity_type.clone(), key);
                settle.changes.push(look_at(worker, connection.id, record, Source::Engine, None));
            }
            Err(error) => told.push(format!("{} {key} was not synced: {error}", wish.entity_type)),
        }
    }
    told
}

async fn is_synced(worker: &Worker, connection: &Connection, entity_type: &str, key: &str) -> Result<bool, StoreError> {
    let (tracker, entity_type, key, id) = (worker.name.clone(), entity_type.to_owned(), key.to_owned(), connection.id);
    let twins = worker
        .parts
        .store
        .read("twins_of_record", move |tx| Box::pin(async move { tx.twins_of_record(&tracker, &entity_type, &key).await }))
        .await?;
    Ok(twins.iter().any(|twin| twin.connection_id == id))
}

fn not_carried_out(wishes: &Wishes) -> Vec<String> {
    let counted = [(wishes.comments.len(), "comments"), (wishes.attachments.len(), "files")];
    let left = counted.into_iter().filter(|(count, _)| *count > 0);
    left.map(|(count, what)| format!("{count} {what} were not written: this tracker takes none")).collect()
}

fn not_there(entity_type: &str, key: &str) -> Trouble {
    Trouble {
        code: "link_not_found".to_owned(),
        title: "The record that the rule links to is not there".to_owned(),
        detail: format!("{entity_type} {key} is not visible to us"),
        advice: "Correct the key that the incoming rule gives to `syncHelper.linkTo`, then retry.".to_owned(),
        again: Again::Person,
    }
}
