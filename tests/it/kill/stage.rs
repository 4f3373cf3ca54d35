//! A joined pair whose nodes are processes.

use std::time::{Duration, Instant};

use crate::support::{Settings, World, process::Process, sum};

/// Which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Public,
    Private,
}

/// The world of [`crate::support`], with the nodes apart. Its `TestNode`s still speak to them by the API.
pub(super) struct Stage {
    pub world: World,
    pub public: Process,
    pub private: Process,
}

impl Stage {
    /// Joins the nodes in this process, then starts them in their own.
    pub(super) async fn with(settings: Settings) -> Self {
        let mut world = World::with(settings).await;
        world.private.stop().await;
        world.public.stop().await;
        let folder = world.dir.path().to_owned();
        let public = Process::new("serve", &world.public.url, &folder, &world.public.config);
        let private = Process::new("relay", &world.private.url, &folder, &world.private.config);
        let mut stage = Self { world, public, private };
        stage.public.start().await;
        stage.private.start().await;
        stage
    }

    pub(super) fn node(&mut self, side: Side) -> &mut Process {
        match side {
            Side::Public => &mut self.public,
            Side::Private => &mut self.private,
        }
    }

    /// Waits until the far systems have told all and nothing waits on either node.
    pub(super) async fn quiet(&self) {
        let begun = Instant::now();
        let mut calm = 0;
        while calm < 4 {
            let far = self.world.tracker.handle.hooks_waiting() + self.world.org.handle.deliveries().len();
            let (public, private) = (self.world.public.get("/queue").await, self.world.private.get("/queue").await);
            let errors = self.world.public.get("/errors").await["items"].as_array().map_or(0, Vec::len)
                + self.world.private.get("/errors").await["items"].as_array().map_or(0, Vec::len);
            let busy = far > 0 || sum(&public) > 0 || sum(&private) > 0 || errors > 0;
            calm = if busy { 0 } else { calm + 1 };
            if begun.elapsed() > Duration::from_secs(90) {
                panic!("no quiet: {far} messages, public {public}, private {private}\n{}", self.errors_and_logs().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// For whoever reads a failure.
    pub(super) async fn errors_and_logs(&self) -> String {
        let (public, private) = (self.world.public.get("/errors").await, self.world.private.get("/errors").await);
        let logs = [&self.public, &self.private].map(|node| tail(&node.log()));
        format!("errors: {public} {private}\n--- public\n{}\n--- private\n{}", logs[0], logs[1])
    }

    /// Kills both nodes: their folders can be looked into.
    pub(super) fn end(&mut self) {
        self.private.kill();
        self.public.kill();
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("starting")).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
