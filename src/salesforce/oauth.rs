//! Logins: client credentials, JWT bearer, authorization code with PKCE and its refresh.
//!
//! Traps. Salesforce tells no lifetime, so one is assumed and a 401 ends it sooner. A refresh may hand out a new refresh
//! token and kill the old one: it is kept before the new access token is used, and the token cache lets one refresh
//! run at a time; where the disk refuses it, it stays in memory until the disk takes it, for it is the only one that
//! lives. Whether a second use of an old one kills the new one too is not documented: no old one is used twice here. The `oauth2` crate prints the body of an answer that it cannot read, token included, and loses the
//! status of a page that is no JSON: its HTTP closure looks at the status first, and its errors are turned into ours
//! before anybody can print them. A login of another org than the bound one is refused (a refreshed sandbox).
//!
//! What the facts leave open: which audiences every org takes (the org's own address first, then once the common host),
//! how far `exp` may lie ahead (three minutes are documented; a little less is asked for), and the status of a refused
//! client (the words decide, not the status).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenResponse,
    TokenUrl,
    basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType},
};
use tokio::sync::Mutex;

use super::{
    Keep, error, ids, rest,
    settings::{Flow, Settings},
    token_answer::{Extra, identity_of, instance_of, signed},
};
use crate::{
    clock::Clock,
    domain::tracker::{Fault, Retry, TrackerError},
    secret::Secret,
};

/// Longest wait for a login.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest token answer.
const MOST_BYTES: usize = 256 * 1024;

/// How far the end of an assertion lies ahead: the documented three minutes, less what two clocks may differ.
const ASSERTION_SECONDS: i64 = 175;

type Answer = StandardTokenResponse<Extra, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;
type Sending = Pin<Box<dyn Future<Output = Result<HttpResponse, TrackerError>> + Send>>;
type Failure = RequestTokenError<TrackerError, BasicErrorResponse>;

/// A login that holds.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Goes into the Authorization header.
    pub access_token: Secret,
    /// Base of every call, without a slash at the end.
    pub instance_url: String,
    /// 18 characters.
    pub org_id: String,
    /// The integration user, 18 characters.
    pub user_id: String,
    /// How long it is taken to live from its making.
    pub life: Duration,
}

/// Makes logins.
#[derive(Clone)]
pub(super) struct OAuth {
    pub settings: Arc<Settings>,
    pub http: reqwest::Client,
    pub clock: Arc<dyn Clock>,
    pub keep: Arc<dyn Keep>,
    /// Salesforce's clock minus ours, in milliseconds.
    pub skew_ms: Arc<AtomicI64>,
    /// A refresh token that the disk has not taken yet.
    pub unsaved: Arc<Mutex<Option<Secret>>>,
}

impl OAuth {
    /// Logs in by the configured flow.
    pub async fn login(&self) -> Result<Login, TrackerError> {
        let answer = match self.settings.flow {
            Flow::ClientCredentials => self.client_credentials().await?,
            Flow::JwtBearer => self.jwt_bearer().await?,
            Flow::AuthorizationCode => self.refresh().await?,
        };
        self.accept(answer).await
    }

    /// Trades a code for tokens and keeps the refresh token.
    pub async fn code(&self, code: &str, verifier: Secret, redirect_uri: &str) -> Result<Login, TrackerError> {
        let redirect = RedirectUrl::new(redirect_uri.to_owned())
            .map_err(|_| configuration("`public_url` makes no valid callback address", "Correct `[node] public_url`."))?;
        let client = self.client()?.set_redirect_uri(redirect);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()))
            .request_async(&self.sender())
            .await
            .map_err(failure)?;
        let Some(token) = answer.refresh_token().map(|token| Secret::new(token.secret().as_str())) else {
            return Err(configuration(
                "The sign-in brought no refresh token",
                "Add the scope `refresh_token` to the app and start the sign-in again.",
            ));
        };
        // The org is checked first: a sign-in to another one must not replace the token that works.
        let login = self.accept(answer).await?;
        self.save(token).await?;
        Ok(login)
    }

    /// Keeps a refresh token on disk, and in memory until the disk has it.
    async fn save(&self, token: Secret) -> Result<(), TrackerError> {
        let mut unsaved = self.unsaved.lock().await;
        self.keep.put_refresh_token(unsaved.insert(token)).await?;
        *unsaved = None;
        Ok(())
    }

    async fn refresh_token(&self) -> Result<Option<Secret>, TrackerError> {
        let waiting = self.unsaved.lock().await.clone();
        match waiting {
            Some(token) => {
                self.save(token.clone()).await?;
                Ok(Some(token))
            }
            None => self.keep.refresh_token().await,
        }
    }

    async fn client_credentials(&self) -> Result<Answer, TrackerError> {
        self.client()?.exchange_client_credentials().request_async(&self.sender()).await.map_err(failure)
    }

    async fn refresh(&self) -> Result<Answer, TrackerError> {
        let Some(token) = self.refresh_token().await? else {
            return Err(TrackerError {
                fault: Fault::Login,
                retry: Retry::Newer,
                code: "SIGN_IN".to_owned(),
                title: "Nobody has signed in yet".to_owned(),
                detail: "This tracker logs in as a person who signs in once.".to_owned(),
                advice: "Open the tracker's page in the console and sign in as the integration user.".to_owned(),
                in_doubt: false,
            });
        };
        let answer = self
            .client()?
            .exchange_refresh_token(&RefreshToken::new(token.expose().to_owned()))
            .request_async(&self.sender())
            .await
            .map_err(failure)?;
        if let Some(rotated) = answer.refresh_token() {
            self.save(Secret::new(rotated.secret().as_str())).await?;
        }
        Ok(answer)
    }

    /// Tries the org's own address as audience, then once the common one; and once more when the clocks disagree.
    async fn jwt_bearer(&self) -> Result<Answer, TrackerError> {
        let origin = self.settings.login_origin();
        let skew = self.skew_ms.load(Ordering::Relaxed);
        let first = match self.assert(&origin).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let words = first.detail.to_lowercase();
        let common = common_host(&origin);
        if words.contains("audience") && common != origin {
            return self.assert(common).await;
        }
        let moved = (self.skew_ms.load(Ordering::Relaxed) - skew).abs() > 5_000;
        if moved && (words.contains("assertion") || words.contains("expired")) {
            return self.assert(&origin).await;
        }
        Err(first)
    }

    async fn assert(&self, audience: &str) -> Result<Answer, TrackerError> {
        let key = self.settings.private_key.as_ref().map(Secret::expose).unwrap_or_default().to_owned();
        let now = self.clock.now().millis() + self.skew_ms.load(Ordering::Relaxed);
        let claims = serde_json::json!({
            "iss": self.settings.client_id,
            "sub": self.settings.username.as_deref().unwrap_or_default(),
            "aud": audience,
            "exp": now.div_euclid(1000) + ASSERTION_SECONDS,
        });
        // Signing takes milliseconds of a core: not on a thread that serves others.
        let signed = tokio::task::spawn_blocking(move || {
            let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes())?;
            jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256), &claims, &key)
        })
        .await;
        let assertion = signed.ok().and_then(Result::ok).ok_or_else(|| {
            configuration("`private_key` cannot sign", "Give an RSA key of 2048 bits or more in PEM, without a passphrase.")
        })?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
        let request = self.http.post(self.token_url()).form(&form);
        let body = self.receive(request).await?;
        serde_json::from_slice(body.body()).map_err(|_| not_a_token())
    }

    fn token_url(&self) -> String {
        format!("{}/services/oauth2/token", self.settings.login_origin())
    }

    fn client(&self) -> Result<Client, TrackerError> {
        let url = TokenUrl::new(self.token_url())
            .map_err(|_| configuration("`login_url` is no address", "Set `login_url` to the org's My Domain address."))?;
        let client = oauth2::Client::new(ClientId::new(self.settings.client_id.clone())).set_token_uri(url);
        let client = client.set_auth_type(AuthType::RequestBody);
        Ok(match &self.settings.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        })
    }

    /// The HTTP client that the `oauth2` crate calls. It owns what it needs: a borrowed one could not move to a task.
    fn sender(&self) -> impl Fn(HttpRequest) -> Sending + Send + Sync + 'static {
        let this = self.clone();
        move |request| {
            let this = this.clone();
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let url = parts.uri.to_string();
                this.receive(this.http.request(parts.method, url).headers(parts.headers).body(body)).await
            })
        }
    }

    async fn receive(&self, request: reqwest::RequestBuilder) -> Result<HttpResponse, TrackerError> {
        let response = request.timeout(TIMEOUT).send().await.map_err(|error| error::of_transport(&error, false))?;
        let (status, wish) = (response.status(), rest::retry_after(response.headers()));
        if let Some(date) = rest::date_of(response.headers()) {
            self.skew_ms.store(date.millis() - self.clock.now().millis(), Ordering::Relaxed);
        }
        let body = rest::capped(response, MOST_BYTES, false).await?;
        if status != reqwest::StatusCode::OK {
            return Err(error::not_before(error::of_login(status.as_u16(), &body), wish));
        }
        let mut answer = HttpResponse::new(body.to_vec());
        answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok(answer)
    }

    /// Checks what a token answer says of itself and binds the tracker to its org.
    async fn accept(&self, answer: Answer) -> Result<Login, TrackerError> {
        let extra = answer.extra_fields();
        self.verify(extra)?;
        let identity = extra.id.as_deref().unwrap_or_default();
        let (org_id, user_id) = identity_of(identity).ok_or_else(not_a_token)?;
        let instance_url = extra.instance_url.as_deref().and_then(instance_of).ok_or_else(not_a_token)?;
        self.bind(&org_id).await?;
        Ok(Login {
            access_token: Secret::new(answer.access_token().secret().as_str()),
            instance_url,
            org_id,
            user_id,
            life: self.settings.token_lifetime.0,
        })
    }

    fn verify(&self, extra: &Extra) -> Result<(), TrackerError> {
        let (Some(id), Some(issued_at), Some(signature)) = (&extra.id, &extra.issued_at, &extra.signature) else { return Ok(()) };
        // Without a secret (a public app, JWT) there is nothing to check it with.
        let Some(secret) = &self.settings.client_secret else { return Ok(()) };
        if signed(id, issued_at, signature, secret) {
            return Ok(());
        }
        Err(TrackerError {
            fault: Fault::Login,
            retry: Retry::Hourly,
            code: "SIGNATURE".to_owned(),
            title: "The login's answer is not signed with the app's secret".to_owned(),
            detail: "The signature in the token answer does not fit `client_secret`.".to_owned(),
            advice: "Check `login_url` and that nothing between this node and Salesforce answers in its place.".to_owned(),
            in_doubt: false,
        })
    }

    async fn bind(&self, org_id: &str) -> Result<(), TrackerError> {
        let bound = match &self.settings.org_id {
            Some(org) => Some(org.0.clone()),
            None => self.keep.org_id().await?,
        };
        match bound {
            Some(bound) if ids::same(&bound, org_id) => Ok(()),
            Some(bound) => Err(TrackerError {
                fault: Fault::Login,
                retry: Retry::Newer,
                code: "OTHER_ORG".to_owned(),
                title: "The login leads to another org".to_owned(),
                detail: format!("This tracker is bound to org {bound}; the login is for org {org_id}."),
                advice:
                    "A refreshed sandbox has a new org id. If it is really meant, set `org_id` to it; else correct `login_url`."
                        .to_owned(),
                in_doubt: false,
            }),
            None => self.keep.put_org_id(org_id).await,
        }
    }
}

fn failure(failure: Failure) -> TrackerError {
    match failure {
        RequestTokenError::Request(error) => error,
        // The closure lets only 200 pass, so neither of these brings Salesforce's words; both may hold a token.
        RequestTokenError::ServerResponse(_) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => not_a_token(),
    }
}

fn not_a_token() -> TrackerError {
    error::impostor("The login was answered with something that is no token.")
}

fn configuration(title: &str, advice: &str) -> TrackerError {
    TrackerError {
        fault: Fault::Configuration,
        retry: Retry::Newer,
        code: "CONFIGURATION".to_owned(),
        title: title.to_owned(),
        detail: title.to_owned(),
        advice: advice.to_owned(),
        in_doubt: false,
    }
}

fn common_host(origin: &str) -> &'static str {
    // Two hyphens part an org's name from its sandbox's.
    let sandbox = [".sandbox.", ".scratch.", "//test.salesforce.com"].iter().any(|part| origin.contains(part))
        || origin.split("//").nth(1).and_then(|host| host.split('.').next()).is_some_and(|name| name.contains("--"));
    if sandbox { "https://test.salesforce.com" } else { "https://login.salesforce.com" }
}

#[cfg(test)]
#[path = "oauth_tests.rs"]
mod tests;
