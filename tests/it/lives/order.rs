//! In order per twin, in parallel across twins: the last value wins, and no older one ever overwrites a newer.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::support::{World, until};

const RECORDS: usize = 12;
const EDITS: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_edits_on_many_records_end_with_the_last() {
    let world = World::start().await;
    let cases: Vec<String> = (0..RECORDS).map(|n| world.new_case(json!({"Subject": format!("{n} 000")}))).collect();
    let mut issues = Vec::new();
    for n in 0..RECORDS {
        issues.push(world.issue_with(&format!("{n} 000")).await);
    }
    world.quiet().await;
    let before = world.tracker.handle.log().len();
    // Both sides edit all records at once: the org one field, the tracker another.
    let there = async {
        for edit in 1..=EDITS {
            for (n, case) in cases.iter().enumerate() {
                world.edit_case(case, json!({"Subject": format!("{n} {edit:03}")}));
            }
            tokio::time::sleep(Duration::from_millis(u64::try_from(edit % 4).expect("small") * 7)).await;
        }
    };
    let here = async {
        for edit in 1..=EDITS {
            for (n, issue) in issues.iter().enumerate() {
                world.tracker.handle.edit(issue, &json!({"description": format!("{n} {edit:03}")}));
            }
            tokio::time::sleep(Duration::from_millis(u64::try_from(edit % 3).expect("small") * 9)).await;
        }
    };
    tokio::join!(there, here);
    for n in 0..RECORDS {
        let last = format!("{n} {EDITS:03}");
        until("the last subject", || world.issue_field(&issues[n], "summary") == last.as_str()).await;
        until("the last description", || world.case_field(&cases[n], "Description") == last.as_str()).await;
    }
    world.quiet().await;
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for write in &world.tracker.handle.log()[before..] {
        let (Some(key), Some(summary)) = (&write.key, write.body["data"]["fields"]["summary"].as_str()) else { continue };
        let seen = newest.entry(key.clone()).or_default();
        assert!(summary > seen.as_str(), "{key}: `{summary}` came after `{seen}`");
        summary.clone_into(seen);
    }
    for n in 0..RECORDS {
        let last = format!("{n} {EDITS:03}");
        assert_eq!(
            (world.case_field(&cases[n], "Subject"), world.issue_field(&issues[n], "description")),
            (json!(last), json!(last)),
            "nobody's own edit was undone"
        );
        let twin = world.public.twin_of(&cases[n]).await.expect("a twin");
        assert_eq!(twin["status"], "in_sync", "{twin}");
        let history = world.public.get(&format!("/twins/{}/history?limit=500", twin["id"].as_str().expect("an id"))).await;
        let conflicts = history.to_string().matches("\"conflict\":true").count();
        assert_eq!(conflicts, 0, "two fields are no conflict: {history}");
    }
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (RECORDS, RECORDS));
    world.stop().await;
}
