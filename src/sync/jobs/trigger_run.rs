//! A bulk run of a trigger: every record that matches and is not under sync yet is synced.
//!
//! The tracker lists what matches, a large part with its values in two calls; a few records at a time are left as changes
//! that bring these values along, so no record is read twice. Records under sync are passed over, stopped ones too.
//!
//! How many may wait for the other side's word depends on how soon it answers ([`Window`]): a slow tracker there is not
//! given a queue in which single edits would wait.

use std::time::Duration;

use super::{DELAYED, LONGEST_REST, PART, SOON, Step, Task};
use crate::{
    clock::Time,
    domain::{
        change::{Content, NewChange, Source},
        job::Status,
        tracker::Caller,
        twin::{self, Twin},
    },
    store::StoreError,
    sync::judge::Failure,
};

/// Records that the tracker listed, and the last part of them that was left as changes.
#[derive(Default)]
pub(super) struct Listed {
    records: std::collections::VecDeque<(String, Content)>,
    /// What follows them; `None` once all were listed.
    next: Option<String>,
    /// The job's place that they follow: `None` where nothing was listed.
    behind: Option<Option<String>>,
    left_at: Option<Time>,
}

/// Records that were sent and have no word of the other side yet, and how many may be so.
#[derive(Debug)]
pub(super) struct Window {
    waiting: Vec<String>,
    size: usize,
    full_since: Option<Time>,
}

/// Fewest and most records without a word.
const WINDOW: (usize, usize) = (60, 800);
/// How often it is asked whether words have come.
const ASK: Duration = Duration::from_millis(50);
/// A window that opens so soon was too small.
const QUICK: Duration = Duration::from_secs(3);
/// One that does not open for so long was too large.
const SLOW: Duration = Duration::from_secs(10);

impl Default for Window {
    fn default() -> Self {
        Self { waiting: Vec::new(), size: WINDOW.0, full_since: None }
    }
}

impl Window {
    fn is_full(&self) -> bool {
        self.waiting.len() >= self.size
    }

    /// These wait still. True: it stays full.
    fn still(&mut self, waiting: Vec<String>, now: Time) -> bool {
        let since = *self.full_since.get_or_insert(now);
        self.waiting = waiting;
        if self.is_full() {
            return true;
        }
        self.full_since = None;
        match now.since(since) {
            took if took < QUICK => self.size = (self.size * 2).min(WINDOW.1),
            took if took > SLOW => self.size = (self.size / 2).max(WINDOW.0),
            _ => {}
        }
        false
    }
}

pub(super) async fn step(task: &mut Task<'_>, entity_type: &str, filter: &str) -> Result<Step, Failure> {
    if task.job.total.is_none() {
        let Some(total) = task.worker.tracker.count(Caller::Sync, entity_type, filter).await? else {
            let why = "this tracker tells of its records one by one and cannot be asked for those that match";
            return Ok(Step::End(Status::Failed, Some(why.to_owned())));
        };
        task.job.total = Some(total);
        task.advance(Vec::new(), Vec::new()).await?;
        return Ok(Step::Next);
    }
    if let Some(wait) = ended(task, entity_type).await? {
        return Ok(Step::Wait(wait));
    }
    list(task, entity_type, filter).await?;
    leave(task, entity_type).await
}

/// Takes note of what has ended; how long to wait for what has not.
async fn ended(task: &mut Task<'_>, entity_type: &str) -> Result<Option<Duration>, StoreError> {
    let open = task.job.cursor.open.clone();
    if !open.is_empty() {
        if left(task, entity_type, &open).await? > 0 {
            return Ok(Some(SOON));
        }
        let twins = task.twins_of(entity_type, &open).await?;
        let is = |key: &String, what: fn(&Twin) -> bool| {
            twins.iter().any(|twin| twin.local.as_ref().is_some_and(|local| local.key == *key) && what(twin))
        };
        let (mut sent, mut parked, mut skipped) = (0, 0, 0);
        for key in &open {
            if is(key, |twin| twin.status == twin::Status::Parked) {
                parked += 1;
            } else if is(key, |twin| twin.memory.sent.is_some()) {
                sent += 1;
            } else {
                skipped += 1;
            }
        }
        task.job.count("sent", sent);
        task.job.count("parked", parked);
        task.job.count("skipped", skipped);
        task.job.cursor.open.clear();
        task.memory.window.waiting.extend(open);
        task.advance(Vec::new(), Vec::new()).await?;
        let now = task.worker.parts.clock.now();
        if let Some(left_at) = task.memory.listed.left_at.take() {
            // Twice as long as it took: two thirds of the time are for single edits.
            return Ok(Some((now.since(left_at) * 2).min(LONGEST_REST)));
        }
    }
    if task.memory.window.is_full() {
        let waiting = unanswered(task, entity_type).await?;
        if task.memory.window.still(waiting, task.worker.parts.clock.now()) {
            return Ok(Some(ASK));
        }
    }
    Ok(None)
}

/// How many of these records have a change of this run that has not ended.
async fn left(task: &Task<'_>, entity_type: &str, keys: &[String]) -> Result<u64, StoreError> {
    let (tracker, entity_type, keys) = (task.worker.name.clone(), entity_type.to_owned(), keys.to_vec());
    let (id, due) = (task.connection.id, task.worker.parts.clock.now().plus(DELAYED));
    let read = task
        .worker
        .parts
        .store
        .read("job_left", move |tx| Box::pin(async move { tx.changes_left(&tracker, &entity_type, &keys, id, due).await }));
    read.await
}

async fn unanswered(task: &Task<'_>, entity_type: &str) -> Result<Vec<String>, StoreError> {
    let (tracker, entity_type, id) = (task.worker.name.clone(), entity_type.to_owned(), task.connection.id);
    let keys = task.memory.window.waiting.clone();
    let read = task
        .worker
        .parts
        .store
        .read("job_unanswered", move |tx| Box::pin(async move { tx.unanswered(&tracker, &entity_type, &keys, id).await }));
    read.await
}

/// Has the next records listed, where none are at hand.
async fn list(task: &mut Task<'_>, entity_type: &str, filter: &str) -> Result<(), Failure> {
    let place = task.job.cursor.after.clone();
    let listed = &task.memory.listed;
    let at_hand = listed.behind.as_ref() == Some(&place) && (!listed.records.is_empty() || listed.next.is_none());
    if at_hand {
        return Ok(());
    }
    let part = task.worker.tracker.list(Caller::Sync, entity_type, filter, place.as_deref()).await?.unwrap_or_default();
    let listed = &mut task.memory.listed;
    (listed.records, listed.next, listed.behind) = (part.records.into(), part.next, Some(place));
    Ok(())
}

/// Leaves the next few records as changes.
async fn leave(task: &mut Task<'_>, entity_type: &str) -> Result<Step, Failure> {
    let listed = &mut task.memory.listed;
    let some = listed.records.len().min(PART);
    let records: Vec<(String, Content)> = listed.records.drain(..some).collect();
    let Some((last, _)) = records.last() else {
        if let Some(next) = listed.next.take() {
            // All of a part was deleted meanwhile.
            listed.behind = None;
            task.job.cursor.after = Some(next);
            task.advance(Vec::new(), Vec::new()).await?;
            return Ok(Step::Next);
        }
        return Ok(Step::End(Status::Done, None));
    };
    let last = last.clone();
    listed.behind = Some(Some(last.clone()));
    listed.left_at = Some(task.worker.parts.clock.now());
    let keys: Vec<String> = records.iter().map(|(key, _)| key.clone()).collect();
    let known = task.twins_of(entity_type, &keys).await?;
    let stopped = |key: &str| {
        known
            .iter()
            .find(|twin| twin.local.as_ref().is_some_and(|local| local.key == key))
            .map(|twin| twin.status == twin::Status::Stopped)
    };
    let mut changes = Vec::new();
    for (key, content) in records {
        match stopped(&key) {
            Some(true) => task.job.count("stopped", 1),
            Some(false) => task.job.count("already_synced", 1),
            None => changes.push(NewChange { content: Some(content), ..task.look_at(entity_type, &key, Source::Trigger) }),
        }
    }
    task.job.cursor.after = Some(last);
    task.job.cursor.open = changes.iter().map(|change| change.key.clone()).collect();
    let nothing = changes.is_empty();
    task.advance(changes, Vec::new()).await?;
    Ok(if nothing { Step::Next } else { Step::Wait(SOON) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_other_side() {
        let keys = |many: usize| vec!["k".to_owned(); many];
        let mut window = Window { waiting: keys(60), ..Window::default() };
        assert!(window.still(keys(60), Time(0)) && window.still(keys(60), Time(1_000)));
        assert!(!window.still(keys(10), Time(2_000)));
        assert_eq!(window.size, 120, "it answers soon");
        window.waiting = keys(120);
        assert!(window.still(keys(120), Time(10_000)) && !window.still(keys(119), Time(30_000)));
        assert_eq!(window.size, 60, "it is slow");
        assert!(window.is_full(), "and has more than enough");
    }
}
