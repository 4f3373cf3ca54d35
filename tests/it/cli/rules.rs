//! Rules as files in somebody's git: pulled, edited, pushed, published, and never over somebody else's work.

use std::{fs, path::Path};

use serde_json::json;

use super::{Said, both, on};
use crate::support::{Settings, TestNode, World};

const NAME: &str = "support_to_helpdesk";

/// Runs `wicketgate rule …` with a directory.
async fn rule(node: &TestNode, arguments: &[&str], dir: &Path) -> Said {
    let dir = dir.display().to_string();
    on(node, &[&["rule"], arguments, &["--dir", &dir]].concat()).await
}

fn good(said: &Said) -> &str {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    &said.out
}

fn edit(dir: &Path, more: &str) {
    let file = dir.join("incoming.js");
    let text = fs::read_to_string(&file).expect("pulled");
    fs::write(file, format!("{text}{more}")).expect("written");
}

async fn scripted() -> World {
    World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_keeps_rules_as_files() {
    let world = scripted().await;
    let (node, dir) = (&world.private, world.dir.path().join("rules"));
    assert_eq!(good(&rule(node, &["pull", NAME], &dir).await), format!("{}: the rules of {NAME}, version 0\n", dir.display()));
    let noted: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("rule.json")).expect("there")).expect("JSON");
    assert_eq!(noted, json!({"connection_id": world.connection, "connection_name": NAME, "base": 0}));
    assert_eq!(
        fs::read_to_string(dir.join("outgoing.js")).expect("there"),
        include_str!("../../../src/rules/builtin/webhook.outgoing.js")
    );
    assert_eq!(good(&rule(node, &["push"], &dir).await), "nothing differs from version 0: there is no draft\n");
    edit(&dir, "// ours\n");
    assert_eq!(good(&rule(node, &["push", "--connection", NAME], &dir).await), "saved as the draft, from version 0\n");
    let (told, _) = both(node, "Comparison", &["rule", "compare", "--connection", NAME]).await;
    assert!(told.contains("--- incoming.js, version 0\n+++ incoming.js, draft\n") && told.contains("\n+// ours\n"), "{told}");
    let (told, _) = both(node, "Rules", &["rule", "show", NAME]).await;
    assert!(told.contains("// outgoing, the built-in pair") && told.contains("// A draft of configuration waits"), "{told}");
    let published = rule(node, &["publish", "--note", "a comment"], &dir).await;
    assert_eq!(good(&published), "version 1 runs: a comment\n");
    edit(&dir, "// more\n");
    good(&rule(node, &["push"], &dir).await);
    assert_eq!(good(&on(node, &["rule", "publish", "--connection", NAME]).await), "version 2 runs\n", "the draft");
    assert_eq!(good(&on(node, &["rule", "rollback", NAME, "--to", "1"]).await), "version 3 runs: Back to version 1\n");
    let (told, listed) = both(node, "List_RuleVersion", &["rule", "versions", NAME]).await;
    assert!(told.starts_with("VERSION") && told.contains("a comment"), "{told}");
    let versions: Vec<_> = listed["items"].as_array().expect("a list").iter().map(|line| &line["version"]).collect();
    assert_eq!(versions, [3, 2, 1, 0]);
    let (told, _) = both(node, "Rules", &["rule", "show", "--connection", NAME]).await;
    assert!(told.contains("// incoming, version 3, published by configuration at 2"), "{told}");
    let (told, _) = both(node, "Comparison", &["rule", "compare", NAME, "--from", "3", "--to", "1"]).await;
    assert_eq!(told, "nothing differs\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_after_somebody_elses_publish_is_refused_with_a_way_out() {
    let world = scripted().await;
    let (node, mine, theirs) = (&world.private, world.dir.path().join("mine"), world.dir.path().join("theirs"));
    for dir in [&mine, &theirs] {
        good(&rule(node, &["pull", "--connection", NAME], dir).await);
    }
    edit(&mine, "// mine\n");
    good(&rule(node, &["push"], &mine).await);
    edit(&theirs, "// theirs\n");
    good(&rule(node, &["publish", "--note", "quick"], &theirs).await);
    for what in ["push", "publish"] {
        let refused = rule(node, &[what], &mine).await;
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{what}");
        for word in ["(409)", "Version 1 was published by configuration", "rule pull support_to_helpdesk --dir OTHER", "merge"] {
            assert!(refused.err.contains(word), "{what}: {word}: {}", refused.err);
        }
    }
    let refused = on(node, &["rule", "publish", "--connection", NAME]).await;
    assert!(refused.code == 1 && refused.err.contains("--draft --dir ONE"), "{}", refused.err);
    assert!(fs::read_to_string(mine.join("incoming.js")).expect("there").ends_with("// mine\n"), "the edit stays");
    // The way out: what runs in another directory, my edit taken over there.
    let merged = world.dir.path().join("merged");
    good(&rule(node, &["pull", NAME], &merged).await);
    edit(&merged, "// mine\n");
    good(&rule(node, &["push"], &merged).await);
    assert_eq!(good(&rule(node, &["publish"], &merged).await), "version 2 runs\n");
    assert!(on(node, &["rule", "show", NAME]).await.out.contains("// theirs\n// mine\n"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_overwrites_nobodys_edits() {
    let world = scripted().await;
    let (node, dir, other) = (&world.private, world.dir.path().join("rules"), world.dir.path().join("other"));
    good(&rule(node, &["pull", NAME], &dir).await);
    good(&rule(node, &["pull", NAME], &other).await);
    edit(&other, "// other\n");
    good(&rule(node, &["publish"], &other).await);
    let pulled = rule(node, &["pull", NAME], &dir).await;
    assert!(good(&pulled).contains("version 1"), "what was not edited follows");
    edit(&dir, "// an edit\n");
    let refused = rule(node, &["pull", NAME], &dir).await;
    assert!(refused.code == 1 && refused.err.contains("another directory, or overwrite them with --force"), "{}", refused.err);
    assert!(fs::read_to_string(dir.join("incoming.js")).expect("there").ends_with("// an edit\n"));
    good(&rule(node, &["push"], &dir).await);
    let draft = world.dir.path().join("draft");
    assert!(good(&rule(node, &["pull", NAME, "--draft"], &draft).await).contains("version 1, draft"));
    assert!(fs::read_to_string(draft.join("incoming.js")).expect("there").ends_with("// other\n// an edit\n"));
    good(&rule(node, &["pull", NAME, "--force"], &dir).await);
    assert!(fs::read_to_string(dir.join("incoming.js")).expect("there").ends_with("// other\n"));
    // A directory belongs to one connection.
    let noted = fs::read_to_string(dir.join("rule.json")).expect("there");
    fs::write(dir.join("rule.json"), noted.replace(&world.connection, &uuid::Uuid::nil().to_string())).expect("written");
    for arguments in [&["pull", NAME][..], &["push", "--connection", NAME], &["publish", "--connection", NAME]] {
        let refused = rule(node, arguments, &dir).await;
        assert!(refused.code == 1 && refused.err.contains("holds the rules of support_to_helpdesk"), "{}", refused.err);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_rules_is_told_with_its_place() {
    let world = scripted().await;
    let (node, dir) = (&world.private, world.dir.path().join("rules"));
    good(&rule(node, &["pull", NAME], &dir).await);
    fs::write(dir.join("incoming.js"), "entity.summary = 1;\nentity.status = );\n").expect("written");
    let saved = rule(node, &["push"], &dir).await;
    assert_eq!(saved.code, 1, "kept, and not well: {}", saved.out);
    let place = format!("{}:2:17: SyntaxError", dir.join("incoming.js").display());
    assert!(saved.out.contains("saved as the draft") && saved.out.contains(&place), "{}", saved.out);
    assert!(saved.out.contains("entity.status = );"), "the line itself: {}", saved.out);
    let printed = rule(node, &["push", "--json"], &dir).await;
    assert_eq!((printed.code, &printed.json()["problems"][0]["line"]), (1, &json!(2)));
    let refused = rule(node, &["publish"], &dir).await;
    assert!(
        refused.code == 1
            && refused.err.contains(&place)
            && refused.err.contains("\n  entity.status = );\n                  ^\n"),
        "{}",
        refused.err
    );
    fs::write(dir.join("incoming.js"), "x".repeat(256_001)).expect("written");
    let long = rule(node, &["push"], &dir).await;
    assert!(long.code == 1 && long.err.contains("incoming: has 256001 bytes"), "{}", long.err);
    for (arguments, code, word) in [
        (vec!["rule", "pull", "--dir", "x"], 2, "CONNECTION"),
        (vec!["rule", "pull", NAME], 2, "--dir"),
        (vec!["rule", "publish"], 2, "--connection"),
        (vec!["rule", "rollback", NAME], 2, "--to"),
        (vec!["rule", "rollback", NAME, "--to", "9"], 1, "version: there is no version 9"),
        (vec!["rule", "compare", NAME, "--from", "first"], 1, "from: `first` is not the number of a version"),
        (vec!["rule", "push", "--dir", "/nowhere/at/all"], 1, "`wicketgate rule pull` makes it"),
        (vec!["rule", "show", "nobody"], 1, "no connection `nobody`"),
    ] {
        let said = on(node, &arguments).await;
        assert_eq!((said.code, said.out.as_str()), (code, ""), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(word), "{arguments:?}: {}", said.err);
    }
    let basic = on(&world.public, &["connection", "create", "--tracker", "support", "--local", "a", "--remote", "b"]).await;
    assert_eq!(basic.code, 0, "{}", basic.err);
    let dir = world.dir.path().join("basic");
    good(&rule(&world.public, &["pull", "a_to_b"], &dir).await);
    let refused = rule(&world.public, &["push"], &dir).await;
    assert!(refused.code == 1 && refused.err.contains("basic mode"), "{}", refused.err);
    let changed = on(&world.public, &["connection", "change", "a_to_b", "--mode", "script", "--json"]).await;
    assert_eq!(changed.json()["mode"], "script");
    good(&rule(&world.public, &["push"], &dir).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_tracker_is_marked_on_its_line() {
    let world = scripted().await;
    let (node, dir) = (&world.public, world.dir.path().join("rules"));
    good(&rule(node, &["pull", NAME], &dir).await);
    let declared = fs::read_to_string(dir.join("wicketgate.d.ts")).expect("there");
    assert!(
        declared.contains("  Subject: string | null | undefined;") && declared.contains("declare const replica"),
        "{declared}"
    );
    assert_eq!(good(&on(node, &["rule", "declarations", "--connection", NAME]).await), declared);
    let more = on(node, &["rule", "declarations", NAME, "--type", "Account", "--json"]).await;
    assert!(more.json().as_str().is_some_and(|text| text.contains("Website")), "{}", more.out);
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("jsconfig.json")).expect("there")).expect("JSON");
    assert_eq!(config["compilerOptions"]["checkJs"], true);
    fs::write(dir.join("jsconfig.json"), "{}").expect("written");

    fs::write(dir.join("incoming.js"), "if (replica.summary) {\n\tentity.Subjct = replica.summary;\n}\n").expect("written");
    let file = dir.join("incoming.js").display().to_string();
    let marked = format!(
        "{file}:2:9: entity.Subjct cannot be assigned: Case has no field of this name\n  \tentity.Subjct = replica.summary;\n  \t       ^\n  Did you mean `Subject`?"
    );
    let saved = rule(node, &["push"], &dir).await;
    assert_eq!(saved.code, 1, "{}", saved.out);
    assert!(saved.out.contains(&marked), "{}\n{marked}", saved.out);
    for refused in [rule(node, &["publish"], &dir).await, on(node, &["rule", "publish", "--connection", NAME]).await] {
        let marked = marked.replace(&file, if refused.err.contains(&file) { file.as_str() } else { "incoming" });
        assert!(refused.code == 1 && refused.err.contains(&marked) && refused.err.contains("--force"), "{}", refused.err);
        assert!(refused.err.contains("A rule does not fit the tracker (422)"), "{}", refused.err);
    }
    let forced = rule(node, &["publish", "--force"], &dir).await;
    assert!(good(&forced).starts_with("version 1 runs\n") && forced.out.contains(&marked), "{}", forced.out);
    // A warning keeps nothing back.
    fs::write(dir.join("incoming.js"), format!("entity.Subject = '{}';\n", "x".repeat(300))).expect("written");
    let saved = rule(node, &["push"], &dir).await;
    assert!(good(&saved).contains("incoming.js:1:18: warning: this text has 300 letters"), "{}", saved.out);
    good(&rule(node, &["pull", NAME, "--force"], &dir).await);
    assert_eq!(fs::read_to_string(dir.join("jsconfig.json")).expect("there"), "{}", "the admin's own stays");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_lists_the_calls_that_it_did_not_make() {
    let world = scripted().await;
    let (node, dir) = (&world.public, world.dir.path().join("rules"));
    good(&rule(node, &["pull", NAME], &dir).await);
    edit(&dir, "httpClient.post('/sobjects/Contact', { LastName: replica.summary });\nhttpClient.delete('/sobjects/Contact/1');");
    let replica = world.dir.path().join("replica.json");
    fs::write(&replica, "{\"summary\": \"Pump\"}").expect("written");
    let shown = replica.display().to_string();
    let tried = rule(node, &["test", "--direction", "incoming", "--replica", &shown], &dir).await;
    let told = good(&tried);
    assert!(told.contains("it would call POST /sobjects/Contact {\"LastName\":\"Pump\"}\n"), "{told}");
    assert!(told.contains("it would call DELETE /sobjects/Contact/1\n"), "{told}");
    assert_eq!((world.org.handle.count("Contact"), world.org.handle.count("Case")), (0, 0));
    world.stop().await;
}
