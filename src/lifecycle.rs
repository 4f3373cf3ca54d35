//! Stopping: a soft signal to finish, a tracker that knows who is left, and a crash of one task that stops all.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Passed down to everything that runs.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    crashed: std::sync::Arc<std::sync::OnceLock<String>>,
}

impl Lifecycle {
    /// Resolves when everybody should finish what they have in hand and begin nothing new.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.soft.clone().cancelled_owned()
    }

    /// Whether the soft signal was given.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Gives the soft signal.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Runs a task that [`Self::finish`] waits for; dropped at the hard signal. A panic stops the whole node, visibly.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        let this = self.clone();
        self.tasks.spawn(async move {
            let inner = tokio::spawn(async move {
                tokio::select! { () = hard.cancelled() => {}, () = task => {} }
            });
            if let Err(error) = inner.await
                && error.is_panic()
            {
                tracing::error!(task = name, "a task crashed: the node stops");
                // Only the first crash is told: the others follow from it.
                let _ = this.crashed.set(name.to_owned());
                this.stop();
            }
        });
    }

    /// Gives both signals, the hard one after `grace`, and waits until nobody is left. `Err` names a task that crashed.
    pub async fn finish(&self, grace: Duration) -> Result<(), String> {
        self.stop();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.hard.cancel();
            self.tasks.wait().await;
        }
        self.crashed.get().map_or(Ok(()), |name| Err(name.clone()))
    }
}
