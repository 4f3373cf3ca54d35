//! Telling a node of changes: one hook after another, so that order is kept; each with the same id and body until it is
//! taken. A receiver that answers 410 wants no more of that message, and it is dropped.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Shared, signature::sign};
use crate::sandbox::wire::Caller;

/// Waiting for the node's answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Sends until told to stop.
pub(super) async fn run(shared: Arc<Shared>, caller: Caller, stop: CancellationToken) {
    let mut tries = 0u32;
    loop {
        let (told, hook, retry) = {
            let book = shared.lock();
            (book.outbox.front().cloned(), book.settings.hook.clone(), book.settings.retry)
        };
        let (Some(told), Some(hook)) = (told, hook) else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = shared.wake.notified() => continue,
            }
        };
        let mut headers = sign(&hook.secret, &told.id, shared.clock.now(), &told.body).to_vec();
        headers.push(("content-type", "application/json".to_owned()));
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = caller.post(&hook.url, &headers, told.body.clone(), TIMEOUT) => answer,
        };
        let status = answer.map_or(0, |answer| answer.status);
        {
            let mut book = shared.lock();
            book.count(if (200..300).contains(&status) { "hook_taken" } else { "hook_failed" });
            if (200..300).contains(&status) {
                book.taken.push((told.id.clone(), told.key.clone()));
            }
            if (200..300).contains(&status) || status == 410 {
                // The line may have been cleared meanwhile; only this message leaves it.
                book.outbox.retain(|waiting| waiting.id != told.id);
                tries = 0;
                continue;
            }
        }
        let pause = retry.saturating_mul(1 << tries.min(6)).min(retry.saturating_mul(60));
        tries += 1;
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep(pause) => {}
        }
    }
}
