//! What a token answer says beside the token: which org and user, where their API is, and its signature.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::ids;
use crate::secret::{Secret, same_bytes};

/// What Salesforce adds to a token answer.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Extra {
    #[serde(default)]
    pub instance_url: Option<String>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub issued_at: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
}

/// Documented as text; a number means the same.
fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Extra")
    }
}

impl oauth2::ExtraTokenFields for Extra {}

pub(super) fn signed(id: &str, issued_at: &str, signature: &str, secret: &Secret) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let expected = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
    same_bytes(expected.as_bytes(), signature.as_bytes())
}

/// Org and user: the last two segments of the identity URL.
pub(super) fn identity_of(url: &str) -> Option<(String, String)> {
    let mut segments = url.trim_end_matches('/').rsplit('/');
    let user = ids::complete(segments.next()?)?;
    let org = ids::complete(segments.next()?)?;
    org.starts_with("00D").then_some((org, user))
}

pub(super) fn instance_of(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "https" | "http") && url.has_host()).then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_url_names_org_and_user() {
        let url = "https://login.salesforce.com/id/00D5i000000XyZaEAK/0055i000003sTuVAAU";
        assert_eq!(identity_of(url), Some(("00D5i000000XyZaEAK".into(), "0055i000003sTuVAAU".into())));
        assert_eq!(identity_of("https://login.salesforce.com/id/"), None);
    }

    #[test]
    fn the_signature_is_of_id_and_hour() {
        let secret = Secret::new("s3cret");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        let good = STANDARD.encode(hmac::sign(&key, b"https://x/id/a/b1795402641000"));
        assert!(signed("https://x/id/a/b", "1795402641000", &good, &secret));
        assert!(!signed("https://x/id/a/c", "1795402641000", &good, &secret));
    }
}
