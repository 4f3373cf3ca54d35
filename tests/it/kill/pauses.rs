//! A direction that was paused, under `kill -9` while all that waited is let go: nothing is lost, nothing is done twice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::{Side, Stage};
use crate::support::{PATIENCE, Settings, put_rules, until};

const CASE_OUT: &str = include_str!("../../../src/rules/builtin/salesforce.outgoing.js");
const CASE_IN: &str = include_str!("../../../src/rules/builtin/salesforce.incoming.js");
const ISSUE_OUT: &str = include_str!("../../../src/rules/builtin/webhook.outgoing.js");
const ISSUE_IN: &str = include_str!("../../../src/rules/builtin/webhook.incoming.js");
const THROWS: &str = "throw new Error('who wrote this?');";
/// More wait than are let go in one transaction.
const CASES: usize = 520;

/// Publishes on one side: a rule that fails on the way from the Cases to the issues, or the built-in one.
async fn publish(stage: &Stage, side: Side, fails: bool) {
    let connection = &stage.world.connection;
    match side {
        Side::Public => put_rules(&stage.world.public, connection, if fails { THROWS } else { CASE_OUT }, CASE_IN).await,
        Side::Private => put_rules(&stage.world.private, connection, ISSUE_OUT, if fails { THROWS } else { ISSUE_IN }).await,
    }
}

async fn connection(stage: &Stage, side: Side) -> Value {
    let node = if side == Side::Public { &stage.world.public } else { &stage.world.private };
    node.get(&format!("/connections/{}", stage.world.connection)).await
}

async fn a_release_survives_kills(side: Side) {
    let mut stage = Stage::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    publish(&stage, side, true).await;
    let cases: Vec<Value> = (0..CASES).map(|n| json!({"Subject": format!("Pump {n}")})).collect();
    stage.world.org.handle.create_many("Case", &cases, &stage.world.org.handle.agent_user()).expect("made");
    // Some failed side by side before the pause began, or were tried since; nearly all others wait.
    let begun = Instant::now();
    loop {
        let health = connection(&stage, side).await["health"].clone();
        let reason = health["paused"]["reason"].as_str().unwrap_or_default();
        let waiting = reason.split("; ").nth(1).and_then(|words| words.split(' ').next()?.parse::<u64>().ok());
        if waiting.is_some_and(|waiting| waiting > 400) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the rest waits: {health}\n{}", stage.errors_and_logs().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    publish(&stage, side, false).await;
    for made in [0, 1, 40, CASES - 8] {
        until("some of it", || stage.world.tracker.handle.count() >= made).await;
        stage.node(side).kill();
        stage.node(side).start().await;
    }
    until("all issues", || stage.world.tracker.handle.count() == CASES).await;
    stage.quiet().await;
    let applied = stage.world.tracker.handle.applied();
    assert_eq!((applied.len(), applied.values().all(|times| *times == 1)), (CASES, true), "each once: {applied:?}");
    let health = connection(&stage, side).await["health"].clone();
    assert_eq!((&health["paused"], &health["parked"]), (&Value::Null, &json!(0)), "{health}");
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_an_incoming_rule_is_let_go_once() {
    a_release_survives_kills(Side::Private).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_an_outgoing_rule_is_let_go_once() {
    a_release_survives_kills(Side::Public).await;
}
