//! Chance that can be had again: a seed is printed, and given back by `WICKETGATE_KILL_SEED`.

use wicketgate::clock::{Clock, SystemClock};

/// SplitMix64: a few lines, and the same on every machine.
pub(super) struct Chance(u64);

impl Chance {
    /// From the environment, else drawn.
    pub(super) fn new() -> Self {
        let given = std::env::var("WICKETGATE_KILL_SEED").ok().and_then(|text| text.parse().ok());
        let drawn = || {
            let mut bytes = [0; 4];
            SystemClock.random(&mut bytes);
            u64::from(u32::from_be_bytes(bytes))
        };
        let seed = given.unwrap_or_else(drawn);
        eprintln!("WICKETGATE_KILL_SEED={seed}");
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, not including, `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// One of these.
    pub(super) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap_or(0)]
    }
}
