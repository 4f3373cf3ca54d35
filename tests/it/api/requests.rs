//! What is no good request is told so, always as a problem document.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Settings, TOKEN, World, described::Described, http};

struct Raw {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl Raw {
    /// The body as a problem document of this code.
    fn is(&self, described: &Described, status: u16, code: &str, what: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{what}: {text}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{what}");
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{what}: {text}"));
        assert_eq!(described.differs_from("Problem", &body), Vec::<String>::new(), "{what}: {text}");
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)), "{what}: {text}");
        assert_eq!(body["type"], format!("urn:wicketgate:problem:{code}"));
        assert!(!body["detail"].as_str().expect("text").is_empty(), "{what}");
    }
}

async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Raw {
    let mut request = http().request(reqwest::Method::from_bytes(method.as_bytes()).expect("a method"), url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.timeout(Duration::from_secs(20)).send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Raw { status, headers, body: answer.bytes().await.expect("a body").to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_request_is_a_problem_document() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let described = Described::new();
    let base = format!("{}/api/v1", world.public.url);
    let bearer = format!("Bearer {TOKEN}");
    let with = |kind: &'static str| vec![("authorization", bearer.as_str()), ("content-type", kind)];
    let good = r#"{"name": "t", "scopes": ["read"]}"#;
    let tokens = format!("{base}/tokens");
    let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(&str, Vec<u8>, &'static str, u16, &str)> = vec![
        ("half a body", br#"{"name": "#.to_vec(), "application/json", 400, "malformed_json"),
        ("no body", Vec::new(), "application/json", 400, "malformed_json"),
        ("two bodies", format!("{good}{good}").into_bytes(), "application/json", 400, "malformed_json"),
        ("no UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec(), "application/json", 400, "malformed_json"),
        ("a lone surrogate", br#"{"name": "\ud800"}"#.to_vec(), "application/json", 400, "malformed_json"),
        ("deep nesting", deep.into_bytes(), "application/json", 422, "validation_failed"),
        ("a list", b"[]".to_vec(), "application/json", 422, "validation_failed"),
        ("null", b"null".to_vec(), "application/json", 422, "validation_failed"),
        (
            "an unknown member",
            br#"{"name": "t", "scopes": ["read"], "scpes": 1}"#.to_vec(),
            "application/json",
            422,
            "validation_failed",
        ),
        (
            "a member twice",
            br#"{"name": "t", "name": "u", "scopes": ["read"]}"#.to_vec(),
            "application/json",
            422,
            "validation_failed",
        ),
        ("an unknown word", br#"{"name": "t", "scopes": ["root"]}"#.to_vec(), "application/json", 422, "validation_failed"),
        (
            "a time without a zone",
            br#"{"name": "t", "scopes": ["read"], "expires_at": "2099-01-01"}"#.to_vec(),
            "application/json",
            422,
            "validation_failed",
        ),
        (
            "a time that is past",
            br#"{"name": "t", "scopes": ["read"], "expires_at": "2009-01-01T00:00:00Z"}"#.to_vec(),
            "application/json",
            422,
            "validation_failed",
        ),
        (
            "a control character",
            br#"{"name": "a\u0000b", "scopes": ["read"]}"#.to_vec(),
            "application/json",
            422,
            "validation_failed",
        ),
        ("a form", b"name=t&scopes=read".to_vec(), "application/x-www-form-urlencoded", 400, "malformed_json"),
        ("text", good.as_bytes().to_vec(), "text/plain", 415, "unsupported_media_type"),
        ("XML", b"<name/>".to_vec(), "application/xml", 415, "unsupported_media_type"),
        ("a giant", vec![b' '; 3_000_000], "application/json", 413, "too_large"),
    ];
    for (what, body, kind, status, code) in cases {
        send("POST", &tokens, &with(kind), body).await.is(&described, status, code, what);
    }
    assert!(world.public.get("/tokens").await["items"].as_array().is_some_and(Vec::is_empty), "nothing came of it");
    // What `curl -d` sends is JSON all the same.
    let by_curl = send("POST", &tokens, &with("application/x-www-form-urlencoded"), good.as_bytes().to_vec()).await;
    assert_eq!(by_curl.status, 201);
    for (method, path, status, code) in [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/connections/not-an-id", 404, "not_found"),
        ("GET", "/api/v1/twins/%ff", 404, "not_found"),
        ("POST", "/api/v1/status", 405, "method_not_allowed"),
        ("DELETE", "/api/v1/twins", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
        ("GET", "/hooks/helpdesk/x", 405, "method_not_allowed"),
        ("POST", "/hooks/nobody/x", 404, "not_found"),
    ] {
        let answer = send(method, &format!("{}{path}", world.public.url), &with("application/json"), Vec::new()).await;
        answer.is(&described, status, code, &format!("{method} {path}"));
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}");
    }
    for (header, what) in [("", "none"), ("Basic d2c6d2c=", "basic"), ("Bearer wg_wrong", "wrong"), ("Bearer ", "empty")] {
        let answer = send("GET", &tokens, &[("authorization", header)], Vec::new()).await;
        answer.is(&described, 401, "unauthenticated", what);
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_options_are_understood() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let bearer = format!("Bearer {TOKEN}");
    let auth = [("authorization", bearer.as_str())];
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/api/v1/stream", "/healthz", "/readyz", "/metrics"] {
        let url = format!("{}{path}", world.public.url);
        let head = send("HEAD", &url, &auth, Vec::new()).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
        assert_eq!(head.headers["x-content-type-options"], "nosniff");
        let options = send("OPTIONS", &url, &auth, Vec::new()).await;
        assert_eq!((options.status, options.headers["allow"].to_str().expect("text")), (204, "GET"), "OPTIONS {path}");
    }
    let options = send("OPTIONS", &format!("{}/api/v1/connections", world.public.url), &auth, Vec::new()).await;
    let allowed = options.headers["allow"].to_str().expect("text");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    assert_eq!(send("HEAD", &format!("{}/api/v1/status", world.public.url), &[], Vec::new()).await.status, 401);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_metrics_speak_to_machines() {
    let world = World::start().await;
    world.new_case(json!({"Subject": "Counted"}));
    world.issue_with("Counted").await;
    world.quiet().await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        send("GET", &format!("{}{path}", world.public.url), headers, Vec::new()).await
    };
    let alive: Value = serde_json::from_slice(&get("/healthz", &[]).await.body).expect("JSON");
    assert_eq!(alive["status"], "ok");
    let ready: Value = serde_json::from_slice(&get("/readyz", &[]).await.body).expect("JSON");
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    assert_eq!(get("/metrics", &[]).await.status, 401, "not for strangers");
    let made = world.public.post("/tokens", json!({"name": "prometheus", "scopes": ["read"]})).await;
    let bearer = format!("Bearer {}", made["secret"].as_str().expect("a secret"));
    let metrics = get("/metrics", &[("authorization", &bearer)]).await;
    assert_eq!(metrics.status, 200);
    let text = String::from_utf8(metrics.body).expect("text");
    let mut described = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and its help");
            assert!(help.len() > 10, "{line}");
            described.insert(name.to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            assert!(described.contains(name), "{name} has no HELP");
            assert!(line.rsplit(' ').next().expect("a value").parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(text.contains("wicketgate_changes_taken_total{source=\"outbound_message\"} 1"), "{text}");
    assert!(!text.contains(&world.connection), "no ids in labels");
    let bound = json!({"name": "partner", "scopes": ["admin"], "connections": [world.connection]});
    let bound = world.public.post("/tokens", bound).await;
    let bearer = format!("Bearer {}", bound["secret"].as_str().expect("a secret"));
    assert_eq!(get("/metrics", &[("authorization", &bearer)]).await.status, 403, "they concern the whole node");
    world.stop().await;
}
