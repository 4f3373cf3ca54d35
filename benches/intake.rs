//! How fast outbound messages are taken in: as ratios in one run, against Redis that syncs each append and against the
//! least server that can be thought of. Prints numbers, asserts nothing.
//!
//! `cargo bench --bench intake`, or one part of it with `-- sixteen`, `-- one` or `-- counts`; Redis comes with `apt-get install redis-server`, the counts of system calls with
//! `perf` (`linux-perf`). Everything is measured in turns, several times, and the median is told.

#[path = "support/load.rs"]
mod load;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use load::{Load, Talk, load, posts};
use support::{
    http::whole_request,
    message,
    node::{Node, SERVER, Server, folder, free_address, listening, on_core, pin_load},
};
use wicketgate::{
    clock::SystemClock,
    sandbox::org::{Org, OrgSettings},
};

const ROUNDS: usize = 7;
const SPAN: Duration = Duration::from_millis(1500);

fn main() {
    if let [_, word, address, file] = &std::env::args().collect::<Vec<_>>()[..]
        && word == "bare"
    {
        bare(address.parse().expect("an address"), Path::new(file));
    }
    pin_load();
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let org = runtime.block_on(Org::start(OrgSettings::default(), std::sync::Arc::new(SystemClock))).expect("the org");
    let (node, door) = runtime.block_on(node(folder.path(), &org.url));
    let ours = (node.address, posts(&door));
    let redis = redis(folder.path());
    let least = least(folder.path());

    // The first turns warm caches and files up and are not counted.
    load(ours.0, 16, SPAN, &ours.1);
    let parts: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    if wanted("sixteen") {
        sixteen(&node, &ours, redis.as_ref());
    }
    if wanted("one") {
        one(&ours, &least);
    }
    if wanted("counts") {
        for clients in [1, 16, 64] {
            counts(&node, &ours, clients);
        }
    }
    runtime.block_on(org.stop());
}

type Aim = (SocketAddr, Talk);

fn sixteen(node: &Node, ours: &Aim, redis: Option<&(Server, Aim)>) {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (here, cpu) = node.server.busy(|| load(ours.0, 16, SPAN, &ours.1));
        rates.push(here.rate);
        print!("  16 clients: {:>7.0} /s here ({:.0} us of core each)", here.rate, cpu / here.count as f64);
        if let Some((server, there)) = redis {
            let (there, cpu) = server.busy(|| load(there.0, 16, SPAN, &there.1));
            print!(", {:>7.0} /s Redis ({:.0} us)", there.rate, cpu / there.count as f64);
            ratios.push(here.rate / there.rate);
        }
        println!();
    }
    println!("16 clients, 1.5 kB: {:.0} POSTs/s", median(rates));
    match redis {
        Some(_) => {
            println!("16 clients, against Redis 7 XADD with appendfsync always: {:.2} x (at least 0.7, aim 1.2)", median(ratios))
        }
        None => println!("16 clients, against Redis: SKIPPED, there is no redis-server (apt-get install redis-server)"),
    }
}

fn one(ours: &Aim, least: &(Server, Aim)) {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let here = load(ours.0, 1, SPAN, &ours.1);
        let there = load(least.1.0, 1, SPAN, &least.1.1);
        println!("  1 client: p50 {:>4} us here (p99 {}), {:>4} us bare", micros(&here), here.p99.as_micros(), micros(&there));
        ratios.push(here.p50.as_secs_f64() / there.p50.as_secs_f64());
    }
    println!(
        "1 client, acknowledgement p50 against a bare 200 with one fdatasync: {:.2} x (at most 1.8, aim 1.3)",
        median(ratios)
    );
}

fn micros(load: &Load) -> u128 {
    load.p50.as_micros()
}

/// System calls of the node while it is asked.
fn counts(node: &Node, ours: &Aim, clients: usize) {
    let seconds = (SPAN.as_secs_f64() + 0.5).to_string();
    let events = "raw_syscalls:sys_enter,syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync";
    let perf = Command::new("perf")
        .args(["stat", "-x", ";", "-e", events, "-p", &node.server.pid().to_string(), "--", "sleep", &seconds])
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(perf) = perf else {
        return println!("{clients} clients, system calls: SKIPPED, there is no perf (apt-get install linux-perf)");
    };
    std::thread::sleep(Duration::from_millis(200));
    let done = load(ours.0, clients, SPAN, &ours.1);
    let told = perf.wait_with_output().expect("perf ends").stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    let count =
        |name: &str| told.lines().find(|line| line.contains(name)).and_then(|line| line.split(';').next()?.parse::<f64>().ok());
    let (Some(calls), Some(data), Some(whole)) = (count("raw_syscalls"), count("enter_fdatasync"), count("enter_fsync")) else {
        return println!("{clients} clients, system calls: SKIPPED, perf may not count here:\n{told}");
    };
    let each = |calls: f64| calls / done.count as f64;
    let (fsyncs, calls) = (each(data + whole), each(calls));
    let (most, aim) = match clients {
        1 => (1.0, 1.0),
        16 => (0.13, 0.07),
        _ => (0.05, 0.017),
    };
    println!("{clients} clients: {fsyncs:.3} fsyncs per POST (at most {most}, aim {aim}); {calls:.1} system calls per POST");
}

async fn node(folder: &Path, org: &str) -> (Node, String) {
    let settings = OrgSettings::default();
    let support = format!(
        "[trackers.support]\nkind = \"salesforce\"\nlogin_url = \"{org}\"\nflow = \"client-credentials\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\nlook = \"off\"\n",
        settings.client_id,
        settings.client_secret.expose()
    );
    let node = Node::start("serve", SERVER, folder, &support);
    node.api("POST", "/trackers/support/check", Some(serde_json::json!({}))).await;
    let tracker = node.api("GET", "/trackers/support", None).await;
    (node, tracker["outbound_message_url"].as_str().expect("a door").to_owned())
}

fn redis(folder: &Path) -> Option<(Server, Aim)> {
    let address = free_address();
    let mut command = on_core(SERVER, Path::new("redis-server"));
    command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no", "--dir"]).arg(folder);
    Command::new("redis-server").arg("--version").output().ok()?;
    let server = Server::start(command, &folder.join("redis.log"));
    listening(address);
    let ask = |number: u64, out: &mut Vec<u8>| {
        let body = message::body(&format!("{number:015}"), &format!("{number:015}"), number);
        let head = format!("*5\r\n$4\r\nXADD\r\n$5\r\nstore\r\n$1\r\n*\r\n$1\r\nm\r\n${}\r\n", body.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    let whole = |answer: &[u8]| match answer {
        [b'-', ..] => Some(false),
        answer => (answer.iter().filter(|byte| **byte == b'\n').count() >= 2).then_some(true),
    };
    Some((server, (address, Talk::new(ask, whole))))
}

fn least(folder: &Path) -> (Server, Aim) {
    let address = free_address();
    let mut command = on_core(SERVER, &std::env::current_exe().expect("this program"));
    command.arg("bare").arg(address.to_string()).arg(folder.join("bare"));
    let server = Server::start(command, &folder.join("bare.log"));
    listening(address);
    (server, (address, posts(&format!("http://{address}/bare"))))
}

/// The least possible: reads a request, appends its body to a file, syncs it, answers 200. One connection at a time.
fn bare(address: SocketAddr, file: &Path) -> ! {
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

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
