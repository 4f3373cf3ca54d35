//! The `webhook` tracker as a stranger's receiver meets it: the private node stands beside a host that answers what each
//! test says. Signatures are worked out here, from the specification alone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use wicketgate::clock::{Clock as _, SystemClock};

use crate::support::{
    HOOK_SECRET, Settings, World, http,
    receiver::{Got, Receiver, Reply},
    until, until_said,
};

/// What the host answers next; when that is used up it takes all, and numbers what is made.
type Script = Arc<Mutex<Vec<Reply>>>;

struct Desk {
    world: World,
    receiver: Receiver,
    script: Script,
    door: String,
}

fn reply(status: u16, body: impl Into<String>) -> Reply {
    (status, Vec::new(), body.into())
}

fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed)))
}

/// The body of a message of ours, its signature checked.
fn opened(got: &Got) -> Value {
    let timestamp: i64 = got.header("webhook-timestamp").parse().expect("seconds");
    assert!((SystemClock.now().seconds() - timestamp).abs() < 60, "signed when it was sent");
    assert_eq!(got.header("webhook-signature"), signature(HOOK_SECRET, got.header("webhook-id"), timestamp, &got.body));
    got.json()
}

impl Desk {
    async fn start() -> Self {
        let script = Script::default();
        let (answers, made) = (script.clone(), Mutex::new(0));
        let receiver = Receiver::start(move |got, _| {
            let mut answers = answers.lock().expect("no test panics inside");
            if !answers.is_empty() {
                return answers.remove(0);
            }
            let key = got.json()["data"]["key"].clone();
            let mut made = made.lock().expect("no test panics inside");
            if key.is_null() {
                *made += 1;
                return reply(
                    201,
                    json!({"key": format!("D-{made}"), "url": format!("https://desk.example/D-{made}")}).to_string(),
                );
            }
            reply(204, "")
        });
        let desk =
            format!("\n[trackers.desk]\nkind = \"webhook\"\nurl = \"{}/in?x=1\"\nsecret = \"{HOOK_SECRET}\"\n", receiver.url);
        let mut world = World::with(Settings { helpdesk: desk, joined: false, ..Settings::default() }).await;
        let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "support",
            "remote_short_name": "desk"});
        let made = world.public.post("/connections", wanted).await;
        world.connection = made["id"].as_str().expect("an id").to_owned();
        world.private.post("/invitations/accept", json!({"code": made["invitation"]["code"], "tracker": "desk"})).await;
        let path = format!("/connections/{}/triggers", world.connection);
        world.public.post(&path, json!({"entity_type": "Case", "filter": ""})).await;
        world.private.post(&path, json!({"entity_type": "issue", "filter": "entity.status !== 'draft'"})).await;
        let door = world.private.get("/trackers/desk").await["webhook_url"].as_str().expect("an address").to_owned();
        Self { world, receiver, script, door }
    }

    fn answers(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().expect("no test panics inside").extend(replies);
    }

    fn bodies(&self) -> Vec<Value> {
        self.receiver.seen().iter().map(opened).collect()
    }

    async fn received(&self, count: usize) -> Vec<Got> {
        until("a message to the receiver", || self.receiver.seen().len() >= count).await;
        self.receiver.seen()
    }

    /// The twin of a Case, as the private node shows it.
    async fn twin(&self, case: &str) -> Value {
        self.world.private.twin_of(case).await.unwrap_or_default()
    }

    /// Tells the node of a change, as a local system does.
    async fn tell(&self, id: &str, body: &Value) -> (u16, Value) {
        let (body, now) = (body.to_string(), SystemClock.now().seconds());
        let foreign = signature("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", id, now, body.as_bytes());
        self.send(id, now, &format!("{foreign} {}", signature(HOOK_SECRET, id, now, body.as_bytes())), body).await
    }

    async fn send(&self, id: &str, timestamp: i64, signature: &str, body: String) -> (u16, Value) {
        let request = http().post(&self.door).header("webhook-id", id).header("webhook-timestamp", timestamp.to_string());
        let answer = request.header("webhook-signature", signature).body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

fn message(kind: &str, data: Value) -> Value {
    json!({"type": kind, "timestamp": SystemClock.now().to_string(), "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_leave_in_the_designed_shape() {
    let desk = Desk::start().await;
    let case = desk.world.new_case(json!({"Subject": "Pump", "Description": "E-17", "Priority": "High"}));
    let got = desk.received(1).await.remove(0);
    assert_eq!((got.method.as_str(), got.path.as_str(), got.header("content-type")), ("POST", "/in?x=1", "application/json"));
    let body = opened(&got);
    let names: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["type", "timestamp", "data"]);
    assert_eq!(body["type"], "entity.created");
    assert!(body["timestamp"].as_str().is_some_and(|text| text.ends_with('Z')), "{body}");
    let data = &body["data"];
    assert_eq!((&data["entity_type"], &data["key"]), (&json!("issue"), &Value::Null));
    assert_eq!(data["fields"], json!({"summary": "Pump", "description": "E-17", "status": "New", "priority": "High"}));
    assert_eq!((&data["comments"], &data["attachments"]), (&json!([]), &json!([])));
    let mut changed: Vec<&str> = data["changed"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["description", "priority", "status", "summary"]);
    desk.world.quiet().await;
    let twin = desk.twin(&case).await;
    assert_eq!(got.header("webhook-id"), twin["id"], "a create goes under the twin's id");
    assert_eq!((&twin["local"]["key"], &twin["local"]["url"]), (&json!("D-1"), &json!("https://desk.example/D-1")), "{twin}");

    desk.world.edit_case(&case, json!({"Subject": "Pump stops"}));
    let update = desk.received(2).await.remove(1);
    let body = opened(&update);
    assert_eq!((&body["type"], &body["data"]["key"]), (&json!("entity.updated"), &json!("D-1")));
    assert_eq!(body["data"]["fields"], json!({"summary": "Pump stops"}), "only what is to change");
    assert_eq!(body["data"]["changed"], json!(["summary"]));
    desk.world.edit_case(&case, json!({"Subject": "Pump runs"}));
    let next = desk.received(3).await.remove(2);
    assert_ne!(next.header("webhook-id"), update.header("webhook-id"), "what came later is a new write");
    desk.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_the_same_and_a_pause_is_kept() {
    let desk = Desk::start().await;
    let at = |seconds: i64| {
        let stamp: jiff::Timestamp = jiff::Timestamp::from_second(SystemClock.now().seconds() + seconds).expect("a time");
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&stamp).expect("a date")
    };
    desk.answers([
        reply(500, "oops"),
        (429, vec![("retry-after", "1".to_owned())], "slow down".to_owned()),
        (503, vec![("retry-after", at(2))], String::new()),
    ]);
    let case = desk.world.new_case(json!({"Subject": "Pump"}));
    let begun = std::time::Instant::now();
    let got = desk.received(4).await;
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert!(got.iter().all(|one| one.body == got[0].body && one.header("webhook-id") == got[0].header("webhook-id")));
    got.iter().for_each(|one| drop(opened(one)));
    desk.world.quiet().await;
    let twin = desk.twin(&case).await;
    assert_eq!((&twin["status"], &twin["local"]["key"]), (&json!("in_sync"), &json!("D-1")), "{twin}");
    assert_eq!(desk.receiver.seen().len(), 4);
    desk.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_means_what_the_design_says() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let parked = async |case: &str| {
        until_said("a parked twin", || async { desk.twin(case).await["status"] == "parked" }).await;
        desk.twin(case).await["error"].clone()
    };
    desk.answers([reply(200, r#"{"ok": true}"#)]);
    let keyless = world.new_case(json!({"Subject": "Without a key"}));
    let error = parked(&keyless).await;
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("`key`")), "{error}");
    assert!(error["advice"].as_str().is_some_and(|text| text.contains("webhook-id")), "{error}");

    let long = "x".repeat(5_000);
    desk.answers([reply(422, format!("summary must not be blue; secret {HOOK_SECRET}; {long}"))]);
    let refused = world.new_case(json!({"Subject": "Blue"}));
    let error = parked(&refused).await;
    let detail = error["detail"].as_str().expect("text");
    assert!(detail.starts_with("HTTP 422: summary must not be blue") && detail.chars().count() < 2_100, "{detail}");
    assert!(!detail.contains(HOOK_SECRET), "{detail}");

    desk.answers([reply(409, r#"{"key": "OLD-7"}"#)]);
    let adopted = world.new_case(json!({"Subject": "Had already"}));
    until_said("the adopted record", || async { desk.twin(&adopted).await["local"]["key"] == "OLD-7" }).await;

    let before = desk.receiver.seen().len();
    desk.answers([(302, vec![("location", format!("{}/elsewhere", desk.receiver.url))], String::new())]);
    let moved = world.new_case(json!({"Subject": "Moved"}));
    until_said("the redirect to be told", || async {
        let errors = world.private.get("/errors").await.to_string();
        errors.contains("redirect")
    })
    .await;
    assert!(desk.receiver.seen().iter().skip(before).all(|got| got.path == "/in?x=1"), "redirects are not followed");
    until_said("its end", || async { desk.twin(&moved).await["status"] == "in_sync" }).await;

    desk.answers([reply(410, "gone for good")]);
    world.edit_case(&adopted, json!({"Subject": "Gone there"}));
    until_said("the end of the twin", || async {
        let twin = desk.twin(&adopted).await["id"].as_str().unwrap_or_default().to_owned();
        world.private.get(&format!("/twins/{twin}/history")).await.to_string().contains("the record was deleted here")
    })
    .await;
    assert_eq!(
        world.org.handle.get(&adopted).expect("it stays")["Subject"],
        "Gone there",
        "a delete ends the twin, not the record"
    );
    world.new_case(json!({"Subject": "The next"}));
    until("the next one", || desk.bodies().iter().any(|body| body["data"]["fields"]["summary"] == "The next")).await;
    desk.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_system_tells_is_taken_in_once_it_is_stored() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let created = message(
        "entity.created",
        json!({"entity_type": "issue", "key": "L-1", "url": "https://desk.example/L-1",
        "fields": {"summary": "Printer", "description": "smoke", "status": "open", "extra": {"deep": [1]}}}),
    );
    assert_eq!(desk.tell("m1", &created).await.0, 202);
    let case = world.case_with("Printer").await;
    assert_eq!(desk.tell("m1", &created).await.0, 202, "a repeat is taken and passed over");
    let draft = message(
        "entity.created",
        json!({"entity_type": "issue", "key": "L-2", "fields": {"summary": "Draft", "status": "draft"}}),
    );
    assert_eq!(desk.tell("m2", &draft).await.0, 202);
    world.quiet().await;
    assert_eq!(world.org.handle.count("Case"), 1);
    let found = world.private.get("/trackers/desk/entities/issue/L-2").await;
    assert_eq!((&found["twins"], &found["history"][0]["outcome"]), (&json!([]), &json!("skipped")), "{found}");
    assert!(found["history"][0]["reason"].is_string(), "{found}");

    let partial = message(
        "entity.updated",
        json!({"entity_type": "issue", "key": "L-1", "partial": true, "fields": {"summary": "Printer on fire"}}),
    );
    assert_eq!(desk.tell("m3", &partial).await.0, 202);
    until("the edit", || world.case_field(&case, "Subject") == "Printer on fire").await;
    assert_eq!(world.case_field(&case, "Description"), "smoke", "what a partial message does not name is unknown, not empty");
    let whole = message(
        "entity.updated",
        json!({"entity_type": "issue", "key": "L-1", "fields": {"summary": "Printer cold", "description": "none", "status": "open"}}),
    );
    assert_eq!(desk.tell("m4", &whole).await.0, 202);
    until("the whole", || world.case_field(&case, "Description") == "none").await;
    world.quiet().await;
    assert!(desk.receiver.seen().is_empty(), "nothing comes back of what it told: {:?}", desk.bodies());

    assert_eq!(desk.tell("m5", &message("entity.deleted", json!({"entity_type": "issue", "key": "L-1"}))).await.0, 202);
    until_said("the delete to be told", || async {
        world.public.get(&format!("/trackers/support/entities/Case/{case}")).await.to_string().contains("delete")
    })
    .await;
    assert!(world.org.handle.get(&case).is_some(), "the other record stays");
    desk.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_systems_is_refused_with_words() {
    let desk = Desk::start().await;
    let good = message("entity.updated", json!({"entity_type": "issue", "key": "L-1", "fields": {"summary": "x"}})).to_string();
    let now = SystemClock.now().seconds();
    let sign = |id: &str, at: i64| signature(HOOK_SECRET, id, at, good.as_bytes());
    for (at, status, code) in [(now - 310, 401, "stale_message"), (now + 310, 401, "stale_message"), (now - 280, 202, "")] {
        let (answered, body) = desk.send("s1", at, &sign("s1", at), good.clone()).await;
        assert_eq!((answered, body["code"].as_str().unwrap_or_default()), (status, code), "{body}");
    }
    for (what, id, signature) in [
        ("another id", "s2", sign("s1", now)),
        ("another body", "s2", signature(HOOK_SECRET, "s2", now, b"{}")),
        ("no version", "s2", sign("s2", now).trim_start_matches("v1,").to_owned()),
        ("another version", "s2", sign("s2", now).replace("v1,", "v2,")),
        ("none", "s2", String::new()),
    ] {
        let (answered, body) = desk.send(id, now, &signature, good.clone()).await;
        assert_eq!((answered, &body["code"]), (401, &json!("wrong_signature")), "{what}: {body}");
    }
    for (body, member) in [
        (json!({"type": "entity.updated", "data": {"entity_type": "issue", "fields": {"a": 1}}}), "key"),
        (json!({"type": "entity.updated", "data": {"entity_type": " ", "key": "L-1", "fields": {"a": 1}}}), "entity_type"),
        (json!({"type": "entity.moved", "data": {"entity_type": "issue", "key": "L-1", "fields": {"a": 1}}}), "type"),
        (json!({"type": "entity.updated"}), "data"),
        (
            json!({"type": "entity.updated", "timestamp": "yesterday", "data": {"entity_type": "issue", "key": "L-1", "fields": {"a": 1}}}),
            "timestamp",
        ),
        (json!([1]), "object"),
    ] {
        let (answered, told) = desk.tell("s3", &body).await;
        assert!(
            answered == 422 && told["detail"].as_str().is_some_and(|text| text.contains(member)),
            "{member}: {answered} {told}"
        );
    }
    let errors = desk.world.private.get("/errors?scope=tracker").await;
    assert!(errors["items"].as_array().is_some_and(|all| all.len() == 2), "the operator can see why: {errors}");
    assert_eq!(desk.tell("s4", &serde_json::from_str(&good).expect("JSON")).await.0, 202);
    until_said("the errors to end with a good message", || async {
        desk.world.private.get("/errors?scope=tracker").await["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    desk.world.stop().await;
}
