//! Wrong passwords: each costs its account and its address a growing pause.
//!
//! A try is counted before the password is looked at, and given back when it was right: a thousand tries sent at once are
//! a thousand tries. The first few wrong ones cost nothing, then the pause doubles from one to the next, up to a bound.
//! What is asked during a pause is not looked at and does not make it longer. One wrong try is forgiven for each
//! [`FORGIVEN`] of quiet.
//!
//! An account is counted by what was typed as its name, whether or not there is one: the pause tells nobody who exists.
//! Its pause has a low bound, or anybody could lock a person out; that of an address may grow long.
//!
//! Memory is bounded: where very many fail, the new ones among them share one count.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::address::limit_key;
use crate::{
    clock::{Clock, Time},
    domain::user::name_key,
    secret::sha256,
};

/// One wrong try is forgotten after so long without another: no less than the longest pause, which it would cut short.
const FORGIVEN: Duration = Duration::from_secs(900);
/// Counts that are kept at most.
const MOST: usize = 20_000;

/// Whose tries are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// By the hash of the name: what people type there by mistake is not kept.
    Account([u8; 32]),
    Address(IpAddr),
    Crowd,
}

impl Key {
    /// Wrong tries that cost no pause.
    const fn free(self) -> u32 {
        match self {
            Self::Account(_) => 5,
            // An office may stand behind one address.
            Self::Address(_) | Self::Crowd => 10,
        }
    }

    /// The longest pause.
    const fn longest(self) -> Duration {
        match self {
            Self::Account(_) => Duration::from_secs(60),
            Self::Address(_) | Self::Crowd => FORGIVEN,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    last: Time,
}

impl Count {
    /// What is left of it.
    fn at(self, now: Time) -> u32 {
        let forgiven = now.since(self.last).as_secs() / FORGIVEN.as_secs();
        self.wrong.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// How long the next try has to wait.
    fn wait(self, key: Key, now: Time) -> Duration {
        let beyond = self.at(now).saturating_sub(key.free() - 1);
        if beyond == 0 {
            return Duration::ZERO;
        }
        let pause = Duration::from_secs(1u64 << (beyond - 1).min(20)).min(key.longest());
        pause.saturating_sub(now.since(self.last))
    }
}

/// Counts wrong passwords.
#[derive(Debug)]
pub(super) struct Guesses {
    clock: Arc<dyn Clock>,
    counts: Mutex<HashMap<Key, Count>>,
}

/// A try under way. Whoever began it says how it ended, or it counts as wrong.
#[derive(Debug)]
#[must_use]
pub(super) struct Try {
    account: Key,
    address: Option<Key>,
    at: Time,
    before: u32,
    /// When the one before was, by key.
    last: [Time; 2],
}

impl Try {
    /// Wrong tries for this account, with this one.
    pub(super) fn in_a_row(&self) -> u32 {
        self.before + 1
    }

    /// Whether a streak of wrong tries is to be told of: where pauses begin, and each time it has doubled.
    pub(super) fn is_streak(&self) -> bool {
        let (row, free) = (self.in_a_row(), self.account.free());
        row.is_multiple_of(free) && (row / free).is_power_of_two()
    }
}

impl Guesses {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Mutex::default() }
    }

    /// Begins a try for the account of this name. `Err`: how long to wait before the next; this one is not looked at.
    pub(super) fn begin(&self, name: &str, address: Option<IpAddr>) -> Result<Try, Duration> {
        let now = self.clock.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let room = |key: Key| if counts.len() < MOST || counts.contains_key(&key) { key } else { Key::Crowd };
        let account = room(Key::Account(sha256(name_key(name).as_bytes())));
        let address = address.map(|address| room(Key::Address(limit_key(address))));
        let keys = || std::iter::once(account).chain(address);
        let wait = keys().filter_map(|key| counts.get(&key).map(|count| count.wait(key, now))).max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait.max(Duration::from_secs(1)));
        }
        let before = counts.get(&account).map_or(0, |count| count.at(now));
        let last = |key: Key| counts.get(&key).map_or(now, |count| count.last);
        let last = [last(account), address.map_or(now, last)];
        for key in keys() {
            let wrong = counts.get(&key).map_or(0, |count| count.at(now)).saturating_add(1);
            counts.insert(key, Count { wrong, last: now });
        }
        Ok(Try { account, address, at: now, before, last })
    }

    /// The password was right: the account's count ends, and the address is given this try back. Not more: with an account
    /// of one's own one could else guess at others for ever.
    pub(super) fn right(&self, tried: Try) {
        if tried.account != Key::Crowd {
            self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(&tried.account);
        }
        self.unknown(tried);
    }

    /// Nobody could look at the password: nothing is counted.
    pub(super) fn unknown(&self, tried: Try) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, last) in std::iter::once(tried.account).chain(tried.address).zip(tried.last) {
            let Some(count) = counts.get_mut(&key) else { continue };
            count.wrong = count.wrong.saturating_sub(1);
            // Nor does the pause begin anew, unless another try came meanwhile.
            if count.last == tried.at {
                count.last = last;
            }
        }
    }

    /// Forgets who has been quiet: called now and then.
    pub(super) fn forget_quiet(&self) {
        let now = self.clock.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, count| count.at(now) > 0);
        counts.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn fresh() -> (ManualClock, Guesses) {
        let clock = ManualClock::new(Time::from_seconds(1_800_000_000));
        (clock.clone(), Guesses::new(Arc::new(clock)))
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4((0x0b00_0000 + n).into()))
    }

    #[test]
    fn an_accounts_pause_grows_to_its_bound_from_wherever_the_tries_come() {
        let (clock, guesses) = fresh();
        for n in 0..5 {
            let tried = guesses.begin(if n % 2 == 0 { "Ada" } else { "ADA " }, address(n)).expect("free");
            assert_eq!((tried.in_a_row(), tried.is_streak()), (n + 1, n == 4));
        }
        for (n, pause) in (5..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            assert_eq!(guesses.begin("ada", address(n)).expect_err("pauses"), Duration::from_secs(pause));
            assert!(guesses.begin("bob", address(n)).is_ok_and(|_| true), "another account");
            clock.advance(Duration::from_secs(pause) - Duration::from_millis(1));
            assert!(guesses.begin("ada", address(n)).is_err(), "not yet");
            clock.advance(Duration::from_millis(1));
            let tried = guesses.begin("ada", address(100 + n)).expect("the pause is over");
            assert_eq!(tried.is_streak(), n == 9, "{n}");
            guesses.counts.lock().expect("whole").retain(|key, _| *key == tried.account);
        }
    }

    #[test]
    fn an_address_pauses_whoever_it_asks_for() {
        let (clock, guesses) = fresh();
        for n in 0..10 {
            guesses.begin(&format!("user {n}"), address(1)).map(drop).expect("free");
        }
        assert_eq!(guesses.begin("another", address(1)).expect_err("pauses"), Duration::from_secs(1));
        assert!(guesses.begin("another", address(2)).is_ok(), "another address");
        for (n, pause) in (10..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
            assert_eq!(guesses.begin("another", address(1)).expect_err("pauses"), Duration::from_secs(pause));
            clock.advance(Duration::from_secs(pause));
            guesses.begin(&format!("user {n}"), address(1)).map(drop).expect("the pause is over");
        }
    }

    #[test]
    fn a_right_password_ends_the_accounts_count_and_not_the_addresss() {
        let (_, guesses) = fresh();
        for _ in 0..4 {
            guesses.begin("ada", address(1)).map(drop).expect("free");
        }
        for n in 0..5 {
            guesses.begin(&format!("other {n}"), address(1)).map(drop).expect("free");
        }
        let tried = guesses.begin("ada", address(1)).expect("free");
        guesses.right(tried);
        let tried = guesses.begin("ada", address(1)).expect("nine wrong ones from there");
        assert_eq!(tried.in_a_row(), 1, "the account begins anew");
        assert!(guesses.begin("ada", address(1)).is_err(), "the address does not");
        guesses.unknown(tried);
        assert!(guesses.begin("ada", address(1)).is_ok(), "what nobody looked at does not count");
    }

    #[test]
    fn quiet_forgives_and_memory_is_bounded() {
        let (clock, guesses) = fresh();
        for n in 0..u32::try_from(MOST).expect("fits") {
            drop(guesses.begin(&n.to_string(), address(n)));
        }
        assert_eq!(guesses.counts.lock().expect("whole").len(), MOST + 1, "the crowd has one count");
        assert!(guesses.begin("somebody", address(1 << 20)).is_err(), "of the crowd");
        assert!(guesses.begin("0", address(0)).is_ok(), "it has counts of its own");
        clock.advance(FORGIVEN * 2);
        guesses.forget_quiet();
        assert_eq!(guesses.counts.lock().expect("whole").len(), 1, "the crowd's is larger");
        clock.advance(FORGIVEN * (1 << 16));
        guesses.forget_quiet();
        assert_eq!(guesses.counts.lock().expect("whole").len(), 0);
    }
}
