//! What a tracker makes of a value that we wrote, and what its own rules do.

use serde_json::json;
use wicketgate::sandbox::{
    org::{Automation, OrgSettings},
    tracker::TrackerSettings,
};

use super::says;
use crate::support::{Settings, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tracker_trims_does_not_come_back() {
    let mut settings = Settings::default();
    settings.tracker = TrackerSettings { tidies: true, ..settings.tracker };
    let world = World::with(settings).await;
    let case = world.new_case(json!({"Subject": "Trimmed", "Description": "  E-17  \n"}));
    let issue = world.issue_with("Trimmed").await;
    assert_eq!(world.issue_field(&issue, "description"), "E-17");
    world.quiet().await;
    let (kept, writes) = (world.case_field(&case, "Description"), world.writes());
    world.edit_case(&case, json!({"Subject": "  Trimmed again "}));
    until("the edit", || world.issue_field(&issue, "summary") == "Trimmed again").await;
    world.quiet().await;
    assert_eq!(world.case_field(&case, "Description"), kept, "the trimmed text is the baseline there, not an edit");
    assert_eq!(world.writes(), writes + 1);
    world.tracker.handle.edit(&issue, &json!({"description": "E-18"}));
    until("a person's edit", || world.case_field(&case, "Description") == "E-18").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_on_our_value_is_the_baseline_and_on_another_field_a_change() {
    let automation = Automation { trims_subject: true, signs_description: true, ..Automation::default() };
    let world = World::with(Settings { org: OrgSettings { automation, ..OrgSettings::default() }, ..Settings::default() }).await;
    let issue = world.tracker.handle.create(&json!({"summary": "valve", "description": "leaks"}));
    let case = world.case_with("Valve").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), "valve", "what the flow made of our value stays there");
    world.edit_case(&case, json!({"Description": "leaks badly"}));
    until("a person's edit, with what the flow added", || {
        world
            .issue_field(&issue, "description")
            .as_str()
            .is_some_and(|text| text.starts_with("leaks badly") && text.contains("seen by a flow"))
    })
    .await;
    world.quiet().await;
    // We write the subject alone; the flow changes the description in the same save.
    world.tracker.handle.edit(&issue, &json!({"description": "dry"}));
    until("our write", || world.case_field(&case, "Description").as_str().is_some_and(|text| text.starts_with("dry"))).await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "description"), "dry");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_changes_another_field_flows() {
    let world = World::with(Settings::default()).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Signed"}));
    let case = world.case_with("Signed").await;
    world.quiet().await;
    assert!(world.case_field(&case, "Description").is_null());
    world.org.handle.set_automation(Automation { signs_description: true, ..Automation::default() });
    world.tracker.handle.edit(&issue, &json!({"summary": "Signed by a flow"}));
    until("the flow's field", || {
        world.issue_field(&issue, "description").as_str().is_some_and(|text| text.contains("seen by a flow"))
    })
    .await;
    assert_eq!(world.case_field(&case, "Subject"), "Signed by a flow");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_text_stays_cut_here() {
    let world = World::start().await;
    let long = "x".repeat(400);
    let issue = world.tracker.handle.create(&json!({"summary": long.clone(), "description": "d"}));
    until("a Case", || world.org.handle.count("Case") == 1).await;
    world.quiet().await;
    let case = world.public.twin_of(&issue).await.expect("a twin")["local"]["key"].as_str().expect("a key").to_owned();
    let cut = world.case_field(&case, "Subject");
    assert!(cut.as_str().is_some_and(|text| text.chars().count() == 255 && text.ends_with("… [cut]")), "{cut}");
    world.told(&world.public, &case, "the cut", |line| says(line, "applied", "the text of Subject was cut")).await;
    world.edit_case(&case, json!({"Subject": "shorter", "Description": "edited too"}));
    until("the other field", || world.issue_field(&issue, "description") == "edited too").await;
    world.quiet().await;
    assert_eq!(world.issue_field(&issue, "summary"), long.as_str(), "the original wins");
    let line = world
        .told(&world.public, &case, "the conflict", |line| {
            !line["changes"].as_array().expect("a list").is_empty() && line["changes"].to_string().contains("\"conflict\":true")
        })
        .await;
    assert!(line["changes"].to_string().contains("shorter"), "{line}");
    world.edit_case(&case, json!({"Description": "edited again"}));
    until("another edit", || world.issue_field(&issue, "description") == "edited again").await;
    let story = world.story(&world.public, &case).await;
    let told = story.iter().filter(|line| line["changes"].to_string().contains("shorter")).count();
    assert_eq!(told, 1, "an edit that is put back is told once: {story:#?}");
    world.tracker.handle.edit(&issue, &json!({"summary": "fits now"}));
    until("the new original", || world.case_field(&case, "Subject") == "fits now").await;
    world.quiet().await;
    world.edit_case(&case, json!({"Subject": "edited after"}));
    until("an edit of a whole text", || world.issue_field(&issue, "summary") == "edited after").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_does_not_assign_the_owner_again() {
    let world = World::start().await;
    let issue = world.tracker.handle.create(&json!({"summary": "Owned"}));
    let case = world.case_with("Owned").await;
    world.quiet().await;
    let (owner, agent) = (world.case_field(&case, "OwnerId"), world.org.handle.agent_user());
    assert!(owner.as_str().is_some_and(|id| id.starts_with("00G")), "a create lets the org's rules choose: {owner}");
    world.edit_case(&case, json!({"OwnerId": agent}));
    world.tracker.handle.edit(&issue, &json!({"summary": "Owned by Mira"}));
    until("the edit", || world.case_field(&case, "Subject") == "Owned by Mira").await;
    assert_eq!(world.case_field(&case, "OwnerId"), agent.as_str());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_not_listed_parks_with_the_values_there_are() {
    let support = "look = \"off\"\ndefaults.Case = { Priority = \"Urgent\" }\n".to_owned();
    let world = World::with(Settings { support, ..Settings::default() }).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Not listed"}));
    let twin = world.twin_in(&world.public, &issue, "parked").await;
    let error = &twin["error"];
    assert_eq!(error["title"], "`Priority` does not list the value `Urgent`", "{twin}");
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("High, Medium, Low")), "{twin}");
    assert_eq!(world.org.handle.count("Case"), 0, "unrestricted too");
    let other = world.word_of(&world.private, &issue, "parked").await;
    assert!(other["remote_outcome"]["title"].as_str().is_some_and(|title| title.contains("Urgent")), "{other}");
    world.stop().await;
}
