//! Stop sync and start again: both sides, the same record.

use serde_json::{Value, json};

use crate::support::{World, pair::text, until, until_said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_stops_a_twin_and_either_starts_it_again() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let twin = text(&world.public.twin_of(&case).await.expect("a twin")["id"]);
    let one = format!("/twins/{twin}");
    for (private_stops, private_starts) in [(false, false), (true, true), (false, true), (true, false)] {
        let mark = format!("{private_stops} {private_starts}");
        let node = if private_stops { &world.private } else { &world.public };
        let stopped = node.delete(&one).await;
        assert_eq!((stopped["id"].as_str(), stopped["status"].as_str()), (Some(twin.as_str()), Some("stopped")));
        assert_eq!(node.call("DELETE", &one, None).await.status, 200, "twice does no harm");
        for node in [&world.public, &world.private] {
            until_said("both sides to be stopped", || async { node.get(&one).await["status"] == "stopped" }).await;
        }
        world.edit_case(&case, json!({"Subject": format!("case {mark}")}));
        world.tracker.handle.edit(&issue, &json!({"description": format!("issue {mark}")}));
        world.quiet().await;
        assert_ne!(world.issue_field(&issue, "summary"), format!("case {mark}"), "what is stopped does not flow");
        assert_ne!(world.case_field(&case, "Description"), format!("issue {mark}"));
        for (node, path) in [
            (&world.public, format!("/trackers/support/entities/Case/{case}")),
            (&world.private, format!("/trackers/helpdesk/entities/issue/{issue}")),
        ] {
            let told = node.get(&path).await["history"][0].clone();
            assert_eq!((told["outcome"].as_str(), told["reason"].as_str()), (Some("skipped"), Some("stopped")), "{told}");
        }

        let again = if private_starts {
            world
                .private
                .post(&format!("/connections/{}/twins", world.connection), json!({"entity_type": "issue", "key": issue}))
                .await
        } else {
            world
                .public
                .post(&format!("/connections/{}/twins", world.connection), json!({"entity_type": "Case", "key": case}))
                .await
        };
        assert_eq!(again["id"].as_str(), Some(twin.as_str()), "with the twin it had");
        assert_eq!(
            (again["remote"].is_object(), again["status"].as_str()),
            (true, Some("in_sync")),
            "and the record it had: {again}"
        );
        for node in [&world.public, &world.private] {
            until_said("both sides to go on", || async { node.get(&one).await["status"] == "in_sync" }).await;
        }
        world.quiet().await;
        // What the starting side changed meanwhile flows; then both ways as before.
        if private_starts {
            assert_eq!(world.case_field(&case, "Description"), format!("issue {mark}"));
        } else {
            assert_eq!(world.issue_field(&issue, "summary"), format!("case {mark}"));
        }
        world.edit_case(&case, json!({"Subject": format!("on {mark}")}));
        until("edits from here", || world.issue_field(&issue, "summary") == format!("on {mark}")).await;
        world.tracker.handle.edit(&issue, &json!({"description": format!("on {mark}")}));
        until("edits from there", || world.case_field(&case, "Description") == format!("on {mark}")).await;
        world.quiet().await;
        assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1), "nothing is doubled");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_held_the_twin_up() {
    use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};
    let world = World::start().await;
    let kind = TrackerFaultKind::Refuse("no".to_owned());
    world.tracker.handle.fail(TrackerFault { kind, times: 1_000, reads: false, body: Some("Stuck".to_owned()) });
    let case = world.new_case(json!({"Subject": "Stuck"}));
    until_said("the twin to be parked", || async {
        world.private.twin_of(&case).await.is_some_and(|twin| twin["status"] == "parked")
    })
    .await;
    let one = format!("/twins/{}", text(&world.public.twin_of(&case).await.expect("a twin")["id"]));
    world.public.delete(&one).await;
    until_said("the other side to be stopped", || async { world.private.get(&one).await["status"] == "stopped" }).await;
    assert_eq!(world.private.get(&one).await["error"], Value::Null);
    until_said("its error to be closed", || async { world.private.get("/errors").await["items"] == json!([]) }).await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 0);
    world.stop().await;
}
