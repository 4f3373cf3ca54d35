//! Secrets, trackers, history, errors, tokens, saved answers, audit.

use super::*;
use crate::{
    domain::token::{self, Token},
    secret::Secret,
};

#[tokio::test]
async fn secrets_are_kept_replaced_and_forgotten() {
    let f = fresh().await;
    assert!(r!(f.store, tx => tx.secret("node.key")).is_none());
    for value in ["one", "two"] {
        w!(f.store, tx => async move { tx.put_secret("node.key", &Secret::new(value)).await }).expect("kept");
        assert_eq!(r!(f.store, tx => tx.secret("node.key")), Some(Secret::new(value)));
    }
    w!(f.store, tx => tx.delete_secret("node.key")).expect("forgotten");
    assert!(r!(f.store, tx => tx.secret("node.key")).is_none());
}

#[tokio::test]
async fn the_state_of_a_tracker_begins_empty() {
    let f = fresh().await;
    assert_eq!(r!(f.store, tx => tx.tracker_state("support")), TrackerState::default());
    let state = TrackerState { org_id: Some("00D".to_owned()), failures: 3, ..TrackerState::default() };
    let kept = state.clone();
    w!(f.store, tx => async move { tx.put_tracker_state("support", &state).await }).expect("kept");
    assert_eq!(r!(f.store, tx => tx.tracker_state("support")), kept);
}

#[tokio::test]
async fn history_reads_newest_first_and_ends_by_age() {
    let f = fresh().await;
    let lines: Vec<_> = (1..=5).map(|n| line(n / 2, "1", Outcome::Sent, n)).collect();
    let without_twin = HistoryLine { twin_id: None, connection_id: None, ..line(9, "2", Outcome::Skipped, 1) };
    let expected = without_twin.clone();
    w!(f.store, tx => async move { tx.add_history(&lines).await?; tx.add_history(&[without_twin]).await }).expect("added");
    let first = r!(f.store, tx => tx.history_of_twin(tw(1), &page(3)));
    assert_eq!(first.items.iter().map(|line| line.took_ms).collect::<Vec<_>>(), [5, 4, 3]);
    let rest = Page { after: first.next, limit: 3 };
    let second = r!(f.store, tx => async move { tx.history_of_twin(tw(1), &rest).await });
    assert_eq!(second.items.iter().map(|line| line.took_ms).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(second.next, None);
    assert_eq!(r!(f.store, tx => tx.history_of_record("support", "Case", "2", &page(3))).items, [expected]);
    assert_eq!(w!(f.store, tx => tx.forget_history(Time(2))).expect("forgets"), 3);
    assert_eq!(r!(f.store, tx => tx.history_of_record("support", "Case", "1", &page(9))).items.len(), 2);
    assert_eq!(w!(f.store, tx => tx.forget_history(Time(100))).expect("forgets"), 3);
}

#[tokio::test]
async fn latency_is_told_of_what_was_sent_and_applied() {
    let f = fresh().await;
    assert_eq!(r!(f.store, tx => tx.latency(con(1), Time(0))), None);
    let mut lines: Vec<_> = (1..=100).map(|n| line(10, "1", Outcome::Sent, n)).collect();
    lines.push(line(10, "1", Outcome::Skipped, 100_000));
    lines.push(line(9, "1", Outcome::Applied, 100_000));
    w!(f.store, tx => async move { tx.add_history(&lines).await }).expect("added");
    assert_eq!(r!(f.store, tx => tx.latency(con(1), Time(10))), Some((50, 95)));
    assert_eq!(r!(f.store, tx => tx.latency(con(2), Time(0))), None);
}

#[tokio::test]
async fn errors_open_change_and_close() {
    let f = fresh().await;
    let mut listen = f.store.wakes().listen();
    w!(f.store, tx => async {
        for (n, scope) in [(1, Scope::Twin), (2, Scope::Connection), (3, Scope::Tracker), (4, Scope::Node)] {
            tx.put_error(&error(n, scope)).await?;
        }
        tx.put_error(&ErrorRecord { attempts: 2, ..error(1, Scope::Twin) }).await
    })
    .expect("open");
    assert_eq!(listen.recv().await.expect("told"), Notice::Error(ErrorId(id(1))));
    assert_eq!(r!(f.store, tx => tx.error(ErrorId(id(3)))), Some(error(3, Scope::Tracker)));
    assert_eq!(r!(f.store, tx => tx.error_of_twin(tw(1))).map(|error| error.attempts), Some(2));
    for (subject, n) in [(con(1).to_string(), 2), ("support".to_owned(), 3), ("node".to_owned(), 4)] {
        let found = r!(f.store, tx => async move { tx.error_of(&subject, "login_failed").await });
        assert_eq!(found.map(|error| error.id), Some(ErrorId(id(n))));
    }
    assert_eq!(r!(f.store, tx => tx.error_of("node", "other")), None);
    let list = async |filter: ErrorFilter, limit| {
        let part = r!(f.store, tx => async move { tx.list_errors(&filter, &page(limit)).await });
        (part.items.iter().map(|error| error.id.0.as_u128()).collect::<Vec<_>>(), part.next.is_some())
    };
    assert_eq!(list(ErrorFilter::default(), 3).await, (vec![4, 3, 2], true));
    assert_eq!(list(ErrorFilter { connections: Some(vec![con(1)]), ..ErrorFilter::default() }, 9).await, (vec![2, 1], false));
    assert_eq!(list(ErrorFilter { scope: Some(Scope::Node), ..ErrorFilter::default() }, 9).await, (vec![4], false));
    assert_eq!(list(ErrorFilter { twin_id: Some(tw(1)), ..ErrorFilter::default() }, 9).await, (vec![1], false));
    let due = START.plus(Duration::from_secs(60));
    assert_eq!(r!(f.store, tx => tx.next_error_due()), Some(due));
    assert_eq!(r!(f.store, tx => tx.errors_due(START, 9)), []);
    assert_eq!(r!(f.store, tx => tx.errors_due(due, 9)).len(), 1, "only a twin's");
    assert!(w!(f.store, tx => tx.close_error(ErrorId(id(1)))).expect("closed"));
    assert!(!w!(f.store, tx => tx.close_error(ErrorId(id(1)))).expect("was closed"));
    assert_eq!(r!(f.store, tx => tx.next_error_due()), None);
}

#[tokio::test]
async fn tokens_are_found_by_the_hash_of_their_secret() {
    let f = fresh().await;
    let token = Token {
        id: TokenId(id(1)),
        name: "ci".to_owned(),
        scopes: vec![token::Scope::Read, token::Scope::Operate],
        connections: Some(vec![con(1)]),
        expires_at: None,
        created_at: START,
        hash: [3; 32],
    };
    let (given, twice) = (token.clone(), Token { id: TokenId(id(2)), ..token.clone() });
    w!(f.store, tx => async move { tx.insert_token(&given).await }).expect("new");
    assert!(matches!(w!(f.store, tx => async move { tx.insert_token(&twice).await }), Err(StoreError::Taken(_))));
    assert_eq!(r!(f.store, tx => tx.token_by_hash(&[3; 32])), Some(token.clone()));
    assert_eq!(r!(f.store, tx => tx.token_by_hash(&[4; 32])), None);
    assert_eq!(r!(f.store, tx => tx.tokens()), [token]);
    assert!(w!(f.store, tx => tx.delete_token(TokenId(id(1)))).expect("deleted"));
    assert!(!w!(f.store, tx => tx.delete_token(TokenId(id(1)))).expect("was deleted"));
}

#[tokio::test]
async fn an_answer_is_saved_under_its_caller_and_key() {
    let f = fresh().await;
    let at_work = SavedAnswer { request: [1; 32], status: 0, body: None, at: START };
    let done = SavedAnswer { status: 201, body: Some("{}".to_owned()), ..at_work.clone() };
    for answer in [at_work, done.clone()] {
        w!(f.store, tx => async move { tx.save_answer("c", "k", &answer).await }).expect("saved");
    }
    assert_eq!(r!(f.store, tx => tx.saved_answer("c", "k")), Some(done.clone()));
    assert_eq!(r!(f.store, tx => tx.saved_answer("d", "k")), None);
    w!(f.store, tx => tx.forget_answer("c", "k")).expect("forgotten");
    assert_eq!(r!(f.store, tx => tx.saved_answer("c", "k")), None);
    w!(f.store, tx => async move { tx.save_answer("c", "k", &done).await }).expect("saved");
    assert_eq!(w!(f.store, tx => tx.forget_answers(START)).expect("too young"), 0);
    assert_eq!(w!(f.store, tx => tx.forget_answers(Time(START.0 + 1))).expect("forgotten"), 1);
}

#[tokio::test]
async fn the_audit_log_reads_newest_first() {
    let f = fresh().await;
    let lines: Vec<_> = (0..3)
        .map(|n| AuditLine {
            at: START,
            token_id: Some(TokenId(id(n))),
            user_id: (n == 1).then(|| UserId(id(n))),
            by: "ada".to_owned(),
            action: "connection.create".to_owned(),
            subject: n.to_string(),
            detail: String::new(),
        })
        .collect();
    let given = lines.clone();
    w!(f.store, tx => async move {
        for line in &given {
            tx.add_audit(line).await?;
        }
        Ok(())
    })
    .expect("added");
    let first = r!(f.store, tx => tx.list_audit(&page(2)));
    assert_eq!(first.items, [lines[2].clone(), lines[1].clone()]);
    let rest = Page { after: first.next, limit: 2 };
    assert_eq!(r!(f.store, tx => async move { tx.list_audit(&rest).await }).items, lines[..1]);
}
