//! A pair of nodes on one core: an org beside the public one, beside the private one a target that takes every record at
//! once and remembers when it was asked.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use wicketgate::sandbox::org::{self, OrgSettings};

use crate::support::{
    http::{whole_http, whole_request},
    message::Door,
    node::{Node, SERVER},
};

const SECRET: &str = "whsec_YmVuY2gtdHJhY2tlci1zZWNyZXQtMDAwMDAwMDE=";

/// Two joined nodes with a trigger for every Case, and the door for messages of Cases.
pub async fn nodes(folder: &Path, org: &org::Running, target: SocketAddr) -> (Node, Node, Door) {
    let settings = OrgSettings::default();
    let support = format!(
        "[trackers.support]\nkind = \"salesforce\"\nlogin_url = \"{}\"\nflow = \"client-credentials\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\nlook = \"off\"\n",
        org.url,
        settings.client_id,
        settings.client_secret.expose()
    );
    let desk = format!("[trackers.desk]\nkind = \"webhook\"\nurl = \"http://{target}/\"\nsecret = \"{SECRET}\"\n");
    let public = Node::start("serve", SERVER, folder, &support);
    let private = Node::start("relay", SERVER, folder, &desk);
    let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic",
        "local_short_name": "support", "remote_short_name": "desk"});
    let made = public.api("POST", "/connections", Some(wanted)).await;
    let path = format!("/connections/{}/triggers", made["id"].as_str().expect("an id"));
    public.api("POST", &path, Some(json!({"entity_type": "Case", "filter": ""}))).await;
    private.api("POST", "/invitations/accept", Some(json!({"code": made["invitation"]["code"], "tracker": "desk"}))).await;
    public.api("POST", "/trackers/support/check", Some(json!({}))).await;
    let tracker = public.api("GET", "/trackers/support", None).await;
    let door = Door::new(tracker["outbound_message_url"].as_str().expect("a door"));
    (public, private, door)
}

/// A system that takes every record at once and remembers when it was asked.
#[derive(Clone, Default)]
pub struct Target(Arc<(Mutex<HashMap<usize, Instant>>, Condvar)>);

impl Target {
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let target = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(target.clone().answer(stream));
            }
        });
        address
    }

    async fn answer(self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut request = Vec::new();
        loop {
            let Some(body) = whole_request(&request) else {
                if stream.read_buf(&mut request).await.ok()? == 0 {
                    return None;
                }
                continue;
            };
            let body: Value = serde_json::from_slice(body).expect("JSON");
            let number: usize = body["data"]["fields"]["summary"].as_str()?.parse().ok()?;
            {
                let mut seen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.entry(number).or_insert_with(Instant::now);
            }
            self.0.1.notify_all();
            let answer = json!({"key": format!("T-{number}")}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all(format!("{head}{answer}").as_bytes()).await.ok()?;
            request.clear();
        }
    }

    /// When this record came; waits for it.
    pub fn seen(&self, number: usize) -> Instant {
        let mut seen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = seen.get(&number) {
                return *at;
            }
            let (again, timeout) = self.0.1.wait_timeout(seen, Duration::from_secs(60)).unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "Case {number} did not arrive within a minute");
            seen = again;
        }
    }
}

/// A connection that is kept, for one request after another.
pub struct Line(std::net::TcpStream);

impl Line {
    pub fn open(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    /// Sends a request and waits for a good answer.
    pub fn post(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).expect("sent");
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while whole_http(&answer) != Some(true) {
            let read = self.0.read(&mut buffer).expect("read");
            answer.extend_from_slice(&buffer[..read]);
            assert!(read > 0 && whole_http(&answer) != Some(false), "answered: {}", String::from_utf8_lossy(&answer));
        }
    }
}
