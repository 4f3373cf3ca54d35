//! When what waits leaves: at once after a quiet moment, in larger batches while it streams.
//!
//! After a batch of many events the next one gathers for a while. It leaves early where a good batch has come together,
//! and where nothing more comes: who waits at the other end for the last of a stream shall not wait for a pause to pass.
//! Events of bulk work gather like others, but a single edit does not wait for their sake ([`Quiet`]).

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
/// What each event of bulk work adds: small batches, since what comes behind them waits for all of them there.
const BULK: Duration = Duration::from_millis(2);
/// So many events are worth an exchange of their own.
const ENOUGH: u64 = 400;
/// Nothing new for so long: no more comes.
const LULL: Duration = Duration::from_millis(250);
/// How often one looks.
const LOOK: Duration = Duration::from_millis(50);
/// The same while bulk work waits.
const LOOK_BULK: Duration = Duration::from_millis(5);

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

/// Until when a side keeps quiet after a batch.
#[derive(Debug, Clone, Copy)]
pub struct Quiet {
    /// For whatever waits.
    pub all: Time,
    /// Where a single edit waits: what bulk work had in the batch does not count.
    pub single: Time,
}

impl Quiet {
    /// Nothing was said yet.
    pub const NOT: Self = Self { all: Time(i64::MIN), single: Time(i64::MIN) };

    /// After a batch of so many events, of which so many were of bulk work.
    pub fn after(events: usize, bulk: u64, now: Time) -> Self {
        let single = events.saturating_sub(usize::try_from(bulk).unwrap_or(usize::MAX));
        let more = BULK.saturating_mul(u32::try_from(bulk).unwrap_or(u32::MAX));
        let (single, all) = (pause_after(single), pause_after(single).saturating_add(more).min(PAUSE.1));
        Self { all: now.plus(all), single: now.plus(single) }
    }
}

/// A batch that gathers.
#[derive(Debug)]
pub struct Gather {
    quiet: Quiet,
    seen: Option<(u64, Time)>,
}

impl Gather {
    /// Not before the quiet is over, unless there is reason to.
    pub fn new(quiet: Quiet) -> Self {
        Self { quiet, seen: None }
    }

    /// `None`: it leaves now. Else look again after this. `bulk`: how many of what waits are of bulk work.
    pub fn nap(&mut self, standing: &Standing, bulk: u64, now: Time) -> Option<Duration> {
        let Standing { connection, link, waiting } = standing;
        if connection.flows() { self.judge(drafts(link, waiting), bulk, now) } else { None }
    }

    fn judge(&mut self, waiting: u64, bulk: u64, now: Time) -> Option<Duration> {
        let until = if waiting > bulk { self.quiet.single } else { self.quiet.all };
        if now >= until || waiting >= ENOUGH {
            return None;
        }
        let (seen, since) = *self.seen.get_or_insert((waiting, now));
        if seen != waiting {
            self.seen = Some((waiting, now));
        } else if now.since(since) >= LULL {
            return None;
        }
        // A single edit may come at any moment.
        let look = if bulk > 0 { LOOK_BULK } else { LOOK };
        Some(look.min(until.since(now)))
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
        let mut gather = Gather::new(quiet(1_000));
        assert_eq!(gather.judge(10, 0, Time(0)), Some(LOOK));
        assert_eq!(gather.judge(20, 0, Time(900)), Some(LOOK));
        assert_eq!(gather.judge(30, 0, Time(980)), Some(Duration::from_millis(20)));
        assert_eq!(gather.judge(30, 0, Time(1_000)), None);
    }

    #[test]
    fn enough_leaves_early_and_so_does_the_last_of_a_stream() {
        assert_eq!(Gather::new(quiet(2_000)).judge(ENOUGH, 0, Time(0)), None);
        let mut gather = Gather::new(quiet(2_000));
        assert_eq!(gather.judge(50, 0, Time(0)), Some(LOOK));
        assert_eq!(gather.judge(60, 0, Time(200)), Some(LOOK), "something came");
        assert_eq!(gather.judge(60, 0, Time(400)), Some(LOOK));
        assert_eq!(gather.judge(60, 0, Time(450)), None);
    }

    #[test]
    fn a_single_edit_does_not_wait_for_bulk_work() {
        let quiet = Quiet::after(10, 10, Time(0));
        let mut gather = Gather::new(quiet);
        assert_eq!(gather.judge(10, 10, Time(10)), Some(LOOK_BULK), "bulk work gathers");
        assert_eq!(gather.judge(11, 10, Time(15)), None, "something else came");
        assert_eq!(Gather::new(quiet).judge(10, 10, Time(20)), None);
        let quiet = Quiet::after(30, 10, Time(0));
        assert_eq!(Gather::new(quiet).judge(11, 10, Time(15)), Some(LOOK_BULK), "twenty others were in the last batch");
    }

    fn quiet(until: i64) -> Quiet {
        Quiet { all: Time(until), single: Time(until) }
    }
}
