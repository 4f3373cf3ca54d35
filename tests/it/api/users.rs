//! People's accounts by the API: what is refused, who is spared, and that no password comes back.

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::judge::{Judge, looks_like};
use crate::support::{TOKEN, TestNode, clock::MovableClock};

/// Every operation on accounts, for the walk through the whole API.
pub(super) async fn walk(public: &Judge<'_>) {
    let wanted = json!({"name": " Ada ", "role": "operate", "password": "correct horse battery"});
    let made = public.call("POST", "/users", &[], Some(wanted), 201).await;
    looks_like("user", &made);
    assert_eq!((&made["name"], &made["role"], &made["last_sign_in_at"]), (&json!("Ada"), &json!("operate"), &Value::Null));
    let one = [("id", made["id"].as_str().expect("an id"))];
    assert_eq!(public.get("/users/{id}", &one).await, made);
    assert_eq!(public.get("/users", &[]).await["items"], json!([made]));
    let patched = public.call("PATCH", "/users/{id}", &one, Some(json!({"name": "ada", "role": "read"})), 200).await;
    assert_eq!((&patched["name"], &patched["role"]), (&json!("ada"), &json!("read")));
    let password = json!({"password": "battery staple horse"});
    public.call("POST", "/users/{id}/password", &one, Some(password), 204).await;
    assert_eq!(public.get("/users/{id}/sessions", &one).await["items"], json!([]));
    public.call("DELETE", "/users/{id}/sessions", &one, None, 204).await;
    let none = [one[0], ("session", "none")];
    public.call("DELETE", "/users/{id}/sessions/{session}", &none, None, 404).await;
    public.call("DELETE", "/users/{id}", &one, None, 204).await;
    let audit = public.get("/audit", &[]).await;
    looks_like("audit", &audit["items"][0]);
    assert_eq!((&audit["items"][0]["action"], &audit["items"][0]["detail"]), (&json!("user.delete"), &json!("ada")));
}

fn person(name: &str, role: &str) -> Value {
    json!({"name": name, "role": role, "password": "correct horse battery"})
}

/// A private node alone.
async fn node(dir: &std::path::Path) -> TestNode {
    let mut node = TestNode::new("alone", dir, Role::Private, std::sync::Arc::new(MovableClock::default()), "");
    node.start().await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_told_at_its_member() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = node(dir.path()).await;
    node.post("/users", person("Ada", "read")).await;
    for (body, field) in [
        (json!({"name": "", "role": "read", "password": "correct horse battery"}), "name"),
        (json!({"name": "a\u{200b}da", "role": "read", "password": "correct horse battery"}), "name"),
        (json!({"name": "x".repeat(101), "role": "read", "password": "correct horse battery"}), "name"),
        (json!({"name": "bob", "role": "root", "password": "correct horse battery"}), "role"),
        (json!({"name": "bob", "role": "read", "password": "short"}), "password"),
        (json!({"name": "bob", "role": "read", "password": "abcde".repeat(41)}), "password"),
        (json!({"name": "bob", "role": "read"}), "password"),
        (json!({"name": "bob", "role": "read", "password": 7}), "password"),
        (json!({"name": "bob", "role": "read", "password": "correct horse battery", "admin": true}), "admin"),
    ] {
        let answer = node.call("POST", "/users", Some(body)).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{}", answer.body);
    }
    let both = node.call("POST", "/users", Some(json!({"name": "", "role": "read", "password": ""}))).await;
    assert_eq!(both.body["errors"].as_array().map(Vec::len), Some(2), "all at once: {}", both.body);
    let taken = node.call("POST", "/users", Some(person("aDA", "read"))).await;
    assert_eq!((taken.code(), &taken.body["errors"][0]["field"]), ("name_taken", &json!("name")));
    let bob = node.post("/users", person("bob", "read")).await;
    let path = format!("/users/{}", bob["id"].as_str().expect("an id"));
    assert_eq!(node.call("PATCH", &path, Some(json!({"name": "ADA"}))).await.code(), "name_taken");
    assert_eq!(node.call("PATCH", &path, Some(json!({"password": "x"}))).await.code(), "validation_failed");
    let weak = node.call("POST", &format!("{path}/password"), Some(json!({"password": "bob bob bob bob"}))).await;
    assert_eq!(&weak.body["errors"][0]["field"], "password", "{}", weak.body);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_never_comes_back_and_is_not_kept_beside_its_hash() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = node(dir.path()).await;
    let body = person("Ada", "read");
    let request = |body: Value| {
        let post = crate::support::http().post(format!("{}/api/v1/users", node.url)).bearer_auth(TOKEN);
        post.header("idempotency-key", "one").json(&body).send()
    };
    let made: Value = request(body.clone()).await.expect("an answer").json().await.expect("a body");
    let again: Value = request(body.clone()).await.expect("an answer").json().await.expect("a body");
    assert_eq!(made, again, "done once");
    let other = request(person("Bob", "read")).await.expect("an answer");
    assert_eq!(other.status(), 422, "another request under that key");
    for path in ["/users", "/audit"] {
        let told = node.get(path).await.to_string();
        assert!(!told.contains("horse") && !told.contains("argon2"), "{told}");
    }
    // A fingerprint of the whole body would let a stolen file be guessed at quickly.
    let text = format!("POST\n/api/v1/users\n\n{body}");
    let quick = wicketgate::secret::sha256(text.as_bytes());
    node.stop().await;
    let mut kept = Vec::new();
    for file in std::fs::read_dir(&node.dir).expect("a folder") {
        kept.extend(std::fs::read(file.expect("a file").path()).expect("readable"));
    }
    let holds = |bytes: &[u8]| kept.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"$argon2id$v=19$m=19456,t=2,p=1$"), "the hash is there");
    assert!(!holds(b"horse"), "the password is not");
    assert!(!holds(&quick), "nor its quick fingerprint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_stays_unless_a_token_can_make_another() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = node(dir.path()).await;
    let ada = node.post("/users", person("Ada", "admin")).await;
    let ada = format!("/users/{}", ada["id"].as_str().expect("an id"));
    let bob = node.post("/users", person("Bob", "admin")).await;
    let bob = format!("/users/{}", bob["id"].as_str().expect("an id"));
    let token = node.post("/tokens", json!({"name": "t", "scopes": ["admin"], "expires_at": "2099-01-01T00:00:00Z"})).await;
    let (id, secret) = (token["id"].as_str().expect("an id"), token["secret"].as_str().expect("a secret"));
    node.stop().await;
    node.config = node.config.replace("admin_token", "# admin_token");
    node.start().await;
    let call = async |method: &str, path: &str, body: Option<Value>| node.call_as(secret, method, path, body).await;
    // The token governs: any account may go.
    call("PATCH", &bob, Some(json!({"role": "read"}))).await.good();
    call("PATCH", &ada, Some(json!({"role": "operate"}))).await.good();
    // Now the token is the last.
    let refused = call("DELETE", &format!("/tokens/{id}"), None).await;
    assert_eq!(refused.code(), "invalid_state");
    assert!(refused.body["detail"].as_str().is_some_and(|text| text.contains("admin_token")), "{}", refused.body);
    call("PATCH", &ada, Some(json!({"role": "admin"}))).await.good();
    call("DELETE", &format!("/tokens/{id}"), None).await.good();
    assert_eq!(call("GET", "/users", None).await.status, 401);
    node.stop().await;
    node.config = node.config.replace("# admin_token", "admin_token");
    node.start().await;
    node.delete(&ada).await;
    node.delete(&bob).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_account_tells_where_the_first_is_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = node(dir.path()).await;
    let told = async |node: &TestNode| node.node.as_ref().expect("it runs").set_up.clone();
    let first = told(&node).await.expect("a link");
    let secret = first.strip_prefix(&format!("{}/setup#", node.url)).expect("under its own address").to_owned();
    assert_eq!(secret.len(), 43);
    node.stop().await;
    node.start().await;
    assert_ne!(told(&node).await.expect("a link"), first, "each start draws another");
    let ada = node.post("/users", person("Ada", "admin")).await;
    node.stop().await;
    node.start().await;
    assert_eq!(told(&node).await, None, "there is an account");
    node.delete(&format!("/users/{}", ada["id"].as_str().expect("an id"))).await;
    node.stop().await;
}
