//! The sandbox org as a product: what it prints and shows, and that it is no milder than a real one.

use serde_json::{Value, json};
use wicketgate::{
    domain::tracker::{Caller, Tracker as _},
    sandbox::org::{self, FaultKind, OrgSettings},
};

use super::{Desk, write};
use crate::support;

async fn token(desk: &Desk) -> String {
    let form = [("grant_type", "client_credentials"), ("client_id", "sandbox-client"), ("client_secret", "sandbox-secret")];
    let answer =
        support::http().post(format!("{}/services/oauth2/token", desk.org.url)).form(&form).send().await.expect("answers");
    answer.json::<Value>().await.expect("JSON")["access_token"].as_str().expect("a token").to_owned()
}

async fn call(desk: &Desk, token: &str, method: &str, path: &str, header: (&str, &str), body: Value) -> (u16, Value) {
    let method = method.parse::<reqwest::Method>().expect("a method");
    let request = support::http().request(method, format!("{}/services/data/v66.0{path}", desk.org.url)).bearer_auth(token);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.header(header.0, header.1).send().await.expect("answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn it_is_as_strict_as_a_real_org() {
    let desk = Desk::new().await;
    let token = token(&desk).await;
    let plain = ("x", "y");
    let key = desk.case(json!({"Subject": "a"}));
    let path = format!("/sobjects/Case/{key}");
    let (status, answer) = call(&desk, &token, "PATCH", &path, plain, json!({"Id": key, "Subject": "b"})).await;
    assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("INVALID_FIELD_FOR_INSERT_UPDATE")), "an Id in the body");
    // Row 41: without the header the default queue gets it, on updates too, and in a composite each part needs its own.
    let owner = || desk.org.handle.get(&key).expect("there")["OwnerId"].as_str().unwrap_or_default().to_owned();
    call(&desk, &token, "PATCH", &path, ("Sforce-Auto-Assign", "FALSE"), json!({"Subject": "b"})).await;
    assert_eq!(owner(), desk.agent());
    let composite = json!({"compositeRequest": [{"method": "PATCH", "url": format!("/services/data/v66.0{path}"), "referenceId": "a", "body": {"Subject": "c"}}]});
    call(&desk, &token, "POST", "/composite", ("Sforce-Auto-Assign", "FALSE"), composite).await;
    assert!(owner().starts_with("00G"), "the outer header reaches no part");
    // Row 42: an unlisted value is stored and shown as inactive.
    let (status, _) = call(&desk, &token, "PATCH", &path, plain, json!({"Origin": "Pigeon"})).await;
    assert_eq!((status, &desk.org.handle.get(&key).expect("there")["Origin"]), (204, &json!("Pigeon")));
    let listed = desk.sf.describe(Caller::Person, "Case").await.expect("described").field("Origin").cloned().expect("there");
    assert!(!listed.values.expect("listed").contains(&"Pigeon".to_owned()));
    // One id of another type spoils a retrieve; a description not modified is not sent.
    let account = desk.org.handle.create("Account", &json!({"Name": "a"}), &desk.agent()).expect("made");
    let (status, answer) =
        call(&desk, &token, "POST", "/composite/sobjects/Case", plain, json!({"ids": [key, account], "fields": ["Id"]})).await;
    assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("MALFORMED_ID")));
    let later = ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT");
    assert_eq!(call(&desk, &token, "GET", "/sobjects/Case/describe", later, Value::Null).await.0, 304);
    let collections: Vec<_> = (0..6).map(|n| json!({"method": "GET", "url": "/services/data/v66.0/query?q=SELECT+Id+FROM+Case", "referenceId": format!("r{n}")})).collect();
    let (status, _) = call(&desk, &token, "POST", "/composite", plain, json!({"compositeRequest": collections})).await;
    assert_eq!(status, 400, "at most five queries or collections");
}

#[tokio::test]
async fn its_setup_page_tells_what_to_configure_and_makes_trouble() {
    let desk = Desk::with(OrgSettings::default(), "").await;
    let http = support::http();
    let page = async || http.get(format!("{}/setup", desk.org.url)).send().await.expect("answers").text().await.expect("text");
    let shown = page().await;
    let section = shown.split("[trackers.support]").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a section");
    let section = section.replace("&quot;", "\"").replace("kind = \"salesforce\"", "");
    let settings: wicketgate::salesforce::Settings =
        toml::from_str(&section).unwrap_or_else(|error| panic!("{error}: {section}"));
    settings.check().expect("a section that works as printed");
    let post = async |path: &str, form: &[(&str, &str)]| {
        http.post(format!("{}{path}", desk.org.url)).form(form).send().await.expect("answers").status().as_u16()
    };
    desk.sf.describe(Caller::Sync, "Case").await.expect("logs in");
    assert_eq!(post("/setup/sessions/end", &[]).await, 303);
    desk.sf.entity_types(Caller::Sync).await.expect("renewed");
    assert_eq!(desk.calls("login"), 2);
    assert_eq!(post("/setup/faults", &[("kind", "maintenance"), ("times", "1"), ("which", "all")]).await, 303);
    assert!(page().await.contains("Calls that will still go wrong: 1"));
    assert!(desk.sf.entity_types(Caller::Sync).await.is_err());
    desk.sf.entity_types(Caller::Sync).await.expect("over");
    assert_eq!(post("/setup/outbound-message", &[("url", "http://127.0.0.1:9/door")]).await, 303);
    desk.case(json!({"Subject": "told to nobody"}));
    support::until("a failed delivery", || desk.org.handle.deliveries().iter().any(|line| line.failure.is_some())).await;
    assert!(page().await.contains("Retry all now"));
    assert_eq!(post("/setup/deliveries/retry", &[]).await, 303);
    assert_eq!(post("/setup/calls", &[("others", "14000")]).await, 303);
    assert!(page().await.contains("of 15000 calls"));
    let foreign = http.post(format!("{}/setup/sessions/end", desk.org.url)).header("Origin", "https://evil.example").send().await;
    assert_eq!(foreign.expect("answers").status().as_u16(), 403);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_at_the_start() {
    support::provider();
    let settings = OrgSettings { jwt_public_key: Some("-----BEGIN NONSENSE-----".to_owned()), ..OrgSettings::default() };
    let clock = std::sync::Arc::new(wicketgate::clock::SystemClock);
    assert!(org::Org::start(settings, clock).await.expect_err("refused").to_string().contains("RSA"));
}

#[tokio::test]
async fn trouble_that_came_after_the_work_shows_in_the_org() {
    let desk = Desk::new().await;
    let key = desk.case(json!({"Subject": "a"}));
    desk.sf.describe(Caller::Sync, "Case").await.expect("known");
    desk.org.handle.fail(org::Fault::on_writes(1, FaultKind::HangAfterCommit(50)));
    let error = desk.sf.write(&[write(0, Some(&key), json!({"Subject": "b"}))]).await.remove(0).expect_err("no answer");
    assert!(error.in_doubt);
    assert_eq!(desk.org.handle.get(&key).expect("there")["Subject"], "b");
}
