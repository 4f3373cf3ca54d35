//! Rules over HTTP, with an engine that finds the word `broken` wrong.

use serde_json::json;

use super::*;

impl Bench {
    async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("PUT", &format!("/api/v1{path}"), token, Some(body), &[]).await
    }

    /// Path of the rules of a connection in script mode.
    async fn scripted(&self, name: &str) -> String {
        let id = self.connection(name).await.id;
        let changed = self.send("PATCH", &format!("/api/v1/connections/{id}"), ADMIN, Some(json!({"mode": "script"})), &[]).await;
        assert_eq!((changed.status, changed.json()["mode"].as_str()), (200, Some("script")), "{}", changed.text);
        format!("/connections/{id}/rules")
    }

    async fn published(&self, path: &str, body: Value) -> Value {
        let answer = self.post(&format!("{path}/publish"), ADMIN, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }
}

fn texts(outgoing: &str, base: u32) -> Value {
    json!({"outgoing": outgoing, "incoming": "entity.x = 1", "base": base})
}

#[tokio::test]
async fn rules_of_a_basic_connection_are_the_built_in_pair_and_read_only() {
    let bench = Bench::start("").await;
    let id = bench.connection("one").await.id;
    let path = format!("/connections/{id}/rules");
    let shown = bench.get(&path, ADMIN).await.json();
    let pair =
        json!({"outgoing": "replica.key = entity.key", "incoming": "", "version": 0, "at": null, "by": null, "note": null});
    assert_eq!(shown, json!({"draft": null, "published": pair}));
    let refused = bench.put(&path, ADMIN, texts("a", 0)).await;
    assert_eq!((refused.status, refused.code()), (409, "basic_mode".into()));
    assert!(refused.json()["detail"].as_str().expect("told").contains("{\"mode\": \"script\"}"), "{}", refused.text);
    assert_eq!(bench.post(&format!("{path}/publish"), ADMIN, json!({})).await.code(), "basic_mode");
    assert_eq!(bench.post(&format!("{path}/rollback"), ADMIN, json!({"version": 0})).await.code(), "basic_mode");
    assert_eq!(bench.get(&format!("{path}/versions"), ADMIN).await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(bench.get(&format!("{path}/versions/0"), ADMIN).await.json(), pair);
    let connection = format!("/api/v1/connections/{id}");
    let upgraded = bench.send("PATCH", &connection, ADMIN, Some(json!({"mode": "script"})), &[]).await.json();
    assert_eq!(upgraded["mode"], "script");
    assert_eq!(bench.get(&path, ADMIN).await.json()["published"], pair, "it starts as the built-in pair");
    let back = bench.send("PATCH", &connection, ADMIN, Some(json!({"mode": "basic", "description": "d"})), &[]).await;
    assert_eq!((back.status, back.code()), (409, "invalid_state".into()));
    assert!(back.json()["detail"].as_str().expect("told").contains("roll back to version 0"), "{}", back.text);
    assert_eq!(bench.get(&format!("/connections/{id}"), ADMIN).await.json()["description"], "", "nothing of it was done");
    bench.stop().await;
}

#[tokio::test]
async fn a_draft_waits_until_it_is_published() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    let nothing = bench.post(&format!("{path}/publish"), ADMIN, json!({})).await;
    assert_eq!((nothing.status, nothing.code()), (409, "invalid_state".into()));
    let saved = bench.put(&path, ADMIN, texts("one", 0)).await.json();
    assert_eq!((&saved["draft"]["outgoing"], &saved["draft"]["by"]), (&json!("one"), &json!("configuration")), "{saved}");
    assert_eq!((&saved["published"]["version"], saved.get("problems")), (&json!(0), None));
    assert_eq!(bench.get(&path, ADMIN).await.json(), saved);
    let made = bench.published(&path, json!({"note": "first", "base": 0})).await;
    assert_eq!((&made["version"], &made["outgoing"], &made["note"]), (&json!(1), &json!("one"), &json!("first")));
    assert_eq!((&made["by"], made["at"].is_string()), (&json!("configuration"), true), "{made}");
    assert_eq!(bench.get(&path, ADMIN).await.json(), json!({"draft": null, "published": made}));
    // What runs already is no draft, and takes one back that was there.
    bench.put(&path, ADMIN, texts("two", 1)).await;
    assert_eq!(bench.put(&path, ADMIN, texts("one", 1)).await.json()["draft"], Value::Null);
    assert_eq!(bench.get(&path, ADMIN).await.json()["draft"], Value::Null);
    let again = bench.post(&format!("{path}/publish"), ADMIN, texts("one", 1)).await;
    assert_eq!((again.status, again.json()), (200, made), "nothing was added");
    assert_eq!(bench.published(&path, json!({"outgoing": "two", "base": 1})).await["incoming"], "entity.x = 1", "it stays");
    let audit = bench.get("/audit", ADMIN).await.json();
    let told: Vec<_> = audit["items"].as_array().expect("a list").iter().map(|line| &line["action"]).take(5).collect();
    assert_eq!(told, ["rules.publish", "rules.draft", "rules.draft", "rules.publish", "rules.draft"]);
    assert_eq!(audit["items"][0]["detail"], "one: version 2");
    bench.stop().await;
}

#[tokio::test]
async fn a_draft_that_does_not_parse_is_kept_and_not_published() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    let broken = texts("fine;\n  broken );  ", 0);
    let saved = bench.put(&path, ADMIN, broken.clone()).await;
    assert_eq!(saved.status, 200);
    let problem = json!({"field": "outgoing", "message": "SyntaxError: broken (line 2, column 3: `broken );`)",
        "line": 2, "column": 3, "text": "broken );", "severity": "error", "advice": "Mend it."});
    assert_eq!(saved.json()["problems"], json!([problem]));
    assert_eq!(bench.get(&path, ADMIN).await.json()["problems"], json!([problem]));
    for body in [json!({}), broken] {
        let refused = bench.post(&format!("{path}/publish"), ADMIN, body).await;
        assert_eq!((refused.status, refused.code()), (422, "rule_invalid".into()));
        assert_eq!(refused.json()["errors"], json!([problem]));
        assert!(refused.json()["detail"].as_str().expect("told").contains("line 2, column 3"), "{}", refused.text);
    }
    let shown = bench.get(&path, ADMIN).await.json();
    assert_eq!((&shown["published"]["version"], &shown["draft"]["base"]), (&json!(0), &json!(0)), "{shown}");
    let failed = bench.post(&format!("{path}/publish"), ADMIN, texts("engine", 0)).await;
    assert_eq!((failed.status, failed.code()), (500, "internal".into()), "that is no fault of the rule");
    bench.stop().await;
}

#[tokio::test]
async fn an_old_base_is_refused_everywhere_and_loses_nobodys_work() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    bench.put(&path, ADMIN, texts("mine", 0)).await;
    bench.published(&path, texts("theirs", 0)).await;
    let kept = bench.get(&path, ADMIN).await.json();
    assert_eq!((&kept["draft"]["outgoing"], &kept["draft"]["base"]), (&json!("mine"), &json!(0)), "another's draft stays");
    for (sent, status) in [(texts("other", 0), 409), (texts("other", 7), 409)] {
        let refused = bench.put(&path, ADMIN, sent.clone()).await;
        assert_eq!((refused.status, refused.code()), (status, "rule_changed".into()), "{sent}");
        assert_eq!(refused.json()["errors"][0]["field"], "base");
        assert_eq!(bench.post(&format!("{path}/publish"), ADMIN, sent).await.code(), "rule_changed");
    }
    for body in [json!({}), json!({"base": 1}), json!({"base": 0})] {
        assert_eq!(bench.post(&format!("{path}/publish"), ADMIN, body.clone()).await.code(), "rule_changed", "{body}");
    }
    let told = bench.put(&path, ADMIN, texts("other", 0)).await.json()["detail"].as_str().expect("told").to_owned();
    assert!(told.contains("Version 1 was published by configuration") && told.contains("with base 1"), "{told}");
    assert_eq!(bench.get(&path, ADMIN).await.json(), kept, "nothing was changed");
    assert_eq!(bench.put(&path, ADMIN, texts("merged", 1)).await.json()["draft"]["base"], 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_roll_back_is_a_new_version() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    for (n, text) in ["one", "two"].iter().enumerate() {
        bench.published(&path, texts(text, u32::try_from(n).expect("small"))).await;
    }
    let back = bench.post(&format!("{path}/rollback"), ADMIN, json!({"version": 1})).await;
    assert_eq!(back.status, 201, "{}", back.text);
    let back = back.json();
    assert_eq!((&back["version"], &back["outgoing"], &back["note"]), (&json!(3), &json!("one"), &json!("Back to version 1")));
    let again = bench.post(&format!("{path}/rollback"), ADMIN, json!({"version": 1})).await;
    assert_eq!((again.status, &again.json()["version"]), (200, &json!(3)));
    let first = bench.post(&format!("{path}/rollback"), ADMIN, json!({"version": 0, "note": "as it came"})).await.json();
    assert_eq!((&first["version"], &first["outgoing"]), (&json!(4), &json!("replica.key = entity.key")));
    let refused = bench.post(&format!("{path}/rollback"), ADMIN, json!({"version": 9})).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!("version")));
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let part = bench.get(&format!("{path}/versions?limit=2{cursor}"), ADMIN).await.json();
        seen.extend(part["items"].as_array().expect("a list").iter().map(|line| (line["version"].clone(), line["note"].clone())));
        let Some(next) = part["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected = [(4, json!("as it came")), (3, json!("Back to version 1")), (2, json!("")), (1, json!("")), (0, Value::Null)];
    assert_eq!(seen, expected.map(|(version, note)| (json!(version), note)));
    assert_eq!(bench.get(&format!("{path}/versions/2"), ADMIN).await.json()["outgoing"], "two");
    assert_eq!(bench.get(&format!("{path}/versions/9"), ADMIN).await.code(), "not_found");
    assert_eq!(bench.get("/audit", ADMIN).await.json()["items"][0]["action"], "rules.rollback");
    bench.stop().await;
}

#[tokio::test]
async fn versions_are_compared_line_by_line() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    bench.published(&path, texts("a\nb\n", 0)).await;
    let same = bench.get(&format!("{path}/compare"), ADMIN).await.json();
    assert_eq!(same, json!({"from": "1", "to": "1", "outgoing": "", "incoming": ""}), "there is no draft");
    bench.put(&path, ADMIN, texts("a\nc\n", 1)).await;
    let told = bench.get(&format!("{path}/compare"), ADMIN).await.json();
    assert_eq!((&told["from"], &told["to"], &told["incoming"]), (&json!("1"), &json!("draft"), &json!("")));
    assert_eq!(told["outgoing"], "--- outgoing.js, version 1\n+++ outgoing.js, draft\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    let told = bench.get(&format!("{path}/compare?from=0&to=published"), ADMIN).await.json();
    assert!(told["outgoing"].as_str().expect("a diff").contains("-replica.key = entity.key"), "{told}");
    for (query, field) in [("from=9", "from"), ("to=last", "to"), ("form=1", "form"), ("from=-1", "from")] {
        let refused = bench.get(&format!("{path}/compare?{query}"), ADMIN).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!(field)), "{}", refused.text);
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_rule_is_refused_at_the_door() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    let long = "x".repeat(256_001);
    let refused = bench.put(&path, ADMIN, texts(&long, 0)).await.json();
    assert_eq!(refused["errors"][0], json!({"field": "outgoing", "message": "has 256001 bytes; a rule has at most 256000"}));
    let full = bench.put(&path, ADMIN, json!({"outgoing": &long[1..], "incoming": &long[1..], "base": 0})).await;
    assert_eq!(full.status, 200);
    for (body, field) in [
        (json!({"outgoing": long, "base": 0}), "outgoing"),
        (json!({"outgoing": "x"}), "base"),
        (json!({"note": "x".repeat(2_001)}), "note"),
        (json!({"ntoe": "x"}), "ntoe"),
        (json!({"base": -1}), "base"),
    ] {
        let refused = bench.post(&format!("{path}/publish"), ADMIN, body).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!(field)), "{}", refused.text);
    }
    assert_eq!(bench.put(&path, ADMIN, json!({"outgoing": "x", "base": 0})).await.json()["errors"][0]["field"], "incoming");
    bench.stop().await;
}

#[tokio::test]
async fn rules_are_read_by_readers_and_changed_by_those_who_configure() {
    let bench = Bench::start("").await;
    let (path, other) = (bench.scripted("one").await, bench.scripted("two").await);
    let id = path.split('/').nth(2).expect("an id").to_owned();
    let token = async |scope: &str| {
        let made = bench.post("/tokens", ADMIN, json!({"name": scope, "scopes": [scope], "connections": [id]})).await.json();
        made["secret"].as_str().expect("a token").to_owned()
    };
    let (operator, writer) = (token("operate").await, token("configure").await);
    for read in ["", "/versions", "/versions/0", "/compare"] {
        assert_eq!(bench.get(&format!("{path}{read}"), &operator).await.status, 200, "{read}");
        assert_eq!(bench.get(&format!("{other}{read}"), &writer).await.status, 404, "{read}");
    }
    for (method, part, body) in
        [("PUT", "", texts("a", 0)), ("POST", "/publish", texts("a", 0)), ("POST", "/rollback", json!({"version": 0}))]
    {
        let send = async |path: &str, token: &str| {
            bench.send(method, &format!("/api/v1{path}{part}"), token, Some(body.clone()), &[]).await.status
        };
        assert_eq!(send(&path, &operator).await, 403, "{method} {part}");
        assert_eq!(send(&other, &writer).await, 404, "{method} {part}");
        assert!(send(&path, &writer).await < 300, "{method} {part}");
    }
    assert_eq!(bench.get(&format!("{path}/versions/1"), ADMIN).await.json()["by"], "configure", "the token's name");
    bench.stop().await;
}

#[tokio::test]
async fn publishing_is_repeated_under_its_key_and_told_to_the_stream() {
    let bench = Bench::start("").await;
    let path = bench.scripted("one").await;
    let mut listen = bench.node.store.wakes().listen();
    // Escaped as JSON it is twice as long: the answer must fit what is kept for repeats.
    let body = json!({"outgoing": "\n".repeat(249_000), "incoming": "\n".repeat(249_000), "base": 0});
    let publish = async || {
        bench.send("POST", &format!("/api/v1{path}/publish"), ADMIN, Some(body.clone()), &[("idempotency-key", "k")]).await
    };
    let first = publish().await;
    assert_eq!(first.status, 201);
    assert!(matches!(listen.try_recv(), Ok(crate::store::Notice::Connection(_))));
    let again = publish().await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    assert!(listen.try_recv().is_err(), "it was not done twice");
    bench.stop().await;
}
