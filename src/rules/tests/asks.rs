//! What a rule asks while it runs, from the rule to its host and back.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;

use super::*;
use crate::{
    clock::Time,
    domain::ask::{Ask, Host, Method, Moment, Request, Unanswered},
};

/// Answers by what is asked, and keeps it.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<Ask>>,
    slow: Option<Duration>,
}

impl Desk {
    fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Host for Desk {
    fn moment(&self) -> Moment {
        Moment { now: Time(1_796_169_600_000), seed: 7 }
    }

    async fn ask(&self, ask: Ask) -> Result<Value, Unanswered> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(ask.clone());
        if let Some(slow) = self.slow {
            tokio::time::sleep(slow).await;
        }
        match ask {
            Ask::Request(Request { path, .. }) if path.starts_with("/no") => {
                Err(Unanswered::refused("NOT_FOUND", "The requested resource does not exist"))
            }
            Ask::Request(Request { path, .. }) if path == "/end" => Err(Unanswered::Ended),
            Ask::Request(Request { path, .. }) if path == "/large" => Ok(json!("x".repeat(900_000))),
            Ask::Request(Request { path, .. }) if path == "/big" => Ok(json!({"id": 9_007_199_254_740_993_u64})),
            Ask::Request(Request { method, path, body }) => Ok(json!({"said": method.as_str(), "path": path, "body": body})),
            Ask::User { email } if email.starts_with("ada") => Ok(json!({"Id": "005", "Name": "Ada", "Email": email})),
            Ask::User { .. } => Ok(Value::Null),
            Ask::Twin { key, entity_type } => Ok(json!(format!("{}-{key}", entity_type.unwrap_or_default()))),
            Ask::Store { assigned, .. } => Ok(json!({"key": format!("k{}", assigned.len())})),
        }
    }
}

async fn asks(source: &str) -> (Result<Value, RuleError>, Vec<Ask>) {
    let desk = Desk::default();
    let output = pool().run(source, &outgoing(json!({"Subject": "Printer"})), &desk).await;
    (output.map(|output| Value::Object(output.replica)), desk.asked())
}

#[tokio::test]
async fn a_rule_asks_and_goes_on_with_the_answer() {
    let source = "const made = httpClient.post('/sobjects/Task', { Subject: entity.Subject, n: [1, null] });
        replica.made = made; replica.got = httpClient.get('/query', { q: 'a b&c' }).path; replica.deleted = httpClient.delete('/x').said;
        replica.put = httpClient.put('/x', '{\"a\": 1}').body.a; replica.patch = httpClient.patch('/x', { d: new Date(0) }).body.d;
        replica.big = httpClient.get('/big').id";
    let (replica, asked) = asks(source).await;
    let expected = json!({"made": {"said": "POST", "path": "/sobjects/Task", "body": {"Subject": "Printer", "n": [1, null]}},
        "got": "/query?q=a%20b%26c", "deleted": "DELETE", "put": 1, "patch": "1970-01-01T00:00:00.000Z", "big": "9007199254740993"});
    assert_eq!(replica, Ok(expected));
    assert_eq!(asked.len(), 6);
    let first = Request {
        method: Method::Post,
        path: "/sobjects/Task".to_owned(),
        body: Some(json!({"Subject": "Printer", "n": [1, null]})),
    };
    assert_eq!(asked[0], Ask::Request(first));
}

#[tokio::test]
async fn a_refusal_can_be_caught_and_says_where_if_not() {
    let caught = "try { httpClient.get('/no') } catch (e) { replica.e = [e.name, e.code, e.message, e instanceof Error] }";
    let expected = json!({"e": ["Refused", "NOT_FOUND", "The requested resource does not exist", true]});
    assert_eq!(asks(caught).await.0, Ok(expected));
    let (thrown, _) = asks("replica.a = 1;\nreplica.b = httpClient.get('/no').name").await;
    match thrown {
        Err(RuleError::Script { message, line: Some(2), line_text: Some(_), .. }) => {
            assert_eq!(message, "Refused: The requested resource does not exist");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_answers_may_end_the_run_whatever_the_rule_catches() {
    for source in ["httpClient.get('/end')", "try { httpClient.get('/end') } catch { httpClient.post('/again') }"] {
        let (ended, asked) = asks(source).await;
        assert_eq!(ended, Err(RuleError::Ended), "{source}");
        assert!(asked.len() <= 2, "{asked:?}");
    }
}

#[tokio::test]
async fn users_and_twins_are_looked_up() {
    let source = "replica.u = nodeHelper.getUserByEmail(' ada@x ').Name; replica.again = nodeHelper.getUserByEmail('Ada@x').Id;
        replica.none = [nodeHelper.getUserByEmail('bob@x'), nodeHelper.getUserByEmail(null), nodeHelper.getLocalIssueKeyFromRemoteId(undefined)];
        replica.key = nodeHelper.getLocalIssueKeyFromRemoteId('HD-1', 'Account');
        replica.alias = syncHelper.getLocalIssueKeyFromRemoteId(7)";
    let (replica, asked) = asks(source).await;
    let expected = json!({"u": "Ada", "again": "005", "none": [null, null, null], "key": "Account-HD-1", "alias": "-7"});
    assert_eq!(replica, Ok(expected));
    assert_eq!(asked.len(), 4, "a user is asked for once: {asked:?}");
    let (frozen, _) = asks("nodeHelper.getUserByEmail('ada@x').Name = 'Eve'").await;
    assert!(frozen.is_err(), "{frozen:?}");
}

#[tokio::test]
async fn a_record_is_stored_with_what_was_assigned_so_far_and_has_a_key_then() {
    let input = incoming(json!({}), json!({"summary": "S"}), true);
    let source = "entity.entityType = 'Case'; entity.Subject = replica.summary; store(entity); entity.Key__c = entity.key";
    let desk = Desk::default();
    let output = pool().run(source, &input, &desk).await.expect("runs");
    assert_eq!(Value::Object(output.assigned), json!({"Subject": "S", "Key__c": "k1"}));
    let assigned = fields(json!({"Subject": "S"}));
    assert_eq!(desk.asked(), [Ask::Store { entity_type: Some("Case".to_owned()), assigned }]);
    for (source, input, words) in
        [("store({})", &input, "give it `entity`"), ("store(entity)", &outgoing(json!({})), "belongs in the incoming rule")]
    {
        let message = pool().run(source, input, &Desk::default()).await.expect_err("refused").to_string();
        assert!(message.contains(words), "`{source}`: {message}");
    }
}

#[tokio::test]
async fn values_are_quoted_for_queries() {
    let source =
        "const x = \"O'Neil\\\\ \\n\"; replica.q = soql`SELECT Id FROM User WHERE Name = ${x} AND Age = ${3} AND B = ${null}
AND D > ${new Date(0)} AND E IN ${['a', \"b'\"]}`; replica.one = soql('it\\'s')";
    let expected = json!({"q": "SELECT Id FROM User WHERE Name = 'O\\'Neil\\\\ \\n' AND Age = 3 AND B = null\nAND D > 1970-01-01T00:00:00.000Z \
        AND E IN ('a','b\\'')", "one": "'it\\'s'"});
    assert_eq!(replica_of(source).await, Ok(expected));
    for (source, words) in
        [("soql`${[]}`", "must have a value"), ("soql`${{}}`", "cannot be a value"), ("soql(0/0)", "no number")]
    {
        let message = replica_of(source).await.expect_err("refused").to_string();
        assert!(message.contains(words), "`{source}`: {message}");
    }
}

#[tokio::test]
async fn time_stands_and_chance_begins_where_the_host_says() {
    let source =
        "replica.t = [Date.now(), new Date().toISOString(), Date().length > 20, new Date(5).getTime(), Date.UTC(1970, 0, 2),
        new Date() instanceof Date, Object.prototype.toString.call(new Date()), new (class Mine extends Date {})(9).getTime(),
        new Date().constructor === Date, Date.name, Date.parse('1970-01-01')];
        replica.r = [Math.random(), Math.random(), Math.random()]";
    let pool = pool();
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let output = pool.run(source, &outgoing(json!({})), &Desk::default()).await.expect("runs");
        let now = "2026-12-02T00:00:00.000Z";
        let expected = json!([1_796_169_600_000_u64, now, true, 5, 86_400_000, true, "[object Date]", 9, true, "Date", 0]);
        assert_eq!(output.replica["t"], expected);
        drawn.push(output.replica["r"].clone());
    }
    assert_eq!(drawn[0], drawn[1]);
    let numbers: Vec<f64> = drawn[0].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)) && numbers[0] != numbers[1], "{numbers:?}");
    assert_eq!(pool.matches("Date.now() > 1.79e12 && Math.random() < 1", &entity(json!({}))).await, Ok(true));
}

#[tokio::test]
async fn rules_that_abuse_asks_are_ended_or_refused() {
    for (source, words) in [
        ("for (;;) { try { httpClient.get('/no') } catch {} }", "asked more than 50 times"),
        ("for (let i = 0; i < 3; i++) httpClient.get('/large')", "more than 2097152 bytes"),
        ("httpClient.post('/x', 'y'.repeat(600_000))", "text that is no JSON"),
        ("httpClient.post('/x', { y: 'y'.repeat(600_000) })", "at most 524288 can leave"),
        ("httpClient.post('/x', { f() {} })", "the body.f is a function"),
        ("const a = {}; a.a = a; httpClient.post('/x', a)", "contains itself"),
        ("httpClient.get('/\\ud800')", "half a character"),
        ("httpClient.get({ toString() { return '/x' } })", "the path must be text"),
        ("httpClient.get = () => 1", "read-only"),
        ("replica.x = { get a() { return httpClient.get('/late') } }", "the rule has ended"),
        (
            "replica.x = []; replica.x.length = 1; Object.defineProperty(replica.x, 0, { get: () => nodeHelper.getUserByEmail('a') })",
            "the rule has ended",
        ),
        ("nodeHelper.getUserByEmail({})", "must be text"),
    ] {
        let message = asks(source).await.0.expect_err("refused").to_string();
        assert!(message.contains(words), "`{source}`: {message}");
    }
    let desk = Desk::default();
    let skipped = "try { skip('no') } catch { try { httpClient.post('/x') } catch { httpClient.post('/y') } }";
    let output = pool().run(skipped, &outgoing(json!({})), &desk).await.expect("runs");
    assert_eq!((output.skip.as_deref(), desk.asked().len()), (Some("no"), 0), "nothing happens after skip");
    let sneaky = "const o = { toJSON() { httpClient.post('/inner'); return 1 } }; httpClient.post('/x', { a: 1 }); log.info(o)";
    let output = pool().run(sneaky, &outgoing(json!({})), &desk).await.expect("runs");
    assert_eq!((output.log, desk.asked().len()), (vec!["info: 1".to_owned()], 2));
}

#[tokio::test]
async fn waiting_for_an_answer_is_not_the_rules_own_time_and_holds_up_nobody() {
    let pool = Pool::with(Threads, 1, Duration::from_millis(200));
    let slow = Desk { slow: Some(Duration::from_millis(900)), ..Desk::default() };
    let began = Instant::now();
    let input = outgoing(json!({"Subject": "Printer"}));
    // Two that wait and one in between, in a pool of one worker.
    let waits = |slow| {
        let (pool, input) = (&pool, &input);
        async move { pool.run("replica.p = httpClient.get('/slow').path", input, slow).await }
    };
    let quick = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let output = pool.run("replica.s = entity.Subject", &input, &Desk::default()).await;
        (output.map(|output| output.replica["s"].clone()), began.elapsed())
    };
    let (first, second, (between, took)) = tokio::join!(waits(&slow), waits(&slow), quick);
    for output in [first, second] {
        assert_eq!(output.expect("runs past its own limit").replica["p"], "/slow");
    }
    assert_eq!(between, Ok(json!("Printer")));
    assert!(took < Duration::from_millis(800), "a neighbour waited {took:?}");
    assert!(began.elapsed() < Duration::from_millis(1700), "they did not wait side by side: {:?}", began.elapsed());
    assert!(pool.idle() <= 1, "workers that stood in are let go");
}

#[tokio::test]
async fn more_runs_wait_than_there_may_be_workers_and_all_end() {
    let pool = Pool::with(Threads, 2, Duration::from_secs(5));
    let slow = Desk { slow: Some(Duration::from_millis(50)), ..Desk::default() };
    let input = outgoing(json!({}));
    let source = "replica.p = httpClient.get('/a').path + httpClient.get('/b').path";
    let runs = (0..120).map(|_| pool.run(source, &input, &slow));
    for output in futures_util::future::join_all(runs).await {
        assert_eq!(output.expect("runs").replica["p"], "/a/b");
    }
}

#[tokio::test]
async fn an_ask_that_is_not_answered_in_time_ends_the_run() {
    let pool = Pool::with(Threads, 1, Duration::from_secs(5)).patient(Duration::from_millis(50));
    let slow = Desk { slow: Some(Duration::from_secs(60)), ..Desk::default() };
    let error = pool.run("httpClient.get('/slow')", &outgoing(json!({})), &slow).await.expect_err("ended");
    assert_eq!(error, RuleError::Limit("an answer took longer than 50 ms".to_owned()));
    assert_eq!(pool.run("replica.a = 1", &outgoing(json!({})), &slow).await.expect("runs").replica["a"], 1);
}
