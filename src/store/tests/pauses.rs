//! Directions whose rule fails, and what waits for them.

use super::*;
use crate::{
    domain::failing::{Failing, Fault, Pause, Streak},
    store::rows::HELD,
};

fn failing(paused: bool) -> Failing {
    let pause = Pause { error: ErrorId(id(5)), since: START, probes: 1, probe_at: START, probe: Some(tw(2)) };
    let fault = Fault { code: "rule_failed".to_owned(), title: "t".to_owned(), detail: "d \u{1F600}".to_owned() };
    let streak = Streak { version: 3, fault: fault.clone(), twins: vec![tw(1), tw(2)], pause: paused.then_some(pause) };
    Failing { streak: Some(streak), release: vec![fault] }
}

#[tokio::test]
async fn what_fails_is_kept_by_direction_until_it_is_over() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.put_failing(con(1), Direction::In, &failing(false)).await?;
        tx.put_failing(con(1), Direction::Out, &failing(false)).await?;
        tx.put_failing(con(1), Direction::Out, &failing(true)).await?;
        // A connection that is gone: nobody would take the row away.
        tx.put_failing(con(2), Direction::Out, &failing(true)).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.failing(con(1), Direction::In)), Some(failing(false)));
    assert_eq!(r!(f.store, tx => tx.all_failing()).len(), 2);
    assert_eq!(r!(f.store, tx => tx.paused(con(1))), [(Direction::Out, failing(true), 0)]);
    w!(f.store, tx => async {
        tx.put_failing(con(1), Direction::In, &Failing::default()).await?;
        tx.delete_connection(con(1)).await
    })
    .expect("over");
    assert_eq!(r!(f.store, tx => tx.all_failing()), []);
}

#[tokio::test]
async fn held_events_wait_and_go_on_in_parts() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.put_failing(con(1), Direction::In, &failing(true)).await?;
        let events: Vec<Arrived> = (1..=5).map(|n| event(1, Some(u128::from(n)), n)).collect();
        tx.add_arrived("support", &events).await?;
        tx.hold_arrived(con(1), &[tw(1), tw(2), tw(3)]).await?;
        // What waits for a person is nobody else's to release.
        tx.rest_arrived(con(1), tw(4), None).await
    })
    .expect("held");
    let free = async || {
        let waiting = r!(f.store, tx => tx.twins_waiting("support", 9));
        waiting.iter().filter_map(|one| one.twin).collect::<Vec<_>>()
    };
    assert_eq!(free().await, [tw(5)]);
    assert_eq!(r!(f.store, tx => tx.paused(con(1)))[0].2, 3);
    let next = async |after| r!(f.store, tx => async move { tx.next_held(con(1), Direction::In, after).await });
    assert_eq!((next(None).await, next(Some(tw(1))).await, next(Some(tw(3))).await), (Some(tw(1)), Some(tw(2)), Some(tw(1))));
    let release = async || w!(f.store, tx => tx.release_held(con(1), Direction::In, 2, START)).expect("released");
    assert_eq!((release().await, release().await, release().await), (2, 1, 0));
    assert_eq!(free().await, [tw(1), tw(2), tw(3), tw(5)]);
    assert_eq!(next(None).await, None);
}

#[tokio::test]
async fn held_changes_wait_and_go_on_in_parts() {
    let f = fresh().await;
    let held = |key: &str| NewChange { connection: Some(con(1)), due_at: HELD, ..change(key, None) };
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.put_failing(con(1), Direction::Out, &failing(true)).await?;
        tx.put_twins(&[twin(1, 1, "a"), twin(1, 2, "b")]).await?;
        tx.add_changes(&[held("b"), held("a"), held("c"), change("d", None)]).await
    })
    .expect("held");
    let free = async || {
        let now = START.plus(Duration::from_secs(9));
        r!(f.store, tx => tx.records_waiting("support", now, 9)).into_iter().map(|one| one.key).collect::<Vec<_>>()
    };
    assert_eq!(free().await, ["d"]);
    assert_eq!(r!(f.store, tx => tx.paused(con(1)))[0].2, 3);
    assert_eq!(r!(f.store, tx => tx.next_held(con(1), Direction::Out, None)), Some(tw(2)), "the one that waited longest");
    let release = async || w!(f.store, tx => tx.release_held(con(1), Direction::Out, 2, START)).expect("released");
    assert_eq!((release().await, release().await), (2, 1));
    assert_eq!(free().await.len(), 4);
}
