//! Which addresses lead inside, and who may name them.
//!
//! A name is judged by everything it resolves to: one inside address among ten refuses it, or the tenth try would get
//! in. The judgement is made twice: by [`vet`] before the request, and by [`Guarded`] at each connect, since a name can
//! change its mind in between. Behind a proxy the machine's own DNS may never answer: such names are asked for now and
//! then only ([`Silent`]), or every call would wait for nothing. The texts never tell which address a name led to: that would map the inside for
//! somebody outside.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::Guard;

/// Longest wait for a name in [`vet`].
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that spare the look-up of a name that was silent.
const SPARED: u8 = 32;
/// Silent names that are remembered.
const MOST_SILENT: usize = 1_000;

/// Names for which this machine's DNS gave no answer in time. To spare a look-up opens nothing: without a proxy the
/// resolver judges at the connect, and a proxy resolves for itself.
#[derive(Clone, Debug, Default)]
pub struct Silent(Arc<Mutex<HashMap<String, u8>>>);

impl Silent {
    fn spares(&self, name: &str) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get_mut(name).is_some_and(|left| {
            let spared = *left > 0;
            *left = left.saturating_sub(1);
            spared
        })
    }

    fn note(&self, name: &str, silent: bool) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !silent {
            names.remove(name);
            return;
        }
        if names.len() >= MOST_SILENT {
            names.clear();
        }
        names.insert(name.to_owned(), SPARED);
    }
}

/// An address that may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Neither `http` nor `https`.
    #[error("addresses begin with https://, not with `{0}:`")]
    Scheme(String),
    /// No host in it.
    #[error("the address names no host")]
    NoHost,
    /// It leads inside.
    #[error(
        "`{0}` leads to an address inside a network (loopback, private, link-local or reserved), and this address came \
         from outside the configuration; if it is meant, the operator lists its network in `[link] allow_addresses`"
    )]
    Inside(String),
    /// Not encrypted, and not on the list.
    #[error(
        "`{0}` was given with http://, which is allowed only to networks listed in `[link] allow_addresses`; use https://, or \
         have the operator list it"
    )]
    Plain(String),
}

/// Checks what an address says by itself, without a look-up: its scheme, addresses in every notation that URLs know,
/// and names that mean this machine. See [`vet`] for the whole check.
pub fn check_url(url: &Url, guard: &Guard) -> Result<(), Blocked> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Blocked::Scheme(url.scheme().to_owned()));
    }
    let host = url.host().ok_or(Blocked::NoHost)?;
    let Guard::Stranger { allow, .. } = guard else { return Ok(()) };
    let plain = url.scheme() == "http";
    let shown = host.to_string();
    match host {
        // The URL parser has already made one address of `0x7f.1`, `2130706433` and `０１７７.0.0.1`.
        Host::Ipv4(ip) => judge(&shown, &[ip.into()], allow, plain),
        Host::Ipv6(ip) => judge(&shown, &[ip.into()], allow, plain),
        Host::Domain(name) => {
            check_name(name, allow)?;
            if plain && allow.is_empty() { Err(Blocked::Plain(shown)) } else { Ok(()) }
        }
    }
}

/// Checks an address before a request: [`check_url`], and all that its name resolves to.
///
/// A name that does not resolve here passes with `https://`: through a proxy only the proxy may know it, and without
/// one the connect fails.
pub async fn vet(url: &Url, guard: &Guard) -> Result<(), Blocked> {
    check_url(url, guard)?;
    let (Guard::Stranger { allow, silent }, Some(Host::Domain(name))) = (guard, url.host()) else { return Ok(()) };
    let plain = url.scheme() == "http";
    if !plain && silent.spares(name) {
        return Ok(());
    }
    let asked = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
    silent.note(name, asked.is_err());
    match asked {
        Ok(Ok(found)) => judge(name, &found.map(|address| address.ip()).collect::<Vec<_>>(), allow, plain),
        _ if plain => Err(Blocked::Plain(name.to_owned())),
        _ => Ok(()),
    }
}

/// Whether an address is anything but a host on the open internet.
///
/// Of IPv6 only global unicast (2000::/3) without its special blocks is outside, and IPv4 wrapped in it (mapped, NAT64,
/// 6to4) is as its IPv4 is. Lists: the IANA special-purpose registries, and the address at which one cloud's machines
/// reach their host.
pub fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => v4_inside(ip),
        IpAddr::V6(ip) => match wrapped_v4(ip) {
            Some(v4) => v4_inside(v4),
            None => v6_inside(ip),
        },
    }
}

fn v4_inside(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    match a {
        0 | 10 | 127 | 224.. => true,
        100 => (64..128).contains(&b),
        168 => (b, c, d) == (63, 129, 16),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => (b, c) == (0, 113),
        _ => false,
    }
}

fn v6_inside(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global = a & 0xe000 == 0x2000;
    // IETF assignments with Teredo, ORCHID and benchmarking; documentation, old and new.
    let special = match a {
        0x2001 => b < 0x0200 || b == 0x0db8,
        0x3fff => b < 0x1000,
        _ => false,
    };
    !global || special
}

/// The IPv4 address that an IPv6 one stands for. IPv4-compatible ones (`::a.b.c.d`) are long withdrawn and no such form:
/// they are inside as a whole.
fn wrapped_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(v4(high, low))
        }
        _ => None,
    }
}

fn allowed(ip: IpAddr, allow: &[IpNet]) -> bool {
    let wrapped = match ip {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    allow.iter().any(|net| net.contains(&ip) || wrapped.is_some_and(|ip| net.contains(&ip)))
}

fn judge(host: &str, addresses: &[IpAddr], allow: &[IpNet], plain: bool) -> Result<(), Blocked> {
    if addresses.iter().any(|ip| is_inside(*ip) && !allowed(*ip, allow)) {
        return Err(Blocked::Inside(host.to_owned()));
    }
    if plain && !addresses.iter().all(|ip| allowed(*ip, allow)) {
        return Err(Blocked::Plain(host.to_owned()));
    }
    Ok(())
}

/// `localhost` means this machine whatever a resolver says (RFC 6761).
fn check_name(name: &str, allow: &[IpNet]) -> Result<(), Blocked> {
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    let here = bare == "localhost" || bare.ends_with(".localhost");
    let loopback_listed = allowed(Ipv4Addr::LOCALHOST.into(), allow) || allowed(Ipv6Addr::LOCALHOST.into(), allow);
    if here && !loopback_listed { Err(Blocked::Inside(name.to_owned())) } else { Ok(()) }
}

/// A resolver that refuses names that lead inside.
pub(super) struct Guarded {
    allow: Arc<[IpNet]>,
    proxy_host: Option<String>,
}

impl Guarded {
    /// `proxy_host`: a name that the operator wrote and that passes.
    pub(super) fn new(allow: Vec<IpNet>, proxy_host: Option<String>) -> Self {
        Self { allow: allow.into(), proxy_host }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.allow);
        let is_proxy = self.proxy_host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name.as_str()));
        Box::pin(async move {
            let name = name.as_str();
            if !is_proxy {
                check_name(name, &allow)?;
            }
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            if !is_proxy {
                judge(name, &found.iter().map(SocketAddr::ip).collect::<Vec<_>>(), &allow, false)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_name_is_asked_for_now_and_then() {
        let silent = Silent::default();
        assert!(!silent.spares("node.example"));
        silent.note("node.example", true);
        let spared = (0..100).take_while(|_| silent.spares("node.example")).count();
        assert_eq!(spared, usize::from(SPARED));
        silent.note("node.example", true);
        assert!(silent.spares("node.example") && !silent.spares("other.example"));
        silent.note("node.example", false);
        assert!(!silent.spares("node.example"));
    }

    #[test]
    fn one_inside_address_among_many_refuses_the_name() {
        let addresses = ["8.8.8.8", "1.1.1.1", "10.0.0.1"].map(|text| text.parse().expect("an address"));
        let allow = ["10.0.0.0/8".parse().expect("a network")];
        let blocked = judge("node.example", &addresses, &[], false).expect_err("refused");
        assert_eq!(blocked, Blocked::Inside("node.example".to_owned()));
        assert!(!blocked.to_string().contains("10.0.0.1") && blocked.to_string().contains("allow_addresses"));
        assert_eq!(judge("node.example", &addresses, &allow, false), Ok(()));
        assert_eq!(judge("node.example", &addresses, &allow, true), Err(Blocked::Plain("node.example".to_owned())));
        assert_eq!(judge("node.example", &addresses[2..], &allow, true), Ok(()));
    }
}
