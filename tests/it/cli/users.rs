//! Accounts from a shell: the password comes by standard input or by a file, never as an argument.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    process::{Command, Stdio},
};

use wicketgate::config::Role;

use super::{both, on};
use crate::support::{TOKEN, TestNode, clock::MovableClock, until};

/// Runs a command with this on standard input; its exit code and all that it said.
async fn fed(node: &TestNode, input: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    command.args(arguments).env("WICKETGATE_URL", &node.url).env("WICKETGATE_TOKEN", TOKEN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
        let output = child.wait_with_output().expect("ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("ended by itself"), String::from_utf8(said).expect("UTF-8"))
    });
    run.await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_kept_from_a_shell() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = TestNode::new("alone", dir.path(), Role::Private, std::sync::Arc::new(MovableClock::default()), "");
    node.start().await;
    let (code, said) = fed(&node, "correct horse battery\n", &["user", "add", "Ada", "--role", "admin"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Ada") && !said.contains("horse"), "{said}");
    let (code, said) = fed(&node, "short\n", &["user", "add", "Bob", "--role", "read"]).await;
    assert!(code == 1 && said.contains("password: has 5 characters"), "{said}");
    let (code, said) = fed(&node, "", &["user", "add", "Bob", "--role", "read"]).await;
    assert!(code == 1 && said.contains("first line of standard input"), "{said}");
    let file = dir.path().join("password");
    std::fs::write(&file, "battery staple horse\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(on(&node, &["user", "add", "Bob", "--role", "read", "--password-file", file]).await.code, 0);
    let (told, listed) = both(&node, "List_User", &["user", "list"]).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(told.contains("LAST SIGN-IN") && told.contains("Bob"), "{told}");
    assert_eq!(on(&node, &["user", "password", "bob", "--password-file", file]).await.out, "changed\n");
    assert_eq!(on(&node, &["user", "change", "BOB"]).await.code, 2, "nothing to change");
    let changed = on(&node, &["user", "change", "BOB", "--role", "operate", "--json"]).await.json();
    assert_eq!((&changed["name"], &changed["role"]), (&"Bob".into(), &"operate".into()));
    assert!(on(&node, &["user", "remove", "Eve", "--yes"]).await.err.contains("wicketgate user list"));
    assert_eq!(on(&node, &["user", "remove", "bob"]).await.code, 2, "nobody is there to be asked");
    assert_eq!(on(&node, &["user", "remove", "bob", "--yes"]).await.out, "deleted\n");
    node.stop().await;
}

/// What is typed on a real terminal is not shown, and the terminal is left as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_nothing_of_a_password() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = TestNode::new("alone", dir.path(), Role::Private, std::sync::Arc::new(MovableClock::default()), "");
    node.start().await;
    let shell = format!("stty; {} user add Ada --role read; stty", env!("CARGO_BIN_EXE_wicketgate"));
    // `script` gives the shell a terminal of its own.
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--echo", "always", "--command", &shell, "/dev/null"])
        .env("WICKETGATE_URL", &node.url)
        .env("WICKETGATE_TOKEN", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux is here");
    let (mut keys, mut screen) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = shown.clone();
    let reading = std::thread::spawn(move || {
        let mut byte = [0u8];
        while screen.read(&mut byte).is_ok_and(|count| count == 1) {
            into.lock().expect("whole").push(byte[0]);
        }
    });
    let said = || String::from_utf8_lossy(&shown.lock().expect("whole")).into_owned();
    until("the question", || said().contains("New password: ")).await;
    keys.write_all(b"correct horse battery\n").expect("typed");
    until("the second question", || said().contains("The same again: ")).await;
    keys.write_all(b"correct horse battery\n").expect("typed");
    until("the answer", || said().contains("last_sign_in_at")).await;
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("ends");
    assert!(ended.success(), "{}", said());
    drop(keys);
    reading.join().expect("read to the end");
    let all = said();
    assert!(!all.contains("horse"), "{all}");
    assert!(!all.contains("-echo"), "the echo is back: {all}");
    assert_eq!(node.get("/users").await["items"][0]["name"], "Ada");
    node.stop().await;
}

/// Who starts a node reads its output; its log is kept and read by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_set_up_link_goes_to_the_output_and_not_into_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = TestNode::new("alone", dir.path(), Role::Private, std::sync::Arc::new(MovableClock::default()), "");
    let file = dir.path().join("relay.toml");
    let config = node.config.replace("[node]\n", "[node]\nlog = { format = \"json\", filter = \"trace\" }\n");
    std::fs::write(&file, config).expect("written");
    let mut relay = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    relay.args(["relay", "--config"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = tokio::task::spawn_blocking(move || {
        let mut child = relay.spawn().expect("starts");
        // Nobody reads a log that may be long: it must not stop the node meanwhile.
        let mut log = child.stderr.take().expect("piped");
        let logged = std::thread::spawn(move || {
            let mut text = String::new();
            log.read_to_string(&mut text).expect("UTF-8");
            text
        });
        let lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let link = lines.map(|line| line.expect("UTF-8")).find(|line| line.contains("/setup#")).expect("a link");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).expect("told");
        assert!(child.wait().expect("ends").success());
        (link.trim().to_owned(), logged.join().expect("read to the end"))
    });
    let (link, log) = run.await.expect("no panic");
    let (address, secret) = link.split_once('#').expect("behind the sharp");
    assert_eq!((address, secret.len()), (format!("{}/setup", node.url).as_str(), 43));
    assert!(log.contains("listening on") && !log.contains(secret), "{log}");
}
