//! The API's OpenAPI document as a judge: does this answer look as described?
//!
//! Knows the part of JSON Schema that the document uses. Stricter than JSON Schema: a member that is not described is a
//! fault, or the description could forget what travels.

use serde_json::{Map, Value};

/// See the module.
pub struct Described(Value);

impl Described {
    /// The document of this build.
    pub fn new() -> Self {
        Self(serde_json::from_str(&wicketgate::server::api::document()).expect("JSON"))
    }

    /// The whole document.
    pub fn document(&self) -> &Value {
        &self.0
    }

    /// What is wrong with an answer; empty where nothing is.
    pub fn faults(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let responses = &self.0["paths"][path][method.to_lowercase()]["responses"];
        let Some(all) = responses.as_object() else { return vec![format!("{method} {path} is not described")] };
        let Some(told) = all.get(&status.to_string()).or_else(|| all.get("default").filter(|_| status >= 400)) else {
            return vec![format!("{method} {path} answers {status}, which is not described")];
        };
        let content = self.opened(told)["content"].as_object().cloned().unwrap_or_default();
        match content.values().next() {
            None if body.is_null() => Vec::new(),
            None => vec![format!("{method} {path}: {status} is described without a body, and has {body}")],
            Some(content) => self.differs(&content["schema"], body),
        }
    }

    /// What is wrong with a value of a named schema.
    pub fn differs_from(&self, name: &str, value: &Value) -> Vec<String> {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "{name} is not described");
        self.differs(schema, value)
    }

    fn differs(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.compare("", schema, value, &mut faults);
        faults
    }

    fn opened<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(at) => self.opened(self.0.pointer(at.trim_start_matches('#')).unwrap_or_else(|| panic!("{at} is not there"))),
            None => schema,
        }
    }

    fn compare(&self, at: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
        let schema = self.opened(schema);
        if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let tries: Vec<Vec<String>> = choices.iter().map(|choice| self.differs(choice, value)).collect();
            if !tries.iter().any(Vec::is_empty) {
                faults.push(format!("{at}: none of its forms fits {value}: {tries:?}"));
            }
            return;
        }
        if schema["allOf"].is_array() {
            return self.members(at, &self.joined(schema), value, faults);
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            faults.push(format!("{at}: {value} is none of {words:?}"));
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.contains(&kind) {
            return faults.push(format!("{at}: {value} is no {kinds:?}"));
        }
        match value {
            Value::Object(_) if schema["properties"].is_object() => self.members(at, schema, value, faults),
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.compare(&format!("{at}/{n}"), &schema["items"], item, faults);
                }
            }
            Value::String(text) => form(at, schema["format"].as_str(), text, faults),
            _ => {}
        }
    }

    /// The members of all parts as one.
    fn joined(&self, schema: &Value) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let part = self.opened(part);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        serde_json::json!({"properties": properties, "required": required})
    }

    fn members(&self, at: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
        let Some(members) = value.as_object() else { return faults.push(format!("{at}: {value} is no object")) };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                faults.push(format!("{at}/{name} is missing"));
            }
        }
        for (name, value) in members {
            match schema["properties"].get(name) {
                Some(inner) => self.compare(&format!("{at}/{name}"), inner, value, faults),
                None => faults.push(format!("{at}/{name} is not described")),
            }
        }
    }
}

fn form(at: &str, format: Option<&str>, text: &str, faults: &mut Vec<String>) {
    let good = match format {
        // RFC 3339, and always in UTC.
        Some("date-time") => text.ends_with('Z') && text.parse::<wicketgate::clock::Time>().is_ok(),
        Some("uuid") => uuid::Uuid::parse_str(text).is_ok() && text.len() == 36,
        _ => true,
    };
    if !good {
        faults.push(format!("{at}: {text:?} is no {format:?}"));
    }
}
