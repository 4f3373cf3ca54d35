//! Failures per caller and kind of door. Only failures are counted, so a good caller is never slowed; whoever guesses
//! tokens or codes is told to wait.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, nanos::Nanos, state::keyed::DashMapStateStore,
};

use super::{
    address::limit_key,
    problem::{Code, Problem},
};
use crate::clock::Clock;

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// Invitation codes.
    Codes,
    /// API tokens.
    Tokens,
    /// Tokens in the addresses of hooks.
    Hooks,
}

/// Failures that may come at once, then one per [`PAUSE`].
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
const PAUSE: Duration = Duration::from_secs(3);

type Keyed = RateLimiter<(Door, IpAddr), DashMapStateStore<(Door, IpAddr)>, NodeClock, NoOpMiddleware<Nanos>>;

/// Counts failures.
#[derive(Debug)]
pub struct Limiter {
    keyed: Keyed,
    clock: NodeClock,
}

impl Limiter {
    /// A limiter that has seen nothing.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let clock = NodeClock(clock);
        let quota = Quota::with_period(PAUSE).expect("the pause is not zero").allow_burst(BURST);
        Self { keyed: RateLimiter::dashmap_with_clock(quota, clock.clone()), clock }
    }

    /// Counts a failure. Within the limit the caller is told `problem`, beyond it to wait.
    pub fn failed(&self, door: Door, caller: IpAddr, problem: Problem) -> Problem {
        match self.keyed.check_key(&(door, limit_key(caller))) {
            Ok(()) => problem,
            Err(not_until) => {
                Problem::new(Code::RateLimited, "Too many failed attempts from this address; wait before the next.")
                    .after(not_until.wait_time_from(self.clock.now()).max(Duration::from_secs(1)))
            }
        }
    }

    /// Forgets callers that have been quiet: called now and then.
    pub fn forget_quiet(&self) {
        self.keyed.retain_recent();
        self.keyed.shrink_to_fit();
    }
}

/// The node's clock as governor wants it.
#[derive(Clone, Debug)]
struct NodeClock(Arc<dyn Clock>);

impl GovernorClock for NodeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(u64::try_from(self.0.now().millis()).unwrap_or(0).saturating_mul(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Time};

    #[test]
    fn failures_add_up_per_caller_and_fade() {
        let clock = ManualClock::new(Time::from_seconds(1_800_000_000));
        let limiter = Limiter::new(Arc::new(clock.clone()));
        let caller: IpAddr = "203.0.113.1".parse().expect("an address");
        let wrong = || Problem::new(Code::Unauthenticated, "wrong");
        for _ in 0..BURST.get() {
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
        for host in 0..=BURST.get() {
            let caller = format!("2001:db8::{host:x}").parse().expect("an address");
            codes.push(limiter.failed(Door::Hooks, caller, Problem::not_found("door")).code);
        }
        assert_eq!(codes.last(), Some(&Code::RateLimited));
    }
}
