//! What bad input gets: a clear refusal before anything is accepted, and the connection survives.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wicketgate::{
    clock::{Clock as _, SystemClock},
    config::{Config, Role},
};

use crate::support::{
    PATIENCE, Settings, TOKEN, TestNode, World, http,
    pair::{members, text},
};

async fn unjoined() -> World {
    World::with(Settings { joined: false, ..Settings::default() }).await
}

async fn titles(node: &TestNode) -> String {
    let errors = node.get("/errors").await;
    errors["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| format!("{}: {}\n", text(&error["title"]), text(&error["detail"])))
        .collect()
}

async fn soap(url: &str, body: String) -> (u16, String) {
    let answer =
        http().post(url).header("content-type", "text/xml").body(body).timeout(PATIENCE).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

fn message(org: &str) -> String {
    let text = include_str!("../../fixtures/outbound-case.xml");
    let begin = text.find("<OrganizationId>").expect("an org") + "<OrganizationId>".len();
    let end = text.find("</OrganizationId>").expect("its end");
    format!("{}{org}{}", &text[..begin], &text[end..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_not_ours_is_never_acknowledged() {
    let world = unjoined().await;
    let door = text(&world.public.get("/trackers/support").await["outbound_message_url"]);
    let (status, answer) = soap(&door, message("00D000000000999EAA")).await;
    assert!(status == 500 && answer.contains("Fault") && !answer.contains("Ack"), "{status} {answer}");
    let told = titles(&world.public).await;
    assert!(
        told.contains("another Salesforce org") && told.contains("00D000000000999") && told.contains(&world.org.handle.org_id()),
        "{told}"
    );

    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let ours = message(&world.org.handle.org_id());
    let body = ours.split_once("?>").expect("a declaration").1;
    for bad in [
        format!("{bomb}{body}"),
        format!("<!DOCTYPE x SYSTEM \"file:///etc/passwd\">{body}"),
        "<a>".repeat(100_000),
        "not xml".to_owned(),
        String::new(),
    ] {
        let (status, answer) = soap(&door, bad).await;
        assert!(status == 500 && !answer.contains("Ack") && !answer.contains("root:"), "{status} {answer}");
    }
    let (status, answer) = soap(&format!("{}x", &door[..door.len() - 1]), ours.clone()).await;
    let problem: Value = serde_json::from_str(&answer).expect("a problem");
    assert_eq!((status, problem["code"].as_str()), (403, Some("wrong_door_token")));
    assert_eq!(soap(&door.replace("/support/", "/nobody/"), ours.clone()).await.0, 404);
    assert_eq!(world.public.get("/queue").await["trackers"][0]["changes"], 0, "nothing was taken in");
    let (status, answer) = soap(&door, ours).await;
    assert!(status == 200 && answer.contains("<Ack>true</Ack>"), "{status} {answer}");
    world.stop().await;
}

/// Sends a request by hand; returns status and body.
async fn by_hand(line: &mut TcpStream, head: &str, body: &[u8]) -> (u16, String) {
    line.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await.expect("sends");
    line.write_all(body).await.expect("sends all of it");
    let mut bytes = Vec::new();
    loop {
        let mut part = vec![0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, line.read(&mut part)).await.expect("in time").expect("answers");
        assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let size: usize =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if rest.len() >= size {
            let status = head[9..12].parse().expect("a status");
            return (status, rest.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_its_limit_is_refused_and_the_connection_survives() {
    let world = unjoined().await;
    let path = |url: &Value, node: &TestNode| text(url).replace(&node.url, "");
    let outbound = path(&world.public.get("/trackers/support").await["outbound_message_url"], &world.public);
    let hook = path(&world.private.get("/trackers/helpdesk").await["webhook_url"], &world.private);
    let link = format!("/link/v1/connections/{}/exchange", "00000000-0000-0000-0000-000000000000");
    let join = "/link/v1/invitations/00000000-0000-0000-0000-000000000000/accept".to_owned();
    let api = "/api/v1/connections".to_owned();
    for (node, path, size) in [
        (&world.public, &outbound, 17_000_000),
        (&world.private, &hook, 2_500_000),
        (&world.public, &api, 1_500_000),
        (&world.public, &link, 5_000_000),
        (&world.public, &join, 30_000),
    ] {
        let address = node.url.trim_start_matches("http://");
        let mut line = TcpStream::connect(address).await.expect("connects");
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json");
        let (status, body) = by_hand(&mut line, &head, &vec![b' '; size]).await;
        assert_eq!(status, if *path == link || *path == join { status } else { 413 }, "{path}: {body}");
        assert!((400..500).contains(&status), "{path}: {body}");
        let problem: Value = serde_json::from_str(&body).expect("a problem document");
        assert_eq!(problem["status"], status, "{problem}");
        let (status, _) = by_hand(&mut line, &format!("GET /healthz HTTP/1.1\r\nhost: {address}"), b"").await;
        assert_eq!(status, 200, "the same line goes on after {path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_cannot_read_is_told_with_its_place() {
    let world = unjoined().await;
    let send = async |body: &str| {
        let request = http().post(format!("{}/api/v1/connections", world.public.url)).bearer_auth(TOKEN).body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("a problem");
        members(&problem, "type title status detail code errors");
        assert_eq!(problem["type"], format!("urn:wicketgate:problem:{}", text(&problem["code"])));
        problem
    };
    let good = r#"{"tracker":"support","mode":"basic","local_short_name":"a","remote_short_name":"b""#;
    assert_eq!(send("").await["code"], "malformed_json");
    assert_eq!(send("{").await["code"], "malformed_json");
    assert_eq!(send(&format!("{good}}} trailing")).await["code"], "malformed_json");
    assert_eq!(send(&"[".repeat(200_000)).await["status"].as_u64().map(|status| status / 100), Some(4));
    for (more, field) in [
        (r#","mod":"x"}"#, "mod"),
        (r#","name":7}"#, "name"),
        (r#","name":""}"#, "name"),
        (r#","expires_in":5}"#, "expires_in"),
        (r#","expires_in":1e400}"#, ""),
        (r#","prefer":"both"}"#, "prefer"),
        (r#","confirm":"yes"}"#, "confirm"),
        (r#","description":"\u0000"}"#, "description"),
    ] {
        let problem = send(&format!("{good}{more}")).await;
        assert_eq!(problem["status"].as_u64().map(|status| status / 100), Some(4), "{more}: {problem}");
        if !field.is_empty() {
            assert_eq!(
                (problem["code"].as_str(), problem["errors"][0]["field"].as_str()),
                (Some("validation_failed"), Some(field)),
                "{more}: {problem}"
            );
        }
    }
    let near = send(r#"{"tracker":"suport","mode":"basic","local_short_name":"a","remote_short_name":"b"}"#).await;
    assert!(text(&near["detail"]).contains("did you mean `support`?"), "{near}");
    let all = send(r#"{"tracker":"support","mode":"basic","local_short_name":"","remote_short_name":"","expires_in":1}"#).await;
    assert_eq!(all["errors"].as_array().map(Vec::len), Some(3), "all that is wrong at once: {all}");
    assert_eq!(world.public.get("/connections").await["items"], json!([]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_webhook_is_not_taken() {
    let world = unjoined().await;
    let hook = text(&world.private.get("/trackers/helpdesk").await["webhook_url"]);
    let body = json!({"type": "entity.updated", "timestamp": "2026-11-27T00:00:00Z", "data": {"entity_type": "issue", "key": "I", "fields": {"summary": "x"}}});
    let send = async |headers: &[(&str, &str)]| {
        let mut request = http().post(&hook).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), text(&answer.json::<Value>().await.expect("a problem")["code"]))
    };
    assert_eq!(send(&[]).await, (401, "wrong_signature".to_owned()));
    let now = SystemClock.now().seconds().to_string();
    let forged = [
        ("webhook-id", "m1"),
        ("webhook-timestamp", now.as_str()),
        ("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    assert_eq!(send(&forged).await, (401, "wrong_signature".to_owned()));
    let old = [("webhook-id", "m1"), ("webhook-timestamp", "1600000000"), ("webhook-signature", "v1,AAAA")];
    assert_eq!(send(&old).await.0, 401);
    assert_eq!(world.private.get("/queue").await["trackers"][0]["changes"], 0);
    assert!(titles(&world.private).await.contains("wrong or old signature"));
    world.stop().await;
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_known_one() {
    let wrong = "[node]\nname = \"a\"\npublic_ulr = \"https://sync.acme.example\"\n\n[linq]\nwait = \"5s\"\n\n[trackers.desk]\nkind = \"webhook\"\nurl = \"https://desk.example\"\nsecrt = \"whsec_dGVzdC10cmFja2VyLXNlY3JldC0wMDAwMDAwMQ==\"\n";
    let told = Config::parse("acme.toml", wrong, std::iter::empty(), Role::Public).expect_err("refused").to_string();
    for (key, near) in [("public_ulr", "public_url"), ("linq", "link"), ("secrt", "secret")] {
        assert!(told.contains(key) && told.contains(&format!("`{near}`")), "{key}: {told}");
    }
}
