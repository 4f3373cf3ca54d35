//! A clock that runs like the system's and can be moved on: for what takes hours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use wicketgate::clock::{Clock, SystemClock, Time};

/// Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct MovableClock {
    ahead_ms: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl MovableClock {
    /// Moves the hands on and wakes who slept until then.
    pub fn advance(&self, span: Duration) {
        self.ahead_ms.fetch_add(i64::try_from(span.as_millis()).expect("a short span"), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

#[async_trait::async_trait]
impl Clock for MovableClock {
    fn now(&self) -> Time {
        Time(SystemClock.now().0 + self.ahead_ms.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        let until = self.now().plus(span);
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = SystemClock.sleep(left) => {}
                () = moved => {}
            }
        }
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemClock.random(bytes);
    }
}
