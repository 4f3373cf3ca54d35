//! Listeners: names on loopback, health, the stream, TLS, an orderly stop.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn foreign_names_are_refused_on_loopback() {
    let bench = Bench::start("hosts = [\"relay.internal\"]").await;
    for (host, status) in [("localhost:1", 200), ("relay.internal", 200), ("evil.example", 421)] {
        assert_eq!(bench.send("GET", "/healthz", "", None, &[("host", host)]).await.status, status, "{host}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn machines_are_answered() {
    let bench = Bench::start("metrics_listen = \"127.0.0.1:0\"").await;
    let alive = bench.send("GET", "/healthz", "", None, &[]).await;
    assert_eq!(alive.json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(alive.headers["x-content-type-options"], "nosniff");
    assert!(alive.headers.contains_key("wicketgate-correlation"));
    assert_eq!(bench.send("GET", "/readyz", "", None, &[]).await.json()["ready"], true);
    assert_eq!(bench.send("GET", "/metrics", ADMIN, None, &[]).await.status, 404, "it has a listener of its own");
    bench.stop().await;

    let bench = Bench::start("").await;
    assert_eq!(bench.send("GET", "/metrics", "", None, &[]).await.status, 401);
    let metrics = bench.send("GET", "/metrics", ADMIN, None, &[]).await.text;
    assert!(metrics.contains("wicketgate_changes_waiting{tracker=\"support\"} 0\n"), "{metrics}");
    bench.stop().await;
}

#[tokio::test]
async fn the_stream_tells_what_changes_and_ends_at_the_stop() {
    let bench = Bench::start("").await;
    let mut answer = bench.http.get(format!("{}/api/v1/stream", bench.url)).bearer_auth(ADMIN).send().await.expect("answers");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let id = bench.connection("one").await.id;
    bench.node.store.wakes().tell(crate::store::Notice::Connection(id));
    let mut text = String::new();
    while !text.contains("\"name\":\"one\"") {
        let chunk = tokio::time::timeout(Duration::from_secs(10), answer.chunk()).await.expect("in time").expect("no error");
        text.push_str(&String::from_utf8_lossy(&chunk.expect("not ended")));
    }
    assert!(text.contains("event: connection\ndata: {"), "{text}");
    let began = Instant::now();
    bench.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    while let Ok(Some(_)) = answer.chunk().await {}
}

#[tokio::test]
async fn tls_follows_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("writes");
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("writes");
        made.cert.pem()
    };
    let trusting = |pem: &str| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).expect("writes");
        client(&Network { ca_file: Some(path), ..Network::default() }, &Guard::Operator).expect("a client")
    };
    let first = write();
    let paths = format!("tls = {{ cert = {:?}, key = {:?} }}", folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let bench = Bench::start(&paths).await;
    let url = format!("https://localhost:{}/healthz", bench.url.rsplit(':').next().expect("a port"));
    assert_eq!(trusting(&first).get(&url).send().await.expect("answers").status(), 200);
    let second = write();
    let http = trusting(&second);
    let began = Instant::now();
    while http.get(&url).send().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(15), "the new certificate was not taken");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    // Half of a new pair is there: the one before stays, and the operator sees why.
    let third = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.path().join("cert.pem"), third.cert.pem()).expect("writes");
    // The client keeps no connection: each call is a handshake.
    let fresh = |pem: &str| trusting(pem).get(&url).send();
    let errors = async || fresh_errors(&trusting(&second), &url).await;
    wait_for("the error", async || errors().await.is_some()).await;
    let error = errors().await.expect("it was there");
    assert_eq!(error["scope"], "node");
    assert!(error["detail"].as_str().expect("words").contains("the one before is still shown"), "{error}");
    assert_eq!(fresh(&second).await.expect("the old pair").status(), 200);
    // The other half: taken, and the error closes by itself.
    std::fs::write(folder.path().join("key.pem"), third.signing_key.serialize_pem()).expect("writes");
    let third = third.cert.pem();
    wait_for("the new pair", async || fresh(&third).await.is_ok()).await;
    wait_for("no error", async || fresh_errors(&trusting(&third), &url).await.is_none()).await;
    bench.stop().await;
}

/// The node's open error, asked for over TLS.
async fn fresh_errors(http: &reqwest::Client, health: &str) -> Option<Value> {
    let url = health.replace("/healthz", "/api/v1/errors");
    let answer = http.get(url).bearer_auth(ADMIN).send().await.ok()?;
    let text = answer.text().await.ok()?;
    serde_json::from_str::<Value>(&text).ok()?["items"].as_array()?.first().cloned()
}

async fn wait_for(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !seen().await {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
