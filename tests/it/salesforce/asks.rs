//! What rules ask of an org, at the adapter: within the reserve, through no other door, and told in Salesforce's own words.

use serde_json::{Value, json};
use wicketgate::{
    domain::{
        ask::{Method, Request},
        tracker::{Caller, Fault, Tracker as _},
    },
    sandbox::org::{FaultKind, OrgSettings},
};

use super::Desk;

fn request(method: Method, path: &str, body: Option<Value>) -> Request {
    Request { method, path: path.to_owned(), body }
}

fn get(path: &str) -> Request {
    request(Method::Get, path, None)
}

#[tokio::test]
async fn a_rules_requests_are_calls_of_sync_within_the_reserve() {
    let desk = Desk::with(OrgSettings::default(), "api_reserve = \"10%\"\n").await;
    let limits = desk.sf.request(Caller::Sync, &get("/limits")).await.expect("answers");
    assert_eq!(limits["DailyApiRequests"]["Max"], 15_000);
    assert_eq!(desk.sf.facts().api_calls.map(|calls| calls.limit), Some(15_000), "the allowance is heard");
    desk.org.handle.set_calls_of_others(13_600);
    desk.sf.request(Caller::Sync, &get("/limits")).await.expect("nobody has told yet");
    for error in [
        desk.sf.request(Caller::Sync, &get("/limits")).await.expect_err("rests"),
        desk.sf.user_by_email(Caller::Sync, "ada@acme.example").await.expect_err("rests"),
    ] {
        assert_eq!((error.fault, error.code.as_str()), (Fault::Allowance, "API_RESERVE"));
    }
    desk.sf.request(Caller::Person, &get("/limits")).await.expect("people may");
}

#[tokio::test]
async fn requests_reach_the_rest_api_and_no_other_door() {
    let desk = Desk::new().await;
    let case = desk.case(json!({"Subject": "Pump"}));
    let path = format!("/services/data/v62.0/sobjects/Case/{case}");
    assert_eq!(desk.sf.request(Caller::Sync, &get(&path)).await.expect("answers")["Subject"], "Pump");
    let query = "/query?q=SELECT Id FROM Case WHERE Subject = 'Pump'";
    assert_eq!(desk.sf.request(Caller::Sync, &get(query)).await.expect("answers")["records"][0]["Id"], case.as_str());
    let patch = request(Method::Patch, &format!("/sobjects/Case/{case}"), Some(json!({"Subject": "Valve"})));
    assert_eq!(desk.sf.request(Caller::Sync, &patch).await.expect("answers"), Value::Null, "an answer without a body");
    let before = desk.org.handle.log().len();
    for path in ["/services/oauth2/token", "/services", "/services/Soap/u/62.0", "/services/dataX/", "/servicesX"] {
        let error = desk.sf.request(Caller::Sync, &get(path)).await.expect_err("refused");
        assert_eq!((error.code.as_str(), error.fault), ("NO_SUCH_DOOR", Fault::Record), "{path}");
    }
    assert_eq!(desk.org.handle.log().len(), before, "nothing left");
    let error = desk.sf.request(Caller::Sync, &get("/query?q=SELECT")).await.expect_err("refused");
    assert!(error.code == "MALFORMED_QUERY" && !error.in_doubt, "{error}");
}

#[tokio::test]
async fn only_what_could_change_something_is_in_doubt() {
    let desk = Desk::new().await;
    let made = |name: &str| request(Method::Post, "/sobjects/Contact", Some(json!({"LastName": name})));
    desk.sf.request(Caller::Sync, &made("first")).await.expect("made");
    for (asked, doubt) in [(made("lost"), true), (get("/sobjects/Contact/describe"), false)] {
        desk.org.handle.fail(wicketgate::sandbox::org::Fault {
            when: wicketgate::sandbox::org::Matcher { path: Some("/sobjects/Contact".to_owned()), ..Default::default() },
            times: 1,
            skip: 0,
            kind: FaultKind::ResetAfterCommit,
        });
        let error = desk.sf.request(Caller::Sync, &asked).await.expect_err("lost");
        assert_eq!(error.in_doubt, doubt, "{error}");
    }
    assert_eq!(desk.org.handle.count("Contact"), 2);
}

#[tokio::test]
async fn users_are_found_whatever_letters_their_address_has() {
    let desk = Desk::new().await;
    let id = desk.org.handle.add_user("ada.o'neil@acme.example", "Ada", "O'Neil", false);
    let found = desk.sf.user_by_email(Caller::Sync, "Ada.O'Neil@acme.example").await.expect("asks").expect("is there");
    let expected =
        json!({"Id": id, "Name": "Ada O'Neil", "Email": "ada.o'neil@acme.example", "Username": "ada.o'neil@acme.example"});
    assert_eq!(found, expected);
    for address in ["nobody@acme.example", "' OR Name != '", "\\", "\n", ""] {
        assert_eq!(desk.sf.user_by_email(Caller::Sync, address).await.expect("asks"), None, "{address}");
    }
}
