//! What may stand between two nodes: a line that can be cut, proxies with credentials, a TLS front, a page that answers
//! in somebody's place. All listen on loopback and end with their test.

pub mod front;
pub mod line;
pub mod proxy;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Tasks that end when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts on a free port and gives each caller to `serve`.
pub async fn serve<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Server
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let task = tokio::spawn(async move {
        let mut callers = tokio::task::JoinSet::new();
        while let Ok((caller, _)) = listener.accept().await {
            callers.spawn(serve(caller));
            while callers.try_join_next().is_some() {}
        }
    });
    Server { address, task }
}

/// Reads up to the end of a request's head; `None` where the caller hung up first.
pub async fn head(caller: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = caller.read_u8().await.ok()?;
        head.push(byte);
        assert!(head.len() < 64 * 1024, "no end of the head");
    }
    String::from_utf8(head).ok()
}

/// A server that has one answer.
#[derive(Debug)]
pub struct Page {
    pub address: SocketAddr,
    asked: Arc<AtomicU32>,
    _server: Server,
}

impl Page {
    /// How many requests it answered.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Answers every request on every connection with these bytes, whatever is asked.
pub async fn page(status: &'static str, headers: &'static str, body: &'static str) -> Page {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let server = serve(move |mut caller| {
        let count = count.clone();
        async move {
            while let Some(head) = head(&mut caller).await {
                let mut rest = vec![0; length(&head)];
                if caller.read_exact(&mut rest).await.is_err() {
                    return;
                }
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
                count.fetch_add(1, Ordering::SeqCst);
                if caller.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    Page { address: server.address, asked, _server: server }
}

/// A reverse proxy that takes bodies up to a size.
#[derive(Debug)]
pub struct SmallBodies {
    pub address: SocketAddr,
    refused: Arc<AtomicU32>,
    _server: Server,
}

impl SmallBodies {
    /// How often a body was too large.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }
}

/// Leads to `to`; larger bodies than `most` are answered with 413.
pub async fn small_bodies(to: SocketAddr, most: usize) -> SmallBodies {
    let refused = Arc::new(AtomicU32::new(0));
    let count = refused.clone();
    let server = serve(move |mut caller| {
        let count = count.clone();
        async move {
            let Some(head) = head(&mut caller).await else { return };
            let mut body = vec![0; length(&head)];
            if caller.read_exact(&mut body).await.is_err() {
                return;
            }
            if body.len() > most {
                count.fetch_add(1, Ordering::SeqCst);
                // The caller may be gone.
                let _ =
                    caller.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
                return;
            }
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            if far.write_all(&[head.as_bytes(), &body].concat()).await.is_ok() {
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut far).await;
            }
        }
    })
    .await;
    SmallBodies { address: server.address, refused, _server: server }
}

fn length(head: &str) -> usize {
    let told = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    told.unwrap_or(0)
}
