//! What every door shares: the node as doors see it, problem documents, extractors, sign-in of programs, limits.
//!
//! A request passes [`shell`] (correlation id, `Host` check, headers, one log line), at the API [`auth`] (who calls),
//! [`whole`] (a change is not left half done) and [`idempotency`] (was this asked before), and then a handler, which
//! extracts, authorises, acts, answers. A body is parsed after the caller was authorised ([`body::Body`]), so a stranger learns nothing from field errors.
//!
//! Traps. Handlers run on single-thread workers; what outlives a request goes to `Lifecycle::spawn` from outside. The
//! path of a hook holds a token: log the matched pattern, never the path.

pub mod accounts;
pub mod address;
pub mod auth;
pub mod body;
pub mod door;
pub mod guesses;
pub mod idempotency;
pub mod inside;
pub mod limiter;
pub mod node;
mod passwords;
pub mod problem;
pub mod query;
pub mod settings;
pub mod shell;
mod trouble;
pub mod whole;

pub use auth::Caller;
pub use body::{Body, JsonOrCsv};
pub use node::Node;
pub use problem::{Code, FieldError, Problem, ProblemBody};
