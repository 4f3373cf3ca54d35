//! What was called: a counter per kind, a log of every request, and the allowance of 24 hours.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::clock::Time;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCall {
    /// When.
    pub at: Time,
    /// `GET`…
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Size of the body in bytes.
    pub size: usize,
    /// Its kind, as counted.
    pub kind: &'static str,
    /// Status of the answer; 0 where the connection was dropped.
    pub status: u16,
}

/// The log keeps this many requests; older ones are forgotten, the counters are not.
const LOG: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) log: VecDeque<LoggedCall>,
    recent: VecDeque<Time>,
    /// Calls that others are pretended to have made.
    pub(super) others: u64,
    pub(super) total: u64,
}

impl Usage {
    pub(super) fn note(&mut self, call: LoggedCall) {
        *self.kinds.entry(call.kind.to_owned()).or_default() += 1;
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(call);
    }

    /// Counts one call against the allowance.
    pub(super) fn spend(&mut self, now: Time) {
        self.total += 1;
        self.recent.push_back(now);
    }

    /// Calls in the last 24 hours.
    pub(super) fn used(&mut self, now: Time) -> u64 {
        let begin = now.minus(Duration::from_secs(24 * 3600));
        while self.recent.front().is_some_and(|at| *at <= begin) {
            self.recent.pop_front();
        }
        self.others + u64::try_from(self.recent.len()).unwrap_or(u64::MAX)
    }
}

impl Usage {
    /// As [`Self::used`], for a look that forgets nothing.
    pub(super) fn used_at(&self, now: Time) -> u64 {
        let begin = now.minus(Duration::from_secs(24 * 3600));
        self.others + u64::try_from(self.recent.iter().filter(|at| **at > begin).count()).unwrap_or(u64::MAX)
    }
}

/// The kind under which a request is counted.
pub(super) fn kind_of(method: &str, path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    if let Some(rest) = path.strip_prefix("/services/oauth2/") {
        return match rest {
            "token" => "login",
            "authorize" => "authorize",
            "revoke" => "revoke",
            "introspect" => "introspect",
            _ => "userinfo",
        };
    }
    let Some(rest) = path.strip_prefix("/services/data") else {
        return if path.starts_with("/id/") { "identity" } else { "page" };
    };
    let parts = rest.split('/').filter(|part| !part.is_empty()).skip(1).collect::<Vec<_>>();
    match (method, parts.as_slice()) {
        (_, []) => "versions",
        (_, ["limits"]) => "limits",
        (_, ["query"]) => "query",
        (_, ["queryAll"]) => "query_all",
        (_, ["query" | "queryAll", _]) => "query_more",
        (_, ["composite"]) => "composite",
        (_, ["composite", "batch"]) => "batch",
        ("GET", ["composite", "sobjects", _]) | ("POST", ["composite", "sobjects", _]) => "retrieve",
        (_, ["composite", "sobjects", ..]) => "collections_write",
        (_, ["sobjects"] | ["sobjects", _, "describe"]) => "describe",
        (_, ["sobjects", _, "updated"]) => "updated",
        (_, ["sobjects", _, "deleted"]) => "deleted",
        ("GET", ["sobjects", ..]) => "record_read",
        (_, ["sobjects", ..]) => "record_write",
        _ => "other",
    }
}
