//! Where time, randomness and ids come from.
//!
//! Everything that needs the hour or a random number is given a [`Clock`]; this file is the only reader of the
//! system's. A [`ManualClock`] lets two nodes with different clocks live in one test process.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A moment: milliseconds since 1970 in UTC, shown as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, utoipa::ToSchema)]
#[schema(value_type = String, format = "date-time")]
pub struct Time(pub i64);

impl Time {
    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment a number of seconds after 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// This moment and a span later; saturates.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment and a span earlier; saturates.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero where it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = String;

    /// Reads RFC 3339, and Salesforce's REST form of it, which has no colon in the offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(|stamp| Self(stamp.as_millisecond()))
            .map_err(|_| format!("`{text}` is not a time like 2026-11-24T03:41:00Z"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A span of time as people write it: a whole number and one unit (`500ms`, `50s`, `5m`, `12h`, `400d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// Units of a [`Span`] in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Span {
    /// In the largest unit that shows it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, size) = match millis {
            0 => ("s", 1000),
            _ => UNITS.into_iter().find(|(_, size)| millis.is_multiple_of(*size)).unwrap_or(("ms", 1)),
        };
        write!(f, "{}{unit}", millis / size)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a span like 500ms, 50s, 5m, 12h or 400d");
        let digits = text.trim().bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.trim().split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        number.checked_mul(size).map(|millis| Self(Duration::from_millis(millis))).ok_or_else(wrong)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The source of time, chance and ids.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The hour now.
    fn now(&self) -> Time;
    /// Returns when `span` has passed on this clock.
    async fn sleep(&self, span: Duration);
    /// Fills `bytes` from a cryptographic source.
    fn random(&self, bytes: &mut [u8]);

    /// A new id whose order is that of its making (UUID version 7).
    fn id(&self) -> Uuid {
        let mut random = [0u8; 10];
        self.random(&mut random);
        let millis = u64::try_from(self.now().millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// The system's clock and its cryptographic random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        #[allow(clippy::disallowed_methods, reason = "the one reader of the system clock")]
        Time(jiff::Timestamp::now().as_millisecond())
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    fn random(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system's random source answers");
    }
}

/// A clock that stands still until it is told to move; randomness stays real.
#[derive(Debug, Clone)]
pub struct ManualClock {
    inner: Arc<ManualInner>,
}

/// Who sleeps until when; the number keeps those of one moment apart.
type Sleepers = BTreeMap<(Time, u64), tokio::sync::oneshot::Sender<()>>;

#[derive(Debug)]
struct ManualInner {
    state: Mutex<(Time, Sleepers, u64)>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Time) -> Self {
        Self { inner: Arc::new(ManualInner { state: Mutex::new((start, BTreeMap::new(), 0)) }) }
    }

    /// Moves the hands and wakes who slept until then.
    pub fn advance(&self, span: Duration) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.plus(span);
        let after = Time(state.0.0 + 1);
        let later = state.1.split_off(&(after, 0));
        for (_, sleeper) in std::mem::replace(&mut state.1, later) {
            // A sleeper that gave up has dropped its end; nobody is left to tell.
            let _ = sleeper.send(());
        }
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    async fn sleep(&self, span: Duration) {
        let woken = {
            let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (send, receive) = tokio::sync::oneshot::channel();
            let at = (state.0.plus(span), state.2);
            state.2 += 1;
            state.1.insert(at, send);
            receive
        };
        // The sender lives in the clock, which outlives its sleepers; a closed channel ends the sleep early.
        let _ = woken.await;
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemClock.random(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_that_salesforce_writes() {
        let rest: Time = "2026-11-23T02:41:07.000+0000".parse().expect("REST form");
        let soap: Time = "2026-11-23T02:41:07.000Z".parse().expect("SOAP form");
        assert_eq!(rest, soap);
        assert_eq!(soap.to_string(), "2026-11-23T02:41:07.000Z");
        assert!("yesterday".parse::<Time>().is_err());
    }

    #[test]
    fn reads_spans_and_writes_them_the_same() {
        for (text, millis) in [("500ms", 500), ("50s", 50_000), ("5m", 300_000), ("12h", 43_200_000), ("400d", 34_560_000_000)] {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.0, span.to_string().as_str()), (Duration::from_millis(millis), text));
        }
        assert_eq!(" 90 s ".parse::<Span>().expect("spaces").to_string(), "90s");
        assert_eq!("0s".parse::<Span>().expect("nothing").to_string(), "0s");
        for text in ["", "5", "m", "-5m", "1.5h", "5 weeks", "99999999999999999999s", "300000000000d", "5m30s", "５m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers() {
        let clock = ManualClock::new(Time(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3600));
        sleeper.await.expect("woken");
        assert_eq!(clock.now(), Time(3_600_000));
    }
}
