//! The tracker over HTTP, with a bare client.

use std::{sync::Arc, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    signature::{sign, verify},
    *,
};
use crate::clock::SystemClock;

fn bare() -> reqwest::Client {
    #[allow(clippy::disallowed_methods, reason = "a test looks at the tracker from outside, with nothing of ours between")]
    reqwest::Client::builder().no_proxy().build().expect("client")
}

async fn start(change: impl FnOnce(&mut TrackerSettings)) -> RunningTracker {
    let mut settings = TrackerSettings::default();
    change(&mut settings);
    SandboxTracker::start(settings, Arc::new(SystemClock)).await.expect("tracker starts")
}

async fn post(tracker: &RunningTracker, id: &str, message: &Value) -> Result<(u16, Value), reqwest::Error> {
    let body = message.to_string();
    let mut request = bare().post(tracker.entities_url());
    for (name, value) in sign(&TrackerSettings::default().secret, id, SystemClock.now(), body.as_bytes()) {
        request = request.header(name, value);
    }
    let answer = request.body(body).send().await?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

fn create(summary: &str) -> Value {
    json!({"type": "entity.created", "timestamp": "2026-11-24T04:00:00Z", "data": {"entity_type": "issue", "key": null,
        "fields": {"summary": summary}, "comments": [{"remote_id": "r1", "body": "hello"}], "attachments": [], "changed": ["summary"]}})
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_time() {
    let tracker = start(|_| ()).await;
    tracker.handle.fail(TrackerFault::on_writes(1, TrackerFaultKind::LoseAnswer));
    assert!(post(&tracker, "msg_1", &create("a")).await.is_err(), "the answer is lost");
    let (status, answer) = post(&tracker, "msg_1", &create("a")).await.expect("answer");
    assert_eq!((status, answer["key"].as_str()), (201, Some("ISSUE-1")));
    assert_eq!(answer["comments"], json!([{"id": "C-1", "remote_id": "r1"}]));
    assert_eq!((tracker.handle.count(), tracker.handle.applied()["msg_1"]), (1, 1));
    let log = tracker.handle.log();
    assert_eq!(log.iter().map(|entry| (entry.status, entry.applied)).collect::<Vec<_>>(), [(0, true), (201, false)]);
}

#[tokio::test]
async fn updates_deletes_and_refusals() {
    let tracker = start(|settings| settings.tidies = true).await;
    post(&tracker, "msg_1", &create("  a ")).await.expect("made");
    let update = json!({"type": "entity.updated", "data": {"key": "ISSUE-1", "fields": {"cost": 1.239}}});
    assert_eq!(post(&tracker, "msg_2", &update).await.expect("answer").0, 200);
    let read = || async {
        let answer = bare().get(format!("{}/ISSUE-1", tracker.entities_url())).send().await.expect("answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("json"))
    };
    assert_eq!(read().await.1["fields"], json!({"summary": "a", "cost": 1.24}));
    let unsigned = bare().post(tracker.entities_url()).body("{}").send().await.expect("answer");
    assert_eq!(unsigned.status(), 401);
    for (kind, expected) in [
        (TrackerFaultKind::TooMany(7), 429),
        (TrackerFaultKind::Unavailable(None), 503),
        (TrackerFaultKind::Refuse("no such field".to_owned()), 400),
        (TrackerFaultKind::Conflict("ISSUE-9".to_owned()), 409),
    ] {
        tracker.handle.fail(TrackerFault::on_writes(1, kind));
        assert_eq!(post(&tracker, "msg_3", &update).await.expect("answer").0, expected);
    }
    assert!(tracker.handle.delete("ISSUE-1"));
    assert_eq!(read().await.0, 410);
    assert_eq!(post(&tracker, "msg_3", &update).await.expect("answer").0, 410);
    assert_eq!(
        post(&tracker, "msg_4", &json!({"type": "entity.updated", "data": {"key": "ISSUE-7"}})).await.expect("answer").0,
        404
    );
}

#[tokio::test]
async fn peoples_edits_are_told_until_they_are_taken() {
    let (send, mut receive) = mpsc::unbounded_channel::<(bool, Value)>();
    let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        let (send, tries) = (send.clone(), tries.clone());
        App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
            let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).expect("text").to_owned();
            let secret = Secret::new("whsec_aG9vay1zZWNyZXQtaG9vay1zZWNyZXQ=");
            let sound = verify(
                &secret,
                &header("webhook-id"),
                &header("webhook-timestamp"),
                &header("webhook-signature"),
                SystemClock.now(),
                &body,
            );
            let first = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            // The test may be over before the last hook.
            let _ = send.send((sound, serde_json::from_slice(&body).expect("json")));
            async move { if first { HttpResponse::ServiceUnavailable().finish() } else { HttpResponse::Accepted().finish() } }
        }))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .expect("bind");
    let url = format!("http://{}/hooks/helpdesk/token", server.addrs()[0]);
    tokio::spawn(server.run());
    let hook = Hook { url, secret: Secret::new("whsec_aG9vay1zZWNyZXQtaG9vay1zZWNyZXQ=") };
    let tracker = start(|settings| {
        settings.hook = Some(hook);
        settings.retry = Duration::from_millis(10);
    })
    .await;
    let key = tracker.handle.create(&json!({"summary": "a"}));
    tracker.handle.edit(&key, &json!({"summary": "b"}));
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(tokio::time::timeout(Duration::from_secs(10), receive.recv()).await.expect("in time").expect("hook"));
    }
    assert!(heard.iter().all(|(sound, _)| *sound));
    let told =
        heard.iter().map(|(_, body)| (body["type"].as_str().unwrap_or_default(), body["data"]["fields"]["summary"].clone()));
    let told = told.collect::<Vec<_>>();
    assert_eq!(told, [("entity.created", json!("a")), ("entity.created", json!("a")), ("entity.updated", json!("b"))]);
    tracker.handle.set_echo(false);
    post(&tracker, "msg_1", &create("ours")).await.expect("made");
    assert!(tokio::time::timeout(Duration::from_millis(200), receive.recv()).await.is_err(), "no echo");
    assert_eq!(tracker.handle.hooks_waiting(), 0);
}

#[tokio::test]
async fn the_page_lists_and_edits() {
    let tracker = start(|_| ()).await;
    let http = bare();
    let page =
        http.post(format!("{}/sandbox/issues", tracker.url)).form(&[("summary", "<i>x</i>")]).send().await.expect("answer");
    assert!(page.text().await.expect("text").contains("&lt;i&gt;x&lt;/i&gt;"));
    let form = [("summary", "y"), ("description", ""), ("priority", "High")];
    http.post(format!("{}/sandbox/issues/ISSUE-1", tracker.url)).form(&form).send().await.expect("answer");
    assert_eq!(Value::Object(tracker.handle.get("ISSUE-1").expect("issue").fields), json!({"summary": "y", "priority": "High"}));
    let body = [("body", "thanks")];
    let shown = http.post(format!("{}/sandbox/issues/ISSUE-1/comments", tracker.url)).form(&body).send().await.expect("answer");
    assert!(shown.text().await.expect("text").contains("thanks"));
}
