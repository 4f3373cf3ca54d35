//! What a rule costs: 20 lines outgoing and 20 lines incoming, each through the pipe to a worker process and back. Prints
//! numbers, asserts nothing.
//!
//! `cargo bench --bench rules`. Beside the runs: rules of many connections taking turns, a worker's memory, and how soon
//! somebody is served again after a rule that had to be killed.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wicketgate::{
    domain::{
        ask::Nobody,
        connection::Mode,
        rule::{ConnectionView, Described, EntityView, RuleEngine as _, RuleInput},
    },
    rules::{Pool, PoolSettings},
};

const RUNS: usize = 5_000;
const CONNECTIONS: usize = 20;

const OUTGOING: &str = r"
const priorities = { High: 1, Medium: 2, Low: 3 };
const states = { New: 'Open', Working: 'In Progress', Escalated: 'In Progress', Closed: 'Done' };
if (entity.Origin === 'Internal') return skip('internal cases stay here');
replica.key = entity.Id;
replica.number = entity.CaseNumber;
replica.summary = `[${entity.CaseNumber}] ${entity.Subject}`;
replica.description = (entity.Description ?? '').trim();
replica.status = states[entity.Status] ?? 'Open';
replica.priority = priorities[entity.Priority] ?? 3;
replica.labels = [];
if (entity.IsEscalated) replica.labels.push('escalated');
for (const name of ['Product__c', 'Region__c']) {
  if (entity[name]) replica.labels.push(`${name.replace('__c', '').toLowerCase()}:${entity[name]}`);
}
replica.contact = { name: entity.ContactName, email: entity.ContactEmail?.toLowerCase() };
replica.due = entity.Due__c ? new Date(entity.Due__c) : null;
replica.closed = entity.Status === 'Closed';
if (previous && previous.status !== replica.status) log.info('status', previous.status, '→', replica.status);
replica.lines = replica.description.split('\n').length;
replica.source = connection.localShortName;
";

const INCOMING: &str = r"
const states = { Open: 'New', 'In Progress': 'Working', Done: 'Closed' };
if (replica.deleted) {
  log.info('gone there');
  return;
}
if (firstSync) {
  entity.entityType = 'Case';
  if (nodeHelper.isListed('Origin', 'Web')) entity.Origin = 'Web';
}
entity.Subject = replica.summary?.slice(0, 255);
entity.Description = replica.description ?? null;
entity.Status = states[replica.status] ?? 'New';
entity.Priority = ['High', 'Medium', 'Low'][replica.priority - 1];
entity.Labels__c = (replica.labels ?? []).map((one) => one.trim()).filter(Boolean).join(';');
entity.Contact_Email__c = replica.contact?.email ?? null;
entity.Due__c = replica.due ?? null;
if (replica.changed.includes('status')) entity.Status_Changed__c = true;
if (replica.closed && !previous?.closed) entity.Closed_There__c = true;
entity.Key_There__c = replica.key;
log.debug('from', connection.remoteShortName);
";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    // As in a node: on a thread of the runtime, beside its pipes.
    runtime.block_on(runtime.spawn(all())).expect("ends well");
}

async fn all() {
    let pool = pool();
    pool.run("", &input("outgoing", "1"), &Nobody).await.expect("runs");
    tell_memory("one run");
    for (name, source, limit) in [("outgoing", OUTGOING, "150 µs, 0.5 ms"), ("incoming", INCOMING, "150 µs, 0.5 ms")] {
        let inputs = [input(name, "1")];
        let mut took = runs(&pool, source, &inputs, RUNS).await;
        took.sort();
        let at = |share: usize| took[RUNS * share / 1000].as_secs_f64() * 1e6;
        println!("{name}, one at a time: p50 {:.0} µs, p99 {:.0} µs (p50 at most {limit} p99)", at(500), at(990));
    }
    let many: Vec<RuleInput> = (0..CONNECTIONS).map(|number| input("outgoing", &number.to_string())).collect();
    let mut took = runs(&pool, OUTGOING, &many, RUNS).await;
    took.sort();
    println!("{CONNECTIONS} connections in turn, one worker: p50 {:.0} µs", took[RUNS / 2].as_secs_f64() * 1e6);
    tell_memory(&format!("{CONNECTIONS} connections"));
    after_a_kill(&pool).await;
}

/// Pages of the program's and the libraries' files are the node's own, too: they are in memory once.
fn tell_memory(after: &str) {
    for worker in workers() {
        let [all, files] = ["VmRSS:", "RssFile:"].map(|name| megabytes(worker, name));
        println!("a worker after {after}: {all:.1} MB resident (at most 12), {files:.1} MB of them pages of files");
    }
}

/// A rule that only a kill ends, and how long the next one waits after it.
async fn after_a_kill(pool: &Pool) {
    let input = input("outgoing", "1");
    let ended = pool.run("new Array(1e9) + ''", &input, &Nobody).await;
    let began = Instant::now();
    pool.run(OUTGOING, &input, &Nobody).await.expect("runs");
    println!("after a kill ({}): {:.1} ms (at most 20)", ended.is_err(), began.elapsed().as_secs_f64() * 1e3);
}

async fn runs(pool: &Pool, source: &str, inputs: &[RuleInput], count: usize) -> Vec<Duration> {
    for input in inputs.iter().cycle().take(200) {
        pool.run(source, input, &Nobody).await.expect("runs");
    }
    let mut took = Vec::with_capacity(count);
    for input in inputs.iter().cycle().take(count) {
        let began = Instant::now();
        pool.run(source, input, &Nobody).await.expect("runs");
        took.push(began.elapsed());
    }
    took
}

fn pool() -> Pool {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_wicketgate"));
    Pool::new(PoolSettings { program, args: vec!["rule-worker".into()], workers: 1, wall: Duration::from_millis(500) })
}

fn input(direction: &str, id: &str) -> RuleInput {
    let connection = ConnectionView {
        id: id.to_owned(),
        name: "support_to_helpdesk".to_owned(),
        mode: Mode::Script,
        local_short_name: "support".to_owned(),
        remote_short_name: "helpdesk".to_owned(),
    };
    let case = json!({"Id": "5005g00000ABCDEAA2", "CaseNumber": "00001026", "Subject": "The printer on floor 3 is on fire",
        "Description": "It began on Monday.\nThen it got worse.\n".repeat(10), "Status": "Working", "Priority": "High", "Origin": "Web",
        "IsEscalated": true, "Product__c": "Printer", "Region__c": null, "ContactName": "Ada", "ContactEmail": "Ada@acme.example",
        "Due__c": "2026-12-01T00:00:00.000Z", "OwnerId": "0055g00000ABCDEAA2", "AccountId": null, "IsClosed": false});
    let replica = json!({"key": "HD-1026", "summary": "[00001026] The printer on floor 3 is on fire",
        "description": "It began on Monday.\nThen it got worse.\n".repeat(10), "status": "In Progress", "priority": 1,
        "labels": ["escalated", "product:Printer"], "contact": {"name": "Ada", "email": "ada@acme.example"},
        "due": "2026-12-01T00:00:00.000Z", "closed": false});
    let fields = |value: Value| value.as_object().expect("an object").clone();
    let (entity_type, key) = ("Case".to_owned(), "5005g00000ABCDEAA2".to_owned());
    let entity = EntityView { entity_type, key, fields: fields(case), ..EntityView::default() };
    let described = described();
    if direction == "outgoing" {
        RuleInput::Outgoing {
            entity,
            previous: Some(fields(replica)),
            changed: vec!["Subject".to_owned()],
            first_sync: false,
            connection,
            described,
        }
    } else {
        let (previous, listed) = (Some(fields(json!({"summary": "before"}))), picklists());
        let replica = fields(replica);
        RuleInput::Incoming { entity, replica, previous, first_sync: false, deleted: false, connection, listed, described }
    }
}

/// As many as a Case of a grown org has.
fn picklists() -> std::collections::BTreeMap<String, Vec<String>> {
    (0..20)
        .map(|field| (format!("Picklist_{field}__c"), (0..30).map(|value| format!("Value number {value}")).collect()))
        .collect()
}

/// As many fields as such a Case has, those of the rule among them.
fn described() -> Described {
    let known = [
        "Id",
        "CaseNumber",
        "Subject",
        "Description",
        "Status",
        "Priority",
        "Origin",
        "IsEscalated",
        "Product__c",
        "Region__c",
        "ContactName",
        "ContactEmail",
        "Due__c",
        "Labels__c",
        "Contact_Email__c",
        "Status_Changed__c",
        "Closed_There__c",
        "Key_There__c",
    ];
    let more = (0..150).map(|number| format!("Field_number_{number}__c"));
    Described::from([("Case".to_owned(), more.chain(known.map(str::to_owned)).collect())])
}

/// Processes that this program started.
fn workers() -> Vec<u32> {
    let me = std::process::id().to_string();
    let processes =
        std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).is_some_and(|parent| parent == me)
    };
    processes.filter(ours).collect()
}

fn megabytes(process: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}
