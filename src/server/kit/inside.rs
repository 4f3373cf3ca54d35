//! The API from within the process: what a door for people asks, it asks here.
//!
//! A page reads and writes through the API's own operations, as the person who is signed in: one list of what can be done,
//! one place where a role is refused. The trait stands here because doors do not know each other; the assembly joins it
//! to the API's routes ([`crate::server`]).
//!
//! The trap: the operations run in this very thread and are not shared with others, so neither is this.

use std::{net::SocketAddr, rc::Rc};

use actix_web::{
    HttpRequest,
    body::BoxBody,
    http::{Method, StatusCode, header::HeaderMap},
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    auth::Caller,
    problem::{Code, FieldError, Problem},
};

/// One question to the API.
#[derive(Debug)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// Where the person's request came from: failed tries are counted by it.
    pub from: Option<SocketAddr>,
    /// As at the door.
    pub method: Method,
    /// Below [`crate::server`]'s `/api/v1`, with its query.
    pub path: String,
    /// JSON.
    pub body: Option<Value>,
    /// `Idempotency-Key`, for a form that may be sent twice.
    pub key: Option<String>,
}

/// What the API answered.
pub struct Answer {
    /// As at the door.
    pub status: StatusCode,
    /// As at the door.
    pub headers: HeaderMap,
    /// Not read yet: it may be a stream.
    pub body: BoxBody,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// See the module.
pub trait Inside {
    /// Asks; a refusal is an answer, too.
    fn ask(&self, ask: Ask) -> LocalBoxFuture<'_, Answer>;
}

/// The API as one person may use it.
#[derive(Clone)]
pub struct Api {
    inside: Rc<dyn Inside>,
    caller: Caller,
    from: Option<SocketAddr>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("caller", &self.caller.name).finish_non_exhaustive()
    }
}

/// Largest answer that a page is made of.
const LARGEST: usize = 8_000_000;

impl Api {
    /// For this request's person.
    pub fn new(request: &HttpRequest, caller: Caller) -> Self {
        let inside = request.app_data::<Rc<dyn Inside>>().cloned().expect("every application is given its inside");
        Self { inside, caller, from: request.peer_addr() }
    }

    /// What the person may do.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Reads an object.
    pub async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T, Problem> {
        self.json(Method::GET, path, None).await
    }

    /// Posts, and reads the object that is answered.
    pub async fn post<T: DeserializeOwned>(&self, path: impl Into<String>, body: Value) -> Result<T, Problem> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// As [`Self::post`], for a form that may be sent twice.
    pub async fn post_once<T: DeserializeOwned>(&self, path: impl Into<String>, body: Value, key: &str) -> Result<T, Problem> {
        let answer = self.asked(Method::POST, path.into(), Some(body), Some(key.to_owned())).await;
        read(&good(answer).await?)
    }

    /// Does something whose answer is of no interest.
    pub async fn send(&self, method: Method, path: impl Into<String>, body: Option<Value>) -> Result<(), Problem> {
        good(self.asked(method, path.into(), body, None).await).await.map(drop)
    }

    /// A method that answers with an object.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: impl Into<String>,
        body: Option<Value>,
    ) -> Result<T, Problem> {
        read(&good(self.asked(method, path.into(), body, None).await).await?)
    }

    /// The answer as it comes, for what is handed on: a stream, a file.
    pub async fn raw(&self, method: Method, path: impl Into<String>) -> Answer {
        self.asked(method, path.into(), None, None).await
    }

    async fn asked(&self, method: Method, path: String, body: Option<Value>, key: Option<String>) -> Answer {
        let (caller, from) = (self.caller.clone(), self.from);
        self.inside.ask(Ask { caller, from, method, path, body, key }).await
    }
}

/// The body of a good answer; else the problem that it tells.
async fn good(answer: Answer) -> Result<Bytes, Problem> {
    let (status, retry_after) = (answer.status, retry_after(&answer.headers));
    let bytes = match actix_web::body::to_bytes_limited(answer.body, LARGEST).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) | Err(_) => return Err(Problem::new(Code::Internal, "The answer is too large for a page.")),
    };
    if status.is_success() {
        return Ok(bytes);
    }
    let told: Told = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut problem = Problem::new(Code::named(&told.code).unwrap_or(Code::Internal), told.detail);
    problem.errors = told.errors;
    problem.retry_after = retry_after;
    Err(problem)
}

fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok().map(std::time::Duration::from_secs)
}

fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let given: &[u8] = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(given).map_err(|error| {
        tracing::error!(%error, "an answer of the API is not what its page expects");
        Problem::new(Code::Internal, "The page and the API disagree; the node's log says more.")
    })
}

/// A problem document.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Told {
    code: String,
    detail: String,
    errors: Vec<FieldError>,
}
