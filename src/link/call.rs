//! One signed call to another node, and what may be believed of its answer: nothing without the partner's signature.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};

use super::{
    Link,
    auth::{RequestClaims, body_hash, check_answer},
    keys::PublicKey,
    protocol::{MAX_BODY, PROOF, RefusalHeard, SIGNATURE, TOKEN_LIFE, claim},
};
use crate::http_client::vet;

/// A signed call that is about to leave.
pub(super) struct Outgoing<'a> {
    pub(super) partner: &'a PublicKey,
    /// The other node's address, with or without a path.
    pub(super) base: &'a str,
    pub(super) path: String,
    /// The connection's id.
    pub(super) subject: String,
    pub(super) body: Vec<u8>,
    pub(super) proof: Option<String>,
    pub(super) timeout: Duration,
    /// Seconds that the partner's clock is ahead of ours.
    pub(super) ahead: i64,
}

/// The partner's own word.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// Seconds that the partner's clock is ahead of ours.
    pub(super) ahead: i64,
    pub(super) retry_after: Option<Duration>,
}

impl Reply {
    /// What a refusal says.
    pub(super) fn refusal(&self) -> RefusalHeard {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// No word of the partner came.
#[derive(Debug)]
pub(super) struct Failure {
    /// For people.
    pub(super) reason: String,
    /// Status of an answer that nobody vouched for.
    pub(super) status: Option<u16>,
    /// The address may not be called: nothing left this machine.
    pub(super) blocked: bool,
}

impl Link {
    pub(super) async fn call(&self, call: Outgoing<'_>) -> Result<Reply, Failure> {
        let clock = &self.parts.clock;
        let iat = claim(clock.now()) + call.ahead;
        let claims = RequestClaims {
            iss: self.fingerprint(),
            aud: call.partner.fingerprint().to_owned(),
            sub: call.subject,
            iat,
            exp: iat + TOKEN_LIFE,
            jti: clock.id().to_string(),
            method: "POST".to_owned(),
            path: call.path,
            bh: body_hash(&call.body),
        };
        let url = join(call.base, &claims.path).ok_or_else(|| failure("the other node's address cannot be read", None))?;
        let allowed = vet(&url, &self.parts.guard).await;
        allowed.map_err(|blocked| Failure { reason: blocked.to_string(), status: None, blocked: true })?;
        let mut request = self
            .parts
            .http
            .post(url)
            .timeout(call.timeout)
            .header(AUTHORIZATION, format!("Bearer {}", self.key.sign(&claims)))
            .header(CONTENT_TYPE, "application/json")
            .body(call.body);
        if let Some(proof) = call.proof {
            request = request.header(PROOF, proof);
        }
        let answer = request.send().await.map_err(|error| failure(&chain(&error), None))?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let signature = header(SIGNATURE);
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = read(answer, MAX_BODY + 64 * 1024).await.map_err(|reason| failure(&reason, None))?;
        let vouched = signature
            .and_then(|token| check_answer(call.partner, self.key.public().fingerprint(), &token, &claims, status, &body));
        let Some(vouched) = vouched else {
            let reason =
                format!("the answer (HTTP {status}) is not signed by the other node; something in between answers for it");
            return Err(failure(&reason, Some(status)));
        };
        Ok(Reply { status, body, ahead: vouched.iat - claim(clock.now()), retry_after })
    }
}

/// A node's address and a path of the link.
pub(super) fn join(base: &str, path: &str) -> Option<url::Url> {
    let base = url::Url::parse(base).ok()?;
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return None;
    }
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read(mut answer: reqwest::Response, most: usize) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| chain(&error))? {
        if body.len() + chunk.len() > most {
            return Err(format!("the answer is larger than {most} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn failure(reason: &str, status: Option<u16>) -> Failure {
    Failure { reason: reason.to_owned(), status, blocked: false }
}

/// An error with its causes; the address is left out, a connection shows it anyway.
fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { "the call failed".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
