use serde_json::{Value, json};

use super::*;
use crate::{
    domain::tracker::{Fault, Found},
    salesforce::stub::{Request, Stub},
};

const KEY: &str = "5005i00000KfR1aAAF";

fn dead() -> (u16, Value) {
    (401, json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]))
}

fn record(id: &str) -> Value {
    json!({"attributes": {"type": "Case"}, "Id": id, "IsDeleted": false, "Subject": "s", "SystemModstamp": "2026-11-24T04:15:00.000+0000",
        "LastModifiedById": "0055i000003sTuVAAU"})
}

fn retrieve(request: &Request) -> (u16, Value) {
    let ids = request.json()["ids"].as_array().cloned().unwrap_or_default();
    (200, ids.iter().filter_map(Value::as_str).map(|id| if id == KEY { record(id) } else { Value::Null }).collect())
}

#[tokio::test]
async fn a_read_tells_here_deleted_and_hidden_apart() {
    let deleted = "5005i00000KfR1bAAF";
    let stub = Stub::start(move |request| match request.path.contains("/queryAll") {
        true => (200, json!({"totalSize": 1, "done": true, "records": [{"Id": deleted, "IsDeleted": true}]})),
        false => retrieve(request),
    })
    .await;
    let tracker = stub.tracker("external_id_fields = { Case = \"Wicketgate_Id__c\" }");
    let keys = [KEY, deleted, "5005i00000KfR1cAAF", "junk'"].map(str::to_owned);
    let read = tracker.read(Caller::Sync, "Case", &keys).await.expect("reads");
    assert!(matches!(&read.found[0], Found::Here(entity) if entity.edited_by_us == Some(true)));
    assert_eq!(read.found[1], Found::Deleted);
    assert_eq!(read.found[2], Found::NotVisible);
    assert!(matches!(&read.found[3], Found::Failed(_)));
    assert_eq!(read.tracker_time.expect("told").to_string(), "2026-11-24T04:15:54.000Z");
    assert_eq!(stub.seen("/services/data/v68.0/composite/sobjects/Case").len(), 1);
    let facts = tracker.facts();
    assert_eq!((facts.org_id.as_deref(), facts.api_calls.map(|calls| calls.used)), (Some("00D5i000000XyZaEAK"), Some(18)));
}

#[tokio::test]
async fn a_burst_of_dead_sessions_logs_in_once() {
    let stub = Stub::start(|request| match request.header("Authorization") {
        Some("Bearer 00D!1") => dead(),
        _ => retrieve(request),
    })
    .await;
    let tracker = Arc::new(stub.tracker(""));
    tracker.describe(Caller::Sync, "Case").await.expect("the first login");
    let reads = (0..20).map(|_| {
        let tracker = Arc::clone(&tracker);
        tokio::spawn(async move { tracker.read(Caller::Sync, "Case", &[KEY.to_owned()]).await })
    });
    for read in futures_util::future::join_all(reads).await {
        assert!(read.expect("no panic").is_ok());
    }
    assert_eq!(stub.seen("/oauth2/token").len(), 2);
}

#[tokio::test]
async fn a_dead_session_is_renewed_once_and_not_for_ever() {
    let stub = Stub::start(|_| dead()).await;
    let tracker = stub.tracker("");
    let error = tracker.read(Caller::Sync, "Case", &[KEY.to_owned()]).await.expect_err("refused");
    assert!(error.advice.contains("one address"), "{}", error.advice);
    assert_eq!(stub.seen("/oauth2/token").len(), 2);
}

#[tokio::test]
async fn a_session_that_may_not_use_rest_is_not_renewed() {
    let stub = Stub::start(|_| {
        (401, json!([{"message": "This session is not valid for use with the REST API", "errorCode": "INVALID_SESSION_ID"}]))
    })
    .await;
    let tracker = stub.tracker("");
    let error = tracker.read(Caller::Sync, "Case", &[KEY.to_owned()]).await.expect_err("refused");
    assert_eq!(error.fault, Fault::Login);
    assert_eq!(stub.seen("/oauth2/token").len(), 1);
}

#[tokio::test]
async fn another_org_is_refused() {
    let stub = Stub::start(retrieve).await;
    let tracker = stub.tracker("org_id = \"00D5i000000AAAA\"");
    let error = tracker.read(Caller::Sync, "Case", &[KEY.to_owned()]).await.expect_err("refused");
    assert_eq!(error.code, "OTHER_ORG");
}

#[tokio::test]
async fn a_filter_is_put_to_salesforce() {
    let stub = Stub::start(|_| (200, json!({"totalSize": 1, "done": true, "records": [{"Id": KEY}]}))).await;
    let tracker = stub.tracker("");
    let entity = |key: &str| Entity { key: key.into(), ..Entity::default() };
    let (one, two) = (entity(KEY), entity("5005i00000KfR1bAAF"));
    let matching = tracker.matches(Caller::Sync, "Case", "Status = 'New'", &[&one, &two]).await.expect("asks");
    assert_eq!(matching, [true, false]);
    assert_eq!(tracker.matches(Caller::Sync, "Case", " ", &[&one]).await.expect("asks nothing"), [true]);
    assert_eq!(stub.seen("/query").len(), 1);
}

#[tokio::test]
async fn the_reserve_stops_sync_and_not_people() {
    let stub = Stub::start(|request| match request.path.ends_with("/limits") {
        true => (200, json!({"DailyApiRequests": {"Max": 15_000, "Remaining": 14_000}})),
        false => retrieve(request),
    })
    .await;
    let tracker = stub.tracker("api_reserve = \"14990\"");
    let keys = [KEY.to_owned()];
    // The description's answer told of 18 calls, which is within the reserve already.
    assert_eq!(tracker.read(Caller::Sync, "Case", &keys).await.expect_err("rests").fault, Fault::Allowance);
    assert!(tracker.read(Caller::Person, "Case", &keys).await.is_ok());
    assert_eq!(tracker.read(Caller::Sync, "Case", &keys).await.expect_err("rests").code, "API_RESERVE");
    assert_eq!(stub.seen("/limits").len(), 1);
}

#[tokio::test]
async fn the_first_look_brings_no_history_and_the_next_no_repeats() {
    let stub = Stub::start(|request| match request.path.contains("/deleted/") {
        true => (200, json!({"deletedRecords": [{"id": "5005i00000KfR1bAAF", "deletedDate": "2026-11-24T04:15:00.000+0000"}]})),
        false => (200, json!({"totalSize": 1, "done": true, "records": [record(KEY)]})),
    })
    .await;
    let tracker = stub.tracker("");
    let types = ["Case".to_owned()];
    let first = tracker.look(&LookCursor::new(), &types).await.expect("looks");
    assert!(first.changes.is_empty() && stub.seen("/query").is_empty());
    let second = tracker.look(&first.cursor, &types).await.expect("looks");
    assert_eq!(second.changes.len(), 2);
    assert!(second.changes[0].content.as_ref().is_some_and(|content| content.whole && content.stamp.is_some()));
    assert!(second.changes[1].content.as_ref().is_some_and(|content| content.deleted));
    let third = tracker.look(&second.cursor, &types).await.expect("looks");
    assert!(third.changes.is_empty());
}

#[tokio::test]
async fn a_key_is_completed_and_a_strangers_page_refused() {
    let settings =
        "login_url = \"https://acme.my.salesforce.com\"\nclient_id = \"x\"\nflow = \"client-credentials\"\nclient_secret = \"s\"";
    let stub = Stub::start(retrieve).await;
    let mut tracker = stub.tracker("");
    tracker.settings = Arc::new(toml::from_str(settings).expect("reads"));
    for typed in [
        "5005i00000KfR1a",
        " 5005i00000KfR1aAAF ",
        "https://acme.lightning.force.com/lightning/r/Case/5005i00000KfR1aAAF/view",
        "https://acme.my.salesforce.com/5005i00000KfR1a",
        "https://acme.my.salesforce.com/lightning/r/5005i00000KfR1a/view",
        "https://ACME.lightning.force.com/lightning/r/Case/5005i00000KfR1aAAF/view?ws=%2Flightning",
        "acme.lightning.force.com/lightning/r/Case/5005i00000KfR1aAAF/view",
        "https://acme.my.salesforce.com/5005i00000KfR1a/e",
    ] {
        assert_eq!(tracker.key("Case", typed).expect(typed), KEY);
    }
    for (typed, why) in [
        ("https://evil.my.salesforce.com/5005i00000KfR1a", "its pages are at"),
        ("https://acme.my.salesforce.com.evil.example/5005i00000KfR1a", "its pages are at"),
        ("https://acme.my.salesforce.com/home", "not the page of a record"),
        ("00001042", "neither"),
        ("", "neither"),
        ("0015i00000pQ7BcAAK", "a record of Account, not of Case"),
        ("https://acme.lightning.force.com/lightning/r/Account/0015i00000pQ7BcAAK/view", "a record of Account"),
    ] {
        let error = tracker.key("Case", typed).expect_err(typed);
        assert!(error.detail.contains(why), "{typed}: {}", error.detail);
    }
    assert!(tracker.key("Account", "0015i00000pQ7Bc").is_ok() && tracker.key("Thing__c", "a0B5i00000pQ7Bc").is_ok());
}

#[tokio::test]
async fn a_check_names_each_step() {
    let stub = Stub::start(|request| match request.path.ends_with("/limits") {
        true => (200, json!({"DailyApiRequests": {"Max": 15_000, "Remaining": 14_000}})),
        false => {
            (400, json!([{"errorCode": "INVALID_TYPE", "message": "sObject type 'PermissionSetAssignment' is not supported."}]))
        }
    })
    .await;
    let steps = stub.tracker("external_id_fields = { Case = \"Wicketgate_Id__c\" }").check().await;
    assert_eq!(steps.len(), 9);
    let failed: Vec<_> = steps.iter().filter(|step| step.status == crate::domain::tracker::CheckStatus::Failed).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    // The stub's field is a plain text.
    assert!(failed[0].detail.contains("is no external id") && failed[0].detail.contains("is not unique"), "{failed:?}");
}

#[tokio::test]
async fn an_old_description_is_asked_for_as_far_as_it_was_modified() {
    let stub = Stub::start(retrieve).await;
    let tracker = stub.tracker("");
    let first = tracker.describe(Caller::Sync, "Case").await.expect("describes");
    tracker.descriptions.age();
    assert_eq!(tracker.describe(Caller::Sync, "Case").await.expect("describes"), first);
    let asked = stub.seen("/describe");
    assert_eq!(
        asked.iter().map(|one| one.header("If-Modified-Since")).collect::<Vec<_>>(),
        [None, Some("Tue, 24 Nov 2026 04:15:54 GMT")]
    );
    tracker.descriptions.forget("Case").await;
    tracker.describe(Caller::Sync, "Case").await.expect("describes");
    assert_eq!(stub.seen("/describe")[2].header("If-Modified-Since"), None);
}

#[tokio::test]
async fn the_integration_user_is_us_in_both_lengths() {
    let stub = Stub::start(retrieve).await;
    let tracker = stub.tracker("");
    assert!(!tracker.is_us("0055i000003sTuVAAU"), "nobody is before the first login");
    tracker.describe(Caller::Sync, "Case").await.expect("describes");
    assert!(tracker.is_us("0055i000003sTuVAAU") && tracker.is_us("0055i000003sTuV") && !tracker.is_us("0055i000002hGjKAAU"));
}
