//! Sessions and the OAuth 2 flows: client credentials, JWT bearer, authorization code with PKCE, refresh; then revoke,
//! introspect and the sign-in page.
//!
//! An access token is a session: no answer tells its life. It dies when it was idle too long, when it is revoked, or by
//! a switch; the next call hears 401.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::state::State;
use crate::{
    clock::Time,
    sandbox::wire::{pick, random_text},
    secret::{base64url, sha256},
};

/// An authorization code lives this long.
const CODE_LIFE: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) user: String,
    begun: Time,
    used: Time,
    /// The refresh token it came from, or led to.
    family: Option<String>,
}

#[derive(Clone, Debug)]
struct Code {
    user: String,
    redirect_uri: String,
    challenge: Option<String>,
    made: Time,
}

#[derive(Debug, Default)]
pub(super) struct Auth {
    sessions: BTreeMap<String, Session>,
    codes: BTreeMap<String, Code>,
    /// Refresh token → user.
    refresh: BTreeMap<String, String>,
    seen_jti: BTreeSet<String>,
}

impl Auth {
    /// Kills every session; refresh tokens live on.
    pub(super) fn expire_all(&mut self) {
        self.sessions.clear();
    }

    pub(super) fn kill(&mut self, token: &str) {
        self.sessions.remove(token);
    }
}

/// An OAuth refusal: 400, `error`, `error_description`.
#[derive(Debug, PartialEq)]
pub(super) struct OauthError(pub(super) &'static str, pub(super) String);

impl OauthError {
    fn grant(description: &str) -> Self {
        Self("invalid_grant", description.to_owned())
    }

    pub(super) fn json(&self) -> Value {
        json!({"error": self.0, "error_description": self.1})
    }
}

type Form = [(String, String)];

impl State {
    /// The session of a bearer token, kept awake by this call.
    pub(super) fn session(&mut self, token: &str) -> Option<Session> {
        let (now, idle) = (self.now(), self.settings.session_idle);
        let session = self.auth.sessions.get_mut(token)?;
        if now.since(session.used) >= idle {
            self.auth.sessions.remove(token);
            return None;
        }
        // An org writes the last use down only after about half of the period.
        if now.since(session.used) * 2 >= idle {
            session.used = now;
        }
        Some(session.clone())
    }

    /// `POST /services/oauth2/token`.
    pub(super) fn token(&mut self, form: &Form, host: &str) -> Result<Value, OauthError> {
        match pick(form, "grant_type").unwrap_or_default() {
            "client_credentials" => {
                self.check_client(form, true)?;
                let name = host.split(':').next().unwrap_or_default();
                if name.starts_with("login.") || name.starts_with("test.") {
                    return Err(OauthError::grant("request not supported on this domain"));
                }
                if !self.settings.client_credentials_user {
                    return Err(OauthError::grant("no client credentials user enabled"));
                }
                let user = self.natives.integration.clone();
                Ok(self.grant(&user, None, "api", true))
            }
            "authorization_code" => self.exchange_code(form),
            "refresh_token" => self.refresh(form),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.jwt(form),
            _ => Err(OauthError("unsupported_grant_type", "grant type not supported".to_owned())),
        }
    }

    fn check_client(&self, form: &Form, secret_needed: bool) -> Result<(), OauthError> {
        if pick(form, "client_id") != Some(self.settings.client_id.as_str()) {
            return Err(OauthError("invalid_client_id", "client identifier invalid".to_owned()));
        }
        match pick(form, "client_secret") {
            Some(secret) if self.settings.client_secret.equals(secret) => Ok(()),
            None if !secret_needed => Ok(()),
            _ => Err(OauthError("invalid_client", "invalid client credentials".to_owned())),
        }
    }

    fn grant(&mut self, user: &str, refresh: Option<String>, scope: &str, whole: bool) -> Value {
        let token = format!("{}!{}", &self.settings.org_id[..15], random_text(&*self.clock, 96));
        let now = self.now();
        let session = Session { user: user.to_owned(), begun: now, used: now, family: refresh.clone() };
        self.auth.sessions.insert(token.clone(), session);
        let id = self.identity_url(user);
        let mut answer = Map::new();
        answer.insert("access_token".to_owned(), json!(token));
        if let Some(refresh) = refresh {
            answer.insert("refresh_token".to_owned(), json!(refresh));
        }
        if whole {
            let issued = now.millis().to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, self.settings.client_secret.expose().as_bytes());
            let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued}").as_bytes()));
            answer.insert("signature".to_owned(), json!(signature));
            answer.insert("issued_at".to_owned(), json!(issued));
        }
        answer.insert("scope".to_owned(), json!(scope));
        answer.insert("instance_url".to_owned(), json!(self.url));
        answer.insert("id".to_owned(), json!(id));
        answer.insert("token_type".to_owned(), json!("Bearer"));
        Value::Object(answer)
    }

    pub(super) fn identity_url(&self, user: &str) -> String {
        format!("{}/id/{}/{user}", self.url, self.settings.org_id)
    }

    fn exchange_code(&mut self, form: &Form) -> Result<Value, OauthError> {
        self.check_client(form, false)?;
        let code = pick(form, "code").and_then(|code| self.auth.codes.remove(code));
        let code = code.filter(|code| self.now().since(code.made) < CODE_LIFE);
        let code = code.ok_or_else(|| OauthError::grant("expired authorization code"))?;
        if pick(form, "redirect_uri") != Some(code.redirect_uri.as_str()) {
            return Err(OauthError("redirect_uri_mismatch", "redirect_uri must match configuration".to_owned()));
        }
        if let Some(challenge) = &code.challenge {
            let verifier = pick(form, "code_verifier").unwrap_or_default();
            let sound = (43..=128).contains(&verifier.len()) && base64url(&sha256(verifier.as_bytes())) == *challenge;
            if !sound {
                return Err(OauthError::grant("invalid code verifier"));
            }
        }
        let refresh = self.new_refresh(&code.user);
        Ok(self.grant(&code.user, Some(refresh), "refresh_token api", true))
    }

    fn new_refresh(&mut self, user: &str) -> String {
        let token = format!("5Aep861{}", random_text(&*self.clock, 80));
        self.auth.refresh.insert(token.clone(), user.to_owned());
        token
    }

    fn refresh(&mut self, form: &Form) -> Result<Value, OauthError> {
        self.check_client(form, false)?;
        let old = pick(form, "refresh_token").unwrap_or_default();
        let user = self.auth.refresh.get(old).cloned().ok_or_else(|| OauthError::grant("expired access/refresh token"))?;
        if !self.settings.refresh_rotation {
            let mut answer = self.grant(&user, Some(old.to_owned()), "refresh_token api", true);
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("refresh_token");
            }
            return Ok(answer);
        }
        self.auth.refresh.remove(old);
        let new = self.new_refresh(&user);
        Ok(self.grant(&user, Some(new), "refresh_token api", true))
    }

    fn jwt(&mut self, form: &Form) -> Result<Value, OauthError> {
        let invalid = || OauthError::grant("invalid assertion");
        let key = self.settings.jwt_public_key.as_deref().ok_or_else(invalid)?;
        let key = jsonwebtoken::DecodingKey::from_rsa_pem(key.as_bytes()).map_err(|_| invalid())?;
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        // The org's own clock decides, below, and each refusal has its own words.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let assertion = pick(form, "assertion").unwrap_or_default();
        let claims = jsonwebtoken::decode::<Value>(assertion, &key, &rules).map_err(|_| invalid())?.claims;
        if claims["iss"] != self.settings.client_id.as_str() {
            return Err(OauthError("invalid_client_id", "client identifier invalid".to_owned()));
        }
        let audience = claims["aud"].as_str().unwrap_or_default().trim_end_matches('/');
        if !["https://login.salesforce.com", "https://test.salesforce.com", self.url.as_str()].contains(&audience) {
            return Err(OauthError::grant("audience is invalid"));
        }
        if claims["exp"].as_i64().is_none_or(|exp| exp <= self.now().seconds()) {
            return Err(OauthError::grant("expired assertion"));
        }
        let user = claims["sub"].as_str().filter(|name| name.eq_ignore_ascii_case(&self.settings.integration_username));
        let user =
            user.and_then(|name| self.user(name)).ok_or_else(|| OauthError::grant("user hasn't approved this consumer"))?;
        if let Some(jti) = claims["jti"].as_str()
            && !self.auth.seen_jti.insert(jti.to_owned())
        {
            return Err(invalid());
        }
        Ok(self.grant(&user, None, "api", false))
    }

    /// Checks an authorization request; the refusal is shown to the person.
    pub(super) fn check_authorize(&self, query: &Form) -> Result<(), OauthError> {
        if pick(query, "response_type") != Some("code") {
            return Err(OauthError("unsupported_response_type", "response type not supported".to_owned()));
        }
        if pick(query, "client_id") != Some(self.settings.client_id.as_str()) {
            return Err(OauthError("invalid_client_id", "client identifier invalid".to_owned()));
        }
        let Some(redirect) = pick(query, "redirect_uri") else {
            return Err(OauthError("redirect_uri_missing", "redirect_uri must be provided".to_owned()));
        };
        let known = &self.settings.redirect_uris;
        if !known.is_empty() && !known.iter().any(|uri| uri == redirect) || url::Url::parse(redirect).is_err() {
            return Err(OauthError("redirect_uri_mismatch", "redirect_uri must match configuration".to_owned()));
        }
        let hashed = pick(query, "code_challenge").is_some() && pick(query, "code_challenge_method") == Some("S256");
        if self.settings.pkce_required && !hashed {
            return Err(OauthError("invalid_request", "missing required code challenge".to_owned()));
        }
        Ok(())
    }

    /// Where the browser is sent after a person said yes (a user) or no.
    pub(super) fn authorize(&mut self, query: &Form, user: Option<&str>) -> Option<String> {
        let mut back = url::Url::parse(pick(query, "redirect_uri")?).ok()?;
        match user {
            Some(user) => {
                let code = format!("aPrx{}==", random_text(&*self.clock, 60));
                let entry = Code {
                    user: user.to_owned(),
                    redirect_uri: pick(query, "redirect_uri")?.to_owned(),
                    challenge: pick(query, "code_challenge").map(str::to_owned),
                    made: self.now(),
                };
                self.auth.codes.insert(code.clone(), entry);
                back.query_pairs_mut().append_pair("code", &code);
            }
            None => {
                back.query_pairs_mut()
                    .append_pair("error", "access_denied")
                    .append_pair("error_description", "end-user denied authorization");
            }
        }
        if let Some(state) = pick(query, "state") {
            back.query_pairs_mut().append_pair("state", state);
        }
        Some(back.into())
    }

    /// `POST /services/oauth2/revoke`; false where the token is none.
    pub(super) fn revoke(&mut self, token: &str) -> bool {
        if self.auth.refresh.remove(token).is_some() {
            self.auth.sessions.retain(|_, session| session.family.as_deref() != Some(token));
            return true;
        }
        self.auth.sessions.remove(token).is_some()
    }

    /// `POST /services/oauth2/introspect`.
    pub(super) fn introspect(&self, form: &Form) -> Result<Value, OauthError> {
        self.check_client(form, true)?;
        let token = pick(form, "token").unwrap_or_default();
        let idle = self.settings.session_idle;
        let alive = self.auth.sessions.get(token).filter(|session| self.now().since(session.used) < idle);
        let Some(session) = alive else { return Ok(json!({"active": false})) };
        let name = self.records.get(&session.user).map(|user| user.text("Username")).unwrap_or_default();
        Ok(json!({
            "active": true, "scope": "api", "client_id": self.settings.client_id, "username": name,
            "sub": self.identity_url(&session.user), "token_type": "access_token",
            "exp": session.used.plus(idle).seconds(), "iat": session.begun.seconds(), "nbf": session.begun.seconds(),
        }))
    }

    /// What userinfo and the identity URL tell.
    pub(super) fn userinfo(&self, user: &str) -> Value {
        let Some(record) = self.records.get(user) else { return Value::Null };
        let base = &self.url;
        json!({
            "sub": self.identity_url(user), "user_id": user, "organization_id": self.settings.org_id,
            "preferred_username": record.get("Username"), "username": record.get("Username"), "name": record.get("Name"),
            "email": record.get("Email"), "email_verified": true, "zoneinfo": "GMT", "active": true, "is_active": true,
            "user_type": "STANDARD", "language": "en_US", "locale": "en_GB", "utcOffset": 0, "is_app_installed": true,
            "updated_at": record.get("LastModifiedDate"),
            "urls": {"rest": format!("{base}/services/data/v{{version}}/"),
                     "sobjects": format!("{base}/services/data/v{{version}}/sobjects/"),
                     "query": format!("{base}/services/data/v{{version}}/query/")},
        })
    }
}
