//! Odd values through rules that people wrote: they come back unchanged, or are refused with a reason and their size.

use serde_json::{Value, json};

use crate::support::{Settings, World, put_rules, until, until_said};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");

async fn scripted() -> World {
    World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await
}

/// The first error of a node's twins, once there is one.
async fn parked(world: &World, public: bool) -> Value {
    let node = if public { &world.public } else { &world.private };
    let errors = async || node.get("/errors?scope=twin").await["items"].as_array().cloned().unwrap_or_default();
    until_said("an error", async || !errors().await.is_empty()).await;
    errors().await.remove(0)
}

/// Values that trackers hold and other languages bend.
fn odd() -> Value {
    json!({
        "unicode": "Ünï 漢字 👩‍👩‍👧 \u{202e}right\u{202c} é e\u{301} \u{feff}\u{fffd}",
        "controls": "tab\t, line\nbreak, \"quotes\" \\ / \u{2028} </script>",
        "nothing": null,
        "yes": true,
        "no": false,
        "zero": 0,
        "minus": -1.5,
        "small": 1e-7,
        "most": 9_007_199_254_740_991_i64,
        "dates": ["2026-12-01", "2026-12-01T10:00:00", "2026-12-01T10:00:00.000+0000", "0000-00-00"],
        "picklist": "P1 – “urgent”; & <b>, 50 % / `x` ' \\n",
        "empty": ["", [], {}],
        "deep": {"__proto__": {"a": 1}, "constructor": 2, "toString": "t", "": "no name", "a.b": [{"c": [null]}]},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_values_come_back_as_they_went() {
    let world = scripted().await;
    // There all is kept as text in one field; from there it comes back as values.
    put_rules(
        &world.private,
        &world.connection,
        "replica.summary = entity.summary; replica.odd = entity.odd; replica.big = entity.big;",
        "if (firstSync) entity.entityType = 'issue'; entity.summary = replica.summary; entity.odd = replica.odd; entity.big = replica.big;",
    )
    .await;
    put_rules(
        &world.public,
        &world.connection,
        "replica.summary = entity.Subject; const { odd, big } = JSON.parse(entity.Description); replica.odd = odd; replica.big = big;",
        "if (firstSync) entity.entityType = 'Case'; entity.Subject = replica.summary;
         entity.Description = JSON.stringify({ odd: replica.odd, big: replica.big });",
    )
    .await;
    // The text is parsed: a number beyond 2^53 would have been rounded by anything that took it for one on its way.
    let issue = json!({"summary": "Odd", "odd": odd(), "big": 9_007_199_254_740_993_i64});
    world.tracker.handle.create(&issue);
    let case = world.case_with("Odd").await;
    let kept = world.case_field(&case, "Description");
    let kept: Value = serde_json::from_str(kept.as_str().expect("text")).expect("JSON");
    assert_eq!(kept["odd"], odd());
    assert_eq!(kept["big"], "9007199254740993", "as text, and unchanged");
    world.quiet().await;
    let back = world.new_case(json!({"Subject": "Back", "Description": kept.to_string()}));
    let issue = world.issue_with("Back").await;
    assert_eq!(world.issue_field(&issue, "odd"), odd());
    assert_eq!(world.issue_field(&issue, "big"), "9007199254740993");
    world.quiet().await;
    assert_eq!(world.case_field(&back, "Description"), kept.to_string(), "nothing came back");
    for node in [&world.public, &world.private] {
        assert_eq!(node.get("/errors").await["items"], json!([]));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_without_a_zone_are_utc_and_what_is_none_is_refused() {
    let world = scripted().await;
    let incoming = "if (firstSync) entity.entityType = 'Case'; entity.Subject = replica.summary;
        entity.SuppliedName = nodeHelper.toDate(replica.description);";
    put_rules(&world.public, &world.connection, CASE_OUT, incoming).await;
    for (given, expected) in [
        ("2026-12-01T10:00:00", "2026-12-01T10:00:00.000Z"),
        ("2026-12-01", "2026-12-01T00:00:00.000Z"),
        ("2026-12-01T10:00:00.000+0200", "2026-12-01T08:00:00.000Z"),
    ] {
        world.tracker.handle.create(&json!({"summary": given, "description": given}));
        let case = world.case_with(given).await;
        assert_eq!(world.case_field(&case, "SuppliedName"), expected, "{given}");
    }
    world.tracker.handle.create(&json!({"summary": "No date", "description": "0000-00-00"}));
    let error = parked(&world, true).await;
    let detail = error["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("\"0000-00-00\" is no date") && detail.contains("line 2, column"), "{error}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_too_large_or_too_deep_is_parked_with_its_size_and_heals() {
    let world = scripted().await;
    let outgoing = format!(
        "{CASE_OUT}\nif (entity.Description === 'large') replica.more = 'x'.repeat(1_100_000);
        if (entity.Description === 'deep') {{ let deep = 1; for (let at = 0; at < 33; at++) deep = [deep]; replica.more = deep; }}"
    );
    put_rules(&world.public, &world.connection, &outgoing, CASE_IN).await;
    for (what, size) in [("large", "at most 1000000 may travel"), ("deep", "nested 34 deep; at most 32")] {
        let case = world.new_case(json!({"Subject": what, "Description": what}));
        let error = parked(&world, true).await;
        let detail = error["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(size) && error["advice"].as_str().is_some_and(|text| text.contains("send less")), "{error}");
        assert!(what == "deep" || detail.contains("has 1100"), "its size: {error}");
        assert_eq!(
            world.tracker.handle.all().iter().filter(|issue| issue.fields.get("summary") == Some(&json!(what))).count(),
            0
        );
        // A neighbour never notices, and a smaller one heals it.
        let neighbour = format!("beside {what}");
        world.new_case(json!({"Subject": neighbour}));
        world.issue_with(&neighbour).await;
        world.edit_case(&case, json!({"Description": "small"}));
        world.issue_with(what).await;
        until_said("the end of the error", async || world.public.get("/errors?scope=twin").await["items"] == json!([])).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_json_cannot_hold_is_refused_with_its_place() {
    let world = scripted().await;
    let outgoing = format!(
        "{CASE_OUT}\nconst values = {{ half: '👩'.slice(0, 1), nan: 0 / 0, code: () => 1, map: new Map(), big: 10n }};
        if (entity.Description) replica.odd = {{ of: [values[entity.Description]] }};"
    );
    put_rules(&world.public, &world.connection, &outgoing, CASE_IN).await;
    let case = world.new_case(json!({"Subject": "Odd"}));
    world.issue_with("Odd").await;
    for (kind, words) in [
        ("half", "replica.odd.of[0] holds half a character"),
        ("nan", "replica.odd.of[0] is NaN, which JSON cannot hold"),
        ("code", "replica.odd.of[0] is a function"),
        ("map", "replica.odd.of[0] is not a plain object"),
        ("big", "replica.odd.of[0] is a bigint"),
    ] {
        world.edit_case(&case, json!({"Description": kind}));
        let told = async || {
            // Only a person's retry runs a rule again that failed.
            world.public.post("/errors/retry", json!({"filter": {"scope": "twin"}})).await;
            let errors = world.public.get("/errors?scope=twin").await;
            errors["items"]
                .as_array()
                .is_some_and(|all| all.iter().any(|error| error["detail"].as_str().is_some_and(|text| text.contains(words))))
        };
        until_said(words, told).await;
    }
    world.edit_case(&case, json!({"Description": null, "Subject": "Even"}));
    let healed = async || {
        world.public.post("/errors/retry", json!({"filter": {"scope": "twin"}})).await;
        world.tracker.handle.all().iter().any(|issue| issue.fields.get("summary") == Some(&json!("Even")))
    };
    until_said("the last edit", healed).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picklists_with_odd_letters_are_compared_letter_by_letter() {
    let world = scripted().await;
    let incoming = format!("{CASE_IN}\nentity.Reason = replica.description;");
    put_rules(&world.public, &world.connection, CASE_OUT, &incoming).await;
    put_rules(&world.private, &world.connection, ISSUE_OUT, ISSUE_IN).await;
    let issue = world.tracker.handle.create(&json!({"summary": "Listed", "description": "Equipment Complexity"}));
    let case = world.case_with("Listed").await;
    assert_eq!(world.case_field(&case, "Reason"), "Equipment Complexity");
    world.quiet().await;
    // A no-break space, another case, a look-alike: none of them is listed.
    for near in ["Equipment\u{a0}Complexity", "equipment complexity", "Equipment Complexity "] {
        world.tracker.handle.edit(&issue, &json!({"description": near}));
        let error = parked(&world, true).await;
        assert!(error["title"].as_str().is_some_and(|title| title.contains("does not list the value")), "{near}: {error}");
        world.tracker.handle.edit(&issue, &json!({"description": "Performance"}));
        until("a listed value", || world.case_field(&case, "Reason") == "Performance").await;
        until_said("the end of the error", async || world.public.get("/errors?scope=twin").await["items"] == json!([])).await;
        world.quiet().await;
        world.tracker.handle.edit(&issue, &json!({"description": "Equipment Complexity"}));
        until("back", || world.case_field(&case, "Reason") == "Equipment Complexity").await;
        world.quiet().await;
    }
    world.stop().await;
}
