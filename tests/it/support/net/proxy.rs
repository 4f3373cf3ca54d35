//! Proxies as companies have them: HTTP (CONNECT, and forwarding of plain requests) and SOCKS 5, both with a user name
//! and a password. They keep what they were asked for.
//!
//! Names are known to the proxy alone where the test says so ([`Proxy::knows`]): a private network whose machines
//! resolve nothing outside looks like that.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use super::{Server, head, serve};

pub const USER: &str = "svc";
/// With everything that a URL would read otherwise.
pub const PASSWORD: &str = "50%41:@/ü";
/// The same, as it stands in a URL.
pub const PASSWORD_IN_URL: &str = "50%2541%3A%40%2F%C3%BC";

#[derive(Debug, Default)]
struct Inner {
    asked: Mutex<Vec<String>>,
    refused: Mutex<u32>,
    names: Mutex<BTreeMap<String, SocketAddr>>,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
    server: Server,
}

impl Proxy {
    /// An HTTP proxy.
    pub async fn http() -> Self {
        let inner = Arc::new(Inner::default());
        let shared = inner.clone();
        let server = serve(move |caller| {
            let inner = shared.clone();
            async move { inner.http(caller).await.unwrap_or_default() }
        })
        .await;
        Self { inner, server }
    }

    /// A SOCKS 5 proxy.
    pub async fn socks() -> Self {
        let inner = Arc::new(Inner::default());
        let shared = inner.clone();
        let server = serve(move |caller| {
            let inner = shared.clone();
            async move {
                // A caller that breaks off is none of the proxy's business.
                let _ = inner.socks(caller).await;
            }
        })
        .await;
        Self { inner, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// A name that this proxy resolves.
    pub fn knows(&self, name: &str, address: SocketAddr) {
        self.inner.names.lock().expect("no panic").insert(name.to_owned(), address);
    }

    /// What it led to, as `host:port`, in order.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.lock().expect("no panic").clone()
    }

    /// Requests without good credentials.
    pub fn refused(&self) -> u32 {
        *self.inner.refused.lock().expect("no panic")
    }
}

impl Inner {
    async fn open(&self, target: &str) -> Option<TcpStream> {
        self.asked.lock().expect("no panic").push(target.to_owned());
        let (host, port) = target.rsplit_once(':')?;
        let known = self.names.lock().expect("no panic").get(host).copied();
        match known {
            Some(address) => TcpStream::connect(address).await.ok(),
            None => TcpStream::connect((host.trim_matches(['[', ']']), port.parse().ok()?)).await.ok(),
        }
    }

    async fn http(&self, mut caller: TcpStream) -> Option<()> {
        let expected = format!("proxy-authorization: basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")).to_lowercase());
        let head = head(&mut caller).await?;
        let first = head.lines().next()?.to_owned();
        if !head.to_lowercase().contains(&expected) {
            *self.refused.lock().expect("no panic") += 1;
            let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"corp\"\r\n\
                          content-length: 0\r\nconnection: close\r\n\r\n";
            caller.write_all(answer.as_bytes()).await.ok()?;
            return None;
        }
        let mut words = first.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        if method == "CONNECT" {
            let Some(mut far) = self.open(target).await else {
                caller.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await.ok()?;
                return None;
            };
            caller.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
            copy_bidirectional(&mut caller, &mut far).await.ok()?;
            return None;
        }
        // Forwarding: one request, with its head as a server expects it; then the connection belongs to this host.
        let rest = target.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/')?);
        let mut far = self.open(host).await?;
        let mut lines: Vec<String> = vec![format!("{method} {path} HTTP/1.1"), "connection: close".to_owned()];
        let dropped = ["proxy-authorization:", "connection:"];
        lines.extend(
            head.lines()
                .skip(1)
                .filter(|line| !line.is_empty() && !dropped.iter().any(|name| line.to_lowercase().starts_with(name)))
                .map(str::to_owned),
        );
        far.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await.ok()?;
        copy_bidirectional(&mut caller, &mut far).await.ok().map(|_| ())
    }

    async fn socks(&self, mut caller: TcpStream) -> std::io::Result<()> {
        let (_version, count) = (caller.read_u8().await?, caller.read_u8().await?);
        let mut methods = vec![0; count.into()];
        caller.read_exact(&mut methods).await?;
        if !methods.contains(&2) {
            *self.refused.lock().expect("no panic") += 1;
            return caller.write_all(&[5, 0xff]).await;
        }
        caller.write_all(&[5, 2]).await?;
        let _version = caller.read_u8().await?;
        let (user, password) = (text(&mut caller).await?, text(&mut caller).await?);
        if (user.as_str(), password.as_str()) != (USER, PASSWORD) {
            *self.refused.lock().expect("no panic") += 1;
            return caller.write_all(&[1, 1]).await;
        }
        caller.write_all(&[1, 0]).await?;
        let mut start = [0; 4];
        caller.read_exact(&mut start).await?;
        let host = match start[3] {
            1 => {
                let mut ip = [0; 4];
                caller.read_exact(&mut ip).await?;
                std::net::Ipv4Addr::from(ip).to_string()
            }
            3 => text(&mut caller).await?,
            _ => {
                let mut ip = [0; 16];
                caller.read_exact(&mut ip).await?;
                format!("[{}]", std::net::Ipv6Addr::from(ip))
            }
        };
        let port = caller.read_u16().await?;
        let Some(mut far) = self.open(&format!("{host}:{port}")).await else {
            return caller.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        };
        caller.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        copy_bidirectional(&mut caller, &mut far).await.map(|_| ())
    }
}

/// A byte that says how long, then the text.
async fn text(caller: &mut TcpStream) -> std::io::Result<String> {
    let length = caller.read_u8().await?;
    let mut bytes = vec![0; length.into()];
    caller.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
