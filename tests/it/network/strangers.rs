//! What strangers may find out and how often they may try.

use std::time::{Duration, Instant};

use super::*;
use crate::support::{TOKEN, http, net};
use wicketgate::{clock::SystemClock, config::Role};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_strangers_host_answers_is_told_as_a_node_or_not_a_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let allow = "[link]\nallow_addresses = [\"127.0.0.0/8\"]\n";
    let mut node = TestNode::new("asks", folder.path(), Role::Public, Arc::new(SystemClock), allow);
    let mut other = TestNode::new("other", folder.path(), Role::Public, Arc::new(SystemClock), "");
    node.start().await;
    other.start().await;
    let check = async |url: String| node.post("/destinations/check", json!({"url": url})).await;
    let found = check(other.url.clone()).await;
    assert_eq!((&found["is_node"], &found["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))), "{found}");

    let html = net::page("200 OK", "content-type: text/html\r\n", "<p>secret intranet</p>").await;
    let broken = net::page("500 Internal Server Error", "", "secret trace").await;
    let redirect: &'static str = Box::leak(format!("location: {}/link/v1\r\n", other.url).into_boxed_str());
    let elsewhere = net::page("302 Found", redirect, "").await;
    let huge: &'static str = Box::leak("x".repeat(200_000).into_boxed_str());
    let large = net::page("200 OK", "content-type: application/json\r\n", huge).await;
    let almost =
        net::page("200 OK", "", r#"{"node":"x","version":"v","features":[],"modes":[],"fingerprint":"secret words"}"#).await;
    let silent = net::serve(|mut caller| async move {
        // The head is read and nothing is ever said.
        let _ = net::head(&mut caller).await;
        std::future::pending::<()>().await;
    })
    .await;
    let drips = net::serve(|mut caller| async move {
        let _ = net::head(&mut caller).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut caller, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while tokio::io::AsyncWriteExt::write_all(&mut caller, b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let nobody = crate::support::free_address();
    let addresses =
        [html.address, broken.address, elsewhere.address, large.address, almost.address, silent.address, drips.address, nobody];
    let begun = Instant::now();
    let answers = futures_util::future::join_all(addresses.map(|address| check(format!("http://{address}")))).await;
    for (answer, address) in answers.iter().zip(addresses) {
        assert_eq!(*answer, json!({"is_node": false, "version": null, "modes": []}), "{address}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    node.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_addresses_are_refused_in_every_notation() {
    let folder = tempfile::tempdir().expect("a folder");
    let allow = "[link]\nallow_addresses = [\"10.20.0.0/16\"]\n";
    let mut node = TestNode::new("asks", folder.path(), Role::Public, Arc::new(SystemClock), allow);
    node.start().await;
    let check = async |url: &str| node.call("POST", "/destinations/check", Some(json!({"url": url}))).await;
    for url in [
        "https://127.0.0.1",
        "https://127.1",
        "https://0x7f000001",
        "https://017700000001",
        "https://2130706433",
        "https://0",
        "https://0.0.0.0",
        "https://[::]",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[::127.0.0.1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://[2001:0:7f00:1::1]",
        "https://[fe80::1]",
        "https://[fc00::1]",
        "https://[ff02::1]",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://100.64.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.0.1:22",
        "https://10.21.0.1",
        "https://localhost",
        "https://localhost.",
        "https://x.localhost",
        "https://127.0.0.1.",
        "https://①②⑦.0.0.1",
        "https://user:pass@127.0.0.1",
        "http://8.8.8.8",
        "http://example.invalid",
    ] {
        let answer = check(url).await;
        assert!(answer.status >= 400, "{url}: {answer:?}");
        assert!(matches!(answer.code(), "address_not_allowed" | "validation_failed"), "{url}: {answer:?}");
    }
    for url in [
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%eth0]",
        "ftp://example.org",
        "gopher://x",
        "file:///etc/passwd",
        "https://",
    ] {
        assert_eq!(check(url).await.code(), "validation_failed", "{url}");
    }
    node.stop().await;
}

/// A body that would do for joining, if its caller had an invitation.
const ACCEPTANCE: &str = r#"{"node": "n", "key": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg", "url": null,
    "tracker_kind": "x", "version": "1"}"#;

struct Knocking {
    node: TestNode,
    http: reqwest::Client,
}

impl Knocking {
    /// The status of a call that comes, as the proxy in front says, from `from`.
    async fn knock(&self, method: &str, path: &str, token: &str, from: &str) -> u16 {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.node.url)).header("x-forwarded-for", from);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        request.body(ACCEPTANCE).send().await.expect("an answer").status().as_u16()
    }

    async fn stop(mut self) {
        self.node.stop().await;
    }

    /// Fails as often as it takes to be told to wait.
    async fn flood(&self, method: &str, path: &str, token: &str, from: &str) {
        for _ in 0..400 {
            if self.knock(method, path, token, from).await == 429 {
                return;
            }
        }
        panic!("{path} lets guess for ever");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_limited_at_every_door_per_address_that_the_proxy_tells() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let section = crate::support::helpdesk_section(&world.tracker, true, "");
    let mut node = TestNode::new("knocked", folder.path(), Role::Public, Arc::new(SystemClock), &section);
    node.config = node.config.replacen("[node]\n", "[node]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", 1);
    node.start().await;
    let hook = node.get("/trackers/helpdesk").await["webhook_url"].as_str().expect("a door").to_owned();
    let (guess, id) = ("/hooks/helpdesk/guess", uuid::Uuid::nil());
    let accept = format!("/link/v1/invitations/{id}/accept");
    let exchange = format!("/link/v1/connections/{id}/exchange");
    let doors = [
        ("GET", "/api/v1/status", "wg_guess"),
        ("POST", guess, ""),
        ("POST", accept.as_str(), "x.y.z"),
        ("POST", exchange.as_str(), "x.y.z"),
    ];
    let knocking = Knocking { node, http: http() };
    let stranger = "203.0.113.1";
    for (n, (method, path, token)) in doors.iter().enumerate() {
        let own = format!("203.0.113.{}", 10 + n);
        knocking.flood(method, path, token, &own).await;
        // What stands left of the address that our proxy saw was written by the caller itself.
        assert_eq!(knocking.knock(method, path, token, &format!("198.51.100.7, {own}")).await, 429, "{path}");
        let others = knocking.knock(method, path, token, &format!("{own}, {stranger}")).await;
        assert!((400..429).contains(&others), "{path}: another address is not concerned: {others}");
    }
    // A flood at one door, by the same address, closes no other, and not even that one for who has the key.
    let flooder = "203.0.113.10";
    assert_eq!(knocking.knock("GET", "/api/v1/status", TOKEN, flooder).await, 200);
    let path = hook[hook.find("/hooks/").expect("a path")..].to_owned();
    assert_eq!(knocking.knock("POST", &path, "", flooder).await, 401, "its signature is missing, and that is all");
    assert_eq!(knocking.knock("POST", guess, "", flooder).await, 403);
    knocking.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_token_that_is_short_is_not_looked_at_while_its_caller_guesses() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = TestNode::new("short", folder.path(), Role::Public, Arc::new(SystemClock), "");
    node.config = node.config.replace(TOKEN, "letmein").replacen("[node]\n", "[node]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", 1);
    node.start().await;
    let knocking = Knocking { node, http: http() };
    let (path, guesser, other) = ("/api/v1/status", "203.0.113.1", "203.0.113.2");
    assert_eq!(knocking.knock("GET", path, "letmein", guesser).await, 200);
    knocking.flood("GET", path, "guess", guesser).await;
    assert_eq!(knocking.knock("GET", path, "letmein", guesser).await, 429);
    assert_eq!(knocking.knock("GET", path, "letmein", other).await, 200);
    knocking.stop().await;
}
