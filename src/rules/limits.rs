//! All that a rule may use, on one page. Each limit is told in the error that a rule gets.
//!
//! | limit | held by | a rule that hits it |
//! |---|---|---|
//! | own time | the engine's interrupt; for loops inside native functions, the parent's kill at twice the time | is parked |
//! | memory, stack | the engine; the address space of the process stands behind | is parked |
//! | rule and record together | the pool, before anything is sent | is parked |
//! | asks, bytes of their answers, time of each | the pool; the time does not count as the rule's own | is parked |
//! | bytes of one ask | the prelude | throws |
//! | what it leaves; size and depth of a replica | the worker; [`replica::check`](crate::domain::replica::check) | is parked with the size |
//! | records whose sync it starts; length of a text that is converted | the prelude; `notation` | throws |
//! | lines of the log, their length | the prelude | goes on; the rest is left out, and a line says so |
//!
//! Trap: a limit of the prelude travels to it as a number ([`prelude`]); none is written down a second time there.

use std::time::Duration;

/// How long a script may run.
pub const WALL: Duration = Duration::from_secs(1);
/// Memory of one engine: input, script and what it leaves.
pub const MEMORY: usize = 16 << 20;
/// Stack of one run.
pub const STACK: usize = 256 << 10;
/// Largest message between pool and worker, in bytes: rule and record, or an answer.
pub const MAX_FRAME: usize = 4 << 20;
/// Most bytes that a run may leave: values, wishes and log together.
pub const MAX_OUTCOME: usize = 2 << 20;
/// Lines of a log.
pub const LOG_LINES: usize = 200;
/// Characters of one line of a log, of a reason and of a name.
pub const LINE: usize = 2000;
/// Most records whose sync one run may start.
pub const SYNCS: usize = 100;
/// Longest text that is turned from one notation into another, in bytes.
pub const CONVERTED: usize = 256 << 10;
/// Nesting at which a value counts as one that contains itself.
pub const NESTING: usize = 64;

/// Most asks of one run.
pub const ASKS: usize = 50;
/// Longest that one ask may take; the tracker's own patience ends before.
pub const ASK_WALL: Duration = Duration::from_secs(150);
/// Most bytes that one run may be answered.
pub const ANSWERED: usize = 2 << 20;
/// Most letters of one ask: path and body, or what is stored.
pub const ASKED: usize = 512 << 10;
/// How many workers beyond the usual number may wait for answers. Beyond these a run keeps its turn while it waits.
pub const ASKING: usize = 32;

/// How often one engine serves: what a script leaves behind is swept up, and this is for what we do not know of.
pub const MOST_RUNS: u32 = 1000;
/// An engine whose script was at work longer than this is given up: it may have been at its memory's end and have caught
/// that.
pub const QUICK: Duration = Duration::from_millis(20);
/// Engines that one worker has: each for one connection, or made ahead for the next. One takes 0.4 MB fresh and 0.7 MB at
/// work, and a worker is to stay at 12 MB; a run without one of its own takes 2 ms longer.
pub const ENGINES: usize = 3;
/// Runs after which an engine is swept. Left to itself it lets half as much again pile up as it needs.
pub const SWEPT: u32 = 16;

/// Processor seconds of one worker; the pool replaces it long before ([`MAX_BUSY`]).
pub const CPU_SECONDS: u64 = 60;
/// A worker that was busy this long in all is replaced.
pub const MAX_BUSY: Duration = Duration::from_secs(30);
/// Address space of one worker, program text included.
pub const ADDRESS_SPACE: u64 = 512 << 20;
/// Open files of one worker: three streams, and a few that the system's library wants for time zones.
pub const OPEN_FILES: u64 = 16;
/// How many runs may wait for a worker.
pub const MAX_WAITING: usize = 1000;
/// How long a worker whose line broke may take to be gone.
pub const MAX_DYING: Duration = Duration::from_secs(1);

/// Those that the prelude holds, by the names that it knows.
pub fn prelude() -> [(&'static str, usize); 5] {
    [("lines", LOG_LINES), ("line", LINE), ("nesting", NESTING), ("syncs", SYNCS), ("asked", ASKED)]
}
