//! When what waits leaves: at once after a quiet moment, in larger batches while it streams.
//!
//! After a batch of many events the next one gathers for a while. It leaves early where a good batch has come together,
//! and where nothing more comes: who waits at the other end for the last of a stream shall not wait for a pause to pass.

use std::time::Duration;

use super::protocol::{MAX_BATCH, MAX_EVENTS};
use crate::{
    clock::Time,
    store::{
        Taker,
        rows::{LinkState, Standing, Waiting},
    },
};

/// What each event of a batch but the first adds to the pause after it, and the longest pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// So many events are worth an exchange of their own.
const ENOUGH: u64 = 400;
/// Nothing new for so long: no more comes.
const LULL: Duration = Duration::from_millis(250);
/// How often one looks.
const LOOK: Duration = Duration::from_millis(50);

/// Pause after an exchange that carried so many events.
pub fn pause_after(events: usize) -> Duration {
    let more = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE.0.saturating_mul(more).min(PAUSE.1)
}

/// What a side may hand over in one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Events.
    pub events: u32,
    /// Bytes.
    pub bytes: usize,
    /// Drafts get their numbers: a write transaction.
    pub numbers: bool,
}

impl Limit {
    /// As many as the peer takes, in a batch of the usual size.
    pub fn of(max_events: u32) -> Self {
        Self { events: max_events.min(MAX_EVENTS), bytes: MAX_BATCH, numbers: true }
    }

    /// The same for the store.
    pub fn taker(self) -> Taker {
        Taker { events: self.events, bytes: self.bytes }
    }
}

/// Events that have no number yet.
pub fn drafts(state: &LinkState, waiting: &Waiting) -> u64 {
    waiting.outbox.saturating_sub(state.out_n.saturating_sub(state.acked))
}

/// A batch that gathers.
#[derive(Debug)]
pub struct Gather {
    until: Time,
    seen: Option<(u64, Time)>,
}

impl Gather {
    /// Not before `until`, unless there is reason to.
    pub fn new(until: Time) -> Self {
        Self { until, seen: None }
    }

    /// `None`: it leaves now. Else look again after this.
    pub fn nap(&mut self, standing: &Standing, now: Time) -> Option<Duration> {
        let Standing { connection, link, waiting } = standing;
        if connection.flows() { self.judge(drafts(link, waiting), now) } else { None }
    }

    fn judge(&mut self, waiting: u64, now: Time) -> Option<Duration> {
        if now >= self.until || waiting >= ENOUGH {
            return None;
        }
        let (seen, since) = *self.seen.get_or_insert((waiting, now));
        if seen != waiting {
            self.seen = Some((waiting, now));
        } else if now.since(since) >= LULL {
            return None;
        }
        Some(LOOK.min(self.until.since(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_edit_leaves_at_once_and_a_stream_in_batches() {
        assert_eq!(pause_after(1), Duration::ZERO);
        assert_eq!(pause_after(21), Duration::from_millis(200));
        assert_eq!(pause_after(5_000), Duration::from_secs(2));
        let mut gather = Gather::new(Time(1_000));
        assert_eq!(gather.judge(10, Time(0)), Some(LOOK));
        assert_eq!(gather.judge(20, Time(900)), Some(LOOK));
        assert_eq!(gather.judge(30, Time(980)), Some(Duration::from_millis(20)));
        assert_eq!(gather.judge(30, Time(1_000)), None);
    }

    #[test]
    fn enough_leaves_early_and_so_does_the_last_of_a_stream() {
        assert_eq!(Gather::new(Time(2_000)).judge(ENOUGH, Time(0)), None);
        let mut gather = Gather::new(Time(2_000));
        assert_eq!(gather.judge(50, Time(0)), Some(LOOK));
        assert_eq!(gather.judge(60, Time(200)), Some(LOOK), "something came");
        assert_eq!(gather.judge(60, Time(400)), Some(LOOK));
        assert_eq!(gather.judge(60, Time(450)), None);
    }
}
