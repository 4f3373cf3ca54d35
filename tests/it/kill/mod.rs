//! Nodes that are killed, restored, starved of room and stopped: what was acknowledged is delivered, once in effect.
//!
//! The nodes are processes of the real binary; the sandbox org and tracker live in the test, so that it sees both ends.
//! `flow` kills at random moments (seeded; see there); `windows` and `commits` meet the narrow ones for certain; the others
//! each make one thing happen.

mod asks;
mod audit;
mod chance;
mod commits;
mod doubt;
mod ends;
mod flow;
mod jobs;
mod pauses;
mod restored;
mod room;
mod stage;
mod windows;
