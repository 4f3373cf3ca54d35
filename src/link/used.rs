//! A token is good once.
//!
//! The set of used ids lives in memory, with bounds: a node that lost it refuses tokens made before it started
//! (`try_later`), except at its very first start, when no older token can exist. The trap is a partner whose clock is
//! ahead: its used tokens look as if made after the restart, so how far it was is kept on disk ([`Used::take`]).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Link,
    answer::busy,
    auth::RequestClaims,
    protocol::{Refusal, SKEW, claim},
};
use crate::{
    clock::Time,
    domain::ids::ConnectionId,
    secret::{Secret, sha256},
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

/// Name under which it is kept how far ahead a partner's clock was.
pub(super) fn ahead(id: ConnectionId) -> String {
    format!("link.ahead.{id}")
}

impl Link {
    /// A token is good once, also across a restart.
    pub(super) async fn use_up(&self, id: ConnectionId, claims: &RequestClaims, now: Time) -> Result<(), Refusal> {
        if self.used.is_young(now) {
            let read = self.parts.store.read("link.ahead", move |tx| Box::pin(async move { tx.secret(&ahead(id)).await }));
            let mark = read.await.map_err(busy)?.and_then(|mark| mark.expose().parse::<i64>().ok());
            if mark.is_some_and(|mark| claims.iat <= mark) {
                return Err(Refusal::TryLater(1));
            }
        }
        if let Some(mark) = self.used.take(claims, now)? {
            let mark = Secret::new(mark.to_string());
            let write = self.parts.store.write("link.ahead", move |tx| {
                Box::pin(async move {
                    // It may have been deleted meanwhile, and its secrets with it.
                    if tx.connection(id).await?.is_none() {
                        return Ok(());
                    }
                    tx.put_secret(&ahead(id), &mark).await
                })
            });
            write.await.map_err(busy)?;
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(iat: i64) -> RequestClaims {
        let text = |text: &str| text.to_owned();
        RequestClaims {
            iss: text("us"),
            aud: text("them"),
            sub: text("c"),
            iat,
            exp: iat + 60,
            jti: text("j"),
            method: text("POST"),
            path: text("/link/v1/x"),
            bh: text("hash"),
        }
    }

    #[test]
    fn a_token_is_good_once_and_not_from_an_earlier_life() {
        let used = Used::new(Some(Time::from_seconds(1000)));
        let now = Time::from_seconds(1002);
        assert!(used.take(&claims(1002), now).is_ok());
        assert!(matches!(used.take(&claims(1002), now), Err(Refusal::BadSignature(_))));
        assert_eq!(used.take(&RequestClaims { jti: "k".to_owned(), ..claims(1001) }, now), Err(Refusal::TryLater(1)));
        assert!(Used::new(None).take(&claims(999), now).is_ok());
    }

    #[test]
    fn what_is_remembered_has_bounds_and_an_end() {
        let used = Used::new(None);
        let take = |iss: &str, jti: usize, now: i64| {
            let claims = RequestClaims { iss: iss.to_owned(), jti: jti.to_string(), ..claims(1000) };
            used.take(&claims, Time::from_seconds(now))
        };
        for jti in 0..MOST_OF_ONE {
            assert_eq!(take("one", jti, 1000), Ok(None));
        }
        assert_eq!(take("one", MOST_OF_ONE, 1000), Err(Refusal::TryLater(5)));
        assert_eq!(take("two", 0, 1000), Ok(None), "one partner stops no other");
        assert!(matches!(take("two", 0, 1121), Err(Refusal::BadSignature(_))), "remembered as long as it would pass");
        let late = RequestClaims { jti: "new".to_owned(), ..claims(1122) };
        assert!(used.take(&late, Time::from_seconds(1122)).is_ok());
        assert_eq!(used.kept.lock().expect("nobody panicked").ids.len(), 1);
    }

    #[test]
    fn a_clock_that_is_ahead_is_written_down_now_and_then() {
        let used = Used::new(None);
        let take = |iat: i64| {
            let claims = RequestClaims { jti: iat.to_string(), ..claims(iat) };
            used.take(&claims, Time::from_seconds(1000)).expect("good")
        };
        assert_eq!((take(1001), take(1030), take(1040), take(1045), take(1046)), (None, Some(1045), None, None, Some(1061)));
    }
}
