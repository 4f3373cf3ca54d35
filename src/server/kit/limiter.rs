//! Failures per caller and kind of door. Only failures are counted, so a good caller is never slowed; whoever guesses
//! tokens or codes is told to wait, and a secret short enough to be guessed is not even looked at meanwhile
//! ([`Limiter::wait`]).
//!
//! A caller's failures are a debt that is paid off by and by: what is kept is the moment when all of it is paid. Memory is
//! bounded: where very many callers fail, the new ones among them share one count.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    address::limit_key,
    problem::{Code, Problem},
};
use crate::clock::{Clock, Time};

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// Invitation codes.
    Codes,
    /// API tokens.
    Tokens,
    /// Tokens in the addresses of hooks.
    Hooks,
    /// Connections and signatures on the link.
    Link,
    /// The secret of the set-up link.
    SetUp,
}

impl Door {
    /// Failures that may come at once, then one per [`PAUSE`]. A signature cannot be guessed: there the limit only spares
    /// the work of checking, and a partner behind the same address should hardly ever meet it.
    const fn burst(self) -> u32 {
        match self {
            Self::Codes | Self::Tokens | Self::Hooks | Self::SetUp => 20,
            Self::Link => 300,
        }
    }
}

/// See [`Door::burst`].
const PAUSE: Duration = Duration::from_secs(3);
/// Debts that are kept at most.
const MOST: usize = 20_000;
/// Whose count those share that find no room of their own.
const CROWD: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Counts failures.
#[derive(Debug)]
pub struct Limiter {
    clock: Arc<dyn Clock>,
    paid_at: Mutex<HashMap<(Door, IpAddr), Time>>,
}

impl Limiter {
    /// A limiter that has seen nothing.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, paid_at: Mutex::default() }
    }

    /// Counts a failure. Within the limit the caller is told `problem`, beyond it to wait.
    pub fn failed(&self, door: Door, caller: IpAddr, problem: Problem) -> Problem {
        self.count(door, caller).map_or(problem, too_many)
    }

    /// Counts a failure; beyond the limit, how long to wait.
    pub fn count(&self, door: Door, caller: IpAddr) -> Option<Duration> {
        let now = self.clock.now();
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (door, limit_key(caller));
        if paid_at.len() >= MOST && !paid_at.contains_key(&key) {
            key.1 = CROWD;
        }
        let paid = paid_at.get(&key).map_or(now, |at| (*at).max(now));
        let wait = over(door, paid, now);
        if wait.is_none() {
            paid_at.insert(key, paid.plus(PAUSE));
        }
        wait
    }

    /// How long a caller has to wait until its next failure is within the limit; counts nothing.
    pub fn wait(&self, door: Door, caller: IpAddr) -> Option<Duration> {
        let now = self.clock.now();
        let paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        paid_at.get(&(door, limit_key(caller))).and_then(|paid| over(door, *paid, now))
    }

    /// Forgets callers that have been quiet: called now and then.
    pub fn forget_quiet(&self) {
        let now = self.clock.now();
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        paid_at.retain(|_, paid| *paid > now);
        paid_at.shrink_to_fit();
    }
}

/// What is left to wait where one more failure, after a debt that is paid at `paid`, would be beyond the limit.
fn over(door: Door, paid: Time, now: Time) -> Option<Duration> {
    let wait = paid.plus(PAUSE).since(now).saturating_sub(PAUSE * door.burst());
    (!wait.is_zero()).then(|| wait.max(Duration::from_secs(1)))
}

/// The answer beyond the limit.
pub fn too_many(wait: Duration) -> Problem {
    Problem::new(Code::RateLimited, "Too many failed attempts from this address; wait before the next.").after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn failures_add_up_per_caller_and_fade() {
        let clock = ManualClock::new(Time::from_seconds(1_800_000_000));
        let limiter = Limiter::new(Arc::new(clock.clone()));
        let caller: IpAddr = "203.0.113.1".parse().expect("an address");
        let wrong = || Problem::new(Code::Unauthenticated, "wrong");
        for _ in 0..Door::Tokens.burst() {
            assert_eq!(limiter.failed(Door::Tokens, caller, wrong()).code, Code::Unauthenticated);
        }
        let refused = limiter.failed(Door::Tokens, caller, wrong());
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.expect("told") <= PAUSE);
        assert_eq!(limiter.failed(Door::Codes, caller, wrong()).code, Code::Unauthenticated, "another kind of door");
        let neighbour = "203.0.113.2".parse().expect("an address");
        assert_eq!(limiter.failed(Door::Tokens, neighbour, wrong()).code, Code::Unauthenticated);
        clock.advance(PAUSE);
        assert_eq!(limiter.failed(Door::Tokens, caller, wrong()).code, Code::Unauthenticated);
    }

    #[test]
    fn one_ipv6_customer_is_one_caller() {
        let limiter = Limiter::new(Arc::new(ManualClock::new(Time::from_seconds(1_800_000_000))));
        let mut codes = Vec::new();
        for host in 0..=Door::Tokens.burst() {
            let caller = format!("2001:db8::{host:x}").parse().expect("an address");
            codes.push(limiter.failed(Door::Hooks, caller, Problem::not_found("door")).code);
        }
        assert_eq!(codes.last(), Some(&Code::RateLimited));
    }

    #[test]
    fn memory_is_bounded_and_quiet_callers_are_forgotten() {
        let clock = ManualClock::new(Time::from_seconds(1_800_000_000));
        let limiter = Limiter::new(Arc::new(clock.clone()));
        let caller = |n: u32| IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n));
        let flood = u32::try_from(MOST).expect("fits") + 1_000;
        for n in 0..flood {
            limiter.count(Door::Tokens, caller(n));
        }
        let kept = || limiter.paid_at.lock().expect("no panic").len();
        assert_eq!(kept(), MOST + 1, "the crowd has one count");
        assert!(limiter.count(Door::Tokens, caller(flood)).is_some(), "of the crowd");
        assert!(limiter.count(Door::Tokens, caller(0)).is_none(), "it has a count of its own");
        assert!(limiter.wait(Door::Tokens, caller(flood)).is_none());
        clock.advance(PAUSE * Door::Link.burst() * 2);
        limiter.forget_quiet();
        assert_eq!(kept(), 0);
    }
}
