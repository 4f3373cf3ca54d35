//! The log's line for each change and event that ended: by its correlation one change is followed through both nodes.
//!
//! What moved something, or stands still, is `info`; echoes and what a newer change carried are `debug`. Never a value of
//! a record: the history has those.

use tracing::Level;

use crate::domain::{
    history::{Direction, HistoryLine, Outcome},
    ids::{ConnectionId, CorrelationId, TwinId},
};

/// What of a line is told.
pub(super) struct Ended {
    tracker: String,
    connection: Option<ConnectionId>,
    twin: Option<TwinId>,
    direction: Direction,
    outcome: Outcome,
    took_ms: i64,
    correlation: Option<CorrelationId>,
}

/// Those that the log wants.
pub(super) fn wanted(lines: &[HistoryLine]) -> Vec<Ended> {
    let all = tracing::enabled!(Level::DEBUG);
    lines
        .iter()
        .filter(|line| all || moved(line.outcome))
        .map(|line| Ended {
            tracker: line.tracker.clone(),
            connection: line.connection_id,
            twin: line.twin_id,
            direction: line.direction,
            outcome: line.outcome,
            took_ms: line.took_ms,
            correlation: line.correlation,
        })
        .collect()
}

fn moved(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Sent | Outcome::Applied | Outcome::Parked)
}

impl Ended {
    /// Called once what ended is stored.
    pub(super) fn tell(&self) {
        let Self { tracker, outcome, took_ms, .. } = self;
        let (direction, outcome_word) = (if self.direction == Direction::Out { "out" } else { "in" }, outcome.as_str());
        let connection = self.connection.map(tracing::field::display);
        let twin = self.twin.map(tracing::field::display);
        let correlation = self.correlation.map(tracing::field::display);
        if moved(*outcome) {
            tracing::info!(tracker, direction, outcome = outcome_word, took_ms, connection, twin, correlation, "a change ended");
        } else {
            tracing::debug!(tracker, direction, outcome = outcome_word, took_ms, connection, twin, correlation, "a change ended");
        }
    }
}
