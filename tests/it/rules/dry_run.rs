//! A rule tried on real records: it tells what would come of it, and nothing does.

use serde_json::{Value, json};

use crate::support::{Settings, TestNode, World};

const WRITES: [&str; 3] = ["composite", "collections_write", "record_write"];

async fn scripted() -> (World, String) {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let path = format!("/connections/{}/rules/test", world.connection);
    (world, path)
}

/// The database's files: any transaction that writes shows in its log.
fn stored(node: &TestNode) -> Vec<(usize, u64)> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let files = ["wicketgate.db", "wicketgate.db-wal"].map(|name| std::fs::read(node.dir.join(name)).expect("a file"));
    files
        .iter()
        .map(|bytes| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            (bytes.len(), hasher.finish())
        })
        .collect()
}

/// All that a trial could have left behind.
async fn traces(world: &World) -> Value {
    let calls = world.org.handle.calls();
    let writes: u64 = WRITES.iter().filter_map(|kind| calls.get(*kind)).sum();
    json!({
        "stored": [stored(&world.public), stored(&world.private)],
        "org": writes,
        "tracker": world.tracker.handle.log().len(),
        "errors": [world.public.get("/errors").await, world.private.get("/errors").await],
        "twins": [world.public.get("/twins").await, world.private.get("/twins").await],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_tells_what_would_come_of_it_and_leaves_no_trace() {
    let (world, path) = scripted().await;
    let case = world.new_case(json!({"Subject": "Pump", "Description": "E-17", "Priority": "High"}));
    let issue = world.issue_with("Pump").await;
    world.quiet().await;
    let before = traces(&world).await;

    let rule = "log.info('tried'); replica.summary = entity.Subject.toUpperCase(); replica.description = entity.Description;";
    let tried =
        world.public.post(&path, json!({"direction": "outgoing", "rule": rule, "entity_type": "Case", "key": case})).await;
    assert_eq!(tried["replica"], json!({"summary": "PUMP", "description": "E-17"}), "{tried}");
    let summary = json!({"field": "summary", "from": "Pump", "to": "PUMP"});
    assert!(tried["differences"].as_array().is_some_and(|all| all.contains(&summary)), "{tried}");
    assert_eq!(tried["log"], json!(["info: tried"]));
    let memory = tried["memory_bytes"].as_u64().expect("measured");
    assert!((100_000..16 << 20).contains(&memory), "{memory}");
    let large = json!({"direction": "outgoing", "rule": "replica.a = 'x'.repeat(900_000);", "entity_type": "Case", "key": case});
    let more = world.public.post(&path, large).await["memory_bytes"].as_u64().expect("measured");
    assert!(more > memory + 900_000, "{more} after {memory}");

    let rule = "entity.summary = 'partner: ' + replica.summary; entity.description = replica.description;
        syncHelper.syncBackAfterProcessing();";
    let twin = world.private.get("/twins").await["items"][0]["id"].clone();
    let tried = world.private.post(&path, json!({"direction": "incoming", "rule": rule, "twin_id": twin})).await;
    let changed = json!([{"field": "summary", "from": "Pump", "to": "partner: Pump"}]);
    assert_eq!((&tried["differences"], &tried["wishes"]["sync_back"]), (&changed, &json!(true)), "{tried}");

    // A first sync, with the pair that runs.
    let replica = json!({"summary": "New", "description": null});
    let tried = world.private.post(&path, json!({"direction": "incoming", "replica": replica})).await;
    assert_eq!((&tried["entity_type"], &tried["assigned"]["summary"]), (&json!("issue"), &json!("New")), "{tried}");

    // What it would do to the outside is told and not done; what it reads is read.
    let rule = "entity.entityType = 'Case'; entity.Subject = replica.summary; store(entity);
        const made = httpClient.post('/sobjects/CaseComment', { ParentId: entity.key, CommentBody: 'x' });
        const found = httpClient.get('/query', { q: soql`SELECT Id FROM Case WHERE Subject = ${'Pump'}` });
        httpClient.delete('/sobjects/Case/' + found.records[0].Id); entity.Description = `${found.totalSize} ${made.id}`;
        nodeHelper.getLocalIssueKeyFromRemoteId('ISSUE-99');";
    let tried = world.public.post(&path, json!({"direction": "incoming", "rule": rule, "replica": {"summary": "Tried"}})).await;
    let calls = json!([
        {"method": "STORE", "path": "Case", "body": {"Subject": "Tried"}},
        {"method": "POST", "path": "/sobjects/CaseComment", "body": {"ParentId": "", "CommentBody": "x"}},
        {"method": "DELETE", "path": format!("/sobjects/Case/{case}"), "body": null},
    ]);
    assert_eq!((&tried["calls"], &tried["assigned"]["Description"]), (&calls, &json!("1 undefined")), "{tried}");

    let broken =
        json!({"direction": "outgoing", "rule": "replica.a =\n  entity.Nothing.here;", "entity_type": "Case", "key": case});
    let tried = world.public.post(&path, broken).await;
    assert_eq!((&tried["error"]["line"], &tried["replica"]), (&json!(2), &Value::Null), "{tried}");
    let skips = json!({"direction": "outgoing", "rule": "skip('not today')", "entity_type": "Case", "key": case});
    assert_eq!(world.public.post(&path, skips).await["skip"], "not today");

    world.quiet().await;
    assert_eq!(traces(&world).await, before);
    assert_eq!(world.issue_field(&issue, "summary"), "Pump");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_cannot_be_says_what_it_needs() {
    let (world, path) = scripted().await;
    let missing = [
        (json!({"direction": "outgoing"}), "key"),
        (json!({"direction": "outgoing", "entity_type": "Case"}), "key"),
        (json!({"direction": "outgoing", "entity_type": "Case", "key": "5005g00000ABCDE"}), "key"),
        (json!({"direction": "incoming"}), "replica"),
        (json!({"direction": "outgoing", "replica": {}}), "replica"),
    ];
    for (body, field) in missing {
        let refused = world.public.call("POST", &path, Some(body.clone())).await;
        assert_eq!((refused.status, refused.body["errors"][0]["field"].as_str()), (422, Some(field)), "{body}: {}", refused.body);
    }
    let none = json!({"direction": "incoming", "twin_id": "018f0000-0000-7000-8000-000000000000"});
    assert_eq!(world.public.call("POST", &path, Some(none)).await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basic_connection_tries_its_own_pair_only() {
    let world = World::start().await;
    let path = format!("/connections/{}/rules/test", world.connection);
    let replica = json!({"summary": "New"});
    let own = json!({"direction": "incoming", "rule": "", "replica": replica});
    let refused = world.private.call("POST", &path, Some(own)).await;
    assert_eq!((refused.status, refused.code()), (409, "basic_mode"));
    let tried = world.private.post(&path, json!({"direction": "incoming", "replica": replica})).await;
    assert_eq!(tried["assigned"]["summary"], "New", "{tried}");
    world.stop().await;
}
