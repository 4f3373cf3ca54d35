//! What is done to all that a filter passes: errors retried or skipped, twins stopped.
//!
//! ```text
//!  page of what passes ─▶ each in a transaction of its own, some side by side ─▶ next page … ─▶ counts
//! ```
//!
//! Thousands never stand in one transaction: neighbours share commits and nobody waits for the whole. A call that takes
//! long ends early and says where it stands; the same call with that `cursor` goes on. Pages go by the time of making,
//! which the work does not change, so none is met twice and none is passed over.

use std::{future::Future, time::Duration};

use futures_util::StreamExt as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    server::kit::{FieldError, Node, Problem},
    store::rows::{Page, Paged},
};

/// Most ids of one call, items of a page, and refusals that one call tells.
pub(super) const MOST: usize = 500;
/// Pieces of work at a time.
const SIDE_BY_SIDE: usize = 16;
/// After so long no further page is begun.
const LONG: Duration = Duration::from_secs(20);

/// What became of many.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ManyDone {
    /// How many were done.
    pub done: usize,
    /// Ids that were not, each with the reason.
    pub failed: Vec<FieldError>,
    /// The filter passes others that were not looked at yet: call again with `next` as `cursor`.
    pub more: bool,
    /// Where that goes on; null where that was all.
    pub next: Option<String>,
}

/// Works on these. `act` says whether there was anything to do.
pub(super) async fn these<T, A, F>(items: Vec<T>, act: A, done: &mut ManyDone)
where
    A: Fn(T) -> F,
    F: Future<Output = Result<bool, FieldError>>,
{
    let mut acts = futures_util::stream::iter(items).map(act).buffer_unordered(SIDE_BY_SIDE);
    while let Some(one) = acts.next().await {
        match one {
            Ok(worked) => done.done += usize::from(worked),
            Err(error) => done.failed.push(error),
        }
    }
}

/// Works on all that `page` gives, from `cursor` on.
pub(super) async fn all<T, P, PF, A, F>(node: &Node, cursor: Option<String>, page: P, act: A) -> Result<ManyDone, Problem>
where
    P: Fn(Page) -> PF,
    PF: Future<Output = Result<Paged<T>, Problem>>,
    A: Fn(T) -> F,
    F: Future<Output = Result<bool, FieldError>>,
{
    let (mut done, begun) = (ManyDone::default(), node.now());
    let mut after = cursor;
    loop {
        let part = page(Page { after, limit: u32::try_from(MOST).unwrap_or(u32::MAX) }).await?;
        these(part.items, &act, &mut done).await;
        after = part.next;
        if after.is_none() || done.failed.len() >= MOST || node.now().since(begun) >= LONG {
            done.more = after.is_some();
            done.next = after;
            return Ok(done);
        }
    }
}
