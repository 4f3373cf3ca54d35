//! What the prelude cannot do in JavaScript, or not fast enough. Rules never see these: the prelude's helpers call them.
//!
//! Trap: the engine cannot interrupt native code. Whatever is here has a limit on its input.

use rquickjs::{Ctx, Exception, Function, Object};

use super::{fault, notation};
use crate::domain::replica::CUT_MARK;

/// The prelude's `native`.
pub fn natives<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    let natives = Object::new(ctx.clone())?;
    natives.set("cutMark", CUT_MARK)?;
    natives.set("nearest", Function::new(ctx.clone(), nearest)?)?;
    natives.set("convert", Function::new(ctx.clone(), convert)?)?;
    Ok(natives)
}

fn nearest(name: String, known: Vec<String>) -> Option<String> {
    fault::nearest(&name, known.iter().map(String::as_str)).map(str::to_owned)
}

fn convert(ctx: Ctx<'_>, from: String, to: String, text: String) -> rquickjs::Result<String> {
    notation::convert(&from, &to, &text).map_err(|why| Exception::throw_type(&ctx, &why))
}
