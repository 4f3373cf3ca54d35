//! What a rule does to the outside, and a node that is killed right then: nothing is done twice, and what nobody can know
//! waits for a person.

use serde_json::{Value, json};
use wicketgate::sandbox::org::{Fault, FaultKind, Matcher};

use super::stage::Stage;
use crate::support::{Settings, put_rules, until, until_said};

/// An answer that will not come while the node lives.
const NEVER: u64 = 60_000;
const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const BEGIN: &str = "entity.entityType = 'Case'; entity.Subject = replica.summary;";

async fn stage(incoming: &str) -> Stage {
    let mut settings = Settings { connection: json!({"mode": "script"}), ..Settings::default() };
    settings.org.outbound.haste = 300.0;
    let stage = Stage::with(settings).await;
    put_rules(&stage.world.public, &stage.world.connection, CASE_OUT, &format!("{BEGIN}\n{incoming}")).await;
    stage
}

/// The next call of this path is done, and its answer never comes.
fn unheard(stage: &Stage, path: &str, kind: FaultKind) {
    let when = Matcher { path: Some(path.to_owned()), ..Matcher::default() };
    stage.world.org.handle.fail(Fault { when, times: 1, skip: 0, kind });
}

fn calls(stage: &Stage, method: &str, path: &str) -> usize {
    stage.world.org.handle.log().iter().filter(|call| call.method == method && call.path.contains(path)).count()
}

async fn restarted(stage: &mut Stage) {
    stage.public.kill();
    stage.public.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_answered_before_the_kill_is_not_made_again() {
    let incoming =
        "const made = httpClient.post('/sobjects/Contact', { LastName: replica.summary + Math.random() + Date.now() });
        entity.Description = `${made.id} ${httpClient.get('/sobjects/Case/describe/hangs').x}`;";
    let mut stage = stage(incoming).await;
    unheard(&stage, "describe/hangs", FaultKind::Hang(NEVER));
    stage.world.tracker.handle.create(&json!({"summary": "Pump"}));
    until("the second ask", || calls(&stage, "GET", "describe/hangs") == 1).await;
    assert_eq!(stage.world.org.handle.count("Contact"), 1);
    restarted(&mut stage).await;
    until("the second ask again", || calls(&stage, "GET", "describe/hangs") == 2).await;
    until_said("the rule's own error", async || {
        stage.world.public.get("/errors").await["items"][0]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("done already"))
    })
    .await;
    assert_eq!((stage.world.org.handle.count("Contact"), calls(&stage, "POST", "/sobjects/Contact")), (1, 1));
    let mended = incoming.replace("httpClient.get('/sobjects/Case/describe/hangs').x", "'well'");
    put_rules(&stage.world.public, &stage.world.connection, CASE_OUT, &format!("{BEGIN}\n{mended}")).await;
    let error = stage.world.public.get("/errors").await["items"][0]["id"].as_str().expect("an error").to_owned();
    stage.world.public.post(&format!("/errors/{error}/retry"), json!({})).await;
    let case = stage.world.case_with("Pump").await;
    let contact = stage.world.org.handle.all("Contact")[0]["Id"].as_str().expect("an id").to_owned();
    assert_eq!(stage.world.case_field(&case, "Description"), format!("{contact} well"), "the recorded answer");
    stage.quiet().await;
    assert_eq!((stage.world.org.handle.count("Contact"), calls(&stage, "POST", "/sobjects/Contact")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_in_doubt_at_the_kill_parks_and_is_not_made_again_by_itself() {
    let mut stage = stage("httpClient.post('/sobjects/Contact', { LastName: replica.summary });").await;
    unheard(&stage, "/sobjects/Contact", FaultKind::HangAfterCommit(NEVER));
    stage.world.tracker.handle.create(&json!({"summary": "Pump"}));
    until("the call", || stage.world.org.handle.count("Contact") == 1).await;
    restarted(&mut stage).await;
    until_said("an error", async || !stage.world.public.get("/errors").await["items"][0].is_null()).await;
    let error = stage.world.public.get("/errors").await["items"][0].clone();
    assert_eq!(error["title"], "Nobody can tell whether a call of the rule was done", "{error}");
    // A newer change changes nothing about that.
    stage.world.tracker.handle.create(&json!({"summary": "Valve"}));
    stage.world.case_with("Valve").await;
    assert_eq!(stage.world.org.handle.count("Contact"), 2, "one each");
    assert_eq!(stage.world.org.handle.count("Case"), 1);
    stage.world.public.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
    stage.world.case_with("Pump").await;
    stage.quiet().await;
    assert_eq!(stage.world.org.handle.count("Contact"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_repeats_harmlessly_is_repeated_after_the_kill() {
    let mut stage = stage("httpClient.patch('/sobjects/Account/' + replica.description, { Name: replica.summary });").await;
    let agent = stage.world.org.handle.agent_user();
    let account = stage.world.org.handle.create("Account", &json!({"Name": "before"}), &agent).expect("an account");
    unheard(&stage, "/sobjects/Account", FaultKind::HangAfterCommit(NEVER));
    stage.world.tracker.handle.create(&json!({"summary": "Pump", "description": account}));
    until("the call", || stage.world.case_field(&account, "Name") == "Pump").await;
    restarted(&mut stage).await;
    stage.world.case_with("Pump").await;
    stage.quiet().await;
    assert_eq!(calls(&stage, "PATCH", "/sobjects/Account"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_stored_before_the_kill_is_found_and_the_rule_goes_on_with_it() {
    let incoming = "if (firstSync) { store(entity); httpClient.post('/sobjects/CaseComment', { ParentId: entity.key, CommentBody: 'hello' }); }
        entity.Description = 'done';";
    let mut stage = stage(incoming).await;
    unheard(&stage, "composite", FaultKind::HangAfterCommit(NEVER));
    stage.world.tracker.handle.create(&json!({"summary": "Pump"}));
    let case = stage.world.case_with("Pump").await;
    restarted(&mut stage).await;
    until("the rest", || stage.world.case_field(&case, "Description") == "done").await;
    stage.quiet().await;
    let comments = stage.world.org.handle.all("CaseComment");
    let parents: Vec<&Value> = comments.iter().map(|comment| &comment["ParentId"]).collect();
    assert_eq!((stage.world.org.handle.count("Case"), parents), (1, vec![&json!(case)]));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_it_waits_costs_a_repeat_and_no_effect() {
    let incoming = "const made = httpClient.post('/sobjects/Contact', { LastName: replica.summary });
        entity.Description = made.id;";
    let mut stage = stage(incoming).await;
    unheard(&stage, "/sobjects/Contact", FaultKind::Late(1500));
    stage.world.tracker.handle.create(&json!({"summary": "Pump"}));
    until("the call", || stage.world.org.handle.count("Contact") == 1).await;
    assert_ne!(stage.public.kill_workers(), 0);
    stage.world.tracker.handle.create(&json!({"summary": "Valve"}));
    stage.world.case_with("Valve").await;
    assert_eq!(stage.world.org.handle.count("Case"), 1, "its neighbour goes on meanwhile");
    let case = stage.world.case_with("Pump").await;
    stage.quiet().await;
    let contacts = stage.world.org.handle.all("Contact");
    let made = contacts.iter().find(|contact| contact["LastName"] == "Pump").expect("a contact");
    assert_eq!(stage.world.case_field(&case, "Description"), made["Id"], "the recorded answer");
    assert_eq!((contacts.len(), calls(&stage, "POST", "/sobjects/Contact")), (2, 2), "one each");
    stage.end();
}
