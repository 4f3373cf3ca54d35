//! The worker's end of the line to the pool: jobs and replies come in, asks and answers go out, one message at a time.
//!
//! An ask blocks the worker until the pool replies; the engine's clock stands still meanwhile ([`super::realm`]).

use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
};

use serde_json::value::RawValue;

use super::{
    frame,
    limits::MAX_FRAME,
    protocol::{Answer, Said, Verdict},
};

/// Both directions. The engines of a worker share it.
pub struct Pipe {
    from: RefCell<Box<dyn Read>>,
    to: RefCell<Box<dyn Write>>,
    /// The job under way.
    job: Cell<u64>,
}

impl Pipe {
    /// Over any pair of streams.
    pub fn new(from: impl Read + 'static, to: impl Write + 'static) -> Self {
        Self { from: RefCell::new(Box::new(from)), to: RefCell::new(Box::new(to)), job: Cell::new(0) }
    }

    /// The next message; `None` where the input ended between two.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        frame::read(&mut **self.from.borrow_mut())
    }

    /// The asks that follow belong to this job.
    pub fn begin(&self, job: u64) {
        self.job.set(job);
    }

    /// Ends a job.
    pub fn answer(&self, id: u64, leaving: bool, verdict: Verdict) -> io::Result<()> {
        let to = &mut **self.to.borrow_mut();
        let Err(length) = frame::write(to, &Said::Answer(Answer { id, leaving, verdict }))? else { return Ok(()) };
        let verdict = Verdict::Limit(format!("it left {length} bytes; at most {MAX_FRAME} can be kept"));
        let short = frame::write(to, &Said::Answer(Answer { id, leaving, verdict }))?;
        short.map_err(|_| io::Error::other("a short answer does not fit a frame"))
    }

    /// Asks, and waits for the reply.
    pub fn ask(&self, ask: String) -> io::Result<String> {
        let ask = RawValue::from_string(ask)?;
        let asked = frame::write(&mut **self.to.borrow_mut(), &Said::Ask { id: self.job.get(), ask })?;
        asked.map_err(|length| io::Error::other(format!("{length} bytes are too many to ask")))?;
        let reply = self.read()?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        String::from_utf8(reply).map_err(|_| io::Error::other("the reply is no text"))
    }
}
