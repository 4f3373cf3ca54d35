use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    clock::Time,
    domain::{
        ids::WriteId,
        tracker::{Tracker as _, WriteKind},
    },
    salesforce::stub::{Request, Stub},
};

fn id(n: usize) -> String {
    ids::complete(&format!("5005i0000{n:06}")).expect("an id")
}

fn write(n: usize, kind: WriteKind, fields: Value) -> Write {
    let pending = PendingWrite {
        id: WriteId(uuid::Uuid::nil()),
        started_at: Time(0),
        entity_type: "Case".into(),
        key: (kind == WriteKind::Update).then(|| id(n)),
        fields: fields.as_object().expect("fields").clone(),
        up_to: 0,
        epoch: 0,
        received: None,
    };
    Write { twin: TwinId(uuid::Uuid::from_u128(n as u128 + 1)), pending, changed: Vec::new(), kind }
}

fn saved(records: &Value) -> Value {
    let records = records.as_array().cloned().unwrap_or_default();
    records
        .iter()
        .enumerate()
        .map(|(n, record)| match record.get("Subject").and_then(Value::as_str) {
            Some("refused") => json!({"success": false, "errors": [{"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "No."}]}),
            _ => json!({"id": record.get("id").cloned().unwrap_or_else(|| id(n).into()), "success": true, "errors": [], "created": true}),
        })
        .collect()
}

fn read(ids: &Value) -> Value {
    ids.as_array().into_iter().flatten().map(|id| json!({"Id": id, "Subject": "as kept"})).collect()
}

fn org(request: &Request) -> (u16, Value) {
    let body = request.json();
    if request.path.ends_with("/composite") {
        let parts = body["compositeRequest"].as_array().expect("subrequests").clone();
        let answers = parts.iter().map(|part| {
            let answer = if part["method"] == "PATCH" { saved(&part["body"]["records"]) } else { read(&part["body"]["ids"]) };
            json!({"referenceId": part["referenceId"], "httpStatusCode": 200, "body": answer, "httpHeaders": {}})
        });
        return (200, json!({"compositeResponse": answers.collect::<Vec<_>>()}));
    }
    match body.get("ids") {
        Some(ids) => (200, read(ids)),
        None => (200, saved(&body["records"])),
    }
}

#[tokio::test]
async fn a_thousand_updates_take_three_calls_and_leave_assignment_off() {
    let stub = Stub::start(org).await;
    let tracker = stub.tracker("");
    let writes: Vec<Write> =
        (0..1_000).map(|n| write(n, WriteKind::Update, json!({"Subject": if n == 500 { "refused" } else { "new" }}))).collect();
    let results = tracker.write(&writes).await;
    assert_eq!(stub.seen("/composite").len(), 3);
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(written) => {
                assert_eq!(written.key, id(n));
                assert_eq!(written.read_back.as_ref().expect("read back").fields["Subject"], "as kept");
            }
            Err(error) => assert_eq!((n, error.code.as_str()), (500, "FIELD_CUSTOM_VALIDATION_EXCEPTION")),
        }
    }
    for request in stub.seen("/composite") {
        for part in request.json()["compositeRequest"].as_array().expect("subrequests") {
            assert!(part["method"] == "POST" || part["httpHeaders"]["Sforce-Auto-Assign"] == "FALSE");
        }
    }
}

#[tokio::test]
async fn creates_carry_the_twins_id_and_owned_ones_leave_apart() {
    let stub = Stub::start(org).await;
    let tracker = stub.tracker("external_id_fields = { Case = \"Wicketgate_Id__c\" }");
    let writes = [
        write(0, WriteKind::Create, json!({"Subject": "a"})),
        write(1, WriteKind::Create, json!({"Subject": "b", "OwnerId": "00G5i000001vBnMEAU"})),
    ];
    let results = tracker.write(&writes).await;
    assert!(results.iter().all(|result| result.as_ref().is_ok_and(|written| !written.existed)));
    let upserts = stub.seen("/composite/sobjects/Case/Wicketgate_Id__c");
    let assign: Vec<_> = upserts.iter().map(|request| request.header("Sforce-Auto-Assign")).collect();
    assert_eq!(assign, [Some("TRUE"), Some("FALSE")]);
    assert_eq!(upserts[0].json()["records"][0]["Wicketgate_Id__c"], writes[0].twin.to_string());
}

#[tokio::test]
async fn what_may_not_be_written_does_not_leave() {
    let stub = Stub::start(org).await;
    let tracker = stub.tracker("");
    let writes = [
        write(0, WriteKind::Update, json!({"CaseNumber": "1"})),
        write(1, WriteKind::Update, json!({"Nonsense__c": "1"})),
        write(2, WriteKind::Update, json!({"Status": "Unheard of"})),
        write(3, WriteKind::Update, json!({"Status": "Closed", "Subject": null})),
    ];
    let results = tracker.write(&writes).await;
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|error| error.code.as_str())).collect();
    assert_eq!(codes, [Some("INVALID_FIELD_FOR_INSERT_UPDATE"), Some("INVALID_FIELD"), Some("UNLISTED_VALUE"), None]);
    assert!(results[2].as_ref().expect_err("refused").detail.contains("New, Closed"));
}

#[tokio::test]
async fn a_locked_row_is_tried_again() {
    let calls = AtomicUsize::new(0);
    let stub = Stub::start(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let locked = json!([{"success": false, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "x"}]}]);
            (200, json!({"compositeResponse": [{"referenceId": "write0", "httpStatusCode": 200, "body": locked}]}))
        }
        _ => org(request),
    })
    .await;
    let results = stub.tracker("").write(&[write(0, WriteKind::Update, json!({"Subject": "x"}))]).await;
    assert!(results[0].is_ok(), "{results:?}");
}

#[tokio::test]
async fn a_composite_that_is_not_understood_is_done_plainly() {
    let stub = Stub::start(|request| match request.path.ends_with("/composite") {
        true => (404, json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])),
        false => org(request),
    })
    .await;
    let results = stub.tracker("").write(&[write(0, WriteKind::Update, json!({"Subject": "x"}))]).await;
    assert!(results[0].is_ok(), "{results:?}");
}

#[tokio::test]
async fn a_collection_refused_as_a_whole_is_halved() {
    let stub = Stub::start(|request| {
        let text = request.body.contains("spoils");
        match request.path.ends_with("/composite") || text {
            true => (400, json!([{"errorCode": "JSON_PARSER_ERROR", "message": "wrong type"}])),
            false => org(request),
        }
    })
    .await;
    let writes: Vec<Write> =
        (0..8).map(|n| write(n, WriteKind::Update, json!({"Subject": if n == 5 { "spoils" } else { "fine" }}))).collect();
    let results = stub.tracker("").write(&writes).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n == 5, "{n}: {result:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_leaves_doubt() {
    let stub = Stub::start(|_| (503, json!({"errorCode": "SERVER_UNAVAILABLE", "message": "Server Unavailable"}))).await;
    let results = stub.tracker("").write(&[write(0, WriteKind::Update, json!({"Subject": "x"}))]).await;
    assert!(results[0].as_ref().expect_err("failed").in_doubt);
}

#[tokio::test]
async fn a_lost_create_is_found_by_its_mark() {
    let (here, gone) = (TwinId(uuid::Uuid::from_u128(1)), TwinId(uuid::Uuid::from_u128(2)));
    let rows = json!([
        {"Id": id(1), "IsDeleted": false, "Wicketgate_Id__c": here.to_string()},
        {"Id": id(2), "IsDeleted": true, "Wicketgate_Id__c": gone.to_string()},
    ]);
    let stub = Stub::start(move |request| match request.path.contains("/queryAll") {
        true => (200, json!({"totalSize": 2, "done": true, "records": rows})),
        false => org(request),
    })
    .await;
    let tracker = stub.tracker("external_id_fields = { Case = \"Wicketgate_Id__c\" }");
    let asked: Vec<_> = (0..3).map(|n| write(n, WriteKind::Create, json!({}))).map(|write| (write.twin, write.pending)).collect();
    let found = tracker.find_created("Case", &asked).await.expect("asks");
    assert!(matches!(&found[0], Created::Here(entity) if entity.key == id(1)));
    assert_eq!(found[1..], [Created::Deleted { key: id(2) }, Created::Absent]);
    assert_eq!(stub.tracker("").find_created("Case", &asked).await.expect("asks"), vec![Created::CannotTell; 3]);
}

#[test]
fn only_our_own_mark_adopts() {
    let of = |field: &str| {
        let message = format!("duplicate value found: {field} duplicates value on record with id: 5005i00000KfR1a");
        Err(error::of_record(400, &error::ApiError { code: "DUPLICATE_VALUE".into(), message, fields: Vec::new() }))
    };
    let adopted = adopt(of("Wicketgate_Id__c"), Some("Wicketgate_Id__c")).expect("adopted");
    assert_eq!(adopted, Saved { id: "5005i00000KfR1aAAF".into(), created: Some(false) });
    assert!(adopt(of("Other__c"), Some("Wicketgate_Id__c")).is_err());
}

#[test]
fn a_record_stands_once_in_a_round() {
    let item = |index: usize, key: &str| Item { index, key: Some(key.into()), record: Map::new() };
    let rounds = rounds(vec![item(0, "a"), item(1, "b"), item(2, "a")]);
    assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}
