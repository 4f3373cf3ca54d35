//! The check of an org: what it proves, and what it says about each thing that is missing.

use wicketgate::{
    domain::tracker::{Caller, CheckStatus, CheckStep, Tracker as _},
    sandbox::org::{Field, OrgSettings},
};

use super::{Desk, MARK};

fn step<'a>(steps: &'a [CheckStep], name: &str) -> &'a CheckStep {
    steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}: {steps:?}"))
}

#[tokio::test]
async fn a_sound_org_passes_every_step() {
    let desk = Desk::new().await;
    let steps = desk.sf.check().await;
    assert!(steps.iter().all(|step| step.status == CheckStatus::Ok && step.advice.is_empty()), "{steps:?}");
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "name resolution",
            "connection",
            "API versions",
            "login",
            "org",
            "permissions",
            "external id fields",
            "API allowance",
            "message permission"
        ]
    );
    assert!(step(&steps, "API allowance").detail.contains("of 15000"));
}

#[tokio::test]
async fn our_own_messages_and_silent_users_are_told() {
    let desk = Desk::new().await;
    let (integration, agent) = (desk.org.handle.integration_user(), desk.agent());
    desk.org.handle.permit_sending(&integration, true);
    desk.org.handle.permit_sending(&agent, false);
    let steps = desk.sf.check().await;
    let told = step(&steps, "message permission");
    assert_eq!(told.status, CheckStatus::Failed);
    assert!(told.detail.contains("integration user has Send Outbound Messages"), "{told:?}");
    assert!(told.detail.contains("1 active users") && told.advice.contains("permission set"), "{told:?}");
    desk.org.handle.permit_sending(&integration, false);
    let steps = desk.sf.check().await;
    let told = step(&steps, "message permission");
    assert!(told.status == CheckStatus::Ok && told.detail.contains("1 active users"), "people without it are only counted");
}

#[tokio::test]
async fn the_external_id_field_must_be_one() {
    let desk = Desk::with(OrgSettings { external_id: false, ..OrgSettings::default() }, MARK).await;
    let fields = async || step(&desk.sf.check().await, "external id fields").clone();
    let missing = fields().await;
    assert!(missing.status == CheckStatus::Failed && missing.detail.contains("does not exist or is hidden"), "{missing:?}");
    // Each mending is seen at once: nothing is believed from before.
    desk.org.handle.set_field("Case", Field::text("Wicketgate_Id__c", 20).read_only());
    let plain = fields().await.detail;
    for fault in ["cannot be written", "is no external id", "is not unique", "no room for 36"] {
        assert!(plain.contains(fault), "{fault}: {plain}");
    }
    desk.org.handle.set_field("Case", Field::text("Wicketgate_Id__c", 36).unique_external_id());
    assert_eq!(fields().await.status, CheckStatus::Ok);
}

#[tokio::test]
async fn the_first_failure_ends_the_walk_with_advice() {
    let desk = Desk::with(OrgSettings { client_credentials_user: false, ..OrgSettings::default() }, MARK).await;
    let steps = desk.sf.check().await;
    let login = step(&steps, "login");
    assert!(login.status == CheckStatus::Failed && login.advice.contains("Run As"), "{login:?}");
    assert_eq!(step(&steps, "permissions").status, CheckStatus::Skipped);
    desk.org.stop().await;
    let steps = desk.sf.check().await;
    let connection = step(&steps, "connection");
    assert!(connection.status == CheckStatus::Failed && !connection.advice.is_empty(), "{connection:?}");
    assert_eq!(step(&steps, "login").status, CheckStatus::Skipped);
}

#[tokio::test]
async fn a_secret_that_was_changed_and_a_reserve_that_is_reached_are_seen() {
    let desk = Desk::new().await;
    desk.sf.describe(Caller::Person, "Case").await.expect("a login that lives");
    desk.org.handle.set_calls_of_others(14_000);
    let steps = desk.sf.check().await;
    let allowance = step(&steps, "API allowance");
    assert!(allowance.status == CheckStatus::Failed && allowance.advice.contains("api_reserve"), "{allowance:?}");
    assert_eq!(desk.calls("login"), 2, "the check logs in afresh");
}
