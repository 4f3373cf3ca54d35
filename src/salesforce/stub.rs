//! A bare HTTP server for tests: it hands each request to a closure and writes down what came.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{Keep, Salesforce, Settings};
use crate::{clock::SystemClock, domain::tracker::TrackerError, secret::Secret};

/// What came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

type Handler = dyn Fn(&Request) -> (u16, Value) + Send + Sync;

/// A running server; it ends with the test's runtime.
pub(super) struct Stub {
    pub base: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    /// Starts one that answers logins and versions itself and asks `handler` for the rest.
    pub async fn start(handler: impl Fn(&Request) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let (handler, seen): (Arc<Handler>, _) = (Arc::new(handler), Arc::new(Mutex::new(Vec::new())));
        let stub = Self { base: base.clone(), seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, base.clone(), Arc::clone(&handler), Arc::clone(&seen)));
            }
        });
        stub
    }

    /// Requests so far whose path contains `part`.
    pub fn seen(&self, part: &str) -> Vec<Request> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|request| request.path.contains(part)).cloned().collect()
    }

    /// A tracker that stands before it and logs in by client credentials.
    pub fn tracker(&self, extra: &str) -> Salesforce {
        self.tracker_by("client-credentials", &format!("client_secret = \"s3cret\"\n{extra}"))
    }

    /// A tracker that stands before it and logs in by another flow.
    pub fn tracker_by(&self, flow: &str, extra: &str) -> Salesforce {
        let text = format!("login_url = \"{}\"\nclient_id = \"3MVG\"\nflow = \"{flow}\"\n{extra}", self.base);
        let settings: Settings = toml::from_str(&text).expect("settings");
        settings.check().expect("sensible settings");
        #[allow(clippy::disallowed_methods, reason = "a test's client, to a server in the same process")]
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Salesforce::new("support".into(), settings, http, Arc::new(SystemClock), Arc::new(Memory::default()))
    }
}

/// A good answer to a login; the access token is `00D!` and `n`.
pub(super) fn token(base: &str, n: usize) -> Value {
    let id = "https://login.salesforce.com/id/00D5i000000XyZaEAK/0055i000003sTuVAAU";
    json!({"access_token": format!("00D!{n}"), "instance_url": base, "id": id, "token_type": "Bearer", "scope": "api"})
}

async fn serve(stream: TcpStream, base: String, handler: Arc<Handler>, seen: Arc<Mutex<Vec<Request>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (_method, path) = (words.next()?, words.next()?);
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut request = Request { path, headers, body: String::new() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0usize);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        request.body = String::from_utf8(body).ok()?;
        let logins = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(request.clone());
            seen.iter().filter(|request| request.path.ends_with("/token")).count()
        };
        let (status, answer) = standard(&request, &base, logins).unwrap_or_else(|| handler(&request));
        let text = if status == 304 { String::new() } else { answer.to_string() };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nDate: Tue, 24 Nov 2026 04:15:54 GMT\r\n\
             Sforce-Limit-Info: api-usage=18/15000\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.get_mut().write_all(head.as_bytes()).await.ok()?;
    }
}

fn standard(request: &Request, base: &str, logins: usize) -> Option<(u16, Value)> {
    let path = request.path.split('?').next().unwrap_or_default();
    match path {
        "/services/data/" => Some((200, json!([{"version": "60.0"}, {"version": "68.0"}, {"version": "71.0"}]))),
        "/services/oauth2/token" if request.body.contains("client_credentials") => Some((200, token(base, logins))),
        _ if path.ends_with("/sobjects/Case/describe") && request.header("If-Modified-Since").is_some() => {
            Some((304, Value::Null))
        }
        _ if path.ends_with("/sobjects/Case/describe") => Some((200, case())),
        _ => None,
    }
}

fn case() -> Value {
    let read = |name: &str, field_type: &str| json!({"name": name, "label": name, "type": field_type, "nillable": false, "defaultedOnCreate": true});
    let write = |name: &str, field_type: &str| json!({"name": name, "label": name, "type": field_type, "createable": true, "updateable": true, "nillable": true, "length": 255});
    let mut status = write("Status", "picklist");
    status["picklistValues"] = json!([{"value": "New", "active": true}, {"value": "Closed", "active": true}]);
    json!({"name": "Case", "createable": true, "updateable": true, "fields": [
        read("Id", "id"), read("IsDeleted", "boolean"), read("LastModifiedById", "reference"), read("LastModifiedDate", "datetime"),
        read("SystemModstamp", "datetime"), read("CaseNumber", "string"), write("Subject", "string"), status,
        write("OwnerId", "reference"), write("Wicketgate_Id__c", "string"),
    ]})
}

/// Keeps what is to be kept in memory.
#[derive(Default)]
pub(super) struct Memory {
    kept: Mutex<(Option<Secret>, Option<String>)>,
}

#[async_trait]
impl Keep for Memory {
    async fn refresh_token(&self) -> Result<Option<Secret>, TrackerError> {
        Ok(self.kept.lock().unwrap_or_else(PoisonError::into_inner).0.clone())
    }

    async fn put_refresh_token(&self, token: &Secret) -> Result<(), TrackerError> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(token.clone());
        Ok(())
    }

    async fn org_id(&self) -> Result<Option<String>, TrackerError> {
        Ok(self.kept.lock().unwrap_or_else(PoisonError::into_inner).1.clone())
    }

    async fn put_org_id(&self, org_id: &str) -> Result<(), TrackerError> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(org_id.to_owned());
        Ok(())
    }
}
