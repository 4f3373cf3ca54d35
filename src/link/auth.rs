//! What vouches for a request and for an answer.
//!
//! A request's token is bound to its body, its method and path, its receiver and its connection, lives 60 s at most
//! and is good once. The set of used ids lives in memory: a node that lost it refuses tokens made before it started
//! (`try_later`), except at its very first start, when no older token can exist.
//!
//! An answer's token names the request's `jti`, so an old answer fits no new request. It also names the connection
//! (`sub`): a stranger may borrow a `jti`, but then the answer speaks of another connection.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    keys::{NodeKey, PublicKey},
    protocol::{Refusal, SKEW, TOKEN_LIFE, canonical, claim},
};
use crate::{
    clock::Time,
    secret::{base64url, sha256},
};

/// Used ids that are remembered at most; beyond that requests wait.
const MOST_USED: usize = 200_000;
/// Of one issuer: a single partner stops no other.
const MOST_OF_ONE: usize = 50_000;
/// Two clocks that agree may show seconds that differ by one.
const SAME_SECOND: i64 = 1;
/// How far ahead a partner's clock was is written down in steps of so many seconds.
const AHEAD_STEP: i64 = 15;
/// After this no token from before the start passes the clock check.
const YOUNG: Duration = Duration::from_secs(200);

/// Claims of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct RequestClaims {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    pub jti: String,
    pub method: String,
    pub path: String,
    pub bh: String,
}

/// Claims of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct AnswerClaims {
    pub iss: String,
    pub aud: String,
    pub jti: String,
    pub status: u16,
    pub bh: String,
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

/// Whom a request says it is from and what it calls itself: enough to address a refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are link.md's")]
pub struct Claimed {
    pub iss: String,
    pub sub: String,
    pub jti: String,
}

/// A JWT's date: a number of seconds that may have a fraction (RFC 7519).
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    #[allow(clippy::cast_possible_truncation, reason = "a cast of what is out of range stays at the end")]
    let whole = |float: f64| float.floor() as i64;
    number.as_i64().or_else(|| number.as_f64().map(whole)).ok_or_else(|| serde::de::Error::custom("a number is expected"))
}

/// base64url SHA-256 of a body.
pub fn body_hash(body: &[u8]) -> String {
    base64url(&sha256(body))
}

/// What a token must fit.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Our fingerprint.
    pub audience: &'a str,
    /// The connection's id.
    pub subject: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Path as it came.
    pub path: &'a str,
    /// Body before any content encoding.
    pub body: &'a [u8],
}

/// Checks all of a request's token but its time and whether it was used.
pub fn check_request(key: &PublicKey, token: &str, expected: Expected<'_>) -> Result<RequestClaims, Refusal> {
    let claims: RequestClaims = key
        .verify_named(token, Some(expected.audience))
        .ok_or(Refusal::BadSignature("the token is not signed by the connection's key for this node"))?;
    let why = if claims.iss != key.fingerprint() {
        "iss is not the signer's fingerprint"
    } else if claims.sub != expected.subject {
        "sub is another connection"
    } else if !claims.method.eq_ignore_ascii_case(expected.method) || canonical(&claims.path) != canonical(expected.path) {
        "method or path are others"
    } else if claims.bh != body_hash(expected.body) {
        "bh is not the hash of the body"
    } else if claims.exp < claims.iat || claims.exp.saturating_sub(claims.iat) > TOKEN_LIFE {
        "the token may live 60 s at most"
    } else if claims.jti.is_empty() || claims.jti.len() > 200 {
        "jti must have 1 to 200 bytes"
    } else {
        return Ok(claims);
    };
    Err(Refusal::BadSignature(why))
}

/// The asker's clock against ours: seconds that it is behind, where that is too much.
pub fn check_clock(claims: &RequestClaims, now: Time) -> Result<(), Refusal> {
    let behind = claim(now).saturating_sub(claims.iat);
    if behind < -SKEW || claim(now) > claims.exp.saturating_add(SKEW) { Err(Refusal::ClockSkew(behind)) } else { Ok(()) }
}

/// Ids of tokens that were used.
#[derive(Debug)]
pub struct Used {
    /// Tokens made before this moment may have been used with a process that is no more.
    since: Option<Time>,
    kept: Mutex<Kept>,
}

/// What stands for an issuer and an id.
type Short = [u8; 16];

#[derive(Debug, Default)]
struct Kept {
    ids: HashSet<Short>,
    by_end: BTreeMap<(i64, Short), Arc<str>>,
    of_one: HashMap<Arc<str>, usize>,
    /// What stands on disk of partners whose clocks are ahead.
    ahead: HashMap<String, i64>,
}

impl Used {
    /// None used. `since`: when the process started, unless no earlier one can have used any.
    pub fn new(since: Option<Time>) -> Self {
        Self { since, kept: Mutex::default() }
    }

    /// Whether a token from before the start could still pass: then what is on disk of its issuer has to be asked.
    pub fn is_young(&self, now: Time) -> bool {
        self.since.is_some_and(|since| now < since.plus(YOUNG))
    }

    /// Uses a token up. A number is to be written down before the request does anything: no token of this issuer that
    /// was made up to it is good after a restart.
    pub fn take(&self, claims: &RequestClaims, now: Time) -> Result<Option<i64>, Refusal> {
        if self.since.is_some_and(|since| claims.iat < claim(since).saturating_add(SAME_SECOND + 1)) {
            return Err(Refusal::TryLater(1));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget(claim(now));
        let issuer: Arc<str> = claims.iss.as_str().into();
        if kept.ids.len() >= MOST_USED || kept.of_one.get(&issuer).is_some_and(|count| *count >= MOST_OF_ONE) {
            return Err(Refusal::TryLater(5));
        }
        let id = short(claims);
        if !kept.ids.insert(id) {
            return Err(Refusal::BadSignature("this token was used before"));
        }
        // Kept as long as the clock check would let it pass.
        kept.by_end.insert((claims.exp.saturating_add(SKEW + 1), id), issuer.clone());
        *kept.of_one.entry(issuer).or_default() += 1;
        if claims.iat <= claim(now) + SAME_SECOND || kept.ahead.get(&claims.iss).is_some_and(|mark| *mark >= claims.iat) {
            return Ok(None);
        }
        let mark = claims.iat + AHEAD_STEP;
        kept.ahead.insert(claims.iss.clone(), mark);
        Ok(Some(mark))
    }
}

impl Kept {
    fn forget(&mut self, now: i64) {
        while let Some((&(end, id), _)) = self.by_end.first_key_value()
            && end < now
        {
            let issuer = self.by_end.remove(&(end, id));
            self.ids.remove(&id);
            let Some(issuer) = issuer else { continue };
            if let Some(count) = self.of_one.get_mut(&issuer) {
                *count -= 1;
                if *count == 0 {
                    self.of_one.remove(&issuer);
                }
            }
        }
    }
}

fn short(claims: &RequestClaims) -> Short {
    let hash = sha256(format!("{}\n{}", claims.iss, claims.jti).as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

/// Signs an answer to a request.
pub fn sign_answer(key: &NodeKey, asker: &str, jti: &str, subject: &str, status: u16, body: &[u8], now: Time) -> String {
    key.sign(&AnswerClaims {
        iss: key.public().fingerprint().to_owned(),
        aud: asker.to_owned(),
        jti: jti.to_owned(),
        status,
        bh: body_hash(body),
        iat: claim(now),
        sub: Some(subject.to_owned()),
    })
}

/// Whether an answer is the partner's word on our request.
pub fn check_answer(
    partner: &PublicKey,
    us: &str,
    token: &str,
    request: &RequestClaims,
    status: u16,
    body: &[u8],
) -> Option<AnswerClaims> {
    let claims: AnswerClaims = partner.verify(token, Some(us))?;
    let fits = claims.iss == partner.fingerprint()
        && claims.jti == request.jti
        && claims.status == status
        && claims.bh == body_hash(body)
        && claims.sub.as_deref().is_none_or(|subject| subject == request.sub);
    fits.then_some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(body: &[u8], iat: i64) -> RequestClaims {
        let key = NodeKey::from_seed(&[1; 32]).expect("seed");
        RequestClaims {
            iss: key.public().fingerprint().to_owned(),
            aud: "us".to_owned(),
            sub: "c".to_owned(),
            iat,
            exp: iat + 60,
            jti: "j".to_owned(),
            method: "POST".to_owned(),
            path: "/link/v1/x".to_owned(),
            bh: body_hash(body),
        }
    }

    #[test]
    fn a_request_fits_only_its_own_call() {
        let key = NodeKey::from_seed(&[1; 32]).expect("seed");
        let token = key.sign(&claims(b"body", 1000));
        let expected = Expected { audience: "us", subject: "c", method: "POST", path: "/prefix/link/v1/x", body: b"body" };
        assert!(check_request(key.public(), &token, expected).is_ok());
        for other in [
            Expected { audience: "them", ..expected },
            Expected { subject: "d", ..expected },
            Expected { method: "PUT", ..expected },
            Expected { path: "/link/v1/y", ..expected },
            Expected { body: b"other", ..expected },
        ] {
            assert!(matches!(check_request(key.public(), &token, other), Err(Refusal::BadSignature(_))), "{other:?}");
        }
        let long = key.sign(&RequestClaims { exp: 1061, ..claims(b"body", 1000) });
        assert!(check_request(key.public(), &long, expected).is_err());
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let claims = claims(b"", 1000);
        assert!(check_clock(&claims, Time::from_seconds(940)).is_ok());
        assert!(check_clock(&claims, Time::from_seconds(1120)).is_ok());
        assert_eq!(check_clock(&claims, Time::from_seconds(1300)), Err(Refusal::ClockSkew(300)));
        assert_eq!(check_clock(&claims, Time::from_seconds(900)), Err(Refusal::ClockSkew(-100)));
    }

    #[test]
    fn a_token_is_good_once_and_not_from_an_earlier_life() {
        let used = Used::new(Some(Time::from_seconds(1000)));
        let now = Time::from_seconds(1002);
        assert!(used.take(&claims(b"", 1002), now).is_ok());
        assert!(matches!(used.take(&claims(b"", 1002), now), Err(Refusal::BadSignature(_))));
        assert_eq!(used.take(&RequestClaims { jti: "k".to_owned(), ..claims(b"", 1001) }, now), Err(Refusal::TryLater(1)));
        assert!(Used::new(None).take(&claims(b"", 999), now).is_ok());
    }

    #[test]
    fn what_is_remembered_has_bounds_and_an_end() {
        let used = Used::new(None);
        let take = |iss: &str, jti: usize, now: i64| {
            let claims = RequestClaims { iss: iss.to_owned(), jti: jti.to_string(), ..claims(b"", 1000) };
            used.take(&claims, Time::from_seconds(now))
        };
        for jti in 0..MOST_OF_ONE {
            assert_eq!(take("one", jti, 1000), Ok(None));
        }
        assert_eq!(take("one", MOST_OF_ONE, 1000), Err(Refusal::TryLater(5)));
        assert_eq!(take("two", 0, 1000), Ok(None), "one partner stops no other");
        assert!(matches!(take("two", 0, 1121), Err(Refusal::BadSignature(_))), "remembered as long as it would pass");
        let late = RequestClaims { jti: "new".to_owned(), ..claims(b"", 1122) };
        assert!(used.take(&late, Time::from_seconds(1122)).is_ok());
        assert_eq!(used.kept.lock().expect("nobody panicked").ids.len(), 1);
    }

    #[test]
    fn a_clock_that_is_ahead_is_written_down_now_and_then() {
        let used = Used::new(None);
        let take = |iat: i64| {
            let claims = RequestClaims { jti: iat.to_string(), ..claims(b"", iat) };
            used.take(&claims, Time::from_seconds(1000)).expect("good")
        };
        assert_eq!((take(1001), take(1030), take(1040), take(1045), take(1046)), (None, Some(1045), None, None, Some(1061)));
    }
}
