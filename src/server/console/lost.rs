//! Addresses that lead nowhere: a browser is told by a page, a program by a problem document.
//!
//! All doors share one application, so what no door knows ends here. Below the addresses of programs nothing changes, and
//! elsewhere only for whoever asks for pages (`Accept`).

use actix_web::{Error, HttpRequest, HttpResponse, http::header, web};

use super::page;
use crate::server::kit::{Problem, query};

/// Addresses that begin like this are no pages.
const PROGRAMS: [&str; 5] = ["/api/", "/link/", "/hooks/", "/salesforce/", "/metrics"];

fn by_browser(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !PROGRAMS.iter().any(|start| request.path().starts_with(start))
}

fn told(problem: Problem, request: &HttpRequest) -> Error {
    if by_browser(request) { super::gate::Refusal::from(problem).into() } else { problem.into() }
}

/// As [`query::path_config`], with pages for browsers.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, request| told(query::wrong_path(), request))
}

/// As [`query::query_config`], with pages for browsers.
pub fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, request| told(query::wrong_query(&error), request))
}

/// What no door knows. The empty answer is given its problem document on its way out.
pub(super) async fn nowhere(request: HttpRequest) -> HttpResponse {
    if by_browser(&request) { page::refused(&Problem::not_found("page")) } else { HttpResponse::NotFound().finish() }
}
