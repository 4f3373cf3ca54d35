use std::time::Duration;

use super::*;
use crate::domain::tracker::{Fault, Retry};

#[test]
fn every_shape_of_body_is_read() {
    let array = of_answer(400, br#"[{"message":"no","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]}]"#, true);
    assert_eq!((array.fault, array.retry, array.in_doubt), (Fault::Record, Retry::Newer, false));
    assert!(array.detail.contains("Name"));
    let bare = of_answer(503, br#"{"message":"Server Unavailable","errorCode":"SERVER_UNAVAILABLE"}"#, true);
    assert_eq!((bare.fault, bare.in_doubt), (Fault::Network, true));
    let page = of_answer(503, b"<html><body><h1>Maintenance</h1></body></html>", false);
    assert_eq!((page.fault, page.detail.as_str(), page.in_doubt), (Fault::Network, "HTTP 503: Maintenance", false));
    assert_eq!(of_answer(502, b"", true).retry, Retry::Soon(None));
    let nested =
        read_value(&serde_json::json!({"success": false, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "x"}]}));
    assert_eq!(nested[0].code, "STRING_TOO_LONG");
}

#[test]
fn one_code_may_mean_several_things() {
    let concurrent = of_answer(
        403,
        br#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
        false,
    );
    let daily = of_answer(403, br#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, false);
    assert_eq!(concurrent.retry, Retry::Soon(Some(Duration::from_secs(5))));
    assert_eq!(daily.retry, Retry::Soon(Some(Duration::from_secs(300))));
    let scope = of_answer(
        401,
        br#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#,
        false,
    );
    assert_eq!(scope.retry, Retry::Hourly);
    let inside = ApiError {
        code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY".into(),
        message: "CaseTrigger: System.DmlException: UNABLE_TO_LOCK_ROW".into(),
        fields: vec![],
    };
    assert!(matches!(of_record(400, &inside).retry, Retry::Soon(_)));
    assert_eq!(of_answer(400, br#"[{"errorCode":"ENTITY_IS_LOCKED","message":"x"}]"#, true).retry, Retry::Hourly);
}

#[test]
fn duplicates_name_what_was_found() {
    let body =
        br#"[{"errorCode":"DUPLICATES_DETECTED","message":"Use one of these.","duplicateResut":{"matchResults":[{"matchRecords":
        [{"record":{"attributes":{},"Id":"5005i00000KfR1aAAF"}}]}]}}]"#;
    assert!(of_answer(400, body, true).detail.contains("5005i00000KfR1aAAF"));
}

#[test]
fn refused_logins_say_what_to_do() {
    let login = |error: &str, description: &str| {
        of_login(400, serde_json::json!({"error": error, "error_description": description}).to_string().as_bytes())
    };
    assert!(login("invalid_grant", "no client credentials user enabled").advice.contains("Run As"));
    assert!(login("invalid_grant", "request not supported on this domain").advice.contains("My Domain"));
    assert!(login("invalid_grant", "expired access/refresh token").advice.contains("sign in again"));
    assert!(login("invalid_client", "invalid client credentials").advice.contains("client_secret"));
    assert_eq!(login("invalid_client_id", "client identifier invalid").retry, Retry::Soon(Some(Duration::from_secs(600))));
    assert!(login("invalid_grant", "user hasn't approved this consumer").advice.contains("pre-authorized"));
    assert!(matches!(of_login(503, b"<html>down</html>").retry, Retry::Soon(_)));
    assert!(of_login(404, b"").concerns_all());
    for row in LOGIN {
        assert!(!row.advice.is_empty() && of_login_words(row.code, row.part).concerns_all(), "{}", row.code);
    }
}

#[test]
fn no_row_is_hidden_by_an_earlier_one() {
    for table in [LOGIN, CALLS] {
        for row in table {
            let found = find(table, row.code, row.part).expect("its own row fits");
            assert!(std::ptr::eq(found, row), "{} {}", row.code, row.part);
        }
    }
}
