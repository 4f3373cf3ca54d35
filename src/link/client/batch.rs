//! How much is handed over or taken at once: learnt from what happens to it.
//!
//! A 413 teaches a size that the way does not take, and it is not tried again in this run. A line that breaks under way
//! teaches for the moment only: a batch that is cut every time would never arrive, so it shrinks until one passes, then is
//! doubled again. Nothing here depends on whose word it is: a smaller batch can only delay.

use std::time::Duration;

use crate::link::protocol::{MAX_BATCH, MAX_EVENTS};

/// A batch is not halved below this many bytes.
const SMALLEST: usize = 1024;
/// What took longer than this before it broke was held or lost, not too much.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// The sizes as they were learnt.
#[derive(Debug)]
pub(super) struct Batch {
    most: usize,
    bytes: usize,
    events: u32,
    cuts: u32,
}

impl Batch {
    /// Nothing learnt yet.
    pub(super) fn new() -> Self {
        Self { most: MAX_BATCH, bytes: MAX_BATCH, events: MAX_EVENTS, cuts: 0 }
    }

    /// Bytes of events that may leave at once.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events that are taken at once, where there is room for `room`.
    pub(super) fn events(&self, room: u32) -> u32 {
        self.events.min(room)
    }

    /// A batch of this size was refused as too large.
    pub(super) fn too_large(&mut self, size: usize) {
        self.most = (size / 2).max(SMALLEST);
        self.bytes = self.bytes.min(self.most);
    }

    /// A call with a batch of this size (0: it handed nothing over) broke. The first time may be an accident.
    pub(super) fn cut(&mut self, size: usize, took: Duration) {
        if took > UNDER_WAY {
            return;
        }
        self.cuts += 1;
        if self.cuts < 2 {
            return;
        }
        if size > 0 {
            self.bytes = (size.min(self.bytes) / 8).max(SMALLEST.min(self.most));
        }
        self.events = (self.events / 8).max(1);
    }

    /// A call went well.
    pub(super) fn passed(&mut self) {
        self.cuts = 0;
        self.bytes = self.bytes.saturating_mul(2).min(self.most);
        self.events = self.events.saturating_mul(2).min(MAX_EVENTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(100);

    #[test]
    fn what_is_too_large_stays_too_large() {
        let mut batch = Batch::new();
        batch.too_large(1_000_000);
        for _ in 0..9 {
            batch.passed();
        }
        assert_eq!(batch.bytes(), 500_000);
        batch.too_large(100);
        assert_eq!(batch.bytes(), SMALLEST);
    }

    #[test]
    fn a_line_that_breaks_gets_small_batches_until_it_holds() {
        let mut batch = Batch::new();
        batch.cut(2_000_000, SOON);
        assert_eq!((batch.bytes(), batch.events(2_000)), (MAX_BATCH, MAX_EVENTS), "an accident");
        batch.cut(2_000_000, SOON);
        assert_eq!((batch.bytes(), batch.events(2_000)), (250_000, MAX_EVENTS / 8));
        for _ in 0..30 {
            batch.cut(0, SOON);
            batch.cut(batch.bytes(), SOON);
        }
        assert_eq!((batch.bytes(), batch.events(2_000), batch.events(0)), (SMALLEST, 1, 0));
        for _ in 0..13 {
            batch.passed();
        }
        assert_eq!((batch.bytes(), batch.events(7)), (MAX_BATCH, 7));
        batch.cut(0, Duration::from_secs(60));
        batch.cut(0, Duration::from_secs(60));
        assert_eq!(batch.events(2_000), MAX_EVENTS, "held and lost");
    }
}
