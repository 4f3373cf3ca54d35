//! Who remembers less than it said: pure judgements on numbers and ids (link.md, "Set back").
//!
//! A late or repeated request is never a set-back: acknowledged events are kept longer than any token lives, so a
//! lower `ack` is simply answered from them.

use crate::{domain::ids::EventId, store::rows::LinkState};

/// What the peer's `ack` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It names an event of ours (or none yet), and what follows is kept.
    Good,
    /// It names an event that we never sent: we were set back.
    NeverSent,
    /// What follows it is forgotten: the peer was set back.
    Forgotten,
}

/// Judges `ack` and `ack_id`. `kept_id`: our event of that number, while kept; `next_kept`: the one after it is.
pub fn judge_ack(state: &LinkState, ack: u64, ack_id: Option<EventId>, kept_id: Option<EventId>, next_kept: bool) -> Ack {
    if ack > state.out_n {
        return Ack::NeverSent;
    }
    let ours = if ack == state.out_n { state.out_id.or(kept_id) } else { kept_id };
    if ack > 0
        && let (Some(theirs), Some(ours)) = (ack_id, ours)
        && theirs != ours
    {
        return Ack::NeverSent;
    }
    if ack < state.out_n && !next_kept { Ack::Forgotten } else { Ack::Good }
}

/// Number and id of an event, all that the link reads of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number.
    pub n: u64,
    /// Id; `None` where it cannot be read.
    pub id: Option<EventId>,
}

/// What a batch is worth to a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// These follow the cursor without a gap: from, to (exclusive).
    Take(usize, usize),
    /// All known, or a gap: nothing is taken.
    Nothing,
    /// The event at the cursor's number is not the one stored: the peer was set back.
    Mismatch,
}

/// Judges a batch against the cursor.
pub fn judge_batch(in_n: u64, in_id: Option<EventId>, after_id: Option<EventId>, heads: &[Head]) -> Batch {
    let Some(first) = heads.first() else { return Batch::Nothing };
    let before = (in_n > 0 && first.n == in_n + 1).then_some(after_id).flatten();
    let within = heads.iter().find(|head| in_n > 0 && head.n == in_n).and_then(|head| head.id);
    if let (Some(theirs), Some(ours)) = (before.or(within), in_id)
        && theirs != ours
    {
        return Batch::Mismatch;
    }
    let Some(start) = heads.iter().position(|head| head.n == in_n + 1) else { return Batch::Nothing };
    let run = heads[start..].iter().zip(in_n + 1..).take_while(|(head, n)| head.n == *n).count();
    Batch::Take(start, start + run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(n: u64) -> EventId {
        EventId(Uuid::from_u128(u128::from(n) + 1))
    }

    fn heads(from: u64, to: u64) -> Vec<Head> {
        (from..=to).map(|n| Head { n, id: Some(id(n)) }).collect()
    }

    #[test]
    fn an_ack_of_what_was_never_sent_is_a_set_back() {
        let state = LinkState { out_n: 3, out_id: Some(id(3)), ..LinkState::default() };
        assert_eq!(judge_ack(&state, 4, Some(id(4)), None, false), Ack::NeverSent);
        assert_eq!(judge_ack(&state, 3, Some(id(9)), None, false), Ack::NeverSent);
        assert_eq!(judge_ack(&state, 2, Some(id(9)), Some(id(2)), true), Ack::NeverSent);
        assert_eq!(judge_ack(&state, 3, Some(id(3)), None, false), Ack::Good);
        assert_eq!(judge_ack(&state, 1, Some(id(1)), Some(id(1)), true), Ack::Good);
        assert_eq!(judge_ack(&state, 0, None, None, false), Ack::Forgotten);
        assert_eq!(judge_ack(&LinkState::default(), 0, None, None, false), Ack::Good);
    }

    #[test]
    fn a_changed_past_is_a_set_back_and_a_gap_is_not() {
        assert_eq!(judge_batch(2, Some(id(2)), Some(id(7)), &heads(3, 4)), Batch::Mismatch);
        assert_eq!(judge_batch(2, Some(id(7)), Some(id(0)), &heads(1, 4)), Batch::Mismatch);
        assert_eq!(judge_batch(2, Some(id(2)), Some(id(4)), &heads(5, 6)), Batch::Nothing);
        assert_eq!(judge_batch(2, Some(id(2)), Some(id(2)), &heads(3, 4)), Batch::Take(0, 2));
        assert_eq!(judge_batch(2, Some(id(2)), None, &heads(1, 4)), Batch::Take(2, 4));
    }

    proptest! {
        /// Batches that are lost, repeated, cut and reordered bring every event once and in order.
        #[test]
        fn every_event_arrives_once_and_in_order(
            total in 1u64..60,
            calls in prop::collection::vec((0u64..60, 1u64..12, any::<bool>()), 0..120),
        ) {
            let mut taken: Vec<u64> = Vec::new();
            let deliver = |from: u64, to: u64, taken: &mut Vec<u64>| {
                let cursor = taken.len() as u64;
                let batch = heads(from, to);
                let at = (cursor > 0).then(|| id(cursor));
                match judge_batch(cursor, at, (from > 1).then(|| id(from - 1)), &batch) {
                    Batch::Take(start, end) => taken.extend(batch[start..end].iter().map(|head| head.n)),
                    Batch::Nothing => {}
                    Batch::Mismatch => panic!("nobody was set back"),
                }
            };
            for (from, length, lost) in calls {
                let from = from % total + 1;
                if !lost {
                    deliver(from, (from + length).min(total), &mut taken);
                }
            }
            while (taken.len() as u64) < total {
                let next = taken.len() as u64 + 1;
                deliver(next, (next + 6).min(total), &mut taken);
            }
            prop_assert_eq!(taken, (1..=total).collect::<Vec<_>>());
        }

        /// Whatever a restored backup forgot, one side notices as soon as both have spoken once.
        #[test]
        fn a_restored_sender_is_noticed(sent in 1u64..40, kept in 0u64..40, later in 1u64..20) {
            let kept = kept.min(sent - 1);
            // The receiver stored `sent` events; the sender remembers `kept` and makes others after them.
            let other = |n: u64| EventId(Uuid::from_u128(u128::from(n) + 1_000_000));
            let state = LinkState { out_n: kept + later, out_id: Some(other(kept + later)), ..LinkState::default() };
            let at_ack = (sent <= kept + later).then(|| other(sent));
            prop_assert_eq!(
                judge_ack(&state, sent, Some(id(sent)), at_ack, sent < kept + later),
                Ack::NeverSent
            );
        }
    }
}
