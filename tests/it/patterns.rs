//! The commonest patterns of rules that people write, as rules in `patterns/`: each says at its top what it should do, and is
//! held to it here, in a worker process as a node starts it. Two ask while they run; a small desk answers them here, and
//! `rules::asks` shows the same between two nodes.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};
use wicketgate::{
    domain::{
        ask::{Ask, Host, Moment, Nobody, Unanswered},
        comment::Comment,
        connection::Mode,
        rule::{ConnectionView, EntityView, Merge, RuleEngine as _, RuleInput, RuleOutput},
    },
    rules::{Pool, PoolSettings},
};

fn pool() -> Pool {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_wicketgate"));
    Pool::new(PoolSettings { program, args: vec!["rule-worker".into()], workers: 1, wall: Duration::from_secs(5) })
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn connection() -> ConnectionView {
    ConnectionView {
        id: "c1".to_owned(),
        name: "support_to_helpdesk".to_owned(),
        mode: Mode::Script,
        local_short_name: "support".to_owned(),
        remote_short_name: "helpdesk".to_owned(),
    }
}

fn case(value: Value) -> EntityView {
    let (entity_type, key) = ("Case".to_owned(), "5005g00000ABCDEAA2".to_owned());
    EntityView { entity_type, key, fields: fields(value), ..EntityView::default() }
}

async fn sent(source: &str, record: Value, changed: &[&str]) -> RuleOutput {
    let input = RuleInput::Outgoing {
        entity: case(record),
        previous: None,
        changed: changed.iter().map(|name| (*name).to_owned()).collect(),
        first_sync: changed.is_empty(),
        connection: connection(),
        described: BTreeMap::new(),
    };
    pool().run(source, &input, &Nobody).await.expect("runs")
}

fn received(entity: EntityView, replica: Value) -> RuleInput {
    RuleInput::Incoming {
        first_sync: entity.key.is_empty(),
        entity,
        replica: fields(replica),
        previous: None,
        deleted: false,
        connection: connection(),
        listed: BTreeMap::from([("Priority".to_owned(), ["High", "Medium", "Low"].map(str::to_owned).to_vec())]),
        described: BTreeMap::new(),
    }
}

async fn made(source: &str, replica: Value) -> RuleOutput {
    pool().run(source, &received(EntityView::default(), replica), &Nobody).await.expect("runs")
}

async fn updated(source: &str, record: Value, replica: Value) -> RuleOutput {
    pool().run(source, &received(case(record), replica), &Nobody).await.expect("runs")
}

#[tokio::test]
async fn a_status_is_mapped_and_an_unknown_one_is_logged() {
    let rule = include_str!("patterns/status_map.outgoing.js");
    for (ours, theirs, lines) in [("New", "Open", 0), ("Escalated", "In Progress", 0), ("Closed", "Done", 0), ("Odd", "Open", 1)]
    {
        let output = sent(rule, json!({"Subject": "S", "Status": ours}), &[]).await;
        assert_eq!((output.replica["status"].as_str(), output.log.len()), (Some(theirs), lines), "{ours}");
    }
}

#[tokio::test]
async fn custom_fields_are_copied_cleared_or_left_alone() {
    let rule = include_str!("patterns/custom_fields.incoming.js");
    let all = json!({"region": "EMEA", "custom": {"product": "Pump", "severity": "2"}, "labels": ["a", "b"]});
    let expected = json!({"Region__c": "EMEA", "Product__c": "Pump", "Severity__c": 2, "Tags__c": "a;b"});
    assert_eq!(Value::Object(updated(rule, json!({}), all).await.assigned), expected);
    let none = updated(rule, json!({"Region__c": "APAC"}), json!({})).await.assigned;
    assert_eq!(Value::Object(none), json!({"Product__c": null, "Severity__c": 3, "Tags__c": ""}));
}

#[tokio::test]
async fn a_record_is_skipped_with_a_reason() {
    let rule = include_str!("patterns/conditional_skip.outgoing.js");
    let record = |origin| json!({"Origin": origin, "Subject": "S", "Status": "New", "OwnerId": "x"});
    assert_eq!(sent(rule, record("Internal"), &[]).await.skip.as_deref(), Some("internal cases stay here"));
    let owner = sent(rule, record("Web"), &["OwnerId"]).await;
    assert_eq!(owner.skip.as_deref(), Some("nothing for the other side in OwnerId"));
    assert_eq!(sent(rule, record("Web"), &["OwnerId", "Status"]).await.replica["status"], "New");
    assert_eq!(sent(rule, record("Web"), &[]).await.skip, None, "the first sync always says something");
}

#[tokio::test]
async fn comments_show_their_authors_and_ours_do_not_come_back() {
    let rule = include_str!("patterns/comment_authors.incoming.js");
    let replica = json!({"comments": [
        {"id": "1", "author": {"name": "Ada", "email": "ada@acme.example"}, "body": "ours", "public": true},
        {"id": "2", "author": {"name": "Bob", "email": "bob@hd.example"}, "body": "theirs", "public": true},
        {"id": "3", "author": null, "body": "secret", "public": false},
    ]});
    let written: Vec<(String, bool)> = updated(rule, json!({}), replica)
        .await
        .wishes
        .comments
        .into_iter()
        .map(|wish| match wish {
            Merge::Write(Comment { body, public, .. }) => (body, public),
            Merge::Remove(id) => panic!("{id} is removed"),
        })
        .collect();
    assert_eq!(written, [("[Bob wrote] theirs".to_owned(), true), ("[somebody wrote] secret".to_owned(), false)]);
}

#[tokio::test]
async fn the_new_key_goes_back_once() {
    let rule = include_str!("patterns/new_key_back.incoming.js");
    let output = made(rule, json!({"summary": "S"})).await;
    assert_eq!((output.wishes.sync_back, output.entity_type.as_deref()), (true, Some("Case")));
    assert!(!updated(rule, json!({}), json!({"summary": "S"})).await.wishes.sync_back);
    let back = sent(include_str!("patterns/new_key_back.outgoing.js"), json!({"Subject": "S"}), &[]).await;
    assert_eq!(back.replica["key"], "5005g00000ABCDEAA2");
}

#[tokio::test]
async fn long_texts_are_cut_to_their_fields() {
    let rule = include_str!("patterns/truncation.incoming.js");
    let replica = json!({"summary": "a word and ".repeat(10), "description": "<p>It <b>burns</b> since Monday morning</p>"});
    let output = updated(rule, json!({}), replica).await;
    let subject = output.assigned["Subject"].as_str().expect("text");
    assert!(subject.chars().count() == 40 && subject.ends_with("… [cut]"), "{subject}");
    assert_eq!(output.assigned["Short__c"], "It burns since Mond…");
    assert_eq!(output.log, ["info: the subject was cut from 110 letters"]);
    let short = updated(rule, json!({}), json!({"summary": "S", "description": null})).await;
    assert_eq!(Value::Object(short.assigned), json!({"Subject": "S", "Short__c": null}));
}

#[tokio::test]
async fn dates_of_any_form_reach_their_fields() {
    let rule = include_str!("patterns/dates.incoming.js");
    for (due, day, moment, late) in [
        (json!("2026-12-01T23:30:00.000+0000"), json!("2026-12-01"), json!("2026-12-01T23:30:00.000Z"), false),
        (json!("2026-10-01"), json!("2026-10-01"), json!("2026-10-01T00:00:00.000Z"), true),
        (json!(1_796_169_600_000_u64), json!("2026-12-02"), json!("2026-12-02T00:00:00.000Z"), false),
        (json!(null), json!(null), json!(null), false),
    ] {
        let assigned = updated(rule, json!({}), json!({"due": due, "now": "2026-11-27T12:00:00Z"})).await.assigned;
        let expected = json!({"Due_Date__c": day, "Due_At__c": moment, "Overdue__c": late});
        assert_eq!(Value::Object(assigned), expected, "{due}");
    }
}

#[tokio::test]
async fn one_map_serves_a_picklist_both_ways() {
    let out = include_str!("patterns/picklists.outgoing.js");
    let rule = include_str!("patterns/picklists.incoming.js");
    for (ours, theirs) in [("High", "P1"), ("Medium", "P2"), ("Low", "P3")] {
        assert_eq!(sent(out, json!({"Priority": ours}), &[]).await.replica["priority"], theirs);
        let assigned = updated(rule, json!({"Priority": null}), json!({"priority": theirs})).await.assigned;
        assert_eq!(assigned["Priority"], ours);
    }
    assert!(updated(rule, json!({"Priority": "Low"}), json!({"priority": "P9"})).await.assigned.is_empty());
    assert!(updated(rule, json!({"Priority": "Low"}), json!({})).await.assigned.is_empty());
}

#[tokio::test]
async fn one_rule_serves_several_entity_types() {
    let rule = include_str!("patterns/several_types.incoming.js");
    let task = made(rule, json!({"type": "task", "summary": "S", "priority": "High", "due": "2026-12-01"})).await;
    assert_eq!(task.entity_type.as_deref(), Some("Task"));
    assert_eq!(Value::Object(task.assigned), json!({"Subject": "S", "ActivityDate": "2026-12-01"}));
    let bug = made(rule, json!({"type": "bug", "summary": "S", "priority": "High"})).await;
    assert_eq!(
        (bug.entity_type.as_deref(), Value::Object(bug.assigned)),
        (Some("Case"), json!({"Subject": "S", "Priority": "High"}))
    );
    let mut lead = case(json!({}));
    lead.entity_type = "Lead".to_owned();
    let output = pool().run(rule, &received(lead, json!({"type": "task"})), &Nobody).await.expect("runs");
    assert_eq!(output.skip.as_deref(), Some("nothing is known about Lead"));
}

#[tokio::test]
async fn an_existing_record_is_adopted_on_first_sync_only() {
    let rule = include_str!("patterns/adopt_existing.incoming.js");
    let replica = json!({"summary": "[5005g00000ABCDEAA2] again"});
    let output = made(rule, replica.clone()).await;
    assert_eq!((output.wishes.link_to.as_deref(), output.assigned.len()), (Some("5005g00000ABCDEAA2"), 0));
    let later = updated(rule, json!({}), replica).await;
    assert_eq!((later.wishes.link_to, later.assigned.len()), (None, 1));
    assert_eq!(made(rule, json!({"summary": "new"})).await.wishes.link_to, None);
}

/// Knows two users and one twin.
struct Desk;

#[async_trait::async_trait]
impl Host for Desk {
    fn moment(&self) -> Moment {
        Nobody.moment()
    }

    async fn ask(&self, ask: Ask) -> Result<Value, Unanswered> {
        match ask {
            Ask::User { email } if email == "ada@acme.example" => Ok(json!({"Id": "005ADA", "Name": "Ada", "Email": email})),
            Ask::User { email } if email == "desk@acme.example" => Ok(json!({"Id": "005DESK", "Name": "Desk", "Email": email})),
            Ask::Twin { key, .. } if key == "HD-1" => Ok(json!("5005g00000PARENAA2")),
            Ask::User { .. } | Ask::Twin { .. } => Ok(Value::Null),
            other => Nobody.ask(other).await,
        }
    }
}

async fn asked(source: &str, replica: Value) -> RuleOutput {
    pool().run(source, &received(EntityView::default(), replica), &Desk).await.expect("runs")
}

#[tokio::test]
async fn the_owner_is_found_by_address_or_is_the_desk() {
    let rule = include_str!("patterns/user_by_email.incoming.js");
    for (assignee, owner) in [
        (json!({"email": "ada@acme.example"}), "005ADA"),
        (json!({"email": "gone@acme.example"}), "005DESK"),
        (json!({}), "005DESK"),
        (json!(null), "005DESK"),
    ] {
        assert_eq!(asked(rule, json!({"summary": "S", "assignee": assignee})).await.assigned["OwnerId"], owner, "{assignee}");
    }
}

#[tokio::test]
async fn a_sub_task_hangs_below_its_parent() {
    let rule = include_str!("patterns/parent.incoming.js");
    assert_eq!(asked(rule, json!({"summary": "S", "parentId": "HD-1"})).await.assigned["ParentId"], "5005g00000PARENAA2");
    let late = asked(rule, json!({"summary": "S", "parentId": "HD-9"})).await;
    assert_eq!((late.assigned.get("ParentId"), late.log), (None, vec!["info: waits for HD-9".to_owned()]));
    assert_eq!(asked(rule, json!({"summary": "S"})).await.assigned.len(), 1);
}
