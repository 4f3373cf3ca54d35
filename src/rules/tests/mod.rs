//! The engine from outside: through the pool, with workers on threads (fast) and in child processes (hostile rules).
//!
//! A child is this test program again, told to run only [`child`]; it answers on the socket that is its standard input,
//! since the test harness writes on standard output. Limits are generous: starting a child counts, and machines are slow.

mod asks;
mod docs;
mod errors;
mod from_exalate;
mod hostile;
mod notation;
mod realm;
mod world;

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    time::Duration,
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::process::Command;

use super::*;
use crate::domain::{
    ask::Nobody,
    connection::Mode,
    replica::{self, Fields},
    rule::{ConnectionView, Described, EntityView, Listed, RuleEngine, RuleError, RuleInput, RuleOutput},
};

pub(super) struct Threads;

fn line(ours: UnixStream, child: Option<tokio::process::Child>) -> io::Result<Line> {
    ours.set_nonblocking(true)?;
    let (from, to) = tokio::net::UnixStream::from_std(ours)?.into_split();
    Ok(Line::new(to, from, child))
}

impl Spawn for Threads {
    fn spawn(&self) -> io::Result<Line> {
        let (ours, theirs) = UnixStream::pair()?;
        std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
            let to = theirs.try_clone().expect("a second handle");
            // A pool that went away is how these threads end.
            let _ = worker::serve(theirs, to);
        })?;
        line(ours, None)
    }
}

struct Children;

impl Spawn for Children {
    fn spawn(&self) -> io::Result<Line> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "rules::tests::child", "--test-threads=1"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        line(ours, Some(child))
    }
}

#[test]
fn child() {
    let alone = std::env::args().any(|arg| arg == "--exact");
    let stdin = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().expect("a handle"));
    if !alone || stdin.peer_addr().is_err() {
        return;
    }
    worker::confine().expect("limits can be lowered");
    let to = stdin.try_clone().expect("a second handle");
    let _ = worker::serve(stdin, to);
}

pub(super) fn pool() -> Pool<Threads> {
    Pool::with(Threads, 1, Duration::from_secs(5))
}

fn fields(value: Value) -> Fields {
    value.as_object().expect("an object").clone()
}

fn connection() -> ConnectionView {
    ConnectionView {
        id: "c1".to_owned(),
        name: "to-erp".to_owned(),
        mode: Mode::Basic,
        local_short_name: "sf".to_owned(),
        remote_short_name: "erp".to_owned(),
    }
}

fn entity(value: Value) -> EntityView {
    EntityView { entity_type: "Case".to_owned(), key: "00001026".to_owned(), fields: fields(value), ..EntityView::default() }
}

fn outgoing(value: Value) -> RuleInput {
    RuleInput::Outgoing {
        entity: entity(value),
        previous: None,
        changed: vec![],
        first_sync: true,
        connection: connection(),
        described: Described::new(),
    }
}

fn incoming(current: Value, replica: Value, first_sync: bool) -> RuleInput {
    RuleInput::Incoming {
        entity: EntityView { fields: fields(current), ..EntityView::default() },
        replica: fields(replica),
        previous: None,
        first_sync,
        deleted: false,
        connection: connection(),
        listed: Listed::new(),
        described: Described::new(),
    }
}

async fn replica_of(source: &str) -> Result<Value, RuleError> {
    pool().run(source, &outgoing(json!({"Subject": "Printer"})), &Nobody).await.map(|output| Value::Object(output.replica))
}

#[tokio::test]
async fn an_outgoing_rule_reads_and_writes() {
    let source = "replica.s = entity.Subject; replica.t = entity.entityType; replica.k = entity.key; replica.n = undefined;
        replica.c = [connection.localShortName, connection.mode, firstSync, previous]; replica.d = new Date(0);
        log.info('seen', {a: 1}); log.warn('careful'); return; replica.never = 1";
    let output = pool().run(source, &outgoing(json!({"Subject": "Printer"})), &Nobody).await.expect("runs");
    let expected =
        json!({"s": "Printer", "t": "Case", "k": "00001026", "c": ["sf", "basic", true, null], "d": "1970-01-01T00:00:00.000Z"});
    assert_eq!(Value::Object(output.replica), expected);
    assert_eq!(output.log, [r#"info: seen {"a":1}"#, "warn: careful"]);
}

#[tokio::test]
async fn skip_ends_a_rule_even_where_it_is_caught() {
    for source in ["skip('not ours'); replica.a = 1", "try { skip('not ours') } catch { replica.a = 1 }"] {
        let output = pool().run(source, &outgoing(json!({})), &Nobody).await.expect("runs");
        assert_eq!(output, RuleOutput { skip: Some("not ours".to_owned()), ..RuleOutput::default() });
    }
}

#[tokio::test]
async fn assignments_are_recorded_also_where_nothing_changes() {
    let source = "entity.Subject = replica.summary; entity.Reason = replica.absent; entity.Note = null;
        entity.Tags = [...entity.Tags, 'b']; log.info(entity.Subject, replica.changed.join());";
    let input = incoming(json!({"Subject": "Same", "Tags": ["a"], "Other": 1}), json!({"summary": "Same"}), false);
    let output = pool().run(source, &input, &Nobody).await.expect("runs");
    assert_eq!(Value::Object(output.assigned), json!({"Subject": "Same", "Tags": ["a", "b"], "Note": null}));
    assert_eq!((output.entity_type, output.log), (None, vec!["info: Same summary".to_owned()]));
    for source in
        ["entity.Tags.push('b')", "entity.key = 'x'", "delete entity.Other", "replica.summary = 'x'", "entity.entityType = 1"]
    {
        assert!(matches!(pool().run(source, &input, &Nobody).await, Err(RuleError::Script { line: Some(1), .. })), "{source}");
    }
}

#[tokio::test]
async fn built_in_pairs_do_what_the_table_says() {
    let pool = pool();
    let salesforce = built_in("salesforce").expect("a pair");
    let case = json!({"Id": "500x", "Subject": "S", "Description": null, "Status": "New", "Priority": "High", "Origin": "Web"});
    let sent = pool.run(&salesforce.outgoing, &outgoing(case), &Nobody).await.expect("runs").replica;
    let replica = json!({"key": "500x", "summary": "S", "description": null, "status": "New", "priority": "High"});
    assert_eq!(Value::Object(sent), replica);

    let first = pool.run(&salesforce.incoming, &incoming(json!({}), replica.clone(), true), &Nobody).await.expect("runs");
    assert_eq!(Value::Object(first.assigned), json!({"Origin": "Web", "Status": "New", "Subject": "S", "Description": null}));
    assert_eq!(first.entity_type.as_deref(), Some("Case"));
    let mut unlisted = incoming(json!({}), json!({"summary": "S"}), true);
    if let RuleInput::Incoming { listed, .. } = &mut unlisted {
        listed.insert("Origin".to_owned(), vec!["Phone".to_owned()]);
        listed.insert("Status".to_owned(), vec!["New".to_owned()]);
    }
    let unlisted = pool.run(&salesforce.incoming, &unlisted, &Nobody).await.expect("runs");
    assert_eq!(Value::Object(unlisted.assigned), json!({"Status": "New", "Subject": "S"}));
    let later = pool.run(&salesforce.incoming, &incoming(json!({}), replica.clone(), false), &Nobody).await.expect("runs");
    assert_eq!((Value::Object(later.assigned), later.entity_type), (json!({"Subject": "S", "Description": null}), None));

    let webhook = built_in("webhook").expect("a pair");
    let first = pool.run(&webhook.incoming, &incoming(json!({}), replica.clone(), true), &Nobody).await.expect("runs");
    let expected = json!({"summary": "S", "description": null, "status": "New", "priority": "High"});
    assert_eq!((Value::Object(first.assigned), first.entity_type.as_deref()), (expected.clone(), Some("issue")));
    let sent = pool.run(&webhook.outgoing, &outgoing(expected), &Nobody).await.expect("runs").replica;
    assert_eq!(sent["key"], "00001026");
    assert_eq!(built_in("pigeon"), None);

    for rule in [&salesforce.incoming, &webhook.incoming] {
        let mut last = incoming(json!({}), replica.clone(), false);
        if let RuleInput::Incoming { deleted, .. } = &mut last {
            *deleted = true;
        }
        let last = pool.run(rule, &last, &Nobody).await.expect("runs");
        assert!(last.assigned.is_empty() && last.entity_type.is_none() && last.log.len() == 1, "{last:?}");
    }
}

#[tokio::test]
async fn filters_are_expressions() {
    let pool = pool();
    let issue = entity(json!({"status": "Open", "labels": ["sync"]}));
    for (filter, truth) in [
        ("entity.status === 'Open'", true),
        ("entity.labels.includes('sync') // ours", true),
        ("entity.nothing", false),
        ("entity.entityType === 'Case' && entity.key", true),
    ] {
        assert_eq!(pool.matches(filter, &issue).await, Ok(truth), "{filter}");
    }
    for filter in ["", "a b", "entity.x = 1", "entity.x.y", "1; 2"] {
        let result = pool.matches(filter, &issue).await;
        assert!(matches!(result, Err(RuleError::Script { line: Some(_), .. })), "`{filter}`: {result:?}");
    }
}

#[tokio::test]
async fn runs_of_the_built_in_pair_share_an_engine_and_nothing_else() {
    let (pool, pair) = (pool(), built_in("salesforce").expect("a pair"));
    for n in 0..600 {
        let case = json!({"Subject": format!("Pump {n}"), "Description": null});
        let replica = pool.run(&pair.outgoing, &outgoing(case), &Nobody).await.expect("runs").replica;
        assert_eq!(replica["summary"], format!("Pump {n}"));
        let output = pool
            .run(&pair.incoming, &incoming(json!({}), json!({"summary": n.to_string()}), n == 0), &Nobody)
            .await
            .expect("runs");
        assert_eq!(output.assigned["Subject"], n.to_string());
        assert_eq!(output.assigned.contains_key("Status"), n == 0, "{:?}", output.assigned);
    }
}

#[tokio::test]
async fn many_connections_take_turns_in_one_worker() {
    let pool = pool();
    for n in 0..100 {
        let mut input = outgoing(json!({"n": n}));
        if let RuleInput::Outgoing { connection, .. } = &mut input {
            connection.id = format!("c{}", n % 20);
            connection.name = format!("to-{}", n % 20);
        }
        let replica = pool.run("replica.n = entity.n; replica.c = connection.name", &input, &Nobody).await.expect("runs").replica;
        assert_eq!(Value::Object(replica), json!({"n": n, "c": format!("to-{}", n % 20)}));
    }
}

#[tokio::test]
async fn big_integers_arrive_as_text_and_big_doubles_stay_numbers() {
    let input = outgoing(
        json!({"id": 9_007_199_254_740_993_u64, "edge": 9_007_199_254_740_992_u64, "list": [-9_007_199_254_740_995_i64], "big": 1e17}),
    );
    let output = pool().run("Object.assign(replica, entity); replica.made = 2 ** 60", &input, &Nobody).await.expect("runs");
    let expected = json!({"id": "9007199254740993", "edge": 9_007_199_254_740_992_u64, "list": ["-9007199254740995"], "big": 1e17,
        "made": 1_152_921_504_606_846_976_f64});
    assert_eq!(Value::Object(output.replica), expected);
}

#[tokio::test]
async fn logs_are_short() {
    let source = "const long = '😀'.repeat(3000); for (let i = 0; i < 500; i++) log.info(long)";
    let output = pool().run(source, &outgoing(json!({})), &Nobody).await.expect("runs");
    assert_eq!(output.log.len(), 201);
    assert!(output.log.iter().all(|line| line.encode_utf16().count() <= 2000));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        (-1_000_000_000_i64..1_000_000_000, 0..7).prop_map(|(digits, places)| json!(digits as f64 / 10_f64.powi(places))),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// `key` and `entityType` belong to the record, `__proto__` to the language.
fn name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("a name of its own", |name| !["key", "entityType", "__proto__"].contains(&name.as_str()))
}

#[test]
fn a_copying_rule_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pool = pool();
    let records = prop::collection::vec((name(), values()), 0..8);
    proptest!(ProptestConfig::with_cases(64), |(record in records)| {
        let input = outgoing(Value::Object(record.into_iter().collect()));
        let RuleInput::Outgoing { entity, .. } = &input else { unreachable!() };
        let output = runtime.block_on(pool.run("for (const name of Object.keys(entity)) replica[name] = entity[name]", &input, &Nobody));
        let output = output.expect("runs");
        prop_assert_eq!(output.replica.len(), entity.fields.len());
        prop_assert_eq!(replica::differences(&output.replica, &entity.fields), Vec::<String>::new());
    });
}
