//! How often a worker looks for work: at once for a single edit, less and less often for a stream of them, so that larger
//! batches leave core and disk to the doors.
//!
//! The trap: a look reads what waits and what others hold alike, so looking again at every record that is given back
//! costs more than all else. Pauses are real time, whatever the node's clock says: nobody waits for a moment in them.

use std::time::Duration;

/// Shortest and longest pause between two looks while changes stream in.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));
/// What each record of a batch may add to the pause after it: slow streams are not held up.
const SLOW: Duration = Duration::from_millis(5);
/// The same where the batch was full: there is a backlog, and the pause is only the others' share of core and disk.
const FULL: Duration = Duration::from_micros(100);

/// Pause before the look that follows one which took all there was: what it took should leave first.
pub(super) const TOOK_ALL: Duration = Duration::from_millis(2);
/// Longest pause after a look that found only what others hold.
const BLOCKED: Duration = Duration::from_millis(20);

/// How long to wait after a batch for the next: twice as long each time that something waited already, from the
/// beginning where nothing did.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pause: Option<Duration>,
}

impl Pace {
    /// A look found so many records of `limit`.
    pub(super) fn found(&mut self, records: usize, limit: usize) -> Duration {
        let doubled = self.pause.map_or(PAUSES.0, |pause| (pause * 2).min(PAUSES.1));
        let each = if records < limit { SLOW } else { FULL };
        let pause = doubled.min(each * u32::try_from(records).unwrap_or(u32::MAX));
        self.pause = Some(pause);
        pause
    }

    /// A look found nothing, or only what others hold. `None`: the next change is taken up at once.
    pub(super) fn nothing(&mut self, blocked: bool) -> Option<Duration> {
        self.pause = blocked.then(|| self.pause.map_or(PAUSES.0, |pause| pause * 2).min(BLOCKED));
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_taken_in_growing_batches_and_a_single_edit_at_once() {
        let mut pace = Pace::default();
        let millis = |pause: Duration| pause.as_millis();
        let pauses: Vec<u128> = (0..10).map(|_| millis(pace.found(60, 2_000))).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 250, 250]);
        assert_eq!(millis(pace.found(2, 2_000)), 10, "a slow stream is not held up");
        assert_eq!(millis(pace.found(100, 100)), 10, "nor is a backlog in small batches");
        assert_eq!(millis(pace.found(2_000, 2_000)), 20);
        assert_eq!(pace.nothing(false), None);
        assert_eq!(millis(pace.found(1, 2_000)), 1);
        assert_eq!([2, 4, 8, 16, 20], [(); 5].map(|()| pace.nothing(true).map_or(0, millis)));
    }
}
