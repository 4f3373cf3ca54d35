//! A node's API, as the commands call it.
//!
//! The one place of the command line that speaks HTTP. A refusal is told with its title, its detail and what is wrong
//! with each field; a node that does not answer is told with the address that was tried.

use std::{fmt, time::Duration};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::output::clean;
use crate::{
    http_client::{self, Guard, Network},
    secret::Secret,
};

/// Longest wait for an answer: a tracker's check takes its time.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Longest download.
const DOWNLOAD: Duration = Duration::from_secs(3600);

/// Largest answer: a page of 500 twins stays far below.
const MOST_BYTES: usize = 32 << 20;

/// Items of one page.
const PAGE: usize = 200;

/// Items of a list, and where it goes on if not all were wanted.
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
}

/// Which node to talk to, and how to print what it says.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NodeArgs {
    /// Address of the node. Its token is read from WICKETGATE_TOKEN
    #[arg(
        long = "node",
        global = true,
        env = "WICKETGATE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    node: Url,
    /// Print the API's answer as JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl NodeArgs {
    /// The node's API.
    pub(super) fn client(&self) -> anyhow::Result<ApiClient> {
        let token = std::env::var("WICKETGATE_TOKEN").ok().filter(|token| !token.is_empty()).map(Secret::new);
        ApiClient::new(self.node.clone(), token)
    }
}

/// See the module.
pub(super) struct ApiClient {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret>,
}

/// The node said no.
#[derive(Debug)]
pub(super) struct Refused {
    /// HTTP status.
    pub(super) status: u16,
    /// From the closed list; empty where it was no node that answered.
    pub(super) code: String,
    title: String,
    detail: String,
    /// Members that are meant.
    pub(super) errors: Vec<Value>,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        // Where members are named, the detail says the same in one line.
        if !self.detail.is_empty() && self.errors.is_empty() {
            write!(f, "\n  {}", self.detail)?;
        }
        for error in &self.errors {
            write!(f, "\n  {}: {}", member(error, "field"), member(error, "message"))?;
        }
        if self.status == 401 {
            f.write_str("\n  Set WICKETGATE_TOKEN to a token of this node.")?;
        }
        Ok(())
    }
}

impl Refused {
    fn read(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let title = match member(&body, "title") {
            title if title.is_empty() => "the answer is not a node's; is this its address?".to_owned(),
            title => title,
        };
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        Self { status, code: member(&body, "code"), title, detail: member(&body, "detail"), errors }
    }

    /// What happened, in one line.
    pub(super) fn headline(&self) -> String {
        format!("{} ({})", self.title, self.status)
    }
}

fn member(value: &Value, name: &str) -> String {
    clean(value[name].as_str().unwrap_or_default())
}

impl ApiClient {
    /// The API of the node at `base`.
    pub(super) fn new(base: Url, token: Option<Secret>) -> anyhow::Result<Self> {
        if !matches!(base.scheme(), "http" | "https") {
            return Err(super::Usage(format!("{base} is not an http:// or https:// address")).into());
        }
        let http = http_client::client(&Network::default(), &Guard::Operator)?;
        Ok(Self { http, base, token })
    }

    /// Asks for one thing.
    pub(super) async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, &[], None).await
    }

    /// Asks for one thing, with what the query says.
    pub(super) async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    /// Asks for a text.
    pub(super) async fn text(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<String> {
        let bytes = self.bytes(self.send(self.request(Method::GET, path, query)?).await?).await?;
        String::from_utf8(bytes).with_context(|| format!("{} does not answer as a node does", self.base))
    }

    /// Replaces something.
    pub(super) async fn put(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    /// Does something; `body` may be null.
    pub(super) async fn post(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Sends comma-separated values.
    pub(super) async fn post_csv(&self, path: &[&str], query: &[(&str, &str)], text: String) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path, query)?.header("content-type", "text/csv; charset=utf-8").body(text);
        self.answer(self.send(request).await?).await
    }

    /// Writes what is there, however much, as it comes.
    pub(super) async fn download(&self, path: &[&str], to: &mut impl std::io::Write) -> anyhow::Result<()> {
        let mut response = self.send(self.request(Method::GET, path, &[])?.timeout(DOWNLOAD)).await?;
        if !response.status().is_success() {
            return self.answer(response).await.map(drop);
        }
        while let Some(chunk) = response.chunk().await.context("the node's answer ended early")? {
            to.write_all(&chunk)?;
        }
        Ok(())
    }

    /// Changes something.
    pub(super) async fn patch(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    /// Removes something.
    pub(super) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// All items of a list, page by page, at most `most`.
    pub(super) async fn list(&self, path: &[&str], query: &[(&str, &str)], most: usize) -> anyhow::Result<Listed> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            let limit = (most - items.len()).clamp(1, PAGE).to_string();
            query.push(("limit", &limit));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let mut page = self.call(Method::GET, path, &query, None).await?;
            let Value::Array(more) = page["items"].take() else { anyhow::bail!("the answer holds no `items`") };
            items.extend(more);
            let next = page["next"].as_str().map(str::to_owned);
            // A cursor that does not move would never end.
            if items.len() >= most || next.is_none() || next == cursor {
                return Ok(Listed { items, next });
            }
            cursor = next;
        }
    }

    /// The id of a connection that was named by id or name.
    pub(super) async fn connection_id(&self, typed: &str) -> anyhow::Result<String> {
        if uuid::Uuid::try_parse(typed).is_ok() {
            return Ok(typed.to_owned());
        }
        let connections = self.list(&["connections"], &[], usize::MAX).await?;
        let found = connections.items.iter().find(|connection| connection["name"] == typed);
        let id = found.and_then(|connection| connection["id"].as_str());
        id.map(str::to_owned).with_context(|| format!("this node has no connection `{typed}`; see `wicketgate connection list`"))
    }

    async fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.request(method, path, query)?;
        if let Some(body) = body.filter(|body| !body.is_null()) {
            request = request.json(&body);
        }
        self.answer(self.send(request).await?).await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<reqwest::RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} cannot be the address of a node", self.base))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let mut request = self.http.request(method, url).timeout(TIMEOUT);
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        Ok(request)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.map_err(|error| {
            let trouble = http_client::why(&error);
            anyhow::anyhow!("no answer from {}: {trouble}\n  Is the node running? WICKETGATE_URL names its address.", self.base)
        })
    }

    async fn answer(&self, response: reqwest::Response) -> anyhow::Result<Value> {
        let bytes = self.bytes(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{} does not answer as a node does", self.base))
    }

    async fn bytes(&self, response: reqwest::Response) -> anyhow::Result<Vec<u8>> {
        let status = response.status();
        let bytes = http_client::body_up_to(response, MOST_BYTES).await.context("the node's answer could not be read")?;
        if !status.is_success() {
            return Err(Refused::read(status.as_u16(), &bytes).into());
        }
        Ok(bytes.into())
    }
}
