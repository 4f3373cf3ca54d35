//! A rule that fails alike for one record after the other, and the pause of its direction that this leads to.
//!
//! ```text
//!   (works) ──script error──▶ streak of different twins ──the tenth──▶ paused ──probe works, or another version──▶ (works)
//!      ▲                            │                                    │  ▲
//!      └──── a run that works ──────┘                       probe fails ─┘──┘ a longer pause
//! ```
//!
//! One record with a strange value is that record's trouble. The same error for ten different twins in a row, under one
//! version of the rules, is the rule's: then its direction waits as a whole, told once, instead of parking thousands.

use serde::{Deserialize, Serialize};

use super::ids::{ErrorId, TwinId};
use crate::clock::Time;

/// So many different twins in a row fail alike before their direction pauses.
pub const IN_A_ROW: usize = 10;

/// A script error, as far as two of them are the same: `detail` has the message and the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// See [`ErrorRecord::code`](super::error::ErrorRecord::code).
    pub code: String,
    /// Says in which direction.
    pub title: String,
    /// The script's own words.
    pub detail: String,
}

/// A direction waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The one error that tells of it.
    pub error: ErrorId,
    /// Since when.
    pub since: Time,
    /// Twins that were let through to see whether the rule works again.
    pub probes: u32,
    /// When the next is.
    pub probe_at: Time,
    /// The one that is let through now, and after its failure the one that was last.
    pub probe: Option<TwinId>,
}

/// Equal errors in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// The version of the rules that failed.
    pub version: u32,
    /// How.
    pub fault: Fault,
    /// For which twins; no more than it takes.
    pub twins: Vec<TwinId>,
    /// What it led to.
    pub pause: Option<Pause>,
}

/// What is remembered of one direction of a connection. Where a rule works, nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Errors in a row.
    pub streak: Option<Streak>,
    /// A pause has ended: what waits, and what parked with these, is still to be let go on.
    pub release: Vec<Fault>,
}

impl Failing {
    /// The pause, where there is one.
    pub fn pause(&self) -> Option<&Pause> {
        self.streak.as_ref()?.pause.as_ref()
    }

    /// Nothing is left to remember.
    pub fn is_over(&self) -> bool {
        self.streak.is_none() && self.release.is_empty()
    }

    /// A run failed under this version. Answers whether the direction is paused now, by this or since before.
    pub fn failed(&mut self, version: u32, fault: &Fault, twin: TwinId) -> Failed {
        let same = |streak: &Streak| streak.version == version && streak.fault == *fault;
        match &mut self.streak {
            Some(streak) if streak.pause.is_some() => {
                if same(streak) {
                    Failed::AsPaused
                } else {
                    Failed::Alone
                }
            }
            Some(streak) if same(streak) => {
                if !streak.twins.contains(&twin) {
                    streak.twins.push(twin);
                }
                if streak.twins.len() >= IN_A_ROW { Failed::TooOften } else { Failed::Alone }
            }
            _ => {
                self.streak = Some(Streak { version, fault: fault.clone(), twins: vec![twin], pause: None });
                Failed::Alone
            }
        }
    }

    /// The rule works, or another one runs: the streak ends, and where it had led to a pause, that ends with it.
    pub fn ended(&mut self) -> Option<Pause> {
        let Streak { fault, pause, .. } = self.streak.take()?;
        let pause = pause?;
        if !self.release.contains(&fault) {
            self.release.push(fault);
        }
        Some(pause)
    }
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// For its twin only.
    Alone,
    /// It was one too many: the direction is to pause.
    TooOften,
    /// The direction is paused for this very error.
    AsPaused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn fault(detail: &str) -> Fault {
        Fault { code: "rule_failed".to_owned(), title: "The incoming rule failed".to_owned(), detail: detail.to_owned() }
    }

    fn twin(n: usize) -> TwinId {
        TwinId(Uuid::from_u128(n as u128))
    }

    fn after(failures: impl IntoIterator<Item = (u32, &'static str, usize)>) -> (Failing, Failed) {
        let (mut failing, mut last) = (Failing::default(), Failed::Alone);
        for (version, detail, n) in failures {
            last = failing.failed(version, &fault(detail), twin(n));
        }
        (failing, last)
    }

    #[test]
    fn ten_different_twins_in_a_row_are_too_many() {
        assert_eq!(after((0..9).map(|n| (1, "a", n))).1, Failed::Alone);
        assert_eq!(after((0..10).map(|n| (1, "a", n))).1, Failed::TooOften);
    }

    #[test]
    fn the_same_twin_another_error_and_another_version_do_not_add_up() {
        assert_eq!(after((0..30).map(|n| (1, "a", n % 9))).1, Failed::Alone);
        assert_eq!(after((0..30).map(|n| (1, if n % 5 == 0 { "b" } else { "a" }, n))).1, Failed::Alone);
        assert_eq!(after((0..30).map(|n| (n as u32 / 9, "a", n))).1, Failed::Alone);
    }

    #[test]
    fn a_run_that_works_begins_anew() {
        let (mut failing, _) = after((0..9).map(|n| (1, "a", n)));
        assert_eq!(failing.ended(), None);
        assert!(failing.is_over());
        assert_eq!(failing.failed(1, &fault("a"), twin(9)), Failed::Alone);
    }

    #[test]
    fn a_pause_that_ends_leaves_what_is_to_be_released() {
        let (mut failing, _) = after((0..10).map(|n| (1, "a", n)));
        let pause = Pause { error: ErrorId(Uuid::nil()), since: Time(1), probes: 0, probe_at: Time(2), probe: None };
        failing.streak.as_mut().expect("a streak").pause = Some(pause.clone());
        assert_eq!(failing.failed(1, &fault("a"), twin(11)), Failed::AsPaused);
        assert_eq!(failing.failed(1, &fault("b"), twin(12)), Failed::Alone, "another error is its twin's own");
        assert_eq!(failing.ended(), Some(pause));
        assert_eq!((failing.release.len(), failing.pause()), (1, None));
        assert!(!failing.is_over(), "not before all is released");
    }
}
