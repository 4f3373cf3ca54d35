//! How often a partner may start over.
//!
//! An epoch that the partner begins is joined, and then both sides send every twin (docs/LINK.md, "Set back"). A partner
//! begins one a day by itself, and another when its people allow it or when it is re-keyed. One that does so over and over
//! (a fault, or malice) would have us compare and send everything for ever, so a few are joined at once and then one an
//! hour. The next waits, like a second set-back of our own, until a person allows it or the hour is over; the present
//! epoch goes on meanwhile for a partner that still speaks in it.
//!
//! The count lives in memory: a restart forgives. It is a debt, kept as the moment when all of it is paid.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{
    Link,
    exchange::{Heard, Hearing, hear, wait_for_person},
    protocol::on_wire,
};
use crate::{clock::Time, domain::ids::ConnectionId, store::StoreError};

/// Joined at once.
const AT_ONCE: u32 = 5;
/// After those, one each time.
const EVERY: Duration = Duration::from_secs(3600);

/// Epochs that partners began.
#[derive(Debug, Default)]
pub(super) struct Joins(Mutex<HashMap<ConnectionId, Joined>>);

#[derive(Debug)]
struct Joined {
    /// The last that was let in: hearing of it twice counts once.
    epoch: u64,
    paid_at: Time,
}

impl Joins {
    /// Whether an epoch above the present one may be joined; counts it.
    fn may(&self, id: ConnectionId, epoch: u64, now: Time) -> bool {
        let mut joins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = joins.entry(id).or_insert(Joined { epoch: 0, paid_at: now });
        if joined.epoch == epoch {
            return true;
        }
        let paid_at = joined.paid_at.max(now).plus(EVERY);
        if paid_at.since(now) > EVERY * AT_ONCE {
            return false;
        }
        *joined = Joined { epoch, paid_at };
        true
    }

    /// A person says that all is well, or the connection has another partner.
    pub(super) fn forgive(&self, id: ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Link {
    /// Takes in what the peer said, in one write transaction. `present`: the epoch that is on.
    pub(super) async fn hear(&self, id: ConnectionId, present: u64, heard: Heard, now: Time) -> Result<Hearing, StoreError> {
        let follows = on_wire(heard.epoch) <= on_wire(present) || self.joins.may(id, heard.epoch, now);
        let write = self.parts.store.write("link.hear", move |tx| {
            Box::pin(async move {
                if follows {
                    return hear(tx, id, &heard, now).await;
                }
                match tx.connection(id).await? {
                    Some(connection) => wait_for_person(tx, &connection, now).await,
                    None => Ok(Hearing::Gone),
                }
            })
        });
        write.await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_few_epochs_are_joined_at_once_then_one_an_hour() {
        let (joins, one, other) = (Joins::default(), ConnectionId(Uuid::from_u128(1)), ConnectionId(Uuid::from_u128(2)));
        let may = |id, epoch, hours: u64| joins.may(id, epoch, Time(0).plus(EVERY * u32::try_from(hours).expect("a few")));
        for epoch in 2..7 {
            assert!(may(one, epoch, 0) && may(one, epoch, 0), "{epoch} once, and again by the other half");
        }
        assert!(!may(one, 7, 0) && !may(one, 8, 0));
        assert!(may(other, 7, 0), "one partner stops no other");
        assert!(may(one, 8, 1) && !may(one, 9, 1));
        assert!(may(one, 9, 100) && may(one, 13, 100), "long silence is worth no more than the first few");
        joins.forgive(one);
        assert!((20..25).all(|epoch| may(one, epoch, 100)) && !may(one, 25, 100));
    }
}
