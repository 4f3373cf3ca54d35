//! The light look: what changed since the last one, one or two calls per object however many records.
//!
//! A first look only makes the cursor: it brings no history. After that a query asks for all that was stamped since
//! the last look less an overlap, since transactions commit out of order; what the overlap shows again is known by id
//! and stamp and left out. Deleted records come with queryAll while they are in the bin; the list of deletes, whose
//! clock has whole minutes, tells of those that left it already.
//!
//! Traps. After a mass change there are more rows than one look takes: the cursor then stands at the last row, and the
//! next look, which follows at once, goes on behind it, by stamp and id, without the overlap that would bring the same
//! rows for ever. The list of deletes reaches back fifteen days at most, less where the bin was emptied or the log was
//! large, and an id that is not listed proves nothing: where it does not reach back to the last look, each known record
//! has to be asked for. Losers of a merge are deleted records. A type that cannot be looked at (removed, hidden) must not
//! keep the others from it. Formulas and fields of parents change without any stamp: no look sees them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{describe::Described, ids, reading, rest::Call, tracker::Salesforce};
use crate::{
    clock::Time,
    domain::{
        change::{Content, NewChange, Source},
        ids::CorrelationId,
        replica::Fields,
        tracker::{Caller, Entity, LookCursor, Looked, TrackerError},
    },
};

/// How far a look reaches back behind the last one.
const OVERLAP: Duration = Duration::from_secs(120);
/// Stamps have whole seconds, and so has what we know of the tracker's clock.
const UNSURE: Duration = Duration::from_secs(2);
/// Rows of one object in one look; it may be one page more.
const MOST: usize = 2_000;
/// Longest list of columns in a query's address.
const MOST_COLUMNS: usize = 12_000;
/// Rows that are remembered against the overlap.
const MOST_SEEN: usize = 10_000;
/// Known records are asked for at most this often, however often the bin is emptied.
const RECHECK_PAUSE: Duration = Duration::from_secs(3_600);
/// A list of deletes that is refused for a shorter time than this loses nothing: the bin was asked.
const BIN_SURELY_KEPT: Duration = Duration::from_secs(86_400);
/// The list of deletes reaches back fifteen days; less, to stay within it.
const DELETED_REACH: Duration = Duration::from_secs(14 * 86_400);

/// Where the look at one object stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    /// All before this was seen, by the tracker's clock.
    since: Time,
    /// All deletes before this were seen.
    deleted_since: Time,
    /// Rows already told, by id: their stamp.
    #[serde(default)]
    seen: BTreeMap<String, Time>,
    /// More was there than one look takes: go on behind this row.
    #[serde(default)]
    behind: Option<(Time, String)>,
    /// When the look began that could not take all: `since` once the rest is told.
    #[serde(default)]
    began: Option<Time>,
    /// Deletes may have been missed: known records are to be asked for.
    #[serde(default)]
    owes_recheck: bool,
    /// When they were last.
    #[serde(default)]
    rechecked: Option<Time>,
}

impl Place {
    fn first(now: Time) -> Self {
        let since = now.minus(OVERLAP);
        Self { since, deleted_since: now, seen: BTreeMap::new(), behind: None, began: None, owes_recheck: false, rechecked: None }
    }

    fn condition(&self) -> String {
        match &self.behind {
            None => format!("SystemModstamp >= {}", soql_time(self.since.minus(OVERLAP))),
            Some((stamp, id)) => {
                let stamp = soql_time(*stamp);
                format!("(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {}))", ids::quoted(id))
            }
        }
    }

    /// Whether this row is new in a look that began at `now`; then it is remembered, unless its second may not be over
    /// yet: a later save of that second has the same stamp.
    fn take(&mut self, id: &str, stamp: Time, now: Time) -> bool {
        if self.seen.get(id).is_some_and(|seen| *seen >= stamp) {
            return false;
        }
        if stamp < now.minus(UNSURE) {
            self.seen.insert(id.to_owned(), stamp);
        }
        true
    }

    /// Moves on after the rows of a look that began at `now`.
    fn settle(&mut self, now: Time, last: Option<(Time, String)>, more: bool) {
        let began = *self.began.get_or_insert(now);
        match (more, last) {
            (true, Some(last)) => self.behind = Some(last),
            _ => {
                self.since = began.max(self.since);
                self.behind = None;
                self.began = None;
            }
        }
    }

    /// Forgets what neither the overlap nor the list of deletes can show again.
    fn prune(&mut self) {
        let reach = self.since.minus(OVERLAP).minus(OVERLAP);
        self.seen.retain(|_, stamp| *stamp >= reach);
        while self.seen.len() > MOST_SEEN {
            let Some(oldest) = self.seen.iter().min_by_key(|(_, stamp)| **stamp).map(|(id, _)| id.clone()) else { break };
            self.seen.remove(&oldest);
        }
    }
}

/// See [`crate::domain::tracker::Tracker::look`].
pub(super) async fn look(sf: &Salesforce, cursor: &LookCursor, entity_types: &[String]) -> Result<Looked, TrackerError> {
    // The cursor is theirs by time: their clock must be known before the first is made.
    sf.know_their_clock().await?;
    let mut looked = Looked { cursor: cursor.clone(), ..Looked::default() };
    for entity_type in entity_types {
        let now = sf.rest.their_now();
        let place = cursor.get(entity_type).and_then(|value| serde_json::from_value::<Place>(value.clone()).ok());
        let place = match place {
            None => Place::first(now),
            Some(place) => match sf.look_at(entity_type, place, now, &mut looked).await {
                Ok(place) => place,
                Err(error) if error.concerns_all() => return Err(error),
                Err(error) => {
                    looked.failed.push((entity_type.clone(), error));
                    continue;
                }
            },
        };
        looked.cursor.insert(entity_type.clone(), serde_json::to_value(place).unwrap_or_default());
    }
    Ok(looked)
}

impl Salesforce {
    async fn know_their_clock(&self) -> Result<(), TrackerError> {
        let login = self.rest.tokens.get().await?;
        self.rest.version(&login).await.map(|_| ())
    }

    async fn look_at(&self, entity_type: &str, mut place: Place, now: Time, looked: &mut Looked) -> Result<Place, TrackerError> {
        let described = self.descriptions.get(&self.rest, Caller::Sync, entity_type).await?;
        let (columns, whole) = columns(&described);
        let soql = format!("SELECT {columns} FROM {entity_type} WHERE {} ORDER BY SystemModstamp, Id", place.condition());
        let has_bin = described.rights.contains_key("IsDeleted");
        let rows = match self.query(Caller::Sync, &soql, has_bin, MOST).await {
            Ok(rows) => rows,
            Err(error) => {
                // A field was removed since it was described; the next look asks without it.
                self.descriptions.forget(entity_type).await;
                return Err(error);
            }
        };
        let mut last = None;
        let mut news = Vec::new();
        for record in &rows.records {
            let Some(entity) = self.entity(&described, record) else { continue };
            let Some(stamp) = entity.stamp else { continue };
            last = Some((stamp, entity.key.clone()));
            if place.take(&entity.key, stamp, now) {
                news.push(entity);
            }
        }
        if !whole {
            news = self.completed(entity_type, news).await?;
        }
        let mut changes: Vec<NewChange> = news.into_iter().map(|entity| self.change(entity, now)).collect();
        place.settle(now, last, rows.more);
        if rows.more {
            looked.more = true;
        } else {
            place.owes_recheck |= self.look_at_deletes(entity_type, &mut place, now, &mut changes).await?;
            if place.owes_recheck && place.rechecked.is_none_or(|at| now.since(at) >= RECHECK_PAUSE) {
                looked.recheck.push(entity_type.to_owned());
                (place.owes_recheck, place.rechecked) = (false, Some(now));
            }
        }
        place.prune();
        looked.changes.extend(changes);
        Ok(place)
    }

    /// True where the list does not reach back to the last look.
    async fn look_at_deletes(
        &self,
        entity_type: &str,
        place: &mut Place,
        now: Time,
        changes: &mut Vec<NewChange>,
    ) -> Result<bool, TrackerError> {
        let since = place.deleted_since;
        let (start, end) = span(place.deleted_since, now);
        let call =
            Call::get(format!("/sobjects/{entity_type}/deleted/")).query("start", soql_time(start)).query("end", soql_time(end));
        let answer = match self.rest.call(Caller::Sync, call).await {
            Ok(answer) => answer.json()?,
            // Not kept for that span, or for that object; the bin was asked already.
            Err(error) if no_list(&error) => {
                place.deleted_since = now;
                return Ok(error.code == "EXCEEDED_ID_LIMIT" || now.since(since) > BIN_SURELY_KEPT);
            }
            Err(error) => return Err(error),
        };
        let time = |name: &str| answer.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok());
        let earliest = time("earliestDateAvailable").map_or(start, |earliest| earliest.max(start));
        for record in answer.get("deletedRecords").and_then(Value::as_array).into_iter().flatten() {
            let id = record.get("id").and_then(Value::as_str).and_then(ids::complete);
            let at = record.get("deletedDate").and_then(Value::as_str).and_then(|text| text.parse::<Time>().ok());
            let Some(id) = id else { continue };
            if place.take(&id, at.unwrap_or(now), now) {
                let mut fields = Fields::new();
                fields.insert("Id".to_owned(), Value::from(id.as_str()));
                let content = Content { fields, whole: false, deleted: true, url: None, stamp: at, ..Content::default() };
                changes.push(self.told(entity_type, id, content));
            }
        }
        // A minute that the list does not cover yet is asked for again.
        place.deleted_since = time("latestDateCovered").map_or(end, |covered| covered.min(end)).max(since);
        Ok(earliest > since)
    }

    /// The whole records of rows that hold only their stamps; deleted ones stay as they are.
    async fn completed(&self, entity_type: &str, rows: Vec<Entity>) -> Result<Vec<Entity>, TrackerError> {
        let mut out = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(reading::READ_BATCH) {
            let keys: Vec<String> = chunk.iter().map(|row| row.key.clone()).collect();
            let (read, _) = self.retrieve(Caller::Sync, entity_type, &keys).await?;
            out.extend(chunk.iter().zip(read).filter_map(|(row, read)| read.or_else(|| is_deleted(row).then(|| row.clone()))));
        }
        Ok(out)
    }

    fn change(&self, entity: Entity, read_at: Time) -> NewChange {
        let (entity_type, key) = (entity.entity_type.clone(), entity.key.clone());
        self.told(&entity_type, key, content(entity, read_at))
    }

    fn told(&self, entity_type: &str, key: String, content: Content) -> NewChange {
        let now = self.rest.clock.now();
        NewChange {
            tracker: self.name().to_owned(),
            entity_type: entity_type.to_owned(),
            key,
            source: Source::Look,
            notice_id: None,
            connection: None,
            content: Some(content),
            received_at: now,
            due_at: now,
            correlation: CorrelationId(self.rest.clock.id()),
        }
    }
}

/// A record that was read, as what a notice holds.
pub(super) fn content(entity: Entity, read_at: Time) -> Content {
    let deleted = is_deleted(&entity);
    let editor = entity.fields.get("LastModifiedById").and_then(Value::as_str).map(str::to_owned);
    let (url, stamp, fields) = (entity.url, entity.stamp, entity.fields);
    Content { whole: true, deleted, url, stamp, editor, fields, read_at: Some(read_at), told_at: None }
}

fn no_list(error: &TrackerError) -> bool {
    const CODES: [&str; 6] =
        ["INVALID_REPLICATION_DATE", "NOT_FOUND", "EXCEEDED_ID_LIMIT", "HTTP_404", "HTTP_405", "METHOD_NOT_ALLOWED"];
    CODES.contains(&error.code.as_str())
}

/// As SOQL and the list of deletes want it: whole seconds in UTC.
fn soql_time(time: Time) -> String {
    let text = Time::from_seconds(time.seconds()).to_string();
    text.replace(".000Z", "Z")
}

/// Whole minutes, at least one between them, none too long ago.
fn span(since: Time, now: Time) -> (Time, Time) {
    let minute = |time: Time| Time::from_seconds(time.seconds().div_euclid(60) * 60);
    let end = minute(now);
    let earliest = minute(now.minus(DELETED_REACH));
    let start = minute(since).minus(OVERLAP).max(earliest).min(end.minus(Duration::from_secs(60)));
    (start, end)
}

fn is_deleted(entity: &Entity) -> bool {
    entity.fields.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false)
}

/// The columns of the look, and whether they are all that a read asks for. An object with so many fields that the
/// query's address has no room for them is asked for stamps only.
fn columns(described: &Described) -> (String, bool) {
    let all = described.readable.join(",");
    // A comma takes three bytes there.
    if all.len() + 2 * described.readable.len() <= MOST_COLUMNS {
        return (all, true);
    }
    let few = ["Id", "SystemModstamp", "IsDeleted"].into_iter().filter(|name| described.rights.contains_key(*name));
    (few.collect::<Vec<_>>().join(","), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_seconds(seconds)
    }

    #[test]
    fn the_overlap_brings_nothing_twice() {
        let mut place = Place::first(at(10_000));
        assert!(place.take("a", at(9_990), at(10_000)));
        place.settle(at(10_000), Some((at(9_990), "a".into())), false);
        assert!(!place.take("a", at(9_990), at(10_005)));
        assert!(place.take("a", at(10_001), at(10_005)), "a newer stamp is news");
        assert_eq!(place.since, at(10_000));
        place.settle(at(20_000), None, false);
        place.prune();
        assert!(place.seen.is_empty(), "what the overlap cannot show again is forgotten");
    }

    #[test]
    fn a_second_that_is_not_over_is_told_again() {
        let mut place = Place::first(at(10_000));
        assert!(place.take("a", at(10_000), at(10_001)));
        assert!(place.take("a", at(10_000), at(10_300)), "another save of that second may have followed");
        assert!(!place.take("a", at(10_000), at(10_600)));
    }

    #[test]
    fn a_mass_change_is_told_to_its_end() {
        let mut place = Place::first(at(10_000));
        place.settle(at(10_100), Some((at(10_050), "b".into())), true);
        assert_eq!(
            place.condition(),
            "(SystemModstamp > 1970-01-01T02:47:30Z OR (SystemModstamp = 1970-01-01T02:47:30Z AND Id > 'b'))"
        );
        place.settle(at(10_400), Some((at(10_060), "c".into())), false);
        // What changed while the rest was told lies behind the first look's beginning.
        assert_eq!((place.since, place.behind.clone()), (at(10_100), None));
    }

    #[test]
    fn the_list_of_deletes_gets_whole_minutes() {
        assert_eq!(span(at(6_010), at(6_030)), (at(5_880), at(6_000)));
        let (start, end) = span(at(0), at(100 * 86_400 + 59));
        assert_eq!(end.since(start), DELETED_REACH);
        assert_eq!(soql_time(Time(1_795_402_641_500)).len(), "2026-11-23T02:41:07Z".len());
    }

    #[test]
    fn a_cursor_survives_its_keeping() {
        let mut place = Place::first(at(10_000));
        place.take("a", at(9_990), at(10_000));
        let kept = serde_json::to_value(&place).expect("keeps");
        assert_eq!(serde_json::from_value::<Place>(kept).expect("reads"), place);
    }
}
