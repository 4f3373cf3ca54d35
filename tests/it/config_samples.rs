//! The samples in `config/` are what people copy: each must load as it stands.

use std::path::Path;

use wicketgate::config::{Config, Role};

/// Variables that the samples take their secrets from.
fn environment() -> Vec<(String, String)> {
    let private_key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    [
        ("WICKETGATE_ADMIN_TOKEN", "an-admin-token"),
        ("SALESFORCE_CLIENT_SECRET", "hush"),
        ("SALESFORCE_PRIVATE_KEY", private_key),
        ("HELPDESK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("NOTIFY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("PROXY_PASSWORD", "hush"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn load(sample: &str, role: Role) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(sample);
    Config::load(&path, environment(), role).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_public_sample_loads() {
    let config = load("public.toml", Role::Public);
    assert_eq!(config.trackers["support"].kind, "salesforce");
}

#[test]
fn the_private_sample_loads() {
    let config = load("private.toml", Role::Private);
    assert_eq!(config.trackers["helpdesk"].kind, "webhook");
}

#[test]
fn the_commented_defaults_load_as_they_stand() {
    let config = load("default.toml", Role::Private);
    assert!(config.trackers.is_empty());
}

#[test]
fn every_key_that_the_defaults_comment_out_is_a_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    let text = std::fs::read_to_string(path).expect("readable");
    // Keys are commented as `#key = …`, words as `# …`.
    let opened: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::parse("default.toml", &opened, environment(), Role::Public).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.trackers.len(), 2);
}
