//! What happened in a span of time, in few numbers: how changes ended, how long they took, what was parked.
//!
//! Figures of one span are added up as its changes end, and those of neighbours in time or of several connections are put
//! together. A percentile cannot be put together of percentiles, so durations are counted in classes ([`Took`]): each is an
//! eighth of a power of two wide, and what is told of it is wrong by a sixteenth at most.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::history::Outcome;
use crate::clock::Time;

/// How wide a span of figures is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// For a day.
    Quarter,
    /// For a week.
    Hour,
}

impl Step {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Quarter, Self::Hour];

    /// Its width.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Quarter => 900_000,
            Self::Hour => 3_600_000,
        }
    }

    /// Where the span begins that a moment belongs to.
    pub const fn start(self, at: Time) -> Time {
        Time(at.0 - at.0.rem_euclid(self.millis()))
    }
}

/// How many changes and events ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the outcomes")]
pub struct Ended {
    pub sent: u64,
    pub applied: u64,
    pub unchanged: u64,
    pub skipped: u64,
    pub superseded: u64,
    pub parked: u64,
}

impl Ended {
    /// So many more ended like this.
    pub fn add(&mut self, outcome: Outcome, count: u64) {
        *match outcome {
            Outcome::Sent => &mut self.sent,
            Outcome::Applied => &mut self.applied,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Superseded => &mut self.superseded,
            Outcome::Parked => &mut self.parked,
        } += count;
    }

    fn all(&mut self, other: Self) {
        self.sent += other.sent;
        self.applied += other.applied;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
        self.superseded += other.superseded;
        self.parked += other.parked;
    }
}

/// Durations, counted in classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Took(BTreeMap<u16, u64>);

/// Up to here each millisecond is a class of its own.
const EXACT: u64 = 16;

fn class(ms: i64) -> u16 {
    let ms = u64::try_from(ms).unwrap_or(0);
    if ms < EXACT {
        return u16::try_from(ms).unwrap_or(0);
    }
    let power = ms.ilog2();
    let eighth = (ms >> (power - 3)) & 7;
    u16::try_from(u64::from(power - 4) * 8 + eighth + EXACT).unwrap_or(u16::MAX)
}

/// The middle of a class.
fn middle(class: u16) -> i64 {
    let class = u64::from(class);
    if class < EXACT {
        return i64::try_from(class).unwrap_or(0);
    }
    let (power, eighth) = ((class - EXACT) / 8 + 4, (class - EXACT) % 8);
    let width = 1u64.checked_shl(u32::try_from(power - 3).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
    i64::try_from((8 + eighth).saturating_mul(width).saturating_add((width - 1) / 2)).unwrap_or(i64::MAX)
}

impl Took {
    /// So many more took this long.
    pub fn add(&mut self, ms: i64, count: u64) {
        *self.0.entry(class(ms)).or_default() += count;
    }

    fn all(&mut self, other: &Self) {
        for (class, count) in &other.0 {
            *self.0.entry(*class).or_default() += count;
        }
    }

    /// The smallest duration that this share of a hundred does not exceed; `None` where there is none.
    pub fn percentile(&self, percent: u64) -> Option<i64> {
        let all: u64 = self.0.values().sum();
        let rank = (all * percent).div_ceil(100).max(1);
        let mut before = 0;
        let found = self.0.iter().find(|(_, count)| {
            before += **count;
            before >= rank
        });
        found.map(|(class, _)| middle(*class))
    }
}

/// The figures of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// How changes and events ended.
    pub ended: Ended,
    /// How long what was sent or applied took.
    pub took: Took,
    /// Twins that were parked at its end; `None` where nobody counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<u64>,
}

impl Figures {
    /// Goes on with what came later.
    pub fn then(&mut self, later: &Self) {
        self.ended.all(later.ended);
        self.took.all(&later.took);
        self.parked = later.parked.or(self.parked);
    }

    /// Adds those of another connection, of the same span.
    pub fn beside(&mut self, other: &Self) {
        self.ended.all(other.ended);
        self.took.all(&other.took);
        self.parked = self.parked.map(|here| here + other.parked.unwrap_or(0)).or(other.parked);
    }
}

/// How long figures are kept: a week, and a day that a week is compared with.
pub const KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_begin_on_the_quarter_and_on_the_hour() {
        let at: Time = "2026-11-24T03:41:00Z".parse().expect("a time");
        let starts = Step::ALL.map(|step| step.start(at).to_string());
        assert_eq!(starts, ["2026-11-24T03:30:00.000Z", "2026-11-24T03:00:00.000Z"]);
        assert_eq!(Step::Hour.start(Time(-1)), Time(-3_600_000));
    }

    #[test]
    fn what_was_parked_is_the_last_in_time_and_the_sum_of_neighbours() {
        let parked = |parked| Figures { parked, ..Figures::default() };
        let together = |of: fn(&mut Figures, &Figures), a, b| {
            let mut figures = parked(a);
            of(&mut figures, &parked(b));
            figures.parked
        };
        assert_eq!(together(Figures::then, Some(3), Some(1)), Some(1));
        assert_eq!(together(Figures::then, Some(3), None), Some(3));
        assert_eq!(together(Figures::beside, Some(3), Some(1)), Some(4));
        assert_eq!(together(Figures::beside, Some(3), None), Some(3));
        assert_eq!(together(Figures::beside, None, None), None);
    }

    proptest! {
        #[test]
        fn a_percentile_is_wrong_by_a_sixteenth_at_most(mut ms in prop::collection::vec(0i64..=i64::MAX / 4, 1..60), percent in 1u64..=100) {
            let mut took = Took::default();
            ms.iter().for_each(|one| took.add(*one, 1));
            let told = took.percentile(percent).expect("some");
            ms.sort_unstable();
            let exact = ms[(ms.len() * percent as usize).div_ceil(100).max(1) - 1];
            prop_assert!((told - exact).abs() <= exact / 16, "{} for {}", told, exact);
        }

        #[test]
        fn parts_come_to_the_same_as_the_whole(ms in prop::collection::vec(-5i64..100_000, 0..60), at in 0usize..60) {
            let of = |ms: &[i64]| {
                let mut figures = Figures::default();
                for one in ms {
                    figures.took.add(*one, 1);
                    figures.ended.add(Outcome::Sent, 1);
                }
                figures
            };
            let (before, after) = ms.split_at(at.min(ms.len()));
            let mut parts = of(before);
            parts.then(&of(after));
            prop_assert_eq!(&parts, &of(&ms));
            let text = serde_json::to_string(&parts).expect("plain");
            prop_assert_eq!(serde_json::from_str::<Figures>(&text).expect("the same"), parts);
        }
    }
}
