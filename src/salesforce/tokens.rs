//! The one token of a tracker: fetched once however many ask, renewed once however many are refused together.
//!
//! A refused token leaves the cache only if it is still the one that was refused; else a burst of 401s would log in
//! once for each. The login runs on a task of its own: a caller that gives up must not cut a refresh whose answer holds
//! the only good refresh token.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache, ops::compute::Op};
use tokio::sync::Mutex;

use super::{
    error,
    oauth::{Login, OAuth},
};
use crate::{domain::tracker::TrackerError, secret::Secret};

struct OwnLife;

impl Expiry<String, Arc<Login>> for OwnLife {
    fn expire_after_create(&self, _: &String, login: &Arc<Login>, _: Instant) -> Option<Duration> {
        Some(login.life)
    }

    fn expire_after_update(&self, _: &String, login: &Arc<Login>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(login.life)
    }
}

/// Hands out the token of one tracker.
pub(super) struct Tokens {
    name: String,
    cache: Cache<String, Arc<Login>>,
    oauth: Arc<OAuth>,
    one_at_a_time: Arc<Mutex<()>>,
    last: RwLock<Option<Arc<Login>>>,
}

impl Tokens {
    pub fn new(name: String, oauth: Arc<OAuth>) -> Self {
        let cache = Cache::builder().max_capacity(4).expire_after(OwnLife).build();
        Self { name, cache, oauth, one_at_a_time: Arc::default(), last: RwLock::default() }
    }

    /// The token that holds, by a login if there is none.
    pub async fn get(&self) -> Result<Arc<Login>, TrackerError> {
        let fetch = async {
            let (oauth, gate) = (Arc::clone(&self.oauth), Arc::clone(&self.one_at_a_time));
            let task = tokio::spawn(async move {
                let _gate = gate.lock().await;
                oauth.login().await
            });
            let login = task.await.unwrap_or_else(|_| Err(error::unexpected("The login was cut off.", false)))?;
            Ok::<_, TrackerError>(self.remember(login))
        };
        self.cache.try_get_with(self.name.clone(), fetch).await.map_err(|error| (*error).clone())
    }

    /// Takes back a token that Salesforce refused; a newer one stays.
    pub async fn refused(&self, login: &Arc<Login>) {
        self.cache
            .entry(self.name.clone())
            .and_compute_with(|entry| {
                let still = entry.is_some_and(|entry| Arc::ptr_eq(entry.value(), login));
                std::future::ready(if still { Op::Remove } else { Op::Nop })
            })
            .await;
    }

    /// Finishes a sign-in, apart from any refresh that may be under way. A browser that goes away does not cut it: the
    /// code serves once, and its answer holds the refresh token.
    pub async fn sign_in(&self, code: String, verifier: Secret, redirect_uri: String) -> Result<(), TrackerError> {
        let (oauth, gate) = (Arc::clone(&self.oauth), Arc::clone(&self.one_at_a_time));
        let task = tokio::spawn(async move {
            let _gate = gate.lock().await;
            oauth.code(&code, verifier, &redirect_uri).await
        });
        let login = task.await.unwrap_or_else(|_| Err(error::unexpected("The sign-in was cut off.", false)))?;
        let login = self.remember(login);
        self.cache.insert(self.name.clone(), login).await;
        Ok(())
    }

    /// The last login, whether it still holds or not.
    pub fn last(&self) -> Option<Arc<Login>> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, login: Login) -> Arc<Login> {
        let login = Arc::new(login);
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&login));
        login
    }
}
