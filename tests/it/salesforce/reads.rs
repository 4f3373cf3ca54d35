//! Reading: versions, the allowance, pages, and records that are not to be had.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::{
    clock::{ManualClock, Time},
    domain::tracker::{Caller, Fault, Found, LookCursor, Tracker as _},
    sandbox::org::{self, FaultKind, Field, Kind, LimitHeader, OrgSettings},
};

use super::{Desk, MARK, soon};

#[tokio::test]
async fn the_version_is_discovered_once_or_pinned() {
    let desk = Desk::new().await;
    desk.sf.describe(Caller::Sync, "Case").await.expect("describes");
    desk.sf.entity_types(Caller::Sync).await.expect("lists");
    assert_eq!(desk.calls("versions"), 1);
    assert!(desk.org.handle.log().iter().any(|call| call.path.starts_with("/services/data/v68.0/sobjects")));
    let pinned = Desk::with(OrgSettings::default(), "api_version = \"62.0\"\n").await;
    pinned.sf.describe(Caller::Sync, "Case").await.expect("describes");
    assert!(pinned.org.handle.log().iter().any(|call| call.path == "/services/data/v62.0/sobjects/Case/describe"));
}

#[tokio::test]
async fn the_allowance_is_heard_in_every_form() {
    for (form, told) in [(LimitHeader::Org, true), (LimitHeader::AppAndOrg, true), (LimitHeader::Absent, false)] {
        let desk = Desk::with(OrgSettings { limit_header: form, ..OrgSettings::default() }, "").await;
        desk.sf.describe(Caller::Sync, "Case").await.expect("describes");
        let calls = desk.sf.facts().api_calls;
        assert_eq!(calls.map(|calls| (calls.used, calls.limit)), told.then_some((1, 15_000)), "{form:?}");
    }
}

#[tokio::test]
async fn the_reserve_rests_sync_until_the_window_moves() {
    for reserve in ["\"10%\"", "\"1500\"", "1500"] {
        let clock = ManualClock::new("2026-11-24T04:00:00Z".parse::<Time>().expect("a time"));
        let extra = format!("flow = \"client-credentials\"\nclient_secret = \"sandbox-secret\"\napi_reserve = {reserve}\n");
        let desk = Desk::at(OrgSettings::default(), &extra, (Arc::new(clock.clone()), Arc::new(clock.clone()))).await;
        let case = desk.case(json!({"Subject": "a"}));
        let read = async |caller| desk.sf.read(caller, "Case", std::slice::from_ref(&case)).await;
        read(Caller::Sync).await.expect("within the allowance");
        desk.org.handle.set_calls_of_others(13_600);
        read(Caller::Sync).await.expect("nobody has told yet");
        let error = read(Caller::Sync).await.expect_err("rests");
        assert_eq!((error.fault, error.code.as_str()), (Fault::Allowance, "API_RESERVE"));
        assert!(error.detail.contains("of 15000") && error.detail.contains("1500 are left"), "{error}");
        read(Caller::Person).await.expect("people may");
        let calls = desk.org.handle.api_calls_total();
        let wait = soon(&read(Caller::Sync).await.expect_err("still"));
        assert_eq!(desk.org.handle.api_calls_total(), calls, "resting costs no calls");
        desk.org.handle.set_calls_of_others(0);
        clock.advance(wait);
        read(Caller::Sync).await.expect("healed by one question");
    }
}

#[tokio::test]
async fn a_used_up_day_rests_sync_and_too_many_at_once_does_not() {
    let desk = Desk::new().await;
    let case = desk.case(json!({"Subject": "a"}));
    let read = async |caller| desk.sf.read(caller, "Case", std::slice::from_ref(&case)).await;
    read(Caller::Sync).await.expect("reads");
    desk.org.handle.fail(org::Fault::at("/composite/", 1, FaultKind::ConcurrentLimit));
    assert_eq!(soon(&read(Caller::Sync).await.expect_err("crowded")), Duration::from_secs(5));
    read(Caller::Sync).await.expect("a moment later");
    desk.org.handle.fail(org::Fault::at("/composite/", 1, FaultKind::LimitExceeded));
    let error = read(Caller::Sync).await.expect_err("the day is used up");
    assert_eq!((error.fault, soon(&error)), (Fault::Allowance, Duration::from_secs(300)));
    read(Caller::Sync).await.expect("the question whether it recovered says yes");
    assert_eq!(desk.calls("limits"), 1);
}

#[tokio::test]
async fn one_id_that_makes_no_sense_spoils_no_neighbour() {
    let desk = Desk::new().await;
    let mut keys: Vec<String> = (0..30).map(|n| desk.case(json!({"Subject": n.to_string()}))).collect();
    let deleted = desk.case(json!({"Subject": "gone"}));
    desk.org.handle.delete(&deleted, &desk.agent()).expect("deleted");
    let account = desk.org.handle.create("Account", &json!({"Name": "Acme"}), &desk.agent()).expect("made");
    let hidden = org::to_18("500000000000ZZZ").expect("an id");
    keys.splice(7..7, [account, deleted, hidden, "junk'".to_owned()]);
    let read = desk.sf.read(Caller::Sync, "Case", &keys).await.expect("reads");
    assert!(matches!(&read.found[7], Found::Failed(error) if error.code == "MALFORMED_ID"), "{:?}", read.found[7]);
    assert_eq!((&read.found[8], &read.found[9]), (&Found::Deleted, &Found::NotVisible));
    assert!(matches!(&read.found[10], Found::Failed(_)));
    let here = read.found.iter().zip(&keys).filter(|(found, key)| matches!(found, Found::Here(entity) if entity.key == **key));
    assert_eq!(here.count(), 30);
}

#[tokio::test]
async fn two_thousand_records_are_one_call_and_unknown_ones_fit_into_addresses() {
    let desk = Desk::new().await;
    let rows: Vec<Value> = (0..1_500).map(|n| json!({"Subject": n.to_string()})).collect();
    let mut keys = desk.org.handle.create_many("Case", &rows, &desk.agent()).expect("made");
    keys.extend((0..500).map(|n| org::to_18(&format!("500zzzz0000{n:04}")).expect("an id")));
    let read = desk.sf.read(Caller::Sync, "Case", &keys).await.expect("reads");
    assert_eq!(read.found.iter().filter(|found| matches!(found, Found::Here(_))).count(), 1_500);
    assert_eq!((desk.calls("retrieve"), desk.calls("query_all")), (1, 2));
    assert!(desk.org.handle.log().iter().all(|call| call.path.len() < 16_000));
}

#[tokio::test]
async fn a_query_follows_its_pages_and_begins_anew_where_its_place_is_lost() {
    let desk = Desk::with(OrgSettings { page: 100, ..OrgSettings::default() }, MARK).await;
    let types = ["Case".to_owned()];
    let first = desk.sf.look(&LookCursor::new(), &types).await.expect("makes the cursor");
    let rows: Vec<Value> = (0..450).map(|n| json!({"Subject": n.to_string()})).collect();
    let made = desk.org.handle.create_many("Case", &rows, &desk.agent()).expect("made");
    desk.org.handle.fail(org::Fault { skip: 2, ..org::Fault::at("/query", 1, FaultKind::LostLocator) });
    let looked = desk.sf.look(&first.cursor, &types).await.expect("looks");
    let mut told: Vec<&String> = looked.changes.iter().map(|change| &change.key).collect();
    told.sort();
    told.dedup();
    assert_eq!((told.len(), looked.changes.len()), (made.len(), made.len()));
    assert_eq!((desk.calls("query_all"), looked.more), (2, false));
}

#[tokio::test]
async fn values_come_as_they_are_and_masks_do_not_come() {
    let settings = OrgSettings {
        custom_fields: vec![
            ("Case".to_owned(), Field::new("Cost__c", Kind::Number)),
            ("Case".to_owned(), Field::new("Card__c", Kind::Encrypted)),
            ("Case".to_owned(), Field::new("Seen_At__c", Kind::DateTime)),
        ],
        ..OrgSettings::default()
    };
    let desk = Desk::with(settings, "").await;
    let key = desk
        .case(json!({"Subject": "a", "Cost__c": 1.25e7, "Card__c": "4111111111111234", "Seen_At__c": "2026-11-23T02:41:07Z"}));
    let read = desk.sf.read(Caller::Sync, "Case", std::slice::from_ref(&key)).await.expect("reads");
    let Found::Here(entity) = &read.found[0] else { panic!("{:?}", read.found) };
    assert_eq!((&entity.fields["Cost__c"], &entity.fields["Description"]), (&json!(12_500_000.0), &Value::Null));
    assert_eq!(entity.fields["Seen_At__c"], "2026-11-23T02:41:07.000+0000");
    assert!(!entity.fields.contains_key("Card__c"), "a mask is no value");
    let refused = desk.sf.write(&[super::write(1, Some(&key), json!({"Card__c": "************1234"}))]).await;
    assert_eq!(refused[0].as_ref().expect_err("a mask").code, "MASKED_VALUE");
    assert!(desk.sf.write(&[super::write(1, Some(&key), json!({"Card__c": "5555555555554444"}))]).await[0].is_ok());
}

#[tokio::test]
async fn a_field_that_was_hidden_meanwhile_is_read_around() {
    let settings =
        OrgSettings { custom_fields: vec![("Case".to_owned(), Field::text("Extra__c", 80))], ..OrgSettings::default() };
    let desk = Desk::with(settings, "").await;
    let key = desk.case(json!({"Subject": "a", "Extra__c": "x"}));
    let read = async || desk.sf.read(Caller::Sync, "Case", std::slice::from_ref(&key)).await.expect("reads").found.remove(0);
    assert!(matches!(read().await, Found::Here(entity) if entity.fields["Extra__c"] == "x"));
    desk.org.handle.remove_field("Case", "Extra__c");
    assert!(
        matches!(read().await, Found::Here(entity) if !entity.fields.contains_key("Extra__c") && entity.fields["Subject"] == "a")
    );
}
