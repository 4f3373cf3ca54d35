//! How long a Case takes from the outbound message to the target's request, and how many cross in a second: both nodes
//! on one core, the org, the target and the sender on the other. Prints numbers, asserts nothing.
//!
//! `cargo bench --bench chain`; first with the built-in pair, then with rules of twenty lines on both sides. The way: SOAP
//! POST, store, read from the org, outgoing rule, store, link, store, incoming rule, store, request. Every Case is new, so
//! every request is a create.

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
    node::{Node, folder, pin_load},
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
/// What people write: a look-up, a choice, a list, a date.
const OUTGOING: &str = r"
const priorities = { High: 1, Medium: 2, Low: 3 };
const states = { New: 'Open', Working: 'In Progress', Escalated: 'In Progress', Closed: 'Done' };
if (entity.Origin === 'Email') return skip('mails stay here');
replica.key = entity.Id;
replica.number = entity.CaseNumber;
replica.summary = entity.Subject.trim();
replica.description = (entity.Description ?? '').trim();
replica.status = states[entity.Status] ?? 'Open';
replica.priority = priorities[entity.Priority] ?? 3;
replica.labels = [];
if (entity.IsEscalated) replica.labels.push('escalated');
for (const name of ['Reason', 'Type']) {
  if (entity[name]) replica.labels.push(`${name.toLowerCase()}:${entity[name]}`);
}
replica.contact = { name: entity.SuppliedName, email: entity.SuppliedEmail?.toLowerCase() };
replica.created = nodeHelper.toDate(entity.CreatedDate);
replica.closed = entity.Status === 'Closed';
if (previous && previous.status !== replica.status) log.info('status', previous.status, '→', replica.status);
replica.lines = replica.description.split('\n').length;
replica.source = connection.localShortName;
";
const INCOMING: &str = r"
const states = { Open: 'new', 'In Progress': 'doing', Done: 'done' };
if (replica.deleted) {
  log.info('gone there');
  return;
}
if (firstSync) {
  entity.entityType = 'issue';
  entity.origin = connection.remoteShortName;
}
entity.summary = nodeHelper.fit(replica.summary, 255);
entity.description = nodeHelper.stripHtml(replica.description);
entity.status = states[replica.status] ?? 'new';
entity.priority = ['P1', 'P2', 'P3'][replica.priority - 1];
entity.labels = (replica.labels ?? []).map((one) => one.trim()).filter(Boolean);
entity.reporter = replica.contact?.email ?? null;
entity.created = nodeHelper.toDate(replica.created)?.toISOString().slice(0, 10) ?? null;
if (replica.changed.includes('status')) entity.statusChanged = true;
entity.closed = replica.closed === true;
entity.remoteKey = replica.key;
log.debug('from', connection.remoteShortName);
";

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
            line.post(&message(&door, &keys[number], number));
            let took = target.seen(number).duration_since(began);
            // What remains of it (the answer's way home) shall not be counted as the next one's.
            std::thread::sleep(QUIET);
            took
        })
        .collect();
    took.sort();
    let at = |share: usize| took[ALONE * share / 100].as_secs_f64() * 1e3;
    println!("SOAP POST to the target's request, one at a time: p50 {:.1} ms, p95 {:.1} ms (p50 under 5 ms)", at(50), at(95));

    let nodes = (&public, &private, &door);
    measured("built-in rules", nodes, &keys[ALONE..ALONE + TOGETHER], ALONE, &target);
    runtime.block_on(scripted(&public, &private));
    measured("rules of 20 lines", nodes, &keys[ALONE + TOGETHER..], ALONE + TOGETHER, &target);
    runtime.block_on(org.stop());
}

/// Sends Cases with many senders and prints how fast they crossed, and what each node's processes took for it.
fn measured(rules: &str, (public, private, door): (&Node, &Node, &Door), keys: &[String], first: usize, target: &Target) {
    let (((taken, rate), there), here) =
        public.server.busy(|| private.server.busy(|| together(public.address, door, (keys, first), target)));
    println!("{rules}: {TOGETHER} Cases, acknowledged within {taken:.1} s: {rate:.0} events/s at the target (at least 1,000)");
    let [here, there] = [here, there].map(|micros| micros / TOGETHER as f64);
    println!("core of each, its workers included: {here:.0} us on the public node, {there:.0} us on the private one");
}

/// Both sides in script mode.
async fn scripted(public: &Node, private: &Node) {
    let builtin = |node| async move { api_rules(node).await["published"].clone() };
    let (ours, theirs) = (builtin(public).await, builtin(private).await);
    for (node, outgoing, incoming) in [
        (public, OUTGOING, ours["incoming"].as_str().expect("a rule")),
        (private, theirs["outgoing"].as_str().expect("a rule"), INCOMING),
    ] {
        let path = connection_path(node).await;
        node.api("PATCH", &path, Some(json!({"mode": "script"}))).await;
        let body = json!({"outgoing": outgoing, "incoming": incoming, "base": 0});
        node.api("POST", &format!("{path}/rules/publish"), Some(body)).await;
    }
}

async fn connection_path(node: &Node) -> String {
    let listed = node.api("GET", "/connections", None).await;
    format!("/connections/{}", listed["items"][0]["id"].as_str().expect("an id"))
}

async fn api_rules(node: &Node) -> Value {
    node.api("GET", &format!("{}/rules", connection_path(node).await), None).await
}

/// Many senders at once: within how many seconds all was acknowledged, and how many events a second reached the target.
fn together(address: SocketAddr, door: &Door, (keys, first): (&[String], usize), target: &Target) -> (f64, f64) {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let mut line = Line::open(address);
                for at in (sender..TOGETHER).step_by(SENDERS) {
                    line.post(&message(door, &keys[at], first + at));
                }
            });
        }
    });
    let taken = began.elapsed().as_secs_f64();
    let last = (first..first + TOGETHER).map(|number| target.seen(number)).max().unwrap_or(began);
    (taken, TOGETHER as f64 / last.duration_since(began).as_secs_f64())
}

fn message(door: &Door, key: &str, number: usize) -> String {
    door.request(&message::body(&format!("04l5i{number:010}"), key, number as u64))
}

/// Cases that no message tells of yet; the Subject is the number.
fn cases(org: &org::Running) -> Vec<String> {
    let agent = org.handle.agent_user();
    let rows: Vec<Value> =
        (0..ALONE + 2 * TOGETHER).map(|number| json!({"Subject": number.to_string(), "Priority": "High"})).collect();
    rows.chunks(200).flat_map(|rows| org.handle.create_many("Case", rows, &agent).expect("the org takes them")).collect()
}
