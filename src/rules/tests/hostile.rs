//! Rules that mean harm, and workers that are ended.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::{
    clock::Time,
    domain::ask::{Ask, Host, Moment, Unanswered},
};

/// How a hostile rule may end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// At a limit: its worker is gone.
    Limit,
    /// As its own error, with these words.
    Error(&'static str),
    /// Well, with this replica: it achieved nothing.
    Nothing(&'static str),
    /// The replica is refused for its size.
    TooBig,
}
use End::{Error, Limit, Nothing, TooBig};

#[tokio::test]
async fn rules_that_abuse_asks_time_and_chance_reach_nobody() {
    withstand(&[
        ("for (;;) { try { httpClient.get('/x') } catch {} }", Limit),
        ("for (;;) { try { nodeHelper.getUserByEmail(String(Math.random())) } catch {} }", Limit),
        ("httpClient.post('/x', { y: 'y'.repeat(600_000) })", Error("can leave")),
        ("httpClient.post('/x', 'y'.repeat(4 << 20))", Error("no JSON")),
        ("httpClient.get.call(null, '/x')", Error("nobody is there")),
        ("class D extends Date { constructor() { super(); httpClient.get('/x') } } new D()", Error("nobody is there")),
        ("replica.x = { get a() { return httpClient.get('/x') } }", Error("the rule has ended")),
        ("(async () => { try { httpClient.get('/x') } catch {} })(); replica.a = 1", Nothing("{\"a\": 1}")),
        ("Promise.resolve().then(() => httpClient.post('/later')); replica.a = 2", Nothing("{\"a\": 2}")),
        ("try { skip('no') } catch { for (;;) httpClient.post('/x') }", Nothing("{}")),
        ("httpClient.post = () => 1", Error("read-only")),
        ("Date.now = () => 1", Error("read-only")),
        ("Math.random = () => 1", Error("read-only")),
        ("globalThis.Date = 1", Error("read-only")),
        ("Date.prototype.getTime = () => 1", Error("read-only")),
        ("soql({ toString() { for (;;); } })", Error("cannot be a value")),
    ])
    .await;
}

/// Plays each in one worker, and after each an innocent rule that would notice what was left behind.
async fn withstand(table: &[(&str, End)]) {
    let wall = Duration::from_millis(300);
    let pool = Pool::with(Children, 1, wall);
    let input = outgoing(json!({"Subject": "Printer", "List": [3, 1, 2]}));
    let innocent = "replica.s = entity.Subject; replica.l = [...entity.List].sort().map(String).join(); replica.x = typeof ({}).x;
        replica.g = Object.getOwnPropertyNames(globalThis).length; replica.y = typeof globalThis.y; replica.e = String(new Error('a'));
        replica.j = JSON.stringify({ a: new Date(0) }); replica.r = 'aXb'.replace(/x/i, '-'); replica.i = 'abc'.at(-1)";
    let clean = pool.run(innocent, &input, &Nobody).await.expect("runs").replica;
    for (source, end) in table {
        let started = Instant::now();
        let result = pool.run(source, &input, &Nobody).await;
        // Twice the limit, and room for the start of a child on a loaded machine.
        assert!(started.elapsed() < wall * 2 + Duration::from_secs(2), "`{source}` took {:?}", started.elapsed());
        match (end, &result) {
            (Limit, Err(RuleError::Limit(_))) | (TooBig, Err(RuleError::TooBig(_))) => {}
            (Error(words), Err(RuleError::Script { message, .. })) => assert!(message.contains(words), "`{source}`: {message}"),
            (Nothing(left), Ok(output)) => {
                let left: Value = serde_json::from_str(left).expect("JSON");
                assert_eq!(Value::Object(output.replica.clone()), left, "`{source}`");
            }
            _ => panic!("`{source}` ended with {result:?}, not {end:?}"),
        }
        let after = pool.run(innocent, &input, &Nobody).await.expect("the engine lives on").replica;
        assert_eq!(after, clean, "after `{source}`");
    }
}

#[tokio::test]
async fn rules_that_never_end_are_ended() {
    withstand(&[
        ("for (;;) {}", Limit),
        ("for (;;) { try { throw 1 } catch {} }", Limit),
        ("try { for (;;) {} } finally { for (;;) {} }", Limit),
        ("const end = Date.now() + 1e9; while (Date.now() < end);", Limit),
        ("[...(function* () { for (;;) yield })()]", Limit),
        ("[2, 1].sort(() => { for (;;) {} })", Limit),
        ("(async () => { for (;;) {} })()", Limit),
        ("new Array(1e9) + ''", Limit),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b')", Limit),
        ("/(x+x+)+y/.exec('x'.repeat(64))", Limit),
        ("'a'.repeat(50).replace(/(a|a)*b/, '')", Limit),
        ("for (let n = 3n; ; n = n * n % 10n ** 2000n);", Limit),
        ("const f = () => f() + 1; f()", Limit),
        ("const g = (n) => [1].map(() => g(n + 1)); g(0)", Limit),
        ("JSON.parse('['.repeat(1e6))", Limit),
        ("let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; JSON.stringify(o)", Limit),
        ("new RegExp('(?:'.repeat(1e5) + ')'.repeat(1e5))", Error("SyntaxError")),
        ("eval('('.repeat(1e6))", Limit),
        ("nodeHelper.htmlToPlain('<ul><li>'.repeat(30_000))", Limit),
        ("nodeHelper.htmlToPlain('x'.repeat(300_000))", Error("300000 bytes is too long")),
    ])
    .await;
}

#[tokio::test]
async fn rules_that_want_everything_get_a_limit() {
    withstand(&[
        ("const x = []; while (true) x.push(1)", Limit),
        ("const x = new Map(); for (let i = 0; ; i++) x.set(i, i)", Limit),
        ("let s = 'x'; for (;;) s += s + [s]", Limit),
        ("'a'.repeat(2 ** 30 - 1).length", Limit),
        ("new Array(2 ** 26).fill(0)", Limit),
        ("Array.from({ length: 1e9 })", Limit),
        ("'x'.padEnd(2 ** 28, 'abc')", Limit),
        ("'x'.repeat(2 ** 20).replaceAll('', 'y'.repeat(2 ** 10))", Limit),
        ("replica.x = []; for (let i = 0; i < 64; i++) replica.x.push('x'.repeat(2 ** 20) + i)", Limit),
        ("replica.x = new Proxy([], { get: (_, name) => name === 'length' ? 2 ** 40 : 'x' })", Limit),
        ("replica.x = 'x'.repeat(1_000_000)", TooBig),
        ("let n = replica; for (let i = 0; i < 40; i++) n = n.n = {}", TooBig),
        ("let n = replica; for (let i = 0; i < 99; i++) n = n.n = {}", Error("nested more than 64 deep")),
        ("replica.r = [replica]", Error("contains itself")),
        ("try { 'x'.repeat(2 ** 28) } catch {} replica.a = 1", Nothing(r#"{"a": 1}"#)),
        ("const x = 'x'.repeat(1e6); for (let i = 0; i < 1e4; i++) log.info(x, i)", Nothing("{}")),
        ("for (let i = 0; i < 1e4; i++) Promise.resolve().then(() => { replica.x = 1 })", Nothing("{}")),
        ("for (let i = 0; i < 1e4; i++) queueMicrotask(() => { replica.x = 1 })", Nothing("{}")),
        ("skip({ toString() { return 'x'.repeat(2 ** 28) } })", Limit),
    ])
    .await;
}

#[tokio::test]
async fn rules_that_bend_the_language_reach_nobody() {
    withstand(&[
        ("Object.prototype.x = 1", Error("not extensible")),
        ("({}).__proto__.x = 1", Error("not extensible")),
        ("Object.prototype.toJSON = () => 1", Error("not extensible")),
        ("Object.prototype.toString = () => 'x'", Error("belongs to the language")),
        ("Object.prototype.__defineSetter__('a', () => { throw 1 })", Error("")),
        ("Array.prototype.push = null", Error("read-only")),
        ("Array.prototype[Symbol.iterator] = function* () {}", Error("read-only")),
        ("Object.getPrototypeOf([].values()).next = () => ({ done: true })", Error("read-only")),
        ("Object.setPrototypeOf(Array.prototype, { x: 1 })", Error("not extensible")),
        ("String.prototype.replace = RegExp.prototype.exec = () => null", Error("read-only")),
        ("JSON.stringify = () => '{}'", Error("read-only")),
        ("Reflect.ownKeys = Object.keys = () => []", Error("read-only")),
        ("globalThis.y = 1", Error("not extensible")),
        ("Object.defineProperty(globalThis, 'Error', { value: 1 })", Error("")),
        ("delete globalThis.JSON", Error("")),
        ("Error.prepareStackTrace = () => { throw 1 }", Error("not extensible")),
        ("Error.prototype.name = 'x'", Error("belongs to the language")),
        ("try { (0, eval)('var y = 1') } catch {}", Nothing("{}")),
        ("(0, eval)('let y = 1; const x = 2; class z {}')", Nothing("{}")),
        ("try { Function('y = 1')() } catch {}", Nothing("{}")),
        ("(function* () {}).constructor('yield 1')().next()", Nothing("{}")),
        ("replica.x = Function('return this')().process", Nothing("{}")),
        ("import('x').then(() => {})", Nothing("{}")),
        ("import x from 'y'", Error("SyntaxError")),
        ("return new Promise(() => {})", Error("Promise")),
        ("replica.t = [typeof Atomics, typeof SharedArrayBuffer, typeof WeakRef, typeof WebAssembly, typeof require, typeof performance]
            .every((type) => type === 'undefined')", Nothing(r#"{"t": true}"#)),
    ])
    .await;
}

#[tokio::test]
async fn values_with_effects_of_their_own_have_none() {
    withstand(&[
        ("Object.defineProperty(replica, 'x', { enumerable: true, get() { for (;;) {} } })", Limit),
        ("let n = 0; Object.defineProperty(replica, 'n', { enumerable: true, get: () => ++n })", Nothing(r#"{"n": 1}"#)),
        ("const e = new Error(); Object.defineProperty(e, 'message', { get() { for (;;) {} } }); throw e", Limit),
        ("throw { toString() { for (;;) {} } }", Limit),
        ("throw { toString() { throw 1 } }", Error("threw object")),
        ("throw new Proxy({}, { get() { throw 1 } })", Error("threw")),
        ("throw null", Error("threw null")),
        ("throw undefined", Error("threw undefined")),
        ("replica.x = new Proxy({}, { ownKeys() { for (;;) {} } })", Limit),
        ("replica.x = new Proxy({ a: 1 }, { getOwnPropertyDescriptor() { throw new Error('no') } })", Error("no")),
        ("replica.x = { toJSON() { for (;;) {} } }", Error("a function")),
        (
            "replica.d = Object.defineProperty(new Date(0), 'toISOString', { value: () => 'x' })",
            Nothing(r#"{"d": "1970-01-01T00:00:00.000Z"}"#),
        ),
        ("replica.l = Object.defineProperty([1], 'map', { value: () => 'x' })", Nothing(r#"{"l": [1]}"#)),
        ("log.info({ toJSON() { for (;;) {} } })", Limit),
        ("log.info({ toJSON() { throw 1 } }, { get a() { throw 1 } })", Nothing("{}")),
        ("replica.__proto__ = { x: 1 }", Error("not a plain object")),
        ("entity.__proto__ = { x: 1 }", Error("read-only")),
        ("entity.List.push(4)", Error("not extensible")),
        ("entity.List.constructor.prototype.at = null", Error("read-only")),
        ("connection.mode = 'script'", Error("read-only")),
        ("log.info = () => {}", Error("read-only")),
        ("nodeHelper.isListed = () => true", Error("read-only")),
        ("skip = () => {}", Error("read-only")),
        ("skip.call = skip.apply = null; skip('x')", Error("read-only")),
    ])
    .await;
}

#[tokio::test]
async fn a_rule_cannot_hand_anything_to_its_next_run() {
    let pool = pool();
    let input = outgoing(json!({"Subject": "Printer"}));
    for source in [
        "const f = (s) => { try { s.n = 1; return 'kept' } catch { return 'frozen' } }; replica.n = f`a`",
        "const f = (s) => { try { s.raw.push('b') } catch {} return s.raw.length }; replica.n = f`a`",
        "const r = /a/g; r.test('aa'); replica.n = r.lastIndex",
        "for (const one of [skip, log.info, log, nodeHelper.isListed, connection, Date, Symbol.for('a')]) { try { one.n ??= 0; one.n++ } catch {} }
            replica.n = [skip.n, log.n, connection.n, Date.n].join()",
        "class A { static #n = 0; static more() { return ++A.#n } } replica.n = A.more()",
        "var n = 0; n++; replica.n = n; function f() { f.n ??= 0; return ++f.n } f(); replica.f = f.n",
    ] {
        let first = pool.run(source, &input, &Nobody).await.expect("runs").replica;
        for _ in 0..3 {
            assert_eq!(pool.run(source, &input, &Nobody).await.expect("runs").replica, first, "`{source}`");
        }
    }
}

#[tokio::test]
async fn neighbours_of_a_killed_worker_never_notice() {
    let pool = Pool::with(Children, 2, Duration::from_secs(1));
    let input = outgoing(json!({"Subject": "Printer"}));
    let quiet = async {
        for _ in 0..50 {
            pool.run("replica.s = entity.Subject", &input, &Nobody).await.expect("undisturbed");
        }
    };
    let (stuck, ()) = tokio::join!(pool.run("for (;;) {}", &input, &Nobody), quiet);
    assert!(matches!(stuck, Err(RuleError::Limit(_))));
}

fn program(name: &str, args: &[&str], wall_ms: u64) -> Pool {
    let args = args.iter().map(Into::into).collect();
    Pool::new(PoolSettings { program: name.into(), args, workers: 1, wall: Duration::from_millis(wall_ms) })
}

#[tokio::test]
async fn a_child_that_fails_is_told_apart() {
    let input = outgoing(json!({}));
    assert!(matches!(program("/nowhere/at/all", &[], 50).run("", &input, &Nobody).await, Err(RuleError::Engine(_))));
    let killed = program("/bin/sleep", &["60"], 50).run("", &input, &Nobody).await;
    assert!(matches!(&killed, Err(RuleError::Limit(what)) if what.contains("killed")), "{killed:?}");
    let echo = program("/bin/cat", &[], 2000).run("", &input, &Nobody).await;
    assert!(matches!(echo, Err(RuleError::Engine(_))), "{echo:?}");
    let crashed = program("/bin/sh", &["-c", "head -c 4 > /dev/null; kill -SEGV $$"], 2000).run("", &input, &Nobody).await;
    assert!(matches!(&crashed, Err(RuleError::Limit(what)) if what.contains("memory")), "{crashed:?}");
    let left = program("/bin/sh", &["-c", "head -c 4 > /dev/null; exit 3"], 2000).run("", &input, &Nobody).await;
    assert!(matches!(&left, Err(RuleError::Engine(what)) if what.contains("exit status: 3")), "{left:?}");
}

/// Starts children and remembers who they are.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Vec<i32>>>);

impl Spawn for Watched {
    fn spawn(&self) -> io::Result<Line> {
        let line = Children.spawn()?;
        self.0.lock().unwrap().extend(line.id().and_then(|id| i32::try_from(id).ok()));
        Ok(line)
    }
}

#[tokio::test]
async fn a_child_that_was_ended_while_idle_is_no_rules_fault() {
    let watched = Watched::default();
    let pool = Pool::with(watched.clone(), 1, Duration::from_secs(5));
    let input = outgoing(json!({}));
    pool.run("", &input, &Nobody).await.expect("runs");
    let id = Pid::from_raw(watched.0.lock().unwrap()[0]).expect("a process");
    kill_process(id, Signal::KILL).expect("our own child");
    tokio::time::sleep(Duration::from_millis(200)).await;
    pool.run("", &input, &Nobody).await.expect("runs in another");
    assert_eq!(watched.0.lock().unwrap().len(), 2);
}

/// Ends the workers before it answers.
struct Reaper(Watched);

#[async_trait]
impl Host for Reaper {
    fn moment(&self) -> Moment {
        Moment { now: Time(0), seed: 0 }
    }

    async fn ask(&self, _: Ask) -> Result<Value, Unanswered> {
        for id in self.0.0.lock().unwrap().drain(..) {
            kill_process(Pid::from_raw(id).expect("a process"), Signal::KILL).expect("our own child");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(json!({}))
    }
}

#[tokio::test]
async fn a_child_that_was_ended_while_it_waited_for_an_answer_is_no_rules_fault() {
    let watched = Watched::default();
    let pool = Pool::with(watched.clone(), 1, Duration::from_secs(5));
    let input = outgoing(json!({}));
    let ended = pool.run("httpClient.get('/x')", &input, &Reaper(watched)).await.expect_err("it ended");
    assert_eq!(ended, RuleError::Engine("the worker ended while it waited for an answer".to_owned()));
    pool.run("", &input, &Nobody).await.expect("runs in another");
}

#[tokio::test]
async fn what_is_too_big_is_refused_before_it_is_sent() {
    let input = outgoing(json!({"Subject": "x".repeat(5 << 20)}));
    assert!(matches!(pool().run("", &input, &Nobody).await, Err(RuleError::Limit(_))));
}
