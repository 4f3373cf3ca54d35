//! What the programs beside share: cores, nodes as processes of their own, and a load that waits for each answer.
//!
//! The server has core 0 to itself and everything else core 1, so that neither lends the other its time. With one core
//! only, both share it and the program says so. Numbers are printed, nothing is asserted: they depend on the machine.
#![allow(dead_code, reason = "each program uses its share")]

pub mod message;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub const TOKEN: &str = "bench-admin-token-0123456789abcdef";
/// Core of whatever is measured.
pub const SERVER: usize = 0;
/// Core of whatever asks.
const LOAD: usize = 1;

/// Moves this program to its core; called first, before any thread is started.
pub fn pin_load() {
    // The TLS library wants its provider named once per process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if std::env::var_os("WICKETGATE_BENCH_PINNED").is_some() {
        return;
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("one core only: server and load share it, so the numbers are worse than they should be");
        return;
    }
    let me = std::env::current_exe().expect("this program");
    let error = on_core(LOAD, &me).args(std::env::args().skip(1)).env("WICKETGATE_BENCH_PINNED", "1").exec();
    println!("taskset (package util-linux) is missing: nothing is pinned ({error})");
}

/// A program on one core.
pub fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// A folder on a real disk, gone at the end.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder beside the build")
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A process that ends with its handle.
pub struct Server(Child);

impl Server {
    pub fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a log");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the server starts"))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Does something, and tells how many microseconds of its core the server took for it.
    pub fn busy<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        let before = self.cpu();
        let done = work();
        (done, (self.cpu() - before) * 1e6)
    }

    /// Seconds of core so far: user and system, in hundredths.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |place: usize| after.split_whitespace().nth(place).and_then(|text| text.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody listens there.
pub fn listening(address: SocketAddr) {
    for _ in 0..1000 {
        if std::net::TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {address}");
}

/// A node in a process of its own.
pub struct Node {
    pub server: Server,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Node {
    /// `role` is `serve` or `relay`; `more` follows the lines of `[node]`.
    pub fn start(role: &str, core: usize, folder: &Path, more: &str) -> Self {
        let (address, file, log) = (free_address(), folder.join(format!("{role}.toml")), folder.join(format!("{role}.log")));
        let public = if role == "serve" { format!("public_url = \"http://{address}\"\n") } else { String::new() };
        let config = format!(
            "[node]\nname = \"{role}\"\nlisten = \"{address}\"\ndata_dir = \"{}\"\nlog = {{ filter = \"warn\" }}\n{public}\
             [api]\nadmin_token = \"{TOKEN}\"\n[link]\nallow_addresses = [\"127.0.0.0/8\"]\n{more}\n",
            folder.join(role).display()
        );
        std::fs::write(&file, config).expect("written");
        let mut command = on_core(core, Path::new(env!("CARGO_BIN_EXE_wicketgate")));
        command.arg(role).arg("--config").arg(&file);
        let node = Self { server: Server::start(command, &log), address, log };
        listening(address);
        node
    }

    /// Calls the API; an answer without a 2xx ends the program.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://{}/api/v1{path}", self.address);
        let http = wicketgate::http_client::client(&Default::default(), &wicketgate::http_client::Guard::Operator);
        let mut request = http
            .expect("a client")
            .request(method.parse().expect("a method"), url)
            .bearer_auth(TOKEN)
            .timeout(Duration::from_secs(30));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the node answers");
        let status = answer.status();
        let body = answer.json().await.unwrap_or(Value::Null);
        assert!(status.is_success(), "{path}: {status} {body}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        body
    }
}

/// What a load did.
pub struct Load {
    pub count: u64,
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Writes what is asked, with a number that makes it unlike any other.
pub type Ask = dyn Fn(u64, &mut Vec<u8>) + Send + Sync;

/// A protocol: what is asked with a number that never comes again, and whether the answer is whole (and good).
#[derive(Clone)]
pub struct Talk {
    pub ask: std::sync::Arc<Ask>,
    pub whole: fn(&[u8]) -> Option<bool>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

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
        (talk.ask)(NUMBERS.fetch_add(1, Ordering::Relaxed), &mut ask);
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

/// Whether an HTTP answer with `Content-Length` is whole.
pub fn whole_http(answer: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    (body.len() >= length).then(|| head.starts_with("HTTP/1.1 2"))
}

/// The least possible: reads a request, appends its body to a file, syncs it, answers 200. One connection at a time.
pub fn bare(address: SocketAddr, file: &Path) -> ! {
    let listener = TcpListener::bind(address).expect("binds");
    let mut file = std::fs::File::create(file).expect("a file");
    loop {
        let Ok((mut stream, _)) = listener.accept() else { continue };
        let _ = stream.set_nodelay(true);
        let (mut buffer, mut filled) = (vec![0; 16384], 0);
        while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
            filled += read;
            if whole_request(&buffer[..filled]).is_some() {
                file.write_all(&buffer[..filled]).expect("written");
                file.sync_data().expect("synced");
                filled = 0;
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                    break;
                }
            }
        }
    }
}

/// The body of a request that has arrived whole.
pub fn whole_request(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&request[..end]).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    request.get(end + 4..end + 4 + length)
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
