//! Figures: summed up once, told by connection or for the node, forgotten in time.

use super::*;
use crate::domain::{
    figures::{Figures, Step},
    tracker::ApiCalls,
};

fn ended(n: u128, outcome: Outcome, took_ms: i64, at: Time) -> HistoryLine {
    HistoryLine { connection_id: (n > 0).then(|| con(n)), ..line(at.0, "k", outcome, took_ms) }
}

#[tokio::test]
async fn the_history_is_summed_up_in_parts_and_each_line_once() {
    let f = fresh().await;
    let later = Time(START.0 + 900_000);
    let lines = [
        ended(1, Outcome::Sent, 5, START),
        ended(1, Outcome::Sent, 5, START),
        ended(1, Outcome::Parked, 9, START),
        ended(0, Outcome::Skipped, 1, later),
    ];
    w!(f.store, tx => async { tx.add_history(&lines).await }).expect("kept");
    let part = r!(f.store, tx => tx.ended_since(2));
    let told: Vec<_> = part.rows.iter().map(|row| (row.connection, row.outcome, row.took_ms, row.count)).collect();
    assert_eq!((told, part.is_last), (vec![(Some(con(1)), Outcome::Sent, Some(5), 2)], false));
    let same = r!(f.store, tx => tx.ended_since(2));
    assert_eq!(same, part, "nothing moves before the sums are kept");
    w!(f.store, tx => tx.add_figures(&[], part.upto)).expect("kept");
    let part = r!(f.store, tx => tx.ended_since(3));
    let told: Vec<_> = part.rows.iter().map(|row| (row.at, row.connection, row.outcome, row.took_ms)).collect();
    let quarter = |at| Step::Quarter.start(at);
    let expected = vec![(quarter(START), Some(con(1)), Outcome::Parked, None), (quarter(later), None, Outcome::Skipped, None)];
    assert_eq!((told, part.is_last), (expected, true));
    w!(f.store, tx => tx.add_figures(&[], part.upto)).expect("kept");
    let part = r!(f.store, tx => tx.ended_since(3));
    assert_eq!((part.rows.len(), part.upto, part.is_last), (0, None, true));
}

#[tokio::test]
async fn figures_add_up_and_go_with_their_connection() {
    let f = fresh().await;
    let row = |connection, at, sent, parked| {
        let mut figures = Figures { parked, ..Figures::default() };
        figures.ended.add(Outcome::Sent, sent);
        figures.took.add(7, sent);
        FiguresRow { connection, step: Step::Quarter, at, figures }
    };
    let later = Time(START.0 + 900_000);
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.add_figures(&[row(None, START, 5, Some(4)), row(Some(con(1)), START, 2, Some(3)), row(Some(con(2)), START, 3, Some(1))], None).await?;
        tx.add_figures(&[row(None, START, 1, None), row(Some(con(1)), START, 1, None), row(None, later, 0, Some(0))], None).await
    })
    .expect("kept");
    let told = async |only: Option<Vec<ConnectionId>>, since| {
        let figures = r!(f.store, tx => async move { tx.figures(only.as_deref(), Step::Quarter, since).await });
        figures.into_iter().map(|(at, one)| (at, one.ended.sent, one.took.percentile(50), one.parked)).collect::<Vec<_>>()
    };
    assert_eq!(told(None, START).await, [(START, 6, Some(7), Some(4)), (later, 0, None, Some(0))]);
    assert_eq!(told(Some(vec![con(1)]), START).await, [(START, 3, Some(7), Some(3)), (later, 0, None, Some(0))]);
    assert_eq!(told(Some(vec![con(1), con(2)]), START).await[0], (START, 6, Some(7), Some(4)));
    assert_eq!(told(Some(vec![]), START).await[0], (START, 0, None, Some(0)), "bound to none sees none");
    assert_eq!(told(None, later).await.len(), 1);
    w!(f.store, tx => tx.delete_connection(con(1))).expect("gone");
    assert_eq!(told(Some(vec![con(1)]), START).await[0].1, 0);
    w!(f.store, tx => tx.forget_figures(later)).expect("forgotten");
    assert_eq!(told(None, START).await.len(), 1);
}

#[tokio::test]
async fn an_allowance_is_told_as_it_was_last_heard_in_each_step() {
    let f = fresh().await;
    let hour = Step::Hour.start(START);
    let heard =
        |minutes: i64, used| (Time(hour.0 + minutes * 60_000), vec![("support".to_owned(), ApiCalls { used, limit: 100 })]);
    for (at, calls) in [heard(0, 1), heard(1, 2), heard(20, 3), heard(61, 4)] {
        w!(f.store, tx => async move { tx.put_allowances(at, &calls).await }).expect("kept");
    }
    let told = async |step| {
        let all = r!(f.store, tx => tx.allowances(step, hour));
        all.into_iter().map(|(_, at, calls)| ((at.0 - hour.0) / 60_000, calls.used)).collect::<Vec<_>>()
    };
    assert_eq!(told(Step::Quarter).await, [(0, 2), (15, 3), (60, 4)]);
    assert_eq!(told(Step::Hour).await, [(0, 3), (60, 4)]);
}

#[tokio::test]
async fn parked_twins_are_counted_by_connection() {
    let f = fresh().await;
    w!(f.store, tx => async {
        for (connection, n, status) in [(1, 1, Status::Parked), (1, 2, Status::Parked), (1, 3, Status::InSync), (2, 4, Status::Parked)] {
            tx.put_twin(&Twin { status, ..twin(connection, n, "k") }).await?;
        }
        Ok(())
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.parked()), [(con(1), 2), (con(2), 1)]);
}
