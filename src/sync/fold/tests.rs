//! Whatever arrives is folded: nothing panics, nothing that says something is left out or told twice, and a whole record
//! puts right what could not be used before it.

use proptest::{collection::vec, prelude::*, strategy::ValueTree as _};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    anything,
    domain::ids::{ConnectionId, EventId, TwinId},
};

const TWIN: TwinId = TwinId(Uuid::from_u128(7));

fn arrived(n: u64, json: String) -> Arrived {
    Arrived {
        row: i64::try_from(n).expect("small") * 10,
        connection_id: ConnectionId(Uuid::from_u128(1)),
        epoch: 1,
        n,
        id: EventId(Uuid::from_u128(u128::from(n))),
        twin: Some(TWIN),
        json,
        received_at: Time::from_seconds(1_800_000_000),
    }
}

/// Some events of one twin, in order of number.
fn events() -> impl Strategy<Value = Vec<Arrived>> {
    let numbered = |(at, bent): (usize, anything::Bent)| {
        let n = at as u64 + 1;
        arrived(n, bent.text(n, &Uuid::from_u128(u128::from(n)).to_string(), &TWIN.to_string(), &["n"]))
    };
    vec(anything::event(), 1..7).prop_map(move |bent| bent.into_iter().enumerate().map(numbered).collect())
}

fn good(n: u64, replica: serde_json::Value, changed: serde_json::Value) -> Arrived {
    let event = json!({"n": n, "id": Uuid::from_u128(u128::from(n)), "kind": "sync", "twin": TWIN, "seen": 0,
        "at": "2026-11-24T00:00:00Z", "entity_type": "ticket", "key": "T-good", "replica": replica, "changed": changed});
    arrived(n, event.to_string())
}

/// The number of the event that a trouble is about, by its own words.
fn number(trouble: &Trouble) -> u64 {
    let words = trouble.detail.strip_prefix("event ").expect("says which");
    words.split([':', ' ']).next().expect("a word").parse().expect("a number")
}

fn is_sync(event: &Arrived) -> bool {
    matches!(read(event), Ok(Event { body: Body::Sync(_), .. }))
}

fn is_bad(event: &Arrived) -> bool {
    matches!(read(event), Err(_) | Ok(Event { body: Body::Empty {}, .. }))
}

fn is_link(event: &Arrived) -> bool {
    matches!(read(event), Ok(Event { body: Body::Link { .. }, .. }))
}

proptest! {
    #[test]
    fn what_says_something_is_told_once(events in events(), linked: bool) {
        let folded = fold(&events, linked);
        // All of them, up to the first link where there is still one to be made.
        let most = events.iter().position(|event| !linked && is_link(event)).map_or(events.len(), |at| at + 1);
        let taken = &events[..most];
        prop_assert_eq!(&folded.rows, &taken.iter().map(|event| event.row).collect::<Vec<_>>());
        prop_assert_eq!(folded.up_to, taken.last().map_or(0, |event| event.n));
        let mut told = folded.superseded.clone();
        told.extend(folded.sync.as_ref().map(|_| folded.sync_n));
        told.extend(folded.bad.as_ref().map(number));
        told.sort_unstable();
        let says: Vec<u64> = taken.iter().filter(|event| is_sync(event) || is_bad(event)).map(|event| event.n).collect();
        prop_assert_eq!(told, says);
        let last = taken.iter().rev().find(|event| is_sync(event) || is_bad(event));
        prop_assert_eq!(folded.bad.is_some(), last.is_some_and(is_bad));
    }

    #[test]
    fn what_is_folded_has_the_sizes_of_the_link(events in events(), linked: bool) {
        let folded = fold(&events, linked);
        let page = |url: &Option<String>| url.as_ref().is_none_or(|url| shown(url));
        if let Some(sync) = &folded.sync {
            prop_assert!(named(&sync.entity_type, &sync.key).is_ok() && page(&sync.url));
            for replica in std::iter::once(&sync.replica).chain(&sync.applied).chain(&sync.confirmed) {
                prop_assert!(replica::check(replica).is_ok());
            }
            prop_assert!(sync.via.len() <= MOST_VIA && sync.via.iter().all(|name| name.len() <= MOST_NAME));
        }
        for result in &folded.results {
            prop_assert!(page(&result.url) && result.title.as_ref().is_none_or(|title| title.len() <= MOST_NAME));
        }
    }

    #[test]
    fn a_whole_record_puts_right_what_could_not_be_used(mut events in events()) {
        let n = events.len() as u64 + 1;
        let bad = events.iter().any(is_bad);
        events.push(good(n, json!({"summary": "good"}), json!({})));
        let folded = fold(&events, true);
        prop_assert_eq!(&folded.bad, &None);
        let sync = folded.sync.expect("the good one");
        prop_assert_eq!((sync.key.as_str(), &sync.replica["summary"], folded.sync_n), ("T-good", &json!("good"), n));
        prop_assert_eq!(folded.whole, bad, "its list is all that changed only where nothing went missing");
    }
}

#[test]
fn what_the_generator_makes_is_good_and_bad() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let drawn: Vec<Arrived> = (0..30).flat_map(|_| events().new_tree(&mut runner).expect("drawn").current()).collect();
    let (bad, synced) = (drawn.iter().filter(|event| is_bad(event)).count(), drawn.iter().filter(|event| is_sync(event)).count());
    assert!(bad * 5 > drawn.len() && synced * 5 > drawn.len(), "{bad} bad and {synced} syncs of {}", drawn.len());
}
