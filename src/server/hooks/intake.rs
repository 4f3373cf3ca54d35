//! Messages that arrive while one commit syncs share the next.
//!
//! Each worker of the doors has one call to the store under way. What its other connections bring meanwhile is gathered
//! and leaves with the next call, so that a group costs one hop to the writer and one wake-up back, however many
//! messages it holds, and the core reads and parses while the disk syncs. Before a group leaves, whatever has arrived
//! at the sockets already is read: that costs a lone message one look and no waiting, since nothing here waits for time.
//! The writer joins the groups of several workers in one commit.

use std::{cell::RefCell, rc::Rc};

use tokio::sync::oneshot;

use crate::{
    domain::change::NewChange,
    store::{Store, StoreError},
};

/// What one worker gathers: app data made for each worker, never shared between threads.
#[derive(Debug, Default)]
pub(super) struct Intake {
    gathered: Rc<RefCell<Gathered>>,
}

#[derive(Debug, Default)]
struct Gathered {
    changes: Vec<NewChange>,
    answers: Vec<oneshot::Sender<Result<(), StoreError>>>,
    /// Somebody carries it to the store.
    carried: bool,
}

impl Intake {
    /// Returns when all of them are on disk. A caller that is gone meanwhile leaves them to be stored.
    pub(super) async fn add(&self, store: &Store, changes: Vec<NewChange>) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let carried = {
            let mut gathered = self.gathered.borrow_mut();
            gathered.changes.extend(changes);
            gathered.answers.push(answer);
            std::mem::replace(&mut gathered.carried, true)
        };
        if !carried {
            actix_web::rt::spawn(carry(self.gathered.clone(), store.clone()));
        }
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn carry(gathered: Rc<RefCell<Gathered>>, store: Store) {
    loop {
        let mut before = 0;
        loop {
            let waiting = gathered.borrow().answers.len();
            if waiting == before {
                break;
            }
            before = waiting;
            tokio::task::yield_now().await;
        }
        let (changes, answers) = {
            let mut gathered = gathered.borrow_mut();
            if gathered.answers.is_empty() {
                gathered.carried = false;
                return;
            }
            (std::mem::take(&mut gathered.changes), std::mem::take(&mut gathered.answers))
        };
        let result = store.add_changes(changes).await;
        for answer in answers {
            // Who asked may have gone; what was stored stays.
            let _ = answer.send(result.clone());
        }
    }
}
