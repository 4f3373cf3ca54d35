//! One run of one script in a script engine of its own.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use rquickjs::{
    CaughtError, Context, Ctx, Function, Object, Runtime, Value,
    context::{EvalOptions, intrinsic},
};
use serde_json::value::RawValue;

use super::protocol::{Kind, Order, Verdict};

const PRELUDE: &str = include_str!("prelude.js");
/// Where the prelude waits for the rule; gone before the rule runs.
const PRELUDE_NAME: &str = "prelude";
/// The rule's file name in the engine's traces.
const RULE_FILE: &str = "rule.js";
/// What a rule sees, in the order in which the prelude gives it.
pub const PARAMETERS: &str = "entity,replica,previous,firstSync,connection,skip,log,nodeHelper";
/// Memory of one run: input, script and outcome.
const MEMORY: usize = 16 << 20;
/// Stack of one run.
const STACK: usize = 256 << 10;

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

/// How often an engine may serve the built-in pair, which leaves nothing behind.
const MOST_RUNS: u32 = 500;

/// A runtime and context with the prelude in it: nobody's rule has run there, except perhaps the built-in pair's.
pub struct Sandbox {
    context: Context,
    runs: u32,
    deadline: Rc<Cell<Option<Instant>>>,
    stopped: Rc<Cell<bool>>,
}

/// A run that ended.
pub struct Ran {
    /// How it went.
    pub verdict: Verdict,
    /// The engine; `None` where it was left in a state in which freeing it may abort.
    pub remains: Option<Sandbox>,
}

impl Sandbox {
    /// Makes the engine and loads the prelude.
    pub fn new() -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        runtime.set_memory_limit(MEMORY);
        runtime.set_max_stack_size(STACK);
        let deadline = Rc::new(Cell::new(None::<Instant>));
        let stopped = Rc::new(Cell::new(false));
        let (watched, stop) = (Rc::clone(&deadline), Rc::clone(&stopped));
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let late = watched.get().is_some_and(|deadline| Instant::now() >= deadline);
            stop.set(stop.get() || late);
            late
        })));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(|error| error.to_string())?;
        context
            .with(|ctx| {
                let prelude: Function<'_> = ctx.eval_with_options(PRELUDE, options("prelude.js"))?;
                ctx.globals().set(PRELUDE_NAME, prelude)
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { context, runs: 0, deadline, stopped })
    }

    /// Whether it is as good as fresh after a run of this order.
    pub fn serves_again(&self, order: &Order<'_>) -> bool {
        self.runs < MOST_RUNS && super::is_built_in(&order.source)
    }

    /// Runs the script once.
    pub fn run(mut self, order: &Order<'_>) -> Ran {
        let wall = Duration::from_millis(order.wall_ms);
        self.deadline.set(Some(Instant::now() + wall));
        self.runs += 1;
        let verdict = self.context.with(|ctx| match run(&ctx, order) {
            Ok(verdict) => verdict,
            Err((error, shift)) => blame(&ctx, error, shift),
        });
        if self.stopped.get() {
            std::mem::forget(self);
            let verdict = Verdict::Limit(format!("it ran longer than {} ms", order.wall_ms));
            return Ran { verdict, remains: None };
        }
        if matches!(verdict, Verdict::Limit(_)) {
            std::mem::forget(self);
            return Ran { verdict, remains: None };
        }
        Ran { verdict, remains: Some(self) }
    }
}

fn options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.filename = Some(file.to_owned());
    options
}

/// Text around a source.
///
/// A source must not be able to close what is around it and go on by itself: it would run while it is only being read, and
/// keep what it likes. So it has to parse in two surroundings that have nothing in common behind a bracket too much. Behind
/// the body of an arrow function in brackets stands `,` or `)`, behind a method another member of the class.
///
/// There is no line break before the source, so that lines stay and only the first line's columns move.
struct Around {
    prefix: String,
    suffix: &'static str,
}

impl Around {
    /// What is only parsed: it throws before it reaches the source.
    fn tried(kind: Kind) -> Self {
        match kind {
            Kind::Rule | Kind::Check => Self { prefix: "throw 0;(class{rule(){".to_owned(), suffix: "\n}})" },
            Kind::Expression => Self { prefix: "throw 0;[".to_owned(), suffix: "\n]" },
        }
    }

    /// What is used. Constants rather than parameters: `replica = {…}` would be lost in silence.
    fn used(kind: Kind) -> Self {
        match kind {
            Kind::Rule | Kind::Check => {
                Self { prefix: format!("((...all)=>{{const [{PARAMETERS}]=all;return (()=>{{"), suffix: "\n})})" }
            }
            Kind::Expression => Self { prefix: "((entity)=>(".to_owned(), suffix: "\n))" },
        }
    }

    fn eval<'js>(&self, ctx: &Ctx<'js>, source: &str) -> rquickjs::Result<Value<'js>> {
        ctx.eval_with_options([&self.prefix, source, self.suffix].concat(), options(RULE_FILE))
    }
}

/// A script's error, with the number of columns that the text around it takes in the first line.
type Failed = (rquickjs::Error, usize);

/// The source as a function that makes the rule or the filter; nothing of it has run.
fn load<'js>(ctx: &Ctx<'js>, order: &Order<'_>) -> Result<Value<'js>, Failed> {
    let tried = Around::tried(order.kind);
    match tried.eval(ctx, &order.source) {
        Err(rquickjs::Error::Exception) => {
            let thrown = ctx.catch();
            if thrown.as_int() != Some(0) {
                return Err((ctx.throw(thrown), tried.prefix.len()));
            }
        }
        Err(error) => return Err((error, tried.prefix.len())),
        Ok(_) => return Err((rquickjs::Error::Unknown, 0)),
    }
    let used = Around::used(order.kind);
    used.eval(ctx, &order.source).map_err(|error| (error, used.prefix.len()))
}

fn run(ctx: &Ctx<'_>, order: &Order<'_>) -> Result<Verdict, Failed> {
    let make = load(ctx, order)?;
    if order.kind == Kind::Check {
        return Ok(Verdict::Parses);
    }
    play(ctx, order, make).map_err(|error| (error, Around::used(order.kind).prefix.len()))
}

fn play<'js>(ctx: &Ctx<'js>, order: &Order<'_>, make: Value<'js>) -> rquickjs::Result<Verdict> {
    let globals = ctx.globals();
    let prelude: Function<'_> = globals.get(PRELUDE_NAME)?;
    globals.remove(PRELUDE_NAME)?;
    let scene = ctx.json_parse(order.scene.get())?;
    if order.kind == Kind::Expression {
        return prelude.call((make, scene)).map(Verdict::Truth);
    }
    let text: String = prelude.call((make, scene))?;
    if super::is_built_in(&order.source) {
        globals.set(PRELUDE_NAME, prelude)?;
    }
    Ok(match RawValue::from_string(text) {
        Ok(outcome) => Verdict::Outcome(outcome),
        Err(error) => script_error(format!("what the rule left is not valid JSON: {error}")),
    })
}

fn script_error(message: String) -> Verdict {
    Verdict::Script { message, line: None, column: None }
}

/// Turns what was thrown into a verdict.
fn blame(ctx: &Ctx<'_>, error: rquickjs::Error, shift: usize) -> Verdict {
    match CaughtError::from_error(ctx, error) {
        CaughtError::Exception(exception) => {
            let name = text(exception.as_object(), "name").unwrap_or_default();
            let message = text(exception.as_object(), "message").unwrap_or_default();
            match (name.as_str(), message.as_str()) {
                ("InternalError", "out of memory") => {
                    return Verdict::Limit(format!("it needs more than {} MiB of memory", MEMORY >> 20));
                }
                ("RangeError", "Maximum call stack size exceeded") | ("InternalError", "stack overflow") => {
                    return Verdict::Limit(format!("it calls itself too deeply (more than {} KiB of stack)", STACK >> 10));
                }
                _ => {}
            }
            let (line, column) = text(exception.as_object(), "stack").and_then(|stack| position(&stack, shift)).unzip();
            Verdict::Script { message: cut(format!("{name}: {message}")), line, column }
        }
        CaughtError::Value(value) if value.is_null() => script_error(format!(
            "the rule threw null (the engine also says this of a rule that needs more than {} MiB of memory)",
            MEMORY >> 20
        )),
        CaughtError::Value(value) => {
            let shown = value.get::<rquickjs::Coerced<String>>().map_or_else(|_| value.type_name().to_owned(), |text| text.0);
            script_error(cut(format!("the rule threw {shown}")))
        }
        CaughtError::Error(rquickjs::Error::InvalidString(_)) => script_error("the rule contains a NUL character".to_owned()),
        CaughtError::Error(rquickjs::Error::Utf8(_)) => script_error("what the rule left is not valid text".to_owned()),
        CaughtError::Error(error) => Verdict::Engine(error.to_string()),
    }
}

fn text(object: &Object<'_>, name: &str) -> Option<String> {
    object.get::<_, Option<rquickjs::Coerced<String>>>(name).ok().flatten().map(|text| text.0)
}

fn cut(message: String) -> String {
    match message.char_indices().nth(2000) {
        Some((end, _)) => message[..end].to_owned(),
        None => message,
    }
}

/// Line and column of the innermost frame that is the rule's own, in the rule's own text.
fn position(stack: &str, shift: usize) -> Option<(u32, u32)> {
    let marker = format!("{RULE_FILE}:");
    let at = stack.lines().find_map(|frame| frame.split_once(marker.as_str()))?.1;
    let mut numbers = at.trim_end_matches(')').splitn(2, ':').map(str::parse::<u32>);
    let line = numbers.next()?.ok()?;
    let column = numbers.next()?.ok()?;
    let shift = if line == 1 { u32::try_from(shift).unwrap_or(0) } else { 0 };
    Some((line, column.saturating_sub(shift).max(1)))
}
