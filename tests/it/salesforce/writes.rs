//! Writing: each record on its own, few calls, no re-assignment, nothing in doubt that is certain.

use std::time::Duration;

use serde_json::json;
use wicketgate::{
    domain::tracker::{Caller, Created, Fault, Tracker as _},
    sandbox::org::{self, Automation, FaultKind, OrgSettings},
};

use super::{Desk, MARK, soon, twin, write};

#[tokio::test(flavor = "multi_thread")]
async fn many_updates_are_few_calls_and_one_bad_record_is_alone() {
    let desk = Desk::new().await;
    let rows: Vec<_> = (0..450).map(|n| json!({"Subject": n.to_string()})).collect();
    let keys = desk.org.handle.create_many("Case", &rows, &desk.agent()).expect("made");
    desk.sf.describe(Caller::Sync, "Case").await.expect("known");
    let before = desk.org.handle.api_calls_total();
    let writes: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| {
            write(n as u128, Some(key), json!({"Subject": if n == 7 { "x".repeat(256) } else { format!("new {n}") }}))
        })
        .collect();
    let results = desk.sf.write(&writes).await;
    assert_eq!(desk.org.handle.api_calls_total() - before, 2, "two composites of up to 400");
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(written) => assert_eq!(written.read_back.as_ref().expect("read back").fields["Subject"], format!("new {n}")),
            Err(error) => assert_eq!((n, error.code.as_str()), (7, "STRING_TOO_LONG")),
        }
    }
    let owner = desk.org.handle.get(&keys[0]).expect("there")["OwnerId"].clone();
    assert_eq!(owner, desk.agent(), "an update hands nothing to the queue");
    let nulled = desk.sf.write(&[write(1, Some(&keys[0]), json!({"Priority": null}))]).await;
    assert!(nulled[0].is_ok() && desk.org.handle.get(&keys[0]).expect("there")["Priority"].is_null());
}

#[tokio::test]
async fn a_create_lets_the_rules_choose_only_where_nobody_did() {
    let desk = Desk::new().await;
    let agent = desk.agent();
    let writes = [write(0, None, json!({"Subject": "free"})), write(1, None, json!({"Subject": "owned", "OwnerId": agent}))];
    let results = desk.sf.write(&writes).await;
    let owner = |n: usize| {
        let key = &results[n].as_ref().expect("made").key;
        desk.org.handle.get(key).expect("there")["OwnerId"].as_str().unwrap_or_default().to_owned()
    };
    assert!(owner(0).starts_with("00G"), "the org's rules choose");
    assert_eq!(owner(1), agent);
    let marks: Vec<_> = desk.org.handle.all("Case").iter().map(|case| case["Wicketgate_Id__c"].clone()).collect();
    assert!(marks.contains(&json!(twin(0).to_string())) && marks.contains(&json!(twin(1).to_string())), "{marks:?}");
}

#[tokio::test]
async fn a_create_without_the_field_leaves_plainly() {
    let desk = Desk::with(OrgSettings { external_id: false, ..OrgSettings::default() }, "").await;
    let results = desk.sf.write(&[write(0, None, json!({"Subject": "a"}))]).await;
    assert!(results[0].as_ref().is_ok_and(|written| !written.existed));
    assert_eq!(
        desk.sf.find_created("Case", &[(twin(0), write(0, None, json!({})).pending)]).await.expect("asks"),
        [Created::CannotTell]
    );
    let missing = Desk::with(OrgSettings { external_id: false, ..OrgSettings::default() }, MARK).await;
    let error = missing.sf.write(&[write(0, None, json!({"Subject": "a"}))]).await.remove(0).expect_err("no such field");
    assert_eq!(error.fault, Fault::Configuration, "{error}");
    assert!(error.advice.contains("wicketgate salesforce package"), "{}", error.advice);
}

#[tokio::test]
async fn a_lost_answer_is_doubt_and_the_record_is_found_by_its_mark() {
    let desk = Desk::new().await;
    desk.sf.describe(Caller::Sync, "Case").await.expect("known");
    desk.org.handle.fail(org::Fault::on_writes(1, FaultKind::ResetAfterCommit));
    let create = write(3, None, json!({"Subject": "once"}));
    let error = desk.sf.write(std::slice::from_ref(&create)).await.remove(0).expect_err("no answer");
    assert!(error.in_doubt && error.fault == Fault::Network, "{error:?}");
    let others = [(create.twin, create.pending.clone()), (twin(99), create.pending.clone())];
    let found = desk.sf.find_created("Case", &others).await.expect("asks");
    assert!(matches!(&found[0], Created::Here(entity) if entity.fields["Subject"] == "once"));
    assert_eq!(found[1], Created::Absent);
    let key = desk.org.handle.all("Case")[0]["Id"].as_str().expect("an id").to_owned();
    desk.org.handle.delete(&key, &desk.agent()).expect("deleted");
    assert_eq!(desk.sf.find_created("Case", &others[..1]).await.expect("asks"), [Created::Deleted { key }]);
    assert_eq!(desk.org.handle.count("Case"), 0);
}

#[tokio::test]
async fn servers_that_fail_leave_doubt_and_say_when_to_come_again() {
    let desk = Desk::new().await;
    let key = desk.case(json!({"Subject": "a"}));
    desk.sf.describe(Caller::Sync, "Case").await.expect("known");
    for (kind, pause) in [
        (FaultKind::ServerUnavailableArray, 0),
        (FaultKind::Html503, 0),
        (FaultKind::EmptyGateway, 0),
        (FaultKind::Error500, 0),
        (FaultKind::Busy(9_000), 9),
    ] {
        desk.org.handle.fail(org::Fault::on_writes(1, kind));
        let error = desk.sf.write(&[write(0, Some(&key), json!({"Subject": "b"}))]).await.remove(0).expect_err("failed");
        assert!(error.in_doubt, "{kind:?}: {error:?}");
        assert_eq!(soon(&error), Duration::from_secs(pause), "{kind:?}");
    }
    desk.org.handle.fail(org::Fault::on_writes(1, FaultKind::CaptivePage));
    let error = desk.sf.write(&[write(0, Some(&key), json!({"Subject": "b"}))]).await.remove(0).expect_err("no answer of theirs");
    assert!(error.in_doubt, "{error:?}");
    assert_eq!(desk.org.handle.get(&key).expect("there")["Subject"], "a");
}

#[tokio::test]
async fn a_locked_row_is_tried_again_by_itself() {
    let desk = Desk::new().await;
    let key = desk.case(json!({"Subject": "a"}));
    desk.org.handle.fail(org::Fault::on_writes(2, FaultKind::LockRow));
    assert!(desk.sf.write(&[write(0, Some(&key), json!({"Subject": "b"}))]).await[0].is_ok());
    desk.org.handle.fail(org::Fault::on_writes(1, FaultKind::LockRow));
    assert!(desk.sf.write(&[write(1, None, json!({"Subject": "c"}))]).await[0].is_ok());
    assert_eq!(desk.org.handle.count("Case"), 2);
}

#[tokio::test]
async fn refusals_of_the_org_reach_only_their_record() {
    let automation = Automation { validation_rule: true, duplicate_rule: true, ..Automation::default() };
    let desk = Desk::with(OrgSettings { automation, ..OrgSettings::default() }, MARK).await;
    let known = desk.case(json!({"Subject": "known"}));
    let gone = desk.case(json!({"Subject": "gone"}));
    desk.org.handle.delete(&gone, &desk.agent()).expect("deleted");
    let writes = [
        write(0, None, json!({"Subject": "INVALID"})),
        write(1, None, json!({"Subject": "known"})),
        write(2, None, json!({"Subject": "fine"})),
        write(3, None, json!({"Subject": "odd", "Priority": "Unheard of"})),
        write(4, None, json!({"Subject": "read-only", "CaseNumber": "1"})),
        write(5, Some(&gone), json!({"Status": "Working"})),
        write(6, Some(&known), json!({"Status": "Working"})),
    ];
    let results = desk.sf.write(&writes).await;
    let code = |n: usize| results[n].as_ref().err().map(|error| error.code.as_str());
    assert_eq!(code(0), Some("FIELD_CUSTOM_VALIDATION_EXCEPTION"));
    assert_eq!(code(1), Some("DUPLICATES_DETECTED"));
    assert!(results[1].as_ref().expect_err("a duplicate").detail.contains(&known), "what was found is named");
    assert_eq!((code(2), code(3)), (None, Some("UNLISTED_VALUE")));
    assert_eq!((code(4), code(5), code(6)), (Some("INVALID_FIELD_FOR_INSERT_UPDATE"), Some("ENTITY_IS_DELETED"), None));
    let priority = desk.sf.describe(Caller::Sync, "Case").await.expect("described");
    assert!(!priority.field("Priority").expect("there").values.as_ref().expect("listed").contains(&"Unheard of".to_owned()));
    assert!(desk.org.handle.all("Case").iter().all(|case| case["Priority"] != "Unheard of"), "it never left");
}

#[tokio::test]
async fn a_record_that_is_ours_already_is_adopted() {
    let desk = Desk::new().await;
    let create = write(5, None, json!({"Subject": "a"}));
    let first = desk.sf.write(std::slice::from_ref(&create)).await.remove(0).expect("made");
    let again = desk.sf.write(std::slice::from_ref(&create)).await.remove(0).expect("taken as it is");
    assert!(!first.existed && again.existed && again.key == first.key);
    assert_eq!(desk.org.handle.count("Case"), 1);
}
