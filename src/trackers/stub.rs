//! A system to call in tests: keeps what it was sent and answers what the test says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::standard_webhooks::Headers;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn signature(&self) -> Headers<'_> {
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        Headers { id: header("webhook-id"), timestamp: header("webhook-timestamp"), signature: header("webhook-signature") }
    }
}

/// Answers every call by `answer`, whose text is a whole HTTP answer; an empty one hangs up.
pub(super) struct Stub {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    pub(super) async fn start(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                tokio::spawn(async move {
                    let mut socket = BufReader::new(socket);
                    let request = read(&mut socket).await;
                    let text = answer(&request);
                    kept.lock().expect("no test panics inside").push(request);
                    // The caller may have gone.
                    let _ = socket.write_all(text.as_bytes()).await;
                });
            }
        });
        Self { url, seen }
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no test panics inside").clone()
    }
}

/// A whole answer with a body.
pub(super) fn reply(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Told\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn read(socket: &mut BufReader<TcpStream>) -> Request {
    let mut line = String::new();
    socket.read_line(&mut line).await.expect("a line");
    let mut words = line.split(' ').map(str::to_owned);
    let mut request =
        Request { method: words.next().unwrap_or_default(), path: words.next().unwrap_or_default(), ..Request::default() };
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.expect("a line");
        let Some((name, value)) = line.trim().split_once(':') else { break };
        request.headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = request.headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    request.body = vec![0; length];
    socket.read_exact(&mut request.body).await.expect("a body");
    request
}
