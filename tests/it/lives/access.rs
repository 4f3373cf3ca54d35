//! Who may see and do what: no token, a scope that is too low, ids that are not there, and a partner's token.

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use crate::support::{
    Settings, TestNode, World,
    pair::{members, text},
    until, until_said,
    wire::Listening,
};

const SCOPES: [&str; 4] = ["read", "operate", "configure", "admin"];
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// The lowest scope of an operation.
fn lowest(method: &str, path: &str) -> usize {
    let operate = [
        "/activate",
        "/deactivate",
        "/twins",
        "/twins/link",
        "/twins/stop",
        "/triggers/count",
        "/retry",
        "/skip",
        "/check",
        "/run",
        "/preview",
        "/reapply",
        "/reconcile",
        "/pause",
        "/resume",
    ];
    match (method, path) {
        (_, path) if path.starts_with("/users") => 3,
        (_, "/tokens" | "/tokens/{id}" | "/audit" | "/trackers/{name}/rotate-token" | "/trackers/{name}/sign-in") => 3,
        ("get", _) => 0,
        ("post", "/destinations/check" | "/connections/{id}/rules/check") => 2,
        ("post", path) if operate.iter().any(|end| path.ends_with(end)) => 1,
        ("delete", "/twins/{id}" | "/jobs/{id}") => 1,
        _ => 2,
    }
}

/// Every operation of the API, as its description has it.
async fn operations(node: &TestNode) -> Vec<(String, String)> {
    let described = node.get("/openapi.json").await;
    let mut all = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            all.push((method.clone(), path.clone()));
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

fn filled(path: &str) -> String {
    path.replace("{id}", NOBODY)
        .replace("{trigger}", NOBODY)
        .replace("{session}", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")
        .replace("{name}", "nobody")
        .replace("{type}", "Case")
        .replace("{key}", "x")
}

async fn token(node: &TestNode, body: Value) -> Value {
    let made = node.call("POST", "/tokens", Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    members(&made.body, "id name scopes connections expires_at secret");
    made.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_wants_its_scope() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let node = &world.public;
    let mut secrets = Vec::new();
    for scope in SCOPES {
        secrets.push(text(&token(node, json!({"name": scope, "scopes": [scope]})).await["secret"]));
    }
    let http = crate::support::http();
    for (method, path) in operations(node).await {
        if path == "/openapi.json" {
            continue;
        }
        let word = method.to_uppercase();
        let bare = http.request(word.parse().expect("a method"), format!("{}/api/v1{}", node.url, filled(&path))).send().await;
        let bare = bare.expect("an answer");
        assert_eq!(bare.status(), 401, "{method} {path} without a token");
        assert!(bare.headers().contains_key("www-authenticate"), "{method} {path}");
        let problem: Value = bare.json().await.expect("a problem");
        members(&problem, "type title status detail code errors");
        let lowest = lowest(&method, &path);
        for (scope, secret) in secrets.iter().enumerate() {
            if path == "/stream" {
                continue;
            }
            let answer = node.call_as(secret, &word, &filled(&path), Some(json!({}))).await;
            assert_eq!(
                answer.status == 403,
                scope < lowest,
                "{method} {path} with {}: {} {}",
                SCOPES[scope],
                answer.status,
                answer.body
            );
            if scope < lowest {
                assert_eq!(answer.code(), "forbidden");
                assert!(text(&answer.body["detail"]).contains(SCOPES[lowest]), "{}", answer.body);
            } else if path.contains('{') {
                assert_eq!(
                    (answer.status, answer.code()),
                    (404, "not_found"),
                    "{method} {path} with an unknown id: {}",
                    answer.body
                );
            }
        }
    }
    world.stop().await;
}

/// A pair with two connections, each with a twin that goes well and one that is parked at the tracker.
async fn two_connections() -> (World, String, String) {
    let mut world = World::start().await;
    let first = world.connection.clone();
    world.join(json!({"name": "second"})).await;
    let second = world.connection.clone();
    for (connection, letter) in [(&first, 'A'), (&second, 'B')] {
        let path = format!("/connections/{connection}/triggers");
        let trigger = text(&world.private.get(&path).await["items"][0]["id"]);
        world.private.delete(&format!("{path}/{trigger}")).await;
        let trigger = text(&world.public.get(&path).await["items"][0]["id"]);
        world.public.patch(&format!("{path}/{trigger}"), json!({"filter": format!("Subject LIKE '{letter}%'")})).await;
    }
    let kind = TrackerFaultKind::Refuse("no".to_owned());
    world.tracker.handle.fail(TrackerFault { kind, times: 1_000, reads: false, body: Some("Stuck".to_owned()) });
    for subject in ["A good", "B good", "A Stuck", "B Stuck"] {
        world.new_case(json!({"Subject": subject}));
    }
    until("both issues", || world.tracker.handle.count() == 2).await;
    until_said("both to be parked", || async { world.private.get("/errors").await["items"].as_array().map(Vec::len) == Some(2) })
        .await;
    (world, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_token_sees_its_own_connection_and_nothing_else() {
    let (world, own, other) = two_connections().await;
    let node = &world.private;
    let made = token(node, json!({"name": "partner", "scopes": ["configure"], "connections": [own]})).await;
    let secret = text(&made["secret"]);
    let get = async |path: &str| node.call_as(&secret, "GET", path, None).await;
    let ids = |list: &Value, member: &str| -> Vec<String> {
        list["items"].as_array().expect("a list").iter().map(|one| text(&one[member])).collect()
    };
    assert_eq!(ids(&get("/connections").await.good(), "id"), [own.as_str()]);
    assert_eq!(ids(&get("/queue").await.good(), "connection_id"), [own.as_str()]);
    assert_eq!(get("/queue").await.good()["trackers"], json!([]));
    let figures = get("/figures").await.good();
    assert_eq!((&figures["trackers"], figures["points"].as_array().map(Vec::len)), (&json!([]), Some(96)));
    let status = get("/status").await.good();
    assert_eq!((status["connections"]["active"].as_u64(), status["parked"].as_u64()), (Some(1), Some(1)));
    let twins = get("/twins").await.good();
    assert_eq!(ids(&twins, "connection_id"), [own.as_str(), own.as_str()]);
    assert_eq!(get(&format!("/twins?connection_id={other}")).await.good()["items"], json!([]));
    let errors = get("/errors").await.good();
    assert_eq!(ids(&errors, "connection_id"), [own.as_str()]);

    let of_other = node.get(&format!("/twins?connection_id={other}")).await;
    let parked =
        of_other["items"].as_array().expect("a list").iter().find(|twin| twin["status"] == "parked").expect("one").clone();
    let (twin, error) = (text(&parked["id"]), text(&parked["error"]["id"]));
    let issue = of_other["items"]
        .as_array()
        .expect("a list")
        .iter()
        .find_map(|twin| twin["local"]["key"].as_str())
        .expect("one")
        .to_owned();
    for path in [
        format!("/twins/{twin}"),
        format!("/twins/{twin}/history"),
        format!("/errors/{error}"),
        format!("/connections/{other}"),
        format!("/connections/{other}/rules"),
        format!("/connections/{other}/triggers"),
    ] {
        assert_eq!(get(&path).await.status, 404, "{path}");
    }
    for (method, path) in [
        ("DELETE", format!("/twins/{twin}")),
        ("POST", format!("/errors/{error}/retry")),
        ("POST", format!("/errors/{error}/skip")),
        ("PATCH", format!("/connections/{other}")),
        ("DELETE", format!("/connections/{other}")),
        ("POST", format!("/connections/{other}/deactivate")),
        ("POST", format!("/connections/{other}/confirm")),
        ("POST", format!("/connections/{other}/invitation")),
        ("DELETE", format!("/connections/{other}/invitation")),
        ("POST", format!("/connections/{other}/triggers")),
        ("POST", format!("/connections/{other}/triggers/count")),
        ("POST", format!("/connections/{other}/twins")),
        ("POST", format!("/connections/{other}/twins/link")),
    ] {
        assert_eq!(node.call_as(&secret, method, &path, Some(json!({}))).await.status, 404, "{method} {path}");
    }
    // What concerns the whole node is not for a partner.
    for (method, path) in [
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/audit"),
        ("POST", "/connections"),
        ("POST", "/invitations/inspect"),
        ("POST", "/invitations/accept"),
        ("POST", "/destinations/check"),
        ("POST", "/trackers/helpdesk/rotate-token"),
        ("POST", "/trackers/helpdesk/sign-in"),
    ] {
        assert_eq!(node.call_as(&secret, method, path, Some(json!({}))).await.code(), "forbidden", "{method} {path}");
    }
    let entity = get(&format!("/trackers/helpdesk/entities/issue/{issue}")).await.good();
    assert_eq!((&entity["twins"], &entity["history"], &entity["waiting"]), (&json!([]), &json!([]), &json!([])), "{entity}");
    assert_eq!(get("/trackers/helpdesk").await.good()["webhook_url"], Value::Null, "it holds a secret");
    for filter in [json!({"connection_id": other}), json!({"twin_id": twin})] {
        assert_eq!(node.call_as(&secret, "POST", "/errors/skip", Some(json!({"filter": filter}))).await.good()["done"], 0);
    }
    let many = node.call_as(&secret, "POST", "/errors/skip", Some(json!({"ids": [error]}))).await.good();
    assert_eq!((many["done"].as_u64(), many["failed"][0]["field"].as_str()), (Some(0), Some(error.as_str())));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_stream_tells_of_its_own_connection_only() {
    let (world, own, other) = two_connections().await;
    let node = &world.private;
    let made = token(node, json!({"name": "partner", "scopes": ["read"], "connections": [own]})).await;
    let mut partner = Listening::to(node, &text(&made["secret"])).await;
    let mut admin = Listening::as_admin(node).await;
    world.tracker.handle.clear_faults();
    node.post("/errors/retry", json!({"filter": {"scope": "twin"}})).await;
    node.patch(&format!("/connections/{other}"), json!({"description": "x"})).await;
    node.patch(&format!("/connections/{own}"), json!({"description": "y"})).await;
    for letter in ["A", "B"] {
        world.issue_with(&format!("{letter} Stuck")).await;
    }
    admin.event("connection", |one| one["id"] == *other).await;
    admin.event("twin", |one| one["connection_id"] == *other && one["status"] == "in_sync").await;
    let twin = partner.event("twin", |one| one["status"] == "in_sync").await;
    members(&twin, "id connection_id status local remote remote_outcome error created_at last_synced_at");
    partner.event("connection", |one| one["description"] == "y").await;
    for (name, data) in partner.all() {
        let of = if name == "connection" { &data["id"] } else { &data["connection_id"] };
        assert!(*of == *own || data["deleted"] == true, "{name}: {data}");
        assert_ne!(name, "tracker");
    }
    // A token that is gone hears no more and opens nothing.
    node.delete(&format!("/tokens/{}", text(&made["id"]))).await;
    assert_eq!(node.call_as(&text(&made["secret"]), "GET", "/connections", None).await.status, 401);
    world.stop().await;
}
