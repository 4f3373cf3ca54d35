//! What the main job costs in calls. Counts, so they carry no noise of the machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock, ManualClock, SystemClock},
    domain::{
        change::{NewChange, Source},
        ids::CorrelationId,
    },
    secret::Sealer,
    store::{Store, keyfile},
};

use crate::support::{Settings, TOKEN, TestNode, World, http};

const BACKLOG: usize = 1_000;
const READS: [&str; 8] = ["retrieve", "query", "query_all", "query_more", "record_read", "updated", "deleted", "batch"];
const WRITES: [&str; 3] = ["composite", "collections_write", "record_write"];

/// Calls so far, of these kinds.
fn calls(world: &World, kinds: &[&str]) -> u64 {
    let counted: BTreeMap<String, u64> = world.org.handle.calls();
    kinds.iter().filter_map(|kind| counted.get(*kind)).sum()
}

/// Exchanges that the public node has answered.
async fn exchanges(node: &TestNode) -> u64 {
    let answer = http().get(format!("{}/metrics", node.url)).bearer_auth(TOKEN).send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    let line = text.lines().find(|line| line.starts_with("wicketgate_link_requests_total "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a count")
}

/// Leaves notices in the store of a node that is stopped, as if it had been killed after it acknowledged them.
async fn leave_changes(node: &TestNode, tracker: &str, entity_type: &str, keys: &[String]) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = keyfile::load_or_create(&node.dir, clock.as_ref()).expect("the key");
    let store =
        Store::open("sqlite:wicketgate.db", &node.dir, Arc::new(Sealer::new(&[key])), clock.clone()).await.expect("opens");
    let changes = keys.iter().map(|key| NewChange {
        tracker: tracker.to_owned(),
        entity_type: entity_type.to_owned(),
        key: key.clone(),
        source: Source::OutboundMessage,
        notice_id: None,
        connection: None,
        content: None,
        received_at: clock.now(),
        due_at: clock.now(),
        correlation: CorrelationId(clock.id()),
    });
    store.add_changes(changes.collect()).await.expect("stored");
    store.close().await;
}

/// Waits with the patience that a thousand records need on a busy machine.
async fn until(what: &str, seen: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !seen().await {
        assert!(begun.elapsed() < Duration::from_secs(240), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing waits on either node.
async fn quiet(world: &World) {
    let empty = async |node: &TestNode| {
        node.get("/status").await["waiting"] == 0
            && node.get("/queue").await["trackers"]
                .as_array()
                .is_none_or(|trackers| trackers.iter().all(|one| one["changes"] == 0))
    };
    until("quiet", async || {
        for _ in 0..5 {
            if !(empty(&world.public).await && empty(&world.private).await) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    })
    .await;
}

fn cases(world: &World, word: &str) -> Vec<String> {
    let agent = world.org.handle.agent_user();
    let rows: Vec<Value> = (0..BACKLOG).map(|n| json!({"Subject": format!("{word} {n}")})).collect();
    rows.chunks(200).flat_map(|rows| world.org.handle.create_many("Case", rows, &agent).expect("the org takes them")).collect()
}

/// Changed Cases that wait on one node, their events that wait for the other, and the edits that come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_costs_few_reads_few_link_requests_and_few_writes() {
    let mut world = World::start().await;
    world.private.stop().await;
    world.public.stop().await;
    world.org.handle.remove_outbound_messages("Case");
    world.tracker.handle.set_hook(None);
    let keys = cases(&world, "Backlog");
    leave_changes(&world.public, "support", "Case", &keys).await;
    let before = (calls(&world, &READS), calls(&world, &WRITES));
    world.public.start().await;
    until("the events", async || world.public.get("/status").await["waiting"] == BACKLOG).await;
    let (reads, writes) = (calls(&world, &READS) - before.0, calls(&world, &WRITES) - before.1);
    assert!(reads <= 6, "{reads} reads: {:?}", world.org.handle.calls());
    assert_eq!(writes, 0);

    let before = exchanges(&world.public).await;
    world.private.start().await;
    until("all of them in the tracker", async || world.tracker.handle.count() == BACKLOG).await;
    quiet(&world).await;
    let exchanged = exchanges(&world.public).await - before;
    assert!(exchanged <= 12, "{exchanged} link requests");

    world.public.stop().await;
    let issues: Vec<String> = world.tracker.handle.all().into_iter().map(|issue| issue.key).collect();
    for issue in &issues {
        world.tracker.handle.edit(issue, &json!({"description": "edited"}));
    }
    world.private.stop().await;
    leave_changes(&world.private, "helpdesk", "issue", &issues).await;
    world.private.start().await;
    until("the edits on their way", async || world.private.get("/status").await["waiting"] == BACKLOG).await;
    let before = (calls(&world, &READS), calls(&world, &WRITES));
    world.public.start().await;
    let edited = || world.org.handle.all("Case").iter().filter(|case| case["Description"] == "edited").count();
    until("all edits in the org", async || edited() == BACKLOG).await;
    quiet(&world).await;
    let (reads, writes) = (calls(&world, &READS) - before.0, calls(&world, &WRITES) - before.1);
    assert!(reads <= 6, "{reads} reads: {:?}", world.org.handle.calls());
    assert!(writes <= 6, "{writes} writes: {:?}", world.org.handle.calls());
    world.stop().await;
}

/// The org's message about these Cases as they are.
fn message(world: &World, cases: &[Value]) -> String {
    let notification = |(n, case): (usize, &Value)| {
        let names = ["Id", "Description", "LastModifiedById", "Priority", "Status", "Subject", "SystemModstamp"];
        let fields: String =
            names.iter().filter_map(|name| Some(format!("<sf:{name}>{}</sf:{name}>", case[name].as_str()?))).collect();
        format!("<Notification><Id>04l5i00000{n:05}</Id><sObject xsi:type=\"sf:Case\">{fields}</sObject></Notification>")
    };
    let notifications: String = cases.iter().enumerate().map(notification).collect();
    format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\"><s:Body>\
         <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\"><OrganizationId>{}</OrganizationId>\
         <ActionId>04k5i000000TmAb</ActionId><SessionId xsi:nil=\"true\"/><EnterpriseUrl>https://org.example</EnterpriseUrl>\
         <PartnerUrl>https://org.example</PartnerUrl>{notifications}</notifications></s:Body></s:Envelope>",
        world.org.handle.org_id()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoes_cost_no_call() {
    const ISSUES: usize = 50;
    let world = World::start().await;
    for n in 0..ISSUES {
        world.tracker.handle.create(&json!({"summary": format!("Issue {n}"), "status": "open"}));
    }
    until("all of them in the org", async || world.org.handle.count("Case") == ISSUES).await;
    until("the hooks", async || world.tracker.handle.hooks_waiting() == 0).await;
    quiet(&world).await;
    let before = world.org.handle.calls();
    let door = world.public.get("/trackers/support").await["outbound_message_url"].as_str().expect("a door").to_owned();
    let echo = message(&world, &world.org.handle.all("Case"));
    let answer = http().post(door).body(echo).send().await.expect("an answer");
    assert!(answer.text().await.expect("a body").contains("<Ack>true</Ack>"));
    quiet(&world).await;
    assert_eq!(world.org.handle.calls(), before, "messages of what we wrote ourselves are known");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_hour_costs_few_link_requests() {
    let now = SystemClock.now();
    let (here, there) = (ManualClock::new(now), ManualClock::new(now));
    let settings =
        Settings { public_clock: Arc::new(here.clone()), private_clock: Arc::new(there.clone()), ..Settings::default() };
    let world = World::with(settings).await;
    let (before, end) = (exchanges(&world.public).await, here.now().plus(Duration::from_secs(3600)));
    let advance = |seconds: u64| {
        here.advance(Duration::from_secs(seconds));
        there.advance(Duration::from_secs(seconds));
    };
    while here.now() < end {
        let so_far = exchanges(&world.public).await;
        advance(50);
        // The exchange may have been held only after the hands moved: they go on until it is answered.
        while exchanges(&world.public).await == so_far {
            advance(1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let exchanged = exchanges(&world.public).await - before;
    assert!((50..=80).contains(&exchanged), "{exchanged} link requests");
    world.stop().await;
}
