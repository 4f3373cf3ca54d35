//! How long a Case takes from the outbound message to the target's request, and how many cross in a second: both nodes
//! on one core, the org, the target and the sender on the other. Prints numbers, asserts nothing.
//!
//! `cargo bench --bench chain`. The way: SOAP POST, store, read from the org, outgoing rule, store, link, store, incoming
//! rule, store, request. Every Case is new, so every request is a create.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stage::{Line, Target, nodes};
use support::{
    message::{self, Door},
    node::{folder, pin_load},
};
use wicketgate::{
    clock::SystemClock,
    sandbox::org::{self, Org, OrgSettings},
};

const ALONE: usize = 300;
const TOGETHER: usize = 4_000;
const SENDERS: usize = 16;
/// Pause between two that come alone.
const QUIET: Duration = Duration::from_millis(20);

fn main() {
    pin_load();
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let target = Target::default();
    let address = runtime.block_on(target.listen());
    let settings = OrgSettings { daily_limit: 1_000_000, ..OrgSettings::default() };
    let org = runtime.block_on(Org::start(settings, Arc::new(SystemClock))).expect("the org");
    let keys = cases(&org);
    let (public, private, door) = runtime.block_on(nodes(folder.path(), &org, address));

    let mut line = Line::open(public.address);
    let mut took: Vec<Duration> = (0..ALONE)
        .map(|number| {
            let began = Instant::now();
            line.post(&message(&door, &keys, number));
            let took = target.seen(number).duration_since(began);
            // What remains of it (the answer's way home) shall not be counted as the next one's.
            std::thread::sleep(QUIET);
            took
        })
        .collect();
    took.sort();
    let at = |share: usize| took[ALONE * share / 100].as_secs_f64() * 1e3;
    println!("SOAP POST to the target's request, one at a time: p50 {:.1} ms, p95 {:.1} ms (p50 under 5 ms)", at(50), at(95));

    let (((taken, rate), there), here) =
        public.server.busy(|| private.server.busy(|| together(public.address, &door, &keys, &target)));
    println!("{TOGETHER} Cases, acknowledged within {taken:.1} s: {rate:.0} events/s at the target (at least 1,000)");
    let [here, there] = [here, there].map(|micros| micros / TOGETHER as f64);
    println!("core of each: {here:.0} us on the public node, {there:.0} us on the private one (rules not counted)");
    runtime.block_on(org.stop());
}

/// Many senders at once: within how many seconds all was acknowledged, and how many events a second reached the target.
fn together(address: SocketAddr, door: &Door, keys: &[String], target: &Target) -> (f64, f64) {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let mut line = Line::open(address);
                for number in (ALONE + sender..ALONE + TOGETHER).step_by(SENDERS) {
                    line.post(&message(door, keys, number));
                }
            });
        }
    });
    let taken = began.elapsed().as_secs_f64();
    let last = (ALONE..ALONE + TOGETHER).map(|number| target.seen(number)).max().unwrap_or(began);
    (taken, TOGETHER as f64 / last.duration_since(began).as_secs_f64())
}

fn message(door: &Door, keys: &[String], number: usize) -> String {
    door.request(&message::body(&format!("04l5i{number:010}"), &keys[number], number as u64))
}

/// Cases that no message tells of yet; the Subject is the number.
fn cases(org: &org::Running) -> Vec<String> {
    let agent = org.handle.agent_user();
    let rows: Vec<Value> =
        (0..ALONE + TOGETHER).map(|number| json!({"Subject": number.to_string(), "Priority": "High"})).collect();
    rows.chunks(200).flat_map(|rows| org.handle.create_many("Case", rows, &agent).expect("the org takes them")).collect()
}
