use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

use super::*;
use crate::{
    domain::tracker::{Caller, Tracker as _},
    salesforce::stub::{Stub, token},
};

/// What `handler` answers needs the stub's own address, which is known only once it runs.
type Base = Arc<Mutex<String>>;

fn set(base: &Base, stub: &Stub) {
    *base.lock().expect("no panic while held") = stub.base.clone();
}

#[tokio::test]
async fn a_sign_in_brings_a_refresh_token_that_is_rotated_and_kept() {
    let (base, logins) = (Base::default(), AtomicUsize::new(0));
    let known = Arc::clone(&base);
    let stub = Stub::start(move |request| {
        if !request.path.ends_with("/token") {
            return match request.header("Authorization") {
                Some("Bearer 00D!3") => (200, serde_json::json!({"sobjects": [{"name": "Case"}]})),
                _ => (401, serde_json::json!([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])),
            };
        }
        let n = logins.fetch_add(1, Ordering::SeqCst) + 1;
        let expected = if n == 1 { "grant_type=authorization_code" } else { &format!("refresh_token=R{}", n - 1) };
        if !request.body.contains(expected) || (n == 1) != request.body.contains("code_verifier=") {
            return (400, serde_json::json!({"error": "invalid_grant", "error_description": "expired access/refresh token"}));
        }
        let mut answer = token(&known.lock().expect("no panic while held"), n);
        answer["refresh_token"] = format!("R{n}").into();
        (200, answer)
    })
    .await;
    set(&base, &stub);
    let tracker = stub.tracker_by("authorization-code", "");
    assert_eq!(tracker.entity_types(Caller::Person).await.expect_err("nobody signed in").code, "SIGN_IN");
    let begun = tracker.begin_sign_in("https://node/callback").await.expect("begins");
    tracker.finish_sign_in(&begun.state, "aPrx==", "https://node/callback").await.expect("finishes");
    // The first two tokens die at once: each refresh must use the refresh token of the answer before it.
    assert!(tracker.entity_types(Caller::Person).await.is_err());
    assert_eq!(tracker.entity_types(Caller::Person).await.expect("renewed"), ["Case"]);
}

#[tokio::test]
async fn a_refused_audience_is_tried_once_more_with_the_common_host() {
    let (base, refused) = (Base::default(), AtomicBool::new(false));
    let known = Arc::clone(&base);
    let stub = Stub::start(move |request| {
        if !request.path.ends_with("/token") {
            return (200, serde_json::json!({"sobjects": []}));
        }
        assert!(request.body.contains("jwt-bearer") && !request.body.contains("scope"));
        match refused.swap(true, Ordering::SeqCst) {
            false => (400, serde_json::json!({"error": "invalid_grant", "error_description": "audience is invalid"})),
            true => (200, token(&known.lock().expect("no panic while held"), 1)),
        }
    })
    .await;
    set(&base, &stub);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem();
    let tracker = stub.tracker_by("jwt-bearer", &format!("username = \"sync@acme.example\"\nprivate_key = \"\"\"\n{key}\"\"\""));
    tracker.entity_types(Caller::Person).await.expect("logs in");
    let asserted = stub.seen("/token").iter().map(|request| audience(&request.body)).collect::<Vec<_>>();
    assert_eq!(asserted, [stub.base.clone(), "https://login.salesforce.com".to_owned()]);
}

fn audience(form: &str) -> String {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let assertion = &pairs.iter().find(|(name, _)| name == "assertion").expect("an assertion").1;
    let claims = assertion.split('.').nth(1).and_then(crate::secret::from_base64url).expect("claims");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("3MVG"), Some("sync@acme.example")));
    claims["aud"].as_str().expect("an audience").to_owned()
}

#[test]
fn a_sandbox_has_another_audience() {
    assert_eq!(common_host("https://acme--dev.sandbox.my.salesforce.com"), "https://test.salesforce.com");
    assert_eq!(common_host("https://acme--uat.my.salesforce.com"), "https://test.salesforce.com");
    assert_eq!(common_host("https://acme.my.salesforce.com"), "https://login.salesforce.com");
}
