//! Lists: filters, and cursors that survive what happens meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{TestNode, World, until_said};

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("items").iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// Walks a list to its end; `meanwhile` happens after each page.
async fn walk<F: Future<Output = ()>>(node: &TestNode, path: &str, mut meanwhile: impl FnMut(usize) -> F) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let from = cursor.as_ref().map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let page = node.get(&format!("{path}?limit=2{from}")).await;
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return seen,
        }
        meanwhile(seen.len()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_meets_each_twin_once_whatever_is_made_and_edited_meanwhile() {
    let world = World::start().await;
    let cases: Vec<String> = (1..=7).map(|number| world.new_case(json!({"Subject": format!("Case {number}")}))).collect();
    world.issue_with("Case 7").await;
    world.quiet().await;
    let before: BTreeSet<String> = ids(&world.public.get("/twins").await).into_iter().collect();
    assert_eq!(before.len(), 7);
    let (world_ref, cases) = (&world, &cases);
    let seen = walk(&world.public, "/twins", |count| async move {
        // The ones that are still to come are edited, and another is made.
        for case in cases {
            world_ref.edit_case(case, json!({"Description": format!("after {count}")}));
        }
        let extra = world_ref.new_case(json!({"Subject": format!("Extra {count}")}));
        until_said("the extra twin", || async { world_ref.public.twin_of(&extra).await.is_some() }).await;
    })
    .await;
    let found: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(found.len(), seen.len(), "none twice");
    assert!(before.is_subset(&found), "none is passed over");
    world.quiet().await;
    let lines = world.public.get(&format!("/twins/{}/history", before.iter().next().expect("one"))).await;
    assert!(lines["items"].as_array().is_some_and(|lines| lines.len() > 1), "{lines}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_are_found_by_every_form_of_a_key_and_by_each_filter() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": "Pump"}));
    let issue = world.issue_with("Pump").await;
    world.new_case(json!({"Subject": "Door"}));
    world.issue_with("Door").await;
    world.quiet().await;
    let page = format!("{}/lightning/r/Case/{case}/view", world.org.url);
    let escaped: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
    for key in [case.as_str(), &case[..15], &escaped, &issue] {
        let found = world.public.get(&format!("/twins?key={key}")).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{key}: {found}");
        assert_eq!(found["items"][0]["local"]["key"], case.as_str());
    }
    for (query, count) in [
        ("", 2),
        ("connection_id={id}", 2),
        ("connection_id=00000000-0000-0000-0000-000000000000", 0),
        ("tracker=support", 2),
        ("tracker=nobody", 0),
        ("status=in_sync", 2),
        ("status=parked", 0),
        ("entity_type=Case", 2),
        ("entity_type=Task", 0),
        ("key=nonsense", 0),
        ("tracker=support&status=in_sync&entity_type=Case&limit=1", 1),
    ] {
        let found = world.public.get(&format!("/twins?{}", query.replace("{id}", &world.connection))).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{query}: {found}");
    }
    let twin = ids(&world.public.get("/twins").await)[0].clone();
    for list in ["/twins", "/errors", "/audit", "/connections", &format!("/twins/{twin}/history")] {
        for cursor in ["%21", ".", "9999999999999999999999.1"] {
            let refused = world.public.call("GET", &format!("{list}?cursor={cursor}"), None).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("cursor")), "{list} {cursor}");
        }
        for limit in ["0", "501", "-1", "x", ""] {
            let refused = world.public.call("GET", &format!("{list}?limit={limit}"), None).await;
            assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("limit")), "{list} {limit}");
        }
        let refused = world.public.call("GET", &format!("{list}?lmiit=1"), None).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("lmiit")), "{list}");
    }
    world.stop().await;
}
