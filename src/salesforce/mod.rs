//! Salesforce: login, REST, outbound messages, and the tracker on top of them.
//!
//! Flow of a call: [`tracker`] turns many records into few requests, [`rest`] sends each with the token that
//! [`tokens`] holds, a 401 makes one new login by [`oauth`] however many calls fail together, and [`error`] says what
//! an answer means. [`outbound`] is apart and pure: the door for messages parses and answers with it, without a call.
//!
//! Traps. The allowance of calls is scarce: everything goes in batches. Assignment rules run on updates unless each
//! request (in a composite: each subrequest) says otherwise. `Date` of the answers is the tracker's clock.
//!
//! To add a resource: a file with its pure building and reading beside a thin method that calls [`rest::Rest::call`];
//! to add an error code: a row in [`error_table`].

mod asked;
mod check;
mod collections;
mod describe;
mod error;
mod error_table;
mod ids;
mod listing;
mod look;
mod matching;
mod oauth;
pub mod outbound;
pub mod package;
mod reading;
mod rest;
mod settings;
mod sign_in;
#[cfg(test)]
mod stub;
mod token_answer;
mod tokens;
mod tracker;
mod watch;
mod writing;

use async_trait::async_trait;

pub use self::{
    settings::{ApiVersion, Flow, Lifetime, Look, OrgId, Reserve, Settings},
    sign_in::SignIn,
    tracker::Salesforce,
};
use crate::{domain::tracker::TrackerError, secret::Secret};

/// Where a tracker's login keeps what must outlive the process. `app` implements it over the store, one per tracker.
#[async_trait]
pub trait Keep: Send + Sync {
    /// The refresh token of the last sign-in or refresh.
    async fn refresh_token(&self) -> Result<Option<Secret>, TrackerError>;
    /// Keeps a refresh token durably before it returns; the one before it may be dead already.
    async fn put_refresh_token(&self, token: &Secret) -> Result<(), TrackerError>;
    /// The org of the first login, 18 characters.
    async fn org_id(&self) -> Result<Option<String>, TrackerError>;
    /// Keeps the org of the first login.
    async fn put_org_id(&self, org_id: &str) -> Result<(), TrackerError>;
}
