//! Triggers: filters in the trackers' own languages, saving, changing, counting, and syncing without one.

use serde_json::{Value, json};

use crate::support::{
    Settings, World,
    pair::{members, text},
    until,
};

/// A joined pair with these filters in place of everything.
async fn filtered(case: &str, issue: &str) -> World {
    let world = World::start().await;
    for (node, filter) in [(&world.public, case), (&world.private, issue)] {
        let path = format!("/connections/{}/triggers", world.connection);
        let trigger = text(&node.get(&path).await["items"][0]["id"]);
        node.patch(&format!("{path}/{trigger}"), json!({"filter": filter})).await;
    }
    world
}

/// What became of the record's newest change.
async fn newest(world: &World, case: &str) -> Value {
    world.public.get(&format!("/trackers/support/entities/Case/{case}")).await["history"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soql_filter_starts_only_what_matches() {
    let world = filtered("Priority = 'High' AND Status != 'Closed'", "").await;
    let low = world.new_case(json!({"Subject": "Low", "Priority": "Low"}));
    let high = world.new_case(json!({"Subject": "High", "Priority": "High"}));
    let issue = world.issue_with("High").await;
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 1);
    let told = newest(&world, &low).await;
    assert_eq!(
        (told["outcome"].as_str(), told["reason"].as_str()),
        (Some("skipped"), Some("no trigger matches this record")),
        "{told}"
    );
    // A record that has a twin flows whatever the filter says.
    world.edit_case(&high, json!({"Priority": "Low", "Subject": "Still here"}));
    until("the edit", || world.issue_field(&issue, "summary") == "Still here").await;
    // An edit that makes a record match starts it.
    world.edit_case(&low, json!({"Priority": "High"}));
    world.issue_with("Low").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_filter_starts_only_what_matches() {
    let world = filtered("", "entity.priority === 'high' && entity.summary.includes('pump')").await;
    world.tracker.handle.create(&json!({"summary": "a fan", "priority": "high"}));
    let other = world.tracker.handle.create(&json!({"summary": "a pump", "priority": "low"}));
    world.tracker.handle.create(&json!({"priority": "high"}));
    world.tracker.handle.create(&json!({"summary": "a big pump", "priority": "high"}));
    world.case_with("a big pump").await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Case"), 1, "one that makes the filter throw is no match, and no error");
    world.tracker.handle.edit(&other, &json!({"priority": "high"}));
    world.case_with("a pump").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_no_trigger_matches_is_synced_by_a_person() {
    let world = filtered("Priority = 'High'", "entity.priority === 'high'").await;
    let case = world.new_case(json!({"Subject": "By hand", "Priority": "Low"}));
    world.quiet().await;
    let path = format!("/connections/{}/twins", world.connection);
    // As people have it: 15 characters, or the address of the record's page.
    let short = &case[..15];
    let made = world.public.call("POST", &path, Some(json!({"entity_type": "Case", "key": short}))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    members(&made.body, "id connection_id status local remote remote_outcome error created_at last_synced_at");
    assert_eq!(
        (made.body["status"].as_str(), made.body["local"]["key"].as_str(), &made.body["remote"]),
        (Some("waiting"), Some(case.as_str()), &Value::Null)
    );
    let issue = world.issue_with("By hand").await;
    world.edit_case(&case, json!({"Subject": "Goes on"}));
    until("later edits", || world.issue_field(&issue, "summary") == "Goes on").await;
    world.quiet().await;
    let again =
        world.public.call("POST", &path, Some(json!({"entity_type": "Case", "key": text(&made.body["local"]["url"])}))).await;
    assert_eq!((again.status, &again.body["id"]), (201, &made.body["id"]), "no second twin: {}", again.body);
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 1);

    let key = world.tracker.handle.create(&json!({"summary": "Back by hand", "priority": "low"}));
    world.quiet().await;
    world.private.post(&path, json!({"entity_type": "issue", "key": key})).await;
    world.case_with("Back by hand").await;

    for (entity_type, key, field) in [("Case", "500000000000000", "key"), ("Case", "nonsense", "key"), ("Case", "", "key")] {
        let wrong = world.public.call("POST", &path, Some(json!({"entity_type": entity_type, "key": key}))).await;
        assert_eq!((wrong.status, wrong.body["errors"][0]["field"].as_str()), (422, Some(field)), "{key}: {}", wrong.body);
    }
    let twin = world.public.get(&format!("/twins/{}", text(&made.body["id"]))).await;
    members(
        &twin,
        "id connection_id status local remote remote_outcome error created_at last_synced_at local_replica remote_replica",
    );
    members(&twin["local"], "entity_type key url");
    members(&twin["remote"], "entity_type key url");
    members(&twin["remote_outcome"], "outcome title at");
    let history = world.public.get(&format!("/twins/{}/history", text(&made.body["id"]))).await;
    for line in history["items"].as_array().expect("a list") {
        for name in ["at", "direction", "outcome", "reason", "changes", "took_ms"] {
            assert!(line.get(name).is_some(), "{name}: {line}");
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_is_made_changed_switched_off_and_deleted() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let mut world = world;
    world.join(json!({})).await;
    let path = format!("/connections/{}/triggers", world.connection);
    let first = text(&world.public.get(&path).await["items"][0]["id"]);
    assert_eq!(world.public.call("DELETE", &format!("{path}/{first}"), None).await.status, 204);
    assert_eq!(world.public.call("DELETE", &format!("{path}/{first}"), None).await.status, 404);
    let made = world
        .public
        .call(
            "POST",
            &path,
            Some(json!({"entity_type": "Case", "filter": " Priority = 'High' ", "enabled": false, "notes": "n"})),
        )
        .await;
    assert_eq!(made.status, 201);
    members(&made.body, "id entity_type filter enabled notes");
    assert_eq!(
        (made.body["filter"].as_str(), made.body["enabled"].as_bool(), made.body["notes"].as_str()),
        (Some("Priority = 'High'"), Some(false), Some("n"))
    );
    let one = format!("{path}/{}", text(&made.body["id"]));
    assert_eq!(world.public.get(&one).await, made.body);
    let case = world.new_case(json!({"Subject": "Off", "Priority": "High"}));
    world.quiet().await;
    assert_eq!(world.tracker.handle.count(), 0, "a trigger that is off starts nothing");
    assert_eq!(newest(&world, &case).await["outcome"], "skipped");
    let on = world.public.patch(&one, json!({"enabled": true})).await;
    assert_eq!((on["enabled"].as_bool(), on["filter"].as_str()), (Some(true), Some("Priority = 'High'")));
    world.new_case(json!({"Subject": "On", "Priority": "High"}));
    let issue = world.issue_with("On").await;
    // Without its trigger a twin lives on.
    assert_eq!(world.public.call("DELETE", &one, None).await.status, 204);
    let case = text(&world.public.get("/twins").await["items"][0]["local"]["key"]);
    world.edit_case(&case, json!({"Subject": "Lives on"}));
    until("the edit", || world.issue_field(&issue, "summary") == "Lives on").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_filter_is_refused_at_saving_with_the_trackers_own_words() {
    let world = World::start().await;
    let path = format!("/connections/{}/triggers", world.connection);
    let refused = |node: &'static str, body: Value| {
        let world = &world;
        let path = path.clone();
        async move {
            let node = if node == "public" { &world.public } else { &world.private };
            let answer = node.call("POST", &path, Some(body)).await;
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{}", answer.body);
            (text(&answer.body["errors"][0]["field"]), text(&answer.body["errors"][0]["message"]))
        }
    };
    let (field, message) = refused("public", json!({"entity_type": "Case", "filter": "Nope__c = 1"})).await;
    assert!(field == "filter" && message.contains("No such column 'Nope__c'"), "{message}");
    let (field, message) = refused("public", json!({"entity_type": "Case", "filter": "Priority = "})).await;
    assert!(field == "filter" && message.contains("unexpected"), "{message}");
    let (field, _) = refused("public", json!({"entity_type": "Case", "filter": "Id != null) OR (Id != null"})).await;
    assert_eq!(field, "filter", "a filter stays within its brackets");
    let (field, message) = refused("private", json!({"entity_type": "issue", "filter": "entity.priority === "})).await;
    assert!(field == "filter" && message.to_lowercase().contains("syntax"), "{message}");
    let (field, message) = refused("public", json!({"entity_type": "Account", "filter": ""})).await;
    assert!(field == "entity_type" && message.contains("`Case` only"), "{message}");
    let (field, _) = refused("public", json!({"entity_type": "Case", "filer": ""})).await;
    assert_eq!(field, "filer");
    assert_eq!(world.public.get(&path).await["items"].as_array().map(Vec::len), Some(1), "nothing was kept");
    // The same at changing: the old filter stays.
    let one = format!("{path}/{}", text(&world.public.get(&path).await["items"][0]["id"]));
    assert_eq!(world.public.call("PATCH", &one, Some(json!({"filter": "Nope__c = 1"}))).await.code(), "validation_failed");
    assert_eq!(world.public.get(&one).await["filter"], "");
    // A tracker that is away is no bad filter.
    let count = format!("{path}/count");
    world.org.stop().await;
    let away = world.public.call("POST", &path, Some(json!({"entity_type": "Case", "filter": "Priority = 'High'"}))).await;
    assert_eq!((away.status, away.code()), (502, "tracker_unavailable"), "{}", away.body);
    assert_eq!(
        world.public.call("POST", &count, Some(json!({"entity_type": "Case", "filter": "Priority = 'High'"}))).await.code(),
        "tracker_unavailable"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_would_start_is_counted_before() {
    let world = filtered("Priority = 'High'", "").await;
    for (subject, priority) in [("a", "High"), ("b", "High"), ("c", "Low"), ("d", "Low"), ("e", "Low")] {
        world.new_case(json!({"Subject": subject, "Priority": priority}));
    }
    world.issue_with("a").await;
    world.issue_with("b").await;
    world.quiet().await;
    let path = format!("/connections/{}/triggers/count", world.connection);
    let before = world.org.handle.api_calls_total();
    let all = world.public.post(&path, json!({"entity_type": "Case", "filter": ""})).await;
    assert_eq!(all, json!({"matching": 5, "already_synced": 2}));
    assert_eq!(world.org.handle.api_calls_total() - before, 1, "one call");
    let low = world.public.post(&path, json!({"entity_type": "Case", "filter": "Priority = 'Low'"})).await;
    assert_eq!(low, json!({"matching": 3, "already_synced": 0}));
    let b = world.public.post(&path, json!({"entity_type": "Case", "filter": "Subject IN ('b', 'c')"})).await;
    assert_eq!(b, json!({"matching": 2, "already_synced": 1}));
    let wrong = world.public.call("POST", &path, Some(json!({"entity_type": "Case", "filter": "Nope__c = 1"}))).await;
    assert_eq!((wrong.status, wrong.body["errors"][0]["field"].as_str()), (422, Some("filter")));
    let cannot = world.private.call("POST", &path, Some(json!({"entity_type": "issue", "filter": ""}))).await;
    assert_eq!((cannot.status, cannot.code()), (409, "invalid_state"), "{}", cannot.body);
    world.stop().await;
}
