//! Logins: every flow, every refusal that the org can give, and how few there are.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use wicketgate::{
    clock::{Clock as _, ManualClock, SystemClock, Time},
    domain::tracker::{Caller, Fault, Retry, Tracker as _},
    sandbox::org::{self, FaultKind, OrgSettings},
};

use super::{Desk, MARK, Memory, adapter, soon};
use crate::support;

const BY_SECRET: &str = "flow = \"client-credentials\"\nclient_secret = \"sandbox-secret\"\n";

fn key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key")
}

fn by_key(key: &rcgen::KeyPair, username: &str) -> String {
    format!("flow = \"jwt-bearer\"\nusername = \"{username}\"\nprivate_key = \"\"\"\n{}\"\"\"\n", key.serialize_pem())
}

#[tokio::test]
async fn refused_apps_are_told_apart() {
    support::provider();
    let desk = Desk::new().await;
    let clock = || Arc::new(SystemClock);
    let at = |client: &str, secret: &str| {
        let text = format!(
            "login_url = \"{}\"\nclient_id = \"{client}\"\nflow = \"client-credentials\"\nclient_secret = \"{secret}\"\n",
            desk.org.url
        );
        adapter(&text, clock(), Arc::new(Memory::default()))
    };
    let unknown = at("nobody", "sandbox-secret").describe(Caller::Sync, "Case").await.expect_err("refused");
    assert_eq!((unknown.fault, soon(&unknown)), (Fault::Login, Duration::from_secs(600)));
    assert!(unknown.advice.contains("client_id") && unknown.detail.contains("client identifier invalid"));
    let wrong = at("sandbox-client", "guess").describe(Caller::Sync, "Case").await.expect_err("refused");
    assert!(wrong.advice.contains("client_secret") && !format!("{wrong:?}").contains("guess"), "{wrong:?}");
    let nobody = Desk::with(OrgSettings { client_credentials_user: false, ..OrgSettings::default() }, "").await;
    let nobody = nobody.sf.describe(Caller::Sync, "Case").await.expect_err("refused");
    assert!(nobody.advice.contains("Run As"), "{nobody}");
}

#[tokio::test]
async fn an_assertion_logs_in_whatever_our_clock_says() {
    let key = key();
    for minutes in [0i64, 10, -10] {
        let theirs = ManualClock::new("2026-11-24T04:00:00Z".parse::<Time>().expect("a time"));
        let ours = ManualClock::new(Time(theirs.now().millis() + minutes * 60_000));
        let settings = OrgSettings { jwt_public_key: Some(key.public_key_pem()), ..OrgSettings::default() };
        let extra = by_key(&key, "sync.integration@example.com");
        let desk = Desk::at(settings, &extra, (Arc::new(theirs), Arc::new(ours))).await;
        desk.sf.describe(Caller::Sync, "Case").await.unwrap_or_else(|error| panic!("{minutes} minutes off: {error}"));
        assert_eq!(desk.sf.user_id(), Some(desk.org.handle.integration_user()));
    }
}

#[tokio::test]
async fn an_assertion_is_refused_with_what_to_do() {
    let key = key();
    let certificate =
        rcgen::CertificateParams::new(vec!["sync".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
    let settings = || OrgSettings { jwt_public_key: Some(certificate.pem()), ..OrgSettings::default() };
    let clock = || (Arc::new(SystemClock) as Arc<_>, Arc::new(SystemClock) as Arc<_>);
    let desk = Desk::at(settings(), &by_key(&key, "sync.integration@example.com"), clock()).await;
    desk.sf.describe(Caller::Sync, "Case").await.expect("the org takes the certificate of that key");
    let desk = Desk::at(settings(), &by_key(&key, "somebody@example.com"), clock()).await;
    let error = desk.sf.describe(Caller::Sync, "Case").await.expect_err("refused");
    assert!(error.advice.contains("pre-authorized") && error.retry == Retry::Hourly, "{error:?}");
    let desk = Desk::at(settings(), &by_key(&self::key(), "sync.integration@example.com"), clock()).await;
    let error = desk.sf.describe(Caller::Sync, "Case").await.expect_err("refused");
    assert!(error.advice.contains("certificate"), "{error:?}");
}

/// Signs in at the org's page, which says yes by itself.
async fn sign_in(desk: &Desk) {
    let callback = "https://node.example/salesforce/support/oauth/callback";
    let begun = desk.sf.begin_sign_in(callback).await.expect("begins");
    let back = support::http().get(&begun.url).send().await.expect("an answer");
    assert_eq!(back.status().as_u16(), 302);
    let place = url::Url::parse(back.headers()["location"].to_str().expect("text")).expect("an address");
    let given: std::collections::HashMap<_, _> = place.query_pairs().into_owned().collect();
    assert_eq!(given["state"], begun.state);
    desk.sf.finish_sign_in(&given["state"], &given["code"], callback).await.expect("finishes");
    let again = desk.sf.finish_sign_in(&given["state"], &given["code"], callback).await.expect_err("once");
    assert_eq!(again.code, "STATE");
}

#[tokio::test]
async fn a_rotated_refresh_token_survives_a_full_disk() {
    let settings = OrgSettings { auto_approve: true, ..OrgSettings::default() };
    let clock = (Arc::new(SystemClock) as Arc<_>, Arc::new(SystemClock) as Arc<_>);
    let desk = Desk::at(settings, "flow = \"authorization-code\"\nclient_secret = \"sandbox-secret\"\n", clock).await;
    assert_eq!(desk.sf.describe(Caller::Sync, "Case").await.expect_err("nobody signed in").code, "SIGN_IN");
    sign_in(&desk).await;
    let first = desk.memory.lock().0.clone().expect("kept");
    desk.sf.describe(Caller::Sync, "Case").await.expect("signed in");
    for _ in 0..2 {
        desk.org.handle.expire_sessions();
        desk.sf.entity_types(Caller::Sync).await.expect("refreshed by the token of the answer before");
    }
    let rotated = desk.memory.lock().0.clone().expect("kept");
    assert_ne!(rotated.expose(), first.expose());
    // The org has killed the old one by the time the disk refuses the new one.
    desk.memory.full.store(true, std::sync::atomic::Ordering::SeqCst);
    desk.org.handle.expire_sessions();
    assert_eq!(desk.sf.entity_types(Caller::Sync).await.expect_err("not kept").code, "full");
    assert_eq!(desk.memory.lock().0.as_ref().expect("the old one").expose(), rotated.expose());
    desk.sf.entity_types(Caller::Sync).await.expect("the new one was not lost");
    assert_ne!(desk.memory.lock().0.as_ref().expect("kept").expose(), rotated.expose());
}

#[tokio::test]
async fn a_refused_sign_in_is_explained_only_to_its_own_state() {
    let clock = (Arc::new(SystemClock) as Arc<_>, Arc::new(SystemClock) as Arc<_>);
    let desk = Desk::at(OrgSettings::default(), "flow = \"authorization-code\"\n", clock).await;
    let begun = desk.sf.begin_sign_in("https://node.example/callback").await.expect("begins");
    let stranger = desk.sf.refuse_sign_in("made up", "access_denied", "call 0800-SCAM").await;
    assert!(stranger.code == "STATE" && !format!("{stranger:?}").contains("SCAM"));
    let known = desk.sf.refuse_sign_in(&begun.state, "access_denied", "end-user denied authorization").await;
    assert!(known.advice.contains("Allow") && known.detail.contains("denied"), "{known:?}");
    assert_eq!(desk.sf.refuse_sign_in(&begun.state, "access_denied", "").await.code, "STATE", "a state serves once");
}

#[tokio::test]
async fn a_burst_of_dead_sessions_costs_one_login_and_one_replay_each() {
    let desk = Desk::new().await;
    let case = desk.case(json!({"Subject": "a"}));
    desk.sf.describe(Caller::Sync, "Case").await.expect("logs in");
    let (logins, reads) = (desk.calls("login"), desk.calls("retrieve"));
    desk.org.handle.expire_sessions();
    let calls = (0..40).map(|_| {
        let (sf, case) = (desk.sf.clone(), case.clone());
        tokio::spawn(async move { sf.read(Caller::Sync, "Case", &[case]).await })
    });
    for call in futures_util::future::join_all(calls).await {
        call.expect("no panic").expect("read after all");
    }
    assert_eq!(desk.calls("login") - logins, 1);
    assert!(desk.calls("retrieve") - reads <= 80, "each call is replayed once at most");
}

#[tokio::test]
async fn what_a_new_login_does_not_mend_makes_none() {
    let desk = Desk::new().await;
    desk.sf.describe(Caller::Sync, "Case").await.expect("logs in");
    desk.org.handle.fail(org::Fault::at("/services/data/", 5, FaultKind::NotForRest));
    let error = desk.sf.entity_types(Caller::Sync).await.expect_err("refused");
    assert_eq!((error.fault, desk.calls("login")), (Fault::Login, 1), "{error}");
    desk.org.handle.clear_faults();
    // Sessions locked to an address look like this: the fresh one is refused too.
    desk.org.handle.fail(org::Fault::at("/services/data/", 2, FaultKind::Unauthorized));
    let error = desk.sf.entity_types(Caller::Sync).await.expect_err("refused twice");
    assert!(error.advice.contains("one address") && desk.calls("login") == 2, "{error:?}");
}

#[tokio::test]
async fn an_org_that_moved_is_found_by_a_new_login() {
    let desk = Desk::new().await;
    desk.sf.describe(Caller::Sync, "Case").await.expect("logs in");
    desk.org.handle.fail(org::Fault::at("/services/data/", 1, FaultKind::UnknownHost));
    desk.sf.entity_types(Caller::Sync).await.expect("found again");
    assert_eq!(desk.calls("login"), 2);
}

#[tokio::test]
async fn what_is_no_login_page_is_a_trouble_of_the_network() {
    for (kind, fault) in [
        (FaultKind::CaptivePage, Fault::Network),
        (FaultKind::EmptyGateway, Fault::Network),
        (FaultKind::Html503, Fault::Network),
        (FaultKind::Busy(17_000), Fault::Network),
    ] {
        let desk = Desk::new().await;
        desk.org.handle.fail(org::Fault::at("/services/oauth2/token", 1, kind));
        let error = desk.sf.describe(Caller::Sync, "Case").await.expect_err("no token");
        assert_eq!(error.fault, fault, "{kind:?}: {error}");
        if kind == FaultKind::Busy(17_000) {
            assert_eq!(soon(&error), Duration::from_secs(17));
        }
        desk.sf.describe(Caller::Sync, "Case").await.expect("heals");
    }
}

#[tokio::test]
async fn a_login_of_another_org_is_refused_before_anything_is_kept() {
    let other = format!("{BY_SECRET}{MARK}org_id = \"00D5g000004ABCD\"\n");
    let clock = (Arc::new(SystemClock) as Arc<_>, Arc::new(SystemClock) as Arc<_>);
    let desk = Desk::at(OrgSettings::default(), &other, clock).await;
    let error = desk.sf.describe(Caller::Sync, "Case").await.expect_err("refused");
    assert_eq!((error.code.as_str(), error.fault), ("OTHER_ORG", Fault::Login));
    assert!(error.detail.contains("00D5g000004ABCD") && error.detail.contains(&desk.org.handle.org_id()), "{error}");
    assert!(desk.memory.lock().1.is_none());
    // The first login binds; a refreshed sandbox under the same address has another id.
    let first = Desk::new().await;
    first.sf.describe(Caller::Sync, "Case").await.expect("binds");
    let refreshed = OrgSettings { org_id: org::to_18("00D9z000000AbCd").expect("an id"), ..OrgSettings::default() };
    let refreshed = org::Org::start(refreshed, Arc::new(SystemClock)).await.expect("starts");
    let text = format!("login_url = \"{}\"\nclient_id = \"sandbox-client\"\n{BY_SECRET}", refreshed.url);
    let moved = adapter(&text, Arc::new(SystemClock), first.memory.clone());
    assert_eq!(moved.describe(Caller::Sync, "Case").await.expect_err("another org").code, "OTHER_ORG");
}
