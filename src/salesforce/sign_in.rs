//! The sign-in of a person: begun here, finished in the browser, kept in memory for the quarter of an hour between.

use std::time::Duration;

use moka::future::Cache;
use url::Url;

use super::{error, settings::Flow, settings::Settings, tracker::Salesforce};
use crate::{
    clock::Clock,
    domain::tracker::{Fault, Retry, TrackerError},
    secret::{Secret, base64url, same_bytes, sha256},
};

/// How long a code lives, and so a sign-in.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Sign-ins under way at once; the oldest make room.
const MOST: u64 = 100;

/// A sign-in that has begun.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Where the browser goes.
    pub url: String,
    /// Comes back with the browser; the caller binds it to the person's session.
    pub state: String,
    /// The callback address, byte for byte as registered with the app.
    pub redirect_uri: String,
}

#[derive(Clone)]
struct Begun {
    state: Secret,
    verifier: Secret,
    redirect_uri: String,
}

/// Sign-ins under way.
pub(super) struct SignIns {
    cache: Cache<String, Begun>,
}

impl SignIns {
    pub fn new() -> Self {
        Self { cache: Cache::builder().max_capacity(MOST).time_to_live(KEPT).build() }
    }

    async fn begin(&self, settings: &Settings, clock: &dyn Clock, redirect_uri: &str) -> Result<SignIn, TrackerError> {
        let (state, verifier) = (random(clock), random(clock));
        let mut url = Url::parse(&format!("{}/services/oauth2/authorize", settings.login_origin()))
            .map_err(|_| error::unexpected("`login_url` is no address.", false))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", "api refresh_token")
            .append_pair("state", &state)
            .append_pair("code_challenge", &base64url(&sha256(verifier.as_bytes())))
            .append_pair("code_challenge_method", "S256");
        let begun =
            Begun { state: Secret::new(state.as_str()), verifier: Secret::new(verifier), redirect_uri: redirect_uri.to_owned() };
        self.cache.insert(slot(&state), begun).await;
        Ok(SignIn { url: url.into(), state, redirect_uri: redirect_uri.to_owned() })
    }

    /// The verifier of a sign-in; a state serves once.
    async fn take(&self, state: &str, redirect_uri: &str) -> Result<Secret, TrackerError> {
        // Found by a digest, so that the time of the search tells nothing; then compared whole.
        let begun = self.cache.remove(&slot(state)).await;
        match begun {
            Some(begun) if begun.state.equals(state) && same_bytes(begun.redirect_uri.as_bytes(), redirect_uri.as_bytes()) => {
                Ok(begun.verifier)
            }
            _ => Err(refused(
                "STATE",
                "This sign-in is unknown",
                "It was not begun here, was finished already, or is older than 15 minutes.",
            )),
        }
    }
}

impl Salesforce {
    /// Begins a sign-in. Only for `flow = "authorization-code"`.
    pub async fn begin_sign_in(&self, redirect_uri: &str) -> Result<SignIn, TrackerError> {
        if self.settings().flow != Flow::AuthorizationCode {
            return Err(refused("FLOW", "This tracker needs no sign-in", "Its `flow` logs in by itself."));
        }
        self.sign_ins.begin(self.settings(), &*self.rest.clock, redirect_uri).await
    }

    /// Finishes a sign-in with what the browser brought back.
    pub async fn finish_sign_in(&self, state: &str, code: &str, redirect_uri: &str) -> Result<(), TrackerError> {
        let verifier = self.sign_ins.take(state, redirect_uri).await?;
        self.rest.tokens.sign_in(code.to_owned(), verifier, redirect_uri.to_owned()).await
    }

    /// What a sign-in that came back with `error` and `error_description` means; its state is used up.
    pub async fn refuse_sign_in(&self, state: &str, error: &str, description: &str) -> TrackerError {
        match self.sign_ins.cache.remove(&slot(state)).await {
            Some(_) => error::of_login_words(error, description),
            None => refused(
                "STATE",
                "This sign-in is unknown",
                "It was not begun here, was finished already, or is older than 15 minutes.",
            ),
        }
    }
}

fn refused(code: &str, title: &str, detail: &str) -> TrackerError {
    TrackerError {
        fault: Fault::Login,
        retry: Retry::Newer,
        code: code.to_owned(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        advice: "Begin the sign-in again on the tracker's page.".to_owned(),
        in_doubt: false,
    }
}

fn slot(state: &str) -> String {
    base64url(&sha256(state.as_bytes()))
}

fn random(clock: &dyn Clock) -> String {
    let mut bytes = [0u8; 32];
    clock.random(&mut bytes);
    base64url(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_state_serves_once_and_its_verifier_fits_the_challenge() {
        let text = "login_url = \"https://acme.my.salesforce.com\"\nclient_id = \"x\"\nflow = \"authorization-code\"";
        let settings: Settings = toml::from_str(text).expect("reads");
        let sign_ins = SignIns::new();
        let begun = sign_ins.begin(&settings, &SystemClock, "https://node/callback").await.expect("begins");
        let url = Url::parse(&begun.url).expect("an address");
        let challenge = url.query_pairs().find(|(name, _)| name == "code_challenge").expect("a challenge").1.into_owned();
        assert!(sign_ins.take("other", "https://node/callback").await.is_err());
        let verifier = sign_ins.take(&begun.state, "https://node/callback").await.expect("known");
        assert_eq!(base64url(&sha256(verifier.expose().as_bytes())), challenge);
        assert!(sign_ins.take(&begun.state, "https://node/callback").await.is_err());
    }
}
