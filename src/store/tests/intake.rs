//! Changes: order, repeats, what is due.

use super::*;

fn record(key: &str) -> WaitingRecord {
    WaitingRecord { entity_type: "Case".to_owned(), key: key.to_owned() }
}

#[tokio::test]
async fn a_change_comes_back_as_it_was() {
    let f = fresh().await;
    let given = NewChange { connection: Some(con(1)), ..change("500", Some("n1")) };
    f.store.add_changes(vec![given.clone()]).await.expect("stored");
    let got = r!(f.store, tx => tx.changes("support", "Case", "500"));
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].change, given);
    let again = r!(f.store, tx => tx.changes_of("support", &[record("500"), record("500"), record("x")]));
    assert_eq!(again, got);
}

#[tokio::test]
async fn a_notice_is_stored_once_also_after_its_change_ended() {
    let f = fresh().await;
    let (a, b) = (change("1", Some("n")), change("2", Some("n")));
    f.store.add_changes(vec![a.clone(), a.clone(), b]).await.expect("stored");
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 1);
    let first = r!(f.store, tx => tx.changes("support", "Case", "1"))[0].id;
    w!(f.store, tx => tx.end_changes(&[first])).expect("ended");
    f.store.add_changes(vec![a.clone()]).await.expect("passed over");
    w!(f.store, tx => async { tx.add_changes(&[change("1", Some("n"))]).await }).expect("passed over here too");
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 0);
    let elsewhere = NewChange { tracker: "other".to_owned(), ..a.clone() };
    f.store.add_changes(vec![elsewhere]).await.expect("stored: another tracker's notice");
    assert_eq!(r!(f.store, tx => tx.count_changes("other")), 1);
    assert_eq!(w!(f.store, tx => tx.forget_notices(START)).expect("nothing old"), 0);
    assert_eq!(w!(f.store, tx => tx.forget_notices(Time(START.0 + 1))).expect("forgets"), 2);
    f.store.add_changes(vec![a]).await.expect("new again");
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 1);
}

#[tokio::test]
async fn changes_without_a_notice_id_are_never_repeats() {
    let f = fresh().await;
    f.store.add_changes(vec![change("1", None), change("1", None)]).await.expect("stored");
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 2);
}

#[tokio::test]
async fn records_wait_oldest_first_and_only_when_due() {
    let f = fresh().await;
    let later = START.plus(Duration::from_secs(60));
    let mut all = vec![change("b", None); 50];
    all.push(change("a", None));
    all.push(NewChange { due_at: later, ..change("c", None) });
    f.store.add_changes(all).await.expect("stored");
    assert_eq!(r!(f.store, tx => tx.records_waiting("support", START, 2)), [record("b"), record("a")]);
    assert_eq!(r!(f.store, tx => tx.records_waiting("support", later, 10)).len(), 3);
    assert_eq!(r!(f.store, tx => tx.next_change_due("support", None)), Some(START));
    let ids: Vec<i64> = r!(f.store, tx => tx.changes("support", "Case", "b")).iter().map(|change| change.id).collect();
    w!(f.store, tx => async move { tx.delay_changes(&ids, later).await }).expect("delayed");
    assert_eq!(r!(f.store, tx => tx.records_waiting("support", START, 2)), [record("a")]);
    assert_eq!(r!(f.store, tx => tx.changes("support", "Case", "b"))[0].change.due_at, later);
    assert_eq!(r!(f.store, tx => tx.next_change_due("nothing", None)), None);
}

#[tokio::test]
async fn intake_wakes_the_tracker_after_the_commit() {
    let f = fresh().await;
    let woken = f.store.wakes().on(Topic::Changes("support".to_owned()));
    f.store.add_changes(vec![change("1", None)]).await.expect("stored");
    tokio::time::timeout(Duration::from_secs(5), woken.notified()).await.expect("woken");
}

#[tokio::test]
async fn many_callers_share_commits() {
    let f = fresh().await;
    let callers = (0..64).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move { store.add_changes(vec![change(&n.to_string(), Some(&format!("n{}", n / 2)))]).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic").expect("stored");
    }
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 32);
}
