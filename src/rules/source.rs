//! A source on its way into the engine: parsed, and made a function of, without a line of it running.
//!
//! A source must not be able to close what is around it and go on by itself: it would run while it is only being read, and
//! could keep what it likes. So it has to parse in two surroundings that have nothing in common behind a bracket too much.
//! Behind the body of an arrow function in brackets stands `,` or `)`, behind a method another member of the class.
//!
//! Trap: the two are two texts. In one, a comment or a quote that the first copy leaves open could end in the second.

use rquickjs::{Ctx, Value, context::EvalOptions};

use super::protocol::Kind;

/// The rule's file name in the engine's traces.
pub const RULE_FILE: &str = "rule.js";
/// What a rule sees, in the order in which the prelude gives it.
pub const PARAMETERS: &str = "entity,replica,previous,firstSync,connection,skip,log,nodeHelper,commentHelper,attachmentHelper,syncHelper,httpClient,store,soql";

/// A script's error, with the number of columns that the text around it takes in the first line.
pub type Failed = (rquickjs::Error, usize);

/// Text around a source. There is no line break before the source, so that lines stay and only the first line's columns
/// move.
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

/// Strict mode, and a name for traces.
pub fn options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.filename = Some(file.to_owned());
    options
}

/// How many columns the text around a source takes in its first line.
pub fn shift(kind: Kind) -> usize {
    Around::used(kind).prefix.len()
}

/// The source as a function that makes the rule or the filter; nothing of it has run.
pub fn load<'js>(ctx: &Ctx<'js>, kind: Kind, source: &str) -> Result<Value<'js>, Failed> {
    let tried = Around::tried(kind);
    match tried.eval(ctx, source) {
        Err(rquickjs::Error::Exception) => {
            let thrown = ctx.catch();
            if thrown.as_int() != Some(0) {
                return Err((ctx.throw(thrown), tried.prefix.len()));
            }
        }
        Err(error) => return Err((error, tried.prefix.len())),
        Ok(_) => return Err((rquickjs::Error::Unknown, 0)),
    }
    let used = Around::used(kind);
    used.eval(ctx, source).map_err(|error| (error, used.prefix.len()))
}
