//! Faults on demand: the next calls that match go wrong in a chosen way.

use std::time::Duration;

use serde::Deserialize;

/// Which calls are meant; what is not given matches all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// A part of path and query.
    pub path: Option<String>,
    /// `GET`, `POST`…
    pub method: Option<String>,
    /// Only calls that write records.
    pub writes: bool,
    /// A part of the body.
    pub body: Option<String>,
}

/// What happens instead of the right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "millis")]
pub enum FaultKind {
    /// The first record of the call cannot be locked: 400, or an error in its place in a collection.
    LockRow,
    /// 503 with an array `SERVER_UNAVAILABLE`.
    ServerUnavailableArray,
    /// 503 with a page for people.
    Html503,
    /// 500 with an error id.
    Error500,
    /// Nothing happens and nothing is answered for so many milliseconds, then the connection is dropped.
    Hang(u64),
    /// The work is done, nothing is answered for so many milliseconds, then the connection is dropped.
    HangAfterCommit(u64),
    /// The work is done, and answered after so many milliseconds.
    Late(u64),
    /// The work is done, the answer is lost.
    ResetAfterCommit,
    /// The connection is dropped before any work.
    ResetBefore,
    /// 401: the session is over; the token is dead from now on.
    Unauthorized,
    /// 403: the allowance is used up.
    LimitExceeded,
    /// 403: too many long calls at once.
    ConcurrentLimit,
    /// 401: the session may not use the REST API; a new login would not help.
    NotForRest,
    /// 503 that asks to come again after so many milliseconds, in whole seconds.
    Busy(u64),
    /// 420: no org is known at this host.
    UnknownHost,
    /// A good status with a page for people, as a network's sign-in page gives it.
    CaptivePage,
    /// 502 with nothing.
    EmptyGateway,
    /// 400: the place of a long query is lost.
    LostLocator,
}

impl FaultKind {
    /// Nothing happens for a while, then the connection is dropped.
    pub fn hang(span: Duration) -> Self {
        Self::Hang(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A fault for the next calls that match.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// Which calls.
    #[serde(default)]
    pub when: Matcher,
    /// How many of them; the fault is used up then.
    #[serde(default = "once")]
    pub times: u32,
    /// Matching calls that still go well before the first that does not.
    #[serde(default)]
    pub skip: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// The next `times` calls whose path holds `path`.
    pub fn at(path: &str, times: u32, kind: FaultKind) -> Self {
        Self { when: Matcher { path: Some(path.to_owned()), ..Matcher::default() }, times, skip: 0, kind }
    }

    /// The next `times` calls that write records.
    pub fn on_writes(times: u32, kind: FaultKind) -> Self {
        Self { when: Matcher { writes: true, ..Matcher::default() }, times, skip: 0, kind }
    }
}

#[derive(Debug, Default)]
pub(super) struct FaultList(Vec<Fault>);

impl FaultList {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Calls that will still go wrong.
    pub(super) fn open(&self) -> u32 {
        self.0.iter().map(|fault| fault.times).sum()
    }

    /// The fault that this call meets, counted off.
    pub(super) fn meet(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<FaultKind> {
        let writes = matches!(kind, "record_write" | "collections_write")
            || (matches!(kind, "composite" | "batch")
                && [&b"\"PATCH\""[..], b"\"POST\"", b"\"DELETE\""].iter().any(|word| holds(body, word)));
        let hit = self.0.iter_mut().find(|fault| {
            let when = &fault.when;
            when.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
                && when.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && (!when.writes || writes)
                && when.body.as_ref().is_none_or(|part| holds(body, part.as_bytes()))
        })?;
        if hit.skip > 0 {
            hit.skip -= 1;
            return None;
        }
        hit.times = hit.times.saturating_sub(1);
        let kind = hit.kind;
        self.0.retain(|fault| fault.times > 0);
        Some(kind)
    }
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up() {
        let mut list = FaultList::default();
        list.add(Fault { skip: 1, ..Fault::at("/query", 1, FaultKind::Error500) });
        assert_eq!(list.meet("GET", "/services/data/v68.0/limits", "limits", b""), None);
        assert_eq!(list.meet("GET", "/services/data/v68.0/query?q=x", "query", b""), None, "one goes well");
        assert_eq!(list.meet("GET", "/services/data/v68.0/query?q=x", "query", b""), Some(FaultKind::Error500));
        assert_eq!(list.meet("GET", "/services/data/v68.0/query?q=x", "query", b""), None);
    }

    #[test]
    fn reads_the_form_that_comes_over_http() {
        let fault: Fault =
            serde_json::from_str(r#"{"when":{"writes":true},"times":2,"kind":"hang","millis":50}"#).expect("fault");
        assert_eq!(fault.kind, FaultKind::Hang(50));
        let fault: Fault = serde_json::from_str(r#"{"kind":"lock_row"}"#).expect("fault");
        assert_eq!((fault.kind, fault.times), (FaultKind::LockRow, 1));
    }
}
