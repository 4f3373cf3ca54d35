//! The parent's end of a line to one worker, and what starts workers.

use std::{ffi::OsString, io, os::unix::process::ExitStatusExt, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use super::{
    frame,
    limits::{ENGINES, MAX_DYING},
};
use crate::domain::rule::RuleError;

/// A line to a worker; dropping it ends the worker.
pub struct Line {
    to: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    from: BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    child: Option<Child>,
    pub(super) busy: Duration,
    /// Whose engines the worker keeps, the last used one last.
    pub(super) owners: Vec<String>,
}

impl Line {
    /// A line over any pair of streams; `child`, if there is one, must be set to be killed on drop.
    pub fn new(
        to: impl AsyncWrite + Send + Sync + Unpin + 'static,
        from: impl AsyncRead + Send + Sync + Unpin + 'static,
        child: Option<Child>,
    ) -> Self {
        Self {
            to: Box::new(to),
            from: BufReader::with_capacity(1 << 16, Box::new(from)),
            child,
            busy: Duration::ZERO,
            owners: Vec::new(),
        }
    }

    /// The worker's process, where it is one that lives.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Notes whose engine the worker has used, as the worker does.
    pub(super) fn served(&mut self, owner: &str) {
        self.owners.retain(|known| known != owner);
        if self.owners.len() == ENGINES {
            self.owners.remove(0);
        }
        self.owners.push(owner.to_owned());
    }

    /// It may have been ended by somebody while it was idle; that is no rule's fault.
    pub(super) fn alive(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Why a line broke in the middle of a run. A signal means that the system ended the worker or that the engine crashed,
    /// and it is memory that does that; a worker that leaves by itself was not one, or could not confine itself.
    pub(super) async fn fate(&mut self, error: &io::Error) -> RuleError {
        let Some(child) = self.child.as_mut() else {
            return RuleError::Engine(format!("the worker cannot be reached: {error}"));
        };
        match tokio::time::timeout(MAX_DYING, child.wait()).await {
            Ok(Ok(status)) if status.signal().is_some() => {
                RuleError::Limit(format!("its worker was ended ({status}), most likely for want of memory"))
            }
            Ok(Ok(status)) => RuleError::Engine(format!("the worker left in the middle of the run ({status})")),
            _ => RuleError::Engine(format!("the worker cannot be reached: {error}")),
        }
    }

    /// Says something and hears what comes back.
    pub(super) async fn hear(&mut self, said: &[u8]) -> io::Result<Vec<u8>> {
        self.to.write_all(said).await?;
        self.to.flush().await?;
        let mut prefix = [0; 4];
        self.from.read_exact(&mut prefix).await?;
        let mut answer = vec![0; frame::length(prefix)?];
        self.from.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// What starts workers.
pub trait Spawn: Send + Sync + 'static {
    /// Starts one.
    fn spawn(&self) -> io::Result<Line>;
}

/// Starts workers as child processes.
pub struct Processes {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
}

impl Spawn for Processes {
    fn spawn(&self) -> io::Result<Line> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Line::new(to, from, Some(child))),
            _ => Err(io::Error::other("the worker's pipes were not made")),
        }
    }
}
