//! Rules that people wrote, as they are kept: versions that only grow in number, and one draft.
//!
//! ```text
//!   draft (base N) ──publish──▶ version N+1, which runs      where N is still the newest; else somebody was faster
//!                               version M's text again       a roll back is a new version, so the list tells what ran
//! ```
//!
//! Version 0 is the built-in pair. It is not kept: it comes with the program.

use super::rule::RulePair;
use crate::clock::Time;

/// When a version was published, by whom, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imprint {
    /// Its number, from 1.
    pub version: u32,
    /// When it was published.
    pub at: Time,
    /// By whom.
    pub by: String,
    /// Why, in the publisher's words.
    pub note: String,
}

/// A pair of rules that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVersion {
    /// When, by whom, why.
    pub imprint: Imprint,
    /// Entity → replica.
    pub outgoing: String,
    /// Replica → entity.
    pub incoming: String,
}

impl RuleVersion {
    /// As it runs.
    pub fn pair(self) -> RulePair {
        RulePair { outgoing: self.outgoing, incoming: self.incoming, version: self.imprint.version }
    }
}

/// A pair of rules that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDraft {
    /// Entity → replica.
    pub outgoing: String,
    /// Replica → entity.
    pub incoming: String,
    /// Version that it began from.
    pub base: u32,
    /// When it was saved.
    pub at: Time,
    /// By whom.
    pub by: String,
}
