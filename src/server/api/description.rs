//! What the OpenAPI document says of all operations alike: the token, refusals, repeats, forms of ids, examples.
//!
//! The derived document knows each operation by itself. What they share is added here, as JSON, so that no handler has to
//! repeat it and none can forget it.

use serde_json::{Map, Value, json};

use crate::server::kit::Code;

/// Path parts that are ids.
const IDS: [&str; 2] = ["id", "trigger"];
/// Query parts that are numbers.
const NUMBERS: [&str; 1] = ["limit"];

/// Members that an answer has only where they apply.
const SOMETIMES: [&str; 10] =
    ["outbound_message_url", "webhook_url", "conflict", "rekeys", "line", "column", "text", "severity", "advice", "problems"];

/// See the module.
pub(super) fn dress(mut document: Value) -> Value {
    for operations in members(&mut document["paths"]) {
        let Some(operations) = operations.as_object_mut() else { continue };
        for (method, operation) in operations.iter_mut() {
            dress_operation(method, operation);
        }
    }
    let components = &mut document["components"];
    components["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer",
        "description": "A token of this node, `wg_…`. Scopes, each with the ones before it: read, operate, configure, admin."}});
    components["responses"] = json!({"Problem": {"description": "A refusal (RFC 9457); its `code` is one of a closed list.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}});
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    components["schemas"]["Code"] = json!({"type": "string", "enum": codes, "description": "See docs/problems.md."});
    members(&mut components["schemas"]).for_each(complete);
    for (name, example) in examples() {
        components["schemas"][name]["examples"] = json!([example]);
    }
    document["security"] = json!([{"token": []}]);
    document
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// An answer has all its members always, null where there is nothing to say. Requests are those that refuse unknown ones.
fn complete(schema: &mut Value) {
    for part in schema["allOf"].as_array_mut().into_iter().flatten() {
        complete(part);
    }
    let Some(properties) = schema["properties"].as_object().filter(|_| schema["additionalProperties"] != false) else { return };
    let always = properties.keys().filter(|name| !SOMETIMES.contains(&name.as_str()));
    schema["required"] = always.cloned().collect();
}

fn dress_operation(method: &str, operation: &mut Value) {
    // Generated clients name their functions by it: handlers of two resources are called alike.
    let id = format!("{}_{}", text(&operation["tags"][0]), text(&operation["operationId"]));
    operation["operationId"] = id.into();
    operation["responses"]["default"] = json!({"$ref": "#/components/responses/Problem"});
    for answer in members(&mut operation["responses"]) {
        if answer.get("$ref").is_none() && answer["description"].as_str().is_none_or(str::is_empty) {
            answer["description"] = "Done".into();
        }
    }
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if parameter["in"] == "path" && IDS.contains(&name.as_str()) {
            parameter["schema"]["format"] = "uuid".into();
        }
        if parameter["in"] == "query" && NUMBERS.contains(&name.as_str()) {
            parameter["schema"] = json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50});
        }
    }
    if method == "post" {
        let key = json!({"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "maxLength": 255},
            "description": "A repeat within a day is given the first answer; one that held a secret is not repeated."});
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(key),
            None => operation["parameters"] = json!([key]),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const CONNECTION: &str = "01936f2a-7c1e-7d3b-9a55-0b6f3c2d1e10";
const TWIN: &str = "27573413-ff5f-845e-a3df-e936597a18b2";
const AT: &str = "2026-11-27T10:15:00.250Z";
const OUTGOING: &str = "replica.summary = entity.Subject;\n";
const INCOMING: &str = "entity.Subject = replica.summary;\n";
const KEY: &str = "6-4Nerf2lZ4cj-NefVMGD4u4VlrI8JNwgpHxyWVvlCo";

/// Bodies as they travel; a test holds them against their schemas.
fn examples() -> Vec<(&'static str, Value)> {
    let record = json!({"entity_type": "Case", "key": "5005g00000ABCDEAA2",
        "url": "https://acme.my.salesforce.com/lightning/r/Case/5005g00000ABCDEAA2/view"});
    let ended = json!({"sent": 31, "applied": 12, "unchanged": 9, "skipped": 0, "superseded": 1, "parked": 0});
    let error = json!({"id": "01936f2a-9f00-7a61-8f0e-5a3b1c9d7e42", "scope": "twin", "connection_id": CONNECTION, "twin_id": TWIN, "tracker": null,
        "code": "refused", "title": "The tracker refused the record", "detail": "HTTP 422: summary must not be empty",
        "advice": "See its own words; change the record or the incoming rule, then try again.", "retryable": false,
        "attempts": 1, "occurred_at": AT, "next_attempt_at": null});
    vec![
        (
            "NewConnection",
            json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "acme",
            "remote_short_name": "partner", "confirm": true}),
        ),
        (
            "Connection",
            json!({"id": CONNECTION, "name": "acme_to_partner", "status": "active", "kind": "private", "mode": "basic",
            "tracker": "support", "local_short_name": "acme", "remote_short_name": "partner", "description": "",
            "created_at": AT, "activated_at": AT, "prefer": "local", "links": "matching", "share_internal_comments": false,
            "awaiting": null, "remote": {"node": "partner", "url": null, "tracker_kind": "webhook", "state": "active",
                "last_seen_at": AT, "key_fingerprint": KEY, "version": "0.1.0"},
            "health": {"paused": null, "paused_by": null, "waiting": 0, "parked": 0, "latency_ms": {"p50": 40, "p95": 120}}}),
        ),
        ("Invitation", json!({"code": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl", "expires_at": AT})),
        (
            "Inspected",
            json!({"connection_name": "acme_to_partner", "mode": "basic", "kind": "private", "node": "acme-support",
            "url": "https://sync.acme.example", "tracker_kind": "salesforce", "local_short_name": "partner",
            "remote_short_name": "acme", "description": "", "expires_at": AT, "key_fingerprint": KEY}),
        ),
        ("Acceptance", json!({"code": "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl", "tracker": "helpdesk"})),
        ("NewTrigger", json!({"entity_type": "Case", "filter": "Origin = 'Web'", "enabled": true, "notes": ""})),
        (
            "Trigger",
            json!({"id": "01936f2a-8b00-7c44-b1d2-4e5f60718293", "entity_type": "Case", "filter": "Origin = 'Web'",
            "enabled": true, "notes": ""}),
        ),
        ("NewDraft", json!({"outgoing": OUTGOING, "incoming": INCOMING, "base": 3})),
        (
            "Rules",
            json!({"draft": {"outgoing": OUTGOING, "incoming": "entity.Subject = );\n", "base": 3, "at": AT, "by": "ada"},
            "published": {"outgoing": OUTGOING, "incoming": INCOMING, "version": 3, "at": AT, "by": "ada", "note": "Subject only"},
            "problems": [{"field": "incoming",
                "message": "SyntaxError: unexpected token in expression: ')' (line 1, column 18: `entity.Subject = );`). The rule does not parse: mend it at this place, or right before it.",
                "line": 1, "column": 18, "text": "entity.Subject = );"}]}),
        ),
        ("Publication", json!({"note": "Priority too", "base": 3})),
        ("RollBack", json!({"version": 2, "note": "Version 3 lost the status"})),
        ("RuleVersion", json!({"version": 3, "at": AT, "by": "ada", "note": "Subject only"})),
        (
            "Comparison",
            json!({"from": "3", "to": "draft", "outgoing": "",
            "incoming": "--- incoming.js, version 3\n+++ incoming.js, draft\n@@ -1 +1 @@\n-entity.Subject = replica.summary;\n+entity.Subject = );\n"}),
        ),
        ("Counted", json!({"matching": 120, "already_synced": 3})),
        ("RecordName", json!({"entity_type": "Case", "key": "5005g00000ABCDEAA2"})),
        (
            "Twin",
            json!({"id": TWIN, "connection_id": CONNECTION, "status": "in_sync", "local": record.clone(),
            "remote": {"entity_type": "issue", "key": "ISSUE-7", "url": null},
            "remote_outcome": {"outcome": "applied", "title": null, "at": AT}, "error": null, "created_at": AT,
            "last_synced_at": AT}),
        ),
        (
            "History",
            json!({"at": AT, "direction": "in", "outcome": "applied", "reason": null,
            "changes": [{"field": "Subject", "from": "Pump stops", "to": "Pump stops: valve"}], "took_ms": 35,
            "connection_id": CONNECTION, "twin_id": TWIN}),
        ),
        ("Error", error),
        (
            "Tracker",
            json!({"name": "support", "kind": "salesforce", "url": "https://acme.my.salesforce.com", "status": "ok",
            "paused": null, "org_id": "00D5g000004ABCDEA2", "outbound_message_url": null,
            "api_calls": {"used": 812, "limit": 15000}, "person_signs_in": false, "login_expires_at": null,
            "last_notice_at": AT}),
        ),
        (
            "Check",
            json!({"ok": true, "steps": [{"name": "login", "status": "ok", "detail": "Logged in.", "advice": "", "took_ms": 80}]}),
        ),
        (
            "Figures",
            json!({"span": "day", "step": 900, "since": "2026-11-23T03:45:00.000Z", "until": AT, "ended": ended.clone(),
            "latency_ms": {"p50": 40, "p95": 120},
            "points": [{"at": "2026-11-24T03:30:00.000Z", "ended": ended, "latency_ms": {"p50": 40, "p95": 120}, "parked": 0}],
            "trackers": [{"tracker": "support", "points": [{"at": "2026-11-24T03:30:00.000Z", "used": 812, "limit": 15000}]}]}),
        ),
        (
            "NewToken",
            json!({"name": "partner", "scopes": ["read"], "connections": [CONNECTION], "expires_at": "2027-01-01T00:00:00Z"}),
        ),
        (
            "Token",
            json!({"id": "01936f2a-aa00-7b21-9c33-6d7e8f901122", "name": "partner", "scopes": ["read"],
            "connections": [CONNECTION], "expires_at": "2027-01-01T00:00:00.000Z"}),
        ),
        ("NewUser", json!({"name": "ada", "role": "operate", "password": "correct horse battery"})),
        (
            "User",
            json!({"id": "01936f2a-bb00-7d41-8f55-7e8f90112233", "name": "ada", "role": "operate", "created_at": AT,
            "last_sign_in_at": null}),
        ),
        (
            "Session",
            json!({"id": KEY, "made_at": AT, "seen_at": AT, "address": "203.0.113.9", "browser": "Mozilla/5.0", "own": false}),
        ),
        (
            "Problem",
            json!({"type": "urn:wicketgate:problem:name_taken", "title": "The name is taken", "status": 409,
            "detail": "A connection of this node is called `acme_to_partner` already; choose another name.", "code": "name_taken",
            "errors": [{"field": "name", "message": "A connection of this node is called `acme_to_partner` already; choose another name."}]}),
        ),
    ]
}
