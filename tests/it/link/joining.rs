//! Joining by a code, from both ends.

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::Ours;
use crate::support::{
    stranger::{Invited, Key, Mate, id, mac, sync},
    stranger_node::StrangerNode,
    until_said,
};

async fn refused(ours: &Ours, code: &str, problem: &str) -> Value {
    let said = ours.node.call("POST", "/invitations/accept", Some(json!({"code": code, "tracker": "helpdesk"}))).await;
    assert_eq!(said.code(), problem, "{}", said.body);
    said.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_joins_once_with_the_proof() {
    let ours = Ours::start(Role::Public).await;
    let (connection, code) = ours.invite(json!({"confirm": false})).await;
    let invited = Invited::new(&code);
    let (body, path) = (invited.body(None), invited.path());
    let bytes = body.to_string().into_bytes();
    let partner = invited.partner();
    let with = async |proof: Option<String>, bytes: &[u8]| {
        let token = partner.key.sign(&partner.claims(&path, bytes));
        let headers: Vec<(&str, &str)> = proof.as_deref().map(|proof| ("Wicketgate-Proof", proof)).into_iter().collect();
        partner.send(&path, bytes.to_vec(), &token, &headers).await
    };
    let right = invited.proof(&bytes);
    let mut turned = right.clone().into_bytes();
    turned[5] = if turned[5] == b'A' { b'B' } else { b'A' };
    for proof in [
        None,
        Some(String::new()),
        Some("AAAA".to_owned()),
        Some(right[..42].to_owned()),
        Some(String::from_utf8(turned).expect("text")),
        Some(mac(b"guess", &bytes)),
        Some(invited.code["secret"].as_str().expect("text").to_owned()),
        Some(invited.proof(b"another body")),
    ] {
        with(proof, &bytes).await.refused(401, "bad_signature");
    }
    assert_eq!(ours.connection(&connection).await["status"], "pending");
    let token = partner.key.sign(&partner.claims(&path, &bytes));
    let proof = [("wicketgate-proof", right.as_str())];
    let said = partner.send(&path, bytes.clone(), &token, &proof).await.good();
    assert_eq!((&said["connection_id"], &said["awaiting"], &said["node"]), (&json!(connection), &Value::Null, &json!("ours")));
    assert!(said["version"].is_string() && said["features"].is_array());
    partner.send(&path, bytes.clone(), &token, &proof).await.refused(401, "bad_signature");
    // The same key may repeat; another is too late, however well it proves.
    with(Some(right), &bytes).await.good();
    let late = Invited { key: Key::new(), code: invited.code.clone() };
    late.accept(&late.body(None)).await.refused(409, "already_accepted");
    let there = ours.connection(&connection).await;
    assert_eq!((&there["status"], &there["kind"]), (&json!("active"), &json!("private")));
    assert_eq!(there["remote"]["key_fingerprint"], json!(invited.key.fingerprint()));
    assert_eq!(there["remote"]["url"], Value::Null);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dead_invitation_has_its_own_refusal() {
    let ours = Ours::start(Role::Public).await;
    let (connection, first) = ours.invite(json!({})).await;
    let renewed = ours.node.post(&format!("/connections/{connection}/invitation"), json!({})).await;
    let second = renewed["code"].as_str().expect("a code").to_owned();
    let invited = Invited::new(&first);
    invited.accept(&invited.body(None)).await.refused(410, "invitation_revoked");
    ours.node.delete(&format!("/connections/{connection}/invitation")).await;
    let invited = Invited::new(&second);
    invited.accept(&invited.body(None)).await.refused(410, "invitation_revoked");
    let mut unknown = Invited::new(&second);
    unknown.code["jti"] = json!(id());
    unknown.accept(&unknown.body(None)).await.refused(404, "invitation_unknown");
    unknown.code["jti"] = json!("not-an-id");
    unknown.accept(&unknown.body(None)).await.refused(404, "invitation_unknown");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_says_of_itself_is_text_of_a_size() {
    let ours = Ours::start(Role::Public).await;
    let script = "<script>alert(1)</script>";
    let (connection, code) = ours.invite(json!({"description": script})).await;
    let invited = Invited::new(&code);
    assert_eq!(invited.code["connection"]["description"], script);
    for (name, value) in [
        ("node", json!("n".repeat(10_000))),
        ("version", json!("v".repeat(1_000))),
        ("features", json!(vec!["f"; 1_000])),
        ("key", json!("short")),
        ("key", json!({"kty": "OKP"})),
        ("node", json!(7)),
        ("url", json!("javascript:alert(1)")),
        ("url", json!("file:///etc/passwd")),
        ("url", json!("http:///")),
    ] {
        let mut body = invited.body(None);
        body[name] = value.clone();
        let said = invited.accept(&body).await;
        assert_eq!((said.status, said.code()), (400, "malformed"), "{name} = {value}: {}", said.body);
    }
    let mut body = invited.body(None);
    (body["node"], body["description"], body["x_of_tomorrow"]) = (json!(script), json!(script), json!([1]));
    for optional in ["tracker_kind", "version", "features", "url"] {
        body.as_object_mut().expect("members").remove(optional);
    }
    invited.accept(&body).await.good();
    let there = ours.connection(&connection).await;
    assert_eq!(there["remote"]["node"], script);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_waited_for_and_said() {
    let ours = Ours::start(Role::Public).await;
    let (connection, code) = ours.invite(json!({"confirm": true})).await;
    let invited = Invited::new(&code);
    assert_eq!(invited.accept(&invited.body(None)).await.good()["awaiting"], "confirmation");
    let mut mate = Mate::new(invited.partner());
    mate.put(sync(&id(), "T-1", json!({"summary": "early"})));
    let said = mate.turn(0).await;
    assert_eq!((&said["state"], &said["max_events"], &said["ack"]), (&json!("deactivated"), &json!(0), &json!(0)));
    // The held exchange is answered as soon as somebody confirms.
    let (said, confirmed) = tokio::join!(mate.partner.exchange(json!({"wait_seconds": 30})), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        ours.node.post(&format!("/connections/{connection}/confirm"), json!({})).await
    });
    assert_eq!(confirmed["remote"]["key_fingerprint"], json!(invited.key.fingerprint()));
    assert_eq!(said.good()["state"], "active");
    assert_eq!(mate.turn(0).await["ack"], 1);
    mate.until_result(mate.book.sent[0]["twin"].clone().as_str().expect("text"), "applied").await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rekey_code_replaces_the_key_and_begins_an_epoch() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ours.joined().await;
    let twin = id();
    mate.put(sync(&twin, "T-1", json!({"summary": "before"})));
    mate.until_result(&twin, "applied").await;
    let path = format!("/connections/{}", mate.partner.connection);
    let code = ours.node.post(&format!("{path}/invitation"), json!({})).await["code"].as_str().expect("a code").to_owned();
    let heir = Invited::new(&code);
    assert_eq!(heir.code["connection"]["id"], json!(mate.partner.connection));
    let said = heir.accept(&heir.body(None)).await.good();
    assert_eq!(said["awaiting"], "confirmation", "always, for whoever has the code could take the place");
    assert_eq!(mate.partner.exchange(json!({})).await.code(), "bad_signature", "the old key is dead");
    let mut heir = Mate::new(heir.partner());
    assert_eq!(heir.turn(0).await["code"], "epoch");
    assert_eq!(heir.turn(0).await["state"], "deactivated");
    ours.node.post(&format!("{path}/confirm"), json!({})).await;
    let again = heir.until("the twin", |event| event["kind"] == "sync").await;
    assert_eq!((&again["twin"], &again["replica"]["summary"], heir.book.epoch), (&json!(twin), &json!("before"), 3));
    heir.until("the end of it", |event| event["kind"] == "resynced").await;
    assert_eq!(ours.issues().len(), 1);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_relay_joins_a_strangers_node() {
    for (base, text) in [("", false), ("/base/path", true)] {
        let theirs = StrangerNode::start(base).await;
        theirs.state().secret_is_text = text;
        let ours = Ours::start(Role::Private).await;
        let inspected = ours.node.post("/invitations/inspect", json!({"code": theirs.code()})).await;
        assert_eq!((&inspected["local_short_name"], &inspected["remote_short_name"]), (&json!("ours"), &json!("theirs")));
        assert_eq!(inspected["key_fingerprint"], json!(theirs.key.fingerprint()));
        assert!(theirs.state().accepted.is_empty(), "reading calls nobody");
        ours.joins(&theirs).await;
        let asked = theirs.state().accepted[0].clone();
        assert_eq!((&asked["url"], &asked["tracker_kind"]), (&Value::Null, &json!("webhook")));
        for name in ["node", "key", "version", "features", "description"] {
            assert!(asked.get(name).is_some(), "{name} in {asked}");
        }
        let twin = id();
        theirs.put(sync(&twin, "T-1", json!({"summary": "from a stranger"})));
        until_said("the issue", async || ours.issues().len() == 1).await;
        ours.tracker.handle.create(&json!({"summary": "to a stranger"}));
        until_said("our event", async || {
            theirs.state().book.got.iter().any(|event| event["replica"]["summary"] == "to a stranger")
        })
        .await;
        assert_eq!(theirs.state().faults, Vec::<String>::new());
        ours.stop().await;
        theirs.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_says_too_much_or_too_little_still_joins() {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    theirs.state().welcome = json!({"node": "n".repeat(1_000_000), "version": null, "features": null, "x_of_tomorrow": {}});
    ours.joins(&theirs).await;
    let there = ours.connection(&theirs.connection).await;
    assert!(there["remote"]["node"].as_str().expect("text").len() <= 200);
    ours.stop().await;
    theirs.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_codes_open_nothing() {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    let code = theirs.code();
    let key = Key::new();
    let header = json!({"alg": "EdDSA"});
    let bent = |name: &str, value: Value| {
        let mut claims = theirs.code_claims();
        claims[name] = value;
        claims
    };
    for (name, wrong) in [
        ("another signer", key.sign_with(&header, &theirs.code_claims())),
        ("another address under the old signature", {
            let signature = code.rsplit('.').next().expect("three parts");
            let (head, body) = (
                crate::support::stranger::part(&header),
                crate::support::stranger::part(&bent("iss", json!("http://evil.example"))),
            );
            format!("{head}.{body}.{signature}")
        }),
        ("no signature", code[..code.rfind('.').expect("dots") + 1].to_owned()),
        ("no algorithm", theirs.key.sign_with(&json!({"alg": "none"}), &theirs.code_claims())),
        ("an id that leads elsewhere", theirs.key.sign_with(&header, &bent("jti", json!("../../../x?y=")))),
        ("a connection that is no id", theirs.key.sign_with(&header, &bent("connection", json!({"id": "x"})))),
        ("half of it", code[..code.len() / 2].to_owned()),
        ("a megabyte", "x".repeat(100_000)),
        ("nothing", String::new()),
        ("a letter more", format!("{code}A")),
    ] {
        let said = ours.node.call("POST", "/invitations/accept", Some(json!({"code": wrong, "tracker": "helpdesk"}))).await;
        assert!(matches!(said.code(), "invitation_invalid" | "validation_failed"), "{name}: {}", said.body);
    }
    refused(&ours, &theirs.key.sign_with(&header, &bent("exp", json!(1000))), "invitation_expired").await;
    // A code that a stranger signed itself names an address that we may not reach.
    let inside = theirs.key.sign_with(&header, &bent("iss", json!("http://169.254.169.254/latest")));
    refused(&ours, &inside, "address_not_allowed").await;
    assert!(theirs.state().accepted.is_empty() && theirs.state().faults.is_empty());
    ours.joins(&theirs).await;
    ours.stop().await;
    theirs.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_believed_only_with_the_codes_key() {
    let real = StrangerNode::start("").await;
    let impostor = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    // The code's key, but somebody else answers at its address.
    let mut claims = real.code_claims();
    (claims["iss"], claims["jti"]) = (json!(impostor.url), json!(impostor.invitation));
    let code = real.key.sign_with(&json!({"alg": "EdDSA"}), &claims);
    refused(&ours, &code, "not_a_node").await;
    assert_eq!(ours.node.get("/connections").await["items"], json!([]));
    ours.stop().await;
    real.stop();
    impostor.stop();
}
