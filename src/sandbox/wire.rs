//! What both simulated systems share on the wire: a dropped connection, the date header, reading forms, the client
//! with which they call out.
//!
//! A lost answer is made by a body that fails at its first byte. Actix has then encoded the head but not flushed it, so
//! the peer sees the connection close without an answer; a peer that was quicker would see a head with a truncated body.
//! Either way no client can take it for an answer.

use std::time::Duration;

use actix_web::{HttpResponse, http::header};
use bytes::Bytes;
use futures_util::stream;

use crate::{
    clock::{Clock, Time},
    http_client::{self, Guard, Network},
};

/// An answer that never arrives whole: the connection is closed in its place.
pub(super) fn reset() -> HttpResponse {
    let broken = stream::iter([Err::<Bytes, std::io::Error>(std::io::Error::other("the connection is dropped on purpose"))]);
    HttpResponse::Ok().insert_header((header::CONNECTION, "close")).streaming(broken)
}

/// A moment as HTTP writes it (RFC 9110).
pub(super) fn http_date(time: Time) -> String {
    jiff::Timestamp::from_millisecond(time.millis())
        .ok()
        .and_then(|stamp| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&stamp).ok())
        .unwrap_or_default()
}

/// Reads `a=b&c=d`, as a query string or a form has it.
pub(super) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// The first value of a name.
pub(super) fn pick<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Random text from an alphabet of letters and digits.
pub(super) fn random_text(clock: &dyn Clock, length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = vec![0u8; length];
    clock.random(&mut bytes);
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// A number from 0 to 1.
pub(super) fn chance(clock: &dyn Clock) -> f64 {
    let mut bytes = [0u8; 4];
    clock.random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// What came back from a call that a simulated system made.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// The client with which a simulated system calls the addresses that its user typed.
#[derive(Clone, Debug)]
pub(super) struct Caller(reqwest::Client);

impl Caller {
    /// Makes it; fails only where the system's roots cannot be read.
    pub(super) fn new() -> std::io::Result<Self> {
        http_client::client(&Network::default(), &Guard::Operator).map(Self).map_err(|error| std::io::Error::other(error.0))
    }

    /// Sends one POST; `Err` says what went wrong on the way.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<Answer, String> {
        let mut request = self.0.post(url).timeout(wait).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| error.without_url().to_string())?;
        Ok(Answer { status, body: body.to_vec() })
    }
}
