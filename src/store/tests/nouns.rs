//! Connections, invitations, triggers, twins.

use super::*;
use crate::{
    domain::{
        invitation::{Invitation, State},
        trigger::Trigger,
        twin::PendingWrite,
    },
    secret::Secret,
};

fn trigger(connection: u128, n: u128, enabled: bool) -> Trigger {
    Trigger {
        id: TriggerId(id(n)),
        connection_id: con(connection),
        entity_type: format!("Type{n}"),
        filter: String::new(),
        enabled,
        notes: "n".to_owned(),
        created_at: START,
    }
}

fn invitation(n: u128, secret: &str) -> Invitation {
    Invitation {
        id: InvitationId(id(n)),
        connection_id: con(1),
        secret: Secret::new(secret),
        code: Secret::new("code"),
        created_at: START.plus(Duration::from_secs(n as u64)),
        expires_at: START,
        rekey: true,
        state: State::Open,
    }
}

#[tokio::test]
async fn names_of_connections_are_unique() {
    let f = fresh().await;
    w!(f.store, tx => async { tx.insert_connection(&connection(1, "b")).await }).expect("new");
    let taken = w!(f.store, tx => async { tx.insert_connection(&connection(2, "b")).await });
    assert!(matches!(taken, Err(StoreError::Taken(_))), "{taken:?}");
    w!(f.store, tx => async { tx.insert_connection(&connection(2, "a")).await }).expect("new");
    let names = |all: Vec<Connection>| all.into_iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names(r!(f.store, tx => tx.connections())), ["a", "b"]);
    let taken = w!(f.store, tx => async { tx.update_connection(&connection(2, "b")).await });
    assert!(matches!(taken, Err(StoreError::Taken(_))));
    w!(f.store, tx => async { tx.update_connection(&connection(2, "c")).await }).expect("renamed");
    assert_eq!(r!(f.store, tx => tx.connection(con(2))), Some(connection(2, "c")));
    assert_eq!(r!(f.store, tx => tx.connection(con(3))), None);
    assert_eq!(r!(f.store, tx => tx.rules(con(2))), None);
}

#[tokio::test]
async fn a_deleted_connection_takes_everything_but_its_history_along() {
    let f = fresh().await;
    w!(f.store, tx => async {
        for n in 1..=2 {
            tx.insert_connection(&connection(n, &n.to_string())).await?;
            tx.put_link_state(con(n), &LinkState { epoch: 1, ..LinkState::default() }).await?;
            tx.put_trigger(&trigger(n, n, true)).await?;
            tx.put_twin(&Twin { status: Status::Parked, ..twin(n, n, "1") }).await?;
            tx.put_draft(&sync_draft(n, n, n, &[])).await?;
            tx.add_arrived("support", &[event(n, Some(n), 1)]).await?;
            tx.add_changes(&[NewChange { connection: Some(con(n)), ..change("1", None) }]).await?;
        }
        tx.put_invitation(&invitation(1, "s")).await?;
        tx.put_error(&error(1, Scope::Twin)).await?;
        tx.add_history(&[line(1, "1", Outcome::Sent, 1)]).await
    })
    .expect("all there");
    let full = Waiting { outbox: 1, inbox: 1, inbox_bytes: event(1, None, 1).json.len() as u64, parked: 1 };
    assert_eq!(r!(f.store, tx => tx.waiting(con(1))), full);
    w!(f.store, tx => tx.delete_connection(con(1))).expect("deleted");
    assert_eq!(r!(f.store, tx => tx.connection(con(1))), None);
    assert_eq!(r!(f.store, tx => tx.waiting(con(1))), Waiting::default());
    assert_eq!(r!(f.store, tx => tx.waiting(con(2))), full);
    assert_eq!(r!(f.store, tx => tx.link_state(con(1))), LinkState::default());
    assert_eq!(r!(f.store, tx => tx.triggers(con(1))), []);
    assert_eq!(r!(f.store, tx => tx.twin_by_id(tw(1))), None);
    assert_eq!(r!(f.store, tx => tx.newest_invitation(con(1))), None);
    assert_eq!(r!(f.store, tx => tx.error_of_twin(tw(1))), None);
    assert_eq!(r!(f.store, tx => tx.count_changes("support")), 1);
    assert_eq!(r!(f.store, tx => tx.history_of_twin(tw(1), &page(5))).items.len(), 1);
}

#[tokio::test]
async fn invitations_come_back_opened_and_lie_sealed() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.put_invitation(&invitation(1, "first-secret-value")).await?;
        tx.put_invitation(&invitation(2, "second-secret-value")).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.invitation(InvitationId(id(1)))), Some(invitation(1, "first-secret-value")));
    assert_eq!(r!(f.store, tx => tx.newest_invitation(con(1))).map(|i| i.id), Some(InvitationId(id(2))));
    let revoked = Invitation { state: State::Revoked { at: START }, ..invitation(2, "second-secret-value") };
    let expected = revoked.clone();
    w!(f.store, tx => async move { tx.put_invitation(&revoked).await }).expect("kept");
    assert_eq!(r!(f.store, tx => tx.newest_invitation(con(1))), Some(expected));
    f.store.close().await;
    let bytes = std::fs::read(f.dir.path().join("test.db")).expect("the file");
    assert!(!bytes.windows(12).any(|part| part == b"secret-value"));
}

#[tokio::test]
async fn triggers_of_a_tracker_are_the_enabled_ones() {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_connection(&connection(1, "one")).await?;
        tx.insert_connection(&Connection { tracker: "other".to_owned(), ..connection(2, "two") }).await?;
        for (connection, n, enabled) in [(1, 1, true), (1, 2, false), (2, 3, true)] {
            tx.put_trigger(&trigger(connection, n, enabled)).await?;
        }
        tx.put_twin(&twin(1, 1, "1")).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.triggers(con(1))), [trigger(1, 1, true), trigger(1, 2, false)]);
    assert_eq!(r!(f.store, tx => tx.triggers_of_tracker("support")), [trigger(1, 1, true)]);
    assert_eq!(r!(f.store, tx => tx.synced_types("support")), ["Case", "Type1", "Type2"]);
    assert_eq!(r!(f.store, tx => tx.types_of_connection("support", con(1))), ["Case", "Type1", "Type2"]);
    assert_eq!(r!(f.store, tx => tx.types_of_connection("other", con(2))), ["Type3"], "another's twins do not count");
    assert!(!w!(f.store, tx => tx.delete_trigger(con(2), TriggerId(id(1)))).expect("asked"));
    assert!(w!(f.store, tx => tx.delete_trigger(con(1), TriggerId(id(1)))).expect("asked"));
    assert_eq!(r!(f.store, tx => tx.triggers_of_tracker("support")), []);
}

#[tokio::test]
async fn twins_are_found_by_every_key() {
    let f = fresh().await;
    let write = PendingWrite {
        id: WriteId(id(1)),
        started_at: START,
        entity_type: "Case".to_owned(),
        key: None,
        fields: Map::new(),
        up_to: 1,
        epoch: 1,
        received: None,
    };
    let mut creating = Twin { local: None, status: Status::Waiting, ..twin(1, 3, "3") };
    creating.memory.pending_write = Some(write);
    let expected = creating.clone();
    w!(f.store, tx => async move {
        tx.put_twin(&twin(1, 1, "1")).await?;
        tx.put_twin(&twin(1, 2, "2")).await?;
        tx.put_twin(&twin(2, 4, "1")).await?;
        tx.put_twin(&creating).await
    })
    .expect("kept");
    let ids = |twins: Vec<Twin>| twins.into_iter().map(|twin| twin.id).collect::<Vec<_>>();
    assert_eq!(r!(f.store, tx => tx.twin(con(1), tw(3))), Some(expected));
    assert_eq!(r!(f.store, tx => tx.twin(con(2), tw(3))), None, "a twin belongs to one connection");
    assert_eq!(r!(f.store, tx => tx.twins_by_ids(con(1), &[tw(1), tw(4), tw(9)])), [twin(1, 1, "1")]);
    assert_eq!(ids(r!(f.store, tx => tx.twins_of_record("support", "Case", "1"))), [tw(1), tw(4)]);
    let keys = ["1".to_owned(), "2".to_owned()];
    assert_eq!(ids(r!(f.store, tx => tx.twins_of_records("support", "Case", &keys))), [tw(1), tw(2), tw(4)]);
    assert_eq!(ids(r!(f.store, tx => tx.twins_of_remote(con(1), "issue", "R-2"))), [tw(2)]);
    assert_eq!(r!(f.store, tx => tx.creates_under_way("support", "Case")), [(tw(3), START)]);
    assert_eq!(r!(f.store, tx => tx.creates_under_way("support", "Task")), []);
    w!(f.store, tx => async {
        tx.put_twin(&twin(1, 3, "3")).await?;
        tx.put_twin(&Twin { status: Status::Stopped, ..twin(1, 1, "1") }).await
    })
    .expect("kept");
    assert_eq!(r!(f.store, tx => tx.creates_under_way("support", "Case")), []);
    assert_eq!(r!(f.store, tx => tx.twin_ids(con(1))), [tw(1), tw(2), tw(3)]);
}

#[tokio::test]
async fn twins_are_listed_youngest_first_in_pages_that_survive_what_happens_meanwhile() {
    let f = fresh().await;
    let made = |n: u128| Twin { created_at: Time(i64::try_from(n).expect("small")), ..twin(n % 2, n, &n.to_string()) };
    for n in 1..=5u128 {
        w!(f.store, tx => async move { tx.put_twin(&made(n)).await }).expect("kept");
    }
    let mut at = page(2);
    let mut seen = Vec::new();
    loop {
        let asked = at.clone();
        let part = r!(f.store, tx => async move { tx.list_twins(&TwinFilter::default(), &asked).await });
        seen.extend(part.items.iter().map(|twin| twin.id));
        let Some(next) = part.next else { break };
        at.after = Some(next);
        w!(f.store, tx => async move {
            tx.put_twin(&Twin { last_synced_at: Some(Time(9)), ..made(1) }).await?;
            tx.put_twin(&made(6)).await
        })
        .expect("kept");
    }
    assert_eq!(seen, [tw(5), tw(4), tw(3), tw(2), tw(1)]);
    let list = async |filter: TwinFilter| {
        let part = r!(f.store, tx => async move { tx.list_twins(&filter, &page(9)).await });
        part.items.iter().map(|twin| twin.id).collect::<Vec<_>>()
    };
    let all = TwinFilter::default;
    assert_eq!(list(TwinFilter { connection_id: Some(con(0)), ..all() }).await, [tw(6), tw(4), tw(2)]);
    assert_eq!(list(TwinFilter { connections: Some(vec![]), ..all() }).await, []);
    assert_eq!(list(TwinFilter { connections: Some(vec![con(1)]), keys: vec!["R-3".to_owned()], ..all() }).await, [tw(3)]);
    assert_eq!(list(TwinFilter { tracker: Some("other".to_owned()), ..all() }).await, []);
    assert_eq!(list(TwinFilter { status: Some(Status::Parked), ..all() }).await, []);
    assert_eq!(list(TwinFilter { entity_type: Some("Case".to_owned()), keys: vec!["2".to_owned()], ..all() }).await, [tw(2)]);
    let nowhere = f.store.read("test", |tx| {
        Box::pin(async move { tx.list_twins(&TwinFilter::default(), &Page { after: Some("x".to_owned()), limit: 1 }).await })
    });
    assert!(matches!(nowhere.await, Err(StoreError::NoPlace)));
}
