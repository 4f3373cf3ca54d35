//! `wicketgate salesforce` beside a running node and an org.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};
use wicketgate::salesforce::package::{ALWAYS_TOLD, MARK_FIELD, NEVER_GIVEN};

use super::{Said, command, on};
use crate::support::{Settings, World, put_rules, until};

const USER: [&str; 2] = ["--user", "sync@acme.example"];

async fn package(world: &World, out: &Path, more: &[&str]) -> Said {
    let out = out.display().to_string();
    on(&world.public, &[&["salesforce", "package", "--tracker", "support", "--out", &out], more].concat()).await
}

/// All files of a folder.
fn files(of: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![of.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(of).expect("below").display().to_string();
                found.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

/// Texts of an element in a file of the package.
fn texts(dir: &Path, file: &str, element: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(dir.join("force-app/main/default").join(file)).expect("there");
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    text.split(open.as_str()).skip(1).filter_map(|rest| rest.split(close.as_str()).next()).map(str::to_owned).collect()
}

const INTEGRATION: &str = "permissionsets/Wicketgate_Integration.permissionset-meta.xml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_made_from_what_the_rules_use_and_made_again() {
    let world = World::with(Settings { connection: json!({"mode": "script"}), ..Settings::default() }).await;
    let dir = world.dir.path().join("package");
    let first = package(&world, &dir, &["--objects", "Case", USER[0], USER[1]]).await;
    assert_eq!((first.code, first.err.as_str()), (0, ""), "{}", first.out);
    assert!(first.out.contains("sf project deploy start --manifest manifest/force-app.xml"), "{}", first.out);
    let support = world.public.get("/trackers/support").await;
    let address = support["outbound_message_url"].as_str().expect("an address");
    assert!(!first.out.contains(address), "the secret is in the files, not on the screen");
    assert_eq!(texts(&dir, "workflows/Case.workflow-meta.xml", "endpointUrl"), BTreeSet::from([address.to_owned()]));
    let whole = files(&dir);
    let again = package(&world, &dir, &["--json"]).await;
    assert_eq!((again.code, &again.json()["changes"]), (0, &json!([])), "{}", again.err);
    assert!(files(&dir) == whole, "the same wish, remembered, gives the same bytes");
    let other = world.dir.path().join("other");
    package(&world, &other, &["--objects", "Case", USER[0], USER[1]]).await;
    assert!(files(&other) == whole, "in another place, too");
    put_rules(
        &world.public,
        &world.connection,
        "replica.region = entity.Type;\nreplica.key = entity.Id;\n",
        "entity.Reason = replica.why;\n",
    )
    .await;
    let changed = package(&world, &dir, &["--json"]).await.json();
    let lines: Vec<&Value> =
        changed["changes"].as_array().expect("a list").iter().flat_map(|one| one["lines"].as_array()).flatten().collect();
    for line in ["+ <fields>Type</fields>", "- <fields>Subject</fields>", "+ <field>Case.Reason</field>"] {
        assert!(lines.contains(&&json!(line)), "{line}: {lines:?}");
    }
    let zip = world.dir.path().join("package.zip");
    let zipped = package(&world, &zip, &["--objects", "Case", USER[0], USER[1], "--app", "connected-app"]).await;
    assert!(zipped.out.contains("--metadata-dir"), "{}{}", zipped.out, zipped.err);
    let bytes = fs::read(&zip).expect("there");
    package(&world, &zip, &[]).await;
    assert!(fs::read(&zip).expect("there") == bytes, "a zip has no times in it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_package_names_all_that_a_sync_needs_and_verify_misses_each() {
    let world = World::start().await;
    let dir = world.dir.path().join("package");
    assert_eq!(package(&world, &dir, &["--objects", "Case", USER[0], USER[1]]).await.code, 0);
    let given: BTreeSet<String> =
        texts(&dir, INTEGRATION, "field").iter().filter_map(|name| name.strip_prefix("Case.")).map(str::to_owned).collect();
    let told = texts(&dir, "workflows/Case.workflow-meta.xml", "fields");
    // An org that has nothing but what the package names, and what every record has.
    let described = world.public.get("/trackers/support/types/Case").await;
    let all: Vec<String> = described["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|field| field["name"].as_str())
        .map(str::to_owned)
        .collect();
    let always = |name: &str| NEVER_GIVEN.contains(&name) || ALWAYS_TOLD.contains(&name);
    for name in all.iter().filter(|name| !given.contains(*name) && !told.contains(*name) && !always(name)) {
        world.org.handle.remove_field("Case", name);
    }
    world.public.post("/trackers/support/check", json!({})).await;
    let case = world.new_case(json!({"Subject": "Pump", "Priority": "High"}));
    let issue = world.issue_with("Pump").await;
    world.tracker.handle.edit(&issue, &json!({"summary": "Valve"}));
    until("the edit in the org", || world.case_field(&case, "Subject") == "Valve").await;
    world.tracker.handle.create(&json!({"summary": "Back", "description": "d", "status": "open"}));
    let made = world.case_with("Back").await;
    assert!(
        world.case_field(&made, MARK_FIELD).is_string() && world.case_field(&made, "Origin") == "Web",
        "with mark and constants"
    );
    world.quiet().await;
    assert_eq!(world.public.get("/errors").await["items"], json!([]), "nothing else was needed");
    let verify = async || on(&world.public, &["salesforce", "verify", "--tracker", "support", "--json"]).await;
    let good = verify().await;
    assert_eq!((good.code, &good.json()["ok"]), (0, &json!(true)), "{}{}", good.out, good.err);
    for name in &given {
        world.org.handle.remove_field("Case", name);
        world.public.post("/trackers/support/check", json!({})).await;
        let missed = verify().await;
        let lines = missed.json()["items"].as_array().cloned().expect("lines");
        let line =
            lines.iter().find(|line| line["what"] == format!("Case.{name}")).unwrap_or_else(|| panic!("{name}: {}", missed.out));
        assert_eq!((missed.code, &line["status"]), (1, &json!("missing")), "{line}");
    }
    let told = on(&world.public, &["salesforce", "verify", "--tracker", "support"]).await;
    assert!(told.code == 1 && told.out.contains("unseen") && told.out.contains("Wicketgate_Integration"), "{}", told.out);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_refused() {
    let world = World::start().await;
    let dir = world.dir.path().join("package");
    for (more, code, words) in [
        (&["--objects", "Cas", USER[0], USER[1]][..], 2, "Did you mean `Case`?"),
        (&["--objects", "Cse", "--trust-names", "--json"], 2, "--user"),
        (&["--objects", "case", USER[0], USER[1], "--trust-names"], 2, "Did you mean `Case`?"),
        (&["--objects", "Zebra__c", USER[0], USER[1]], 2, "--trust-names"),
        (&["--objects", "a b", USER[0], USER[1]], 2, "no API name"),
        (&["--objects", "Case", "--user", "nobody"], 2, "no username"),
        (&["--objects", "Case", USER[0], USER[1], "--field", "Region__c"], 2, "of the form"),
        (&["--objects", "Case", USER[0], USER[1], "--field", "Acount.Region__c"], 2, "none of the objects Case"),
        (&["--objects", "Case", USER[0], USER[1], "--flow", "jwt-bearer"], 2, "--certificate"),
        (&[USER[0], USER[1]], 2, "--objects"),
    ] {
        let said = package(&world, &dir, more).await;
        assert_eq!(said.code, code, "{more:?}: {}", said.err);
        assert!(said.err.contains(words), "{more:?}: {}", said.err);
        assert!(!dir.exists(), "nothing is written");
    }
    let taken =
        package(&world, &dir, &["--objects", "Zebra__c", USER[0], USER[1], "--trust-names", "--field", "Zebra__c.Stripes__c"])
            .await;
    assert_eq!(taken.code, 0, "{}", taken.err);
    assert!(texts(&dir, INTEGRATION, "field").contains("Zebra__c.Stripes__c"));
    let without = package(&world, &dir, &["--panel", "false"]).await;
    assert!(without.code == 0 && !dir.join("force-app/main/default/classes").exists(), "{}", without.err);
    let again = package(&world, &dir, &["--json"]).await;
    assert_eq!(again.json()["changes"], json!([]), "names once trusted, and a panel once left out, stay so: {}", again.err);
    let precious = world.dir.path().join("precious");
    fs::create_dir(&precious).expect("made");
    fs::write(precious.join("notes.txt"), "mine").expect("written");
    let said = package(&world, &precious, &["--objects", "Case", USER[0], USER[1], "--force"]).await;
    assert!(said.code == 1 && said.err.contains("holds other files"), "{}", said.err);
    let made = world.public.post("/tokens", json!({"name": "reader", "scopes": ["read"]})).await;
    let (url, token) = (world.public.url.clone(), made["secret"].as_str().expect("once").to_owned());
    let out = world.dir.path().join("none").display().to_string();
    let said = tokio::task::spawn_blocking(move || {
        command(
            &url,
            &token,
            &["salesforce", "package", "--tracker", "support", "--objects", "Case", "--user", "a@b", "--out", &out],
        )
    });
    let said = said.await.expect("no panic");
    assert!(said.code == 1 && said.err.contains("configure"), "{}", said.err);
    let said = on(&world.private, &["salesforce", "verify", "--tracker", "helpdesk"]).await;
    assert!(said.code == 1 && said.err.contains("only an org"), "{}", said.err);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_package_is_made_before_anybody_can_log_in() {
    let mut world = World::with(Settings { joined: false, ..Settings::default() }).await;
    world.public.stop().await;
    world.public.config = world.public.config.replace("client_secret = \"", "client_secret = \"not-yet-");
    world.public.start().await;
    let dir = world.dir.path().join("package");
    let said = package(&world, &dir, &["--objects", "Case", USER[0], USER[1]]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert!(said.out.contains("cannot be asked yet"), "{}", said.out);
    let given = texts(&dir, INTEGRATION, "field");
    for name in ["Case.Description", "Case.Origin", "Case.Priority", "Case.Subject", "Case.Wicketgate_Id__c"] {
        assert!(given.contains(name), "{name}: {given:?}");
    }
    assert!(!given.contains("Case.Status") && !given.contains("Case.Id"), "{given:?}");
    world.stop().await;
}
