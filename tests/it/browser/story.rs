//! Two people, two browsers' worth of pages: from the first account to records that cross.

use serde_json::json;
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::chromium::Chromium;
use crate::support::{Settings, TestNode, World, until, until_said};

const PASSWORD: &str = "correct horse battery";

/// Makes the first account by the link that the node printed.
async fn first_account(browser: &Chromium, node: &TestNode) {
    let link = node.node.as_ref().and_then(|node| node.set_up.clone()).expect("nobody has an account yet");
    browser.go(&link).await;
    browser.fill("#name", "Ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.fill("#again", PASSWORD).await;
    browser.picture("set-up").await;
    browser.press("Make the account").await;
    browser.find("nav[aria-label=Main]").await;
}

/// Walks through "Initiate connection" and answers the code.
async fn invitation(browser: &Chromium, base: &str) -> String {
    browser.go(&format!("{base}/connections")).await;
    browser.press("Initiate connection").await;
    browser.picture("wizard-1").await;
    browser.press("I don't have a URL").await;
    browser.says("Choose the configuration type").await;
    browser.picture("wizard-2").await;
    browser.press("Next").await;
    browser.fill("#local_short_name", "acme").await;
    browser.fill("#remote_short_name", "globex").await;
    let proposed = browser.find("#name").await.prop("value").await.expect("a value");
    assert_eq!(proposed.as_deref(), Some("acme_to_globex"), "the name is proposed from the two");
    browser.press("Previous").await;
    browser.press("Next").await;
    let kept = browser.find("#local_short_name").await.prop("value").await.expect("a value");
    assert_eq!(kept.as_deref(), Some("acme"), "Previous keeps what was typed");
    browser.picture("wizard-3").await;
    browser.press("Next").await;
    browser.says("Copy invitation code").await;
    browser.picture("wizard-4").await;
    let code = browser.find("#code").await.text().await.expect("a code");
    browser.press("Done").await;
    browser.says("Waiting for your partner").await;
    code
}

async fn accept(browser: &Chromium, base: &str, code: &str) {
    browser.go(&format!("{base}/connections/accept")).await;
    browser.fill("#code", code).await;
    browser.press("Next").await;
    browser.says("All traffic will start from here").await;
    browser.says("The inviting node answers from here").await;
    browser.picture("accept").await;
    browser.press("Accept").await;
    browser.says("Other side: acme").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_connect_and_work() {
    let mut world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let (here, there) = (Chromium::open("story-public").await, Chromium::open("story-private").await);
    let (ours, theirs) = (world.public.url.clone(), world.private.url.clone());
    first_account(&here, &world.public).await;
    first_account(&there, &world.private).await;
    let code = invitation(&here, &ours).await;
    accept(&there, &theirs, &code).await;
    // The row turns by itself.
    here.says("Active").await;
    here.picture("active").await;
    world.connection = world.public.get("/connections").await["items"][0]["id"].as_str().expect("an id").to_owned();
    triggers_and_a_run(&world, &here).await;
    a_rule_with_a_trial(&world, &there).await;
    a_parked_record(&world, &there).await;
    here.close().await;
    there.close().await;
    world.stop().await;
}

/// A trigger with its count, run over what exists; the progress is there after a reload.
async fn triggers_and_a_run(world: &World, here: &Chromium) {
    for n in 0..5 {
        world.new_case(json!({"Subject": format!("Case {n}"), "Description": "d"}));
    }
    here.go(&format!("{}/connections/{}/triggers", world.public.url, world.connection)).await;
    here.says("Nothing starts a sync").await;
    here.fill("#entity_type", "Case").await;
    here.fill("#filter", "Subject LIKE 'Case%'").await;
    here.says("5 match, 0 of them under sync already").await;
    here.picture("trigger").await;
    here.press("Make the trigger").await;
    here.press("Run").await;
    here.says("Run of a trigger").await;
    here.says("Done").await;
    let address = here.driver.current_url().await.expect("an address");
    here.go(address.as_str()).await;
    here.says("5 of 5").await;
    here.picture("run").await;
    until("the issues", || world.tracker.handle.all().len() == 5).await;
}

/// A rule is changed in the editor, found wrong while typing, tried and published.
async fn a_rule_with_a_trial(world: &World, there: &Chromium) {
    let connection = world.private.get("/connections").await["items"][0]["id"].as_str().expect("an id").to_owned();
    there.go(&format!("{}/connections/{connection}/rules", world.private.url)).await;
    let incoming = "if (firstSync) entity.entityType = 'issue';\nentity.summary = replica.summary;\nif (replica.description === 'blue') throw new Error('must not be blue');\nentity.description = replica.description;\n";
    there.fill("#incoming", "entity.summary = );").await;
    there.says("incoming, line 1").await;
    there.picture("rule-wrong").await;
    there.fill("#incoming", incoming).await;
    there.says("Nothing is wrong as far as can be told").await;
    let key = world.tracker.handle.all()[0].key.clone();
    there.driver.execute("document.querySelector('#direction').value = 'incoming'", Vec::new()).await.expect("chosen");
    there.fill("#entity_type", "issue").await;
    there.fill("#key", &key).await;
    there.click("#replica-part summary").await;
    there.fill("#replica", "{\"summary\": \"tried\", \"description\": \"d\"}").await;
    let writes = world.tracker.handle.log().len();
    there.press("Try").await;
    there.says("It ran well").await;
    there.says("tried").await;
    there.picture("trial").await;
    assert_eq!(world.tracker.handle.log().len(), writes, "a trial writes nothing");
    there.press("Save and go on to publish").await;
    there.says("What was found").await;
    there.picture("publish").await;
    there.fill("#note", "no blue records").await;
    there.press("Publish").await;
    there.says("no blue records").await;
    there.picture("versions").await;
}

/// A record that a rule refuses is parked, shown, and retried with another replica.
async fn a_parked_record(world: &World, there: &Chromium) {
    world.new_case(json!({"Subject": "Case blue", "Description": "blue"}));
    until_said("an error", async || !world.private.get("/errors").await["items"].as_array().expect("a list").is_empty()).await;
    there.go(&format!("{}/errors", world.private.url)).await;
    there.says("must not be blue").await;
    there.picture("errors").await;
    there.press("Look at it").await;
    there.fill("#replica", "{\"summary\": \"Case mended\", \"description\": \"green\"}").await;
    there.picture("edit-and-retry").await;
    there.press("Retry with this").await;
    there.says("In sync").await;
    there.picture("mended").await;
    until("the mended record", || world.tracker.handle.all().iter().any(|issue| issue.fields["summary"] == "Case mended")).await;
    // The other way to be held up: the tracker says no, and is asked again by a press.
    let kind = TrackerFaultKind::Refuse("not today".to_owned());
    world.tracker.handle.fail(TrackerFault { kind, times: 1, reads: false, body: None });
    let case = world.org.handle.all("Case")[0]["Id"].as_str().expect("an id").to_owned();
    world.edit_case(&case, json!({"Subject": "Case refused once"}));
    there.go(&format!("{}/errors", world.private.url)).await;
    there.says("newest").await;
    there.press("Retry").await;
    until("the write", || world.tracker.handle.all().iter().any(|issue| issue.fields["summary"] == "Case refused once")).await;
    there.says("Nothing waits for you").await;
}
