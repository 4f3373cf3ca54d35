//! Rules are held against the tracker before they are published: what would fail is told with its place, and refused.

use serde_json::{Value, json};

use crate::support::{Settings, World};

const OUTGOING: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const INCOMING: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");

async fn scripted() -> (World, String) {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let path = format!("/connections/{}/rules", world.connection);
    (world, path)
}

/// `rule line:column severity`, one for each.
fn places(problems: &Value) -> Vec<String> {
    let all = problems.as_array().cloned().unwrap_or_default();
    let place = |one: &Value| {
        let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}:{} {}", word("field"), one["line"], one["column"], word("severity"))
    };
    all.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_fail_is_not_published_unless_it_is_forced() {
    let (world, path) = scripted().await;
    let own = json!({"outgoing": format!("// ours\n{OUTGOING}"), "incoming": INCOMING, "base": 0});
    let made = world.public.post(&format!("{path}/publish"), own).await;
    assert_eq!((&made["version"], &made["problems"]), (&json!(1), &Value::Null), "the built-in pair fits: {made}");

    let incoming = "entity.Subject = replica.summary;\nentity.Priority = 'Urgent';\n  entity.CreatedDate = replica.at;\nentity.Regoin__c = 1;";
    let outgoing = "replica.summary = entity.Subjct; // entity.Nothing";
    let draft = json!({"outgoing": outgoing, "incoming": incoming, "base": 1});
    let saved = world.public.call("PUT", &path, Some(draft.clone())).await.good();
    let expected = ["outgoing 1:26 error", "incoming 2:19 error", "incoming 3:10 error", "incoming 4:8 error"].map(str::to_owned);
    assert_eq!(places(&saved["problems"]), expected, "{saved:#}");
    let first = &saved["problems"][0];
    assert_eq!((&first["text"], &first["advice"]), (&json!(outgoing), &json!("Did you mean `Subject`?")), "{first}");
    let advice = saved["problems"][1]["advice"].as_str().unwrap_or_default();
    assert!(advice.contains("It lists High, Medium, Low"), "{saved:#}");

    let refused = world.public.call("POST", &format!("{path}/publish"), None).await;
    assert_eq!((refused.status, refused.code()), (422, "rule_unfit"));
    assert_eq!(refused.body["errors"], saved["problems"]);
    let rules = world.public.get(&path).await;
    assert_eq!((&rules["published"]["version"], &rules["problems"]), (&json!(1), &saved["problems"]), "what runs stays");

    let forced = world.public.call("POST", &format!("{path}/publish"), Some(json!({"force": true}))).await;
    assert_eq!((forced.status, &forced.body["version"], &forced.body["problems"]), (201, &json!(2), &saved["problems"]));
    let mut same = draft;
    same["base"] = json!(2);
    assert_eq!(world.public.call("POST", &format!("{path}/publish"), Some(same)).await.status, 200, "what runs is no news");
    let broken = json!({"outgoing": ")", "incoming": INCOMING, "base": 2, "force": true});
    assert_eq!(world.public.call("POST", &format!("{path}/publish"), Some(broken)).await.code(), "rule_invalid");
    // Warnings keep nothing back.
    let long = format!("entity.Subject = '{}';", "x".repeat(300));
    let warned = world.public.post(&format!("{path}/publish"), json!({"incoming": long, "outgoing": OUTGOING, "base": 2})).await;
    assert_eq!(places(&warned["problems"]), ["incoming 1:18 warning"], "{warned}");
    world.public.post(&format!("{path}/rollback"), json!({"version": 2})).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_types_are_those_of_the_connection() {
    let (world, path) = scripted().await;
    let publish = async |incoming: &str| {
        let base = world.public.get(&path).await["published"]["version"].clone();
        let body = json!({"outgoing": OUTGOING, "incoming": incoming, "base": base});
        world.public.call("POST", &format!("{path}/publish"), Some(body)).await
    };
    let account = "entity.Website = replica.due;";
    assert_eq!(publish(account).await.code(), "rule_unfit", "a Case has none");
    assert_eq!(
        publish(&format!("if (firstSync) entity.entityType = 'Account';\n{account}")).await.status,
        201,
        "the rule names it"
    );
    assert_eq!(publish(&format!("entity.entityType = 'Acount';\n{account}")).await.code(), "rule_unfit", "nobody has it");
    let trigger = json!({"entity_type": "Account", "filter": ""});
    world.public.post(&format!("/connections/{}/triggers", world.connection), trigger).await;
    assert_eq!(publish(account).await.status, 201, "a trigger names it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_is_down_keeps_nobody_from_publishing() {
    let (mut world, path) = scripted().await;
    // Nothing may be known from before.
    world.public.stop().await;
    world.org.stop().await;
    world.public.start().await;
    let body = json!({"outgoing": "replica.summary = entity.Subjct;", "incoming": INCOMING, "base": 0});
    let made = world.public.call("POST", &format!("{path}/publish"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let told = &made.body["problems"][0];
    assert_eq!((made.body["problems"].as_array().map(Vec::len), &told["severity"]), (Some(1), &json!("warning")), "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("were not checked")), "{told}");
    assert!(told["advice"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
    let declared = world.public.call("GET", &format!("{path}/declarations"), None).await;
    assert_eq!(declared.code(), "tracker_unavailable", "{}", declared.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declarations_hold_every_field_of_the_connections_types() {
    let (world, path) = scripted().await;
    let declared = async |query: &str| {
        let answer = world.public.call("GET", &format!("{path}/declarations{query}"), None).await;
        answer.body.as_str().map(str::to_owned).unwrap_or_else(|| panic!("{}", answer.body))
    };
    let text = declared("").await;
    let fields = world.public.get("/trackers/support/types/Case").await["fields"].as_array().cloned().expect("fields");
    assert!(fields.len() > 10 && !text.contains("\"Account\""), "{text}");
    for field in &fields {
        let name = field["name"].as_str().expect("a name");
        let member = if field["writable"] == true { format!("\n  {name}: ") } else { format!("\n  readonly {name}: ") };
        assert!(text.contains(&member), "{member} is not in {text}");
    }
    assert!(text.contains("support_to_helpdesk") && text.contains("\"High\" | \"Medium\" | \"Low\""), "{text}");
    let more = declared("?entity_type=Account").await;
    assert!(more.contains("entityType: \"Account\"") && more.contains("Website") && more.len() > text.len(), "{more}");
    let refused = world.public.call("GET", &format!("{path}/declarations?entity_type=Nonsense"), None).await;
    assert_eq!(refused.code(), "tracker_refused", "{}", refused.body);
    let text = world.private.call("GET", &format!("{path}/declarations"), None).await.body;
    assert!(text.as_str().is_some_and(|text| text.contains("[field: string]: any;")), "{text}");
    world.stop().await;
}
