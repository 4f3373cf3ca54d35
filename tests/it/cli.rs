//! Every command against running nodes, as people and as programs call them.

mod rules;
mod salesforce;
mod users;

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Settings, TOKEN, TestNode, World, described::Described, until_said};

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn command(url: &str, token: &str, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_wicketgate"))
        .args(arguments)
        .env("WICKETGATE_URL", url)
        .env("WICKETGATE_TOKEN", token)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().expect("ended by itself"), out: text(stdout), err: text(stderr) }
}

/// Runs a command away from the runtime's threads.
async fn on(node: &TestNode, arguments: &[&str]) -> Said {
    let (url, arguments): (String, Vec<String>) = (node.url.clone(), arguments.iter().map(|one| (*one).to_owned()).collect());
    tokio::task::spawn_blocking(move || command(&url, TOKEN, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .expect("no panic")
}

/// Runs it for people and for programs; the second is held against the document.
async fn both(node: &TestNode, schema: &str, arguments: &[&str]) -> (String, Value) {
    let told = on(node, arguments).await;
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{arguments:?}: {}", told.out);
    assert!(!told.out.trim().is_empty() && !told.out.trim_start().starts_with('{'), "{arguments:?}: {}", told.out);
    let printed = on(node, &[arguments, &["--json"]].concat()).await;
    assert_eq!((printed.code, printed.err.as_str()), (0, ""), "{arguments:?}: {}", printed.out);
    let body = printed.json();
    let faults = Described::new().differs_from(schema, &body);
    assert!(faults.is_empty(), "{arguments:?}: {faults:?}\n{body:#}");
    (told.out, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_admins_join_their_nodes_from_their_shells() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let (public, private) = (&world.public, &world.private);
    both(public, "NodeStatus", &["status"]).await;
    let destination = both(private, "Destination", &["connection", "check-destination", &public.url]).await.1;
    assert_eq!(destination["is_node"], true);
    let made = on(
        public,
        &[
            "connection",
            "create",
            "--tracker",
            "support",
            "--local",
            "acme",
            "--remote",
            "partner",
            "--confirm",
            "--expires-in",
            "12h",
        ],
    )
    .await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.starts_with("The connection acme_to_partner waits for the other side."), "{}", made.out);
    let code = made.out.trim().lines().last().expect("a code").to_owned();
    let (told, _) = both(private, "Inspected", &["invitation", "inspect", &code]).await;
    assert!(told.contains("acme_to_partner") && told.contains("key_fingerprint"), "{told}");
    let joined = on(private, &["invitation", "accept", &code, "--tracker", "helpdesk", "--name", "acme", "--json"]).await;
    assert_eq!((joined.code, &joined.json()["name"]), (0, &json!("acme")), "{}", joined.err);
    let unconfirmed = on(public, &["connection", "confirm", "acme_to_partner"]).await;
    assert_eq!(unconfirmed.code, 2, "nobody is there to be asked");
    assert!(unconfirmed.err.contains("private accepted") && unconfirmed.err.contains("--yes"), "{}", unconfirmed.err);
    assert_eq!(on(public, &["connection", "confirm", "acme_to_partner", "--yes"]).await.code, 0);
    let (told, shown) = both(public, "Connection", &["connection", "show", "acme_to_partner"]).await;
    assert!(told.contains("remote.key_fingerprint") && shown["status"] == "active", "{told}");
    let changed =
        on(public, &["connection", "change", "acme_to_partner", "--links", "ask", "--description", "d", "--json"]).await.json();
    assert_eq!((&changed["links"], &changed["description"]), (&json!("ask"), &json!("d")));
    assert_eq!(on(public, &["connection", "rename", "acme_to_partner", "partner", "--json"]).await.json()["name"], "partner");
    let (told, _) = both(public, "List_Connection", &["connection", "list"]).await;
    assert!(told.starts_with("NAME") && told.contains("partner"), "{told}");
    let renewed = on(public, &["invitation", "renew", "partner"]).await;
    assert_eq!(renewed.code, 0, "a re-key code: {}", renewed.err);
    let kept = on(public, &["invitation", "revoke", "partner"]).await;
    assert_eq!(kept.code, 2, "{}", kept.err);
    assert_eq!(on(public, &["invitation", "revoke", "partner", "--yes"]).await.out, "withdrawn\n");
    assert_eq!(on(public, &["connection", "deactivate", "partner", "--json"]).await.json()["status"], "deactivated");
    assert_eq!(on(public, &["connection", "activate", "partner", "--json"]).await.json()["status"], "active");
    let (told, _) = both(public, "Rules", &["rule", "show", "partner"]).await;
    assert!(told.contains("// outgoing, the built-in pair") && told.contains("replica.summary"), "{told}");
    let deleted = on(public, &["connection", "delete", "partner", "--yes", "--json"]).await;
    assert_eq!((deleted.code, deleted.out.as_str()), (0, ""), "{}", deleted.err);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daily_work_is_done_from_a_shell() {
    let world = World::start().await;
    let (public, private) = (&world.public, &world.private);
    let case = world.new_case(json!({"Subject": "Pump", "Origin": "Web"}));
    world.issue_with("Pump").await;
    world.quiet().await;
    let (told, _) = both(public, "List_Trigger", &["trigger", "list", "support_to_helpdesk"]).await;
    assert!(told.contains("Case"), "{told}");
    let added = on(public, &["trigger", "add", "support_to_helpdesk", "--type", "Case", "--filter", "Origin = 'Web'", "--json"])
        .await
        .json();
    let trigger = added["id"].as_str().expect("an id");
    let count = ["trigger", "count", "support_to_helpdesk", "--type", "Case", "--filter", "Origin = 'Web'"];
    assert_eq!(both(public, "Counted", &count).await.1, json!({"matching": 1, "already_synced": 1}));
    for (arguments, member, value) in [
        (vec!["trigger", "disable"], "enabled", json!(false)),
        (vec!["trigger", "enable"], "enabled", json!(true)),
        (vec!["trigger", "change", "--notes", "n"], "notes", json!("n")),
    ] {
        let arguments = [arguments, vec!["support_to_helpdesk", trigger, "--json"]].concat();
        assert_eq!(on(public, &arguments).await.json()[member], value, "{arguments:?}");
    }
    assert_eq!(on(public, &["trigger", "remove", "support_to_helpdesk", trigger, "--yes"]).await.out, "removed\n");
    let (told, twins) =
        both(public, "List_Twin", &["twin", "list", "--connection", "support_to_helpdesk", "--key", &case[..15]]).await;
    assert!(told.starts_with("ID") && told.contains(&case), "{told}");
    let twin = twins["items"][0]["id"].as_str().expect("an id");
    both(public, "WholeTwin", &["twin", "show", twin]).await;
    let (told, _) = both(public, "List_History", &["twin", "history", twin]).await;
    assert!(told.contains("sent"), "{told}");
    assert_eq!(on(public, &["twin", "stop", twin]).await.code, 2, "it asks first");
    assert_eq!(on(public, &["twin", "stop", twin, "--yes", "--json"]).await.json()["status"], "stopped");
    assert_eq!(on(public, &["twin", "sync", "support_to_helpdesk", "Case", &case, "--json"]).await.json()["id"], twin);
    let linked = on(public, &["twin", "link", "support_to_helpdesk", &format!("Case:{case}"), "issue:NONE-1"]).await;
    assert_eq!(linked.code, 1, "it has a twin already: {}", linked.out);
    files(&world, &case, twin).await;
    both(public, "List_Tracker", &["tracker", "list"]).await;
    let (told, _) = both(public, "Tracker", &["tracker", "show", "support"]).await;
    assert!(told.contains("/salesforce/support/outbound-messages/"), "{told}");
    both(public, "Check", &["tracker", "check", "support"]).await;
    both(public, "List_TypeBody", &["tracker", "types", "support"]).await;
    let (told, _) = both(public, "DescribedType", &["tracker", "types", "support", "Case"]).await;
    assert!(told.contains("Subject"), "{told}");
    let (told, _) = both(public, "WhereIs", &["tracker", "find", "support", "Case", &case]).await;
    assert!(told.contains("Twins") && told.contains("History") && told.contains(twin), "{told}");
    assert_eq!(on(public, &["tracker", "rotate-token", "support", "--yes"]).await.code, 0);
    assert_eq!(on(public, &["tracker", "sign-in", "support"]).await.code, 1);
    both(public, "QueueBody", &["queue"]).await;
    both(public, "List_AuditLine", &["audit", "--most", "3"]).await;
    let secret =
        on(public, &["token", "create", "--name", "p", "--scope", "read,operate", "--connection", "support_to_helpdesk"]).await;
    assert!(
        secret.out.starts_with("wg_") && secret.out.lines().count() == 1 && secret.err.contains("not shown again"),
        "{}",
        secret.err
    );
    let (told, tokens) = both(public, "List_Token", &["token", "list"]).await;
    assert!(!told.contains(secret.out.trim()), "{told}");
    let token = tokens["items"][0]["id"].as_str().expect("an id");
    assert_eq!(on(public, &["token", "delete", token, "--yes"]).await.out, "deleted\n");
    errors(&world).await;
    let quiet = on(private, &["error", "list"]).await;
    assert_eq!((quiet.code, quiet.out.as_str()), (0, "none\n"));
    let kept = world.dir.path().join("last.csv");
    let path = kept.display().to_string();
    let deleted = on(public, &["connection", "delete", "support_to_helpdesk", "--keep-twins", &path, "--yes"]).await;
    assert_eq!((deleted.code, deleted.out.as_str()), (0, "deleted\n"), "{}", deleted.err);
    assert!(std::fs::read_to_string(&kept).expect("a file").contains(&case));
    world.stop().await;
}

async fn files(world: &World, case: &str, twin: &str) {
    let public = &world.public;
    let file = |name: &str| world.dir.path().join(name).display().to_string();
    let (out, kept) = (file("out.csv"), file("kept.csv"));
    // An answer that is still on its way would set another time between the two.
    world.quiet().await;
    let written = on(public, &["twin", "export", "--connection", "support_to_helpdesk"]).await;
    assert_eq!((written.code, written.err.as_str()), (0, ""));
    assert!(
        written.out.starts_with("local_type,local_key,") && written.out.contains(&format!("Case,{case},issue,")),
        "{}",
        written.out
    );
    let to = on(public, &["twin", "export", "--connection", "support_to_helpdesk", "--to", &out]).await;
    assert_eq!((to.code, std::fs::read_to_string(&out).expect("a file")), (0, written.out), "{}", to.err);
    let (told, report) = both(public, "LinkReport", &["twin", "link", "support_to_helpdesk", "--csv", &out]).await;
    assert_eq!((told.as_str(), &report["already_linked"]), ("0 linked, 1 linked already, 0 skipped, 0 refused\n", &json!(1)));
    std::fs::write(&kept, "local_type,local_key,remote_type,remote_key\nCase,nonsense,issue,X-1\n").expect("written");
    let refused = on(public, &["twin", "link", "support_to_helpdesk", "--csv", &kept, "--preview"]).await;
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(refused.out.starts_with("line 2: refused: ") && refused.out.contains("0 would be linked"), "{}", refused.out);
    let stopped = on(public, &["twin", "stop", "--connection", "support_to_helpdesk", "--key", case, "--yes", "--json"]).await;
    assert_eq!((stopped.code, stopped.json()), (0, json!({"done": 1, "failed": 0})), "{}", stopped.err);
    assert_eq!(on(public, &["twin", "sync", "support_to_helpdesk", "Case", case, "--json"]).await.json()["id"], twin);
    // A file that is there, or cannot be written, deletes nothing.
    for (file, code) in [(kept.as_str(), 2), ("/nowhere/at/all.csv", 1)] {
        let refused = on(public, &["connection", "delete", "support_to_helpdesk", "--keep-twins", file, "--yes"]).await;
        assert_eq!(refused.code, code, "{}", refused.err);
        assert!(refused.err.contains("nothing was deleted"), "{}", refused.err);
    }
    assert_eq!(on(public, &["connection", "show", "support_to_helpdesk"]).await.code, 0);
}

async fn errors(world: &World) {
    use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};
    let private = &world.private;
    world.tracker.handle.fail(TrackerFault::on_writes(100, TrackerFaultKind::Refuse("not blue".to_owned())));
    let open = || async { private.get("/errors").await["items"].as_array().expect("a list").len() };
    world.new_case(json!({"Subject": "One"}));
    world.new_case(json!({"Subject": "Two"}));
    until_said("two errors", || async { open().await == 2 }).await;
    let (told, listed) = both(private, "List_Error", &["error", "list", "--connection", "support_to_helpdesk"]).await;
    assert!(told.contains("The tracker refused the record"), "{told}");
    let one = listed["items"][0]["id"].as_str().expect("an id");
    let (told, _) = both(private, "Error", &["error", "show", one]).await;
    assert!(told.contains("not blue"), "{told}");
    assert_eq!(on(private, &["error", "skip", one]).await.code, 2);
    assert_eq!(on(private, &["error", "skip", one, "--yes"]).await.out, "skip: 1 done, 0 failed\n");
    assert_eq!(on(private, &["error", "skip", one, "--yes"]).await.code, 1, "it is gone");
    world.tracker.handle.clear_faults();
    let none = on(private, &["error", "skip", "--connection", "support_to_helpdesk", "--code", "nothing", "--yes"]).await;
    assert_eq!((none.code, none.out.as_str()), (0, "skip: 0 done, 0 failed\n"), "{}", none.err);
    assert_eq!(on(private, &["error", "retry", one, "--all"]).await.code, 2, "ids or a filter");
    assert_eq!(on(private, &["error", "retry", "--all", "--since", "yesterday"]).await.code, 2);
    let all = on(private, &["error", "retry", "--all", "--json"]).await;
    assert_eq!((all.code, all.json()), (0, json!({"done": 1, "failed": 0})), "{}", all.err);
    until_said("no error", || async { open().await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_and_words_tell_what_went_wrong() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let public = &world.public;
    for arguments in [
        vec![],
        vec!["bogus"],
        vec!["serve"],
        vec!["connection"],
        vec!["connection", "create"],
        vec!["connection", "create", "--tracker", "t", "--local", "a", "--remote", "b", "--mode", "odd"],
        vec!["token", "create", "--name", "x", "--scope", "root"],
        vec!["token", "create", "--name", "x", "--scope", "read", "--expires-at", "tomorrow"],
        vec!["error", "retry"],
        vec!["error", "retry", "not-an-id"],
        vec!["twin", "link", "c", "Case", "issue:1"],
        vec!["twin", "list", "--status", "odd"],
        vec!["openapi", "--json"],
        vec!["status", "--node", "ftp://x"],
        vec!["sandbox", "org", "--listen", "nowhere"],
    ] {
        let said = on(public, &arguments).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("sage") || said.err.contains("error:"), "{arguments:?}: {}", said.err);
    }
    for (arguments, word) in [
        (vec!["connection", "show", "nobody"], "no connection `nobody`"),
        (vec!["twin", "show", "00000000-0000-0000-0000-000000000000"], "There is no such twin"),
        (vec!["tracker", "show", "nobody"], "There is no such tracker"),
        (vec!["invitation", "inspect", "nonsense"], "invitation"),
        (vec!["connection", "create", "--tracker", "suport", "--local", "a", "--remote", "b"], "did you mean `support`?"),
        (vec!["serve", "--config", "/no/such/file"], "/no/such/file: cannot be read"),
        (vec!["config", "check", "--config", "/no/such/file"], "/no/such/file: cannot be read"),
    ] {
        let said = on(public, &arguments).await;
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(word), "{arguments:?}: {}", said.err);
    }
    let stranger = command(&public.url, "wg_wrong", &["status"]);
    assert_eq!(stranger.code, 1);
    assert!(stranger.err.contains("Set WICKETGATE_TOKEN"), "{}", stranger.err);
    assert!(!stranger.err.contains("wg_wrong"));
    let nobody = command("http://127.0.0.1:9", TOKEN, &["status"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("Is the node running?"), "{}", nobody.err);
    let help = on(public, &["help"]).await;
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    world.stop().await;
}

#[test]
fn config_check_tells_all_and_shows_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).expect("written");
        let path = file.display().to_string();
        command("", "", &[&["config", "check", "--config", &path], more].concat())
    };
    let good = "[node]\nname = \"n\"\n[api]\nadmin_token = \"hush-hush\"\n[network]\nproxy = \"http://u:pass-word@p:1\"\n";
    let said = check(good, &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.err);
    assert!(said.out.contains("well, for `wicketgate relay`"), "{}", said.out);
    let said = check(good, &["--show"]);
    assert!(said.code == 0 && said.out.contains("name = \"n\""), "{}", said.out);
    assert!(!said.out.contains("hush-hush") && !said.out.contains("pass-word"), "{}", said.out);
    let said = check("[node]\nlistn = 1\nname = 5\n[tracker.x]\n", &[]);
    assert_eq!(said.code, 1);
    for word in [
        ":2: node.listn: unknown key; did you mean `listen`?",
        ":3: node.name",
        "tracker: unknown section; did you mean `trackers`?",
    ] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    assert_eq!(check(good, &["--for", "serve"]).code, 1, "a public node needs its address");
}

#[test]
fn openapi_is_printed_without_a_node() {
    let said = command("", "", &["openapi"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.json(), *Described::new().document());
}
