//! A partner's own program, written from docs/LINK.md alone: what it may do, and what it is refused. It signs by hand,
//! so that an error in our own signing cannot hide.

use aws_lc_rs::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde_json::Value;

use super::*;
use crate::secret::{base64url, from_base64url, sha256};

struct Stranger {
    pair: std::sync::Arc<Ed25519KeyPair>,
    url: url::Url,
    node: String,
    node_key: Vec<u8>,
    connection: String,
    run: String,
}

struct Said {
    status: u16,
    body: Value,
    signed: bool,
}

fn thumbprint(key: &[u8]) -> String {
    base64url(&sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(key)).as_bytes()))
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&from_base64url(part).expect("base64url")).expect("JSON")
}

impl Stranger {
    fn fingerprint(&self) -> String {
        thumbprint(self.pair.public_key().as_ref())
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.fingerprint()});
        let text = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        format!("{text}.{}", base64url(self.pair.sign(text.as_bytes()).as_ref()))
    }

    fn claims(&self, path: &str, body: &[u8]) -> Value {
        let now = SystemClock.now().seconds();
        json!({
            "iss": self.fingerprint(), "aud": self.node, "sub": self.connection, "iat": now, "exp": now + 60,
            "jti": Uuid::from_bytes(random()).to_string(), "method": "POST", "path": path, "bh": base64url(&sha256(body)),
        })
    }

    fn vouched(&self, token: Option<&str>, jti: &Value, status: u16, body: &[u8]) -> bool {
        let Some(token) = token else { return false };
        let (text, signature) = token.rsplit_once('.').expect("three parts");
        let signature = from_base64url(signature).expect("base64url");
        let claims = claims_of(token);
        UnparsedPublicKey::new(&ED25519, &self.node_key).verify(text.as_bytes(), &signature).is_ok()
            && claims["aud"] == json!(self.fingerprint())
            && claims["jti"] == *jti
            && claims["status"] == json!(status)
            && claims["bh"] == json!(base64url(&sha256(body)))
    }

    async fn post(&self, path: &str, body: Vec<u8>, claims: &Value, proof: Option<&str>) -> Said {
        let mut request = http()
            .post(self.url.join(path).expect("a URL"))
            .header("Authorization", format!("Bearer {}", self.token(claims)))
            .body(body);
        if let Some(proof) = proof {
            request = request.header("Wicketgate-Proof", proof);
        }
        let answer = request.send().await.expect("answers");
        let status = answer.status().as_u16();
        let signature = answer.headers().get("Wicketgate-Signature").map(|value| value.to_str().expect("text").to_owned());
        let body = answer.bytes().await.expect("a body");
        let signed = self.vouched(signature.as_deref(), &claims["jti"], status, &body);
        Said { status, body: serde_json::from_slice(&body).expect("JSON"), signed }
    }

    fn path(&self) -> String {
        format!("/link/v1/connections/{}/exchange", self.connection)
    }

    fn asked(&self, more: Value) -> Value {
        let mut asked = json!({
            "run": self.run, "epoch": 1, "ack": 0, "ack_id": null, "after_id": null, "events": [], "max_events": 1000,
            "want": [], "state": "active", "wait_seconds": 0,
        });
        for (name, value) in more.as_object().expect("members") {
            asked[name] = value.clone();
        }
        asked
    }

    async fn exchange(&self, more: Value) -> Said {
        let body = self.asked(more).to_string().into_bytes();
        let claims = self.claims(&self.path(), &body);
        self.post(&self.path(), body, &claims, None).await
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    SystemClock.random(&mut bytes);
    bytes
}

fn event(n: u64) -> Value {
    json!({"n": n, "id": Uuid::from_u128(u128::from(n)), "kind": "deleted", "twin": Uuid::nil(), "seen": 0,
        "at": "2026-11-24T00:00:00Z", "key": format!("k{n}"), "unknown": {"kept": [1, 2.50]}})
}

/// A node, and a stranger that joined it by its code.
async fn partners() -> (Node, Stranger, ConnectionId) {
    let near = Node::start("near", true).await;
    let offered = near.offer(Kind::Private, false).await;
    let code = near.link.invite(&offered, Duration::from_secs(3600)).await.expect("a code");
    let said = claims_of(code.code.expose());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let node_key = from_base64url(&text(&said["key"])).expect("a key");
    let stranger = Stranger {
        pair: std::sync::Arc::new(Ed25519KeyPair::generate().expect("a key")),
        url: text(&said["iss"]).parse().expect("a URL"),
        node: thumbprint(&node_key),
        node_key,
        connection: text(&said["connection"]["id"]),
        run: "first".to_owned(),
    };
    let body = json!({"node": "stranger", "key": base64url(stranger.pair.public_key().as_ref()), "url": null,
        "tracker_kind": "custom", "version": "1", "features": [], "description": ""})
    .to_string()
    .into_bytes();
    let path = format!("/link/v1/invitations/{}/accept", text(&said["jti"]));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &from_base64url(&text(&said["secret"])).expect("a secret"));
    let proof = base64url(hmac::sign(&secret, &body).as_ref());
    let claims = stranger.claims(&path, &body);
    let wrong = stranger.post(&path, body.clone(), &claims, Some("AAAA")).await;
    assert_eq!((wrong.status, wrong.body["code"].as_str()), (401, Some("bad_signature")));
    let joined = stranger.post(&path, body, &claims, Some(&proof)).await;
    assert_eq!((joined.status, joined.signed), (200, true), "{}", joined.body);
    assert_eq!(joined.body["awaiting"], Value::Null);
    (near, stranger, offered.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_ask_what_this_is() {
    let near = Node::start("near", true).await;
    let url = near.url.clone().expect("public").join("/link/v1").expect("a URL");
    let said: Value = http().get(url).send().await.expect("answers").json().await.expect("JSON");
    assert_eq!(said["fingerprint"], json!(near.link.fingerprint()));
    assert_eq!(said["modes"], json!(["basic", "script"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_hands_over_and_takes_with_repeats_and_gaps() {
    let (near, stranger, id) = partners().await;
    let said = stranger.exchange(json!({"events": [event(1), event(2)]})).await;
    assert_eq!((said.status, said.signed, &said.body["ack"]), (200, true, &json!(2)), "{}", said.body);
    assert_eq!(said.body["ack_id"], event(2)["id"]);
    let said = stranger.exchange(json!({"events": [event(1), event(2), event(3)]})).await;
    assert_eq!(said.body["ack"], json!(3));
    let gap = stranger.exchange(json!({"events": [event(5)], "after_id": event(4)["id"]})).await;
    assert_eq!((gap.status, &gap.body["ack"]), (200, &json!(3)));
    assert_eq!(near.until_arrived(id, 3).await, ["k1", "k2", "k3"]);

    near.hand_over(id, "out").await;
    let first = stranger.exchange(json!({})).await;
    let again = stranger.exchange(json!({})).await;
    assert_eq!(first.body["events"], again.body["events"]);
    let out = &first.body["events"][0];
    assert_eq!((&out["n"], &out["key"]), (&json!(1), &json!("out")));
    let none = stranger.exchange(json!({"ack": 1, "ack_id": out["id"]})).await;
    assert_eq!(none.body["events"], json!([]));
    assert_eq!(near.state(id).await.acked, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_exchange_is_answered_when_there_is_something_to_say() {
    let (near, stranger, id) = partners().await;
    stranger.exchange(json!({})).await;
    let began = std::time::Instant::now();
    let (said, ()) = tokio::join!(stranger.exchange(json!({"wait_seconds": 20})), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        near.hand_over(id, "news").await;
    });
    assert_eq!(said.body["events"][0]["key"], json!("news"));
    assert!((500..1500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let one = json!({"wait_seconds": 1, "ack": 1, "ack_id": said.body["events"][0]["id"]});
    let (first, second) = tokio::join!(stranger.exchange(json!({"wait_seconds": 20, "ack": 1})), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stranger.exchange(one).await
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert!(began.elapsed() < Duration::from_secs(6), "the second held exchange ends the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_vouched_for_is_refused() {
    let (_near, stranger, _) = partners().await;
    let path = stranger.path();
    let body = stranger.asked(json!({})).to_string().into_bytes();
    let good = stranger.claims(&path, &body);
    assert_eq!(stranger.post(&path, body.clone(), &good, None).await.status, 200);
    let replayed = stranger.post(&path, body.clone(), &good, None).await;
    assert_eq!((replayed.status, replayed.body["code"].as_str()), (401, Some("bad_signature")));
    for (name, value) in [
        ("bh", json!("x")),
        ("aud", json!("x")),
        ("sub", json!(Uuid::nil())),
        ("path", json!("/link/v1")),
        ("method", json!("GET")),
        ("iss", json!("x")),
    ] {
        let mut claims = stranger.claims(&path, &body);
        claims[name] = value;
        let said = stranger.post(&path, body.clone(), &claims, None).await;
        assert_eq!((said.status, said.body["code"].as_str()), (401, Some("bad_signature")), "{name}");
    }
    let mut late = stranger.claims(&path, &body);
    (late["iat"], late["exp"]) = (json!(1000), json!(1060));
    let said = stranger.post(&path, body, &late, None).await;
    assert_eq!((said.status, said.body["code"].as_str(), said.signed), (401, Some("clock_skew"), true));
    assert!(said.body["seconds"].as_i64().expect("seconds") > 1_000_000);
    let large = vec![b' '; 5 * 1024 * 1024];
    let claims = stranger.claims(&path, &large);
    let said = stranger.post(&path, large, &claims, None).await;
    assert_eq!((said.status, said.body["code"].as_str(), said.signed), (413, Some("too_large"), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_takes_nothing_until_the_first_is_over() {
    let (near, stranger, id) = partners().await;
    near.hand_over(id, "precious").await;
    let ack = json!({"max_events": 0, "wait_seconds": 60});
    let held = tokio::time::timeout(Duration::from_millis(700), stranger.exchange(ack));
    let mut copy = partners_copy(&stranger);
    copy.run = "second".to_owned();
    let (_, refused) = tokio::join!(held, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        copy.exchange(json!({})).await
    });
    assert_eq!((refused.status, refused.body["code"].as_str(), refused.signed), (409, Some("second_copy"), true));
    // The first one's connection broke: it is over at once.
    let taken = until("takeover", async || {
        let said = copy.exchange(json!({})).await;
        (said.status == 200).then_some(said)
    })
    .await;
    assert_eq!(taken.body["events"][0]["key"], json!("precious"));
    assert_eq!(copy.exchange(json!({"goodbye": true})).await.status, 200);
    assert_eq!(stranger.exchange(json!({})).await.status, 200);
}

fn partners_copy(stranger: &Stranger) -> Stranger {
    Stranger {
        pair: stranger.pair.clone(),
        url: stranger.url.clone(),
        node: stranger.node.clone(),
        node_key: stranger.node_key.clone(),
        connection: stranger.connection.clone(),
        run: stranger.run.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_are_refused_joined_and_begun() {
    let (near, stranger, id) = partners().await;
    stranger.exchange(json!({"events": [event(1)]})).await;
    // An acknowledgement of what was never sent: a new epoch begins.
    let said = stranger.exchange(json!({"ack": 7, "ack_id": Uuid::nil()})).await;
    assert_eq!((said.status, &said.body["epoch"], &said.body["ack"]), (200, &json!(2), &json!(0)));
    let said = stranger.exchange(json!({})).await;
    assert_eq!((said.status, said.body["code"].as_str(), &said.body["present"]), (409, Some("epoch"), &json!(2)));
    let said = stranger.exchange(json!({"epoch": 3, "events": [event(1)]})).await;
    assert_eq!((said.status, &said.body["epoch"], &said.body["ack"]), (200, &json!(3), &json!(1)));
    // The second of a day waits for a person.
    let again = json!({"epoch": 3, "ack": 7, "ack_id": Uuid::nil()});
    let said = stranger.exchange(again.clone()).await;
    assert_eq!((said.status, said.body["code"].as_str()), (503, Some("try_later")));
    assert!(near.state(id).await.epoch_waits);
    assert!(near.link.allow_epoch(id).await.expect("allowed"));
    assert_eq!(stranger.exchange(again).await.body["epoch"], json!(4));
}
