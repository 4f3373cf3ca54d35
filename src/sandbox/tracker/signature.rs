//! Standard Webhooks signatures (version 1, shared secret), as a system of its own would have them.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    clock::Time,
    secret::{Secret, same_bytes},
};

/// How far a message's time may lie from ours, in seconds.
const TOLERANCE: i64 = 5 * 60;

fn signature(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> String {
    let text = secret.expose();
    let key = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_else(|| text.as_bytes().to_vec());
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// The three headers that go with a body.
pub(super) fn sign(secret: &Secret, id: &str, now: Time, body: &[u8]) -> [(&'static str, String); 3] {
    let seconds = now.seconds();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature(secret, id, seconds, body)),
    ]
}

/// Whether a message was signed with this secret within the last minutes.
pub(super) fn verify(secret: &Secret, id: &str, stamp: &str, signatures: &str, now: Time, body: &[u8]) -> bool {
    let Ok(seconds) = stamp.parse::<i64>() else { return false };
    if id.is_empty() || (now.seconds() - seconds).abs() > TOLERANCE {
        return false;
    }
    let expected = signature(secret, id, seconds, body);
    signatures.split(' ').any(|given| same_bytes(given.as_bytes(), expected.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example_verifies() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let now = Time::from_seconds(1_614_265_330);
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(verify(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signed, now, body));
        assert!(!verify(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signed, now, b"{}"));
        let late = Time::from_seconds(1_614_265_330 + 301);
        assert!(!verify(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signed, late, body));
    }
}
