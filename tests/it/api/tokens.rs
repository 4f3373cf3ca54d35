//! Tokens: what each scope may, what a bound token sees, and that nobody locks everybody out.

use serde_json::{Value, json};

use crate::support::{Settings, TOKEN, TestNode, World};

async fn token(node: &TestNode, by: &str, body: Value) -> (String, String) {
    let made = node.call_as(by, "POST", "/tokens", Some(body)).await.good();
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    (text("id"), text("secret"))
}

/// Scope that each call needs, least first; a call that is let in may still be refused for its content.
const CALLS: [(&str, &str, &str); 31] = [
    ("read", "GET", "/connections"),
    ("read", "GET", "/connections/{id}"),
    ("read", "GET", "/connections/{id}/rules"),
    ("read", "GET", "/connections/{id}/triggers"),
    ("read", "GET", "/twins"),
    ("read", "GET", "/errors"),
    ("read", "GET", "/queue"),
    ("read", "GET", "/status"),
    ("read", "GET", "/trackers"),
    ("read", "GET", "/trackers/support/types"),
    ("read", "GET", "/connections/{id}/twins.csv"),
    ("operate", "POST", "/twins/stop"),
    ("operate", "POST", "/errors/skip"),
    ("operate", "POST", "/connections/{id}/twins"),
    ("operate", "POST", "/connections/{id}/twins/link"),
    ("operate", "POST", "/connections/{id}/triggers/count"),
    ("operate", "POST", "/errors/retry"),
    ("operate", "POST", "/trackers/support/check"),
    ("operate", "POST", "/connections/{id}/activate"),
    ("configure", "POST", "/connections"),
    ("configure", "PATCH", "/connections/{id}"),
    ("configure", "POST", "/connections/{id}/triggers"),
    ("configure", "POST", "/connections/{id}/invitation"),
    ("configure", "POST", "/invitations/inspect"),
    ("configure", "POST", "/destinations/check"),
    ("admin", "GET", "/tokens"),
    ("admin", "POST", "/tokens"),
    ("admin", "GET", "/users"),
    ("admin", "POST", "/users"),
    ("admin", "GET", "/audit"),
    ("admin", "POST", "/trackers/support/sign-in"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_needs_its_scope_and_each_scope_holds_those_before_it() {
    let world = World::start().await;
    let scopes = ["read", "operate", "configure", "admin"];
    for (at, scope) in scopes.iter().enumerate() {
        let (_, secret) = token(&world.public, TOKEN, json!({"name": scope, "scopes": [scope]})).await;
        for (needed, method, path) in CALLS {
            let path = path.replace("{id}", &world.connection);
            let answer = world.public.call_as(&secret, method, &path, (method != "GET").then(|| json!({"x": 1}))).await;
            let let_in = scopes.iter().position(|one| *one == needed).expect("a scope") <= at;
            let refused = answer.status == 403 && answer.body["code"] == "forbidden";
            assert_eq!(refused, !let_in, "{scope}: {method} {path}: {} {}", answer.status, answer.body);
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_token_sees_its_own_connection_only() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Ours"}));
    world.issue_with("Ours").await;
    world.quiet().await;
    let other = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "x", "remote_short_name": "y"});
    let other = world.public.post("/connections", other).await["id"].as_str().expect("an id").to_owned();
    let body = json!({"name": "partner", "scopes": ["admin"], "connections": [other]});
    let (_, partner) = token(&world.public, TOKEN, body).await;
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    let as_partner = async |method: &str, path: &str| world.public.call_as(&partner, method, path, None).await;
    for path in ["/twins", &format!("/twins?key={case}"), "/errors"] {
        assert_eq!(as_partner("GET", path).await.good()["items"], json!([]), "{path}");
    }
    assert_eq!(as_partner("GET", "/connections").await.good()["items"][0]["id"], json!(other));
    for (method, path) in [
        ("GET", format!("/connections/{}", world.connection)),
        ("DELETE", format!("/connections/{}", world.connection)),
        ("POST", format!("/connections/{}/deactivate", world.connection)),
        ("GET", format!("/connections/{}/triggers", world.connection)),
        ("GET", format!("/twins/{twin}")),
        ("GET", format!("/twins/{twin}/history")),
        ("DELETE", format!("/twins/{twin}")),
    ] {
        assert_eq!(as_partner(method, &path).await.code(), "not_found", "{method} {path}");
    }
    let found = as_partner("GET", &format!("/trackers/support/entities/Case/{case}")).await.good();
    assert_eq!((&found["twins"], &found["history"], &found["waiting"]), (&json!([]), &json!([]), &json!([])), "{found}");
    let tracker = as_partner("GET", "/trackers/support").await.good();
    assert_eq!(tracker["outbound_message_url"], Value::Null, "whoever knows it can knock");
    assert_eq!(as_partner("GET", "/queue").await.good()["trackers"], json!([]));
    assert_eq!(as_partner("GET", "/status").await.good()["connections"], json!({"pending": 1, "active": 0, "deactivated": 0}));
    for (method, path) in [("GET", "/tokens"), ("GET", "/audit"), ("POST", "/trackers/support/rotate-token")] {
        assert_eq!(as_partner(method, path).await.code(), "forbidden", "{method} {path}");
    }
    world.stop().await;
}

/// A node whose only way in are its stored tokens keeps one that can make others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_token_stays() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let (first, secret) = token(&world.public, TOKEN, json!({"name": "first", "scopes": ["admin"]})).await;
    let soon = json!({"name": "read only", "scopes": ["read"]});
    token(&world.public, TOKEN, soon).await;
    let mut public = world.public;
    public.stop().await;
    public.config = public.config.replace(&format!("admin_token = \"{TOKEN}\""), "");
    public.start().await;
    assert_eq!(public.call("GET", "/status", None).await.code(), "unauthenticated", "the configuration's token is gone");
    let refused = public.call_as(&secret, "DELETE", &format!("/tokens/{first}"), None).await;
    assert_eq!((refused.status, refused.code()), (409, "invalid_state"));
    let (second, other) = token(&public, &secret, json!({"name": "second", "scopes": ["admin"]})).await;
    public.call_as(&other, "DELETE", &format!("/tokens/{first}"), None).await.good();
    assert_eq!(public.call_as(&secret, "GET", "/status", None).await.status, 401);
    assert_eq!(public.call_as(&other, "DELETE", &format!("/tokens/{second}"), None).await.status, 409);
    public.stop().await;
    world.org.stop().await;
    world.tracker.stop().await;
}
