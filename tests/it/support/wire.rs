//! Small things on the wire: a line that can swallow answers, a receiver of notices, a reader of streams.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{PATIENCE, TOKEN, TestNode};

/// Hands bytes on to a target; while it swallows, an answer cuts the line in its place.
pub struct Line {
    pub address: SocketAddr,
    swallows: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let swallows = Arc::new(AtomicBool::new(false));
        let flag = swallows.clone();
        let task = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(carry(caller, target, flag.clone()));
            }
        });
        Self { address, swallows, task }
    }

    pub fn swallow(&self, answers: bool) {
        self.swallows.store(answers, Ordering::SeqCst);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(caller: TcpStream, target: SocketAddr, swallows: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async { tokio::io::copy(&mut from_caller, &mut to_server).await.map(|_| ()) };
    let back = async {
        let mut part = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut part).await?;
            if read == 0 || swallows.load(Ordering::SeqCst) {
                return Ok(());
            }
            to_caller.write_all(&part[..read]).await?;
        }
    };
    // Either end closing ends both; an error is a closed line too.
    let _ended: std::io::Result<()> = tokio::select! { ended = there => ended, ended = back => ended };
}

/// Takes every POST with 204 and keeps its JSON.
pub struct Receiver {
    pub url: String,
    heard: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                tokio::spawn(receive(line, kept.clone()));
            }
        });
        Self { url, heard, task }
    }

    /// What came, by its `type`.
    pub fn of(&self, kind: &str) -> Vec<Value> {
        let heard = self.heard.lock().expect("no test panics with the lock");
        heard.iter().filter(|one| one["type"] == kind).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(mut line: TcpStream, kept: Arc<Mutex<Vec<Value>>>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = line.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let size = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        if bytes.len() < end + 4 + size {
            continue;
        }
        let body = serde_json::from_slice(&bytes[end + 4..end + 4 + size]).unwrap_or_default();
        kept.lock().expect("no test panics with the lock").push(body);
        bytes.drain(..end + 4 + size);
        line.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok()?;
    }
}

/// Events of `GET /stream`, as they come.
pub struct Listening {
    answer: reqwest::Response,
    text: String,
}

impl Listening {
    pub async fn to(node: &TestNode, token: &str) -> Self {
        let request = super::http().get(format!("{}/api/v1/stream", node.url)).bearer_auth(token);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let mut listening = Self { answer, text: String::new() };
        listening.until(|text| text.contains(": listening")).await;
        listening
    }

    pub async fn as_admin(node: &TestNode) -> Self {
        Self::to(node, TOKEN).await
    }

    /// Reads until the text so far pleases.
    pub async fn until(&mut self, pleases: impl Fn(&str) -> bool) {
        while !pleases(&self.text) {
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("waited in vain on the stream: {}", self.text));
            let chunk = chunk.expect("the stream goes on").expect("the stream is not ended");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Waits for the first event of this name that pleases.
    pub async fn event(&mut self, name: &str, pleases: impl Fn(&Value) -> bool) -> Value {
        let find = |text: &str| events(text).into_iter().find(|(word, data)| word == name && pleases(data));
        self.until(|text| find(text).is_some()).await;
        find(&self.text).expect("it was there").1
    }

    /// All events so far.
    pub fn all(&self) -> Vec<(String, Value)> {
        events(&self.text)
    }
}

fn events(text: &str) -> Vec<(String, Value)> {
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    whole
        .split("\n\n")
        .filter_map(|event| {
            let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            Some((name.to_owned(), serde_json::from_str(data).ok()?))
        })
        .collect()
}
