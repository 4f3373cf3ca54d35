//! Passwords to hashes and back to a yes or no: Argon2id, away from the threads that serve requests.
//!
//! A hash costs 19 MiB and some 30 ms by design (the lower end of what OWASP advises, so that a small machine can serve it).
//! So few are made at a time, some callers may wait their turn, and more are sent away: a flood of sign-ins must not take
//! the memory or the cores that sync needs.
//!
//! Trap. The cost stands in each hash. Raised here, old hashes go on being checked at their own cost, while a name without
//! an account costs the new one: then who signs in must be given a hash of the new cost, or time tells who exists.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use tokio::sync::Semaphore;

use super::problem::{Code, Problem};
use crate::{clock::Clock, secret::Secret};

/// Hashes that are made at a time.
const AT_ONCE: usize = 2;
/// Callers that may wait or be served: at the pace of a small machine, some two seconds.
const ROOM: usize = 64;
/// Random bytes in each hash (RFC 9106).
const SALT: usize = 16;

/// Makes and checks hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    clock: Arc<dyn Clock>,
    room: Semaphore,
    turns: Semaphore,
}

impl Passwords {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, room: Semaphore::new(ROOM), turns: Semaphore::new(AT_ONCE) }
    }

    /// The hash of a password, as text with its salt and cost.
    pub(super) async fn hash(&self, password: Secret) -> Result<Secret, Problem> {
        let salt = self.salt();
        self.apart(move || hashed(&password, &salt)).await?
    }

    /// Whether the password is the one of this hash. Without one (there is no such account) the answer is no, after the
    /// same work.
    pub(super) async fn is(&self, password: Secret, hash: Option<Secret>) -> Result<bool, Problem> {
        let salt = self.salt();
        self.apart(move || match hash {
            Some(hash) => Ok(Argon2::default().verify_password(password.expose().as_bytes(), hash.expose()).is_ok()),
            None => hashed(&password, &salt).map(|_| false),
        })
        .await?
    }

    fn salt(&self) -> [u8; SALT] {
        let mut salt = [0u8; SALT];
        self.clock.random(&mut salt);
        salt
    }

    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(_room) = self.room.try_acquire() else {
            let detail = "Very many people sign in at this moment; try again in a few seconds.";
            return Err(Problem::new(Code::RateLimited, detail).after(Duration::from_secs(3)));
        };
        let _turn = self.turns.acquire().await.map_err(|_| broken("the semaphore is closed"))?;
        tokio::task::spawn_blocking(work).await.map_err(broken)
    }
}

fn hashed(password: &Secret, salt: &[u8]) -> Result<Secret, Problem> {
    let hash = Argon2::default().hash_password_with_salt(password.expose().as_bytes(), salt);
    hash.map(|hash| Secret::new(hash.to_string())).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a password could not be hashed");
    Problem::new(Code::Internal, "The password could not be worked on; the node's log says more.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other() {
        let passwords = Passwords::new(Arc::new(SystemClock));
        let hash = passwords.hash(Secret::new("correct horse battery")).await.expect("hashed");
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose());
        let again = passwords.hash(Secret::new("correct horse battery")).await.expect("hashed");
        assert_ne!(hash, again, "each has its own salt");
        let is = async |password: &str, hash: Option<Secret>| passwords.is(Secret::new(password), hash).await.expect("told");
        assert!(is("correct horse battery", Some(hash.clone())).await);
        assert!(!is("correct horse batterz", Some(hash)).await);
        assert!(!is("correct horse battery", None).await);
        assert!(!is("correct horse battery", Some(Secret::new("no hash"))).await);
    }

    #[tokio::test]
    async fn a_flood_is_sent_away() {
        let passwords = Passwords::new(Arc::new(SystemClock));
        let _full = passwords.room.try_acquire_many(u32::try_from(ROOM).expect("fits")).expect("free");
        let refused = passwords.is(Secret::new("x"), None).await.expect_err("no room");
        assert_eq!((refused.code, refused.retry_after.is_some()), (Code::RateLimited, true));
    }
}
