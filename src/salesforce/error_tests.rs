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

#[test]
fn a_token_under_an_odd_status_is_not_shown() {
    for body in [r#"{"access_token":"00D!secret","id":"x"}"#, r#"["00D!secret"]"#, r#""00D!secret""#] {
        let error = of_login(203, body.as_bytes());
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn a_locked_row_is_no_doubt_whatever_its_status() {
    let locked = of_answer(500, br#"[{"errorCode":"UNABLE_TO_LOCK_ROW","message":"unable to obtain exclusive access"}]"#, true);
    assert_eq!((locked.fault, locked.in_doubt), (Fault::Record, false));
    assert!(of_answer(500, br#"[{"errorCode":"UNKNOWN_EXCEPTION","message":"ErrorId: 1-2"}]"#, true).in_doubt);
}

#[test]
fn a_wish_for_a_pause_only_lengthens_what_is_tried_by_itself() {
    let wish = Some(Duration::from_secs(90));
    assert_eq!(not_before(of_answer(503, b"", false), wish).retry, Retry::Soon(wish));
    assert_eq!(not_before(of_answer(400, b"", false), wish).retry, Retry::Newer);
    let day = of_answer(403, br#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests"}]"#, false);
    assert_eq!(not_before(day, wish).retry, Retry::Soon(Some(Duration::from_secs(300))));
}

/// Each row of the facts' table of calls: whose fault, and whether it is tried again by itself.
#[test]
fn every_documented_refusal_has_its_meaning() {
    use Fault::{Allowance, Configuration, Login, Network, Record, Tracker};
    let rows: &[(u16, &str, &str, Fault, bool)] = &[
        (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", Login, false),
        (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", Login, false),
        (403, "API_CURRENTLY_DISABLED", "", Login, false),
        (403, "FUNCTIONALITY_NOT_ENABLED", "", Record, false),
        (403, "INSUFFICIENT_ACCESS", "", Record, false),
        (403, "CLIENT_NOT_ACCESSIBLE_FOR_USER", "", Login, false),
        (404, "ENTITY_IS_DELETED", "entity is deleted", Record, false),
        (400, "ENTITY_IS_DELETED", "entity is deleted", Record, false),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", Record, false),
        (400, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", Record, false),
        (404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: X", Configuration, false),
        (405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed.", Tracker, false),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", Record, false),
        (400, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", Record, false),
        (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Record, true),
        (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "the flow failed: UNABLE_TO_LOCK_ROW", Record, true),
        (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "the flow failed", Record, false),
        (400, "DUPLICATE_VALUE", "duplicate value found", Record, false),
        (400, "SOMETHING_NEW", "words", Record, false),
        (300, "", "", Record, false),
        (410, "", "", Configuration, false),
        (414, "", "", Record, false),
        (420, "", "", Configuration, true),
        (429, "", "", Allowance, true),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", Tracker, true),
        (500, "APEX_ERROR", "", Tracker, true),
        (502, "", "", Network, true),
        (503, "SERVER_UNAVAILABLE", "Server is too busy", Network, true),
        (504, "", "", Network, true),
    ];
    for (status, code, message, fault, by_itself) in rows {
        let body = if code.is_empty() {
            String::new()
        } else {
            serde_json::json!([{"errorCode": code, "message": message}]).to_string()
        };
        let error = of_answer(*status, body.as_bytes(), false);
        assert_eq!((error.fault, matches!(error.retry, Retry::Soon(_))), (*fault, *by_itself), "{status} {code}");
        assert!(!error.advice.is_empty() && !error.title.is_empty(), "{status} {code}");
    }
}
