//! Log set-up and metrics.
//!
//! Logs are written for someone who reads one line alone: what happened, to what, with an id to follow. Field names:
//! `connection`, `twin`, `tracker`, `correlation`, `error`, `code`, `status`, `took_ms`. Never a body, a header or a
//! secret; as a second net, [`redact`] blanks what looks like one before a line leaves.
//!
//! Metrics are counters in a value that is passed down ([`Metrics`]); there is no process-wide registry, so two nodes
//! can live in one process. To add one: a variant of [`Counter`] whose comment is the manual.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// `[node] log`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
    /// Levels as `tracing` writes them: `info`, `wicketgate=debug,info`…
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

impl LogSettings {
    /// Whether the filter can be read.
    pub fn check(&self) -> Result<(), LogError> {
        self.read_filter().map(drop)
    }

    fn read_filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::try_new(&self.filter).map_err(|error| LogError::Filter(self.filter.clone(), error.to_string()))
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the filter `{0}` cannot be read: {1}")]
    Filter(String, String),
    /// Somebody has set up logging in this process before.
    #[error("logging is set up already")]
    Already,
}

/// Sends this process's logs to standard error. Once per process, by the command that runs.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let colours = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(settings.read_filter()?).with_writer(Redacting).with_ansi(colours);
    match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::Already)
}

#[derive(Clone, Copy, Debug)]
struct Redacting;

impl<'w> MakeWriter<'w> for Redacting {
    type Writer = RedactingLine;
    fn make_writer(&'w self) -> RedactingLine {
        RedactingLine(Vec::new())
    }
}

/// Collects one line and sends it, cleaned, when it is dropped.
struct RedactingLine(Vec<u8>);

impl Write for RedactingLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RedactingLine {
    fn drop(&mut self) {
        let line = redact(&String::from_utf8_lossy(&self.0));
        // Nobody is left to tell where standard error itself is closed.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// What stands before a secret in a line of text, and how many path parts lie between.
const BEFORE: [(&str, usize); 5] = [("wg_", 0), ("whsec_", 0), ("Bearer ", 0), ("/outbound-messages/", 0), ("/hooks/", 1)];

/// Blanks tokens: ours by their beginning, those in door paths by their place.
pub fn redact(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((at, mark, skip)) =
        BEFORE.iter().filter_map(|(mark, skip)| rest.find(mark).map(|at| (at, *mark, *skip))).min_by_key(|(at, ..)| *at)
    {
        let (head, tail) = rest.split_at(at + mark.len());
        out.push_str(head);
        rest = tail;
        for _ in 0..skip {
            let Some(slash) = rest.find('/').filter(|slash| !rest[..*slash].contains(char::is_whitespace)) else { break };
            out.push_str(&rest[..=slash]);
            rest = &rest[slash + 1..];
        }
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~+/=%".contains(c)) || (mark.starts_with('/') && c == '/'));
        let end = end.unwrap_or(rest.len());
        if end > 0 {
            out.push_str("[secret]");
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $metric:literal;)*) => {
        /// What a node counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name and labels for Prometheus.
            pub const fn metric(self) -> &'static str {
                match self { $(Self::$name => $metric),* }
            }

            /// Its manual.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),* }
            }
        }
    };
}

counters! {
    /// Requests answered by any door, by class of status.
    RequestsGood = "wicketgate_requests_total{status=\"2xx\"}";
    /// Requests answered by any door, by class of status.
    RequestsMoved = "wicketgate_requests_total{status=\"3xx\"}";
    /// Requests answered by any door, by class of status.
    RequestsRefused = "wicketgate_requests_total{status=\"4xx\"}";
    /// Requests answered by any door, by class of status.
    RequestsFailed = "wicketgate_requests_total{status=\"5xx\"}";
    /// Requests of other nodes that were answered, held ones at their end.
    LinkRequests = "wicketgate_link_requests_total";
    /// Changes taken in from outbound messages: stored, then acknowledged.
    MessageChanges = "wicketgate_changes_taken_total{source=\"outbound_message\"}";
    /// Changes taken in from webhooks.
    WebhookChanges = "wicketgate_changes_taken_total{source=\"webhook\"}";
    /// Outbound messages and webhooks that were not taken in; the tracker's error says why.
    HooksRefused = "wicketgate_hooks_refused_total";
    /// Notifications inside an outbound message that made no sense and were left aside.
    NotificationsBroken = "wicketgate_notifications_broken_total";
}

impl Counter {
    /// The counter of an answer's class.
    pub const fn of_status(status: u16) -> Self {
        match status {
            0..=299 => Self::RequestsGood,
            300..=399 => Self::RequestsMoved,
            400..=499 => Self::RequestsRefused,
            _ => Self::RequestsFailed,
        }
    }
}

/// Counters of one node.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: [AtomicU64; Counter::ALL.len()],
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(&self, counter: Counter, by: u64) {
        self.counters[counter as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// What a counter shows.
    pub fn value(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// All counters as Prometheus text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        for counter in Counter::ALL {
            let metric = counter.metric();
            let name = metric.split('{').next().unwrap_or(metric);
            if name != last {
                describe(&mut out, name, "counter", counter.help());
                last = name;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{metric} {}", self.value(*counter));
        }
        out
    }
}

/// Adds the two lines that introduce a metric in Prometheus text.
pub fn describe(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_leave_no_trace() {
        let cases = [
            ("GET /hooks/desk/AbC-123_x 202", "GET /hooks/desk/[secret] 202"),
            ("/salesforce/s/outbound-messages/AbC?x=1", "/salesforce/s/outbound-messages/[secret]?x=1"),
            ("token wg_AbC, next", "token wg_[secret], next"),
            ("\"Bearer eyJ.a.b\"", "\"Bearer [secret]\""),
            ("secret whsec_AbC+/=", "secret whsec_[secret]"),
            ("nothing here", "nothing here"),
        ];
        for (line, clean) in cases {
            assert_eq!(redact(line), clean);
        }
    }

    #[test]
    fn counters_are_told_with_their_manual() {
        let metrics = Metrics::default();
        metrics.add(Counter::of_status(404), 2);
        let text = metrics.render();
        assert!(text.contains("wicketgate_requests_total{status=\"4xx\"} 2\n"), "{text}");
        assert_eq!(text.matches("# TYPE wicketgate_requests_total counter").count(), 1);
    }

    proptest! {
        #[test]
        fn any_line_is_redacted_without_panic(line in ".{0,80}", token in "[A-Za-z0-9_-]{16,43}") {
            let line = format!("{line} /hooks/desk/{token} wg_{token}");
            prop_assert!(!redact(&line).contains(&token));
        }
    }
}
