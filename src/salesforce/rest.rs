//! The one way a request leaves for the REST API.
//!
//! Flow: the watch grants leave, the token and the version are there or are fetched, the request goes out, the answer's
//! `Date` and limit header are noted, a dead token is renewed once and the request replayed once, and anything but a
//! 2xx becomes a [`TrackerError`]. Redirects are never followed: the client has them off, and a 3xx is an error.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    error,
    oauth::Login,
    settings::{ApiVersion, Settings},
    tokens::Tokens,
    watch::{Leave, Watch},
};
use crate::{
    clock::{Clock, Time},
    domain::tracker::{ApiCalls, Caller, TrackerError},
};

/// Oldest version that is used; Salesforce has retired those before.
pub(super) const OLDEST: ApiVersion = ApiVersion(31);
/// Newest version that this was built against.
const NEWEST: ApiVersion = ApiVersion(68);
/// Largest answer.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for what only reads. Salesforce itself gives a query up after 120 s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a write; triggers and flows of the org run in it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// A request to be made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Below the version (`/query`), or from the root (`/services/…`, as `nextRecordsUrl` is).
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    pub headers: Vec<(&'static str, String)>,
    /// It could change something: without an answer nobody knows.
    pub wrote: bool,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), query: Vec::new(), body: None, headers: Vec::new(), wrote: false }
    }

    /// A POST that only reads, as collections are read.
    pub fn ask(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub fn write(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { method, body: Some(body), wrote: true, ..Self::get(path) }
    }

    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A good answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub date: Option<Time>,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Result<Value, TrackerError> {
        serde_json::from_slice(&self.body).map_err(|_| error::unexpected("The answer is no JSON.", false))
    }
}

/// One org over HTTP.
pub(super) struct Rest {
    pub settings: Arc<Settings>,
    pub http: reqwest::Client,
    pub clock: Arc<dyn Clock>,
    pub tokens: Tokens,
    pub watch: Watch,
    /// Salesforce's clock minus ours, in milliseconds.
    pub skew_ms: Arc<AtomicI64>,
    pub version: OnceCell<ApiVersion>,
}

impl Rest {
    /// Sends a request; see the top of the file.
    pub async fn call(&self, caller: Caller, call: Call) -> Result<Answer, TrackerError> {
        match self.watch.ask(caller, self.clock.now()) {
            Leave::Granted => {}
            Leave::Probe => {
                self.probe().await?;
                self.watch.ask_again()?;
            }
            Leave::Refused(error) => return Err(error),
        }
        self.granted(call).await
    }

    /// Asks `/limits`, whatever the reserve.
    pub async fn probe(&self) -> Result<Option<ApiCalls>, TrackerError> {
        let limits = self.granted(Call::get("/limits")).await?.json()?;
        let number = |name: &str| limits.pointer(&format!("/DailyApiRequests/{name}")).and_then(Value::as_u64);
        let calls = match (number("Max"), number("Remaining")) {
            (Some(limit), Some(remaining)) => Some(ApiCalls { used: limit.saturating_sub(remaining), limit }),
            _ => None,
        };
        if let Some(calls) = calls {
            self.watch.told(calls);
        }
        Ok(calls)
    }

    async fn granted(&self, call: Call) -> Result<Answer, TrackerError> {
        let login = self.tokens.get().await?;
        let version = self.version(&login).await?;
        let first = self.send(&login, version, &call).await?;
        if !is_dead_session(&first) {
            return self.judge(first, call.wrote);
        }
        self.tokens.refused(&login).await;
        let login = self.tokens.get().await?;
        let second = self.send(&login, version, &call).await?;
        self.judge(second, call.wrote)
    }

    async fn send(&self, login: &Login, version: ApiVersion, call: &Call) -> Result<Answer, TrackerError> {
        let url = match call.path.starts_with("/services/") {
            true => format!("{}{}", login.instance_url, call.path),
            false => format!("{}/services/data/{version}{}", login.instance_url, call.path),
        };
        let timeout = if call.wrote { WRITE_TIMEOUT } else { READ_TIMEOUT };
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .timeout(timeout)
            .bearer_auth(login.access_token.expose())
            .header("Accept", "application/json")
            .header("Sforce-Call-Options", "client=wicketgate");
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| error::of_transport(&error, call.wrote))?;
        self.note(response.headers());
        let (status, date) = (response.status().as_u16(), date_of(response.headers()));
        let body = capped(response, MOST_BYTES, call.wrote).await?;
        Ok(Answer { status, date, body })
    }

    fn judge(&self, answer: Answer, wrote: bool) -> Result<Answer, TrackerError> {
        if (200..300).contains(&answer.status) || answer.status == 304 {
            return Ok(answer);
        }
        let error = error::of_answer(answer.status, &answer.body, wrote);
        if error.code == "REQUEST_LIMIT_EXCEEDED" && !error.detail.to_lowercase().contains("concurrent") {
            self.watch.exhausted();
        }
        Err(error)
    }

    fn note(&self, headers: &HeaderMap) {
        if let Some(info) = headers.get("Sforce-Limit-Info").and_then(|value| value.to_str().ok()) {
            self.watch.heard(info);
        }
        if let Some(date) = date_of(headers) {
            self.skew_ms.store(date.millis() - self.clock.now().millis(), Ordering::Relaxed);
        }
    }

    /// The version to use, asked for once.
    pub async fn version(&self, login: &Login) -> Result<ApiVersion, TrackerError> {
        self.version
            .get_or_try_init(|| async {
                let offered = self.versions(&login.instance_url).await?;
                choose(&offered, self.settings.api_version).ok_or_else(|| {
                    error::unexpected(&format!("{} offers no version of the API from {OLDEST} on.", login.instance_url), false)
                })
            })
            .await
            .copied()
    }

    /// The versions that an org offers; needs no login.
    pub async fn versions(&self, base: &str) -> Result<Vec<ApiVersion>, TrackerError> {
        let request = self.http.get(format!("{base}/services/data/")).timeout(READ_TIMEOUT).header("Accept", "application/json");
        let response = request.send().await.map_err(|error| error::of_transport(&error, false))?;
        self.note(response.headers());
        let status = response.status().as_u16();
        let body = capped(response, 1024 * 1024, false).await?;
        if status != 200 {
            return Err(error::of_answer(status, &body, false));
        }
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(entries.iter().filter_map(|entry| ApiVersion::parse(entry.get("version")?.as_str()?)).collect())
    }

    /// The tracker's clock now.
    pub fn their_now(&self) -> Time {
        Time(self.clock.now().millis() + self.skew_ms.load(Ordering::Relaxed))
    }
}

/// The newest version that both know; a pinned one, or the newest below it.
fn choose(offered: &[ApiVersion], pinned: Option<ApiVersion>) -> Option<ApiVersion> {
    let most = pinned.unwrap_or(NEWEST);
    offered.iter().copied().filter(|version| (OLDEST..=most).contains(version)).max()
}

fn is_dead_session(answer: &Answer) -> bool {
    answer.status == 401
        && error::read_body(&answer.body).iter().any(|error| {
            error.code == "INVALID_SESSION_ID" && !error.message.to_lowercase().contains("not valid for use with the rest api")
        })
}

/// The sender's clock.
pub(super) fn date_of(headers: &HeaderMap) -> Option<Time> {
    let text = headers.get(reqwest::header::DATE)?.to_str().ok()?;
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Time(stamp.as_millisecond()))
}

/// A whole body, if it is no larger than allowed.
pub(super) async fn capped(response: Response, most: usize, wrote: bool) -> Result<Bytes, TrackerError> {
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| error::of_transport(&error, wrote))?;
        if body.len() + chunk.len() > most {
            return Err(error::unexpected(&format!("The answer is larger than {most} bytes."), wrote));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let offered: Vec<_> = [20, 31, 62, 66, 68, 70].map(ApiVersion).to_vec();
        assert_eq!(choose(&offered, None), Some(ApiVersion(68)));
        assert_eq!(choose(&offered, Some(ApiVersion(66))), Some(ApiVersion(66)));
        assert_eq!(choose(&offered, Some(ApiVersion(64))), Some(ApiVersion(62)));
        assert_eq!(choose(&[ApiVersion(30)], None), None);
    }

    #[test]
    fn the_date_header_is_a_time() {
        let mut headers = HeaderMap::new();
        headers.insert("Date", "Tue, 24 Nov 2026 04:15:54 GMT".parse().expect("a header"));
        assert_eq!(date_of(&headers).expect("a time").to_string(), "2026-11-24T04:15:54.000Z");
    }

    #[test]
    fn only_a_dead_session_is_renewed() {
        let answer = |message: &str| Answer {
            status: 401,
            date: None,
            body: serde_json::json!([{"errorCode": "INVALID_SESSION_ID", "message": message}]).to_string().into(),
        };
        assert!(is_dead_session(&answer("Session expired or invalid")));
        assert!(!is_dead_session(&answer("This session is not valid for use with the REST API")));
    }
}
