//! Two records that exist become a twin.

use serde_json::{Value, json};

use crate::support::{Answer, Settings, World, pair::text, until, until_said};

/// A joined pair without triggers for what comes, and two records that differ.
async fn two_records(links: &str) -> (World, String, String) {
    let world = World::with(Settings::default()).await;
    let path = format!("/connections/{}/triggers", world.connection);
    for (node, filter) in [(&world.public, "Priority = 'High'"), (&world.private, "entity.priority === 'high'")] {
        let trigger = text(&node.get(&path).await["items"][0]["id"]);
        node.patch(&format!("{path}/{trigger}"), json!({"filter": filter})).await;
    }
    world.private.patch(&format!("/connections/{}", world.connection), json!({"links": links})).await;
    let case = world.new_case(json!({"Subject": "Case here", "Description": "from the org", "Priority": "Low"}));
    let issue = world.tracker.handle.create(&json!({"summary": "Issue there", "description": "from the tracker"}));
    world.quiet().await;
    (world, case, issue)
}

async fn link(world: &World, case: &str, issue: &str, start: Option<&str>) -> Answer {
    let mut body = json!({"local": {"entity_type": "Case", "key": case}, "remote": {"entity_type": "issue", "key": issue}});
    if let Some(start) = start {
        body["start"] = json!(start);
    }
    world.public.call("POST", &format!("/connections/{}/twins/link", world.connection), Some(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linking_writes_nothing_and_later_edits_flow() {
    let (world, case, issue) = two_records("accept").await;
    let (cases, writes) = (world.case_field(&case, "SystemModstamp"), world.tracker.handle.log().len());
    let made = link(&world, &case, &issue, None).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let twin = text(&made.body["id"]);
    for node in [&world.public, &world.private] {
        until_said("both to know", || async {
            node.call("GET", &format!("/twins/{twin}"), None).await.body["status"] == "in_sync"
        })
        .await;
    }
    world.quiet().await;
    assert_eq!(world.tracker.handle.log().len(), writes, "nothing is written");
    assert_eq!(world.case_field(&case, "SystemModstamp"), cases);
    world.edit_case(&case, json!({"Subject": "Edited here"}));
    until("the edit", || world.issue_field(&issue, "summary") == "Edited here").await;
    assert_eq!(world.issue_field(&issue, "description"), "from the tracker", "only what was edited");
    world.tracker.handle.edit(&issue, &json!({"description": "edited there"}));
    until("the edit back", || world.case_field(&case, "Description") == "edited there").await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    let again = link(&world, &case, &issue, None).await;
    assert_eq!((again.status, again.code()), (409, "invalid_state"), "{}", again.body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_may_first_make_one_side_as_the_other() {
    let (world, case, issue) = two_records("accept").await;
    link(&world, &case, &issue, Some("send")).await.good();
    until("ours there", || world.issue_field(&issue, "summary") == "Case here").await;
    until("all of ours there", || world.issue_field(&issue, "description") == "from the org").await;
    world.quiet().await;
    assert_eq!(world.case_field(&case, "Subject"), "Case here");
    world.stop().await;

    let (world, case, issue) = two_records("accept").await;
    link(&world, &case, &issue, Some("receive")).await.good();
    until("theirs here", || world.case_field(&case, "Subject") == "Issue there").await;
    until("all of theirs here", || world.case_field(&case, "Description") == "from the tracker").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "Issue there");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_names_a_record_is_a_wish() {
    for links in ["ask", "matching"] {
        let (world, case, issue) = two_records(links).await;
        let twin = text(&link(&world, &case, &issue, None).await.good()["id"]);
        until_said("an admin to be asked", || async {
            world.private.get("/errors").await["items"][0]["title"].as_str().is_some_and(|title| title.contains("asks to link"))
        })
        .await;
        let error = world.private.get("/errors").await["items"][0].clone();
        assert!(text(&error["detail"]).contains(&issue) && text(&error["advice"]).contains("agree"), "{error}");
        assert_eq!(error["twin_id"].as_str(), Some(twin.as_str()));
        world.private.post(&format!("/errors/{}/retry", text(&error["id"])), json!({})).await;
        until_said("the link", || async { world.private.get(&format!("/twins/{twin}")).await["status"] == "in_sync" }).await;
        world.edit_case(&case, json!({"Subject": "Agreed"}));
        until("the edit", || world.issue_field(&issue, "summary") == "Agreed").await;
        let audit = world.private.get("/audit").await;
        assert!(audit["items"].as_array().expect("a list").iter().any(|line| line["action"] == "twin.link"), "{audit}");
        world.stop().await;
    }
    // A record that matches one of our triggers is taken.
    let (world, case, _) = two_records("matching").await;
    let matching = world.tracker.handle.create(&json!({"summary": "Matches"}));
    world.quiet().await;
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = text(&world.private.get(&path).await["items"][0]["id"]);
    world.private.patch(&format!("{path}/{trigger}"), json!({"filter": "entity.summary === 'Matches'"})).await;
    let twin = text(&link(&world, &case, &matching, None).await.good()["id"]);
    until_said("the link", || async {
        world.private.call("GET", &format!("/twins/{twin}"), None).await.body["status"] == "in_sync"
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_not_there_is_told() {
    let (world, case, _) = two_records("accept").await;
    let wrong = link(&world, "500000000000000", "ISSUE-1", None).await;
    assert_eq!((wrong.status, wrong.body["errors"][0]["field"].as_str()), (422, Some("local.key")), "{}", wrong.body);
    link(&world, &case, "ISSUE-999", None).await.good();
    until_said("the other side to say so", || async {
        world.public.twin_of(&case).await.is_some_and(|twin| twin["remote_outcome"]["outcome"] == "parked")
    })
    .await;
    let told = world.public.twin_of(&case).await.expect("a twin");
    assert!(text(&told["remote_outcome"]["title"]).contains("not there"), "{told}");
    let nothing = link(&world, &case, "", None).await;
    assert_eq!((nothing.status, nothing.body["errors"][0]["field"].as_str()), (422, Some("remote.key")));
    assert_ne!(told["id"], Value::Null);
    world.stop().await;
}
