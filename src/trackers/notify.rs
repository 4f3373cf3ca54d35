//! `[notify]`: tells an address of the operator's about errors and connections, as Standard Webhooks.
//!
//! This is one send; what to tell, when, and how often to repeat is decided where it is called. A repeat gives the same
//! `id` and `at`, so that the receiver can drop it.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    MAX_ANSWER, answer,
    standard_webhooks::{SecretError, Secrets, Signer},
};
use crate::{
    clock::{Clock, Time},
    domain::tracker::{Fault, Retry, TrackerError},
    http_client::{body_up_to, why},
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `[notify]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where notices are sent.
    pub url: Url,
    /// `whsec_…`, or a list while one is being replaced.
    pub secret: Secrets,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeKind {
    /// Something is held up.
    #[serde(rename = "error.opened")]
    ErrorOpened,
    /// It is no longer.
    #[serde(rename = "error.closed")]
    ErrorClosed,
    /// A connection rests.
    #[serde(rename = "connection.paused")]
    ConnectionPaused,
    /// The other side joined.
    #[serde(rename = "connection.accepted")]
    ConnectionAccepted,
}

#[derive(Serialize)]
struct Notice<'a> {
    r#type: NoticeKind,
    timestamp: Time,
    data: &'a Value,
}

/// Sends notices.
#[derive(Clone, Debug)]
pub struct Notifier {
    url: Url,
    signer: Signer,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl Notifier {
    /// `http` comes from [`crate::http_client::client`].
    pub fn new(settings: Settings, http: reqwest::Client, clock: Arc<dyn Clock>) -> Result<Self, SecretError> {
        let signer = Signer::new(&settings.secret)?;
        Ok(Self { url: settings.url, signer, http, clock })
    }

    /// Sends one notice. `id` names it (`webhook-id`); `at` is when it happened. Any 2xx is a yes; after an error its
    /// `retry` says what to do.
    pub async fn send(&self, kind: NoticeKind, data: &Value, id: &str, at: Time) -> Result<(), TrackerError> {
        let body = serde_json::to_vec(&Notice { r#type: kind, timestamp: at, data })
            .expect("a JSON value with a text and a time beside it is JSON");
        let now = self.clock.now();
        let request = self.http.post(self.url.clone()).timeout(TIMEOUT).header("content-type", "application/json");
        let request =
            self.signer.sign(id, now, &body).into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let response = request.body(body).send().await.map_err(|error| answer::no_answer(why(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let pause = answer::retry_after(response.headers(), now);
        // The refusal counts, whatever becomes of its text.
        let text = body_up_to(response, MAX_ANSWER).await.map(|bytes| answer::clean_text(&bytes)).unwrap_or_default();
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        Err(TrackerError {
            fault: if passes { Fault::Network } else { Fault::Configuration },
            retry: if passes { Retry::Soon(pause) } else { Retry::Newer },
            code: status.as_u16().to_string(),
            title: "The notice was not taken".to_owned(),
            detail: format!("HTTP {}: {text}", status.as_u16()),
            advice: "Check `[notify]`: its address, and that `secret` is the same on both sides. Redirects are not followed."
                .to_owned(),
            in_doubt: status.is_server_error(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        clock::ManualClock,
        http_client::{Guard, Network, client},
        secret::Secret,
        trackers::stub::{Request, Stub, reply},
    };

    #[tokio::test]
    async fn a_notice_is_signed_and_its_answer_heard() {
        let stub = Stub::start(|request: &Request| match request.headers["webhook-id"].as_str() {
            "busy" => reply(503, "retry-after: 5\r\n", "later"),
            "wrong" => reply(404, "", "nobody here"),
            _ => reply(202, "", ""),
        })
        .await;
        let secret = Secrets::One(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        let settings = Settings { url: stub.url.parse().expect("a URL"), secret: secret.clone() };
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_800_000_000)));
        let http = client(&Network::default(), &Guard::Operator).expect("a client");
        let notifier = Notifier::new(settings, http, clock.clone()).expect("a notifier");
        let data = json!({"id": "1", "title": "Held up"});
        let send = |id: &'static str| notifier.send(NoticeKind::ErrorOpened, &data, id, Time::from_seconds(1_700_000_000));
        send("one").await.expect("taken");
        let busy = send("busy").await.expect_err("busy");
        assert_eq!((busy.fault, busy.retry), (Fault::Network, Retry::Soon(Some(Duration::from_secs(5)))));
        let wrong = send("wrong").await.expect_err("wrong");
        assert_eq!((wrong.fault, wrong.detail.as_str()), (Fault::Configuration, "HTTP 404: nobody here"));

        let seen = stub.seen().remove(0);
        assert_eq!(Signer::new(&secret).expect("a secret").verify(seen.signature(), &seen.body, clock.now()), Ok("one"));
        let expected = r#"{"type":"error.opened","timestamp":"2023-11-14T22:13:20.000Z","data":{"id":"1","title":"Held up"}}"#;
        assert_eq!(std::str::from_utf8(&seen.body), Ok(expected));
    }
}
