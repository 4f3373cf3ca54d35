//! The one way to make an outgoing HTTP client: time-outs, proxy, roots, client certificate, address guard.
//!
//! Flow. [`client`] makes one client per section of the configuration (`[network]`, `[link]`, each tracker; a section's
//! own keys go [`Network::over`] those of `[network]`). Who sends to an address that came by API, code or rule makes
//! the client with [`Guard::Stranger`] and calls [`vet`] before each request. Each request sets its own overall
//! time-out. What went wrong is put into words by [`why`], and bodies are read by [`body_up_to`].
//!
//! Traps.
//! * The configuration decides about proxies, and it alone: `HTTPS_PROXY` and its sisters in the environment are
//!   ignored, or a variable in somebody's shell would decide where records go.
//! * The client's resolver guards names at each connect, but an address written as a number never meets a resolver,
//!   and through a proxy the proxy resolves: [`vet`] covers both, so it must not be left out.
//! * A proxy's own name meets the same resolver. The operator wrote it, so it passes.
//! * A firewall forgets idle connections without a word. Keep-alives every 20 seconds notice it, and what stays unsent
//!   for 30 seconds ends the connection; idle ones leave the pool after a minute.
//! * Redirects are never followed: the signed request was meant for one address, and a redirect is a way inside.

mod body;
mod guard;
mod trouble;

use std::{path::Path, time::Duration};

use reqwest::{Certificate, Identity, NoProxy, redirect};
use serde::Deserialize;
use url::Url;

pub use self::{
    body::{BodyError, body_up_to},
    guard::{Blocked, Silent, check_url, is_inside, vet},
    trouble::{Kind, Trouble, why},
};
use crate::secret::Secret;

/// How long a connect may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCert {
    /// PEM file with the chain.
    pub cert: std::path::PathBuf,
    /// PEM file with the key.
    pub key: std::path::PathBuf,
}

/// A proxy: a URL (credentials inside), or a URL and credentials beside it.
///
/// Schemes: `http`, `https`, `socks5` (this machine resolves names), `socks5h` (the proxy does).
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Proxy {
    /// `http://user:pass@proxy:3128`, `socks5h://…`. Special characters in the credentials are percent-encoded.
    Url(Secret),
    /// Credentials apart.
    Parts {
        /// Address.
        url: String,
        /// Name.
        username: Option<String>,
        /// Password.
        password: Option<Secret>,
    },
}

/// `[network]`: every call that goes out; any key may be set again under `[link]` or a tracker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// See [`Proxy`]. The environment's proxy variables are ignored.
    pub proxy: Option<Proxy>,
    /// Names (with all names below them) and networks that are reached directly; `*` for all.
    pub no_proxy: Vec<String>,
    /// PEM file with roots to trust beside the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// See [`ClientCert`].
    pub client_cert: Option<ClientCert>,
}

impl Network {
    /// These settings, and those of `base` where this has none. A section that must go past an inherited proxy says
    /// `no_proxy = ["*"]`.
    pub fn over(&self, base: &Self) -> Self {
        Self {
            proxy: self.proxy.clone().or_else(|| base.proxy.clone()),
            no_proxy: if self.no_proxy.is_empty() { base.no_proxy.clone() } else { self.no_proxy.clone() },
            ca_file: self.ca_file.clone().or_else(|| base.ca_file.clone()),
            client_cert: self.client_cert.clone().or_else(|| base.client_cert.clone()),
        }
    }
}

/// Whose word an address is.
#[derive(Clone, Debug)]
pub enum Guard {
    /// It stands in the operator's configuration.
    Operator,
    /// It came by API, code or rule: inside addresses are refused except these networks.
    Stranger {
        /// Inside networks that may be named.
        allow: Vec<ipnet::IpNet>,
        /// Names that need not be looked up each time.
        silent: Silent,
    },
}

impl Guard {
    /// For addresses that came by API, code or rule; these inside networks may be named.
    pub fn stranger(allow: Vec<ipnet::IpNet>) -> Self {
        Self::Stranger { allow, silent: Silent::default() }
    }
}

/// A client could not be made: the configuration is wrong, and the text names the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(pub String);

/// Makes a client. Redirects are off; connect time-out 10 s; the overall time-out is set per request. Reads the named
/// files once, now.
pub fn client(network: &Network, guard: &Guard) -> Result<reqwest::Client, ClientError> {
    #[allow(clippy::disallowed_methods, reason = "the one maker of clients")]
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wicketgate/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(20))
        .tcp_keepalive_interval(Duration::from_secs(10))
        .tcp_keepalive_retries(3)
        .pool_idle_timeout(Duration::from_secs(60))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .no_proxy();
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(Duration::from_secs(30));
    }
    // The matcher below knows `*` for names only, and it means addresses too.
    let direct = network.no_proxy.iter().any(|entry| entry.trim() == "*");
    let proxy = network.proxy.as_ref().filter(|_| !direct).map(proxy_url).transpose()?;
    if let Some(url) = &proxy {
        let proxy = reqwest::Proxy::all(url.clone()).map_err(|_| ClientError("`proxy` cannot be used as a proxy".to_owned()))?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&network.no_proxy.join(","))));
    }
    if let Some(file) = &network.ca_file {
        builder = builder.tls_certs_merge(roots(file)?);
    }
    if let Some(cert) = &network.client_cert {
        builder = builder.identity(identity(cert)?);
    }
    if let Guard::Stranger { allow, .. } = guard {
        let proxy_host = proxy.as_ref().and_then(Url::host_str).map(str::to_owned);
        builder = builder.dns_resolver(guard::Guarded::new(allow.clone(), proxy_host));
    }
    builder.build().map_err(|error| {
        let trouble = why(&error);
        ClientError(format!("the HTTP client could not be made: {}", trouble.what))
    })
}

/// The proxy's address with its credentials percent-encoded inside.
fn proxy_url(proxy: &Proxy) -> Result<Url, ClientError> {
    let (text, credentials) = match proxy {
        Proxy::Url(url) => (url.expose(), None),
        Proxy::Parts { url, username, password } => {
            let password = password.as_ref().map_or("", Secret::expose);
            (url.as_str(), username.as_deref().map(|username| (username, password)))
        }
    };
    if let Proxy::Parts { username: None, password: Some(_), .. } = proxy {
        return Err(ClientError("`proxy` holds a password and no username".to_owned()));
    }
    let wrong = |why: &str| ClientError(format!("`proxy` {why}; expected http://…, https://…, socks5://… or socks5h://…"));
    let mut url: Url = text.trim().parse().map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") {
        return Err(wrong(&format!("has the scheme `{}`", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    if let Some((username, password)) = credentials {
        // The setters leave `%` alone, and the reader decodes: a literal one has to be encoded here.
        let literal = |text: &str| text.replace('%', "%25");
        url.set_username(&literal(username))
            .and_then(|()| url.set_password(Some(&literal(password))))
            .map_err(|()| wrong("cannot carry credentials"))?;
    }
    Ok(url)
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(file).map_err(|error| ClientError(format!("`{key}`: {} cannot be read: {error}", file.display())))
}

fn roots(file: &Path) -> Result<Vec<Certificate>, ClientError> {
    let wrong = || ClientError(format!("`ca_file`: {} holds no PEM certificate", file.display()));
    let roots = Certificate::from_pem_bundle(&read("ca_file", file)?).map_err(|_| wrong())?;
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

fn identity(cert: &ClientCert) -> Result<Identity, ClientError> {
    let mut pem = read("client_cert.key", &cert.key)?;
    pem.push(b'\n');
    pem.extend(read("client_cert.cert", &cert.cert)?);
    Identity::from_pem(&pem).map_err(|_| {
        ClientError(format!(
            "`client_cert`: {} and {} are no PEM chain with its private key; an encrypted key has to be decrypted first",
            cert.cert.display(),
            cert.key.display()
        ))
    })
}

#[cfg(test)]
mod tests;
