//! A partner's own node, written from the words of link v1 alone: it invites, and answers who joined. It notes every
//! fault of what it is asked, and answers wrongly where a test wants it to.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use wicketgate::{
    clock::{Clock, SystemClock},
    secret::from_base64url,
};

use super::stranger::{Invited, Key, Ledger, Partner, body_hash, claims_of, id, mac, signed_by, thumbprint};

/// What it calls its run, dialled or dialling.
const RUN: &str = "theirs";

/// A wrong answer, or a right one that comes badly.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// Nobody vouches for this.
    Unsigned(u16, Value),
    /// The right answer, vouched for by another key.
    OtherKey,
    /// The right answer with a claim of its signature bent.
    Claim(&'static str, Value),
    /// A refusal of its own: status, members.
    Refuse(u16, Value),
    /// Everything is done, then the connection breaks.
    Drop,
    /// The right answer, so much later.
    Slow(Duration),
}

/// What a test sees and bends.
#[derive(Default)]
pub struct State {
    pub book: Ledger,
    /// Every exchange as it was asked.
    pub asked: Vec<Value>,
    /// Every acceptance as it was asked.
    pub accepted: Vec<Value>,
    /// What was wrong with what we were asked.
    pub faults: Vec<String>,
    /// For the next exchanges, in order.
    pub mischief: VecDeque<Mischief>,
    /// Bodies of more bytes than this get 413 from a proxy.
    pub above: Option<usize>,
    /// Added to every acceptance's answer.
    pub welcome: Value,
    /// Our clock is so many seconds ahead.
    pub ahead: i64,
    /// Added to what the code says of the connection.
    pub terms: Value,
    /// The connection of somebody else's invitation that we accepted.
    pub joined: Option<String>,
    /// The other side's key, once it joined.
    pub partner: Option<Vec<u8>>,
    /// The secret is taken for text, not for base64url.
    pub secret_is_text: bool,
    /// Requests are not held.
    pub hasty: bool,
    /// The next word of an epoch that is over is what made us begin ours: it is answered in it.
    pub begins: bool,
    used: BTreeSet<String>,
}

pub struct StrangerNode {
    pub key: Arc<Key>,
    /// Our address, with its base path.
    pub url: String,
    base: &'static str,
    pub connection: String,
    pub invitation: String,
    secret: String,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl StrangerNode {
    /// Listens under `base` (`""` or `/some/path`).
    pub async fn start(base: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}{base}", listener.local_addr().expect("an address"));
        let secret = wicketgate::secret::base64url(id().as_bytes());
        let node = Arc::new(Self {
            key: Key::new(),
            url,
            base,
            connection: id(),
            invitation: id(),
            secret,
            state: Arc::default(),
            changed: Arc::new(Notify::new()),
            task: Mutex::default(),
        });
        let serving = node.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let node = serving.clone();
                tokio::spawn(async move { node.serve(stream).await });
            }
        });
        *node.task.lock().expect("nobody panicked") = Some(task);
        node
    }

    pub fn stop(&self) {
        if let Some(task) = self.task.lock().expect("nobody panicked").take() {
            task.abort();
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }

    /// Everything that was handed over is stored there.
    pub fn all_acked(&self) -> bool {
        let state = self.state();
        state.book.acked == state.book.sent.len()
    }

    /// What the code says.
    pub fn code_claims(&self) -> Value {
        let mut connection = json!({"tracker_kind": "custom", "remote_short_name": "ours", "local_short_name": "theirs",
            "description": "", "prefer": "local", "kind": "private", "mode": "basic", "name": "theirs_to_ours",
            "id": self.connection, "x_of_tomorrow": true});
        for (name, value) in self.state().terms.as_object().into_iter().flatten() {
            connection[name] = value.clone();
        }
        json!({"connection": connection, "key": self.key.text(), "node": "stranger's node", "exp": SystemClock.now().seconds() + 3600,
            "secret": self.secret, "jti": self.invitation, "iss": self.url})
    }

    /// A code whose header says no more than it must.
    pub fn code(&self) -> String {
        self.key.sign_with(&json!({"alg": "EdDSA"}), &self.code_claims())
    }

    /// Answers on the connection of an invitation that is accepted with our key.
    pub fn joins(&self, invited: &Invited) {
        let partner = invited.partner();
        let mut state = self.state();
        (state.partner, state.joined) = (Some(partner.node_key), Some(partner.connection));
    }

    /// Our other end, where the partner is public too.
    pub fn dials(&self, url: &str) -> Partner {
        let node_key = self.state().partner.clone().expect("it joined");
        Partner {
            key: self.key.clone(),
            url: url.to_owned(),
            node: thumbprint(&node_key),
            node_key,
            connection: self.connection.clone(),
            run: RUN.to_owned(),
            clock: Arc::new(SystemClock),
        }
    }

    fn present(&self) -> String {
        self.state().joined.clone().unwrap_or_else(|| self.connection.clone())
    }

    /// Hands an event over with the next answer.
    pub fn put(&self, event: Value) -> Value {
        let event = self.state().book.put(event);
        self.changed.notify_waiters();
        event
    }

    /// Events that leave together.
    pub fn put_all(&self, events: impl IntoIterator<Item = Value>) {
        let mut state = self.state();
        for event in events {
            state.book.put(event);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    pub fn do_next(&self, mischief: Mischief) {
        self.state().mischief.push_back(mischief);
        self.changed.notify_waiters();
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(request) = read(&mut stream).await else { return };
        let above = self.state().above;
        if above.is_some_and(|above| request.body.len() > above) {
            return answer(&mut stream, 413, "", b"<h1>413</h1>").await;
        }
        if request.path == format!("{}/link/v1/invitations/{}/accept", self.base, self.invitation) {
            let said = self.accept(&request);
            return self.signed(&mut stream, &request, said, None).await;
        }
        if request.path == format!("{}/link/v1", self.base) {
            let said = json!({"node": "stranger's node", "version": "0.1-own", "features": [], "modes": ["basic"],
                "fingerprint": self.key.fingerprint()});
            return answer(&mut stream, 200, "", said.to_string().as_bytes()).await;
        }
        if request.path == format!("{}/link/v1/connections/{}/exchange", self.base, self.present()) {
            let next = self.state().mischief.pop_front();
            return self.exchange(&mut stream, &request, next).await;
        }
        self.fault(format!("nothing is at {}", request.path));
        answer(&mut stream, 404, "", b"").await;
    }

    fn fault(&self, what: String) {
        self.state().faults.push(what);
    }

    /// Holds a request to every word of link v1.
    fn check(&self, request: &Request, key: &[u8]) -> Value {
        let token = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        if !signed_by(key, token) {
            self.fault("the token is not signed by the partner".to_owned());
            return Value::Null;
        }
        let header = token.split('.').next().and_then(from_base64url).unwrap_or_default();
        let header: Value = serde_json::from_slice(&header).unwrap_or_default();
        let claims = claims_of(token);
        let now = SystemClock.now().seconds() + self.state().ahead;
        let life = claims["exp"].as_i64().unwrap_or(0) - claims["iat"].as_i64().unwrap_or(0);
        let jti = claims["jti"].as_str().unwrap_or_default().to_owned();
        for (good, what) in [
            (header["alg"] == "EdDSA" && header["kid"] == json!(thumbprint(key)), "header"),
            (claims["iss"] == json!(thumbprint(key)), "iss"),
            (claims["aud"] == json!(self.key.fingerprint()), "aud"),
            (claims["sub"] == json!(self.present()), "sub"),
            ((0..=60).contains(&life), "exp"),
            (claims["method"] == json!(request.method), "method"),
            (claims["path"] == json!(request.path), "path"),
            (claims["bh"] == json!(body_hash(&request.body)), "bh"),
            (!jti.is_empty() && self.state().used.insert(jti), "jti"),
        ] {
            if !good {
                self.fault(format!("{what}: {header} {claims}"));
            }
        }
        let skew = now - claims["iat"].as_i64().unwrap_or(0);
        if skew.abs() > 60 { json!({"skew": skew}) } else { claims }
    }

    fn accept(&self, request: &Request) -> (u16, Value) {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(key) = asked["key"].as_str().and_then(from_base64url) else { return (400, json!({"code": "malformed"})) };
        let claims = self.check(request, &key);
        if let Some(seconds) = claims.get("skew") {
            return (401, json!({"code": "clock_skew", "seconds": seconds, "title": "", "status": 401}));
        }
        let text = self.state().secret_is_text;
        let secret = if text { self.secret.clone().into_bytes() } else { from_base64url(&self.secret).expect("base64url") };
        if request.headers.get("wicketgate-proof") != Some(&mac(&secret, &request.body)) {
            return (401, json!({"code": "bad_signature", "detail": "the proof"}));
        }
        let mut state = self.state();
        if state.partner.as_ref().is_some_and(|known| *known != key) {
            return (409, json!({"code": "already_accepted"}));
        }
        state.partner = Some(key);
        state.accepted.push(asked);
        let mut said = json!({"connection_id": self.connection, "node": "stranger's node", "version": "0.1-own", "features": [],
            "awaiting": null});
        for (name, value) in state.welcome.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        (200, said)
    }

    async fn exchange(&self, stream: &mut TcpStream, request: &Request, mischief: Option<Mischief>) {
        let key = self.state().partner.clone().unwrap_or_default();
        let claims = self.check(request, &key);
        if let Some(seconds) = claims.get("skew") {
            let refusal = json!({"code": "clock_skew", "seconds": seconds, "title": "", "status": 401});
            return self.signed(stream, request, (401, refusal), None).await;
        }
        match &mischief {
            Some(Mischief::Refuse(status, body)) => {
                return self.signed(stream, request, (*status, body.clone()), None).await;
            }
            Some(Mischief::Unsigned(status, body)) => return answer(stream, *status, "", body.to_string().as_bytes()).await,
            _ => {}
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (news, present) = {
            let mut state = self.state();
            state.asked.push(asked.clone());
            let present = state.book.epoch;
            if asked["epoch"].as_u64().unwrap_or(0) >= present {
                state.book.take(&asked);
            }
            (asked["events"].as_array().is_some_and(|events| !events.is_empty()), present)
        };
        let begins = std::mem::take(&mut self.state().begins);
        if asked["epoch"].as_u64().unwrap_or(0) < present && !begins {
            let refusal = json!({"code": "epoch", "present": present, "title": "", "status": 409});
            return self.signed(stream, request, (409, refusal), None).await;
        }
        if !news && !begins && mischief.is_none() && !self.state().hasty {
            self.hold(asked["wait_seconds"].as_u64().unwrap_or(0)).await;
        }
        let mut words = self.state().book.words();
        (words["run"], words["more"], words["want"]) = (json!(RUN), json!(false), json!([]));
        self.signed(stream, request, (200, words), mischief).await;
    }

    async fn hold(&self, seconds: u64) {
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                if state.book.acked < state.book.sent.len() || !state.mischief.is_empty() {
                    return;
                }
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    async fn signed(&self, stream: &mut TcpStream, request: &Request, (status, body): (u16, Value), bent: Option<Mischief>) {
        let body = body.to_string().into_bytes();
        let token = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        let asked = if token.is_empty() { json!({}) } else { claims_of(token) };
        let mut claims = json!({"iat": SystemClock.now().seconds() + self.state().ahead, "bh": body_hash(&body), "status": status,
            "jti": asked["jti"], "aud": asked["iss"], "iss": self.key.fingerprint()});
        let mut key = self.key.clone();
        match bent {
            Some(Mischief::OtherKey) => key = Key::new(),
            Some(Mischief::Claim(name, value)) => claims[name] = value,
            Some(Mischief::Drop) => return,
            Some(Mischief::Slow(pause)) => tokio::time::sleep(pause).await,
            _ => {}
        }
        let signature = key.sign_with(&json!({"alg": "EdDSA"}), &claims);
        answer(stream, status, &format!("wicketgate-SIGNATURE:  {signature}\r\n"), &body).await;
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    Some(Request { method, path, headers, body })
}

async fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status} -\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    // Who asked may have gone.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.shutdown().await;
}
