//! What is forgotten, and when.

use std::time::Duration;

use super::Parts;
use crate::{domain::user, store::StoreError};

/// How long acknowledged events are kept (link.md, "Set back").
const ACKNOWLEDGED: Duration = Duration::from_secs(3600);
/// How long a saved answer is given again.
const ANSWERS: Duration = Duration::from_secs(24 * 3600);
/// Between two rounds.
const EVERY: Duration = Duration::from_secs(300);

/// Forgets until the node stops.
pub(super) async fn run(parts: Parts) {
    loop {
        if let Err(error) = once(&parts).await {
            tracing::warn!("old rows could not be forgotten: {error}");
        }
        tokio::select! {
            () = parts.clock.sleep(EVERY) => {}
            () = parts.lifecycle.stopping() => return,
        }
    }
}

async fn once(parts: &Parts) -> Result<(), StoreError> {
    let now = parts.clock.now();
    let (history, notices) = (now.minus(parts.keep_history), now.minus(parts.keep_messages));
    parts
        .store
        .write("housekeeping", move |tx| {
            Box::pin(async move {
                tx.forget_acknowledged(now.minus(ACKNOWLEDGED)).await?;
                tx.forget_answers(now.minus(ANSWERS)).await?;
                tx.forget_history(history).await?;
                tx.forget_notices(notices).await?;
                tx.forget_jobs(history).await?;
                tx.forget_sessions(now.minus(user::IDLE), now.minus(user::LONGEST_SESSION)).await?;
                tx.forget_lookups(history).await?;
                Ok(())
            })
        })
        .await
}
