//! One signed call to another node, and what may be believed of its answer: nothing without the partner's signature.
//!
//! The partner's clock is read from signed answers only. An answer says at which second it was signed, and that moment
//! lies between our sending and our hearing: that gives two bounds ([`Ahead`]) and no single number. A held call gives wide
//! ones; they teach nothing wrong.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};

use super::{
    Link,
    auth::{RequestClaims, body_hash, check_answer},
    keys::PublicKey,
    protocol::{MAX_BODY, PROOF, RefusalHeard, SIGNATURE, TOKEN_LIFE, claim},
};
use crate::{
    clock::Time,
    http_client::{BodyError, Kind, Trouble, body_up_to, vet, why},
};

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
    /// Seconds that the partner's clock is ahead of ours, as far as it is known.
    pub(super) ahead: i64,
}

/// How far the partner's clock is ahead of ours, in milliseconds: not less than the first, not more than the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) least: i64,
    pub(super) most: i64,
}

/// Smaller steps of a clock difference are not worth a write: conflicts are judged to two seconds.
const SMALL_STEP: i64 = 250;
/// A step beyond this is no drift: the middle of the bounds is taken in place of the nearer one.
const LARGE_STEP: i64 = 1_500;

impl Ahead {
    /// `iat` has whole seconds: the answer was signed somewhere within that one.
    fn read(iat: i64, sent: Time, heard: Time) -> Self {
        let signed = iat.saturating_mul(1000);
        Self { least: signed.saturating_sub(heard.millis()), most: signed.saturating_add(999).saturating_sub(sent.millis()) }
    }

    /// What is believed from now on, where `kept` was believed: as little else as the bounds allow.
    pub(super) fn correct(self, kept: i64) -> i64 {
        let nearest = kept.clamp(self.least, self.most.max(self.least));
        match (nearest - kept).abs() {
            ..SMALL_STEP => kept,
            LARGE_STEP.. => self.least.midpoint(self.most),
            _ => nearest,
        }
    }
}

/// The partner's own word.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) ahead: Ahead,
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
    /// For people, about our own way out. What a stranger answered is not in it, but for `status`.
    pub(super) reason: String,
    /// What to do.
    pub(super) advice: String,
    /// Status of an answer that nobody vouched for.
    pub(super) status: Option<u16>,
    /// The address may not be called: nothing left this machine.
    pub(super) blocked: bool,
    /// The request was on its way when it ended: something in between may cut what is idle.
    pub(super) cut: bool,
}

impl Failure {
    /// The reason with the status, for the partner's own people.
    pub(super) fn said(&self) -> String {
        self.status.map_or_else(|| self.reason.clone(), |status| format!("{} (HTTP {status})", self.reason))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let blocked = trouble.kind == Kind::Blocked;
        Self { reason: trouble.what, advice: trouble.advice, status: None, blocked, cut: trouble.in_doubt }
    }
}

/// A captive page, an intercepting proxy, a wrong server: all the same to us.
fn not_signed(status: u16) -> Failure {
    Failure {
        reason: "what answers there is not the other node: its answer is not signed".to_owned(),
        advice: "Check the address, and whether a proxy or a sign-in page in between answers in the node's place.".to_owned(),
        status: Some(status),
        blocked: false,
        // What gives up waiting for the node says so.
        cut: matches!(status, 408 | 500..),
    }
}

impl Link {
    pub(super) async fn call(&self, call: Outgoing<'_>) -> Result<Reply, Failure> {
        let clock = &self.parts.clock;
        let url = join(call.base, &call.path).ok_or_else(unreadable)?;
        vet(&url, &self.parts.guard).await.map_err(Trouble::from)?;
        let sent = clock.now();
        let iat = claim(sent).saturating_add(call.ahead);
        let claims = RequestClaims {
            iss: self.fingerprint(),
            aud: call.partner.fingerprint().to_owned(),
            sub: call.subject,
            iat,
            exp: iat + TOKEN_LIFE,
            jti: clock.id().to_string(),
            method: "POST".to_owned(),
            // As it is asked for: with the base of the other node's address, where that has one.
            path: url.path().to_owned(),
            bh: body_hash(&call.body),
        };
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
        let answer = request.send().await.map_err(|error| why(&error))?;
        let status = answer.status().as_u16();
        if status == 407 {
            return Err(Trouble::proxy_wants_login().into());
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        // Without a signature the body says nothing: it is not even read.
        let Some(signature) = header(SIGNATURE) else { return Err(not_signed(status)) };
        let heard = clock.now();
        let body = body_up_to(answer, MAX_BODY + 64 * 1024).await.map_err(|error| match error {
            BodyError::Broken(trouble) => Failure::from(trouble),
            BodyError::TooLarge { .. } => not_signed(status),
        })?;
        let us = self.key.public().fingerprint();
        let Some(vouched) = check_answer(call.partner, us, &signature, &claims, status, &body) else {
            return Err(not_signed(status));
        };
        Ok(Reply { status, body, ahead: Ahead::read(vouched.iat, sent, heard), retry_after })
    }
}

fn unreadable() -> Failure {
    Failure {
        reason: "the other node's address cannot be read".to_owned(),
        advice: "Correct the address of the other node on this connection.".to_owned(),
        status: None,
        blocked: false,
        cut: false,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clocks_that_agree_are_left_alone_and_large_differences_are_found() {
        // Signed in second 1000, sent and heard around it.
        let quick = Ahead::read(1000, Time(1_000_200), Time(1_000_260));
        assert_eq!(quick.correct(0), 0);
        let behind = Ahead::read(1600, Time(1_000_200), Time(1_000_260));
        let found = behind.correct(0);
        assert!((599_700..=600_800).contains(&found), "{found}");
        // A held call has wide bounds: what was found stays.
        assert_eq!(Ahead::read(1640, Time(1_000_300), Time(1_040_400)).correct(found), found);
        assert_eq!(Ahead::read(1640, Time(1_000_300), Time(1_040_400)).correct(600_000), 600_000);
    }

    proptest! {
        #[test]
        fn the_difference_that_is_found_is_right_to_the_second(
            ahead in -1_000_000i64..1_000_000, calls in proptest::collection::vec((0i64..5_000, 0i64..60, 0i64..60), 4..40),
        ) {
            let (mut kept, mut now) = (0, 1_800_000_000_123i64);
            for (pause, there, back) in calls {
                let signed = (now + there + ahead).div_euclid(1000);
                kept = Ahead::read(signed, Time(now), Time(now + there + back)).correct(kept);
                now += there + back + pause;
            }
            prop_assert!((kept - ahead).abs() <= 1_400, "{} for {}", kept, ahead);
        }
    }
}
