//! What people get to read when their file is wrong, and what wins over what.

use super::*;

fn parse(text: &str, env: &[(&str, &str)], role: Role) -> Result<Config, ConfigError> {
    Config::parse("test.toml", text, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), role)
}

fn problems(text: &str, env: &[(&str, &str)], role: Role) -> String {
    parse(text, env, role).expect_err("has problems").to_string()
}

#[test]
fn an_empty_file_is_a_relay_on_loopback() {
    let config = parse("", &[], Role::Private).expect("loads");
    assert_eq!(config.node.listen, vec!["127.0.0.1:8081".parse().expect("address")]);
    assert_eq!(config.link.wait.to_string(), "50s");
    assert!(config.notify.is_none());
    assert_eq!(Config::role_of("", []), Role::Private);
    assert_eq!(Config::role_of("[node]\npublic_url = 'https://a.example'", []), Role::Public);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = "[node]\nlistn = \"127.0.0.1:1\"\ntrusted_proxies = [\"10.0.0.0/8\", \"nonsense\"]\n\n[stor]\nurl = 1\n\n\
                [link]\nwait = \"9 moons\"\nprxy = \"http://p:1\"\n\n[node.log]\nformat = \"jason\"\n";
    let told = problems(text, &[], Role::Public);
    assert!(told.contains("test.toml:2: node.listn: unknown key; did you mean `listen`?"), "{told}");
    assert!(told.contains("test.toml:3: node.trusted_proxies.1:"), "{told}");
    assert!(told.contains("test.toml:5: stor: unknown section; did you mean `store`?"), "{told}");
    assert!(told.contains("test.toml:9: link.wait: `9 moons` is not a span"), "{told}");
    assert!(told.contains("test.toml:10: link.prxy: unknown key; did you mean `proxy`?"), "{told}");
    assert!(told.contains("test.toml:13: node.log.format: `jason` is not known; did you mean `json`?"), "{told}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    assert!(problems("[node]\nname = \n", &[], Role::Private).starts_with("test.toml:2: not valid TOML"));
}

#[test]
fn roles_differ_about_the_public_url() {
    assert!(problems("", &[], Role::Public).contains("node.public_url: is missing: `serve` needs"));
    let with = "[node]\npublic_url = \"https://sync.example\"\n";
    assert!(problems(with, &[], Role::Private).contains("test.toml:2: node.public_url: has no place on a relay"));
    assert!(parse(with, &[], Role::Public).is_ok());
    let odd = "[node]\npublic_url = \"https://user@sync.example/?x=1\"\n";
    assert!(problems(odd, &[], Role::Public).contains("must be a plain"));
}

#[test]
fn the_environment_wins_over_the_file() {
    let env = [
        ("WICKETGATE__NODE__NAME", "12345"),
        ("WICKETGATE__NODE__LISTEN", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
        ("WICKETGATE__LINK__WAIT", "30s"),
        ("WICKETGATE_ADMIN_TOKEN", "007"),
        ("PATH", "/bin"),
    ];
    let config = parse("[node]\nname = \"from file\"\n", &env, Role::Private).expect("loads");
    assert_eq!(config.node.name, "12345");
    assert_eq!(config.node.listen.len(), 2);
    assert_eq!(config.link.wait.to_string(), "30s");
    assert_eq!(config.api.admin_token.expect("set").expose(), "007");
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let told = problems("", &[("WICKETGATE__NODE__LISTN", "x"), ("WICKETGATE__NODE", "x")], Role::Private);
    assert!(told.contains("test.toml: WICKETGATE__NODE__LISTN: unknown key; did you mean `listen`?"), "{told}");
    assert!(told.contains("WICKETGATE__NODE: must be named WICKETGATE__SECTION__KEY"), "{told}");
}

#[test]
fn secrets_stand_in_files_and_in_the_environment() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("proxy");
    std::fs::write(&file, "s3cret\n").expect("written");
    let text = format!(
        "[api]\nadmin_token = {{ env = \"TOKEN\" }}\n[network]\nproxy = {{ url = \"http://proxy:3128\", username = \"svc\", \
         password = {{ file = {:?} }} }}\n",
        file.display()
    );
    let config = parse(&text, &[("TOKEN", "hush")], Role::Private).expect("loads");
    assert_eq!(config.api.admin_token.as_ref().expect("set").expose(), "hush");
    let Some(crate::http_client::Proxy::Parts { password: Some(password), .. }) = &config.network.proxy else {
        panic!("a proxy with a password")
    };
    assert_eq!(password.expose(), "s3cret");
    let shown = config.effective();
    assert!(!shown.contains("hush") && !shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("admin_token = \"[secret]\""), "{shown}");
    assert!(!format!("{config:?}").contains("hush"));
    let told = problems(&text, &[], Role::Private);
    assert!(told.contains("test.toml:2: api.admin_token: the environment has no variable TOKEN"), "{told}");
}

#[test]
fn a_proxy_shows_no_password() {
    let config = parse("[network]\nproxy = \"http://svc:s3cret@proxy:3128\"\n", &[], Role::Private).expect("loads");
    assert!(!config.effective().contains("s3cret"));
    let told = problems("[network]\nproxy = 3128\n", &[], Role::Private);
    assert!(told.contains("network.proxy: must be an address such as"), "{told}");
    let told = problems("[api]\nadmin_token = 12345\n", &[], Role::Private);
    assert!(told.contains("must be text") && !told.contains("12345"), "{told}");
}

#[test]
fn the_link_goes_over_the_network() {
    let text = "[network]\nproxy = \"http://one:1\"\nca_file = \"/ca\"\n[link]\nproxy = \"http://two:2\"\n";
    let config = parse(text, &[], Role::Private).expect("loads");
    assert!(matches!(&config.link.network.proxy, Some(crate::http_client::Proxy::Url(url)) if url.expose() == "http://two:2"));
    assert_eq!(config.link.network.ca_file, Some("/ca".into()));
}

#[test]
fn a_postgres_store_is_refused_in_this_version() {
    assert!(problems("[store]\nurl = \"postgres://x\"\n", &[], Role::Private).contains("PostgreSQL is not in this version"));
}

#[test]
fn what_a_later_version_brings_is_told_as_that() {
    let text =
        "[node]\nkey = \"k\"\n[store]\nseal_key = \"k\"\n[trackers.desk]\nkind = \"redmine\"\napi_key = { env = \"KEY\" }\n";
    let told = problems(text, &[("KEY", "k")], Role::Private);
    for expected in [
        "test.toml:2: node.key: is not in this version",
        "test.toml:4: store.seal_key: is not in this version",
        "test.toml:6: trackers.desk.kind: `redmine` is not in this version, which knows salesforce, webhook",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_secret_that_cannot_be_fetched_is_told_once() {
    let text = "[trackers.desk]\nkind = \"webhook\"\nurl = \"https://d.example\"\nsecret = { env = \"DESK\" }\n\
                [network]\nproxy = { file = \"/no/such/file\" }\n[notify]\nurl = \"https://n.example\"\nsecret = { env = \"NEWS\" }\n";
    let told = problems(text, &[], Role::Private);
    assert!(told.contains("test.toml:4: trackers.desk.secret: the environment has no variable DESK"), "{told}");
    assert!(told.contains("test.toml:6: network.proxy: the file /no/such/file cannot be read"), "{told}");
    assert!(told.contains("test.toml:9: notify.secret: the environment has no variable NEWS"), "{told}");
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_told() {
    let told = problems("[node]\nlog = { filter = \"wicketgate=loud\" }\n", &[], Role::Private);
    assert!(told.contains("test.toml:2: node.log.filter: the filter `wicketgate=loud` cannot be read"), "{told}");
}

/// The design's own sample, with what a later version brings set aside.
const SAMPLE: &str = r#"
[node]
name = "acme-support"
public_url = "https://sync.acme.example"
listen = "0.0.0.0:8080"
data_dir = "/var/lib/wicketgate"
tls = { cert = "/c.pem", key = "/k.pem" }
trusted_proxies = ["10.0.0.0/8"]
metrics_listen = "127.0.0.1:9090"

[api]
admin_token = { env = "WICKETGATE_TEST_SECRET" }

[store]
url = "sqlite:wicketgate.db"

[trackers.support]
kind = "salesforce"
login_url = "https://acme.my.salesforce.com"
flow = "client-credentials"
org_id = "00D5g000004ABCD"
client_id = "client"
client_secret = { env = "WICKETGATE_TEST_SECRET" }
external_id_fields = { Case = "Wicketgate_Id__c" }
defaults.Case = { Origin = "Web" }
look = "5m"
api_reserve = "10%"
trust_messages = false

[trackers.quiet]
kind = "salesforce"
login_url = "https://acme.my.salesforce.com"
flow = "client-credentials"
client_id = "client"
client_secret = "s"
look = "off"
proxy = "socks5://proxy:1080"

[trackers.helpdesk]
kind = "webhook"
url = "https://desk.internal/in"
read_url = "https://desk.internal/issues"
secret = { env = "WICKETGATE_TEST_HOOK" }
timeout = "10s"
defaults.issue = { project = "demo", tracker = "Bug" }

[network]
proxy = "http://user:pass@proxy:3128"
no_proxy = ["redmine.internal", "10.0.0.0/8"]
ca_file = "/etc/ssl/corp.pem"
client_cert = { cert = "/c.pem", key = "/k.pem" }

[link]
wait = "50s"
allow_addresses = ["10.20.0.0/16"]
proxy = { url = "http://proxy:3128", username = "svc", password = { env = "WICKETGATE_TEST_SECRET" } }

[keep]
history = "400d"
messages = "8d"

[notify]
url = "https://alerts.example/in"
secret = { env = "WICKETGATE_TEST_HOOK" }
"#;

const SECRETS: [(&str, &str); 2] =
    [("WICKETGATE_TEST_SECRET", "hush-hush"), ("WICKETGATE_TEST_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];

#[test]
fn the_designs_sample_is_taken_and_shown_without_its_secrets() {
    let config = parse(SAMPLE, &SECRETS, Role::Public).unwrap_or_else(|error| panic!("{error}"));
    let shown = config.effective();
    for secret in ["hush-hush", "MfKQ9r8", "user:pass"] {
        assert!(!shown.contains(secret) && !format!("{config:?}").contains(secret), "{shown}");
    }
    // What is shown is a configuration too, but for its secrets.
    shown.parse::<Table>().expect("TOML");
}

/// Every key of the sample can be set by a variable in place of the file.
#[test]
fn every_key_can_be_set_by_the_environment() {
    fn leaves(table: &Table, path: &str, out: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let variable = format!("{path}__{}", key.to_uppercase());
            match value {
                Value::Table(inner) if !inner.contains_key("env") && !matches!(key.as_str(), "Case" | "issue") => {
                    leaves(inner, &variable, out);
                }
                Value::String(text) => out.push((variable, text.clone())),
                other => out.push((variable, other.to_string())),
            }
        }
    }
    let mut env = Vec::new();
    leaves(&SAMPLE.parse().expect("TOML"), "WICKETGATE", &mut env);
    assert!(env.len() > 35, "{env:?}");
    let by_file = parse(SAMPLE, &SECRETS, Role::Public).unwrap_or_else(|error| panic!("{error}"));
    // A name that is in no file is taken in lower case: what has capitals is named there.
    let skeleton = "[trackers.support]\nexternal_id_fields.Case = \"X__c\"\ndefaults.Case = {}\n";
    let variables: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(SECRETS).collect();
    let by_environment = parse(skeleton, &variables, Role::Public).unwrap_or_else(|error| panic!("{error}"));
    let tree = |config: &Config| config.effective().parse::<Table>().expect("TOML");
    assert_eq!(tree(&by_environment), tree(&by_file));
}

#[test]
fn a_tracker_is_read_by_its_kind() {
    let text = "[trackers.a]\nkind = \"webhok\"\n[trackers.b]\nkind = \"webhook\"\nurl = \"https://b.example\"\nsecret = \"short\"\n\
                [trackers.c]\nkind = \"webhook\"\nurl = \"https://c.example\"\nsecrt = \"x\"\n[trackers.d]\nurl = \"x\"\n";
    let told = problems(text, &[], Role::Private);
    assert!(told.contains("test.toml:2: trackers.a.kind: unknown kind `webhok`; did you mean `webhook`?"), "{told}");
    assert!(told.contains("test.toml:3: trackers.b: `secret`"), "{told}");
    assert!(told.contains("test.toml:10: trackers.c.secrt: unknown key; did you mean `secret`?"), "{told}");
    assert!(told.contains("test.toml:11: trackers.d.kind: is missing: one of salesforce, webhook"), "{told}");
}

#[test]
fn a_tracker_takes_its_secret_from_the_environment() {
    let text = "[trackers.help-desk]\nkind = \"webhook\"\nurl = \"https://b.example\"\n";
    let env = [("WICKETGATE__TRACKERS__HELP_DESK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    let config = parse(text, &env, Role::Private).expect("loads");
    assert!(config.trackers["help-desk"].settings::<crate::trackers::webhook::Settings>().is_ok());
    assert!(!config.effective().contains("MfKQ9r8"), "{}", config.effective());
}
