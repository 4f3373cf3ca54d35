//! Twins in bulk: linked from a file, written out as one, stopped by filter.

use serde_json::{Value, json};

use crate::support::{Settings, TestNode, World, pair::text, until, until_said};

/// Records on both sides that nobody syncs yet.
async fn unlinked(many: usize) -> (World, Vec<(String, String)>) {
    let world = World::with(Settings::default()).await;
    for node in [&world.public, &world.private] {
        let path = format!("/connections/{}/triggers", world.connection);
        let id = text(&node.get(&path).await["items"][0]["id"]);
        node.patch(&format!("{path}/{id}"), json!({"enabled": false})).await;
    }
    world.private.patch(&format!("/connections/{}", world.connection), json!({"links": "accept"})).await;
    let pair = |n: usize| {
        let case = world.new_case(json!({"Subject": format!("Case {n}")}));
        (case, world.tracker.handle.create(&json!({"summary": format!("Issue {n}")})))
    };
    let pairs = (0..many).map(pair).collect();
    world.quiet().await;
    (world, pairs)
}

fn file(pairs: &[(String, String)]) -> String {
    let line = |(case, issue): &(String, String)| format!("Case,{case},issue,{issue}\n");
    format!("local_type,local_key,remote_type,remote_key\n{}", pairs.iter().map(line).collect::<String>())
}

async fn link(world: &World, query: &str, text: &str) -> Value {
    world.public.call_csv(&format!("/connections/{}/twins/link{query}", world.connection), text.to_owned()).await.good()
}

fn counts(report: &Value) -> [u64; 4] {
    ["linked", "already_linked", "skipped", "refused"].map(|name| report[name].as_u64().expect("a count"))
}

async fn twins(node: &TestNode, query: &str) -> usize {
    node.get(&format!("/twins?limit=500{query}")).await["items"].as_array().expect("a list").len()
}

async fn all_in_sync(world: &World, many: usize) {
    for node in [&world.public, &world.private] {
        until_said("all to be linked", || async { twins(node, "&status=in_sync").await == many }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_links_its_good_lines_and_again_changes_nothing() {
    let (world, pairs) = unlinked(5).await;
    let (calls, writes) = (world.org.handle.calls(), world.tracker.handle.log().len());
    let [a, b, c, d, e] = pairs.as_slice() else { panic!("five pairs") };
    let lines = [
        "\u{feff}remote_key,remote_type,local_type,local_key,start\r\n".to_owned(),
        format!("{},issue,Case,{},\r\n", a.1, a.0),
        // A quoted cell, a short key, spaces.
        format!("\"{}\",issue,Case, {} ,none\r\n", b.1, &b.0[..15]),
        "\r\n".to_owned(),
        format!("{},issue,Case,{},send\n", c.1, c.0),
        format!("{},issue,Case,{},\n", d.1, a.0),
        format!("{},issue,Case,{},\n", a.1, d.0),
        format!("{},issue,Case,500000000000000AAA,\n", d.1),
        format!("{},issue,Case,nonsense,\n", d.1),
        format!("{},issue,Nothing,{},\n", d.1, d.0),
        format!("{},issue,Case\n", d.1),
        format!("{}\"x,issue,Case,{},\n", d.1, d.0),
        format!("{},issue,Case,{},now\n", d.1, d.0),
        format!(",issue,Case,{},\n", d.0),
        format!("{},issue,Case,{},", e.1, e.0),
    ];
    let file = lines.concat();
    let preview = link(&world, "?preview=true", &file).await;
    assert_eq!((&preview["preview"], counts(&preview)), (&json!(true), [4, 0, 1, 8]), "{preview:#}");
    let sends: Vec<&Value> = preview["lines"].as_array().expect("lines").iter().filter(|line| !line["sends"].is_null()).collect();
    assert_eq!(sends.len(), 1, "one line sends: {preview:#}");
    assert_eq!(
        (&sends[0]["line"], &sends[0]["sends"]["summary"]),
        (&json!(5), &world.case_field(&c.0, "Subject")),
        "{preview:#}"
    );
    assert_eq!((twins(&world.public, "").await, world.private.get("/twins").await["items"].clone()), (0, json!([])));
    let report = link(&world, "", &file).await;
    let told: Vec<(u64, String, String)> = report["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| {
            (
                line["line"].as_u64().expect("a number"),
                text(&line["result"]),
                line["reason"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let expected = [
        (2, "linked", ""),
        (3, "linked", ""),
        (5, "linked", ""),
        (6, "refused", "line 2 names Case"),
        (7, "refused", "line 2 names issue"),
        (8, "refused", "is not there"),
        (9, "refused", "local_key"),
        (10, "refused", ""),
        (11, "refused", "has 3 cells"),
        (12, "refused", "quote"),
        (13, "refused", "start"),
        (14, "skipped", "names no record"),
        (15, "linked", ""),
    ];
    assert_eq!(told.len(), expected.len(), "{report:#}");
    for ((line, result, reason), (at, wanted, words)) in told.iter().zip(expected) {
        assert!(
            (*line, result.as_str()) == (at, wanted) && reason.contains(words),
            "{line} {result} {reason}: {at} {wanted} {words}"
        );
    }
    let reasons =
        |report: &Value| report["lines"].as_array().expect("lines").iter().map(|line| line["reason"].clone()).collect::<Vec<_>>();
    assert_eq!(reasons(&preview), reasons(&report), "the preview told it");
    until("what was to be sent", || world.issue_field(&c.1, "summary") == "Case 2").await;
    all_in_sync(&world, 4).await;
    assert_eq!(world.issue_field(&a.1, "summary"), "Issue 0", "linking writes nothing");
    assert_eq!(world.tracker.handle.log().len(), writes + 1);
    let reads = |calls: &std::collections::BTreeMap<String, u64>| calls.get("retrieve").copied().unwrap_or(0);
    assert!(reads(&world.org.handle.calls()) <= reads(&calls) + 3, "never a call for a line");
    // Again.
    let history = async |id: &str| world.public.get(&format!("/twins/{id}/history")).await;
    let twin = text(&report["lines"][0]["twin_id"]);
    let before = history(&twin).await;
    let again = link(&world, "", &file).await;
    assert_eq!(counts(&again), [0, 4, 1, 8], "{again:#}");
    world.quiet().await;
    assert_eq!((history(&twin).await, twins(&world.public, "").await), (before, 4));
    // Who is under sync with another.
    let taken = link(&world, "", &file_of(&[(&d.0, &a.1), (&a.0, &d.1)])).await;
    assert_eq!(counts(&taken), [0, 0, 0, 2], "{taken:#}");
    assert!(text(&taken["lines"][0]["reason"]).contains("is under sync with Case"), "{taken:#}");
    // Edits flow from here on.
    world.edit_case(&a.0, json!({"Subject": "An edit"}));
    until("an edit", || world.issue_field(&a.1, "summary") == "An edit").await;
    let audit = world.public.get("/audit").await;
    assert_eq!(audit["items"][0]["action"], "twin.link_many", "{audit}");
    world.stop().await;
}

fn file_of(pairs: &[(&String, &String)]) -> String {
    file(&pairs.iter().map(|(case, issue)| ((*case).clone(), (*issue).clone())).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_such_file_is_refused_whole() {
    let (world, pairs) = unlinked(1).await;
    let path = format!("/connections/{}/twins/link", world.connection);
    let many = "Case,a,issue,b\n".repeat(10_001);
    let good = file(&pairs);
    for (text, code) in [
        (String::new(), "validation_failed"),
        ("local_type,local_key\n".to_owned(), "validation_failed"),
        ("local_type,local_key,remote_type,remote_kee\n".to_owned(), "validation_failed"),
        ("local_type,local_key,remote_type,remote_key,start,start\n".to_owned(), "validation_failed"),
        (format!("local_type,local_key,remote_type,remote_key\n{many}"), "validation_failed"),
        ("x".repeat(1_000_001), "too_large"),
    ] {
        assert_eq!(world.public.call_csv(&path, text.clone()).await.code(), code, "{}", &text[..text.len().min(80)]);
    }
    assert_eq!(world.public.call_csv(&path, vec![b'a', 0xff]).await.code(), "malformed_request");
    assert_eq!(world.public.call_csv(&format!("{path}?preview=maybe"), good.clone()).await.code(), "validation_failed");
    assert_eq!(world.public.call_csv(&format!("{path}?previw=true"), good).await.code(), "validation_failed");
    assert_eq!(twins(&world.public, "").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_out_links_the_same_pairs_on_another_connection() {
    let (mut world, pairs) = unlinked(4).await;
    link(&world, "", &file(&pairs)).await;
    all_in_sync(&world, 4).await;
    let stopped = text(&world.public.twin_of(&pairs[3].0).await.expect("a twin")["id"]);
    world.public.delete(&format!("/twins/{stopped}")).await;
    let path = format!("/connections/{}/twins.csv", world.connection);
    let written = text(&world.public.get(&path).await);
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("local_type,local_key,remote_type,remote_key,start,status,twin_id,created_at,last_synced_at"));
    assert_eq!(lines.count(), 4, "{written}");
    assert!(written.contains(&format!("Case,{},issue,{},,in_sync,", pairs[0].0, pairs[0].1)), "{written}");
    assert!(written.contains(&format!("Case,{},issue,{},,stopped,{stopped},", pairs[3].0, pairs[3].1)), "{written}");
    let back = link(&world, "", &written).await;
    assert_eq!(counts(&back), [0, 3, 1, 0], "it changes nothing: {back:#}");
    // The connection goes, its twins are kept.
    world.public.delete(&format!("/connections/{}", world.connection)).await;
    world.private.delete(&format!("/connections/{}", world.connection)).await;
    world.join(json!({"name": "again"})).await;
    world.private.patch(&format!("/connections/{}", world.connection), json!({"links": "accept"})).await;
    let linked = link(&world, "", &written).await;
    assert_eq!(counts(&linked), [3, 0, 1, 0], "{linked:#}");
    all_in_sync(&world, 3).await;
    world.edit_case(&pairs[0].0, json!({"Subject": "It flows"}));
    until("an edit", || world.issue_field(&pairs[0].1, "summary") == "It flows").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_are_stopped_by_filter_on_both_sides_and_start_again() {
    let world = World::start().await;
    let cases: Vec<String> = (0..30).map(|n| world.new_case(json!({"Subject": format!("Pump {n}")}))).collect();
    until("all issues", || world.tracker.handle.count() == 30).await;
    world.quiet().await;
    for wrong in [json!({"filter": {}}), json!({}), json!({"filter": {"stat": "parked"}}), json!({"filter": {"status": "odd"}})] {
        assert_eq!(world.public.call("POST", "/twins/stop", Some(wrong.clone())).await.code(), "validation_failed", "{wrong}");
    }
    let none = world.public.post("/twins/stop", json!({"filter": {"connection_id": world.connection, "status": "parked"}})).await;
    assert_eq!((&none["done"], &none["more"]), (&json!(0), &json!(false)));
    let two = world.public.post("/twins/stop", json!({"filter": {"keys": [&cases[0][..15], cases[1]]}})).await;
    assert_eq!(two["done"], 2, "{two}");
    let rest = world.public.post("/twins/stop", json!({"filter": {"connection_id": world.connection}})).await;
    assert_eq!((&rest["done"], &rest["failed"]), (&json!(28), &json!([])), "{rest}");
    for node in [&world.public, &world.private] {
        until_said("all to stop", || async { twins(node, "&status=stopped").await == 30 }).await;
    }
    world.edit_case(&cases[0], json!({"Subject": "Not heard"}));
    world.quiet().await;
    let again = world
        .public
        .post(&format!("/connections/{}/twins", world.connection), json!({"entity_type": "Case", "key": cases[0]}))
        .await;
    assert_eq!(again["status"], "in_sync", "{again}");
    world.issue_with("Not heard").await;
    assert_eq!(world.tracker.handle.count(), 30, "with the record it had");
    world.stop().await;
}
