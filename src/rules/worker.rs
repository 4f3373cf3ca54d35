//! The child's side: the body of the hidden subcommand `wicketgate rule-worker`.
//!
//! The parent starts it with an empty environment. It gives up what it does not need before it reads the first byte,
//! then answers jobs until its input ends or an engine had to be given up.

use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    protocol::{self, Answer, Order, Verdict},
    sandbox::Sandbox,
};

/// Processor seconds of one child; the pool replaces a child long before (`pool::MAX_BUSY`).
const CPU_SECONDS: u64 = 60;
/// Address space of one child, program text included.
const ADDRESS_SPACE: u64 = 512 << 20;
/// Open files of one child: three streams, and a few that the system's library wants for time zones.
const OPEN_FILES: u64 = 16;

/// Reads jobs on standard input and answers on standard output until the input ends.
pub fn main() -> io::Result<()> {
    confine()?;
    serve(&mut io::stdin().lock(), &mut io::stdout().lock())
}

/// Lowers this process's limits for good: address space, processor time, open files; no core dumps.
pub(super) fn confine() -> io::Result<()> {
    lower(Resource::Core, 0)?;
    lower(Resource::Cpu, CPU_SECONDS)?;
    lower(Resource::Nofile, OPEN_FILES)?;
    // Other systems may refuse this for a running program; the engine's own limit of memory holds there too.
    if cfg!(target_os = "linux") {
        lower(Resource::As, ADDRESS_SPACE)?;
    }
    Ok(())
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    // Whoever started the node may have set less, and more than that is refused.
    let most = getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

/// Answers jobs until the input ends or an engine had to be given up.
pub(super) fn serve(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut next = Sandbox::new();
    while let Some(bytes) = protocol::read(from)? {
        let order: Order<'_> = serde_json::from_slice(&bytes)?;
        let (verdict, remains) = match next {
            Ok(sandbox) => {
                let ran = sandbox.run(&order);
                (ran.verdict, ran.remains)
            }
            Err(why) => (Verdict::Engine(why), None),
        };
        let leaving = remains.is_none();
        let answered = matches!(verdict, Verdict::Outcome(_));
        protocol::write(to, &Answer { id: order.id, leaving, verdict })?;
        if leaving {
            return Ok(());
        }
        // The built-in pair is ours and leaves nothing behind: an engine costs more than a dozen of its runs.
        if let Some(sandbox) = remains.as_ref().filter(|_| answered)
            && sandbox.serves_again(&order)
        {
            next = remains.ok_or_else(String::new);
            continue;
        }
        // Making the next engine takes longer than most rules. On a machine whose processors are all taken, the pool would
        // get to see the answer only after that (measured: 1.0 ms a run in place of 0.4).
        std::thread::yield_now();
        drop(remains);
        next = Sandbox::new();
    }
    Ok(())
}
