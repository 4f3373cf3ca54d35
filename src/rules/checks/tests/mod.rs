//! What is found, and that it is what the world makes of it.

mod reading;

use std::path::PathBuf;

use serde_json::json;

use super::{uses::uses, *};
use crate::{
    domain::{
        ask::Nobody,
        connection::Mode,
        rule::{ConnectionView, Described, EntityView, Listed, RuleEngine as _, RuleInput},
    },
    rules::tests::pool,
};

fn field(name: &str, field_type: &str) -> Field {
    Field {
        name: name.to_owned(),
        label: name.to_owned(),
        field_type: field_type.to_owned(),
        length: None,
        writable: true,
        required: false,
        values: None,
        ..Field::default()
    }
}

fn case() -> Description {
    let values = Some(["High", "Medium", "Low"].map(str::to_owned).to_vec());
    Description {
        entity_type: "Case".to_owned(),
        fields: vec![
            Field { writable: false, ..field("Id", "id") },
            Field { length: Some(10), ..field("Subject", "string") },
            Field { values: values.clone(), ..field("Priority", "picklist") },
            Field { values, ..field("Tags", "multipicklist") },
            Field { required: true, ..field("Needed", "string") },
            field("Region", "string"),
        ],
        ..Description::default()
    }
}

fn task() -> Description {
    let values = Some(vec!["High".to_owned(), "Urgent".to_owned()]);
    let fields = vec![
        field("Id", "id"),
        field("ActivityDate", "date"),
        Field { length: Some(20), ..field("Subject", "string") },
        Field { values, ..field("Priority", "picklist") },
    ];
    Description { entity_type: "Task".to_owned(), fields, ..Description::default() }
}

/// `severity line:column message | advice`, one for each.
fn told(outgoing: &str, incoming: &str, descriptions: &[Description]) -> Vec<String> {
    let refused = [("Tsk".to_owned(), "No such object".to_owned())];
    let defaults = |_: &str| Fields::new();
    let told = Told { descriptions, refused: &refused, default_type: "Case", defaults: &defaults };
    let found = findings(Some(outgoing), Some(incoming), &told).into_iter();
    let found = found.map(|one| {
        let severity = if one.severity == Severity::Error { "error" } else { "warning" };
        format!("{} {severity} {}:{} {} | {}", one.way.as_str(), one.line, one.column, one.message, one.advice)
    });
    found.filter(|line| !line.contains("`Needed`")).collect()
}

#[test]
fn what_a_rule_would_stumble_over_is_told_with_its_place_and_what_to_do() {
    let found = told(
        "replica.a = entity.Subject;\n  replica.b = entity.Subjct;\nentity.Subject = 1;",
        "entity.Regoin = 1;\nentity.Id = 'x';\nentity.Priority = a ? 'High' : 'Hihg';\nentity.Tags = 'High;Odd';\nentity.Subject = 'a long text';
entity.key = 'x';\ndelete entity.Region;\nentity.entityType = 'Tsk';\nentity.changed;\nentity.comments = commentHelper.mergeComments(entity, replica);",
        &[case()],
    );
    assert_eq!(
        found,
        [
            "outgoing error 2:22 entity.Subjct cannot be read: Case has no field of this name | Did you mean `Subject`?",
            "outgoing error 3:8 entity.Subject cannot be changed: `entity` is read-only in the outgoing rule | Write to the replica, or to a name of your own.",
            "incoming error 1:8 entity.Regoin cannot be assigned: Case has no field of this name | Did you mean `Region`?",
            "incoming error 2:8 entity.Id cannot be written by the integration user | Take it out of the incoming rule, or give the integration user edit right on it.",
            "incoming error 3:32 `Priority` does not list the value `Hihg` | Did you mean `High`? It lists High, Medium, Low.",
            "incoming error 4:15 `Tags` does not list the value `Odd` | It lists High, Medium, Low.",
            "incoming warning 5:18 this text has 11 letters and `Subject` takes 10: it would be cut | Shorten it.",
            "incoming error 6:8 entity.key is given by the tracker and cannot be assigned | `syncHelper.linkTo(key)` adopts a record that exists.",
            "incoming error 7:15 entity.Region cannot be deleted | Assign null to clear a field.",
            "incoming error 8:21 the tracker has no entity type `Tsk` for us | No such object",
            "incoming error 9:8 entity.changed cannot be read: Case has no field of this name | Look up its API name, and whether the integration user may see it.",
        ]
    );
}

#[test]
fn with_several_types_only_what_none_takes_is_told() {
    let incoming = "entity.ActivityDate = 1; entity.Id = 'x'; entity.Priority = 'Urgent'; entity.Priority = 'Low'; entity.Subject = 'a long text';\nentity.Regoin; entity.Priority = 'Odd';";
    let found = told("", incoming, &[case(), task()]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("error 2:8 entity.Regoin") && found[0].contains("none of Case, Task has"), "{found:#?}");
    assert!(found[1].contains("does not list the value `Odd`"), "{found:#?}");
    let chosen = "entity.entityType = types[replica.type]; entity.Anything = 1;";
    assert!(told("", chosen, &[case(), task()])[0].contains("warning 1:49 entity.Anything"), "other types may come");
    let untold = Description { entity_type: "issue".to_owned(), ..Description::default() };
    assert_eq!(told("entity.Any", "entity.Any = 'x'; entity.Priority = 'Odd'", &[case(), untold]), [""; 0], "any field may be");
    let own = told("", "for (const entity of list) entity.Any", &[case()]);
    assert!(own.len() == 1 && own[0].contains("warning 1:12"), "{own:?}");
    assert_eq!(named_types("entity.entityType === 'A'", "entity.entityType = x ? 'B' : 'A'"), ["A", "B"]);
}

#[test]
fn what_a_create_needs_is_told_where_it_is_known() {
    let needs = |incoming: &str, given: &[&str]| {
        let descriptions = [case(), task()];
        let defaults = |_: &str| given.iter().map(|name| ((*name).to_owned(), json!(1))).collect();
        let told = Told { descriptions: &descriptions, refused: &[], default_type: "Case", defaults: &defaults };
        findings(None, Some(incoming), &told).iter().map(|one| (one.line, one.message.clone(), one.severity)).collect::<Vec<_>>()
    };
    let words = "a new Case needs `Needed`, and no line assigns it".to_owned();
    assert_eq!(needs("entity.Subject = 'x'", &[]), [(1, words.clone(), Severity::Warning)]);
    assert_eq!(needs("\nentity.entityType = 'Case'", &[]), [(2, words, Severity::Warning)]);
    for fine in ["if (a) entity.Needed = b", "entity.entityType = 'Task'", "entity[name] = 1", "Object.assign(entity, replica)"] {
        assert_eq!(needs(fine, &[]), [], "{fine}");
    }
    assert_eq!(needs("", &["Needed"]), []);
}

fn scene(way: Way, descriptions: &[Description]) -> RuleInput {
    let described: Described = descriptions
        .iter()
        .map(|one| (one.entity_type.clone(), one.fields.iter().map(|field| field.name.clone()).collect()))
        .collect();
    let fields = json!({"Subject": "s", "Priority": "High"}).as_object().expect("an object").clone();
    let entity = EntityView { entity_type: "Case".to_owned(), key: "1".to_owned(), fields, ..EntityView::default() };
    let connection = ConnectionView {
        id: "c".to_owned(),
        name: "c".to_owned(),
        mode: Mode::Script,
        local_short_name: "a".to_owned(),
        remote_short_name: "b".to_owned(),
    };
    match way {
        Way::Outgoing => {
            RuleInput::Outgoing { entity, previous: None, changed: vec![], first_sync: false, connection, described }
        }
        Way::Incoming => RuleInput::Incoming {
            entity,
            replica: Fields::new(),
            previous: None,
            first_sync: false,
            deleted: false,
            connection,
            listed: Listed::new(),
            described,
        },
    }
}

/// What is told before is what happens then, name by name.
#[tokio::test]
async fn the_world_refuses_what_the_checks_refuse_and_nothing_else() {
    let (pool, case) = (pool(), case());
    pool.check("const a = 1 <!-- ) entity.A\n--> ) entity.B").await.expect("the engine knows HTML's comments");
    let plain = ["Subject", "Region", "Subjct", "Unknown", "Id", "subject", "constructor__c", "name", "length", "prototype"];
    let own = ["entityType", "key", "comments", "attachments", "changed", "deleted", "Comments"];
    let fields: Vec<&str> = case.fields.iter().map(|field| field.name.as_str()).collect();
    for name in plain.iter().chain(&own).chain(&LANGUAGE).chain(&fields).copied() {
        let value = if name == "comments" { "commentHelper.mergeComments(entity, replica)" } else { "'x'" };
        let value = if name == "attachments" { "attachmentHelper.mergeAttachments(entity, replica)" } else { value };
        for (way, source) in [
            (Way::Outgoing, format!("const it = entity.{name};")),
            (Way::Incoming, format!("const it = entity.{name};")),
            (Way::Incoming, format!("entity.{name} = {value};")),
            (Way::Incoming, format!("delete entity.{name};")),
            (Way::Outgoing, format!("entity.{name} = 'x';")),
        ] {
            let told = Told {
                descriptions: std::slice::from_ref(&case),
                refused: &[],
                default_type: "Case",
                defaults: &|_| Fields::new(),
            };
            let (outgoing, incoming) = match way {
                Way::Outgoing => (Some(source.as_str()), None),
                Way::Incoming => (None, Some(source.as_str())),
            };
            // Rights and values are the tracker's to refuse, not the world's.
            let errors: Vec<Finding> = findings(outgoing, incoming, &told)
                .into_iter()
                .filter(|one| {
                    one.severity == Severity::Error && !one.message.contains("integration user") && !one.message.contains("list")
                })
                .collect();
            let ran = pool.run(&source, &scene(way, std::slice::from_ref(&case)), &Nobody).await;
            assert_eq!(!errors.is_empty(), ran.is_err(), "{way:?} `{source}`: {errors:?} but {ran:?}");
        }
    }
}

#[tokio::test]
async fn the_patterns_and_the_built_in_pairs_are_found_as_they_parse() {
    let pool = pool();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/patterns");
    let mut sources: Vec<String> = std::fs::read_dir(folder)
        .expect("patterns")
        .map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text"))
        .collect();
    sources.extend(
        crate::rules::BUILT_IN.iter().flat_map(|(_, outgoing, incoming)| [(*outgoing).to_owned(), (*incoming).to_owned()]),
    );
    for source in sources {
        pool.check(&source).await.expect("parses");
        assert!(!uses(&source).all.is_empty() || source.contains("mergeComments"), "{source}");
        assert_eq!(uses(&source).shadowed, None, "{source}");
    }
}

#[test]
fn the_fields_that_a_pair_uses_are_told_by_name() {
    let names = |of: &std::collections::BTreeSet<String>| of.iter().cloned().collect::<Vec<_>>().join(" ");
    let used = super::field_use(
        "replica.a = entity.Subject + entity['My__c'] + entity.key;\nif (entity.changed) skip('x');",
        "entity.entityType = 'Case';\nentity.Priority = 'High';\nentity.Total__c += 1;\nmergeLater(entity.comments);",
    );
    assert_eq!((names(&used.read).as_str(), names(&used.written).as_str()), ("My__c Subject Total__c", "Priority Total__c"));
    assert!(used.whole);
    assert!(!super::field_use("replica.a = entity[name];", "").whole, "a name that is made up is not seen");
}
