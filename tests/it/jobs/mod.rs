//! Work over many records: bulk runs, previews, re-applying, reconciling.

mod reconcile;
mod rules;
mod runs;

use serde_json::{Value, json};

use crate::support::{TestNode, World, until_said};

/// Cases that nobody was told of: the trigger slept while they were made.
async fn asleep(world: &World, cases: &[Value]) -> (String, Vec<String>) {
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = world.public.get(&path).await["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("{path}/{trigger}");
    world.public.patch(&path, json!({"enabled": false})).await;
    let agent = world.org.handle.agent_user();
    let made = world.org.handle.create_many("Case", cases, &agent).expect("made");
    world.quiet().await;
    world.public.patch(&path, json!({"enabled": true})).await;
    (path, made)
}

/// The job, once it has ended.
async fn ended(node: &TestNode, id: &Value) -> Value {
    let path = format!("/jobs/{}", id.as_str().expect("an id"));
    until_said("the job's end", async || !matches!(node.get(&path).await["status"].as_str(), Some("queued" | "running"))).await;
    node.get(&path).await
}

/// The lines of a job's report.
async fn report(node: &TestNode, job: &Value) -> Vec<Value> {
    let path = format!("/jobs/{}/report?limit=500", job["id"].as_str().expect("an id"));
    node.get(&path).await["items"].as_array().cloned().expect("a list")
}
