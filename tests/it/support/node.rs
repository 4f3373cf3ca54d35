//! One full node in the test's process, spoken to by its API.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::Value;
use wicketgate::{
    app::node::{Node, Outside},
    clock::Clock,
    config::{Config, Role},
    http_client::{Guard, Network, client},
};

use super::{PATIENCE, TOKEN, provider};

/// A node in this process that can be stopped and started again on its data.
pub struct TestNode {
    pub url: String,
    pub dir: PathBuf,
    pub config: String,
    role: Role,
    clock: Arc<dyn Clock>,
    pub node: Option<Node>,
    http: reqwest::Client,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The body, where the call went well.
    pub fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "answered {}: {}", self.status, self.body);
        self.body
    }

    /// The problem code, where it did not.
    pub fn code(&self) -> &str {
        assert!(self.status >= 400, "answered {}: {}", self.status, self.body);
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A free loopback address, below the range from which the system gives ports to outgoing calls: nobody is given it
/// between now and the start of whoever shall listen there.
pub fn free_address() -> SocketAddr {
    use std::hash::{BuildHasher as _, Hasher as _};
    let drawn = std::collections::hash_map::RandomState::new().build_hasher().finish() % 12_000;
    (0..12_000u64)
        .filter_map(|step| u16::try_from(20_000 + (drawn + step * 7) % 12_000).ok())
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .expect("a free port")
}

/// A client as an operator's.
pub fn http() -> reqwest::Client {
    provider();
    client(&Network::default(), &Guard::Operator).expect("a client")
}

impl TestNode {
    /// Writes a node's configuration; `rest` follows the lines of `[node]`.
    pub fn new(name: &str, dir: &std::path::Path, role: Role, clock: Arc<dyn Clock>, rest: &str) -> Self {
        let address = free_address();
        let dir = dir.join(name);
        let url = format!("http://{address}");
        let public = if role == Role::Public { format!("public_url = \"{url}\"\n") } else { String::new() };
        let config = format!(
            "[node]\nname = \"{name}\"\nlisten = \"{address}\"\ndata_dir = \"{}\"\nworkers = 1\n{public}\n[api]\nadmin_token = \"{TOKEN}\"\n{rest}",
            dir.display()
        );
        Self { url, dir, config, role, clock, node: None, http: http() }
    }

    /// Starts it in this process.
    pub async fn start(&mut self) {
        let config = Config::parse("test.toml", &self.config, std::iter::empty(), self.role).expect("a good configuration");
        let outside =
            Outside { clock: self.clock.clone(), program: PathBuf::from(env!("CARGO_BIN_EXE_wicketgate")), forget_sealed: false };
        self.node = Some(Node::start(&config, outside).await.expect("starts"));
    }

    /// Stops it in good order.
    pub async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await.expect("stops in order");
        }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(TOKEN, method, path, body).await
    }

    pub async fn call_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(token).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Self::answered(request).await
    }

    /// Sends comma-separated values.
    pub async fn call_csv(&self, path: &str, text: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}/api/v1{path}", self.url)).bearer_auth(TOKEN).timeout(PATIENCE);
        Self::answered(request.header("content-type", "text/csv").body(text)).await
    }

    async fn answered(request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        Answer { status, body }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, None).await.good()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", path, Some(body)).await.good()
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.call("PATCH", path, Some(body)).await.good()
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.call("DELETE", path, None).await.good()
    }

    /// The only twin of this local key.
    pub async fn twin_of(&self, key: &str) -> Option<Value> {
        self.get(&format!("/twins?key={key}")).await["items"].as_array().and_then(|items| items.first().cloned())
    }
}
