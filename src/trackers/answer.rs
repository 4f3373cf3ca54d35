//! What several adapters read out of answers: times, pauses, a stranger's text, and a failed call as the engine's error.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use crate::{
    clock::Time,
    domain::tracker::{Fault, Retry, TrackerError},
    http_client::{Kind, Trouble},
    telemetry::redact,
};

/// Longest pause that an answer may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Most characters of an answer's text that become part of an error.
const MAX_TEXT: usize = 2000;
/// Longest address of a record.
const MAX_URL: usize = 2000;

/// A call that brought no good answer, as the engine's error.
pub(super) fn no_answer(trouble: Trouble) -> TrackerError {
    TrackerError {
        fault: match trouble.kind {
            Kind::Blocked | Kind::Request => Fault::Configuration,
            _ => Fault::Network,
        },
        retry: Retry::Soon(None),
        code: trouble.kind.as_str().to_owned(),
        title: "The tracker could not be reached".to_owned(),
        detail: trouble.what,
        advice: trouble.advice,
        in_doubt: trouble.in_doubt,
    }
}

/// A stranger's text for people: without control characters other than line ends, cut to 2,000 characters, and without
/// what looks like a secret: some receivers quote what they were sent.
pub(super) fn clean_text(bytes: &[u8]) -> String {
    let text = redact(&String::from_utf8_lossy(bytes.get(..MAX_TEXT * 8).unwrap_or(bytes)));
    let mut shown = text.trim().chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    let mut clean: String = shown.by_ref().take(MAX_TEXT).collect();
    if shown.next().is_some() {
        clean.push('…');
    }
    clean
}

/// `Retry-After` in seconds or as a date; at most a day.
pub(super) fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.since(now),
    };
    Some(pause.min(MAX_PAUSE))
}

/// The sender's clock, from `Date`.
pub(super) fn date(headers: &HeaderMap) -> Option<Time> {
    http_date(text_of(headers, &header::DATE)?)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn http_date(text: &str) -> Option<Time> {
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    Some(Time(stamp.as_millisecond()))
}

/// An address that people may be given as a link: `http` or `https`, with a host.
pub(super) fn shown_url(text: &str) -> Option<String> {
    if text.len() > MAX_URL {
        return None;
    }
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().expect("a header"))]);
        retry_after(&headers, "2026-11-24T04:00:00Z".parse().expect("a time"))
    }

    #[test]
    fn pauses_come_as_seconds_or_dates() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Tue, 24 Nov 2026 04:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Tue, 24 Nov 2026 03:01:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999"), Some(MAX_PAUSE));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn only_web_addresses_are_shown() {
        assert_eq!(shown_url("https://t.example/i/7").as_deref(), Some("https://t.example/i/7"));
        for text in ["javascript:alert(1)", "data:text/html,x", "/i/7", "ftp://t.example/", ""] {
            assert_eq!(shown_url(text), None, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_not_quoted() {
        let quoted = clean_text(b"401: Authorization: Bearer abc.def, secret whsec_AAECAwQF is wrong");
        assert_eq!(quoted, "401: Authorization: Bearer [secret], secret whsec_[secret] is wrong");
    }

    proptest! {
        #[test]
        fn a_strangers_text_is_harmless(bytes: Vec<u8>) {
            let clean = clean_text(&bytes);
            prop_assert!(clean.chars().count() <= MAX_TEXT + 1);
            prop_assert!(clean.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
