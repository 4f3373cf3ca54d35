//! What vouches for a request and for an answer.
//!
//! A request's token is bound to its body, its method and path, its receiver and its connection, lives 60 s at most
//! and is good once. The set of used ids lives in memory: a node that lost it refuses tokens made before it started
//! (`try_later`), except at its very first start, when no older token can exist.
//!
//! An answer's token names the request's `jti`, so an old answer fits no new request. It also names the connection
//! (`sub`): a stranger may borrow a `jti`, but then the answer speaks of another connection.

use serde::{Deserialize, Serialize};

use super::{
    keys::{NodeKey, PublicKey},
    lenient::seconds,
    protocol::{Refusal, SKEW, TOKEN_LIFE, canonical, claim},
};
use crate::{
    clock::Time,
    secret::{base64url, sha256},
};

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
}
