//! Pauses that grow, with chance in them so that many do not come back together.

use std::time::Duration;

use crate::clock::Clock;

/// A growing pause: `first` doubled per failure up to `most`, then between half and all of it by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first failure.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Backoff {
    /// The pause after this many failures in a row (1 is the first).
    pub fn pause(&self, failures: u32, clock: &dyn Clock) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(31)));
        let whole = doubled.min(self.most);
        let mut random = [0u8; 2];
        clock.random(&mut random);
        let share = 0.5 + f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX) / 2.0;
        whole.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn grows_and_stays_within_its_bounds() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
        for failures in 1..100 {
            let pause = backoff.pause(failures, &SystemClock);
            assert!(pause >= Duration::from_millis(500) && pause <= Duration::from_secs(60), "{pause:?}");
        }
        assert!(backoff.pause(10, &SystemClock) >= Duration::from_secs(30));
    }
}
