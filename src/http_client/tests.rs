use std::net::IpAddr;

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn stranger(allow: &[&str]) -> Guard {
    Guard::stranger(allow.iter().map(|net| net.parse().expect("a network")).collect())
}

/// Serves one connection: reads a head, answers `answer`, gives back what it read.
async fn stub(answer: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a caller");
        let mut head = Vec::new();
        // A TLS hello begins with 22 and has no end of head.
        while head.first() != Some(&22) && !head.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut chunk = [0u8; 1024];
            match socket.read(&mut chunk).await.expect("readable") {
                0 => break,
                n => head.extend_from_slice(&chunk[..n]),
            }
        }
        socket.write_all(answer.as_bytes()).await.expect("writable");
        String::from_utf8_lossy(&head).into_owned()
    });
    (address, task)
}

#[test]
fn inside_and_outside() {
    let inside = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2001:2::1",
        "2001:10::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "5f00::1",
    ];
    for text in inside {
        assert!(is_inside(text.parse().expect("an address")), "{text} is inside");
    }
    let outside = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "2001:4860:4860::8888",
    ];
    for text in outside {
        assert!(!is_inside(text.parse().expect("an address")), "{text} is outside");
    }
}

#[test]
fn a_stranger_reaches_no_inside_literal_in_any_notation() {
    for text in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://１２７.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://[fe80::1]/",
        "https://user@10.0.0.1:8443/",
    ] {
        let url = text.parse().expect("a URL");
        assert!(matches!(check_url(&url, &stranger(&["10.9.0.0/16"])), Err(Blocked::Inside(_))), "{text}");
        assert_eq!(check_url(&url, &Guard::Operator), Ok(()), "{text}");
    }
    let url = "ftp://example.com/".parse().expect("a URL");
    assert!(matches!(check_url(&url, &Guard::Operator), Err(Blocked::Scheme(_))));
}

#[test]
fn listed_networks_may_be_named_also_without_tls() {
    let guard = stranger(&["10.20.0.0/16", "127.0.0.0/8"]);
    for text in ["http://10.20.1.1/", "https://10.20.1.1/", "http://[::ffff:10.20.1.1]/", "https://localhost/"] {
        assert_eq!(check_url(&text.parse().expect("a URL"), &guard), Ok(()), "{text}");
    }
    assert!(matches!(check_url(&"http://10.21.1.1/".parse().expect("a URL"), &guard), Err(Blocked::Inside(_))));
    assert!(matches!(check_url(&"http://8.8.8.8/".parse().expect("a URL"), &guard), Err(Blocked::Plain(_))));
    assert_eq!(check_url(&"https://8.8.8.8/".parse().expect("a URL"), &guard), Ok(()));
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    // A name without an answer passes with TLS (a proxy may know it) and not without.
    let unknown = |scheme: &str| format!("{scheme}://nowhere.invalid/").parse().expect("a URL");
    assert_eq!(vet(&unknown("https"), &stranger(&["10.0.0.0/8"])).await, Ok(()));
    assert!(matches!(vet(&unknown("http"), &stranger(&["10.0.0.0/8"])).await, Err(Blocked::Plain(_))));
    let own = "http://localhost:1/".parse().expect("a URL");
    assert_eq!(vet(&own, &stranger(&["127.0.0.0/8", "::1/128"])).await, Ok(()));
    assert!(matches!(vet(&own, &stranger(&[])).await, Err(Blocked::Inside(_))));
}

#[tokio::test]
async fn the_resolver_refuses_at_connect() {
    let guarded = client(&Network::default(), &stranger(&[])).expect("a client");
    let error = guarded.get("https://localhost:1/secret-token").send().await.expect_err("refused");
    let trouble = why(&error);
    assert_eq!(trouble.kind, Kind::Blocked, "{error:?}");
    assert!(!trouble.in_doubt && !trouble.what.contains("secret-token"), "{trouble:?}");

    let (address, task) = stub("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
    let open = client(&Network::default(), &stranger(&["127.0.0.0/8", "::1/128"])).expect("a client");
    let answer = open.get(format!("http://localhost:{}/", address.port())).send().await.expect("an answer");
    assert_eq!(answer.status(), 302, "redirects are not followed");
    assert!(task.await.expect("served").to_lowercase().contains("user-agent: wicketgate/"));
}

#[tokio::test]
async fn a_proxy_gets_its_credentials_and_its_no() {
    let (address, task) = stub("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let network = Network {
        proxy: Some(Proxy::Parts {
            url: format!("http://localhost:{}", address.port()),
            username: Some("svc".to_owned()),
            password: Some(Secret::new("50%41:@/")),
        }),
        ..Network::default()
    };
    // The proxy's name is the operator's word, although it leads inside.
    let http = client(&network, &stranger(&[])).expect("a client");
    let error = http.get("https://node.example/hush").send().await.expect_err("407");
    let head = task.await.expect("served").to_lowercase();
    assert!(head.starts_with("connect node.example:443"), "{head}");
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode("svc:50%41:@/");
    assert!(head.contains(&format!("proxy-authorization: basic {}", basic.to_lowercase())), "{head}");
    let trouble = why(&error);
    assert_eq!((trouble.kind, trouble.in_doubt), (Kind::Proxy, false), "{error:?}");
    assert!(!format!("{trouble:?}").contains("hush"));
}

#[tokio::test]
async fn direct_hosts_go_past_the_proxy_and_the_environment_is_not_asked() {
    let network = Network { proxy: Some(Proxy::Url(Secret::new("socks5h://127.0.0.1:1"))), ..Network::default() };
    let base = Network { no_proxy: vec!["127.0.0.0/8".to_owned()], ..Network::default() };
    let (address, task) = stub("HTTP/1.1 204 No Content\r\n\r\n").await;
    let http = client(&network.over(&base), &Guard::Operator).expect("a client");
    assert_eq!(http.get(format!("http://{address}/")).send().await.expect("direct").status(), 204);
    task.await.expect("served");
}

#[tokio::test]
async fn a_star_means_addresses_too_and_names_go_with_all_below_them() {
    for (no_proxy, host) in [("*", "127.0.0.1"), ("LOCALHOST", "localhost"), (".localhost", "localhost")] {
        let network = Network {
            proxy: Some(Proxy::Url(Secret::new("http://127.0.0.1:1"))),
            no_proxy: vec!["redmine.internal".to_owned(), no_proxy.to_owned()],
            ..Network::default()
        };
        let (address, task) = stub("HTTP/1.1 204 No Content\r\n\r\n").await;
        let http = client(&network, &Guard::Operator).expect("a client");
        let answer = http.get(format!("http://{host}:{}/", address.port())).send().await;
        assert_eq!(answer.expect(no_proxy).status(), 204, "{no_proxy}");
        task.await.expect("served");
        // A name that only looks alike goes through the proxy, which is not there.
        let other = http.get("http://notredmine.internal/").send().await;
        assert!(no_proxy == "*" || other.is_err_and(|error| why(&error).kind == Kind::Connect));
    }
}

#[test]
fn a_proxy_table_is_checked() {
    let read = |text: &str| toml::from_str::<Network>(text);
    assert!(read("proxy = { url = \"http://p:1\", username = \"u\", password = \"p\" }").is_ok());
    assert!(read("proxy = { url = \"http://p:1\", user = \"u\" }").is_err(), "a misspelt key");
    let lonely = read("proxy = { url = \"http://p:1\", password = \"hush\" }").expect("reads");
    let error = client(&lonely, &Guard::Operator).expect_err("no user name").to_string();
    assert!(error.contains("no username") && !error.contains("hush"), "{error}");
}

#[tokio::test]
async fn troubles_are_told_apart() {
    let http = client(&Network::default(), &Guard::Operator).expect("a client");
    let refused = http.get("http://127.0.0.1:1/").send().await.expect_err("refused");
    assert_eq!((why(&refused).kind, why(&refused).in_doubt), (Kind::Connect, false));
    let unknown = http.get("http://nowhere.invalid/").send().await.expect_err("unknown");
    assert_eq!((why(&unknown).kind, why(&unknown).in_doubt), (Kind::Dns, false));

    let (address, _task) = stub("").await;
    let cut = http.get(format!("http://{address}/?token=hush")).send().await.expect_err("cut");
    assert_eq!((why(&cut).kind, why(&cut).in_doubt), (Kind::Reset, true), "{cut:?}");
    assert!(!why(&cut).what.contains("hush"));

    let (address, _task) = stub("HTTP/1.1 400 Not TLS\r\n\r\n").await;
    let plain = http.get(format!("https://{address}/")).send().await.expect_err("no TLS");
    assert_eq!((why(&plain).kind, why(&plain).in_doubt), (Kind::Tls, false), "{plain:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = http
        .get(format!("http://{}/", listener.local_addr().expect("bound")))
        .timeout(Duration::from_millis(50))
        .send()
        .await
        .expect_err("silent");
    assert_eq!((why(&silent).kind, why(&silent).in_doubt), (Kind::Timeout, true));
}

/// Serves TLS connections with a certificate for `names`, from an authority whose PEM it gives back.
fn tls_stub(names: &[&str]) -> (std::net::SocketAddr, String) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let authority_pem = authority.self_signed(&authority_key).expect("signs").pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let cert = rcgen::CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("signs");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a pair");
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for socket in listener.incoming().take(2) {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, socket.expect("a caller"));
            // A caller that dislikes the certificate hangs up here.
            if stream.read(&mut [0u8; 4096]).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
            }
        }
    });
    (address, authority_pem)
}

#[tokio::test]
async fn certificates_are_judged_and_own_authorities_trusted() {
    let (address, authority) = tls_stub(&["127.0.0.1"]);
    let http = client(&Network::default(), &Guard::Operator).expect("a client");
    let untrusted = why(&http.get(format!("https://{address}/")).send().await.expect_err("untrusted"));
    assert_eq!((untrusted.kind, untrusted.in_doubt), (Kind::Tls, false));
    assert!(untrusted.advice.contains("ca_file"), "{untrusted:?}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority).expect("written");
    let network = Network { ca_file: Some(file.path().to_owned()), ..Network::default() };
    let http = client(&network, &Guard::Operator).expect("a client");
    assert_eq!(http.get(format!("https://{address}/")).send().await.expect("trusted").status(), 204);

    let (address, authority) = tls_stub(&["other.example"]);
    std::fs::write(file.path(), authority).expect("written");
    let http = client(&network, &Guard::Operator).expect("a client");
    let misnamed = why(&http.get(format!("https://{address}/")).send().await.expect_err("misnamed"));
    assert!(misnamed.what.contains("another name"), "{misnamed:?}");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let http = client(&Network::default(), &Guard::Operator).expect("a client");
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    ] {
        for (limit, fits) in [(11, true), (10, false)] {
            let (address, _task) = stub(answer).await;
            let response = http.get(format!("http://{address}/")).send().await.expect("an answer");
            let body = body_up_to(response, limit).await;
            match fits {
                true => assert_eq!(&body.expect("fits")[..], b"hello world"),
                false => assert_eq!(body, Err(BodyError::TooLarge { limit })),
            }
        }
    }
}

#[test]
fn wrong_settings_are_named() {
    let proxy = |url: &str| Network { proxy: Some(Proxy::Url(Secret::new(url))), ..Network::default() };
    for url in ["ftp://user:hush@p", "not a url hush", "socks5://"] {
        let error = client(&proxy(url), &Guard::Operator).expect_err("refused").to_string();
        assert!(error.contains("`proxy`") && !error.contains("hush"), "{error}");
    }
    let missing = Network { ca_file: Some("/nonexistent/ca.pem".into()), ..Network::default() };
    assert!(client(&missing, &Guard::Operator).expect_err("refused").to_string().contains("ca_file"));
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let empty = Network { ca_file: Some(empty.path().to_owned()), ..Network::default() };
    assert!(client(&empty, &Guard::Operator).expect_err("refused").to_string().contains("no PEM certificate"));
}

proptest! {
    #[test]
    fn wrapping_an_address_does_not_bring_it_in(bits: u32) {
        let v4 = std::net::Ipv4Addr::from(bits);
        let inside = is_inside(IpAddr::V4(v4));
        prop_assert_eq!(is_inside(IpAddr::V6(v4.to_ipv6_mapped())), inside);
        let [a, b, c, d] = v4.octets();
        let nat64: std::net::Ipv6Addr = format!("64:ff9b::{a}.{b}.{c}.{d}").parse().expect("an address");
        prop_assert_eq!(is_inside(IpAddr::V6(nat64)), inside);
        let std_says = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!std_says || inside);
    }

    #[test]
    fn only_global_unicast_of_ipv6_is_outside(bits: u128) {
        let ip = std::net::Ipv6Addr::from(bits);
        let mapped_or_nat64 = bits >> 32 == 0xffff || bits >> 32 == 0x0064_ff9b_0000_0000_0000_0000;
        prop_assert!(is_inside(IpAddr::V6(ip)) || bits >> 125 == 1 || mapped_or_nat64);
    }
}
