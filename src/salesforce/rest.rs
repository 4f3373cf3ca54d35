//! The one way a request leaves for the REST API.
//!
//! Flow: the watch grants leave, the token and the version are there or are fetched, the request goes out, the answer's
//! `Date` and limit header are noted, a dead token is renewed once and the request replayed once, and anything but a
//! 2xx becomes a [`TrackerError`]. Redirects are never followed: the client has them off, and a 3xx is an error.
//!
//! An org can move (another instance, a renamed My Domain). Then its old address is unknown, answers 420 or points
//! elsewhere; the login tells the new one, so these are renewed and replayed too. A 401 that says "not valid for use with
//! the REST API" is about rights: a new login would be refused the same way, for ever.
//!
//! Which version: the newest that both know, from 46 on, since upserts in collections tell since then whether they
//! created; every org offers far newer ones.

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
    http_client::Kind,
};

/// Oldest version that is used.
pub(super) const OLDEST: ApiVersion = ApiVersion(46);
/// Newest version that this was built against.
const NEWEST: ApiVersion = ApiVersion(68);
/// Largest answer.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Longest wait for what only reads.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a query; Salesforce itself gives up after 120 s.
const QUERY_TIMEOUT: Duration = Duration::from_secs(130);
/// Longest pause that `Retry-After` is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
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
    /// Largest answer, in bytes.
    pub most: usize,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method: Method::GET, path: path.into(), query, body: None, headers, wrote: false, most: MOST_BYTES }
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

    fn timeout(&self) -> Duration {
        match self.wrote {
            true => WRITE_TIMEOUT,
            false if self.path.contains("/query") => QUERY_TIMEOUT,
            false => READ_TIMEOUT,
        }
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
    retry_after: Option<Duration>,
}

impl Answer {
    pub fn json(&self) -> Result<Value, TrackerError> {
        serde_json::from_slice(&self.body).map_err(|_| error::impostor("The answer is no JSON."))
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
                self.watch.ask_again(self.clock.now())?;
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
        match calls {
            Some(calls) => self.watch.told(calls),
            None => self.watch.told_nothing(),
        }
        Ok(calls)
    }

    async fn granted(&self, call: Call) -> Result<Answer, TrackerError> {
        let login = self.tokens.get().await?;
        let first = self.attempt(&login, &call).await;
        if !is_stale(&first) {
            return self.judge(first?, call.wrote);
        }
        self.tokens.refused(&login).await;
        let login = self.tokens.get().await?;
        let second = self.attempt(&login, &call).await?;
        self.judge(second, call.wrote)
    }

    async fn attempt(&self, login: &Login, call: &Call) -> Result<Answer, TrackerError> {
        let version = self.version(login).await?;
        self.send(login, version, call).await
    }

    async fn send(&self, login: &Login, version: ApiVersion, call: &Call) -> Result<Answer, TrackerError> {
        let url = match call.path.starts_with("/services/") {
            true => format!("{}{}", login.instance_url, call.path),
            false => format!("{}/services/data/{version}{}", login.instance_url, call.path),
        };
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .timeout(call.timeout())
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
        let retry_after = retry_after(response.headers());
        if status >= 400 {
            let id = response.headers().get("X-SFDC-Request-Id").and_then(|id| id.to_str().ok()).unwrap_or("none");
            tracing::debug!(status, request = id, "salesforce refused a call");
        }
        let body = capped(response, call.most, call.wrote).await?;
        Ok(Answer { status, date, body, retry_after })
    }

    fn judge(&self, answer: Answer, wrote: bool) -> Result<Answer, TrackerError> {
        if (200..300).contains(&answer.status) || answer.status == 304 {
            return Ok(answer);
        }
        let error = error::not_before(error::of_answer(answer.status, &answer.body, wrote), answer.retry_after);
        if error.code == "REQUEST_LIMIT_EXCEEDED" && !error.detail.to_lowercase().contains("concurrent") {
            self.watch.exhausted();
        }
        Err(error)
    }

    fn note(&self, headers: &HeaderMap) {
        for info in headers.get_all("Sforce-Limit-Info").iter().filter_map(|value| value.to_str().ok()) {
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
        let (status, wish) = (response.status().as_u16(), retry_after(response.headers()));
        let body = capped(response, 1024 * 1024, false).await?;
        if status != 200 {
            return Err(error::not_before(error::of_answer(status, &body, false), wish));
        }
        let list: Value = serde_json::from_slice(&body).map_err(|_| error::impostor("The list of API versions is no JSON."))?;
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

/// Whether a new login may mend it: the session is dead, or the org is no longer at this address.
fn is_stale(outcome: &Result<Answer, TrackerError>) -> bool {
    match outcome {
        Ok(answer) => is_dead_session(answer) || is_elsewhere(answer.status),
        Err(error) => error.code == Kind::Dns.as_str() || error.code == "HTTP_420" || error.code.starts_with("HTTP_30"),
    }
}

fn is_elsewhere(status: u16) -> bool {
    matches!(status, 301..=303 | 307 | 308 | 420)
}

fn is_dead_session(answer: &Answer) -> bool {
    let errors = error::read_body(&answer.body);
    let dead = |error: &error::ApiError| {
        error.code == "INVALID_SESSION_ID" && !error.message.to_lowercase().contains("not valid for use with the rest api")
    };
    answer.status == 401 && (errors.is_empty() || errors.iter().any(dead))
}

/// When to come again, as the answer asks: seconds, or a date by its sender's clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wish = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_time(text)?.since(date_of(headers)?),
    };
    Some(wish.min(LONGEST_PAUSE))
}

/// A moment as HTTP writes it.
pub(super) fn http_date(time: Time) -> Option<String> {
    let stamp = jiff::Timestamp::from_millisecond(time.millis()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&stamp).ok()
}

fn http_time(text: &str) -> Option<Time> {
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Time(stamp.as_millisecond()))
}

/// The sender's clock.
pub(super) fn date_of(headers: &HeaderMap) -> Option<Time> {
    http_time(headers.get(reqwest::header::DATE)?.to_str().ok()?)
}

/// A whole body, if it is no larger than allowed.
pub(super) async fn capped(response: Response, most: usize, wrote: bool) -> Result<Bytes, TrackerError> {
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| error::of_transport(&error, wrote))?;
        if body.len() + chunk.len() > most {
            return Err(error::too_large(most, wrote));
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
        let offered: Vec<_> = [20, 31, 45, 62, 66, 68, 70].map(ApiVersion).to_vec();
        assert_eq!(choose(&offered, None), Some(ApiVersion(68)));
        assert_eq!(choose(&offered, Some(ApiVersion(66))), Some(ApiVersion(66)));
        assert_eq!(choose(&offered, Some(ApiVersion(64))), Some(ApiVersion(62)));
        assert_eq!(choose(&[ApiVersion(30), ApiVersion(45)], None), None);
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
            retry_after: None,
            body: serde_json::json!([{"errorCode": "INVALID_SESSION_ID", "message": message}]).to_string().into(),
        };
        assert!(is_dead_session(&answer("Session expired or invalid")));
        assert!(!is_dead_session(&answer("This session is not valid for use with the REST API")));
        let bare = |body: &str| Answer { body: body.to_owned().into(), ..answer("") };
        assert!(is_dead_session(&bare("")) && is_dead_session(&bare("<html>no</html>")));
        assert!(!is_dead_session(&bare("[{\"errorCode\": \"INVALID_AUTH_HEADER\", \"message\": \"INVALID_HEADER_TYPE\"}]")));
    }

    #[test]
    fn the_wish_for_a_pause_is_read_in_both_forms() {
        let read = |wish: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("Date", "Tue, 24 Nov 2026 04:15:54 GMT".parse().expect("a header"));
            headers.insert("Retry-After", wish.parse().expect("a header"));
            retry_after(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(read("17"), Some(17));
        assert_eq!(read("Tue, 24 Nov 2026 04:16:54 GMT"), Some(60));
        assert_eq!(read("Tue, 24 Nov 2026 04:00:00 GMT"), Some(0));
        assert_eq!((read("99999999"), read("soon")), (Some(6 * 3600), None));
    }
}
