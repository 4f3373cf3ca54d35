//! Figures: once a minute, what ended since is summed up, and what is parked or used of an allowance is noted.
//!
//! The history is read behind a bookmark and in parts, outside the writer's transaction; only sums are written. Of parked
//! twins a connection is told only while it has some, and once more when the last is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Parts;
use crate::{
    clock::Time,
    domain::{
        figures::{Figures, KEPT, Step},
        ids::ConnectionId,
    },
    store::{
        StoreError,
        rows::{EndedRow, FiguresRow},
    },
};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(60);
/// Lines of the history in one part.
const PART: u32 = 20_000;

/// Sums up until the node stops.
pub(super) async fn run(parts: Parts) {
    let mut had_parked = BTreeSet::new();
    loop {
        if let Err(error) = once(&parts, &mut had_parked).await {
            tracing::warn!("the figures could not be kept: {error}");
        }
        tokio::select! {
            () = parts.clock.sleep(EVERY) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
}

async fn once(parts: &Parts, had_parked: &mut BTreeSet<ConnectionId>) -> Result<(), StoreError> {
    loop {
        let part = parts.store.read("figures.ended", |tx| Box::pin(async move { tx.ended_since(PART).await })).await?;
        let (rows, upto, is_last) = (summed(&part.rows), part.upto, part.is_last);
        if upto.is_some() {
            parts.store.write("figures.ended", move |tx| Box::pin(async move { tx.add_figures(&rows, upto).await })).await?;
        }
        if is_last {
            break;
        }
    }
    let now = parts.clock.now();
    let parked = parts.store.read("figures.parked", |tx| Box::pin(async move { tx.parked().await })).await?;
    let rows = noted(now, &parked, had_parked);
    let facts = parts.trackers.iter().map(|(name, tracker)| (name.clone(), tracker.facts().api_calls));
    let calls: Vec<_> = facts.filter_map(|(name, calls)| Some((name, calls?))).collect();
    parts
        .store
        .write("figures.noted", move |tx| {
            Box::pin(async move {
                tx.add_figures(&rows, None).await?;
                tx.put_allowances(now, &calls).await?;
                tx.forget_figures(now.minus(KEPT)).await.map(drop)
            })
        })
        .await?;
    *had_parked = parked.into_iter().map(|(id, _)| id).collect();
    Ok(())
}

/// What ended, for its connection and for the node, by both steps.
fn summed(rows: &[EndedRow]) -> Vec<FiguresRow> {
    let mut all: BTreeMap<(Option<ConnectionId>, Step, Time), Figures> = BTreeMap::new();
    for row in rows {
        for connection in BTreeSet::from([None, row.connection]) {
            for step in Step::ALL {
                let figures = all.entry((connection, step, step.start(row.at))).or_default();
                figures.ended.add(row.outcome, row.count);
                if let Some(ms) = row.took_ms {
                    figures.took.add(ms, row.count);
                }
            }
        }
    }
    all.into_iter().map(|((connection, step, at), figures)| FiguresRow { connection, step, at, figures }).collect()
}

/// What is parked now.
fn noted(now: Time, parked: &[(ConnectionId, u64)], had_parked: &BTreeSet<ConnectionId>) -> Vec<FiguresRow> {
    let mut all: BTreeMap<Option<ConnectionId>, u64> = had_parked.iter().map(|id| (Some(*id), 0)).collect();
    all.insert(None, parked.iter().map(|(_, count)| count).sum());
    all.extend(parked.iter().map(|(id, count)| (Some(*id), *count)));
    let figures = |parked| Figures { parked: Some(parked), ..Figures::default() };
    let of = |(connection, parked)| {
        Step::ALL.map(|step| FiguresRow { connection, step, at: step.start(now), figures: figures(parked) })
    };
    all.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::history::Outcome;

    const HOUR: Time = Time(1_800_000_000_000);

    fn con(n: u128) -> Option<ConnectionId> {
        Some(ConnectionId(Uuid::from_u128(n)))
    }

    #[test]
    fn what_ended_counts_for_its_connection_and_for_the_node() {
        let row = |minutes: i64, connection, outcome, took_ms| EndedRow {
            at: Time(HOUR.0 + minutes * 60_000),
            connection,
            outcome,
            took_ms,
            count: 2,
        };
        let rows = summed(&[
            row(0, con(1), Outcome::Sent, Some(5)),
            row(15, con(1), Outcome::Parked, None),
            row(15, None, Outcome::Skipped, None),
        ]);
        let of = |connection, step, minutes: i64| {
            let at = Time(HOUR.0 + minutes * 60_000);
            rows.iter().find(|row| (row.connection, row.step, row.at) == (connection, step, at)).map(|row| row.figures.clone())
        };
        let node = of(None, Step::Hour, 0).expect("there");
        assert_eq!((node.ended.sent, node.ended.parked, node.ended.skipped, node.took.percentile(50)), (2, 2, 2, Some(5)));
        let later = of(con(1), Step::Quarter, 15).expect("there");
        assert_eq!((later.ended.sent, later.ended.parked, later.ended.skipped, later.took.percentile(50)), (0, 2, 0, None));
        assert_eq!(rows.len(), 6, "nothing for no connection: {rows:#?}");
    }

    #[test]
    fn a_connection_is_told_of_once_more_when_its_last_twin_goes_on() {
        let one = con(1).expect("an id");
        let told = |parked: &[(ConnectionId, u64)], had: &BTreeSet<ConnectionId>| -> Vec<_> {
            let rows = noted(HOUR, parked, had).into_iter().filter(|row| row.step == Step::Hour);
            rows.map(|row| (row.connection, row.figures.parked)).collect()
        };
        assert_eq!(told(&[(one, 3)], &BTreeSet::new()), [(None, Some(3)), (con(1), Some(3))]);
        assert_eq!(told(&[], &BTreeSet::from([one])), [(None, Some(0)), (con(1), Some(0))]);
        assert_eq!(told(&[], &BTreeSet::new()), [(None, Some(0))]);
    }
}
