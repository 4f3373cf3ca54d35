//! The main job: there, back, and nothing more than that.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Settings, World, until, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_crosses_and_an_edit_comes_back() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump stops", "Description": "E-17", "Priority": "High"}));
    let issue = world.issue_with("Pump stops").await;
    assert_eq!(world.issue_field(&issue, "description"), "E-17");
    assert_eq!(world.issue_field(&issue, "priority"), "High");
    world.tracker.handle.edit(&issue, &json!({"summary": "Pump stops: valve"}));
    until("the edit in the org", || world.case_field(&case, "Subject") == "Pump stops: valve").await;
    world.edit_case(&case, json!({"Status": "Working"}));
    until("the status in the tracker", || world.issue_field(&issue, "status") == "Working").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    let twin = world.public.twin_of(&case).await.expect("a twin");
    assert_eq!(twin["status"], "in_sync", "{twin}");
    assert_eq!(twin["remote"]["key"], issue);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_becomes_a_case_with_its_constants() {
    let world = World::start().await;
    let key = world.tracker.handle.create(&json!({"summary": "Printer on fire", "description": "smoke", "status": "open"}));
    let case = world.case_with("Printer on fire").await;
    assert_eq!(world.case_field(&case, "Description"), "smoke");
    assert_eq!(world.case_field(&case, "Origin"), "Web");
    assert_eq!(world.case_field(&case, "Status"), "New");
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    assert_eq!(world.issue_field(&key, "status"), "open", "what the create made there does not come back as an edit");
    let twin = world.private.twin_of(&key).await.expect("a twin");
    assert_eq!(twin["status"], "in_sync", "{twin}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_writes_nothing() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Echo"}));
    let issue = world.issue_with("Echo").await;
    world.quiet().await;
    let (writes, cases) = (world.tracker.handle.log().len(), world.case_field(&case, "SystemModstamp"));
    world.tracker.handle.edit(&issue, &json!({"summary": "Echo"}));
    world.edit_case(&case, json!({"Type": "Electrical"}));
    world.quiet().await;
    assert_eq!(world.tracker.handle.log().len(), writes);
    assert!(world.case_field(&case, "SystemModstamp").as_str() >= cases.as_str());
    assert_eq!(world.case_field(&case, "Subject"), "Echo");
    world.stop().await;
}

/// Waits without a pause worth measuring; says how long it took.
async fn seen(what: &str, shows: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !shows() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_cross_in_well_under_a_second() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Warm"}));
    let issue = world.issue_with("Warm").await;
    world.quiet().await;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 0..15 {
        let (subject, text) = (format!("there {n}"), format!("back {n}"));
        world.edit_case(&case, json!({"Subject": subject}));
        there.push(seen("the edit there", || world.issue_field(&issue, "summary") == subject.as_str()).await);
        world.tracker.handle.edit(&issue, &json!({"description": text}));
        back.push(seen("the edit back", || world.case_field(&case, "Description") == text.as_str()).await);
    }
    for (way, times) in [("to the tracker", &mut there), ("to the org", &mut back)] {
        times.sort_unstable();
        let (p50, p95) = (times[times.len() / 2], times[times.len() * 95 / 100]);
        println!("{way}: p50 {p50:?}, p95 {p95:?}");
        assert!(p50 < Duration::from_secs(2), "{way}: {times:?}");
    }
    let health = world.public.get(&format!("/connections/{}", world.connection)).await["health"].clone();
    println!("{}", health["latency_ms"]);
    assert!(health["latency_ms"]["p50"].is_number() && health["latency_ms"]["p95"].is_number(), "{health}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoes_cost_no_write_whoever_sends_them() {
    let mut settings = Settings::default();
    settings.tracker.echo = true;
    let world = World::with(settings).await;
    world.org.handle.permit_sending(&world.org.handle.integration_user(), true);
    let case = world.new_case(json!({"Subject": "Echo 0"}));
    let issue = world.issue_with("Echo 0").await;
    world.quiet().await;
    let (writes, updates) = (world.tracker.handle.log().len(), world.org.handle.calls().get("composite").copied());
    for n in 1..=5 {
        world.edit_case(&case, json!({"Subject": format!("Echo {n}")}));
        until("the edit", || world.issue_field(&issue, "summary") == format!("Echo {n}")).await;
        world.quiet().await;
    }
    assert_eq!(world.tracker.handle.log().len() - writes, 5, "one write for each edit");
    assert_eq!(world.org.handle.calls().get("composite").copied(), updates, "and none comes back");
    let (writes, before) = (world.tracker.handle.log().len(), org_writes(&world));
    for n in 1..=5 {
        world.tracker.handle.edit(&issue, &json!({"description": format!("Echo {n}")}));
        until("the edit", || world.case_field(&case, "Description") == format!("Echo {n}")).await;
        world.quiet().await;
    }
    assert_eq!(world.tracker.handle.log().len(), writes, "none comes back here either");
    assert_eq!(org_writes(&world) - before, 5, "one write for each edit");
    // The integration user's own edits do sync: content decides, not the user.
    let integration = world.org.handle.integration_user();
    world.org.handle.update(&case, &json!({"Subject": "By the robot"}), &integration).expect("the org takes it");
    until("the robot's edit", || world.issue_field(&issue, "summary") == "By the robot").await;
    world.stop().await;
}

fn org_writes(world: &World) -> u64 {
    let calls = world.org.handle.calls();
    ["composite", "collections_write", "record_write", "batch"].iter().filter_map(|kind| calls.get(*kind)).sum()
}

/// Both sides edit the same field without having heard of each other; `pause` lies between the two edits.
async fn both_edit(prefer: &str, tracker_first: bool, pause: Duration) -> (World, String, String) {
    let world = World::with(Settings { connection: json!({"prefer": prefer}), ..Settings::default() }).await;
    let case = world.new_case(json!({"Subject": "Start", "Description": "same", "Priority": "Low"}));
    let issue = world.issue_with("Start").await;
    world.quiet().await;
    let path = format!("/connections/{}", world.connection);
    world.private.post(&format!("{path}/deactivate"), json!({})).await;
    until_said("the switch", || async { world.public.get(&path).await["remote"]["state"] == "deactivated" }).await;
    let org = || world.edit_case(&case, json!({"Subject": "From the org", "Priority": "High"}));
    let tracker = || world.tracker.handle.edit(&issue, &json!({"summary": "From the tracker", "description": "only there"}));
    if tracker_first {
        assert!(tracker())
    } else {
        org()
    }
    until("the first to be told", || world.org.handle.deliveries().is_empty() && world.tracker.handle.hooks_waiting() == 0).await;
    tokio::time::sleep(pause).await;
    if tracker_first {
        org()
    } else {
        assert!(tracker())
    }
    until("both to be told", || world.org.handle.deliveries().is_empty() && world.tracker.handle.hooks_waiting() == 0).await;
    until_said("both to wait", || async {
        world.public.get("/queue").await["items"][0]["outbox"] == 1
            && world.private.get("/queue").await["items"][0]["outbox"] == 1
    })
    .await;
    world.private.post(&format!("{path}/activate"), json!({})).await;
    until("the field that nobody else edited", || world.case_field(&case, "Description") == "only there").await;
    until("the other one", || world.issue_field(&issue, "priority") == "High").await;
    world.quiet().await;
    (world, case, issue)
}

async fn won(world: &World, case: &str, issue: &str, winner: &str, loser: &str) {
    until("the winner in the tracker", || world.issue_field(issue, "summary") == winner).await;
    until("the winner in the org", || world.case_field(case, "Subject") == winner).await;
    world.quiet().await;
    assert_eq!((world.issue_field(issue, "summary"), world.case_field(case, "Subject")), (json!(winner), json!(winner)));
    // The loser stays in the history of the node that decided.
    let twin = world.public.twin_of(case).await.expect("a twin");
    assert_eq!((twin["status"].as_str(), &twin["error"]), (Some("in_sync"), &Value::Null));
    let history = world.public.get(&format!("/twins/{}/history", twin["id"].as_str().expect("an id"))).await;
    let changes = history["items"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|line| line["changes"].as_array().cloned().unwrap_or_default());
    let lost: Vec<Value> = changes.filter(|change| change["conflict"] == true && change["from"] == loser).collect();
    assert!(!lost.is_empty(), "{history}");
    let other = world.private.twin_of(issue).await.expect("a twin");
    assert_eq!(other["status"], "in_sync", "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_settled_by_field_and_the_preferred_wins_at_the_same_time() {
    let (world, case, issue) = both_edit("local", false, Duration::ZERO).await;
    won(&world, &case, &issue, "From the org", "From the tracker").await;
    world.stop().await;
    let (world, case, issue) = both_edit("remote", false, Duration::ZERO).await;
    won(&world, &case, &issue, "From the tracker", "From the org").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_edit_of_a_field_wins_whatever_is_preferred() {
    let apart = Duration::from_millis(3_200);
    let (one, two) = tokio::join!(both_edit("local", false, apart), both_edit("remote", true, apart));
    let (world, case, issue) = one;
    won(&world, &case, &issue, "From the tracker", "From the org").await;
    world.stop().await;
    let (world, case, issue) = two;
    won(&world, &case, &issue, "From the org", "From the tracker").await;
    world.stop().await;
}
