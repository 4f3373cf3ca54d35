//! Outbox and inbox.

use super::*;
use crate::domain::event::{Event, ResultBody};

fn sync_of(draft: &Draft) -> &SyncBody {
    match &draft.body {
        Body::Sync(sync) => sync,
        other => panic!("a sync was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn drafts_of_a_twin_merge_until_they_have_a_number() {
    let f = fresh().await;
    let (first, second) = (sync_draft(1, 1, 10, &[("a", 5), ("b", 9)]), sync_draft(1, 1, 11, &[("a", 7), ("b", 2), ("c", 3)]));
    let second = Draft { seen: 4, correlation: Some(CorrelationId(id(5))), at: START.plus(Duration::from_secs(1)), ..second };
    let expected_at = second.at;
    w!(f.store, tx => async move { tx.put_draft(&first).await?; tx.put_draft(&second).await }).expect("merged");
    let merged = r!(f.store, tx => tx.draft(con(1), tw(1), "sync")).expect("waits");
    assert_eq!((merged.id, merged.seen, merged.at), (EventId(id(10)), 4, expected_at));
    assert_eq!(merged.correlation, Some(CorrelationId(id(5))));
    let changed: Vec<_> = sync_of(&merged).changed.iter().map(|(field, at)| (field.as_str(), at.0)).collect();
    assert_eq!(changed, [("a", 5), ("b", 2), ("c", 3)]);
    assert_eq!(sync_of(&merged).via, ["via-11", "via-10"]);
    let numbered = w!(f.store, tx => tx.number_drafts(con(1), 10, 1_000_000, 0)).expect("numbered");
    assert_eq!(numbered.len(), 1);
    let event: Event = serde_json::from_str(&numbered[0].json).expect("an event");
    assert_eq!((event.n, event.id, event.seen), (1, EventId(id(10)), 4));
    // What has a number stays; the next waits beside it.
    w!(f.store, tx => async { tx.put_draft(&sync_draft(1, 1, 12, &[])).await }).expect("waits");
    let unseen = r!(f.store, tx => tx.unseen_of(con(1), &[(tw(1), 0)]));
    assert_eq!(unseen.iter().map(|(_, unseen)| unseen.n).collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(unseen[0].1.body, event.body);
    assert_eq!(r!(f.store, tx => tx.unseen_of(con(1), &[(tw(1), 1)])).len(), 1);
}

#[tokio::test]
async fn a_sync_takes_back_an_end_that_has_not_left() {
    let f = fresh().await;
    let stop = Draft { id: EventId(id(20)), body: Body::Stop {}, ..sync_draft(1, 1, 20, &[]) };
    let (first, again) = (sync_draft(1, 1, 10, &[("a", 5)]), sync_draft(1, 1, 11, &[("b", 7)]));
    w!(f.store, tx => async move {
        tx.put_draft(&first).await?;
        tx.put_draft(&stop).await?;
        tx.put_draft(&again).await
    })
    .expect("kept");
    // Merged into the older row, the sync would leave before the stop that it came after.
    assert_eq!(r!(f.store, tx => tx.draft(con(1), tw(1), "stop")), None);
    assert_eq!(sync_of(&r!(f.store, tx => tx.draft(con(1), tw(1), "sync")).expect("waits")).changed.len(), 2);
}

#[tokio::test]
async fn the_newer_result_wins_up_to_the_higher_number() {
    let f = fresh().await;
    let result = |up_to, title: &str| Draft {
        body: Body::Result(ResultBody {
            up_to,
            outcome: Outcome::Applied,
            title: Some(title.to_owned()),
            entity_type: None,
            key: None,
            url: None,
            traces: vec![json!(title)],
        }),
        ..sync_draft(1, 1, 20 + u128::from(up_to), &[])
    };
    let (high, low) = (result(9, "old"), result(4, "new"));
    w!(f.store, tx => async move { tx.put_draft(&high).await?; tx.put_draft(&low).await }).expect("merged");
    let Some(Draft { body: Body::Result(body), .. }) = r!(f.store, tx => tx.draft(con(1), tw(1), "result")) else {
        panic!("a result waits")
    };
    assert_eq!((body.up_to, body.title.as_deref(), body.traces), (9, Some("new"), vec![json!("old"), json!("new")]));
}

#[tokio::test]
async fn numbers_have_no_gap_and_obey_the_limits() {
    let f = fresh().await;
    w!(f.store, tx => async {
        for n in 1..=10 {
            tx.put_draft(&sync_draft(1, n, 100 + n, &[])).await?;
        }
        Ok(())
    })
    .expect("waiting");
    assert_eq!(r!(f.store, tx => tx.waiting(con(1))).outbox, 10);
    let one = w!(f.store, tx => tx.number_drafts(con(1), 10, 1, 0)).expect("one passes always");
    assert_eq!(one.iter().map(|event| event.n).collect::<Vec<_>>(), [1]);
    let bytes = one[0].json.len() * 3 + 10;
    let three = w!(f.store, tx => tx.number_drafts(con(1), 10, bytes, 0)).expect("by size");
    assert_eq!(three.iter().map(|event| event.n).collect::<Vec<_>>(), [2, 3, 4]);
    let two = w!(f.store, tx => tx.number_drafts(con(1), 2, bytes, 0)).expect("by count");
    assert_eq!(two.iter().map(|event| event.n).collect::<Vec<_>>(), [5, 6]);
    let state = r!(f.store, tx => tx.link_state(con(1)));
    assert_eq!((state.out_n, state.out_id), (6, Some(two[1].id)));
    assert_eq!(r!(f.store, tx => tx.numbered_from(con(1), 2, 10, bytes)), three);
    assert_eq!(r!(f.store, tx => tx.numbered_from(con(1), 5, 1, bytes)), two[..1]);
    assert_eq!(r!(f.store, tx => tx.numbered_id(con(1), 5)), Some(two[0].id));
    w!(f.store, tx => tx.empty_numbered(con(1), 5, "{}")).expect("emptied");
    assert_eq!(r!(f.store, tx => tx.numbered_from(con(1), 5, 1, bytes))[0].json, "{}");
}

#[tokio::test]
async fn acknowledged_events_are_forgotten_once_applied() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.put_twin(&Twin { peer_seen: 1, ..twin(1, 1, "1") }).await?;
        for n in 1..=3 {
            tx.put_draft(&sync_draft(1, 1, 100 + n, &[])).await?;
            tx.number_drafts(con(1), 1, 1, 0).await?;
        }
        tx.acknowledge(con(1), 2, START).await?;
        tx.acknowledge(con(1), 1, START).await
    })
    .expect("acknowledged");
    assert_eq!(r!(f.store, tx => tx.waiting(con(1))).outbox, 1);
    assert_eq!(r!(f.store, tx => tx.link_state(con(1))).acked, 2);
    assert_eq!(w!(f.store, tx => tx.forget_acknowledged(START)).expect("too young"), 0);
    assert_eq!(w!(f.store, tx => tx.forget_acknowledged(Time(START.0 + 1))).expect("the applied one"), 1);
    assert_eq!(r!(f.store, tx => tx.numbered_id(con(1), 1)), None);
    f.clock.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(w!(f.store, tx => tx.forget_acknowledged(Time(START.0 + 1))).expect("after a month all"), 1);
    w!(f.store, tx => tx.clear_outbox(con(1))).expect("cleared");
    assert_eq!(r!(f.store, tx => tx.waiting(con(1))).outbox, 0);
}

#[tokio::test]
async fn a_new_epoch_counts_anew() {
    let f = fresh().await;
    let state = LinkState { epoch: 2, set_back_here: true, epoch_since: Some(START), ..LinkState::default() };
    let kept = state.clone();
    w!(f.store, tx => async move { tx.put_link_state(con(1), &state).await }).expect("kept");
    assert_eq!(r!(f.store, tx => tx.link_state(con(1))), kept);
    assert_eq!(r!(f.store, tx => tx.link_state(con(2))), LinkState::default());
    w!(f.store, tx => async { tx.put_draft(&sync_draft(1, 1, 1, &[])).await }).expect("waits");
    let numbered = w!(f.store, tx => tx.number_drafts(con(1), 10, 1000, 0)).expect("numbered");
    assert_eq!(numbered[0].n, 1);
    let next = LinkState { epoch: 3, ..LinkState::default() };
    w!(f.store, tx => async move { tx.put_link_state(con(1), &next).await }).expect("kept");
    assert!(r!(f.store, tx => tx.numbered_from(con(1), 1, 10, 1000)).is_empty(), "of an epoch that is over");
}

#[tokio::test]
async fn events_wait_per_twin_until_they_end() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        let off = Connection { status: connection::Status::Deactivated, ..connection(2, "two") };
        tx.insert_connection(&off).await?;
        tx.add_arrived("support", &[event(1, Some(1), 1), event(1, Some(2), 2), event(1, Some(1), 3), event(1, None, 4)]).await?;
        tx.add_arrived("support", &[event(2, Some(3), 1)]).await
    })
    .expect("stored");
    let waiting = r!(f.store, tx => tx.twins_waiting("support", 10));
    assert_eq!(waiting.iter().map(|w| (w.twin, w.count)).collect::<Vec<_>>(), [(Some(tw(1)), 2), (Some(tw(2)), 1), (None, 1)]);
    assert!(r!(f.store, tx => tx.twins_waiting("other", 10)).is_empty());
    let events = r!(f.store, tx => tx.arrived(con(1), Some(tw(1))));
    assert_eq!(events.iter().map(|event| event.n).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(Arrived { row: 0, ..events[0].clone() }, event(1, Some(1), 1));
    assert_eq!(events[0].row, waiting[0].first_row);
    assert_eq!(r!(f.store, tx => tx.arrived(con(1), None)).len(), 1);
    let told = r!(f.store, tx => tx.waiting(con(1)));
    assert_eq!((told.inbox, told.inbox_bytes), (4, 4 * event(1, None, 4).json.len() as u64));
    let rows: Vec<i64> = events.iter().map(|event| event.row).collect();
    w!(f.store, tx => async move { tx.end_arrived(&rows).await }).expect("ended");
    assert_eq!(r!(f.store, tx => tx.twins_waiting("support", 1))[0].twin, Some(tw(2)));
    w!(f.store, tx => tx.clear_inbox(con(1))).expect("cleared");
    assert!(r!(f.store, tx => tx.twins_waiting("support", 10)).is_empty());
}

#[tokio::test]
async fn a_twin_rests_until_its_time_or_its_release() {
    let f = fresh().await;
    let later = START.plus(Duration::from_secs(60));
    w!(f.store, tx => async move {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.add_arrived("support", &[event(1, Some(1), 1), event(1, Some(2), 2)]).await?;
        tx.rest_arrived(con(1), tw(1), None).await?;
        tx.rest_arrived(con(1), tw(2), Some(later)).await?;
        tx.add_arrived("support", &[event(1, Some(1), 3), event(1, Some(3), 5)]).await
    })
    .expect("stored");
    let twins = |waiting: Vec<WaitingTwin>| waiting.iter().map(|w| w.twin).collect::<Vec<_>>();
    assert_eq!(twins(r!(f.store, tx => tx.twins_waiting("support", 10))), [Some(tw(3))]);
    f.clock.advance(Duration::from_secs(60));
    assert_eq!(twins(r!(f.store, tx => tx.twins_waiting("support", 10))), [Some(tw(2)), Some(tw(3))]);
    let woken = f.store.wakes().on(Topic::Inbox("support".to_owned()));
    w!(f.store, tx => tx.release_arrived(con(1), tw(1))).expect("released");
    tokio::time::timeout(Duration::from_secs(5), woken.notified()).await.expect("woken");
    let waiting = r!(f.store, tx => tx.twins_waiting("support", 2));
    assert_eq!(twins(waiting.clone()), [Some(tw(1)), Some(tw(2))]);
    assert_eq!(waiting[0].count, 2);
}

#[tokio::test]
async fn a_newer_event_ends_a_rest_that_waits_for_no_person() {
    let f = fresh().await;
    let later = START.plus(Duration::from_secs(60));
    w!(f.store, tx => async move {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.add_arrived("support", &[event(1, Some(1), 1), event(1, Some(2), 2)]).await?;
        tx.rest_arrived(con(1), tw(1), None).await?;
        tx.rest_arrived(con(1), tw(2), Some(later)).await?;
        tx.add_arrived("support", &[event(1, Some(1), 3), event(1, Some(2), 4)]).await
    })
    .expect("stored");
    let waiting = r!(f.store, tx => tx.twins_waiting("support", 10));
    assert_eq!(waiting.iter().map(|w| (w.twin, w.count)).collect::<Vec<_>>(), [(Some(tw(2)), 2)]);
}

/// A step of a connection's outgoing life.
#[derive(Clone, Debug)]
enum Step {
    Put(u128),
    Number(u32),
    Acknowledge(u64),
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let step = prop_oneof![
        3 => (1..6u128).prop_map(Step::Put),
        1 => (1..5u32).prop_map(Step::Number),
        1 => (0..20u64).prop_map(Step::Acknowledge),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Whatever happens in whatever order, every twin's word leaves once, in order of first waiting, without a gap.
async fn walk(steps: Vec<Step>) {
    let f = fresh().await;
    let (mut waiting, mut sent, mut acked) = (Vec::<u128>::new(), 0u64, 0u64);
    for (step, at) in steps.into_iter().zip(1i64..) {
        match step {
            Step::Put(twin) => {
                let field = format!("f{twin}");
                w!(f.store, tx => async move { tx.put_draft(&sync_draft(1, twin, at as u128, &[(&field, at)])).await })
                    .expect("waits");
                if !waiting.contains(&twin) {
                    waiting.push(twin);
                }
            }
            Step::Number(most) => {
                let numbered = w!(f.store, tx => tx.number_drafts(con(1), most, 1_000_000, 0)).expect("numbered");
                let leaving: Vec<_> = waiting.drain(..waiting.len().min(most as usize)).collect();
                let expected: Vec<_> = leaving.iter().zip(sent + 1..).map(|(twin, n)| (Some(tw(*twin)), n)).collect();
                assert_eq!(numbered.iter().map(|event| (event.twin, event.n)).collect::<Vec<_>>(), expected);
                sent += numbered.len() as u64;
            }
            Step::Acknowledge(n) if n <= sent => {
                w!(f.store, tx => tx.acknowledge(con(1), n, START)).expect("acknowledged");
                acked = acked.max(n);
            }
            Step::Acknowledge(_) => {}
        }
        let told = r!(f.store, tx => tx.waiting(con(1))).outbox;
        assert_eq!(told, waiting.len() as u64 + sent - acked);
    }
    let all = r!(f.store, tx => tx.numbered_from(con(1), 1, 1000, 1_000_000));
    assert_eq!(all.iter().map(|event| event.n).collect::<Vec<_>>(), (1..=sent).collect::<Vec<_>>());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 16, ..Default::default() })]
    #[test]
    fn numbers_never_skip_repeat_or_reorder(steps in steps()) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(walk(steps));
    }
}
