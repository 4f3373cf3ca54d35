//! Rules that mean harm, and workers that are ended.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

#[tokio::test]
async fn hostile_rules_end_and_the_engine_lives_on() {
    let wall = Duration::from_millis(600);
    let pool = Pool::with(Children, 2, wall);
    let input = outgoing(json!({"Subject": "Printer"}));
    let (one_mib, limit) = ("'x'.repeat(2 ** 20)", true);
    for (source, limited) in [
        ("for (;;) {}", limit),
        ("try { for (;;) {} } finally { for (;;) {} }", limit),
        ("const x = []; while (true) x.push(1)", limit),
        ("'a'.repeat(2 ** 30 - 1).length", limit),
        ("new Array(1e9) + ''", limit),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b')", limit),
        ("const f = () => f() + 1; f()", limit),
        ("Object.defineProperty(replica, 'x', { enumerable: true, get() { for (;;) {} } })", limit),
        ("const e = new Error(); Object.defineProperty(e, 'message', { get() { for (;;) {} } }); throw e", limit),
        (&format!("replica.x = []; for (let i = 0; i < 64; i++) replica.x.push({one_mib} + i)"), limit),
        ("throw null", false),
        ("Error.prepareStackTrace = () => { throw 1 }; nowhere()", false),
        ("return new Promise(() => {})", false),
        ("replica.x = Function('return this')().process; import('x').then(() => {})", false),
        ("Object.prototype.toJSON = () => 1; Object.prototype.__defineSetter__('a', () => { throw 1 }); replica.a = 1", false),
    ] {
        let started = Instant::now();
        let result = pool.run(source, &input).await;
        // Twice the limit, and room for the start of a child on a loaded machine.
        assert!(started.elapsed() < wall * 2 + Duration::from_secs(2), "`{source}` took {:?}", started.elapsed());
        assert_eq!(matches!(result, Err(RuleError::Limit(_))), limited, "`{source}` ended with {result:?}");
        assert!(!matches!(result, Err(RuleError::Engine(_))), "`{source}` ended with {result:?}");
        let after = pool.run("replica.s = entity.Subject", &input).await.expect("the engine lives on").replica;
        assert_eq!(after["s"], "Printer", "after `{source}`");
    }
}

#[tokio::test]
async fn neighbours_of_a_killed_worker_never_notice() {
    let pool = Pool::with(Children, 2, Duration::from_secs(1));
    let input = outgoing(json!({"Subject": "Printer"}));
    let quiet = async {
        for _ in 0..50 {
            pool.run("replica.s = entity.Subject", &input).await.expect("undisturbed");
        }
    };
    let (stuck, ()) = tokio::join!(pool.run("for (;;) {}", &input), quiet);
    assert!(matches!(stuck, Err(RuleError::Limit(_))));
}

fn program(name: &str, args: &[&str], wall_ms: u64) -> Pool {
    let args = args.iter().map(Into::into).collect();
    Pool::new(PoolSettings { program: name.into(), args, workers: 1, wall: Duration::from_millis(wall_ms) })
}

#[tokio::test]
async fn a_child_that_fails_is_told_apart() {
    let input = outgoing(json!({}));
    assert!(matches!(program("/nowhere/at/all", &[], 50).run("", &input).await, Err(RuleError::Engine(_))));
    let killed = program("/bin/sleep", &["60"], 50).run("", &input).await;
    assert!(matches!(&killed, Err(RuleError::Limit(what)) if what.contains("killed")), "{killed:?}");
    let echo = program("/bin/cat", &[], 2000).run("", &input).await;
    assert!(matches!(echo, Err(RuleError::Engine(_))), "{echo:?}");
    let crashed = program("/bin/sh", &["-c", "head -c 4 > /dev/null; kill -SEGV $$"], 2000).run("", &input).await;
    assert!(matches!(&crashed, Err(RuleError::Limit(what)) if what.contains("memory")), "{crashed:?}");
    let left = program("/bin/sh", &["-c", "head -c 4 > /dev/null; exit 3"], 2000).run("", &input).await;
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
    pool.run("", &input).await.expect("runs");
    let id = Pid::from_raw(watched.0.lock().unwrap()[0]).expect("a process");
    kill_process(id, Signal::KILL).expect("our own child");
    tokio::time::sleep(Duration::from_millis(200)).await;
    pool.run("", &input).await.expect("runs in another");
    assert_eq!(watched.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_too_big_is_refused_before_it_is_sent() {
    let input = outgoing(json!({"Subject": "x".repeat(5 << 20)}));
    assert!(matches!(pool().run("", &input).await, Err(RuleError::Limit(_))));
}
