//! The simulated systems: a stand-in Salesforce org and a simple tracker that speaks the `webhook` contract.
//!
//! Users try the whole product with them when they have no org, and the tests use them as the far side. They speak
//! HTTP like the real ones and know nothing of the engine: nothing here may import more than clock, secrets, lifecycle
//! and the one client maker. What they do is what the published behaviour of the real systems says, including the
//! awkward parts; what is not published is a setting.
//!
//! Traps. Everything lives in memory behind one lock that is never held across an `await`. Actix handlers run on its
//! worker threads, so background work (deliveries, hooks) is spawned on the runtime that called `start`.

pub mod org;
mod page;
pub mod tracker;
mod wire;
