//! Rules: people's JavaScript, run in child processes within limits.
//!
//! ```text
//!  RuleEngine::run ─▶ Pool ── job (u32 + JSON) ──▶ worker (child process) ─▶ Sandbox ─▶ world/*.js ─▶ the rule
//!                      ▲  │                               │
//!                      │  └─ ask ─▶ Host (the engine's user) ─ reply ─▶
//!                      └───────── answer ─────────────────┘
//! ```
//!
//! [`Pool`] keeps a few children (`wicketgate rule-worker`), one job at a time each, and kills a child that has not
//! answered after twice the wall-clock limit. The child ([`worker`]) confines itself and reads jobs until its input ends.
//! It keeps an engine for each of the last few connections (`realm`, `sandbox`), one of them made ahead. An engine serves
//! again because nothing that a script can reach can be changed; the scripts of two connections never share one, except
//! the built-in pair, which is ours. `world/*.js` builds what the rule sees, and checks what it leaves. [`limits`] has all
//! limits on one page.
//!
//! A run may *ask* ([`Host`](crate::domain::ask::Host)): the worker waits for the reply, and the pool lends its turn to
//! others meanwhile. So a slow tracker holds up no other rule, and whoever answers must not run a rule for it.
//!
//! What a rule may count on (`docs/RULES.md` is the user's reference):
//! - A rule is a function body in strict mode: `return` ends it, `skip(reason)` ends it and says that nothing should
//!   happen (also where the rule catches what `skip` throws). Calls answer at once; a returned promise is an error.
//! - Outgoing: `entity` is read-only, `replica` starts empty. Incoming: `replica` and `previous` are frozen; an assignment
//!   to a field of `entity` is recorded even if the value is the current one; assigning `undefined` means "leave it".
//!   Current nested values are frozen: assign a new list rather than push into the old one.
//! - `replica.deleted` and `replica.changed`, `entity.entityType` and `entity.key` do not show in loops over fields.
//! - The language's own objects are frozen: `Array.prototype.last = …` and `globalThis.x = …` throw.
//! - JavaScript has one kind of number. An integer beyond 2^53 would be rounded, so a rule sees it as text, and a rule
//!   that only copies hands on that text. A number beyond 2^53 that a rule leaves is a floating-point number.
//!
//! Traps:
//! - The engine's interrupt handler is not called inside some native loops: only the parent's kill ends those.
//! - After an out-of-memory or an interrupt the runtime may be in no state to be freed (the engine asserts). It is
//!   leaked, the child answers and leaves, and the pool makes another.
//! - The engine reports an out-of-memory as `InternalError` or, with nothing left to make that error from, as `null`;
//!   `throw null` looks the same, and the message says so.
//! - A child's pipes belong to the asynchronous runtime in which it was started: that runtime must outlive the pool.
//! - Precompiled bytecode is never loaded, and there is no module loader: `import()` never settles.
//!
//! One more helper: a function in `world/helpers.js`, an example in `docs/RULES.md`. One more name that a rule sees: give it
//! to `make` in `world/play.js` and to `harden` in `world/realm.js`, and name it in `source::PARAMETERS`, same place in both.
//! One more built-in pair: two files in `builtin/` and a line in [`BUILT_IN`].

pub mod checks;
mod declarations;
mod fault;
mod frame;
pub mod limits;
mod line;
mod native;
mod notation;
mod pipe;
mod pool;
mod protocol;
mod realm;
mod sandbox;
mod source;
#[cfg(test)]
mod tests;
pub mod worker;

pub use declarations::declarations;
pub use line::{Line, Processes, Spawn};
pub use pool::{Pool, PoolSettings};

use crate::domain::rule::RulePair;

/// Kind of tracker, its outgoing and its incoming rule.
const BUILT_IN: [(&str, &str, &str); 2] = [
    ("salesforce", include_str!("builtin/salesforce.outgoing.js"), include_str!("builtin/salesforce.incoming.js")),
    ("webhook", include_str!("builtin/webhook.outgoing.js"), include_str!("builtin/webhook.incoming.js")),
];

/// The built-in pair of a tracker kind (design.md, "The built-in pair"), version 0; `None` for a kind without one.
pub fn built_in(tracker_kind: &str) -> Option<RulePair> {
    let (_, outgoing, incoming) = BUILT_IN.into_iter().find(|(kind, ..)| *kind == tracker_kind)?;
    Some(RulePair { outgoing: outgoing.to_owned(), incoming: incoming.to_owned(), version: 0 })
}

/// Whether this is the text of one of them.
fn is_built_in(source: &str) -> bool {
    BUILT_IN.iter().any(|(_, outgoing, incoming)| source == *outgoing || source == *incoming)
}
