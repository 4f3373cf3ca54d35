//! Who is calling, and by which name: addresses behind proxies, and the `Host` check on loopback.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::{HttpRequest, dev::ServiceRequest, http::header::HeaderMap};
use ipnet::IpNet;

/// The caller's address. `X-Forwarded-For` counts only as far as trusted proxies wrote it: read from the right, the
/// first address that is no trusted proxy is the caller.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let peer = unmapped(peer);
    if !is_trusted(peer) {
        return peer;
    }
    let mut nearest = peer;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // A hop that is no address ends what can be believed.
        let Some(address) = parse_hop(hop) else { return nearest };
        nearest = address;
        if !is_trusted(address) {
            return address;
        }
    }
    nearest
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse::<IpAddr>()
        .ok()
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(unmapped)
}

fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What limits are counted by: an IPv4 address, or the /64 that one IPv6 customer has.
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The caller of a request.
pub fn of_request(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |address| address.ip());
    client_address(peer, request.headers(), trusted)
}

/// Names that a `Host` may say where the listener is on loopback.
#[derive(Clone, Debug, Default)]
pub struct OwnHosts {
    names: Vec<String>,
}

impl OwnHosts {
    /// `localhost`, loopback addresses, and these.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether `host` (with or without a port) is one of ours.
    pub fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let loopback = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| unmapped(address).is_loopback());
        loopback || name == "localhost" || self.names.contains(&name)
    }

    /// Whether the request may pass: on loopback its `Host` is ours. Without a `Host` it comes from no browser.
    pub fn admits(&self, request: &ServiceRequest) -> bool {
        if !unmapped(request.app_config().local_addr().ip()).is_loopback() {
            return true;
        }
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let hosts = request.headers().get_all("host").map(|host| host.to_str().unwrap_or(""));
        authority.into_iter().chain(hosts).all(|host| self.is_ours(host))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address without a port has its last colon inside the brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(line).expect("text"));
        }
        map
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_from_the_right() {
        let trusted = ["10.0.0.0/8".parse().expect("a net")];
        let spoofed = headers(&["1.1.1.1, 203.0.113.9, 10.0.0.7"]);
        assert_eq!(client_address(ip("10.0.0.1"), &spoofed, &trusted), ip("203.0.113.9"));
        assert_eq!(client_address(ip("198.51.100.2"), &spoofed, &trusted), ip("198.51.100.2"));
        assert_eq!(client_address(ip("10.0.0.1"), &headers(&["1.1.1.1", "203.0.113.9:4711"]), &trusted), ip("203.0.113.9"));
        assert_eq!(client_address(ip("10.0.0.1"), &headers(&["1.1.1.1, garbage"]), &trusted), ip("10.0.0.1"));
        assert_eq!(client_address(ip("::ffff:10.0.0.1"), &spoofed, &trusted), ip("203.0.113.9"));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        let own = OwnHosts::new(["Sync.Acme.example".to_owned()]);
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8081", "sync.acme.example:443"] {
            assert!(own.is_ours(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8081", "10.0.0.1", "[::2]"] {
            assert!(!own.is_ours(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_is_always_itself(line in "[ -~]{0,60}") {
            prop_assert_eq!(client_address(ip("203.0.113.1"), &headers(&[&line]), &["10.0.0.0/8".parse().expect("a net")]), ip("203.0.113.1"));
        }
    }
}
