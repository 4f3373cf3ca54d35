//! The effective configuration, for people: what was set, the defaults that fill the rest, no secret.

use toml::{Table, Value};
use url::Url;

use super::{Config, source::is_secret};

/// What stands in a secret's place.
const MASK: &str = "[secret]";

pub(super) fn effective(config: &Config, tree: &Table) -> String {
    let mut shown = tree.clone();
    let listen = config.node.listen.iter().map(ToString::to_string).map(Value::String).collect();
    let defaults: [(&str, &str, Value); 8] = [
        ("node", "name", config.node.name.clone().into()),
        ("node", "listen", Value::Array(listen)),
        ("node", "data_dir", config.node.data_dir.display().to_string().into()),
        ("store", "url", config.store.url.clone().into()),
        ("link", "wait", config.link.wait.to_string().into()),
        ("keep", "history", config.keep.history.to_string().into()),
        ("keep", "messages", config.keep.messages.to_string().into()),
        ("node", "trusted_proxies", Value::Array(Vec::new())),
    ];
    for (section, key, value) in defaults {
        if let Value::Table(table) = shown.entry(section).or_insert_with(|| Value::Table(Table::new())) {
            table.entry(key).or_insert(value);
        }
    }
    mask(&mut shown);
    shown.to_string()
}

fn mask(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => mask(inner),
            Value::String(text) if key == "proxy" => *text = without_credentials(text),
            _ if is_secret(key) => *value = Value::String(MASK.to_owned()),
            Value::String(text) if text.contains('@') => *text = without_credentials(text),
            _ => {}
        }
    }
}

/// An address without its password; what is no address stays, unless it could hold one.
fn without_credentials(text: &str) -> String {
    match text.parse::<Url>() {
        Ok(mut url) if url.password().is_some() => {
            // Only addresses without a host refuse a password, and those have none.
            let _ = url.set_password(Some("secret"));
            url.to_string()
        }
        Err(_) if text.contains("://") => MASK.to_owned(),
        _ => text.to_owned(),
    }
}
