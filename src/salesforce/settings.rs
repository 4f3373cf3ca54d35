//! `[trackers.NAME]` of a Salesforce org: parsed here, so that what is inside is already possible.
//!
//! The configuration module strips `kind` and the keys of `[network]` before it hands the section over. What one key
//! alone cannot show to be wrong is refused by [`Settings::check`].

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de};
use url::Url;

use super::ids;
use crate::{clock::Span, domain::replica::Fields, secret::Secret};

/// One org, as the operator describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to log in: the org's My Domain address.
    pub login_url: Url,
    /// How to log in.
    pub flow: Flow,
    /// The org that is meant; default: that of the first login.
    #[serde(default)]
    pub org_id: Option<OrgId>,
    /// Consumer key of the app.
    pub client_id: String,
    /// Consumer secret of the app.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Integration user (`jwt-bearer`).
    #[serde(default)]
    pub username: Option<String>,
    /// RSA key in PEM, without a passphrase (`jwt-bearer`).
    #[serde(default)]
    pub private_key: Option<Secret>,
    /// Field that carries the twin's id, by entity type.
    #[serde(default)]
    pub external_id_fields: BTreeMap<String, String>,
    /// Values of new records, by entity type.
    #[serde(default)]
    pub defaults: BTreeMap<String, Fields>,
    /// Pause between two light looks.
    #[serde(default)]
    pub look: Look,
    /// Pause between two reconciles of a connection; default: on request only.
    #[serde(default)]
    pub reconcile: Option<Span>,
    /// Calls that sync leaves to others.
    #[serde(default)]
    pub api_reserve: Reserve,
    /// A message that holds all that a rule needs stands in for the read.
    #[serde(default)]
    pub trust_messages: bool,
    /// API version to use, such as `66.0`; default: the newest that both know.
    #[serde(default)]
    pub api_version: Option<ApiVersion>,
    /// How long a token is taken to live; Salesforce does not say, and a shorter life is noticed by its 401.
    #[serde(default)]
    pub token_lifetime: Lifetime,
}

/// A grant of OAuth 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// The app's run-as user; the simplest.
    ClientCredentials,
    /// A signed assertion names the user.
    JwtBearer,
    /// A person signs in once.
    AuthorizationCode,
}

/// An org's id, 18 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgId(pub String);

impl<'de> Deserialize<'de> for OrgId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match ids::complete(text.trim()) {
            Some(id) if id.starts_with("00D") => Ok(Self(id)),
            _ => Err(de::Error::custom(format!("`{text}` is no org id: 15 or 18 characters that begin with 00D"))),
        }
    }
}

/// Pause between two light looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// None are taken.
    Off,
    /// One after each of these.
    Every(Duration),
}

impl Default for Look {
    fn default() -> Self {
        Self::Every(Duration::from_secs(300))
    }
}

impl<'de> Deserialize<'de> for Look {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim() == "off" {
            return Ok(Self::Off);
        }
        span(&text).map(Self::Every).map_err(|reason| de::Error::custom(format!("{reason}, or \"off\"")))
    }
}

/// See [`Settings::token_lifetime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl Default for Lifetime {
    fn default() -> Self {
        // The default session lives two idle hours and slides with use; a fresh login before that costs one call.
        Self(Duration::from_secs(110 * 60))
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        span(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time like \"5m\" or \"90s\"");
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    let span = Duration::try_from(span).map_err(|_| wrong())?;
    if span < Duration::from_secs(1) { Err(wrong()) } else { Ok(span) }
}

/// Calls of the day's allowance that sync leaves to others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserve {
    /// A share of the allowance, 0 to 1.
    Share(f64),
    /// This many calls.
    Calls(u64),
}

impl Reserve {
    /// Calls to leave of `limit`.
    pub fn of(self, limit: u64) -> u64 {
        match self {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
            Self::Share(share) => (limit as f64 * share).ceil() as u64,
            Self::Calls(calls) => calls.min(limit),
        }
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self::Share(0.1)
    }
}

impl<'de> Deserialize<'de> for Reserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer) {
            Ok(Written::Number(calls)) => return Ok(Self::Calls(calls)),
            Ok(Written::Text(text)) => text,
            Err(_) => return Err(de::Error::custom("expected a share like \"10%\" or a number of calls")),
        };
        let share = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match (share, text.trim().parse::<u64>()) {
            (Some(share), _) if (0.0..=100.0).contains(&share) => Ok(Self::Share(share / 100.0)),
            (None, Ok(calls)) => Ok(Self::Calls(calls)),
            _ => Err(de::Error::custom(format!("`{text}` is neither a share like \"10%\" nor a number of calls"))),
        }
    }
}

/// A version of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u16);

impl ApiVersion {
    /// Reads `66.0`, `v66.0` and `66`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        text.strip_suffix(".0").unwrap_or(text).parse().ok().map(Self)
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}.0", self.0)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .filter(|version| version.0 >= super::rest::OLDEST.0)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no API version from 46.0 on, like \"66.0\"")))
    }
}

impl Settings {
    /// Refuses what does not go together, with the way out.
    pub fn check(&self) -> Result<(), String> {
        let host = self.login_url.host_str().unwrap_or_default();
        let of_salesforce = host.ends_with("salesforce.com") || host.ends_with("force.com");
        match self.login_url.scheme() {
            "https" => {}
            "http" if !of_salesforce => {}
            _ => return Err("`login_url` must begin with https:// (a redirect would turn the login's POST into a GET)".into()),
        }
        if host.is_empty() || !self.login_url.username().is_empty() || self.login_url.password().is_some() {
            return Err("`login_url` must be an address with a host and without credentials".into());
        }
        if self.client_id.trim().is_empty() {
            return Err("`client_id` is empty: it is the Consumer Key of the app".into());
        }
        self.check_flow(host)?;
        for (entity_type, field) in &self.external_id_fields {
            if !ids::is_name(entity_type) || !ids::is_name(field) {
                return Err(format!("`external_id_fields`: `{entity_type}` = `{field}` are no API names"));
            }
        }
        match self.defaults.keys().find(|name| !ids::is_name(name)) {
            Some(name) => Err(format!("`defaults`: `{name}` is no API name of an object")),
            None => Ok(()),
        }
    }

    fn check_flow(&self, host: &str) -> Result<(), String> {
        match self.flow {
            Flow::ClientCredentials => {
                if matches!(host, "login.salesforce.com" | "test.salesforce.com") {
                    return Err(
                        "`flow = \"client-credentials\"` works only at the org's own address: set `login_url` to its My \
                                Domain, like https://acme.my.salesforce.com"
                            .into(),
                    );
                }
                self.client_secret
                    .as_ref()
                    .map(|_| ())
                    .ok_or_else(|| "`flow = \"client-credentials\"` needs `client_secret`".into())
            }
            Flow::JwtBearer => {
                if self.username.as_deref().is_none_or(|name| name.trim().is_empty()) {
                    return Err("`flow = \"jwt-bearer\"` needs `username`, the integration user's".into());
                }
                let Some(key) = &self.private_key else {
                    return Err("`flow = \"jwt-bearer\"` needs `private_key`, an RSA key in PEM".into());
                };
                check_key(key.expose())
            }
            Flow::AuthorizationCode => Ok(()),
        }
    }

    /// Base of the login endpoints, without a slash at the end.
    pub fn login_origin(&self) -> String {
        self.login_url.origin().ascii_serialization()
    }
}

/// Says in words what the signing library would only call invalid.
pub(super) fn check_key(pem: &str) -> Result<(), String> {
    if pem.contains("ENCRYPTED") {
        return Err("`private_key` is encrypted with a passphrase, which is not supported: write it without one \
                    (`openssl pkcs8 -in key.pem -nocrypt …` or `openssl rsa -in key.pem -out plain.pem`) and protect the file"
            .into());
    }
    if pem.contains("BEGIN CERTIFICATE") {
        return Err("`private_key` holds a certificate: the certificate belongs to the app in the org, the key here".into());
    }
    // A key that is too short shows only when it signs.
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes())
        .and_then(|key| jsonwebtoken::encode(&header, &serde_json::json!({}), &key))
        .map(|_| ())
        .map_err(|_| "`private_key` is no RSA key in PEM that can sign (Salesforce takes RS256 only, 2048 bits or more)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extra: &str) -> Result<Settings, String> {
        let text = format!("login_url = \"https://acme.my.salesforce.com\"\nclient_id = \"3MVG\"\n{extra}");
        toml::from_str::<Settings>(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_section_is_read() {
        let settings = read(
            "flow = \"client-credentials\"\norg_id = \"00D5g000004ABCD\"\nclient_secret = \"x\"\nlook = \"5m\"\napi_reserve = \"10%\"\n\
             trust_messages = false\nexternal_id_fields = { Case = \"Wicketgate_Id__c\" }\ndefaults.Case = { Origin = \"Web\" }",
        )
        .expect("reads");
        settings.check().expect("makes sense");
        assert_eq!(settings.org_id.expect("told").0.len(), 18);
        assert_eq!(settings.look, Look::Every(Duration::from_secs(300)));
        assert_eq!(settings.api_reserve.of(15_000), 1_500);
        assert_eq!(settings.defaults["Case"]["Origin"], "Web");
    }

    #[test]
    fn senseless_sections_are_refused_in_words() {
        assert!(read("flow = \"client-credentials\"\nlooks = \"5m\"").expect_err("unknown key").contains("looks"));
        assert!(read("flow = \"password\"").is_err());
        assert!(read("flow = \"jwt-bearer\"\nlook = \"soon\"").expect_err("no span").contains("soon"));
        assert!(read("flow = \"jwt-bearer\"\napi_reserve = \"200%\"").is_err());
        let check = |text: &str| read(text).expect("reads").check().expect_err("refused");
        assert!(check("flow = \"client-credentials\"").contains("client_secret"));
        assert!(check("flow = \"jwt-bearer\"\nusername = \"a@b\"").contains("private_key"));
        let sealed = "flow = \"jwt-bearer\"\nusername = \"a@b\"\nprivate_key = \"-----BEGIN ENCRYPTED PRIVATE KEY-----\"";
        assert!(check(sealed).contains("passphrase"));
        let curve = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key").serialize_pem();
        let curve = format!("flow = \"jwt-bearer\"\nusername = \"a@b\"\nprivate_key = \"\"\"\n{curve}\"\"\"");
        assert!(check(&curve).contains("RS256"));
        assert!(read("flow = \"authorization-code\"\napi_version = \"45.0\"").expect_err("too old").contains("46.0"));
        assert_eq!(read("flow = \"authorization-code\"\nlook = \"off\"").expect("reads").look, Look::Off);
    }

    #[test]
    fn the_common_login_host_serves_no_client_credentials() {
        let text = "login_url = \"https://login.salesforce.com\"\nclient_id = \"x\"\nflow = \"client-credentials\"\nclient_secret = \"s\"";
        let settings: Settings = toml::from_str(text).expect("reads");
        assert!(settings.check().expect_err("refused").contains("My Domain"));
    }
}
