//! Signing and verifying by the Standard Webhooks specification (version 1, symmetric).
//!
//! Three headers go with a body: `webhook-id` (the same at every repeat), `webhook-timestamp` (seconds since 1970 at
//! sending), `webhook-signature` (`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several, with a space
//! between). To replace a secret without a gap both sides list the new and the old one for a while: the sender signs
//! with all, the receiver takes any.
//!
//! Traps. The signature is over the bytes that travel: parse and write again, and it fails. The time-stamp is that of
//! sending, not of the event, or a repeat after five minutes would be refused.

use std::{fmt, time::Duration};

use aws_lc_rs::hmac;
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use serde::Deserialize;

use crate::{clock::Time, secret::Secret};

/// How far a message's time may lie from ours.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// Header with the message's id.
pub const ID: &str = "webhook-id";
/// Header with the moment of sending.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// Longest id, in bytes.
const MAX_ID: usize = 255;
/// Longest list of signatures, in bytes.
const MAX_SIGNATURES: usize = 4096;

/// Padding is optional: secrets are copied by hand.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `secret = "whsec_…"`, or a list while one is being replaced.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Secrets {
    /// The usual case.
    One(Secret),
    /// The new one first.
    Several(Vec<Secret>),
}

/// A secret that cannot be used; the text never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Hexadecimal, raw, or another form.
    #[error(
        "the secret does not begin with `whsec_`: Standard Webhooks secrets are `whsec_` and 24 to 64 random bytes in base64"
    )]
    Prefix,
    /// `whsk_` and `whpk_` belong to public-key signatures.
    #[error("this is a key of the public-key form (`whsk_`, `whpk_`); a shared secret that begins with `whsec_` is needed")]
    Asymmetric,
    /// Not base64 after the prefix.
    #[error("what follows `whsec_` in the secret is not base64")]
    Base64,
    /// Too short to be safe, or longer than the specification has it.
    #[error("the secret holds {0} bytes; Standard Webhooks asks for 24 to 64")]
    Length(usize),
    /// An empty list.
    #[error("no secret is given")]
    None,
}

/// A message that is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is not there.
    #[error("the header `{0}` is missing; the message must be signed by the Standard Webhooks specification")]
    Missing(&'static str),
    /// The id is empty, too long or not plain text.
    #[error("the header `webhook-id` must hold 1 to 255 printable characters")]
    BadId,
    /// The time-stamp is no number of seconds.
    #[error("the header `webhook-timestamp` must hold whole seconds since 1970")]
    BadTimestamp,
    /// Sent too long ago.
    #[error(
        "the message was sent {0} seconds ago; at most 300 are accepted: a repeat is signed anew, and both clocks must be right"
    )]
    TooOld(u64),
    /// Sent in the future.
    #[error("the message comes {0} seconds from the future; at most 300 are accepted: both clocks must be right")]
    TooNew(u64),
    /// None fits.
    #[error("no signature matches: check that both sides hold the same secret, and that nothing in between alters the body")]
    NoMatch,
}

/// The three headers as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub signature: Option<&'a str>,
}

/// Signs with all its secrets and verifies with any.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads the secrets.
    pub fn new(secrets: &Secrets) -> Result<Self, SecretError> {
        let secrets = match secrets {
            Secrets::One(secret) => std::slice::from_ref(secret),
            Secrets::Several(secrets) => secrets,
        };
        if secrets.is_empty() {
            return Err(SecretError::None);
        }
        let keys = secrets.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The headers for a message that leaves now.
    pub fn sign(&self, id: &str, now: Time, body: &[u8]) -> [(&'static str, String); 3] {
        let timestamp = now.seconds().to_string();
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| {
                let mut context = hmac::Context::with_key(key);
                feed(&mut context, id, &timestamp, body);
                format!("v1,{}", STANDARD.encode(context.sign()))
            })
            .collect();
        [(ID, id.to_owned()), (TIMESTAMP, timestamp), (SIGNATURE, signatures.join(" "))]
    }

    /// Checks a message that came, and gives its id.
    pub fn verify<'a>(&self, headers: Headers<'a>, body: &[u8], now: Time) -> Result<&'a str, VerifyError> {
        let id = headers.id.ok_or(VerifyError::Missing(ID))?;
        let timestamp = headers.timestamp.ok_or(VerifyError::Missing(TIMESTAMP))?;
        let signatures = headers.signature.ok_or(VerifyError::Missing(SIGNATURE))?;
        if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
            return Err(VerifyError::BadId);
        }
        let sent: i64 = timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
        let age = now.seconds().saturating_sub(sent);
        if age.unsigned_abs() > TOLERANCE.as_secs() {
            let seconds = age.unsigned_abs();
            return Err(if age > 0 { VerifyError::TooOld(seconds) } else { VerifyError::TooNew(seconds) });
        }
        let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let matches = signatures.len() <= MAX_SIGNATURES
            && signatures
                .split(' ')
                .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
                // `hmac::verify` compares in constant time.
                .any(|tag| self.keys.iter().any(|key| hmac::verify(key, &message, &tag).is_ok()));
        if matches { Ok(id) } else { Err(VerifyError::NoMatch) }
    }
}

fn feed(context: &mut hmac::Context, id: &str, timestamp: &str, body: &[u8]) {
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, SecretError> {
    let text = secret.expose().trim();
    if text.starts_with("whsk_") || text.starts_with("whpk_") {
        return Err(SecretError::Asymmetric);
    }
    let encoded = text.strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
    let bytes = zeroize::Zeroizing::new(LENIENT.decode(encoded).map_err(|_| SecretError::Base64)?);
    match bytes.len() {
        24..=64 => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        length => Err(SecretError::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn signer(secrets: &[&str]) -> Signer {
        Signer::new(&Secrets::Several(secrets.iter().map(|text| Secret::new(*text)).collect())).expect("secrets")
    }

    fn headers<'a>(signed: &'a [(&'static str, String); 3]) -> Headers<'a> {
        Headers { id: Some(&signed[0].1), timestamp: Some(&signed[1].1), signature: Some(&signed[2].1) }
    }

    #[test]
    fn signs_a_known_message_as_others_do() {
        // Worked out with another HMAC library over `msg_1.1614265330.{"test": 2432232314}`.
        let signed = signer(&[OLD]).sign("msg_1", Time::from_seconds(1_614_265_330), br#"{"test": 2432232314}"#);
        assert_eq!(signed[1].1, "1614265330");
        assert_eq!(signed[2].1, "v1,9o7UeFkn1GjVbcY4emAJruJCYqgH2EIf8u/slvVRBZI=");
    }

    #[test]
    fn secrets_are_replaced_without_a_gap() {
        let now = Time::from_seconds(1_800_000_000);
        let both = signer(&[NEW, OLD]);
        for receiver in [signer(&[OLD]), signer(&[NEW])] {
            assert_eq!(receiver.verify(headers(&both.sign("m", now, b"{}")), b"{}", now), Ok("m"));
            assert_eq!(both.verify(headers(&receiver.sign("m", now, b"{}")), b"{}", now), Ok("m"));
        }
        let foreign = signer(&[OLD]).sign("m", now, b"{}");
        assert_eq!(signer(&[NEW]).verify(headers(&foreign), b"{}", now), Err(VerifyError::NoMatch));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let now = Time::from_seconds(1_800_000_000);
        let signer = signer(&[OLD]);
        let signed = signer.sign("m", now, b"{}");
        let good = headers(&signed);
        let verify = |headers, seconds: i64| signer.verify(headers, b"{}", Time::from_seconds(1_800_000_000 + seconds));
        assert_eq!(verify(Headers { id: None, ..good }, 0), Err(VerifyError::Missing(ID)));
        assert_eq!(verify(Headers { timestamp: None, ..good }, 0), Err(VerifyError::Missing(TIMESTAMP)));
        assert_eq!(verify(Headers { signature: None, ..good }, 0), Err(VerifyError::Missing(SIGNATURE)));
        assert_eq!(verify(Headers { id: Some(""), ..good }, 0), Err(VerifyError::BadId));
        assert_eq!(verify(Headers { timestamp: Some("soon"), ..good }, 0), Err(VerifyError::BadTimestamp));
        assert_eq!(
            verify(Headers { timestamp: Some("-9223372036854775808"), ..good }, 0),
            Err(VerifyError::TooOld(i64::MAX as u64))
        );
        assert_eq!((verify(good, 300), verify(good, -300)), (Ok("m"), Ok("m")));
        assert_eq!((verify(good, 301), verify(good, -301)), (Err(VerifyError::TooOld(301)), Err(VerifyError::TooNew(301))));
        let others = format!("v1a,AAAA  v1,not-base64 {}", signed[2].1);
        assert_eq!(verify(Headers { signature: Some(&others), ..good }, 0), Ok("m"), "unknown ones are passed over");
    }

    #[test]
    fn other_forms_of_secrets_are_refused() {
        let read = |text: &str| Signer::new(&Secrets::One(Secret::new(text))).map(|_| ());
        assert_eq!(read("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"), Err(SecretError::Prefix));
        assert_eq!(read("whsk_AAAA"), Err(SecretError::Asymmetric));
        assert_eq!(read("whsec_!"), Err(SecretError::Base64));
        assert_eq!(read("whsec_aHVzaA=="), Err(SecretError::Length(4)));
        assert_eq!(read(NEW.trim_end_matches('=')), Ok(()));
        assert_eq!(Signer::new(&Secrets::Several(Vec::new())).map(|_| ()), Err(SecretError::None));
    }

    proptest! {
        #[test]
        fn any_altered_byte_fails(body in proptest::collection::vec(any::<u8>(), 1..200), at: proptest::sample::Index, bit in 0u8..8) {
            let now = Time::from_seconds(1_800_000_000);
            let signer = signer(&[OLD]);
            let signed = signer.sign("msg_1", now, &body);
            prop_assert_eq!(signer.verify(headers(&signed), &body, now), Ok("msg_1"));
            let mut altered = body.clone();
            altered[at.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(signer.verify(headers(&signed), &altered, now), Err(VerifyError::NoMatch));
            prop_assert_eq!(
                signer.verify(Headers { id: Some("msg_2"), ..headers(&signed) }, &body, now),
                Err(VerifyError::NoMatch)
            );
            prop_assert_eq!(
                signer.verify(Headers { timestamp: Some("1800000001"), ..headers(&signed) }, &body, now),
                Err(VerifyError::NoMatch)
            );
        }

        #[test]
        fn verifying_never_panics(id in ".{0,300}", timestamp in ".{0,30}", signature in ".{0,200}", seconds: i32) {
            let headers = Headers { id: Some(&id), timestamp: Some(&timestamp), signature: Some(&signature) };
            let verified = signer(&[OLD]).verify(headers, b"body", Time::from_seconds(seconds.into()));
            prop_assert!(verified.is_err());
        }
    }
}
