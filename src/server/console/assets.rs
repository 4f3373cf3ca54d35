//! The stylesheet, the module and the mark, in the program itself. Each path carries a hash of all of them, so browsers may
//! keep what they have for a year.

use actix_web::{HttpResponse, http::header, web};

use crate::server::kit::Problem;

const STYLE: &str = include_str!("assets/console.css");
const MODULE: &str = include_str!("assets/console.js");
const MARK: &str = include_str!("assets/mark.svg");

/// FNV-1a: told apart are versions of our own files, not forgeries.
const fn hash(mut state: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        state = (state ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    state
}

/// Of all assets together.
const HASH: u64 = hash(hash(hash(0xcbf2_9ce4_8422_2325, STYLE.as_bytes()), MODULE.as_bytes()), MARK.as_bytes());

/// Address of an asset.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{HASH:016x}/{name}")
}

/// `GET /assets/{hash}/{name}`
pub(super) async fn get(asked: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (hash, name) = asked.into_inner();
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", MODULE),
        "mark.svg" => ("image/svg+xml", MARK),
        _ => return Err(Problem::not_found("asset")),
    };
    // A page of another version may be open during an upgrade: it gets what there is, for once.
    let kept = if hash == format!("{HASH:016x}") { "public, max-age=31536000, immutable" } else { "no-store" };
    Ok(HttpResponse::Ok().content_type(kind).insert_header((header::CACHE_CONTROL, kept)).body(text))
}
