//! Runs of scripts in one engine, and what becomes of the engine after each.

use std::{
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use rquickjs::{CaughtError, Ctx, Object, Persistent, Value};
use serde_json::value::RawValue;

use super::{
    limits,
    pipe::Pipe,
    protocol::{Kind, Order, Verdict},
    realm::Realm,
    source::{self, Failed, RULE_FILE},
};

/// Most sources that one engine keeps ready.
const MOST_LOADED: usize = 8;

/// An engine that serves one owner's scripts.
pub struct Sandbox {
    /// Sources that were loaded before. They have to be gone before the engine is.
    loaded: HashMap<String, Persistent<Value<'static>>>,
    realm: Realm,
    runs: u32,
}

/// A run that ended.
pub struct Ran {
    /// How it went.
    pub verdict: Verdict,
    /// What becomes of the engine.
    pub remains: Remains,
}

/// What becomes of an engine after a run.
pub enum Remains {
    /// It serves again.
    Fit(Box<Sandbox>),
    /// It is put away.
    Spent,
    /// It was left in a state in which freeing it may abort: it was leaked, and the worker leaves.
    Broken,
}

impl Sandbox {
    /// Makes the engine.
    pub fn new(pipe: &Rc<Pipe>) -> Result<Self, String> {
        Ok(Self { loaded: HashMap::new(), realm: Realm::new(pipe)?, runs: 0 })
    }

    /// Sweeps up what counting references does not free, once in a while: it takes longer than a run.
    pub fn tidy(&self) {
        if self.runs.is_multiple_of(limits::SWEPT) {
            self.realm.sweep();
        }
    }

    /// Runs the script once.
    pub fn run(mut self, order: &Order<'_>) -> Ran {
        let started = Instant::now();
        self.runs += 1;
        let (realm, loaded) = (&self.realm, &mut self.loaded);
        let mut held = Vec::new();
        let verdict =
            realm.within(Duration::from_millis(order.wall_ms), |ctx| match run(ctx, realm, (loaded, &mut held), order) {
                Ok(verdict) => verdict,
                Err((error, shift)) => blame(ctx, error, shift, realm.own_time(started)),
            });
        if self.realm.was_stopped() || matches!(verdict, Verdict::Limit(_)) {
            let stopped = self.realm.was_stopped();
            std::mem::forget((self, held));
            let verdict = if stopped { Verdict::Limit(format!("it ran longer than {} ms", order.wall_ms)) } else { verdict };
            return Ran { verdict, remains: Remains::Broken };
        }
        let verdict = match verdict {
            Verdict::Outcome(outcome) if order.measured => Verdict::Measured(outcome, self.realm.memory()),
            other => other,
        };
        drop(held);
        let fit = self.runs < limits::MOST_RUNS && self.realm.own_time(started) < limits::QUICK && !self.realm.has_leftovers();
        Ran { verdict, remains: if fit { Remains::Fit(Box::new(self)) } else { Remains::Spent } }
    }
}

type Loaded = HashMap<String, Persistent<Value<'static>>>;

/// What a measured run keeps until its memory is told: its record and what it left.
type Held = Vec<Persistent<Value<'static>>>;

fn run(ctx: &Ctx<'_>, realm: &Realm, (loaded, held): (&mut Loaded, &mut Held), order: &Order<'_>) -> Result<Verdict, Failed> {
    if order.kind == Kind::Check {
        return source::load(ctx, order.kind, &order.source).map(|_| Verdict::Parses);
    }
    let make = match loaded.get(order.source.as_ref()) {
        Some(make) => make.clone().restore(ctx).map_err(|error| (error, 0))?,
        None => {
            let make = source::load(ctx, order.kind, &order.source)?;
            if loaded.len() == MOST_LOADED {
                loaded.clear();
            }
            loaded.insert(order.source.clone().into_owned(), Persistent::save(ctx, make.clone()));
            make
        }
    };
    play(ctx, realm, order, (make, held)).map_err(|error| (error, source::shift(order.kind)))
}

fn play<'js>(
    ctx: &Ctx<'js>,
    realm: &Realm,
    order: &Order<'_>,
    (make, held): (Value<'js>, &mut Held),
) -> rquickjs::Result<Verdict> {
    let play = realm.play(ctx)?;
    let scene = ctx.json_parse(order.scene.get())?;
    if order.kind == Kind::Expression {
        return play.call((make, scene)).map(Verdict::Truth);
    }
    let (now, seed) = order.moment.map(|moment| (moment.now.millis(), moment.seed)).unzip();
    let left: rquickjs::String<'js> = play.call((make, scene.clone(), order.told.get(), now, seed))?;
    if order.measured {
        held.extend([scene, left.clone().into_value()].map(|value| Persistent::save(ctx, value)));
    }
    let left = left.to_string()?;
    if left.len() > limits::MAX_OUTCOME {
        let (bytes, most) = (left.len(), limits::MAX_OUTCOME);
        return Ok(Verdict::Limit(format!("it left {bytes} bytes; at most {most} can be kept")));
    }
    Ok(match RawValue::from_string(left) {
        Ok(outcome) => Verdict::Outcome(outcome),
        Err(error) => script_error(format!("what the rule left is not valid JSON: {error}")),
    })
}

fn script_error(message: String) -> Verdict {
    Verdict::Script { message, line: None, column: None }
}

/// Turns what was thrown into a verdict.
fn blame(ctx: &Ctx<'_>, error: rquickjs::Error, shift: usize, took: Duration) -> Verdict {
    match CaughtError::from_error(ctx, error) {
        CaughtError::Exception(exception) => {
            let name = text(exception.as_object(), "name").unwrap_or_default();
            let message = text(exception.as_object(), "message").unwrap_or_default();
            match (name.as_str(), message.as_str()) {
                ("InternalError", "out of memory") => {
                    return Verdict::Limit(format!("it needs more than {} MiB of memory", limits::MEMORY >> 20));
                }
                ("RangeError", "Maximum call stack size exceeded") | ("InternalError", "stack overflow") => {
                    return Verdict::Limit(format!(
                        "it calls itself too deeply (more than {} KiB of stack)",
                        limits::STACK >> 10
                    ));
                }
                _ => {}
            }
            let (line, column) = text(exception.as_object(), "stack").and_then(|stack| position(&stack, shift)).unzip();
            Verdict::Script { message: cut(format!("{name}: {message}")), line, column }
        }
        // Filling that much takes a while.
        CaughtError::Value(value) if value.is_null() && took > limits::QUICK => {
            Verdict::Limit(format!("it needs more than {} MiB of memory", limits::MEMORY >> 20))
        }
        CaughtError::Value(value) if value.is_null() => script_error(format!(
            "the rule threw null (the engine also says this of a rule that needs more than {} MiB of memory)",
            limits::MEMORY >> 20
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
