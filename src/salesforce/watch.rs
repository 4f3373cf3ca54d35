//! The allowance of calls, as every answer tells it, and the reserve that sync leaves to others.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::settings::Reserve;
use crate::{
    clock::Time,
    domain::tracker::{ApiCalls, Caller, Fault, Retry, TrackerError},
};

/// Pause between two questions whether the allowance has recovered.
const PROBE_EVERY: Duration = Duration::from_secs(120);

#[derive(Default)]
struct State {
    calls: Option<ApiCalls>,
    exhausted: bool,
    probed_at: Option<Time>,
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
        let Some(refusal) = self.refusal(&state) else { return Leave::Granted };
        if caller == Caller::Person {
            return Leave::Granted;
        }
        if state.probed_at.is_none_or(|at| now.since(at) >= PROBE_EVERY || at > now) {
            state.probed_at = Some(now);
            return Leave::Probe;
        }
        Leave::Refused(refusal)
    }

    /// As [`Self::ask`] for sync, after a probe.
    pub fn ask_again(&self) -> Result<(), TrackerError> {
        let state = self.lock();
        self.refusal(&state).map_or(Ok(()), Err)
    }

    fn refusal(&self, state: &State) -> Option<TrackerError> {
        let detail = match state.calls {
            _ if state.exhausted => "Salesforce says that all calls of the last 24 hours are used.".to_owned(),
            Some(calls) => {
                let reserve = self.reserve.of(calls.limit);
                if calls.used < calls.limit.saturating_sub(reserve) {
                    return None;
                }
                format!("{} of {} calls of the last 24 hours are used; {reserve} are left to others.", calls.used, calls.limit)
            }
            None => return None,
        };
        Some(TrackerError {
            fault: Fault::Allowance,
            retry: Retry::Soon(Some(PROBE_EVERY)),
            code: "API_RESERVE".to_owned(),
            title: "Sync rests: the org's allowance of calls is nearly used".to_owned(),
            detail,
            advice: "Nothing is lost; sync goes on when the allowance recovers. `api_reserve` sets how much is left to others."
                .to_owned(),
            in_doubt: false,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(watch.ask(Caller::Sync, now.plus(PROBE_EVERY)), Leave::Probe);
        watch.told(ApiCalls { used: 10, limit: 15_000 });
        assert_eq!(watch.ask(Caller::Sync, now), Leave::Granted);
    }

    #[test]
    fn a_used_up_day_holds_until_somebody_hears_better() {
        let watch = Watch::new(Reserve::Calls(0));
        watch.exhausted();
        watch.heard("api-usage=15000/15000");
        assert!(watch.ask_again().is_err());
        watch.heard("api-usage=14000/15000");
        assert!(watch.ask_again().is_ok());
    }
}
