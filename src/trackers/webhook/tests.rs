use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    clock::ManualClock,
    domain::{
        ids::WriteId,
        rule::{RuleInput, RuleOutput, RulePair},
        tracker::{CheckStatus, WriteKind},
    },
    http_client::{Guard, Network, client},
    secret::Secret,
    trackers::stub::{Request, Stub, reply},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TWIN: TwinId = TwinId(Uuid::from_u128(7));
const WRITE: WriteId = WriteId(Uuid::from_u128(9));

fn now() -> Time {
    "2026-11-24T04:00:00Z".parse().expect("a time")
}

/// Knows `true`, `false`, a guarded form of both, and words that stand for what goes wrong.
struct Rules;

#[async_trait]
impl RuleEngine for Rules {
    async fn run(
        &self,
        _source: &str,
        _input: &RuleInput,
        _host: &dyn crate::domain::ask::Host,
    ) -> Result<RuleOutput, RuleError> {
        Ok(RuleOutput::default())
    }

    async fn check(&self, _source: &str) -> Result<(), RuleError> {
        Ok(())
    }

    async fn matches(&self, filter: &str, entity: &EntityView) -> Result<bool, RuleError> {
        let script = |message: &str| {
            Err(RuleError::Script {
                message: message.to_owned(),
                line: None,
                column: None,
                line_text: None,
                advice: String::new(),
            })
        };
        match filter {
            _ if filter.contains("broken") => script("SyntaxError: unexpected token"),
            _ if filter.starts_with("false &&") => Ok(false),
            "throws" => script("TypeError: cannot read property of undefined"),
            "half) || (half" => script("SyntaxError: expecting ')'"),
            "endless" => Err(RuleError::Limit("it ran longer than a second".to_owned())),
            "open" => Ok(entity.fields.get("status") == Some(&json!("open"))),
            _ => Ok(true),
        }
    }

    fn built_in(&self, _tracker_kind: &str) -> Option<RulePair> {
        None
    }
}

fn settings(more: Value) -> Settings {
    let mut section = json!({"secret": SECRET});
    for (key, value) in more.as_object().expect("an object") {
        section[key] = value.clone();
    }
    serde_json::from_value(section).expect("settings")
}

fn tracker(more: Value) -> Webhook {
    let http = client(&Network::default(), &Guard::Operator).expect("a client");
    Webhook::new("helpdesk", settings(more), http, Arc::new(ManualClock::new(now())), Arc::new(Rules)).expect("a tracker")
}

fn write(key: Option<&str>) -> Write {
    let fields = json!({"summary": "Printer", "status": null}).as_object().expect("an object").clone();
    Write {
        twin: TWIN,
        pending: PendingWrite {
            id: WRITE,
            started_at: now().minus(Duration::from_secs(3600)),
            entity_type: "issue".to_owned(),
            key: key.map(str::to_owned),
            fields,
            up_to: 1,
            epoch: 1,
            received: None,
        },
        changed: vec![],
        kind: if key.is_some() { WriteKind::Update } else { WriteKind::Create },
    }
}

async fn answered(key: Option<&str>, answer: String) -> Result<Written, TrackerError> {
    let stub = Stub::start(move |_| answer.clone()).await;
    tracker(json!({"url": stub.url})).write(&[write(key)]).await.remove(0)
}

#[tokio::test]
async fn a_create_leaves_in_the_designed_shape_and_repeats_its_bytes() {
    let stub = Stub::start(|_| reply(201, "", r#"{"key": "T-1", "url": "https://t.example/T-1"}"#)).await;
    let tracker = tracker(json!({"url": format!("{}/in?from=us", stub.url)}));
    let writes = [write(None)];
    let written = tracker.write(&writes).await.remove(0).expect("written");
    assert_eq!((written.key.as_str(), written.url.as_deref(), written.existed), ("T-1", Some("https://t.example/T-1"), false));
    assert_eq!(written.read_back, None);
    tracker.write(&writes).await.remove(0).expect("written");

    let seen = stub.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/in?from=us"));
    assert_eq!(seen[0].headers["webhook-id"], TWIN.to_string());
    assert_eq!(tracker.verify(seen[0].signature(), &seen[0].body), Ok(TWIN.to_string().as_str()));
    assert_eq!(seen[0].body, seen[1].body);
    let body = std::str::from_utf8(&seen[0].body).expect("text");
    let expected = concat!(
        r#"{"type":"entity.created","timestamp":"2026-11-24T03:00:00.000Z","data":{"entity_type":"issue","key":null,"#,
        r#""fields":{"summary":"Printer","status":null},"comments":[],"attachments":[],"changed":["summary","status"]}}"#
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_update_needs_no_receipt_and_goes_under_its_own_id() {
    let stub = Stub::start(|_| reply(200, "", "OK")).await;
    let written = tracker(json!({"url": stub.url})).write(&[write(Some("T-1"))]).await.remove(0).expect("written");
    assert_eq!((written.key.as_str(), written.existed), ("T-1", false));
    let seen = stub.seen().remove(0);
    assert_eq!(seen.headers["webhook-id"], WRITE.to_string());
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]["key"]), (&json!("entity.updated"), &json!("T-1")));
}

#[tokio::test]
async fn a_create_without_a_key_is_told_and_in_doubt() {
    for body in ["", "OK", r#"{"key": ""}"#, r#"{"key": null}"#, r#"{"key": ".."}"#] {
        let error = answered(None, reply(200, "", body)).await.expect_err(body);
        assert_eq!((error.fault, error.in_doubt, error.code.as_str()), (Fault::Tracker, true, "no_receipt"), "{body}");
    }
    assert_eq!(answered(None, reply(200, "", r#"{"key": 17}"#)).await.expect("numbers are keys").key, "17");
    let scripted = answered(None, reply(200, "", r#"{"key": "7", "url": "javascript:alert(1)"}"#)).await.expect("written");
    assert_eq!(scripted.url, None);
}

#[tokio::test]
async fn answers_mean_what_the_design_says() {
    let there = answered(None, reply(409, "", r#"{"key": "T-9"}"#)).await.expect("there");
    assert_eq!((there.key.as_str(), there.existed), ("T-9", true));
    let repeated = answered(Some("T-9"), reply(409, "", r#"{"key": "T-9"}"#)).await.expect("done before");
    assert!(!repeated.existed);
    let conflict = answered(Some("T-9"), reply(409, "", r#"{"key": "T-8"}"#)).await.expect_err("another record");
    assert_eq!((conflict.fault, conflict.code.as_str()), (Fault::Record, "409"));

    let gone = answered(Some("T-9"), reply(410, "", "")).await.expect_err("gone");
    assert_eq!((gone.fault, gone.retry, gone.code.as_str()), (Fault::Record, Retry::Newer, "gone"));

    let cases = [
        (400, "", Fault::Record, Retry::Newer, false),
        (401, "", Fault::Record, Retry::Newer, false),
        (422, "", Fault::Record, Retry::Newer, false),
        (302, "location: https://elsewhere.example/\r\n", Fault::Configuration, Retry::Soon(None), false),
        (429, "retry-after: 17\r\n", Fault::Network, Retry::Soon(Some(Duration::from_secs(17))), false),
        (503, "retry-after: Tue, 24 Nov 2026 04:00:30 GMT\r\n", Fault::Network, Retry::Soon(Some(Duration::from_secs(30))), true),
        (500, "", Fault::Network, Retry::Soon(None), true),
    ];
    for (status, headers, fault, retry, in_doubt) in cases {
        let error = answered(Some("T-9"), reply(status, headers, "no \u{1b}[31mroom")).await.expect_err("refused");
        assert_eq!((error.fault, error.retry, error.in_doubt), (fault, retry, in_doubt), "{status}");
        assert_eq!(error.detail, format!("HTTP {status}: no  [31mroom"));
    }
}

#[tokio::test]
async fn lost_answers_are_in_doubt_and_giant_ones_are_not_read() {
    let cut = answered(None, String::new()).await.expect_err("cut");
    assert_eq!((cut.fault, cut.retry, cut.in_doubt), (Fault::Network, Retry::Soon(None), true));
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"key\":";
    let broken = answered(None, broken.to_owned()).await.expect_err("broken");
    assert_eq!((broken.fault, broken.in_doubt), (Fault::Network, true));
    let giant = answered(None, reply(200, "", &" ".repeat(MAX_ANSWER + 1))).await.expect_err("giant");
    assert_eq!((giant.fault, giant.in_doubt), (Fault::Tracker, true));
    let refused = tracker(json!({"url": "http://127.0.0.1:1/hush"})).write(&[write(None)]).await.remove(0).expect_err("refused");
    assert_eq!((refused.fault, refused.in_doubt), (Fault::Network, false));
    assert!(!format!("{refused:?}").contains("hush"));

    let slow = Stub::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        reply(200, "", "")
    })
    .await;
    let slow = tracker(json!({"url": slow.url, "timeout": "50ms"})).write(&[write(None)]).await.remove(0).expect_err("slow");
    assert_eq!((slow.code.as_str(), slow.in_doubt), ("timeout", true));
}

#[tokio::test]
async fn one_refusal_does_not_spoil_its_neighbours() {
    let stub = Stub::start(|request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        if body["data"]["key"] == "T-20" { reply(422, "", "no") } else { reply(204, "", "") }
    })
    .await;
    let writes: Vec<_> = (0..40).map(|n| write(Some(&format!("T-{n}")))).collect();
    let results = tracker(json!({"url": stub.url})).write(&writes).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.as_ref().ok().map(|written| written.key.clone()), (n != 20).then(|| format!("T-{n}")));
    }
}

fn records(request: &Request) -> String {
    let date = "date: Tue, 24 Nov 2026 03:59:00 GMT\r\n";
    match request.path.as_str() {
        "/read/T%2F1%3F" => reply(
            200,
            date,
            r#"{"entity_type": "issue", "key": "T/1?", "url": "https://t.example/1", "fields": {"summary": "Printer"}}"#,
        ),
        "/read/bare" => reply(200, date, r#"{"summary": "Bare", "url": "https://t.example/2"}"#),
        "/read/gone" => reply(410, date, ""),
        "/read/odd" => reply(200, date, "<html>"),
        "/read/wicketgate-check" | "/read/none" => reply(404, date, ""),
        "/in" => reply(200, "", ""),
        _ => reply(500, date, "oops"),
    }
}

#[tokio::test]
async fn records_are_read_where_they_can_be_asked() {
    let stub = Stub::start(records).await;
    let asked = tracker(json!({"url": format!("{}/in", stub.url), "read_url": format!("{}/read/", stub.url)}));
    let keys = ["T/1?", "bare", "gone", "none", "odd", "ill"].map(str::to_owned);
    let read = asked.read(Caller::Sync, "issue", &keys).await.expect("read");
    let [Found::Here(first), Found::Here(bare), Found::Deleted, Found::NotVisible, Found::Failed(odd), Found::Failed(ill)] =
        &read.found[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!((first.key.as_str(), first.url.as_deref()), ("T/1?", Some("https://t.example/1")));
    assert_eq!(Value::Object(first.fields.clone()), json!({"summary": "Printer"}));
    assert_eq!(bare.fields["summary"], "Bare");
    assert_eq!((odd.fault, ill.fault), (Fault::Tracker, Fault::Network));
    assert_eq!(read.tracker_time, Some("2026-11-24T03:59:00Z".parse().expect("a time")));
    assert_eq!(read.clock_offset_ms, 60_000);
    for request in stub.seen() {
        assert!(asked.verify(request.signature(), b"").is_ok(), "{request:?}");
    }

    let written = asked.write(&[write(Some("bare"))]).await.remove(0).expect("written");
    assert_eq!(written.read_back.expect("read back").fields["summary"], "Bare");

    let mute = tracker(json!({"url": stub.url}));
    let read = mute.read(Caller::Sync, "issue", &keys[..1]).await.expect("read");
    assert_eq!((read.found, read.tracker_time), (vec![Found::CannotAsk], None));
    let down = tracker(json!({"url": stub.url, "read_url": "http://127.0.0.1:1"}));
    assert_eq!(down.read(Caller::Sync, "issue", &keys).await.expect_err("down").fault, Fault::Network);
}

#[tokio::test]
async fn filters_are_expressions() {
    let tracker = tracker(json!({"url": "http://127.0.0.1:1"}));
    let entity = |status: &str| Entity { fields: Fields::from_iter([("status".to_owned(), json!(status))]), ..Entity::default() };
    let (open, closed) = (entity("open"), entity("closed"));
    let entities = [&open, &closed];
    let matches = |filter: &'static str| tracker.matches(Caller::Sync, "issue", filter, &entities);
    assert_eq!(matches(" ").await, Ok(vec![true, true]));
    assert_eq!(matches("open").await, Ok(vec![true, false]));
    assert_eq!(matches("throws").await, Ok(vec![false, false]));
    assert_eq!(matches("endless").await.expect_err("stopped").fault, Fault::Record);
    for (filter, good) in
        [("", true), ("open", true), ("throws", true), ("broken", false), ("half) || (half", false), ("endless", false)]
    {
        assert_eq!(tracker.check_filter("issue", filter).await.is_ok(), good, "{filter}");
    }
    assert!(tracker.check_filter("issue", &"x".repeat(MAX_FILTER + 1)).await.is_err());
}

#[tokio::test]
async fn what_is_known_without_a_call() {
    let defaults = json!({"issue": {"project": "demo"}, "bug": {}});
    let tracker = tracker(json!({"url": "https://u:p@t.example:8443/hush?x", "defaults": defaults}));
    assert_eq!(tracker.facts().url, "https://t.example:8443");
    assert_eq!(tracker.defaults("issue")["project"], "demo");
    assert!(tracker.defaults("other").is_empty());
    assert_eq!(tracker.entity_types(Caller::Person).await, Ok(vec!["issue".to_owned(), "bug".to_owned()]));
    assert_eq!(tracker.key("issue", "  T-1 "), Ok("T-1".to_owned()));
    for typed in ["", " ", "a\nb", "..", &"x".repeat(256)] {
        assert!(tracker.key("issue", typed).is_err(), "{typed}");
    }
    let absent = tracker.find_created("issue", &[(TWIN, write(None).pending)]).await;
    assert_eq!(absent, Ok(vec![Created::Absent]));
}

#[test]
fn settings_are_checked() {
    let http = client(&Network::default(), &Guard::Operator).expect("a client");
    let make = |more| {
        Webhook::new("t", settings(more), http.clone(), Arc::new(ManualClock::new(now())), Arc::new(Rules))
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(make(json!({"url": "ftp://t.example"})), SettingsError::Url("url"));
    assert_eq!(make(json!({"url": "https://t.example", "timeout": "0s"})), SettingsError::Timeout);
    assert_eq!(make(json!({"url": "https://t.example", "secret": "hush"})), SettingsError::Secret(SecretError::Prefix));
    assert!(serde_json::from_value::<Settings>(json!({"url": "https://t.example", "secret": SECRET, "colour": 1})).is_err());
}

#[tokio::test]
async fn a_check_walks_step_by_step_and_posts_nothing() {
    let stub = Stub::start(records).await;
    let states = |steps: Vec<CheckStep>| steps.into_iter().map(|step| (step.name, step.status)).collect::<Vec<_>>();
    let step = |name: &str, status| (name.to_owned(), status);
    let good = tracker(json!({"url": format!("{}/in", stub.url), "read_url": format!("{}/read", stub.url)})).check().await;
    let (ok, failed, skipped) = (CheckStatus::Ok, CheckStatus::Failed, CheckStatus::Skipped);
    assert_eq!(states(good), [step("name", ok), step("connection", ok), step("answer", ok), step("secret", ok)]);
    assert!(stub.seen().iter().all(|request| request.method != "POST"));

    let down = tracker(json!({"url": "https://127.0.0.1:1/"})).check().await;
    assert!(!down[1].advice.is_empty());
    let expected =
        [step("name", ok), step("connection", failed), step("tls", skipped), step("answer", skipped), step("secret", skipped)];
    assert_eq!(states(down), expected);

    let strict = Stub::start(|request: &Request| reply(if request.method == "GET" { 401 } else { 405 }, "", "")).await;
    let strict = tracker(json!({"url": strict.url, "read_url": strict.url})).check().await;
    let last = strict.last().expect("steps");
    assert_eq!(last.status, failed);
    assert!(last.advice.contains("secret"));
}

#[test]
fn the_door_wants_a_signature_and_something_to_go_by() {
    let mute = tracker(json!({"url": "http://127.0.0.1:1"}));
    let asked = tracker(json!({"url": "http://127.0.0.1:1", "read_url": "http://127.0.0.1:1"}));
    let signer = Signer::new(&Secrets::One(Secret::new(SECRET))).expect("a secret");
    let receive = |tracker: &Webhook, data: Value| {
        let body = json!({"type": "entity.updated", "timestamp": now(), "data": data}).to_string();
        let signed = signer.sign("msg_1", now(), body.as_bytes());
        let headers = Headers { id: Some(&signed[0].1), timestamp: Some(&signed[1].1), signature: Some(&signed[2].1) };
        tracker.receive(headers, body.as_bytes(), now())
    };
    let thin = json!({"key": "1"});
    assert_eq!(receive(&mute, thin.clone()), Err(Refused::Senseless(HookError::NothingTold)));
    assert_eq!(receive(&asked, thin).expect("a look").content.expect("content").stamp, None);
    let full = receive(&mute, json!({"key": "1", "fields": {"a": 1}})).expect("a change");
    assert_eq!(full.content.expect("content").stamp, Some(now()));
    let unsigned = mute.receive(Headers::default(), b"{}", now());
    assert!(matches!(unsigned, Err(Refused::Untrusted(VerifyError::Missing(_)))));
}

proptest! {
    #[test]
    fn a_key_stays_one_segment(key in "[^\\x00-\\x1f\\x7f]{1,60}") {
        if let Ok(key) = tidy_key(&key) {
            let base: Url = "https://t.example/api/read/".parse().expect("a URL");
            let url = wire::record_url(&base, &key);
            prop_assert_eq!(url.path_segments().expect("a path").count(), 3, "{}", url);
            prop_assert!(url.path().starts_with("/api/read/") && url.query().is_none() && url.fragment().is_none());
        }
    }
}
