//! Rules that ask their tracker while they run: what they read, what they do once only, and whom a late parent wakes.

use serde_json::{Value, json};
use wicketgate::sandbox::org::{Fault, FaultKind, Matcher};

use crate::support::{Settings, World, put_rules, until, until_said};

const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");
const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");

/// A pair of which the public node's incoming rule is this.
pub async fn scripted(incoming: &str) -> World {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    put_rules(&world.public, &world.connection, CASE_OUT, incoming).await;
    let out = "replica.key = entity.key; replica.summary = entity.summary; replica.parent = entity.parent; replica.email = entity.email;";
    put_rules(&world.private, &world.connection, out, ISSUE_IN).await;
    world
}

async fn only_error(world: &World) -> Value {
    until_said("an error", async || world.public.get("/errors").await["items"].as_array().is_some_and(|all| all.len() == 1))
        .await;
    world.public.get("/errors").await["items"][0].clone()
}

async fn retry(world: &World, error: &Value) {
    world.public.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
}

fn comments(world: &World) -> usize {
    world.org.handle.count("CaseComment")
}

const COMMENTED: &str = "entity.entityType = 'Case'; entity.Subject = replica.summary;
    const user = httpClient.get('/query', { q: soql`SELECT Id FROM User WHERE Username = ${'nobody'}` });
    log.info(user.totalSize, user.records.length);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_stored_so_that_the_rule_can_go_on_with_its_key() {
    let incoming = "if (firstSync) {
            entity.entityType = 'Case';
            entity.Subject = replica.summary;
            log.info('first', entity.key === '');
            store(entity);
            const made = httpClient.post('/sobjects/CaseComment', { ParentId: entity.key, CommentBody: 'from ' + replica.key });
            entity.Description = `${made.success} ${made.id.length}`;
        } else {
            entity.Subject = replica.summary;
        }";
    let world = scripted(incoming).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Pump"}));
    let case = world.case_with("Pump").await;
    until("the rest of the rule", || world.case_field(&case, "Description") == "true 18").await;
    world.quiet().await;
    let made = world.org.handle.all("CaseComment");
    assert_eq!((made.len(), &made[0]["ParentId"], &made[0]["CommentBody"]), (1, &json!(case), &json!(format!("from {issue}"))));
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (1, 1));
    world.tracker.handle.edit(&issue, &json!({"summary": "Pump leaks"}));
    until("an edit", || world.case_field(&case, "Subject") == "Pump leaks").await;
    world.quiet().await;
    assert_eq!(comments(&world), 1);
    let twin = world.public.twin_of(&case).await.expect("a twin");
    assert_eq!(twin["status"], "in_sync");
    let lines = world.public.get(&format!("/twins/{}/history", twin["id"].as_str().expect("an id"))).await;
    let told = lines["items"].as_array().expect("lines").iter().filter_map(|line| line["reason"].as_str());
    assert!(told.clone().any(|reason| reason.contains("POST /sobjects/CaseComment")), "{lines}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_work_repeats_no_effect_and_a_person_moves_it_to_the_new_version() {
    let call = "httpClient.post('/sobjects/Contact', { LastName: replica.summary + '-' + String(Math.random()).slice(2, 8) + Date.now() });";
    let broken = format!("{COMMENTED} {call} replica.nothing.here;");
    let world = scripted(&broken).await;
    world.tracker.handle.create(&json!({"summary": "Pump"}));
    let error = only_error(&world).await;
    assert!(
        error["detail"].as_str().is_some_and(|all| all.contains("done already, and not done again: POST /sobjects/Contact")),
        "{error}"
    );
    assert_eq!((world.org.handle.count("Contact"), world.org.handle.count("Case")), (1, 0));
    // The same call, with the same chance at the same hour, under a rule that a person mended.
    put_rules(&world.public, &world.connection, CASE_OUT, &format!("{COMMENTED} {call} entity.Description = 'mended';")).await;
    retry(&world, &error).await;
    let case = world.case_with("Pump").await;
    assert_eq!(world.case_field(&case, "Description"), "mended");
    world.quiet().await;
    assert_eq!(world.org.handle.count("Contact"), 1, "the call is not made again");
    // Its work has ended: another one makes its own.
    world.tracker.handle.create(&json!({"summary": "Valve"}));
    world.case_with("Valve").await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Contact"), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_goes_on_under_its_own_version_until_a_person_retries() {
    let world = scripted(&format!(
        "{COMMENTED} httpClient.post('/sobjects/Contact', {{ LastName: 'old' }}); httpClient.get('/sobjects/Late');"
    ))
    .await;
    world.org.handle.fail(Fault {
        when: Matcher { path: Some("/sobjects/Late".to_owned()), ..Matcher::default() },
        times: 2,
        skip: 0,
        kind: FaultKind::ServerUnavailableArray,
    });
    world.tracker.handle.create(&json!({"summary": "Pump"}));
    only_error(&world).await;
    put_rules(&world.public, &world.connection, CASE_OUT, "entity.entityType = 'Case'; entity.Subject = 'new rule';").await;
    // Its own retry ends with what the old rule cannot do; the new one does not ask for it.
    until_said("the old rule's next try", async || {
        world.public.get("/errors").await["items"][0]["detail"].as_str().is_some_and(|detail| detail.contains("NOT_FOUND"))
    })
    .await;
    assert_eq!((world.org.handle.count("Contact"), world.org.handle.count("Case")), (1, 0));
    let error = only_error(&world).await;
    retry(&world, &error).await;
    world.case_with("new rule").await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Contact"), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_answer_is_lost_waits_for_a_person() {
    let world = scripted(&format!("{COMMENTED} httpClient.post('/sobjects/Contact', {{ LastName: replica.summary }});")).await;
    let lost = || Fault {
        when: Matcher { path: Some("/sobjects/Contact".to_owned()), ..Matcher::default() },
        times: 1,
        skip: 0,
        kind: FaultKind::ResetAfterCommit,
    };
    world.org.handle.fail(lost());
    world.tracker.handle.create(&json!({"summary": "Pump"}));
    let error = only_error(&world).await;
    assert_eq!(
        (&error["title"], &error["retryable"]),
        (&json!("Nobody can tell whether a call of the rule was done"), &json!(false)),
        "{error}"
    );
    assert_eq!((world.org.handle.count("Contact"), world.org.handle.count("Case")), (1, 0));
    retry(&world, &error).await;
    world.case_with("Pump").await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Contact"), 2, "a person said: again");
    world.org.handle.fail(lost());
    let issue = world.tracker.handle.create(&json!({"summary": "Valve"}));
    let error = only_error(&world).await;
    world.public.post(&format!("/errors/{}/skip", error["id"].as_str().expect("an id")), json!({})).await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Contact"), world.org.handle.count("Case")), (3, 1), "a person said: leave it");
    // What was skipped is over: the next change begins anew.
    world.tracker.handle.edit(&issue, &json!({"summary": "Valve again"}));
    world.case_with("Valve again").await;
    world.quiet().await;
    assert_eq!(world.org.handle.count("Contact"), 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_rules_to_catch_and_what_passes_heals_by_itself() {
    let incoming = "entity.entityType = 'Case'; entity.Subject = replica.summary;
        const codes = [];
        for (const path of ['/sobjects/Nothing', '/query?q=SELECT', 'https://evil.example/x', '//evil.example', '/services/oauth2/token', '/a/../..']) {
            try { httpClient.get(path) } catch (e) { codes.push(e.code) }
        }
        try { httpClient.post('/sobjects/Contact', {}) } catch (e) { codes.push(e.code) }
        entity.Description = codes.join();";
    let world = scripted(incoming).await;
    world.org.handle.fail(Fault {
        when: Matcher { path: Some("/sobjects/Nothing".to_owned()), ..Matcher::default() },
        times: 1,
        skip: 0,
        kind: FaultKind::ServerUnavailableArray,
    });
    world.tracker.handle.create(&json!({"summary": "Pump"}));
    let case = world.case_with("Pump").await;
    let codes = "NOT_FOUND,MALFORMED_QUERY,bad_path,bad_path,NO_SUCH_DOOR,bad_path,REQUIRED_FIELD_MISSING";
    assert_eq!(world.case_field(&case, "Description"), codes);
    assert_eq!(world.org.handle.count("Contact"), 0);
    world.quiet().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_parent_wakes_the_rule_that_looked_for_it() {
    let incoming = "entity.entityType = 'Case'; entity.Subject = replica.summary;
        const parent = nodeHelper.getLocalIssueKeyFromRemoteId(replica.parent);
        if (replica.summary === 'Waits' && !parent) skip('its parent is not here yet');
        if (replica.summary === 'Fails') entity.Description = parent.toLowerCase();
        entity.ParentId = parent;";
    let world = scripted(incoming).await;
    for summary in ["Early", "Waits", "Fails"] {
        world.tracker.handle.create(&json!({"summary": summary, "parent": "ISSUE-4"}));
    }
    let early = world.case_with("Early").await;
    only_error(&world).await;
    assert_eq!((world.case_field(&early, "ParentId"), world.org.handle.count("Case")), (Value::Null, 1));
    world.tracker.handle.create(&json!({"summary": "Plant"}));
    let plant = world.case_with("Plant").await;
    until("the parent of what was there", || world.case_field(&early, "ParentId") == plant.as_str()).await;
    for summary in ["Waits", "Fails"] {
        let case = world.case_with(summary).await;
        assert_eq!(world.case_field(&case, "ParentId"), plant.as_str(), "{summary}");
    }
    world.quiet().await;
    assert_eq!(world.org.handle.count("Case"), 4);
    assert_eq!(world.public.get("/errors").await["items"], json!([]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_parent_is_told_to_the_other_side_too() {
    let world = scripted(COMMENTED).await;
    let outgoing =
        format!("{ISSUE_OUT}\nreplica.description = nodeHelper.getLocalIssueKeyFromRemoteId(entity.parent) ?? 'none yet';");
    let incoming = "entity.entityType = 'Case'; entity.Subject = replica.summary; entity.Description = replica.description;";
    put_rules(&world.public, &world.connection, CASE_OUT, incoming).await;
    put_rules(&world.private, &world.connection, &outgoing, ISSUE_IN).await;
    let path = format!("/connections/{}/triggers", world.connection);
    let trigger = world.public.get(&path).await["items"][0]["id"].as_str().expect("a trigger").to_owned();
    world.public.patch(&format!("{path}/{trigger}"), json!({"filter": "Priority = 'High'"})).await;
    let parent = world.new_case(json!({"Subject": "Plant", "Priority": "Low"}));
    world.tracker.handle.create(&json!({"summary": "Pump", "parent": parent}));
    let case = world.case_with("Pump").await;
    world.quiet().await;
    assert_eq!(world.case_field(&case, "Description"), "none yet");
    world.edit_case(&parent, json!({"Priority": "High"}));
    let issue = world.issue_with("Plant").await;
    until("its key", || world.case_field(&case, "Description") == issue.as_str()).await;
    world.quiet().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_found_by_their_address_and_asked_for_once() {
    let incoming = "entity.entityType = 'Case'; entity.Subject = replica.summary;
        const user = nodeHelper.getUserByEmail(replica.email) ?? nodeHelper.getUserByEmail('FALLBACK@acme.example');
        nodeHelper.getUserByEmail(replica.email); entity.OwnerId = user.Id; entity.Description = user.Name;";
    let world = scripted(incoming).await;
    let ada = world.org.handle.add_user("ada.o'neil@acme.example", "Ada", "O'Neil", false);
    let desk = world.org.handle.add_user("fallback@acme.example", "Front", "Desk", false);
    for (summary, email, owner) in [("Pump", "Ada.O'Neil@acme.example", ada), ("Valve", "gone' OR Name != '", desk)] {
        let before = world.org.handle.calls().get("query").copied().unwrap_or_default();
        world.tracker.handle.create(&json!({"summary": summary, "email": email}));
        let case = world.case_with(summary).await;
        assert_eq!(world.case_field(&case, "OwnerId"), owner.as_str(), "{summary}");
        world.quiet().await;
        let asked = world.org.handle.calls().get("query").copied().unwrap_or_default() - before;
        assert!(asked <= 4, "{summary}: {asked} queries");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_without_a_door_for_rules_says_so() {
    let world = scripted(COMMENTED).await;
    put_rules(&world.private, &world.connection, "httpClient.get('/x')", ISSUE_IN).await;
    world.tracker.handle.create(&json!({"summary": "Pump"}));
    until_said("an error", async || world.private.get("/errors").await["items"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    let error = world.private.get("/errors").await["items"][0].clone();
    let detail = error["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("This tracker takes no requests of rules: a `webhook` tracker has no address for them"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_its_answer_holds_up_no_other() {
    let world =
        scripted(&format!("{COMMENTED} if (replica.summary === 'Slow') httpClient.get('/sobjects/Case/describe');")).await;
    let when = Matcher { path: Some("/sobjects/Case/describe".to_owned()), ..Matcher::default() };
    world.tracker.handle.create(&json!({"summary": "First"}));
    world.case_with("First").await;
    world.quiet().await;
    // What waits on a connection that is switched off comes as one batch.
    let path = format!("/connections/{}", world.connection);
    world.public.post(&format!("{path}/deactivate"), json!({})).await;
    world.org.handle.fail(Fault { when, times: 1, skip: 0, kind: FaultKind::Hang(4_000) });
    for summary in ["Slow", "Quick 1", "Quick 2"] {
        world.tracker.handle.create(&json!({"summary": summary}));
    }
    until_said("all three", async || {
        let (public, private) = (world.public.get("/queue").await, world.private.get("/queue").await);
        public["items"][0]["inbox"].as_u64().unwrap_or(0) + private["items"][0]["outbox"].as_u64().unwrap_or(0) == 3
    })
    .await;
    world.public.post(&format!("{path}/activate"), json!({})).await;
    let began = std::time::Instant::now();
    world.case_with("Quick 1").await;
    world.case_with("Quick 2").await;
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(world.org.handle.count("Case"), 3);
    world.case_with("Slow").await;
    world.quiet().await;
    world.stop().await;
}
