//! Small things that are written into pages: times, states, durations, numbers.
//!
//! Only the types here write markup of their own; each holds nothing that somebody else wrote.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::{
    clock::Time,
    domain::{connection::Status, history::Outcome, twin},
};

/// A moment: in the reader's zone once the module has run, the exact one as title.
#[derive(Clone, Copy, Debug)]
pub(super) struct When(pub Time);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.0.to_string();
        let (day, clock) = exact.split_once('T').unwrap_or((&exact, ""));
        let clock = clock.get(..8).unwrap_or(clock);
        write!(f, r#"<time datetime="{exact}" title="{exact}">{day} {clock} UTC</time>"#)
    }
}

impl HtmlSafe for When {}

/// How good or bad a state is: its colour and its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Wait,
    Bad,
    Off,
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Wait => "wait",
            Self::Bad => "bad",
            Self::Off => "off",
        })
    }
}

impl HtmlSafe for Tone {}

/// A state: a word and a tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub word: String,
    pub tone: Tone,
}

impl State {
    pub(super) fn new(tone: Tone, word: impl Into<String>) -> Self {
        Self { word: word.into(), tone }
    }

    pub(super) fn of_twin(status: twin::Status) -> Self {
        match status {
            twin::Status::Waiting => Self::new(Tone::Wait, "Waiting"),
            twin::Status::InSync => Self::new(Tone::Good, "In sync"),
            twin::Status::Parked => Self::new(Tone::Bad, "Parked"),
            twin::Status::Stopped => Self::new(Tone::Off, "Stopped"),
        }
    }

    pub(super) fn of_connection(status: Status) -> Self {
        match status {
            Status::Pending => Self::new(Tone::Wait, "Waiting for your partner"),
            Status::Active => Self::new(Tone::Good, "Active"),
            Status::Deactivated => Self::new(Tone::Off, "Deactivated"),
        }
    }

    pub(super) fn of_outcome(outcome: Outcome) -> Self {
        let (tone, word) = match outcome {
            Outcome::Sent => (Tone::Good, "Sent"),
            Outcome::Applied => (Tone::Good, "Applied"),
            Outcome::Unchanged => (Tone::Off, "Unchanged"),
            Outcome::Skipped => (Tone::Off, "Skipped"),
            Outcome::Superseded => (Tone::Off, "Superseded"),
            Outcome::Parked => (Tone::Bad, "Parked"),
        };
        Self::new(tone, word)
    }
}

/// Milliseconds, as people say them.
pub(super) fn span(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// How long ago, or until when.
pub(super) fn ago(then: Time, now: Time) -> String {
    span((now.0 - then.0).max(0))
}

/// A number with its thousands set apart.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// An address that a browser opens as a page; others are shown as text.
pub(super) fn link(url: Option<&str>) -> Option<String> {
    url.filter(|url| url.starts_with("https://") || url.starts_with("http://")).map(str::to_owned)
}
