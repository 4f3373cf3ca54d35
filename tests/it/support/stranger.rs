//! A partner's own program, written from the words of link v1 alone: it signs, hashes and counts by hand, so that an
//! error in our own code cannot hide behind itself. [`Partner`] is its dialling end; `stranger_node` the answering one.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock, SystemClock},
    secret::{base64url, from_base64url, sha256},
};

use super::{PATIENCE, http};

/// A fresh id.
pub fn id() -> String {
    SystemClock.id().to_string()
}

/// An Ed25519 key with its RFC 7638 thumbprint.
pub struct Key {
    pub pair: Ed25519KeyPair,
}

impl Key {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { pair: Ed25519KeyPair::generate().expect("a key") })
    }

    /// The public half as it stands in JSON.
    pub fn text(&self) -> String {
        base64url(self.pair.public_key().as_ref())
    }

    pub fn fingerprint(&self) -> String {
        thumbprint(self.pair.public_key().as_ref())
    }

    /// A JWS with any header.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", part(header), part(claims));
        format!("{text}.{}", base64url(self.pair.sign(text.as_bytes()).as_ref()))
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "EdDSA", "kid": self.fingerprint()}), claims)
    }
}

/// A part of a JWS.
pub fn part(value: &Value) -> String {
    base64url(value.to_string().as_bytes())
}

pub fn thumbprint(key: &[u8]) -> String {
    base64url(&sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(key)).as_bytes()))
}

/// The middle part of a JWS, unchecked.
pub fn claims_of(token: &str) -> Value {
    let middle = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&from_base64url(middle).expect("base64url")).expect("JSON")
}

/// Whether this key signed the token.
pub fn signed_by(key: &[u8], token: &str) -> bool {
    let Some((text, signature)) = token.rsplit_once('.') else { return false };
    let Some(signature) = from_base64url(signature) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
}

pub fn body_hash(body: &[u8]) -> String {
    base64url(&sha256(body))
}

/// base64url HMAC-SHA-256.
pub fn mac(key: &[u8], body: &[u8]) -> String {
    base64url(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), body).as_ref())
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: u16,
    pub body: Value,
    /// The answer's own claims; null where nobody vouched for it, or for something else.
    pub vouched: Value,
    pub retry_after: Option<String>,
}

impl Said {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn signed(&self) -> bool {
        self.vouched.is_object()
    }

    /// The body of a signed 200.
    pub fn good(self) -> Value {
        assert!(self.status == 200 && self.signed(), "{} {} {}", self.status, self.body, self.vouched);
        self.body
    }

    /// A signed refusal of this code.
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code(), self.signed()), (status, code, true), "{}", self.body);
    }
}

/// What an invitation code says, and the partner that wants to join by it.
pub struct Invited {
    pub key: Arc<Key>,
    pub code: Value,
}

impl Invited {
    pub fn new(code: &str) -> Self {
        let said = claims_of(code);
        let key = from_base64url(said["key"].as_str().expect("a key")).expect("base64url");
        assert!(signed_by(&key, code), "the code is signed by the key that stands in it");
        Self { key: Key::new(), code: said }
    }

    pub fn partner(&self) -> Partner {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let node_key = from_base64url(&text(&self.code["key"])).expect("base64url");
        Partner {
            key: self.key.clone(),
            url: text(&self.code["iss"]),
            node: thumbprint(&node_key),
            node_key,
            connection: text(&self.code["connection"]["id"]),
            run: id(),
            clock: Arc::new(SystemClock),
        }
    }

    pub fn path(&self) -> String {
        format!("/link/v1/invitations/{}/accept", self.code["jti"].as_str().expect("text"))
    }

    pub fn body(&self, url: Option<&str>) -> Value {
        json!({"node": "stranger", "key": self.key.text(), "url": url, "tracker_kind": "custom", "version": "0.1-own",
            "features": [], "description": "a partner's own program"})
    }

    pub fn proof(&self, body: &[u8]) -> String {
        mac(&from_base64url(self.code["secret"].as_str().expect("text")).expect("base64url"), body)
    }

    pub async fn accept(&self, body: &Value) -> Said {
        let body = body.to_string().into_bytes();
        let partner = self.partner();
        let token = partner.key.sign(&partner.claims(&self.path(), &body));
        partner.send(&self.path(), body.clone(), &token, &[("Wicketgate-Proof", &self.proof(&body))]).await
    }
}

/// The dialling end.
#[derive(Clone)]
pub struct Partner {
    pub key: Arc<Key>,
    pub url: String,
    /// The node's fingerprint and key.
    pub node: String,
    pub node_key: Vec<u8>,
    pub connection: String,
    pub run: String,
    pub clock: Arc<dyn Clock>,
}

impl Partner {
    /// Joins by a code.
    pub async fn join(code: &str, url: Option<&str>) -> Self {
        let invited = Invited::new(code);
        let joined = invited.accept(&invited.body(url)).await.good();
        assert_eq!(joined["connection_id"], invited.code["connection"]["id"]);
        invited.partner()
    }

    pub fn path(&self) -> String {
        format!("/link/v1/connections/{}/exchange", self.connection)
    }

    /// Claims as they should be.
    pub fn claims(&self, path: &str, body: &[u8]) -> Value {
        let now = self.clock.now().seconds();
        json!({"bh": body_hash(body), "path": path, "method": "POST", "jti": id(), "exp": now + 60, "iat": now,
            "sub": self.connection, "aud": self.node, "iss": self.key.fingerprint()})
    }

    pub fn asked(&self, more: Value) -> Value {
        let mut asked = json!({"wait_seconds": 0, "state": "active", "want": [], "max_events": 1000, "events": [],
            "after_id": null, "ack_id": null, "ack": 0, "epoch": 1, "run": self.run, "x_of_tomorrow": {"a": [1]}});
        for (name, value) in more.as_object().expect("members") {
            asked[name] = value.clone();
        }
        asked
    }

    /// Posts and reads; the answer's signature is checked against the token's own claims.
    pub async fn send(&self, path: &str, body: Vec<u8>, token: &str, headers: &[(&str, &str)]) -> Said {
        let mut request = http()
            .post(format!("{}{path}", self.url))
            .timeout(PATIENCE)
            .header("authorization", format!("bearer {token}"))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (signature, retry_after) = (header("wicketgate-signature"), header("retry-after"));
        let body = answer.bytes().await.expect("a body");
        let vouched = signature.map_or(Value::Null, |signature| self.vouched(&signature, token, status, &body));
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
        Said { status, body, vouched, retry_after }
    }

    fn vouched(&self, signature: &str, token: &str, status: u16, body: &[u8]) -> Value {
        let claims = claims_of(signature);
        let asked = token.split('.').nth(1).and_then(from_base64url);
        let jti = asked.and_then(|part| serde_json::from_slice::<Value>(&part).ok()).map_or(Value::Null, |it| it["jti"].clone());
        let fits = signed_by(&self.node_key, signature)
            && claims["iss"] == json!(self.node)
            && claims["aud"] == json!(self.key.fingerprint())
            && claims["jti"] == jti
            && claims["status"] == json!(status)
            && claims["bh"] == json!(body_hash(body))
            && claims["iat"].is_i64();
        if fits { claims } else { Value::Null }
    }

    pub async fn exchange(&self, more: Value) -> Said {
        let body = self.asked(more).to_string().into_bytes();
        let token = self.key.sign(&self.claims(&self.path(), &body));
        self.send(&self.path(), body, &token, &[]).await
    }
}

/// A partner's place in both directions.
pub struct Ledger {
    pub epoch: u64,
    /// All that was taken in this epoch, in order of number.
    pub got: Vec<Value>,
    /// All that was handed over in this epoch; the event of number n stands at n - 1.
    pub sent: Vec<Value>,
    /// How many of those are stored there.
    pub acked: usize,
    pub state: &'static str,
    /// How many it takes next.
    pub room: u64,
    /// It says that the other side was set back.
    pub blames: bool,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { epoch: 1, got: Vec::new(), sent: Vec::new(), acked: 0, state: "active", room: 1000, blames: false }
    }
}

impl Ledger {
    /// Gives an event its number; it leaves with the next exchange.
    pub fn put(&mut self, mut event: Value) -> Value {
        event["n"] = json!(self.sent.len() + 1);
        for (name, value) in [("id", json!(id())), ("seen", json!(0)), ("at", json!(SystemClock.now().to_string()))] {
            if event.get(name).is_none() {
                event[name] = value;
            }
        }
        self.sent.push(event.clone());
        event
    }

    /// What the next exchange says.
    pub fn words(&self) -> Value {
        let last = self.got.last();
        let batch: Vec<&Value> = self.sent[self.acked..].iter().take(1000).collect();
        json!({"epoch": self.epoch, "ack": last.map_or(0, |it| it["n"].as_u64().expect("a number")),
            "ack_id": last.map_or(Value::Null, |it| it["id"].clone()),
            "after_id": self.acked.checked_sub(1).map_or(Value::Null, |at| self.sent[at]["id"].clone()),
            "events": batch, "state": self.state, "max_events": self.room, "you_were_set_back": self.blames})
    }

    /// Takes in what was answered or asked.
    pub fn take(&mut self, said: &Value) {
        let epoch = said["epoch"].as_u64().expect("an epoch");
        if epoch > self.epoch {
            (self.epoch, self.acked) = (epoch, 0);
            self.got.clear();
            self.sent.clear();
        }
        if epoch < self.epoch {
            return;
        }
        self.acked = self.acked.max(usize::try_from(said["ack"].as_u64().expect("a number")).expect("small"));
        for event in said["events"].as_array().expect("a list") {
            if event["n"] == json!(self.got.len() + 1) {
                self.got.push(event.clone());
            }
        }
    }
}

/// A whole client: a partner with its ledger.
pub struct Mate {
    pub partner: Partner,
    pub book: Ledger,
}

impl Mate {
    pub fn new(partner: Partner) -> Self {
        Self { partner, book: Ledger::default() }
    }

    pub fn put(&mut self, event: Value) -> Value {
        self.book.put(event)
    }

    /// One exchange; joins a higher epoch, waits where it is told to.
    pub async fn turn(&mut self, wait: u64) -> Value {
        let mut words = self.book.words();
        words["wait_seconds"] = json!(wait);
        let said = self.partner.exchange(words).await;
        if said.code() == "try_later" {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return said.body;
        }
        if said.code() == "epoch" {
            // Our own is lower: we start the one above.
            let present = said.body["present"].as_u64().expect("an epoch");
            self.book = Ledger { epoch: present + 1, ..Ledger::default() };
            return said.body;
        }
        let said = said.good();
        self.book.take(&said);
        said
    }

    /// Exchanges until an event is there that was asked for.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            if let Some(found) = self.book.got.iter().rev().find(|event| fits(event)) {
                return found.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no {what} in {:#?}", self.book.got);
            self.turn(1).await;
        }
    }

    /// Their word on our events of a twin, up to the last of them.
    pub async fn until_result(&mut self, twin: &str, outcome: &str) -> Value {
        let last = self.book.sent.iter().rev().find(|event| event["twin"] == twin).map_or(0, |it| it["n"].as_u64().unwrap_or(0));
        self.until(&format!("`{outcome}` for {twin}"), |event| {
            event["kind"] == "result"
                && event["twin"] == twin
                && event["outcome"] == outcome
                && event["up_to"].as_u64().is_some_and(|up_to| up_to >= last)
        })
        .await
    }
}

/// An event that makes or changes an issue.
pub fn sync(twin: &str, key: &str, replica: Value) -> Value {
    json!({"kind": "sync", "twin": twin, "entity_type": "ticket", "key": key, "url": null, "replica": replica, "via": []})
}
