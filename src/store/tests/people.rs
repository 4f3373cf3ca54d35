//! Accounts and sessions.

use super::*;
use crate::{
    domain::{
        token,
        user::{Session, SessionId, User},
    },
    secret::Secret,
};

fn user(n: u128, name: &str) -> User {
    User { id: UserId(id(n)), name: name.to_owned(), role: token::Scope::Operate, created_at: START, last_sign_in_at: None }
}

fn session(n: u8, user: u128, made_at: i64) -> Session {
    Session {
        id: SessionId([n; 32]),
        user: UserId(id(user)),
        made_at: Time(made_at),
        seen_at: Time(made_at),
        address: "203.0.113.9".to_owned(),
        browser: "a browser".to_owned(),
    }
}

async fn with_two() -> Fresh {
    let f = fresh().await;
    w!(f.store, tx => async {
        tx.insert_user(&user(1, "Élodie"), &Secret::new("hash 1")).await?;
        tx.insert_user(&user(2, "ada"), &Secret::new("hash 2")).await
    })
    .expect("new");
    f
}

#[tokio::test]
async fn accounts_are_found_by_name_without_regard_to_case() {
    let f = fresh().await;
    assert!(!r!(f.store, tx => tx.any_user()));
    let f = with_two().await;
    assert!(r!(f.store, tx => tx.any_user()));
    let found = Some((user(1, "Élodie"), Secret::new("hash 1")));
    assert_eq!(r!(f.store, tx => tx.user_by_name("éLODIE ")), found);
    assert_eq!(r!(f.store, tx => tx.user(UserId(id(1)))), found);
    assert_eq!(r!(f.store, tx => tx.user_by_name("elodie")), None);
    assert_eq!(r!(f.store, tx => tx.users()), [user(2, "ada"), user(1, "Élodie")]);
    let twice = w!(f.store, tx => async { tx.insert_user(&user(3, "ÉLODIE"), &Secret::new("x")).await });
    assert!(matches!(twice, Err(StoreError::Taken(_))), "{twice:?}");
    let taken = w!(f.store, tx => async { tx.update_user(&user(2, "élodie")).await });
    assert!(matches!(taken, Err(StoreError::Taken(_))), "{taken:?}");
    let changed = User { role: token::Scope::Admin, last_sign_in_at: Some(START), ..user(2, "Ada") };
    let given = changed.clone();
    w!(f.store, tx => async move { tx.update_user(&given).await }).expect("her own name in another case");
    w!(f.store, tx => async { tx.put_password(UserId(id(2)), &Secret::new("new")).await }).expect("kept");
    assert_eq!(r!(f.store, tx => tx.user_by_name("ada")), Some((changed, Secret::new("new"))));
    assert!(w!(f.store, tx => tx.delete_user(UserId(id(2)))).expect("deleted"));
    assert!(!w!(f.store, tx => tx.delete_user(UserId(id(2)))).expect("was deleted"));
}

#[tokio::test]
async fn sessions_are_seen_and_end() {
    let f = with_two().await;
    w!(f.store, tx => async {
        for n in 1..=4 {
            tx.insert_session(&session(n, 1, n.into()), 3).await?;
        }
        tx.insert_session(&session(9, 2, 9), 3).await
    })
    .expect("new");
    let of = async |n| r!(f.store, tx => tx.sessions(UserId(id(n)))).iter().map(|one| one.id.0[0]).collect::<Vec<_>>();
    assert_eq!(of(1).await, [4, 3, 2], "the oldest made room");
    assert_eq!(r!(f.store, tx => tx.session(SessionId([3; 32]))), Some((session(3, 1, 3), user(1, "Élodie"))));
    assert_eq!(r!(f.store, tx => tx.session(SessionId([1; 32]))), None);
    for at in [50, 40] {
        w!(f.store, tx => tx.see_session(SessionId([3; 32]), Time(at))).expect("seen");
    }
    assert_eq!(r!(f.store, tx => tx.session(SessionId([3; 32]))).map(|(one, _)| one.seen_at), Some(Time(50)));
    assert!(!w!(f.store, tx => tx.end_session(UserId(id(2)), SessionId([3; 32]))).expect("another's"));
    assert!(w!(f.store, tx => tx.end_session(UserId(id(1)), SessionId([4; 32]))).expect("ended"));
    assert_eq!(w!(f.store, tx => tx.end_sessions(UserId(id(1)), Some(SessionId([3; 32])))).expect("ended"), 1);
    assert_eq!(of(1).await, [3]);
    assert_eq!(w!(f.store, tx => tx.forget_sessions(Time(8), Time(2))).expect("none"), 0);
    assert_eq!(w!(f.store, tx => tx.forget_sessions(Time(8), Time(3))).expect("old"), 1);
    assert_eq!(w!(f.store, tx => tx.forget_sessions(Time(9), Time(3))).expect("idle"), 1);
    w!(f.store, tx => async { tx.insert_session(&session(5, 1, 5), 3).await }).expect("new");
    w!(f.store, tx => tx.delete_user(UserId(id(1)))).expect("deleted");
    assert_eq!(of(1).await, [0u8; 0], "with its sessions");
}
