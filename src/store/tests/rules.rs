//! Rules that people wrote: versions and drafts.

use super::*;
use crate::domain::version::{Imprint, RuleDraft, RuleVersion};

fn version(n: u32, text: &str) -> RuleVersion {
    let imprint = Imprint { version: n, at: Time(i64::from(n)), by: "ada".to_owned(), note: format!("why {n}") };
    RuleVersion { imprint, outgoing: format!("{text}\r\n// out \u{1F600}"), incoming: text.to_owned() }
}

fn draft(text: &str, base: u32) -> RuleDraft {
    RuleDraft { outgoing: text.to_owned(), incoming: String::new(), base, at: START, by: "bob".to_owned() }
}

#[tokio::test]
async fn the_newest_version_is_the_one_that_runs() {
    let f = fresh().await;
    assert_eq!(r!(f.store, tx => tx.rules(con(1))), None, "the built-in pair");
    assert_eq!(r!(f.store, tx => tx.newest_rule_version(con(1))), None);
    w!(f.store, tx => async {
        // Ten, so that an order by letters would show.
        for n in (1..=10).rev() {
            tx.insert_rule_version(con(1), &version(n, &format!("text {n}"))).await?;
        }
        tx.insert_rule_version(con(2), &version(1, "another connection's")).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.rules(con(1))), Some(version(10, "text 10").pair()));
    assert_eq!(r!(f.store, tx => tx.newest_rule_version(con(1))), Some(version(10, "text 10")));
    assert_eq!(r!(f.store, tx => tx.rules(con(2))).map(|pair| pair.version), Some(1));
    assert_eq!(r!(f.store, tx => tx.rule_version(con(1), 3)), Some(version(3, "text 3")));
    assert_eq!(r!(f.store, tx => tx.rule_version(con(1), 11)), None);
    let listed = r!(f.store, tx => tx.rule_versions(con(1)));
    assert_eq!(listed.iter().map(|one| one.version).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(listed[0], version(10, "").imprint);
}

#[tokio::test]
async fn a_versions_number_is_given_once() {
    let f = fresh().await;
    w!(f.store, tx => async { tx.insert_rule_version(con(1), &version(1, "first")).await }).expect("new");
    let again = w!(f.store, tx => async { tx.insert_rule_version(con(1), &version(1, "second")).await });
    assert!(matches!(&again, Err(StoreError::Taken(what)) if what == "version 1 of the rules"), "{again:?}");
    assert_eq!(r!(f.store, tx => tx.rules(con(1))), Some(version(1, "first").pair()));
}

#[tokio::test]
async fn a_connection_has_at_most_one_draft() {
    let f = fresh().await;
    assert_eq!(r!(f.store, tx => tx.rule_draft(con(1))), None);
    w!(f.store, tx => async {
        tx.put_rule_draft(con(1), &draft("one", 0)).await?;
        tx.put_rule_draft(con(1), &draft("two", 1)).await?;
        tx.put_rule_draft(con(2), &draft("other", 7)).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.rule_draft(con(1))), Some(draft("two", 1)));
    w!(f.store, tx => tx.delete_rule_draft(con(1))).expect("forgotten");
    assert_eq!(r!(f.store, tx => tx.rule_draft(con(1))), None);
    assert_eq!(r!(f.store, tx => tx.rule_draft(con(2))), Some(draft("other", 7)));
}

#[tokio::test]
async fn rules_go_with_their_connection() {
    let f = fresh().await;
    w!(f.store, tx => async {
        for n in 1..=2 {
            tx.insert_connection(&connection(n, &n.to_string())).await?;
            tx.insert_rule_version(con(n), &version(1, "text")).await?;
            tx.put_rule_draft(con(n), &draft("text", 1)).await?;
        }
        tx.delete_connection(con(1)).await
    })
    .expect("deleted");
    assert_eq!((r!(f.store, tx => tx.rules(con(1))), r!(f.store, tx => tx.rule_draft(con(1)))), (None, None));
    assert!(r!(f.store, tx => tx.rules(con(2))).is_some() && r!(f.store, tx => tx.rule_draft(con(2))).is_some());
}
