//! The adapters beside Salesforce: each makes one kind of system a [`Tracker`](crate::domain::tracker::Tracker).
//!
//! Flow. `app` reads a tracker's section, makes its HTTP client and hands both to the adapter's `new`. The engine then
//! knows it by the trait alone. What the system tells us comes in by a door of the server, which asks the adapter to
//! verify and read it ([`webhook::Webhook::receive`]) and stores the change it gets.
//!
//! To add a tracker: a folder here with its settings, its trait implementation and its wire types, all private but the
//! first two; a line in the registry by kind in `app`; a pair of built-in rules in `rules`; a sandbox that speaks its
//! HTTP. No adapter imports another: what several share stands in [`standard_webhooks`] and `answer`.
//!
//! Traps. Whatever an answer holds is a stranger's text: it is read with a limit, cleaned of control characters and cut
//! before it becomes part of an error. A key from an answer passes the same gate as one that a person typed. An address
//! in an answer is shown to people as a link: only `http` and `https` are.

mod answer;
pub mod notify;
pub mod standard_webhooks;
#[cfg(test)]
mod stub;
pub mod webhook;

/// Largest answer that is read from a tracker, in bytes.
pub const MAX_ANSWER: usize = 1_000_000;
