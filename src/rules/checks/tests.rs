//! The lexer on tricky sources, and the checks against the world that they foretell.

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use super::{
    uses::{Act, uses},
    *,
};
use crate::{
    domain::{
        connection::Mode,
        rule::{ConnectionView, Described, EntityView, Listed, RuleEngine as _, RuleInput},
    },
    rules::tests::pool,
};

/// The names that are used, in order, each with a letter for what is done: read, assigned, both, deleted.
fn seen(source: &str) -> String {
    let letter = |act: &Act| match act {
        Act::Read => 'r',
        Act::Assigned { also_read: false, .. } => 'a',
        Act::Assigned { also_read: true, .. } => 'b',
        Act::Deleted => 'd',
    };
    uses(source).all.iter().map(|one| format!("{}:{}", letter(&one.act), one.name)).collect::<Vec<_>>().join(" ")
}

#[test]
fn uses_are_found_where_they_are_code_and_nowhere_else() {
    for (source, expected) in [
        ("entity.A; entity?.B; entity['C']; entity?.[\"D\"]; entity[`E`]; entity . F; entity\n.G", "r:A r:B r:C r:D r:E r:F r:G"),
        ("entity.A = 1; entity['B'] = 2; entity.C += 1; entity.D ??= 1; entity.E++; --entity.F", "a:A a:B b:C b:D b:E b:F"),
        ("entity.A == 1; entity.B === 1; entity.C => 1; entity.D <= 1; entity.E\n++\nx", "r:A r:B r:C r:D r:E"),
        ("delete entity.A; typeof entity.B", "d:A r:B"),
        ("// entity.A\n/* entity.B\n entity.C */ entity.D // entity.E", "r:D"),
        ("x = y <!-- entity.A\n--> entity.B\nentity.C", "r:C"),
        ("'entity.A' + \"entity.B\" + 'it\\'s entity.C' + \"\\\\\" + entity.D + 'a\\\nentity.E'", "r:D"),
        ("`entity.A ${entity.B} entity.C ${`in ${entity.D} entity.E`} entity.F` + entity.G", "r:B r:D r:G"),
        ("`${{a: {b: `}`}}.a} ${entity.A}` + `\\${entity.B}` + `\\`${entity.C}`", "r:A r:C"),
        ("/entity.A/.test(x); x = a / entity.B / 2; (a) / entity.C / 2; a[0] / entity.D / 2", "r:B r:C r:D"),
        ("if (x) /entity.A/.test(y); while (x) /entity.B'/g; for (const a of /entity.C\"/g) entity.D", "r:D"),
        ("return /[/'\"]entity.A/.test(entity.B) ? /\\/entity.C/ : entity.D", "r:B r:D"),
        ("x = { if: 1 }; x.if (y) / entity.A / 2; a++ / entity.B / 1; 1 / entity.C / 2", "r:A r:B r:C"),
        ("x = {} / entity.A / 1; if (a) {} /entity.B/.test(c); x => {}\n/entity.C/.test(d)", "r:A"),
        ("x.entity.A; x?.entity.B; ({ entity: 1 }); this.#entity; ...entity.C; entityX.D; $entity.E; _entity.F", "r:C"),
        ("entit\\u0079.A; entity.\\u{42}; entity['\\x43\\u0044\\u{1F600}']", "r:A r:B r:CD\u{1F600}"),
        ("entity.if; entity.class; entity.of / 2; entity.in; entity['my field']; entity.ünïcode", "r:if r:class r:of r:in r:my field r:ünïcode"),
        ("x ?.5:entity.A; 1..toString() + 0x1f + 1e-5 + .5 + 1_0n + entity.B; a?.b", "r:A r:B"),
        ("entity[name]; entity[a + 'B']; entity['C' + 1]; entity(1); 'D' in entity", ""),
        ("entity.A.B.C = entity.D = 1", "r:A a:D"),
        ("const { length } = entity.A ?? []; list.map((one) => entity[one.id] ?? entity.B)", "r:A r:B"),
    ] {
        assert_eq!(seen(source), expected, "{source}");
    }
}

#[test]
fn a_name_of_the_rules_own_ends_the_checks_and_an_argument_does_not() {
    for source in [
        "for (const entity of list) entity.A",
        "list.map(entity => entity.A)",
        "list.map((x, entity) => entity.A)",
        "list.map(({ entity }) => entity.A)",
        "list.map(([, entity] = []) => { entity.A })",
        "function f(entity) { return entity.A }",
        "const f = { m(entity) { return entity.A } };",
        "try { f() } catch (entity) { entity.A }",
        "const { entity } = replica; entity.A",
        "const { a: { b: [entity] } } = replica; entity.A",
        "let entity; entity.A",
    ] {
        assert!(uses(source).shadowed.is_some(), "{source}");
    }
    for source in [
        "commentHelper.mergeComments(entity, replica, (comment) => { comment.body = entity.A; });",
        "if (entity.A) { entity.B = 1 } else if (f(entity)) { x() }",
        "for (const one of entity.A) { f(one, entity) }\nwhile (entity.B) {}\nswitch (entity.C) {}",
        "const a = entity.A, b = { entity: 1 }; const c = () => (entity.B);",
        "const { length } = f(entity);",
    ] {
        assert_eq!(uses(source).shadowed, None, "{source}");
    }
    assert!(uses("f(entity)").unseen && uses("entity[name] = 1").unseen && uses("Object.assign(entity, x)").unseen);
    assert!(!uses("commentHelper.mergeComments(entity, replica); 'A' in entity; entity.A").unseen);
}

#[test]
fn texts_that_a_field_may_get_are_found() {
    for (source, texts, whole) in [
        ("entity.A = 'x';", "x", true),
        ("entity.A = 'x'", "x", true),
        ("entity.A = 'x'\nentity.B", "x", true),
        ("if (a) { entity.A = `x` }", "x", true),
        ("f(entity.A = 'x', 'y')", "x", true),
        ("entity.A = b ? 'x' : 'y';", "x y", true),
        ("entity.A = b === 'no' || c === 'no' ? 'x' : d(['no']) ? 'y' : 'z';", "x y z", true),
        ("entity.A = b ? 'x' : c;", "x", false),
        ("entity.A = map[b] ?? 'x';", "x", false),
        ("entity.A = b || 'x'", "x", false),
        ("entity.A = b && 'x'", "x", false),
        ("entity.A = 'x' + b", "", false),
        ("entity.A = 'x'\n+ b", "", false),
        ("entity.A = 'x'.length", "", false),
        ("entity.A = f('x')", "", false),
        ("entity.A = { b: 'x' }", "", false),
        ("entity.A = ['x']", "", false),
        ("entity.A = b === 'x'", "", false),
        ("entity.A = (b) => c ? 'x' : 'y'", "", false),
        ("entity.A = `x${b}`", "", false),
        ("entity.A = b ? { c: 'x' } : 'y'", "y", false),
        ("entity.A = null", "", false),
    ] {
        let Act::Assigned { texts: found, whole: told, .. } = uses(source).all.remove(0).act else { panic!("{source}") };
        let found: Vec<String> = found.into_iter().map(|(text, _)| text).collect();
        assert_eq!((found.join(" ").as_str(), told), (texts, whole), "{source}");
    }
    let compared = |source| uses(source).compared.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    assert_eq!(compared("if (entity.entityType === 'A' || 'B' != entity.entityType) x(entity.Other === 'C')"), "A B");
    assert_eq!(compared("switch (entity.entityType) { case 'A': case `B`: break; default: } f('C')"), "A B");
}

/// Bits of the language, in any order.
fn anything() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "entity", ".", "?.", "[", "]", "'", "\"", "`", "${", "}", "{", "(", ")", "/", "*", "\\", "\n", "\r", " ", "=", "==", "=>",
        "Name", "const", "return", "if", "of", "in", "//", "/*", "*/", "<!--", "-->", "\\u0041", "\\u{", "0x", "1.", "e+", "#", "ü",
        "\u{2028}", "\u{1F600}", "?", ":", ",", ";", "++", "+", "delete",
    ]);
    prop::collection::vec(bits, 0..60).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn any_text_comes_to_an_end_with_places_that_exist(source in prop_oneof![anything(), any::<String>()]) {
        let lines: Vec<usize> = source.split('\n').map(|line| line.chars().count()).collect();
        for token in lexer::tokens(&source) {
            let length = lines.get(token.line as usize - 1);
            prop_assert!(length.is_some_and(|length| token.column >= 1 && token.column as usize <= length + 1), "{token:?}");
        }
        let told = Told { descriptions: &[case()], refused: &[], default_type: "Case", defaults: &|_| Fields::new() };
        for finding in findings(Some(&source), Some(&source), &told) {
            prop_assert!(finding.line >= 1 && finding.column >= 1);
        }
        named_types(&source, &source);
    }

    #[test]
    fn what_stands_in_comments_and_texts_is_never_seen(inner in "[a-z .;'(){}=/]{0,40}") {
        let inner = inner.replace("*/", "");
        let source = format!("/* entity.A {inner} */ x = \"entity.B {inner}\"; // entity.C {inner}\nentity.D = 1; y = `entity.E {inner}`");
        prop_assert_eq!(seen(&source), "a:D");
    }
}

#[test]
fn a_large_flat_rule_takes_no_long() {
    let source = "entity.A = entity.B\n".repeat(12_000);
    let began = std::time::Instant::now();
    assert_eq!(uses(&source).all.len(), 24_000);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

fn field(name: &str, field_type: &str) -> Field {
    Field {
        name: name.to_owned(),
        label: name.to_owned(),
        field_type: field_type.to_owned(),
        length: None,
        writable: true,
        required: false,
        values: None,
        default: None,
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
    Description { entity_type: "Task".to_owned(), fields }
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
    let untold = Description { entity_type: "issue".to_owned(), fields: Vec::new() };
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
            let told = Told { descriptions: std::slice::from_ref(&case), refused: &[], default_type: "Case", defaults: &|_| Fields::new() };
            let (outgoing, incoming) = match way {
                Way::Outgoing => (Some(source.as_str()), None),
                Way::Incoming => (None, Some(source.as_str())),
            };
            // Rights and values are the tracker's to refuse, not the world's.
            let errors: Vec<Finding> = findings(outgoing, incoming, &told)
                .into_iter()
                .filter(|one| one.severity == Severity::Error && !one.message.contains("integration user") && !one.message.contains("list"))
                .collect();
            let ran = pool.run(&source, &scene(way, std::slice::from_ref(&case))).await;
            assert_eq!(!errors.is_empty(), ran.is_err(), "{way:?} `{source}`: {errors:?} but {ran:?}");
        }
    }
}

#[tokio::test]
async fn the_patterns_and_the_built_in_pairs_are_found_as_they_parse() {
    let pool = pool();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/patterns");
    let mut sources: Vec<String> = std::fs::read_dir(folder).expect("patterns").map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text")).collect();
    sources.extend(crate::rules::BUILT_IN.iter().flat_map(|(_, outgoing, incoming)| [(*outgoing).to_owned(), (*incoming).to_owned()]));
    for source in sources {
        pool.check(&source).await.expect("parses");
        assert!(!uses(&source).all.is_empty() || source.contains("mergeComments"), "{source}");
        assert_eq!(uses(&source).shadowed, None, "{source}");
    }
}
