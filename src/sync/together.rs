//! Ends of work that come close together share a transaction, and one that takes long holds up no other.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};

/// Most ends in one transaction.
const MOST: usize = 100;
/// How long the first waits for others. A lone one ends the stream and waits for nobody.
const PATIENCE: Duration = Duration::from_millis(20);

/// What comes within a moment of the first; empty at the end.
pub(super) async fn together<S: Stream + Unpin>(results: &mut S) -> Vec<S::Item> {
    let Some(first) = results.next().await else { return Vec::new() };
    let mut found = vec![first];
    // Real time, whatever the node's clock says: it spares the disk, and nobody waits for a moment in it.
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while found.len() < MOST {
        tokio::select! {
            biased;
            next = results.next() => match next {
                Some(one) => found.push(one),
                None => break,
            },
            () = &mut patience => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_slow_one_holds_up_nobody() {
        let quick = stream::iter(0..150);
        let slow = stream::once(std::future::pending::<i32>()).boxed();
        let mut results = quick.chain(slow);
        assert_eq!(together(&mut results).await.len(), MOST);
        assert_eq!(together(&mut results).await.len(), 150 - MOST);
    }

    #[tokio::test]
    async fn the_end_is_empty() {
        let mut results = stream::iter(0..2);
        assert_eq!(together(&mut results).await, [0, 1]);
        assert!(together(&mut results).await.is_empty());
    }
}
