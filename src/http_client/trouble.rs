//! What went wrong with a call, in words: what happened, what to do, and whether the request may have arrived.
//!
//! Addresses are never shown whole: their paths and queries hold tokens. The host is enough to act on.
//!
//! The trap: an I/O error does not name what it wraps as its source, so the chain is walked through both.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

use super::guard::Blocked;

/// What sort of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The address guard refused.
    Blocked,
    /// The name has no address.
    Dns,
    /// No connection: refused, unreachable.
    Connect,
    /// TLS: certificates, versions.
    Tls,
    /// The proxy refused or failed.
    Proxy,
    /// Too slow.
    Timeout,
    /// The connection broke before the answer was whole.
    Reset,
    /// The answer could not be read.
    Body,
    /// The request could not be made: our fault.
    Request,
}

impl Kind {
    /// Short word for grouping and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "address_blocked",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Body => "body",
            Self::Request => "request",
        }
    }
}

/// A call that brought no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// What sort.
    pub kind: Kind,
    /// One sentence.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// The server may have received the request and done the work.
    pub in_doubt: bool,
}

impl From<Blocked> for Trouble {
    fn from(blocked: Blocked) -> Self {
        Self {
            kind: Kind::Blocked,
            what: blocked.to_string(),
            advice: "Use an https:// address on the open internet, or extend `[link] allow_addresses`.".to_owned(),
            in_doubt: false,
        }
    }
}

impl Trouble {
    /// A proxy that is asked to forward (no tunnel) answers 407 as the host would answer: its words for people.
    pub fn proxy_wants_login() -> Self {
        Self::of_proxy(PROXY_LOGIN)
    }

    fn of_proxy(what: &str) -> Self {
        Self {
            kind: Kind::Proxy,
            what: what.to_owned(),
            advice: "Check `proxy`, its user name and password, and whether it lets this host through.".to_owned(),
            in_doubt: false,
        }
    }
}

const PROXY_LOGIN: &str = "the proxy asks for a user name and password, or refused ours (407)";

/// Puts a client's error into words. Never shows more of the address than its host.
pub fn why(error: &reqwest::Error) -> Trouble {
    let host = error.url().and_then(|url| url.host_str()).map_or_else(|| "the host".to_owned(), |host| format!("`{host}`"));
    let chain = chain(error);
    let not_sent = |kind, what: String, advice: &str| Trouble { kind, what, advice: advice.to_owned(), in_doubt: false };

    if let Some(blocked) = find::<Blocked>(&chain) {
        return blocked.clone().into();
    }
    if let Some(tls) = find::<rustls::Error>(&chain) {
        return tls_trouble(tls, &host, error.is_connect());
    }
    if let Some(what) = proxy_trouble(&chain) {
        return Trouble::of_proxy(what);
    }
    if error.is_dns() {
        return not_sent(
            Kind::Dns,
            format!("the name of {host} could not be resolved"),
            "Check the spelling, this machine's DNS, and whether the host is reached only through a proxy.",
        );
    }
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection in time" } else { "no answer in time" };
        return Trouble {
            kind: Kind::Timeout,
            what: format!("{host}: {what}"),
            advice: "Check that the system is up and that no firewall drops the packets silently.".to_owned(),
            in_doubt: !error.is_connect(),
        };
    }
    if error.is_connect() {
        return connect_trouble(&chain, &host);
    }
    if error.is_builder() {
        return not_sent(Kind::Request, "the request could not be made".to_owned(), "Check the address in the configuration.");
    }
    let (kind, what) = if error.is_body() || error.is_decode() {
        (Kind::Body, "the answer broke off or could not be decoded")
    } else {
        (Kind::Reset, "the connection ended before an answer came")
    };
    Trouble {
        kind,
        what: format!("{host}: {what}"),
        advice: "This usually passes by itself; if it stays, look at the system's own log and at proxies in between.".to_owned(),
        in_doubt: true,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        chain.push(error);
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    chain
}

fn find<'a, T: Error + 'static>(chain: &[&'a (dyn Error + 'static)]) -> Option<&'a T> {
    chain.iter().find_map(|error| error.downcast_ref::<T>())
}

fn tls_trouble(error: &rustls::Error, host: &str, connecting: bool) -> Trouble {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    let certificate_wanted = matches!(
        error,
        AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
        )
    );
    let (what, advice) = match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => (
            "its certificate was issued by an authority that is not trusted here",
            "Put the authority's certificate into `ca_file`.",
        ),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            ("its certificate has expired", "Have it renewed, and check this machine's clock.")
        }
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            ("its certificate is not valid yet", "Check this machine's clock.")
        }
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            ("its certificate is for another name", "Use the name that the certificate holds, or have it issued anew.")
        }
        InvalidCertificate(CertificateError::Revoked) => ("its certificate was revoked", "Have it renewed."),
        InvalidCertificate(_) => ("its certificate was not accepted", "Look at it with `openssl s_client -connect HOST:443`."),
        _ if certificate_wanted => {
            ("it wants a client certificate, or refused ours", "Set `client_cert`, or have its authority accepted there.")
        }
        InvalidMessage(_) => ("it does not speak TLS on this port", "Check the port, or whether http:// is meant."),
        _ => ("TLS failed", "Check that it offers TLS 1.2 or 1.3, and what a proxy in between does to TLS."),
    };
    Trouble {
        kind: Kind::Tls,
        what: format!("{host}: {what} ({error})"),
        advice: advice.to_owned(),
        // A handshake that one end refused never brought the request to the server's program.
        in_doubt: !connecting && !certificate_wanted,
    }
}

/// The proxy errors have no public types: their words are all there is. The innermost knows most.
fn proxy_trouble(chain: &[&(dyn Error + 'static)]) -> Option<&'static str> {
    chain.iter().rev().find_map(|error| {
        let text = error.to_string();
        let says = |part: &str| text.contains(part);
        if says("proxy authorization required") {
            Some(PROXY_LOGIN)
        } else if says("credentials not accepted") {
            Some("the proxy refused our user name or password")
        } else if says("does not support user/pass authentication") {
            Some("the proxy takes no user name and password, or wants some and `proxy` holds none")
        } else if says("tunnel error: failed") || says("SOCKS error: failed to create") {
            Some("the proxy could not be reached")
        } else if says("tunnel error") || says("SOCKS error") {
            Some("the proxy did not open a way to the host")
        } else if says("error connecting to socks proxy") {
            Some("the proxy could not be reached")
        } else {
            None
        }
    })
}

fn connect_trouble(chain: &[&(dyn Error + 'static)], host: &str) -> Trouble {
    let (what, advice) = match find::<io::Error>(chain).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            ("the connection was refused", "Check that the system runs, and the port in the address.")
        }
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            ("there is no way to it from here", "Check this machine's network, and whether a proxy is needed.")
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => (
            "the connection was cut while it was opened",
            "A firewall may not let it through, or the port speaks another protocol.",
        ),
        _ => ("no connection could be opened", "Check the address, the network and the proxy."),
    };
    Trouble { kind: Kind::Connect, what: format!("{host}: {what}"), advice: advice.to_owned(), in_doubt: false }
}
