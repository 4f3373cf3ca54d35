//! How long a bulk run of 10,000 Cases takes and what it costs in calls, and how long a single edit takes meanwhile: both
//! nodes on one core, the org and the target on the other. Prints numbers, asserts nothing.
//!
//! `cargo bench --bench bulk`.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stage::{Line, Target, nodes};
use support::{
    message,
    node::{Node, folder, pin_load},
};
use wicketgate::{
    clock::SystemClock,
    sandbox::org::{self, Org, OrgSettings},
};

const MANY: usize = 10_000;
/// Cases that are under sync before the run, and edited during it.
const EDITED: usize = 50;
/// Between two single edits.
const PAUSE: Duration = Duration::from_millis(100);
const READS: [&str; 8] = ["retrieve", "query", "query_all", "query_more", "record_read", "updated", "deleted", "batch"];

fn main() {
    pin_load();
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let target = Target::default();
    let address = runtime.block_on(target.listen());
    let settings = OrgSettings { daily_limit: 1_000_000, ..OrgSettings::default() };
    let org = runtime.block_on(Org::start(settings, Arc::new(SystemClock))).expect("the org");
    let agent = org.handle.agent_user();
    let rows: Vec<Value> = (0..MANY).map(|number| json!({"Subject": number.to_string(), "Priority": "High"})).collect();
    let keys: Vec<String> =
        rows.chunks(200).flat_map(|rows| org.handle.create_many("Case", rows, &agent).expect("the org takes them")).collect();
    let (public, private, door) = runtime.block_on(nodes(folder.path(), &org, address));
    let mut line = Line::open(public.address);
    for (number, key) in keys.iter().enumerate().take(EDITED) {
        line.post(&door.request(&message::body(&format!("04l5i{number:010}"), key, number as u64)));
        target.seen(number);
    }
    let calls =
        || org.handle.calls().iter().filter(|(kind, _)| READS.contains(&kind.as_str())).map(|(_, calls)| calls).sum::<u64>();
    let before = calls();
    let ((run, there), here) = public.server.busy(|| {
        private.server.busy(|| {
            let began = Instant::now();
            let job = runtime.block_on(start(&public));
            let (mut took, mut number) = (Vec::new(), MANY);
            while !runtime.block_on(ended(&public, &job)) {
                let key = &keys[number % EDITED];
                org.handle.update(key, &json!({"Subject": number.to_string()}), &agent).expect("edited");
                let asked = Instant::now();
                line.post(&door.request(&edit(&org, key, number)));
                took.push(target.seen(number).duration_since(asked));
                number += 1;
                std::thread::sleep(PAUSE);
            }
            let last = (0..MANY).map(|number| target.seen(number)).max().unwrap_or(began);
            took.sort();
            Run { took, seconds: last.duration_since(began).as_secs_f64() }
        })
    });
    let at = |share: usize| run.took.get(run.took.len() * share / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    println!("{MANY} Cases by a trigger's run: {:.1} s until the last was at the target (under 60)", run.seconds);
    let edits = run.took.len() as u64;
    println!("calls that read: {}, {edits} of them for the single edits (at most 60 for the run)", calls() - before);
    println!("{edits} single edits meanwhile: p50 {:.1} ms, p95 {:.1} ms (p95 under 50)", at(50), at(95));
    let [here, there] = [here, there].map(|micros| micros / MANY as f64);
    println!("core of each: {here:.0} us a Case on the public node, {there:.0} us on the private one (rules not counted)");
    runtime.block_on(org.stop());
}

/// What was measured.
struct Run {
    took: Vec<Duration>,
    seconds: f64,
}

/// The message of an edit, with the stamp that the record has now.
fn edit(org: &org::Running, key: &str, number: usize) -> String {
    let stamp = org.handle.get(key).expect("the Case")["SystemModstamp"].as_str().expect("a stamp").replace("+0000", "Z");
    message::body(&format!("04l5i{number:010}"), key, number as u64).replace("2026-11-23T02:41:07.000Z", &stamp)
}

/// Starts the run of the trigger for every Case.
async fn start(node: &Node) -> Value {
    let connection = node.api("GET", "/connections", None).await["items"][0]["id"].clone();
    let path = format!("/connections/{}/triggers", connection.as_str().expect("an id"));
    let trigger = node.api("GET", &path, None).await["items"][0]["id"].clone();
    node.api("POST", &format!("{path}/{}/run", trigger.as_str().expect("an id")), None).await
}

async fn ended(node: &Node, job: &Value) -> bool {
    node.api("GET", &format!("/jobs/{}", job["id"].as_str().expect("an id")), None).await["status"] == "done"
}
