//! A load that waits for each answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    http::whole_http,
    message::{self, Door},
};

/// What a load did.
pub struct Load {
    pub count: u64,
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Writes what is asked, with a number that makes it unlike any other.
type Ask = dyn Fn(u64, &mut Vec<u8>) + Send + Sync;

/// A protocol: what is asked with a number that never comes again, and whether the answer is whole (and good).
#[derive(Clone)]
pub struct Talk {
    ask: Arc<Ask>,
    whole: fn(&[u8]) -> Option<bool>,
    numbers: Arc<AtomicU64>,
}

impl Talk {
    pub fn new(ask: impl Fn(u64, &mut Vec<u8>) + Send + Sync + 'static, whole: fn(&[u8]) -> Option<bool>) -> Self {
        Self { ask: Arc::new(ask), whole, numbers: Arc::new(AtomicU64::new(1)) }
    }
}

/// Clients that each keep one connection and ask again as soon as they are answered.
pub fn load(address: SocketAddr, clients: usize, span: Duration, talk: &Talk) -> Load {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (began, mut tasks) = (Instant::now(), Vec::new());
        for _ in 0..clients {
            tasks.push(tokio::spawn(client(address, began + span, talk.clone())));
        }
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await.expect("no client panics"));
        }
        let elapsed = began.elapsed();
        took.sort();
        let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
        Load { count: took.len() as u64, rate: took.len() as f64 / elapsed.as_secs_f64(), p50: at(50), p99: at(99) }
    })
}

async fn client(address: SocketAddr, until: Instant, talk: Talk) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.set_nodelay(true).expect("no delay");
    let (mut ask, mut answer, mut took) = (Vec::new(), Vec::with_capacity(4096), Vec::new());
    while Instant::now() < until {
        ask.clear();
        answer.clear();
        (talk.ask)(talk.numbers.fetch_add(1, Ordering::Relaxed), &mut ask);
        let began = Instant::now();
        stream.write_all(&ask).await.expect("sent");
        loop {
            let read = stream.read_buf(&mut answer).await.expect("read");
            assert!(read > 0, "the server hung up");
            match (talk.whole)(&answer) {
                None => {}
                Some(true) => break,
                Some(false) => panic!("answered: {}", String::from_utf8_lossy(&answer)),
            }
        }
        took.push(began.elapsed());
    }
    took
}

/// Posts messages to a door.
pub fn posts(door: &str) -> Talk {
    let door = Door::new(door);
    let ask = move |number: u64, out: &mut Vec<u8>| {
        let body = message::body(&format!("04l5i{}", base62(number)), &format!("5005i{}", base62(number)), number);
        out.extend_from_slice(door.request(&body).as_bytes());
    };
    Talk::new(ask, whole_http)
}

/// Ten digits, as ids of Salesforce count.
fn base62(mut number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = [b'0'; 10];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    String::from_utf8_lossy(&text).into_owned()
}
