//! What rules did to the outside, and what they looked for in vain.

use super::*;
use crate::domain::{
    ask::Moment,
    rule::RulePair,
    version::{Imprint, RuleVersion},
};

fn row(n: u128, direction: Direction, number: u32, answer: Option<&str>) -> JournalRow {
    JournalRow {
        connection_id: con(1),
        twin: tw(n),
        direction,
        number,
        version: 1,
        moment: Moment { now: START, seed: u32::MAX },
        method: "POST".to_owned(),
        path: "/x".to_owned(),
        body: [7; 32],
        at: START,
        answer: answer.map(str::to_owned),
    }
}

fn version(n: u32) -> RuleVersion {
    let imprint = Imprint { version: n, at: START, by: "ada".to_owned(), note: String::new() };
    RuleVersion { imprint, outgoing: format!("out {n}"), incoming: format!("in {n}") }
}

fn lookup(n: u128, key: &str, event: Option<&str>) -> Lookup {
    let event = event.map(str::to_owned);
    Lookup { connection_id: con(1), remote_key: key.to_owned(), twin: tw(n), direction: Direction::In, up_to: (1, 2), event }
}

#[tokio::test]
async fn the_rows_of_a_work_keep_their_order_and_end_together() {
    let f = fresh().await;
    let work = (con(1), tw(1), Direction::In);
    w!(f.store, tx => async {
        for row in [row(1, Direction::In, 2, None), row(1, Direction::In, 1, Some("1")), row(1, Direction::Out, 1, None), row(2, Direction::In, 1, None)] {
            tx.put_journal(&row).await?;
        }
        tx.put_journal(&JournalRow { path: "not changed".to_owned(), ..row(1, Direction::In, 2, Some("{}")) }).await
    })
    .expect("kept");
    let kept = r!(f.store, tx => tx.journal(work));
    assert_eq!(kept, [row(1, Direction::In, 1, Some("1")), row(1, Direction::In, 2, Some("{}"))]);
    w!(f.store, tx => tx.forget_journal(work, 2)).expect("gone");
    w!(f.store, tx => async { tx.end_journal(&[work, (con(1), tw(2), Direction::In)]).await }).expect("ended");
    assert_eq!(r!(f.store, tx => tx.journal(work)), []);
    assert_eq!(r!(f.store, tx => tx.journal((con(1), tw(1), Direction::Out))).len(), 1, "the other way goes on");
    w!(f.store, tx => async { tx.end_journal(&[(con(1), tw(1), Direction::Out)]).await }).expect("ended");
    // Twice: after all is gone nothing is asked for any more, and new rows are still seen.
    for _ in 0..2 {
        w!(f.store, tx => async { tx.end_journal(&[work]).await }).expect("ended");
    }
    w!(f.store, tx => async { tx.put_journal(&row(1, Direction::In, 1, None)).await }).expect("kept");
    w!(f.store, tx => async { tx.end_journal(&[work]).await }).expect("ended");
    assert_eq!(r!(f.store, tx => tx.journal(work)), []);
}

#[tokio::test]
async fn a_work_keeps_its_version_until_a_person_moves_it() {
    let f = fresh().await;
    let (work, other) = ((con(1), tw(1), Direction::Out), (con(1), tw(2), Direction::Out));
    assert_eq!(r!(f.store, tx => tx.rules_for(work)), None, "the built-in pair");
    w!(f.store, tx => async {
        tx.insert_rule_version(con(1), &version(1)).await?;
        tx.put_journal(&row(1, Direction::Out, 1, Some("1"))).await?;
        tx.put_journal(&row(1, Direction::Out, 2, None)).await?;
        tx.insert_rule_version(con(1), &version(2)).await
    })
    .expect("kept");
    let newest: RulePair = version(2).pair();
    assert_eq!(r!(f.store, tx => tx.rules_for(work)), Some((newest.clone(), Some(1))));
    assert_eq!(r!(f.store, tx => tx.rules_for(other)), Some((newest.clone(), None)));
    w!(f.store, tx => tx.renew_journal(con(1), tw(1), false)).expect("moved");
    assert_eq!(r!(f.store, tx => tx.rules_for(work)), Some((newest, Some(2))));
    assert_eq!(r!(f.store, tx => tx.journal(work)).len(), 2);
    w!(f.store, tx => tx.renew_journal(con(1), tw(1), true)).expect("again");
    assert_eq!(r!(f.store, tx => tx.journal(work)).len(), 1, "what nobody knows of is made again");
    w!(f.store, tx => tx.delete_connection(con(1))).expect("deleted");
    assert_eq!(r!(f.store, tx => tx.journal(work)), []);
}

#[tokio::test]
async fn those_that_looked_are_taken_once() {
    let f = fresh().await;
    w!(f.store, tx => async {
        for one in [lookup(1, "HD-1", None), lookup(1, "HD-1", Some("{}")), lookup(2, "HD-1", None), lookup(1, "HD-2", None)] {
            tx.put_lookup(&one, START).await?;
        }
        Ok(())
    })
    .expect("kept");
    let found = [(con(1), "HD-1".to_owned()), (con(2), "HD-2".to_owned())];
    let mut taken = w!(f.store, tx => async { tx.take_lookups(&found).await }).expect("taken");
    taken.sort_by_key(|one| one.twin.to_string());
    assert_eq!(taken, [lookup(1, "HD-1", Some("{}")), lookup(2, "HD-1", None)]);
    let found = [(con(1), "HD-1".to_owned())];
    assert_eq!(w!(f.store, tx => async { tx.take_lookups(&found).await }).expect("none"), []);
}

#[tokio::test]
async fn what_was_looked_for_long_ago_is_forgotten() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.put_lookup(&lookup(1, "HD-1", None), START).await?;
        tx.put_lookup(&lookup(2, "HD-1", None), START).await?;
        tx.put_lookup(&lookup(2, "HD-1", None), Time(START.0 + 1)).await
    })
    .expect("kept");
    assert_eq!(w!(f.store, tx => tx.forget_lookups(START)).expect("too young"), 0);
    assert_eq!(w!(f.store, tx => tx.forget_lookups(Time(START.0 + 1))).expect("forgotten"), 1);
    let found = [(con(1), "HD-1".to_owned())];
    let taken = w!(f.store, tx => async { tx.take_lookups(&found).await }).expect("taken");
    assert_eq!(taken, [lookup(2, "HD-1", None)], "the one that looked again");
}

#[tokio::test]
async fn a_record_is_found_by_the_key_of_the_other_sides() {
    let f = fresh().await;
    let entity = |key: &str| Some(EntityRef { entity_type: "issue".to_owned(), key: key.to_owned(), url: None });
    w!(f.store, tx => async {
        let mut gone = Twin { remote: entity("HD-2"), ..twin(1, 2, "k2") };
        gone.memory.deleted_here = true;
        for one in [Twin { remote: entity("HD-1"), ..twin(1, 1, "k1") }, gone, Twin { remote: entity("HD-3"), local: None, ..twin(1, 3, "k3") }] {
            tx.put_twin(&one).await?;
        }
        Ok(())
    })
    .expect("kept");
    let keys = async |key: &'static str, of: u128| r!(f.store, tx => tx.local_keys(con(of), key));
    assert_eq!(keys("HD-1", 1).await.into_iter().map(|(_, key)| key).collect::<Vec<_>>(), ["k1"]);
    for (key, of) in [("HD-2", 1), ("HD-3", 1), ("HD-4", 1), ("HD-1", 2)] {
        assert_eq!(keys(key, of).await, [], "{key}");
    }
}
