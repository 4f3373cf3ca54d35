//! How long a held exchange may be: learnt from what happens to it.
//!
//! Something in between (a proxy, a firewall) may cut requests that are idle for too long. One that was cut teaches a
//! shorter wait, a little below the time at which it was cut. Some that were held in full teach a longer one again, for
//! a single cut may have been an accident. A length that was cut before is tried again ever more rarely, so that the
//! wait settles below what the way allows.

use std::time::Duration;

use crate::link::protocol::MIN_WAIT;

/// Full holds before a longer one is tried.
const FULL_HOLDS: u32 = 4;
/// The same before a length is tried that was cut before, at most.
const MOST_PATIENCE: u32 = 512;
/// A cut that came sooner says nothing about idle requests.
const SOON: Duration = Duration::from_millis(2_500);

/// The wait as it was learnt.
#[derive(Debug)]
pub(super) struct Wait {
    now: Duration,
    longest: Duration,
    full: u32,
    /// The shortest wait that was cut.
    cut_at: Option<Duration>,
    patience: u32,
}

impl Wait {
    /// Nothing learnt yet.
    pub(super) fn new(longest: Duration) -> Self {
        let longest = longest.max(Duration::from_secs(1));
        Self { now: longest, longest, full: 0, cut_at: None, patience: FULL_HOLDS }
    }

    /// What to ask for.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// An exchange that was to be held for `wait` was cut after `took`. False where that teaches nothing.
    pub(super) fn cut(&mut self, wait: Duration, took: Duration) -> bool {
        if wait <= MIN_WAIT || took < SOON {
            return false;
        }
        let known = self.cut_at.is_some_and(|cut_at| wait >= cut_at);
        self.patience = if known { (self.patience * 2).min(MOST_PATIENCE) } else { FULL_HOLDS };
        self.cut_at = Some(self.cut_at.filter(|_| known).unwrap_or(wait));
        // One that ended after its time was not cut: nobody was there any more, and half the wait is a fair guess.
        let shorter = if took < wait { took.mul_f64(0.8) } else { wait / 2 };
        self.now = whole_seconds(shorter).max(MIN_WAIT);
        self.full = 0;
        true
    }

    /// An exchange was held for all of `wait`.
    pub(super) fn full(&mut self, wait: Duration) {
        if wait != self.now || wait >= self.longest {
            return;
        }
        if self.cut_at.is_some_and(|cut_at| wait >= cut_at) {
            self.cut_at = None;
        }
        self.full += 1;
        let next = whole_seconds(wait.mul_f64(1.5)).max(wait + Duration::from_secs(1)).min(self.longest);
        let risky = self.cut_at.is_some_and(|cut_at| next >= cut_at);
        if self.full >= if risky { self.patience } else { FULL_HOLDS } {
            self.now = next;
            self.full = 0;
        }
    }
}

/// `wait_seconds` has no finer unit.
fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Lives behind something that cuts after `limit`; gives back how many of the last `count` holds were cut.
    fn live(wait: &mut Wait, limit: Duration, count: u32) -> u32 {
        let mut cuts = 0;
        for _ in 0..count {
            let asked = wait.now();
            if asked < limit {
                wait.full(asked);
            } else {
                wait.cut(asked, limit);
                cuts += 1;
            }
        }
        cuts
    }

    #[test]
    fn it_settles_below_the_limit_of_the_way() {
        for limit in [7, 30, 45, 60, 100] {
            let mut wait = Wait::new(seconds(300));
            live(&mut wait, seconds(limit), 3);
            assert!(wait.now() < seconds(limit), "{limit}: {:?}", wait.now());
            let late = live(&mut wait, seconds(limit), 2_000);
            assert!(late <= 16, "{limit}: cut {late} times in 2,000");
            assert!(wait.now() * 2 >= seconds(limit).min(MIN_WAIT * 2), "{limit}: {:?}", wait.now());
        }
    }

    #[test]
    fn an_accident_is_forgotten_in_minutes() {
        let mut wait = Wait::new(seconds(50));
        assert!(wait.cut(seconds(50), seconds(6)));
        assert_eq!(wait.now(), MIN_WAIT);
        let mut spent = seconds(0);
        while wait.now() < seconds(50) {
            spent += wait.now();
            wait.full(wait.now());
        }
        assert!(spent < seconds(600), "{spent:?}");
    }

    #[test]
    fn what_ends_at_once_or_is_short_teaches_nothing() {
        let mut wait = Wait::new(seconds(50));
        assert!(!wait.cut(seconds(50), seconds(1)));
        assert!(!wait.cut(MIN_WAIT, seconds(4)));
        assert_eq!(wait.now(), seconds(50));
        // Nobody answered at all: half.
        assert!(wait.cut(seconds(50), seconds(65)));
        assert_eq!(wait.now(), seconds(25));
        assert_eq!(Wait::new(Duration::ZERO).now(), seconds(1));
    }
}
