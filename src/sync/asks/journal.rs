//! The journal of a work: each effect is on disk before it leaves, and its answer after.
//!
//! A run takes rows in order: a call that equals one which no call of this run has taken yet is that one. So a rule that
//! makes the same call twice makes two, and one whose text changed makes only what is new.
//!
//! Traps. A refusal is no effect: its row goes, and a rerun asks again. A call that may have been done and whose answer is
//! lost keeps its row without an answer, whatever becomes of the run.

use serde_json::Value;

use super::{Again, Desk, Trouble};
use crate::{
    clock::Time,
    domain::{
        ask::{Method, Moment, Request, Unanswered},
        tracker::Caller,
    },
    secret::sha256,
    store::rows::{JournalRow, RuleWork},
};

/// `method` of a row for `store(entity)`.
pub(super) const STORE: &str = "STORE";
/// `path` of such a row where the record is made.
const CREATE: &str = "create";
/// The same where it is there already.
const UPDATE: &str = "update";
/// Code of [`in_doubt`].
pub(in crate::sync) const IN_DOUBT: &str = "effect_in_doubt";

/// The rows of a work, and which of them this run has met again.
#[derive(Clone, Debug, Default)]
pub(in crate::sync) struct Journal {
    rows: Vec<(JournalRow, bool)>,
    /// The version that runs.
    version: u32,
}

impl Journal {
    /// Of a work that goes on, or begins, under this version.
    pub(in crate::sync) fn new(rows: Vec<JournalRow>, version: u32) -> Self {
        Self { rows: rows.into_iter().map(|row| (row, false)).collect(), version }
    }

    /// Time and chance of the work, where it has had effects.
    pub(super) fn moment(&self) -> Option<Moment> {
        self.rows.first().map(|(row, _)| row.moment)
    }

    /// The record here was made by `store(entity)` of this work.
    pub(super) fn made(&self) -> bool {
        self.rows.iter().any(|(row, _)| row.method == STORE && row.path == CREATE)
    }

    /// What was done, in order.
    pub(super) fn told(&self) -> Vec<String> {
        let done = self.rows.iter().filter(|(row, _)| row.answer.is_some() && row.method != STORE);
        done.map(|(row, _)| format!("{} {}", row.method, row.path)).collect()
    }

    /// The row of the next `store(entity)` of this run, where its record is still to be written.
    pub(super) fn store(&mut self, work: RuleWork, moment: Moment, here: bool, at: Time) -> Option<JournalRow> {
        if let Some((row, met)) = self.rows.iter_mut().find(|(row, met)| !met && row.method == STORE) {
            *met = true;
            let written = row.answer.is_some() || row.path == CREATE && here;
            return (!written).then(|| row.clone());
        }
        let path = if here { UPDATE } else { CREATE };
        Some(self.begin(work, moment, (STORE, path, [0; 32]), at))
    }

    fn begin(&mut self, work: RuleWork, moment: Moment, call: (&str, &str, [u8; 32]), at: Time) -> JournalRow {
        let (connection_id, twin, direction) = work;
        let (method, path, body) = call;
        let row = JournalRow {
            connection_id,
            twin,
            direction,
            number: self.rows.iter().map(|(row, _)| row.number + 1).max().unwrap_or(1),
            version: self.version,
            moment,
            method: method.to_owned(),
            path: path.to_owned(),
            body,
            at,
            answer: None,
        };
        self.rows.push((row.clone(), true));
        row
    }

    /// The row of a call that equals this one, and that this run has not met yet.
    fn meet(&mut self, call: (&str, &str, [u8; 32])) -> Option<JournalRow> {
        let equal = |row: &JournalRow| (row.method.as_str(), row.path.as_str(), row.body) == call;
        let (row, met) = self.rows.iter_mut().find(|(row, met)| !met && equal(row))?;
        *met = true;
        Some(row.clone())
    }

    fn answered(&mut self, number: u32, answer: &str) {
        if let Some((row, _)) = self.rows.iter_mut().find(|(row, _)| row.number == number) {
            row.answer = Some(answer.to_owned());
        }
    }

    fn forget(&mut self, number: u32) {
        self.rows.retain(|(row, _)| row.number != number);
    }
}

/// Makes a call that has effects, or tells what it was answered before.
pub(super) async fn effect(desk: &Desk, work: RuleWork, request: Request) -> Result<Value, Unanswered> {
    let body = sha256(request.body.as_ref().map(Value::to_string).unwrap_or_default().as_bytes());
    let call = (request.method.as_str(), request.path.as_str(), body);
    let known = desk.state().journal.meet(call);
    let mut row = match known {
        Some(JournalRow { answer: Some(answer), .. }) => return Ok(serde_json::from_str(&answer).unwrap_or_default()),
        Some(row) if !request.method.repeats() => return Err(desk.park(in_doubt(&row, "the node was stopped before it came"))),
        Some(row) => row,
        None => {
            let row = desk.state().journal.begin(work, desk.moment, call, desk.worker.parts.clock.now());
            keep(desk, &row).await?;
            row
        }
    };
    match desk.worker.tracker.request(Caller::Sync, &request).await {
        Ok(answer) => {
            let text = answer.to_string();
            desk.state().journal.answered(row.number, &text);
            row.answer = Some(text);
            keep(desk, &row).await?;
            Ok(answer)
        }
        Err(error) if error.in_doubt && request.method == Method::Post => Err(desk.park(in_doubt(&row, &error.detail))),
        Err(error) if error.in_doubt => Err(desk.park(Trouble { again: Again::Soon, ..Trouble::from(&error) })),
        Err(error) => {
            desk.state().journal.forget(row.number);
            let number = row.number;
            let stored = desk
                .worker
                .parts
                .store
                .write("journal_forget", move |tx| Box::pin(async move { tx.forget_journal(work, number).await }));
            stored.await.map_err(|error| desk.store_failed(&error))?;
            Err(desk.refused(&error))
        }
    }
}

async fn keep(desk: &Desk, row: &JournalRow) -> Result<(), Unanswered> {
    let row = row.clone();
    let stored = desk.worker.parts.store.write("journal", move |tx| Box::pin(async move { tx.put_journal(&row).await }));
    stored.await.map_err(|error| desk.store_failed(&error))
}

fn in_doubt(row: &JournalRow, why: &str) -> Trouble {
    Trouble {
        code: IN_DOUBT.to_owned(),
        title: "Nobody can tell whether a call of the rule was done".to_owned(),
        detail: format!("{} {} was begun at {} and its answer was lost: {why}", row.method, row.path, row.at),
        advice: "Look in the tracker whether it was done. A retry makes the call again; to give this change up, skip it."
            .to_owned(),
        again: Again::Person,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        history::Direction,
        ids::{ConnectionId, TwinId},
    };

    const WORK: RuleWork = (ConnectionId(Uuid::nil()), TwinId(Uuid::nil()), Direction::In);
    const MOMENT: Moment = Moment { now: Time(5), seed: 6 };

    fn call(path: &str) -> (&str, &str, [u8; 32]) {
        ("POST", path, [0; 32])
    }

    /// The same rows, for the next run.
    fn again(journal: &Journal) -> Journal {
        Journal::new(journal.rows.iter().map(|(row, _)| row.clone()).collect(), 9)
    }

    #[test]
    fn a_call_made_twice_in_a_run_is_two_and_is_met_twice_in_the_next() {
        let mut first = Journal::new(Vec::new(), 3);
        for number in 1..=2 {
            assert_eq!(first.meet(call("/a")), None);
            assert_eq!(first.begin(WORK, MOMENT, call("/a"), Time(7)).number, number);
        }
        first.answered(2, "{}");
        let mut second = again(&first);
        assert_eq!(second.moment(), Some(MOMENT));
        assert_eq!(second.meet(call("/b")), None, "a new call before them does not move them");
        assert_eq!(second.begin(WORK, MOMENT, call("/b"), Time(8)).number, 3);
        let met = [(); 3].map(|()| second.meet(call("/a")).map(|row| (row.number, row.version, row.answer.is_some())));
        assert_eq!(met, [Some((1, 3, false)), Some((2, 3, true)), None]);
        assert_eq!(second.told(), ["POST /a"]);
        second.forget(1);
        assert_eq!(again(&second).meet(call("/a")).map(|row| row.number), Some(2));
    }

    #[test]
    fn a_record_is_stored_once_by_each_call_of_a_run() {
        let mut first = Journal::new(Vec::new(), 1);
        let mut row = first.store(WORK, MOMENT, false, Time(7)).expect("to be made");
        assert_eq!((row.path.as_str(), first.made()), (CREATE, true));
        // Its answer was lost: there is a record now, or there is none.
        assert_eq!(again(&first).store(WORK, MOMENT, true, Time(8)), None);
        assert_eq!(again(&first).store(WORK, MOMENT, false, Time(8)).map(|row| row.number), Some(1));
        row.answer = Some("{}".to_owned());
        let mut second = Journal::new(vec![row], 1);
        assert_eq!(second.store(WORK, MOMENT, true, Time(9)), None);
        let more = second.store(WORK, MOMENT, true, Time(9)).expect("a second call writes what came since");
        assert_eq!((more.path.as_str(), more.number), (UPDATE, 2));
        assert!(again(&second).store(WORK, MOMENT, true, Time(9)).is_none() && second.told().is_empty());
    }
}
