//! The allowance of calls, as every answer tells it, and the reserve that sync leaves to others.
//!
//! The window of 24 hours moves on while sync rests and hears nothing, so `/limits` is asked now and then: soon at
//! first, since a peak may be short, then every five minutes, since each question costs a call of the reserve. The quota
//! of the app itself (`per-app-api-usage`) is ours alone and has no reserve: when it is used up Salesforce refuses.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::settings::Reserve;
use crate::{
    clock::Time,
    domain::tracker::{ApiCalls, Caller, Fault, Retry, TrackerError},
};

/// Pauses between two questions whether the allowance has recovered: the first, and the longest they grow to.
const FIRST_PROBE: Duration = Duration::from_secs(15);
const SLOWEST_PROBE: Duration = Duration::from_secs(300);

#[derive(Default)]
struct State {
    calls: Option<ApiCalls>,
    exhausted: bool,
    /// When `/limits` may be asked next, and the pause after that.
    probe: Option<(Time, Duration)>,
}

/// Watches one org's allowance.
pub(super) struct Watch {
    reserve: Reserve,
    state: Mutex<State>,
}

/// What a caller may do.
#[derive(Debug, PartialEq)]
pub(super) enum Leave {
    /// Call.
    Granted,
    /// Ask `/limits` first whether it has recovered.
    Probe,
    /// Rest.
    Refused(TrackerError),
}

impl Watch {
    pub fn new(reserve: Reserve) -> Self {
        Self { reserve, state: Mutex::default() }
    }

    /// Takes in what an answer's header tells.
    pub fn heard(&self, header: &str) {
        if let Some(calls) = usage(header) {
            self.told(calls);
        }
    }

    /// `/limits` was answered without a word of the allowance: nothing holds sync back.
    pub fn told_nothing(&self) {
        *self.lock() = State::default();
    }

    /// Takes in what `/limits` tells.
    pub fn told(&self, calls: ApiCalls) {
        let mut state = self.lock();
        state.exhausted = state.exhausted && calls.used >= calls.limit;
        state.calls = Some(calls);
    }

    /// Salesforce refused a call because the day's are used up.
    pub fn exhausted(&self) {
        self.lock().exhausted = true;
    }

    /// What was heard last.
    pub fn calls(&self) -> Option<ApiCalls> {
        self.lock().calls
    }

    /// Whether this caller may call now.
    pub fn ask(&self, caller: Caller, now: Time) -> Leave {
        let mut state = self.lock();
        let Some(detail) = self.refusal(&state) else {
            state.probe = None;
            return Leave::Granted;
        };
        if caller == Caller::Person {
            return Leave::Granted;
        }
        match state.probe {
            Some((at, _)) if at > now && at.since(now) <= SLOWEST_PROBE => Leave::Refused(refused(detail, at.since(now))),
            known => {
                let pause = known.map_or(FIRST_PROBE, |(_, pause)| pause);
                state.probe = Some((now.plus(pause), (pause * 2).min(SLOWEST_PROBE)));
                Leave::Probe
            }
        }
    }

    /// As [`Self::ask`] for sync, after a probe.
    pub fn ask_again(&self, now: Time) -> Result<(), TrackerError> {
        let state = self.lock();
        let wait = state.probe.map_or(FIRST_PROBE, |(at, _)| at.since(now));
        self.refusal(&state).map_or(Ok(()), |detail| Err(refused(detail, wait)))
    }

    /// Why sync should rest, if it should.
    fn refusal(&self, state: &State) -> Option<String> {
        let calls = match state.calls {
            _ if state.exhausted => return Some("Salesforce says that all calls of the last 24 hours are used.".to_owned()),
            Some(calls) if calls.limit > 0 => calls,
            _ => return None,
        };
        let reserve = self.reserve.of(calls.limit);
        if calls.used < calls.limit.saturating_sub(reserve) {
            return None;
        }
        Some(format!("{} of {} calls of the last 24 hours are used; {reserve} are left to others.", calls.used, calls.limit))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(detail: String, wait: Duration) -> TrackerError {
    TrackerError {
        fault: Fault::Allowance,
        retry: Retry::Soon(Some(wait.max(Duration::from_secs(1)))),
        code: "API_RESERVE".to_owned(),
        title: "Sync rests: the org's allowance of calls is nearly used".to_owned(),
        detail,
        advice: "Nothing is lost; sync goes on when the allowance recovers. `api_reserve` sets how much is left to others."
            .to_owned(),
        in_doubt: false,
    }
}

/// `api-usage=18/15000` out of `Sforce-Limit-Info`, whatever stands beside it.
fn usage(header: &str) -> Option<ApiCalls> {
    header.split([';', ',']).find_map(|part| {
        let (used, limit) = part.trim().strip_prefix("api-usage=")?.split_once('/')?;
        Some(ApiCalls { used: used.trim().parse().ok()?, limit: limit.trim().parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_by_name() {
        let read = |text: &str| usage(text).map(|calls| (calls.used, calls.limit));
        assert_eq!(read("api-usage=18/15000"), Some((18, 15_000)));
        assert_eq!(read("api-usage=25/5000; per-app-api-usage=17/250(appName=x)"), Some((25, 5_000)));
        assert_eq!(read("per-app-api-usage=17/250(appName=x), api-usage=25/5000"), Some((25, 5_000)));
        assert_eq!(read("per-app-api-usage=17/250(appName=x)"), None);
        assert_eq!(read("api-usage=lots/15000"), None);
    }

    #[test]
    fn sync_leaves_the_reserve_and_people_may_use_it() {
        let watch = Watch::new(Reserve::default());
        let now = Time::from_seconds(1_000);
        watch.heard("api-usage=13499/15000");
        assert_eq!(watch.ask(Caller::Sync, now), Leave::Granted);
        watch.heard("api-usage=13500/15000");
        assert_eq!(watch.ask(Caller::Person, now), Leave::Granted);
        assert_eq!(watch.ask(Caller::Sync, now), Leave::Probe);
        assert!(matches!(watch.ask(Caller::Sync, now), Leave::Refused(error) if error.fault == Fault::Allowance));
        let mut pauses = Vec::new();
        let mut at = now;
        for _ in 0..6 {
            let Leave::Refused(error) = watch.ask(Caller::Sync, at) else { panic!("within the pause") };
            let Retry::Soon(Some(wait)) = error.retry else { panic!("by itself") };
            pauses.push(wait.as_secs());
            at = at.plus(wait);
            assert_eq!(watch.ask(Caller::Sync, at), Leave::Probe);
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 300]);
        watch.told(ApiCalls { used: 10, limit: 15_000 });
        assert_eq!(watch.ask(Caller::Sync, now), Leave::Granted);
    }

    #[test]
    fn a_used_up_day_holds_until_somebody_hears_better() {
        let watch = Watch::new(Reserve::Calls(0));
        watch.exhausted();
        watch.heard("api-usage=15000/15000");
        assert!(watch.ask_again(Time(0)).is_err());
        watch.heard("api-usage=14000/15000");
        assert!(watch.ask_again(Time(0)).is_ok());
    }
}
