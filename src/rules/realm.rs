//! An engine and the world in it: the language, our prelude, and nothing that a run could leave for the next.
//!
//! Making one costs more than a dozen runs, so it serves again. That is safe because the prelude's last part freezes all
//! that scripts can reach (`world/realm.js`), and because a source can only be a function's body (`source`): it has no way
//! to declare something beside it. What freezing does not reach is the queue of promises; an engine with anything in
//! there is given up.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use rquickjs::{Context, Ctx, Exception, Function, Object, Persistent, Runtime, context::intrinsic};

use super::{limits, native::natives, pipe::Pipe, source::options};

/// The parts of the prelude, in the order in which they see each other.
const PRELUDE: &str = concat!(
    "((limits, native) => { 'use strict';\n",
    include_str!("world/values.js"),
    include_str!("world/chance.js"),
    include_str!("world/helpers.js"),
    include_str!("world/asks.js"),
    include_str!("world/comments.js"),
    include_str!("world/entity.js"),
    include_str!("world/play.js"),
    include_str!("world/realm.js"),
    "\n})",
);

/// No shared memory, no weak references, no fine clock.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::Promise,
);

/// A runtime and context with the prelude in it.
pub struct Realm {
    /// The prelude's function that plays a rule. It has to be gone before the engine is.
    play: Persistent<Function<'static>>,
    context: Context,
    runtime: Runtime,
    deadline: Rc<Cell<Option<Instant>>>,
    /// How long the run under way has waited for answers.
    waited: Rc<Cell<Duration>>,
    stopped: Rc<Cell<bool>>,
}

impl Realm {
    /// Makes the engine and loads the prelude.
    pub fn new(pipe: &Rc<Pipe>) -> Result<Self, String> {
        Self::make(pipe).map_err(|error| error.to_string())
    }

    fn make(pipe: &Rc<Pipe>) -> rquickjs::Result<Self> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits::MEMORY);
        runtime.set_max_stack_size(limits::STACK);
        let deadline = Rc::new(Cell::new(None::<Instant>));
        let stopped = Rc::new(Cell::new(false));
        let waited = Rc::new(Cell::new(Duration::ZERO));
        let (watched, stop) = (Rc::clone(&deadline), Rc::clone(&stopped));
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let late = watched.get().is_some_and(|deadline| Instant::now() >= deadline);
            stop.set(stop.get() || late);
            late
        })));
        let context = Context::custom::<Intrinsics>(&runtime)?;
        let play = context.with(|ctx| {
            let prelude: Function<'_> = ctx.eval_with_options(PRELUDE, options("prelude.js"))?;
            let told = Object::new(ctx.clone())?;
            for (name, limit) in limits::prelude() {
                told.set(name, limit)?;
            }
            let natives = natives(&ctx)?;
            natives.set("ask", ask(&ctx, pipe, &deadline, &waited)?)?;
            let play: Function<'_> = prelude.call((told, natives))?;
            Ok::<_, rquickjs::Error>(Persistent::save(&ctx, play))
        })?;
        Ok(Self { play, context, runtime, deadline, waited, stopped })
    }

    /// Does something in the engine within a time.
    pub fn within<T>(&self, wall: Duration, work: impl FnOnce(&Ctx<'_>) -> T) -> T {
        self.waited.set(Duration::ZERO);
        self.deadline.set(Some(Instant::now() + wall));
        let done = self.context.with(|ctx| work(&ctx));
        self.deadline.set(None);
        done
    }

    /// The prelude's function.
    pub fn play<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Function<'js>> {
        self.play.clone().restore(ctx)
    }

    /// Bytes in use now, counted as the limit counts them. Takes longer than a run: it visits every object.
    pub fn memory(&self) -> u64 {
        u64::try_from(self.runtime.memory_usage().malloc_size).unwrap_or_default()
    }

    /// Frees what is held in circles only.
    pub fn sweep(&self) {
        self.runtime.run_gc();
    }

    /// How long the script itself took, since it began.
    pub fn own_time(&self, began: Instant) -> Duration {
        began.elapsed().saturating_sub(self.waited.get())
    }

    /// A script was stopped by the clock: freeing the engine may abort.
    pub fn was_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// A script left something that would happen later.
    pub fn has_leftovers(&self) -> bool {
        self.runtime.is_job_pending()
    }
}

/// The prelude's way to the pool. The rule's clock stands while it waits.
fn ask<'js>(
    ctx: &Ctx<'js>,
    pipe: &Rc<Pipe>,
    deadline: &Rc<Cell<Option<Instant>>>,
    waited: &Rc<Cell<Duration>>,
) -> rquickjs::Result<Function<'js>> {
    let (pipe, deadline, waited) = (Rc::clone(pipe), Rc::clone(deadline), Rc::clone(waited));
    Function::new(ctx.clone(), move |ctx: Ctx<'_>, what: String| {
        let began = Instant::now();
        let reply = pipe.ask(what);
        let took = began.elapsed();
        waited.set(waited.get() + took);
        deadline.set(deadline.get().map(|at| at + took));
        reply.map_err(|error| Exception::throw_type(&ctx, &error.to_string()))
    })
}
