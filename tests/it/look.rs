//! What the look beside the messages costs, and what it need not ask again.

use std::time::Duration;

use serde_json::json;

use crate::support::{Settings, World, until, until_said};

async fn looking() -> World {
    World::with(Settings { support: "look = \"1s\"\n".to_owned(), ..Settings::default() }).await
}

/// Waits for two whole looks, and tells which kinds of call were made meanwhile.
async fn two_looks(world: &World) -> Vec<String> {
    let before = world.org.handle.calls();
    let deleted = |calls: &std::collections::BTreeMap<String, u64>| calls.get("deleted").copied().unwrap_or(0);
    until("two looks", || deleted(&world.org.handle.calls()) >= deleted(&before) + 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = world.org.handle.calls();
    after.into_iter().filter(|(kind, count)| before.get(kind) != Some(count)).map(|(kind, _)| kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_messages_brought_costs_nothing_more() {
    let world = looking().await;
    two_looks(&world).await;
    let case = world.new_case(json!({"Subject": "Told by a message"}));
    world.issue_with("Told by a message").await;
    world.edit_case(&case, json!({"Subject": "Told twice"}));
    let key = world.issue_with("Told twice").await;
    world.tracker.handle.edit(&key, &json!({"description": "written by us"}));
    until("the edit", || world.case_field(&case, "Description") == "written by us").await;
    world.quiet().await;
    let kinds = two_looks(&world).await;
    assert_eq!(kinds, ["deleted", "query_all"], "one query and the list of deletes, nothing read again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_the_look_saw_is_not_asked_for_again() {
    let world = looking().await;
    let case = world.new_case(json!({"Subject": "Short life"}));
    let key = world.issue_with("Short life").await;
    world.quiet().await;
    two_looks(&world).await;
    let before = world.org.handle.calls();
    world.org.handle.delete(&case, &world.org.handle.agent_user()).expect("deleted");
    until_said("the twin has ended", || async {
        world.public.twin_of(&case).await.is_some_and(|twin| twin["status"] == "stopped")
    })
    .await;
    let after = world.org.handle.calls();
    assert_eq!(after.get("retrieve"), before.get("retrieve"), "nothing was read for it");
    assert!(world.tracker.handle.get(&key).is_some_and(|issue| !issue.deleted), "the other record stays");
    world.stop().await;
}
