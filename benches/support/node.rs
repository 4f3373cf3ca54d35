//! Cores, and servers and nodes as processes of their own.
//!
//! The server has core 0 to itself and everything else core 1, so that neither lends the other its time. With one core
//! only, both share it and the program says so. Numbers are printed, nothing is asserted: they depend on the machine.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

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

    /// Does something, and tells how many microseconds of its core the server took for it, with the workers that it has at
    /// the end.
    pub fn busy<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        let before = self.cpu();
        let done = work();
        (done, (self.cpu() - before) * 1e6)
    }

    /// Seconds of core so far: user and system, its own, its children's that have ended, and those that live.
    fn cpu(&self) -> f64 {
        let me = self.pid();
        let all = std::fs::read_dir("/proc").into_iter().flatten();
        let all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        all.map(stat).filter(|stat| stat.id == me || stat.parent == me).map(|stat| stat.seconds).sum()
    }
}

struct Stat {
    id: u32,
    parent: u32,
    seconds: f64,
}

/// What the system tells of a process; times are in hundredths of a second.
fn stat(id: u32) -> Stat {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let numbers: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|text| text.parse().unwrap_or(0.0)).collect();
    let at = |place: usize| numbers.get(place).copied().unwrap_or(0.0);
    Stat { id, parent: at(1) as u32, seconds: (11..=14).map(at).sum::<f64>() / 100.0 }
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
