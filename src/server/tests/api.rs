//! The API over HTTP.

use serde_json::json;

use super::*;

#[test]
fn the_description_is_frozen() {
    insta::assert_snapshot!(crate::server::api::document());
}

#[tokio::test]
async fn every_described_operation_is_mounted() {
    let bench = Bench::start("").await;
    let described: Value = bench.send("GET", "/api/v1/openapi.json", "", None, &[]).await.json();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let nil = uuid::Uuid::nil().to_string();
        let filled = path.replace("{name}", "support").replace("{type}", "Case").replace("{key}", "K");
        let filled = filled.replace("{id}", &nil).replace("{trigger}", &nil).replace("{version}", "0");
        // The first never ends, the second is for everybody.
        for method in methods.as_object().expect("methods").keys().filter(|_| path != "/stream" && path != "/openapi.json") {
            assert_eq!(
                bench.send(&method.to_uppercase(), &format!("/api/v1{filled}"), "", None, &[]).await.status,
                401,
                "{path}"
            );
            let answer = bench.send(&method.to_uppercase(), &format!("/api/v1{filled}"), ADMIN, Some(json!({})), &[]).await;
            assert!(answer.status != 405 && !answer.text.contains("no such address"), "{method} {path}: {}", answer.text);
        }
    }
    assert_eq!(bench.get("/nothing", ADMIN).await.code(), "not_found");
    assert_eq!(bench.send("PUT", "/api/v1/status", ADMIN, None, &[]).await.code(), "method_not_allowed");
    bench.stop().await;
}

#[tokio::test]
async fn tokens_do_what_their_scopes_say() {
    let bench = Bench::start("").await;
    let (own, other) = (bench.connection("own").await, bench.connection("other").await);
    assert_eq!(bench.get("/connections", "wg_unknown").await.code(), "unauthenticated");
    let made = bench.post("/tokens", ADMIN, json!({"name": "partner", "scopes": ["operate"], "connections": [own.id]})).await;
    assert_eq!(made.status, 201);
    let token = made.json()["secret"].as_str().expect("shown once").to_owned();
    assert!(token.starts_with("wg_"));
    let listed = bench.get("/connections", &token).await.json();
    assert_eq!(listed["items"].as_array().expect("a list").len(), 1);
    assert_eq!(listed["items"][0]["id"], json!(own.id));
    assert_eq!(bench.get(&format!("/connections/{}", other.id), &token).await.code(), "not_found");
    assert_eq!(bench.post(&format!("/connections/{}/deactivate", other.id), &token, json!({})).await.status, 404);
    assert_eq!(bench.get("/tokens", &token).await.code(), "forbidden");
    assert_eq!(bench.post(&format!("/connections/{}/triggers", own.id), &token, json!({"x": 1})).await.code(), "forbidden");
    let tracker = bench.get("/trackers/support", &token).await.json();
    assert_eq!(tracker["outbound_message_url"], Value::Null, "it holds a secret");
    assert!(!bench.get("/tokens", ADMIN).await.text.contains(&token));
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(bench.send("DELETE", &format!("/api/v1/tokens/{id}"), ADMIN, None, &[]).await.status, 204);
    assert_eq!(bench.get("/connections", &token).await.status, 401);
    let audit = bench.get("/audit", ADMIN).await.json();
    assert_eq!(audit["items"][0]["action"], "token.delete");
    bench.stop().await;
}

#[tokio::test]
async fn a_repeat_under_the_same_key_is_given_the_first_answer() {
    let bench = Bench::start("").await;
    let id = bench.connection("one").await.id;
    let path = format!("/api/v1/connections/{id}/triggers");
    let body = || Some(json!({"entity_type": "Case", "filter": "a"}));
    let key = [("idempotency-key", "k1")];
    let first = bench.send("POST", &path, ADMIN, body(), &key).await;
    let again = bench.send("POST", &path, ADMIN, body(), &key).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(
        bench.get(&format!("/connections/{id}/triggers"), ADMIN).await.json()["items"].as_array().expect("a list").len(),
        1
    );
    let other = bench.send("POST", &path, ADMIN, Some(json!({"entity_type": "Case", "filter": "b"})), &key).await;
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch".into()));
    let wrong = bench
        .send("POST", &path, ADMIN, Some(json!({"entity_type": "Case", "filter": "wrong"})), &[("idempotency-key", "k2")])
        .await;
    assert_eq!(wrong.json()["errors"][0]["field"], "filter");
    assert_eq!(
        bench.send("POST", &path, ADMIN, body(), &[("idempotency-key", "k2")]).await.status,
        201,
        "a failure keeps no key"
    );
    let secret = || Some(json!({"name": "t", "scopes": ["read"]}));
    assert_eq!(bench.send("POST", "/api/v1/tokens", ADMIN, secret(), &[("idempotency-key", "k3")]).await.status, 201);
    assert_eq!(
        bench.send("POST", "/api/v1/tokens", ADMIN, secret(), &[("idempotency-key", "k3")]).await.code(),
        "idempotency_secret"
    );
    bench.stop().await;
}

#[tokio::test]
async fn connections_are_checked_at_the_door() {
    let private = Bench::start("").await;
    let good = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "a", "remote_short_name": "b"});
    let refused = private.post("/connections", ADMIN, good.clone()).await;
    assert_eq!((refused.status, refused.code()), (422, "cannot_invite".into()));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let near = private.post("/connections", ADMIN, with("tracker", json!("suport"))).await.json();
    assert!(near["errors"][0]["message"].as_str().expect("told").contains("did you mean `support`?"), "{near}");
    assert_eq!(
        private.post("/connections", ADMIN, with("local_short_name", json!(" "))).await.json()["errors"][0]["field"],
        "local_short_name"
    );
    assert_eq!(private.post("/connections", ADMIN, with("mdoe", json!("basic"))).await.json()["errors"][0]["field"], "mdoe");
    assert_eq!(private.post("/connections", ADMIN, with("description", json!("x".repeat(2_001)))).await.status, 422);
    let one = private.connection("one").await;
    private.connection("two").await;
    let path = format!("/api/v1/connections/{}", one.id);
    let taken = private.send("PATCH", &path, ADMIN, Some(json!({"name": "two"})), &[]).await;
    assert_eq!((taken.status, taken.code()), (409, "name_taken".into()));
    let changed = private.send("PATCH", &path, ADMIN, Some(json!({"links": "ask", "description": "d"})), &[]).await.json();
    assert_eq!((changed["links"].as_str(), changed["description"].as_str()), (Some("ask"), Some("d")));
    assert_eq!(
        changed["health"],
        json!({"paused": null, "paused_by": null, "waiting": 0, "parked": 0, "latency_ms": {"p50": null, "p95": null}})
    );
    assert_eq!(changed["remote"], Value::Null);
    assert_eq!(private.post(&format!("/connections/{}/activate", one.id), ADMIN, json!({})).await.code(), "invalid_state");
    let page = private.get("/connections?limit=1", ADMIN).await.json();
    let next = page["next"].as_str().expect("more");
    assert_eq!(private.get(&format!("/connections?limit=1&cursor={next}"), ADMIN).await.json()["items"][0]["name"], "two");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("statsu=active", "statsu"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("status=on", "status"),
    ] {
        assert_eq!(private.get(&format!("/connections?{query}"), ADMIN).await.json()["errors"][0]["field"], field, "{query}");
    }
    assert_eq!(private.send("DELETE", &path, ADMIN, None, &[]).await.status, 204);
    assert_eq!(private.send("DELETE", &path, ADMIN, None, &[]).await.status, 404);
    assert_eq!(private.get("/connections/not-an-id", ADMIN).await.code(), "not_found");
    private.stop().await;
}

#[tokio::test]
async fn where_is_it_is_answered_without_a_twin() {
    let bench = Bench::start("").await;
    let found = bench.get("/trackers/support/entities/Case/k1", ADMIN).await.json();
    assert_eq!((found["key"].as_str(), found["twins"].as_array().map(Vec::len)), (Some("K1"), Some(0)));
    assert_eq!(bench.get("/trackers/nobody/entities/Case/k1", ADMIN).await.status, 404);
    let status = bench.get("/status", ADMIN).await.json();
    assert_eq!((status["ready"].as_bool(), status["kind"].as_str()), (Some(true), Some("private")));
    assert_eq!(bench.get("/queue", ADMIN).await.json()["trackers"][0]["changes"], 0);
    let id = bench.connection("one").await.id;
    let rules = bench.get(&format!("/connections/{id}/rules"), ADMIN).await.json();
    assert_eq!((rules["draft"].clone(), rules["published"]["version"].as_u64()), (Value::Null, Some(0)));
    bench.stop().await;
}

#[tokio::test]
async fn a_public_node_invites_and_reads_its_own_code() {
    let bench = Bench::start("public_url = \"https://sync.acme.example\"").await;
    let body = json!({"tracker": "support", "destination_url": null, "mode": "script", "local_short_name": "a", "remote_short_name": "b"});
    let key = [("idempotency-key", "k1")];
    let made = bench.send("POST", "/api/v1/connections", ADMIN, Some(body.clone()), &key).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(
        (made["name"].as_str(), made["status"].as_str(), made["kind"].as_str()),
        (Some("a_to_b"), Some("pending"), Some("private"))
    );
    assert_eq!(bench.send("POST", "/api/v1/connections", ADMIN, Some(body), &key).await.code(), "idempotency_secret");
    let code = made["invitation"]["code"].as_str().expect("a code");
    let read = bench.post("/invitations/inspect", ADMIN, json!({"code": code})).await;
    assert_eq!((read.status, read.json()["local_short_name"].as_str()), (200, Some("b")), "from the reader's side");
    assert_eq!(bench.post("/invitations/inspect", ADMIN, json!({"code": "nonsense"})).await.code(), "invitation_invalid");
    let elsewhere = json!({"tracker": "support", "destination_url": format!("{}/x", bench.url), "mode": "basic", "local_short_name": "a", "remote_short_name": "c"});
    let inside = bench.post("/connections", ADMIN, elsewhere).await;
    assert_eq!(inside.status, 422, "{}", inside.text);
    bench.stop().await;
}
