//! The child's side: the body of the hidden subcommand `wicketgate rule-worker`.
//!
//! The parent starts it with an empty environment. It gives up what it does not need before it reads the first byte,
//! then answers jobs until its input ends or an engine had to be given up.

use std::{
    io::{self, Read, Write},
    rc::Rc,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    limits::{ADDRESS_SPACE, CPU_SECONDS, ENGINES, OPEN_FILES},
    pipe::Pipe,
    protocol::{Order, Verdict},
    sandbox::{Remains, Sandbox},
};

/// Reads jobs on standard input and answers on standard output until the input ends.
pub fn main() -> io::Result<()> {
    confine()?;
    serve(io::stdin().lock(), io::stdout().lock())
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
pub(super) fn serve(from: impl Read + 'static, to: impl Write + 'static) -> io::Result<()> {
    let pipe = Rc::new(Pipe::new(from, to));
    let mut engines = Engines { owned: Vec::new(), fresh: None, pipe: Rc::clone(&pipe) };
    engines.make_ready();
    while let Some(bytes) = pipe.read()? {
        let order: Order<'_> = serde_json::from_slice(&bytes)?;
        pipe.begin(order.id);
        let (verdict, remains) = match engines.take(&order.owner) {
            Ok(sandbox) => {
                let ran = sandbox.run(&order);
                (ran.verdict, ran.remains)
            }
            Err(why) => (Verdict::Engine(why), Remains::Broken),
        };
        let leaving = matches!(remains, Remains::Broken);
        pipe.answer(order.id, leaving, verdict)?;
        match remains {
            Remains::Broken => return Ok(()),
            Remains::Fit(sandbox) => engines.keep(&order.owner, *sandbox),
            Remains::Spent => {}
        }
        engines.make_ready();
    }
    Ok(())
}

/// The engines of a worker: those with an owner, the last used one last, and one that waits for an owner.
struct Engines {
    owned: Vec<(String, Sandbox)>,
    fresh: Option<Sandbox>,
    pipe: Rc<Pipe>,
}

impl Engines {
    fn take(&mut self, owner: &str) -> Result<Sandbox, String> {
        if let Some(at) = self.owned.iter().position(|(whose, _)| whose == owner) {
            return Ok(self.owned.remove(at).1);
        }
        if let Some(sandbox) = self.fresh.take() {
            return Ok(sandbox);
        }
        if self.owned.len() == ENGINES {
            self.owned.remove(0);
        }
        Sandbox::new(&self.pipe)
    }

    fn keep(&mut self, owner: &str, sandbox: Sandbox) {
        sandbox.tidy();
        self.owned.push((owner.to_owned(), sandbox));
    }

    /// Makes the next one ahead of need; where that fails, whoever needs it tries again and says so.
    fn make_ready(&mut self) {
        if self.fresh.is_none() && self.owned.len() < ENGINES {
            // That takes longer than most rules. On a machine whose processors are all taken, the pool would get to see the
            // answer only after it (measured: 1.0 ms a run in place of 0.4).
            std::thread::yield_now();
            self.fresh = Sandbox::new(&self.pipe).ok();
        }
    }
}
