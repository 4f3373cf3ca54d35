//! Clocks for tests: one that runs faster than life, one that is wrong by a fixed span, or both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use wicketgate::clock::{Clock, SystemClock, Time};

/// The system's clock, `factor` times as fast from its making on, and `ahead_ms` off.
#[derive(Debug, Clone)]
pub struct TestClock {
    begun: (Instant, Time),
    factor: u32,
    ahead_ms: Arc<AtomicI64>,
}

impl TestClock {
    /// An hour of it passes in `60 / factor` minutes.
    pub fn fast(factor: u32) -> Self {
        Self { begun: (Instant::now(), SystemClock.now()), factor, ahead_ms: Arc::default() }
    }

    /// Another clock of the same pace, so many seconds ahead (negative: behind).
    pub fn off_by(&self, seconds: i64) -> Self {
        let other = Self { ahead_ms: Arc::default(), ..self.clone() };
        other.set(seconds);
        other
    }

    /// Sets this clock and its clones so many seconds ahead of what they would show; nobody who sleeps wakes for it.
    pub fn set(&self, seconds: i64) {
        self.ahead_ms.store(seconds * 1000, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Time {
        let (instant, time) = self.begun;
        let passed = time.plus(instant.elapsed() * self.factor);
        Time(passed.0 + self.ahead_ms.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span / self.factor).await;
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemClock.random(bytes);
    }
}
