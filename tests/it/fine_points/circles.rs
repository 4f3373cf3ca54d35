//! Two connections between the same trackers: no circle, and twins that share a record take turns.

use serde_json::{Value, json};

use crate::support::{World, until, until_said};

/// Joins the two nodes by a second connection; with triggers or not. Gives its id.
async fn second(world: &World, triggers: bool) -> String {
    let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic", "name": "second",
        "local_short_name": "support", "remote_short_name": "helpdesk"});
    let made = world.public.post("/connections", wanted).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let code = made["invitation"]["code"].clone();
    world.private.post("/invitations/accept", json!({"code": code, "tracker": "helpdesk", "name": "second"})).await;
    if triggers {
        let path = format!("/connections/{id}/triggers");
        world.public.post(&path, json!({"entity_type": "Case", "filter": ""})).await;
        world.private.post(&path, json!({"entity_type": "issue", "filter": ""})).await;
    }
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_make_no_circle() {
    let world = World::start().await;
    second(&world, true).await;
    let case = world.new_case(json!({"Subject": "Round"}));
    until("one issue for each connection", || world.tracker.handle.count() == 2).await;
    world.quiet().await;
    world.edit_case(&case, json!({"Subject": "Round and round"}));
    until("both hear of it", || world.tracker.handle.all().iter().all(|issue| issue.fields["summary"] == "Round and round"))
        .await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 2));
    let writes = world.writes();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.quiet().await;
    assert_eq!(world.writes(), writes, "and then there is peace");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_that_share_a_record_take_turns() {
    let world = World::start().await;
    let other = second(&world, false).await;
    for node in [&world.public, &world.private] {
        let path = format!("/connections/{}/triggers", world.connection);
        let id = node.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
        node.patch(&format!("{path}/{id}"), json!({"enabled": false})).await;
    }
    let issue = world.tracker.handle.create(&json!({"summary": "Shared", "description": "0"}));
    let cases: Vec<String> = (0..2).map(|n| world.new_case(json!({"Subject": "Shared", "Description": n.to_string()}))).collect();
    for (connection, case) in [(&world.connection, &cases[0]), (&other, &cases[1])] {
        world.private.patch(&format!("/connections/{connection}"), json!({"links": "accept"})).await;
        let link = json!({"local": {"entity_type": "Case", "key": case}, "remote": {"entity_type": "issue", "key": issue}});
        let twin: Value = world.public.post(&format!("/connections/{connection}/twins/link"), link).await;
        let path = format!("/twins/{}", twin["id"].as_str().expect("an id"));
        until_said("linked", || async { world.public.get(&path).await["status"] == "in_sync" }).await;
    }
    world.quiet().await;
    world.edit_case(&cases[0], json!({"Subject": "From the first"}));
    world.edit_case(&cases[1], json!({"Description": "From the second"}));
    until("both edits at the shared record", || {
        world.issue_field(&issue, "summary") == "From the first" && world.issue_field(&issue, "description") == "From the second"
    })
    .await;
    until("and at both Cases", || {
        cases.iter().all(|case| {
            world.case_field(case, "Subject") == "From the first" && world.case_field(case, "Description") == "From the second"
        })
    })
    .await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (2, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_up_on_one_connection_goes_on_once_on_the_other() {
    let world = World::start().await;
    let other = second(&world, true).await;
    let case = world.new_case(json!({"Subject": "Ping"}));
    until("one issue for each connection", || world.tracker.handle.count() == 2).await;
    world.quiet().await;
    let twins = world.public.get(&format!("/twins?key={case}")).await["items"].as_array().expect("a list").clone();
    let remote = |connection: &str| {
        let twin = twins.iter().find(|twin| twin["connection_id"] == connection).expect("a twin");
        (twin["id"].as_str().expect("an id").to_owned(), twin["remote"]["key"].as_str().expect("a key").to_owned())
    };
    let ((first, issue), (calm, calm_issue)) = (remote(&world.connection), remote(&other));
    // Only the first issue's own automation insists.
    let status = |id: String| {
        let world = &world;
        async move { world.public.get(&format!("/twins/{id}")).await["status"].clone() }
    };
    for _ in 0..2000 {
        if world.issue_field(&issue, "summary") == "Ping" {
            world.tracker.handle.edit(&issue, &json!({"summary": "Pong"}));
        }
        if world.case_field(&case, "Subject") == "Pong" {
            world.edit_case(&case, json!({"Subject": "Ping"}));
        }
        let there = world.private.get(&format!("/twins/{first}")).await["status"].clone();
        if status(first.clone()).await == "parked" || there == "parked" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for subject in ["On we go", "And on"] {
        world.edit_case(&case, json!({"Subject": subject}));
        until("the other connection goes on", || world.issue_field(&calm_issue, "summary") == subject).await;
    }
    assert_eq!(status(calm.clone()).await, "in_sync");
    let story = world.public.get(&format!("/twins/{calm}/history?limit=200")).await;
    let lines = story["items"].as_array().expect("a history");
    let ends = |subject: &str| lines.iter().filter(|line| line["changes"].to_string().contains(subject)).count();
    assert_eq!((ends("On we go"), ends("And on")), (2, 1), "the first is said once to be new and once to be old: {lines:#?}");
    let errors = world.public.get("/errors").await["items"].as_array().expect("a list").clone();
    let errors =
        if errors.is_empty() { world.private.get("/errors").await["items"].as_array().expect("a list").clone() } else { errors };
    let error = errors.iter().find(|error| error["twin_id"] == first.as_str()).expect("an error")["id"].clone();
    let node = if world.public.call("GET", &format!("/twins/{first}"), None).await.body["status"] == "parked" {
        &world.public
    } else {
        &world.private
    };
    node.post(&format!("/errors/{}/retry", error.as_str().expect("an id")), json!({})).await;
    until("and then the first too", || world.issue_field(&issue, "summary") == "And on").await;
    world.quiet().await;
    world.stop().await;
}
