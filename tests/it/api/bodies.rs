//! Each body of the design and each answer as the document describes it: one walk through the whole API.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Value, json};
use wicketgate::sandbox::tracker::{TrackerFault, TrackerFaultKind};

use super::judge::{Judge, looks_like};
use crate::support::{Answer, World, described::Described, until_said};

/// One walk through everything there is; at its end no operation of the document is unseen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_design_and_the_document_have_it() {
    let world = World::start().await;
    let (described, seen) = (Described::new(), RefCell::new(BTreeSet::new()));
    let public = Judge { node: &world.public, described: &described, seen: &seen };
    let private = Judge { node: &world.private, described: &described, seen: &seen };
    let id = world.connection.as_str();
    connections(&public, &private, id).await;
    rules(&private, id).await;
    triggers(&public, id).await;
    twins(&world, &public, &private).await;
    errors(&world, &public, &private).await;
    jobs(&public, id).await;
    trackers(&world, &public, &private).await;
    administration(&public, id).await;
    super::users::walk(&public).await;
    let mut all = BTreeSet::new();
    for (path, operations) in described.document()["paths"].as_object().expect("paths") {
        all.extend(operations.as_object().expect("operations").keys().map(|method| format!("{method} {path}")));
    }
    let unseen: Vec<&String> = all.iter().filter(|one| !seen.borrow().contains(*one) && *one != "get /stream").collect();
    assert!(unseen.is_empty(), "never called here: {unseen:?}");
    world.stop().await;
}

async fn connections(public: &Judge<'_>, private: &Judge<'_>, id: &str) {
    let one = public.get("/connections/{id}", &[("id", id)]).await;
    looks_like("connection", &one);
    assert_eq!((&one["status"], &one["kind"], &one["mode"]), (&json!("active"), &json!("private"), &json!("basic")), "{one}");
    assert_eq!(one["remote"]["node"], "private");
    assert_eq!(one["remote"]["url"], Value::Null, "the private side has none");
    assert_eq!(one["name"], "support_to_helpdesk");
    let there = private.get("/connections/{id}", &[("id", id)]).await;
    assert_eq!((&there["local_short_name"], &there["remote_short_name"]), (&json!("helpdesk"), &json!("support")), "{there}");
    assert_eq!((&one["prefer"], &there["prefer"]), (&json!("local"), &json!("remote")), "one wish, in each node's words");
    assert_eq!(one["id"], there["id"]);
    let made = public
        .call(
            "POST",
            "/connections",
            &[],
            Some(json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "a",
                "remote_short_name": "b", "description": "second", "prefer": "remote", "confirm": true})),
            201,
        )
        .await;
    let mut bare = made.clone();
    let invitation = bare.as_object_mut().expect("an object").remove("invitation").expect("an invitation");
    looks_like("connection", &bare);
    assert_eq!((&made["status"], &made["awaiting"], &made["remote"]), (&json!("pending"), &json!("acceptance"), &Value::Null));
    assert!(invitation["code"].is_string() && invitation["expires_at"].is_string(), "{invitation}");
    let second = made["id"].as_str().expect("an id");
    let renewed = public.call("POST", "/connections/{id}/invitation", &[("id", second)], None, 201).await;
    let inspected = private.call("POST", "/invitations/inspect", &[], Some(json!({"code": renewed["code"]})), 200).await;
    looks_like("inspected", &inspected);
    assert_eq!((&inspected["local_short_name"], &inspected["node"]), (&json!("b"), &json!("public")), "{inspected}");
    let accept = json!({"code": renewed["code"], "tracker": "helpdesk", "name": "theirs"});
    looks_like("connection", &private.call("POST", "/invitations/accept", &[], Some(accept), 201).await);
    let waits = public.get("/connections/{id}", &[("id", second)]).await;
    assert_eq!((&waits["status"], &waits["awaiting"]), (&json!("pending"), &json!("confirmation")), "{waits}");
    assert!(waits["remote"]["key_fingerprint"].is_string(), "{waits}");
    let confirmed = public.call("POST", "/connections/{id}/confirm", &[("id", second)], None, 200).await;
    assert_eq!((&confirmed["status"], &confirmed["awaiting"]), (&json!("active"), &Value::Null), "{confirmed}");
    let off = public.call("POST", "/connections/{id}/deactivate", &[("id", second)], None, 200).await;
    assert_eq!(off["status"], "deactivated");
    public.call("POST", "/connections/{id}/activate", &[("id", second)], None, 200).await;
    let patch = json!({"name": "other", "description": "d", "links": "ask", "share_internal_comments": true, "prefer": "local"});
    let patched = public.call("PATCH", "/connections/{id}", &[("id", second)], Some(patch.clone()), 200).await;
    for (name, value) in patch.as_object().expect("an object") {
        assert_eq!(&patched[name], value);
    }
    public.call("POST", "/connections/{id}/invitation", &[("id", second)], Some(json!({"expires_in": 3600})), 201).await;
    public.call("DELETE", "/connections/{id}/invitation", &[("id", second)], None, 204).await;
    let listed = public.get("/connections", &[]).await;
    assert_eq!((listed["items"].as_array().map(Vec::len), &listed["next"]), (Some(2), &Value::Null));
    public.call("DELETE", "/connections/{id}", &[("id", second)], None, 204).await;
    public.call("DELETE", "/connections/{id}", &[("id", second)], None, 404).await;
    let url = public.node.url.as_str();
    let node = private.call("POST", "/destinations/check", &[], Some(json!({"url": url})), 200).await;
    assert_eq!((&node["is_node"], &node["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))), "{node}");
}

async fn rules(private: &Judge<'_>, id: &str) {
    let at = [("id", id)];
    let base = private.call("POST", "/connections/{id}/rules/publish", &at, None, 409).await;
    assert_eq!(base["code"], "basic_mode", "{base}");
    private.call("PATCH", "/connections/{id}", &at, Some(json!({"mode": "script"})), 200).await;
    let shown = private.get("/connections/{id}/rules", &at).await;
    looks_like("published", &shown["published"]);
    let outgoing = shown["published"]["outgoing"].as_str().expect("a rule");
    assert!(outgoing.contains("replica"), "{shown}");
    let draft = json!({"outgoing": format!("// ours\n{outgoing}"), "incoming": "entity.summary = );", "base": 0});
    let saved = private.call("PUT", "/connections/{id}/rules", &at, Some(draft), 200).await;
    looks_like("draft", &saved["draft"]);
    assert_eq!((&saved["problems"][0]["field"], &saved["problems"][0]["line"]), (&json!("incoming"), &json!(1)), "{saved}");
    let texts = json!({"outgoing": "", "incoming": "entity.summary = );"});
    let checked = private.call("POST", "/connections/{id}/rules/check", &at, Some(texts), 200).await;
    assert_eq!(checked["problems"][0]["line"], 1, "{checked}");
    // The draft does not parse, and so it is told.
    let trial = json!({"direction": "incoming", "replica": {"summary": "s"}});
    let tried = private.call("POST", "/connections/{id}/rules/test", &at, Some(trial), 200).await;
    assert_eq!(tried["error"]["line"], 1, "{tried}");
    let refused = private.call("POST", "/connections/{id}/rules/publish", &at, None, 422).await;
    assert_eq!((&refused["code"], &refused["errors"]), (&json!("rule_invalid"), &saved["problems"]));
    let compared = private.get("/connections/{id}/rules/compare", &at).await;
    assert!(compared["outgoing"].as_str().is_some_and(|diff| diff.contains("+// ours")), "{compared}");
    let given = json!({"outgoing": format!("// ours\n{outgoing}"), "base": 0, "note": "a comment"});
    let made = private.call("POST", "/connections/{id}/rules/publish", &at, Some(given.clone()), 201).await;
    looks_like("published", &made);
    private.call("POST", "/connections/{id}/rules/publish", &at, Some(given), 409).await;
    let both = [("id", id), ("version", "1")];
    assert_eq!(private.get("/connections/{id}/rules/versions/{version}", &both).await, made);
    let declared = private.get("/connections/{id}/rules/declarations", &at).await;
    assert!(declared.as_str().is_some_and(|text| text.contains("declare const entity: Entity;")), "{declared}");
    private.call("POST", "/connections/{id}/rules/rollback", &at, Some(json!({"version": 0})), 201).await;
    private.call("POST", "/connections/{id}/rules/rollback", &at, Some(json!({"version": 0})), 200).await;
    let listed = private.get("/connections/{id}/rules/versions", &at).await;
    let versions: Vec<&Value> = listed["items"].as_array().expect("a list").iter().map(|line| &line["version"]).collect();
    assert_eq!(versions, [2, 1, 0]);
}

async fn triggers(public: &Judge<'_>, id: &str) {
    let body = json!({"entity_type": "Case", "filter": "Origin = 'Web'", "notes": "n", "enabled": false});
    let made = public.call("POST", "/connections/{id}/triggers", &[("id", id)], Some(body.clone()), 201).await;
    looks_like("trigger", &made);
    let trigger = made["id"].as_str().expect("an id");
    let both = [("id", id), ("trigger", trigger)];
    assert_eq!(public.get("/connections/{id}/triggers/{trigger}", &both).await, made);
    let patched = public.call("PATCH", "/connections/{id}/triggers/{trigger}", &both, Some(json!({"enabled": true})), 200).await;
    assert_eq!((&patched["enabled"], &patched["filter"]), (&json!(true), &body["filter"]));
    assert_eq!(public.get("/connections/{id}/triggers", &[("id", id)]).await["items"].as_array().map(Vec::len), Some(2));
    public.call("DELETE", "/connections/{id}/triggers/{trigger}", &both, None, 204).await;
    public.call("DELETE", "/connections/{id}/triggers/{trigger}", &both, None, 404).await;
    let wrong = Some(json!({"entity_type": "Case", "filter": "Orign = 'Web'"}));
    let refused = public.call("POST", "/connections/{id}/triggers", &[("id", id)], wrong, 422).await;
    assert_eq!(refused["errors"][0]["field"], "filter", "{refused}");
}

async fn jobs(public: &Judge<'_>, id: &str) {
    let listed = public.get("/connections/{id}/triggers", &[("id", id)]).await;
    let trigger = listed["items"][0]["id"].as_str().expect("an id");
    let both = [("id", id), ("trigger", trigger)];
    let asked = [
        public.call("POST", "/connections/{id}/triggers/{trigger}/run", &both, None, 201).await,
        public.call("POST", "/connections/{id}/rules/preview", &[("id", id)], Some(json!({"sample": 1})), 201).await,
        public.call("POST", "/connections/{id}/rules/reapply", &[("id", id)], None, 201).await,
        public.call("POST", "/connections/{id}/reconcile", &[("id", id)], Some(json!({"repair": false})), 201).await,
    ];
    let kinds: Vec<&str> = asked.iter().filter_map(|job| job["kind"].as_str()).collect();
    assert_eq!(kinds, ["trigger_run", "rules_preview", "rules_reapply", "reconcile"]);
    for job in &asked {
        looks_like("job", job);
        let one = [("id", job["id"].as_str().expect("an id"))];
        until_said("the job's end", || async { public.get("/jobs/{id}", &one).await["status"] == "done" }).await;
        looks_like("job", &public.get("/jobs/{id}", &one).await);
        public.get("/jobs/{id}/report", &one).await;
        public.call("POST", "/jobs/{id}/pause", &one, None, 409).await;
        public.call("POST", "/jobs/{id}/resume", &one, None, 409).await;
        public.call("DELETE", "/jobs/{id}", &one, None, 204).await;
    }
    assert_eq!(public.get("/jobs", &[]).await["items"].as_array().map(Vec::len), Some(asked.len()));
}

async fn twins(world: &World, public: &Judge<'_>, private: &Judge<'_>) {
    let case = world.new_case(json!({"Subject": "Pump stops", "Description": "E-17"}));
    let other = world.new_case(json!({"Subject": "Door", "Origin": "Phone"}));
    let issue = world.issue_with("Pump stops").await;
    world.issue_with("Door").await;
    world.quiet().await;
    let listed = public.call_at("GET", "/twins", &format!("/twins?key={case}"), None, 200).await;
    let twin = &listed["items"][0];
    looks_like("twin", twin);
    assert_eq!((&twin["local"]["key"], &twin["remote"]["key"]), (&json!(case), &json!(issue)), "{twin}");
    assert_eq!((&twin["status"], &twin["remote_outcome"]["outcome"]), (&json!("in_sync"), &json!("applied")), "{twin}");
    assert!(twin["local"]["url"].is_string() && twin["local"]["entity_type"] == "Case", "{twin}");
    let id = twin["id"].as_str().expect("an id");
    let whole = public.get("/twins/{id}", &[("id", id)]).await;
    looks_like("whole twin", &whole);
    assert_eq!((&whole["local_replica"]["summary"], &whole["remote_replica"]), (&json!("Pump stops"), &Value::Null), "{whole}");
    let there = private.get("/twins/{id}", &[("id", id)]).await;
    assert_eq!((&there["local"]["key"], &there["remote_replica"]["summary"]), (&json!(issue), &json!("Pump stops")), "{there}");
    let story = public.get("/twins/{id}/history", &[("id", id)]).await;
    for line in story["items"].as_array().expect("lines") {
        looks_like("history", line);
    }
    assert!(story["items"].as_array().is_some_and(|lines| lines.iter().any(|line| line["outcome"] == "sent")), "{story}");
    let count = json!({"entity_type": "Case", "filter": "Origin = 'Phone'"});
    let counted = public.call("POST", "/connections/{id}/triggers/count", &[("id", &world.connection)], Some(count), 200).await;
    assert_eq!(counted, json!({"matching": 1, "already_synced": 1}), "of two Cases one came by phone");
    let all = json!({"entity_type": "Case"});
    let counted = public.call("POST", "/connections/{id}/triggers/count", &[("id", &world.connection)], Some(all), 200).await;
    assert_eq!(counted, json!({"matching": 2, "already_synced": 2}));
    let link = format!("/connections/{}/twins/link", world.connection);
    let file = world.public.get(&format!("/connections/{}/twins.csv", world.connection)).await;
    let again = public.get("/connections/{id}/twins.csv", &[("id", &world.connection)]).await;
    assert_eq!(again, file);
    let Answer { status, body } = world.public.call_csv(&link, file.as_str().expect("text").to_owned()).await;
    let faults = public.described.faults("POST", "/connections/{id}/twins/link", status, &body);
    assert_eq!((faults, &body["already_linked"]), (Vec::new(), &json!(2)), "{body:#}");
    let none = public.call("POST", "/twins/stop", &[], Some(json!({"filter": {"keys": ["none"]}})), 200).await;
    assert_eq!(none["done"], 0);
    let stopped = public.call("DELETE", "/twins/{id}", &[("id", id)], None, 200).await;
    assert_eq!(stopped["status"], "stopped");
    let body = json!({"entity_type": "Case", "key": &case[..15]});
    let again = public.call("POST", "/connections/{id}/twins", &[("id", &world.connection)], Some(body), 201).await;
    looks_like("twin", &again);
    assert_eq!((&again["id"], &again["local"]["key"]), (&json!(id), &json!(case)), "started again it is the same twin");
    let both = json!({"local": {"entity_type": "Case", "key": other}, "remote": {"entity_type": "issue", "key": issue}});
    let refused = public.call("POST", "/connections/{id}/twins/link", &[("id", &world.connection)], Some(both), 409).await;
    assert_eq!(refused["code"], "invalid_state", "{refused}");
    world.quiet().await;
}

async fn errors(world: &World, public: &Judge<'_>, private: &Judge<'_>) {
    let refuse = |times| {
        let words = "summary must not be blue".to_owned();
        world.tracker.handle.fail(TrackerFault::on_writes(times, TrackerFaultKind::Refuse(words)));
    };
    refuse(1);
    let case = world.new_case(json!({"Subject": "Blue"}));
    until_said("the error", || async {
        !world.private.get("/errors?scope=twin").await["items"].as_array().expect("a list").is_empty()
    })
    .await;
    let listed = private.call_at("GET", "/errors", "/errors?scope=twin", None, 200).await;
    let error = &listed["items"][0];
    looks_like("error", error);
    assert_eq!((&error["scope"], &error["retryable"]), (&json!("twin"), &json!(false)), "{error}");
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("must not be blue")), "{error}");
    let id = error["id"].as_str().expect("an id");
    assert_eq!(private.get("/errors/{id}", &[("id", id)]).await, *error);
    let groups = private.get("/errors/groups", &[]).await;
    assert_eq!((&groups["items"][0]["count"], &groups["items"][0]["newest"]), (&json!(1), error), "{groups}");
    let twin = error["twin_id"].as_str().expect("a twin");
    let parked = private.get("/twins/{id}", &[("id", twin)]).await;
    assert_eq!((&parked["status"], &parked["error"]["id"]), (&json!("parked"), &json!(id)), "{parked}");
    until_said("the far side's outcome", || async {
        world.public.get(&format!("/twins/{twin}")).await["remote_outcome"]["outcome"] == "parked"
    })
    .await;
    let retried = private.call("POST", "/errors/{id}/retry", &[("id", id)], None, 202).await;
    assert_eq!(retried["id"], id);
    world.issue_with("Blue").await;
    let open = || async { world.private.get("/errors?scope=twin").await["items"].as_array().expect("a list").clone() };
    until_said("the error's end", || async { open().await.is_empty() }).await;
    refuse(100);
    world.edit_case(&case, json!({"Subject": "Blue again"}));
    until_said("another error", || async { !open().await.is_empty() }).await;
    let many = private.call("POST", "/errors/retry", &[], Some(json!({"filter": {"scope": "twin"}})), 200).await;
    assert_eq!((&many["done"], &many["more"]), (&json!(1), &json!(false)), "{many}");
    until_said("the error once more", || async { !open().await.is_empty() }).await;
    let id = open().await[0]["id"].as_str().expect("an id").to_owned();
    let unknown = uuid::Uuid::nil().to_string();
    let many = private.call("POST", "/errors/skip", &[], Some(json!({"ids": [unknown]})), 200).await;
    assert_eq!((&many["done"], &many["failed"][0]["field"]), (&json!(0), &json!(unknown)), "{many}");
    private.call("POST", "/errors/{id}/skip", &[("id", &id)], None, 202).await;
    until_said("no error", || async { open().await.is_empty() }).await;
    world.tracker.handle.clear_faults();
    public.call("GET", "/errors/{id}", &[("id", &id)], None, 404).await;
}

async fn trackers(world: &World, public: &Judge<'_>, private: &Judge<'_>) {
    let support = public.get("/trackers/{name}", &[("name", "support")]).await;
    looks_like("tracker", &support);
    assert_eq!((&support["kind"], &support["status"]), (&json!("salesforce"), &json!("ok")), "{support}");
    assert!(support["org_id"].as_str().is_some_and(|id| id.len() == 18) && support["webhook_url"].is_null(), "{support}");
    let helpdesk = private.get("/trackers/{name}", &[("name", "helpdesk")]).await;
    looks_like("tracker", &helpdesk);
    assert!(helpdesk["webhook_url"].as_str().is_some_and(|url| url.contains("/hooks/helpdesk/")), "{helpdesk}");
    assert_eq!(public.get("/trackers", &[]).await["items"][0], support);
    let check = public.call("POST", "/trackers/{name}/check", &[("name", "support")], None, 200).await;
    looks_like("check", &check);
    let rotated = private
        .call("POST", "/trackers/{name}/rotate-token", &[("name", "helpdesk")], Some(json!({"at_once": false})), 200)
        .await;
    assert_ne!(rotated["webhook_url"], helpdesk["webhook_url"]);
    let refused = public.call("POST", "/trackers/{name}/sign-in", &[("name", "support")], None, 409).await;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("authorization-code")), "{refused}");
    let types = public.get("/trackers/{name}/types", &[("name", "support")]).await;
    assert!(types["items"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "Case")), "{types}");
    let described = public.get("/trackers/{name}/types/{type}", &[("name", "support"), ("type", "Case")]).await;
    let fields = described["fields"].as_array().expect("fields");
    assert_eq!((&described["createable"], &described["external_id_field"]), (&json!(true), &json!("Wicketgate_Id__c")));
    let mark = fields.iter().find(|field| field["name"] == "Wicketgate_Id__c").expect("the field of the package");
    assert!(["unique", "external_id", "permissionable", "writable"].iter().all(|flag| mark[*flag] == true), "{mark}");
    let subject = fields.iter().find(|field| field["name"] == "Subject").expect("a subject");
    assert_eq!(
        (&subject["type"], &subject["length"], &subject["writable"]),
        (&json!("string"), &json!(255), &json!(true)),
        "{subject}"
    );
    let status = fields.iter().find(|field| field["name"] == "Status").expect("a status");
    assert!(status["values"].as_array().is_some_and(|values| values.contains(&json!("New"))), "{status}");
    public.call("GET", "/trackers/{name}/types/{type}", &[("name", "support"), ("type", "Nonsense")], None, 422).await;
    let case = world.new_case(json!({"Subject": "Where"}));
    world.issue_with("Where").await;
    world.quiet().await;
    let template = "/trackers/{name}/entities/{type}/{key}";
    let page: String =
        url::form_urlencoded::byte_serialize(format!("{}/lightning/r/Case/{case}/view", world.org.url).as_bytes()).collect();
    for key in [case.as_str(), &case[..15], &page] {
        let found = public.get(template, &[("name", "support"), ("type", "Case"), ("key", key)]).await;
        assert_eq!((&found["key"], found["twins"].as_array().map(Vec::len)), (&json!(case), Some(1)), "{key}: {found}");
        assert_eq!(found["history"][0]["outcome"], "sent", "{found}");
    }
    let template = "/trackers/{name}/entities/{type}/{key}/status";
    let told = public.get(template, &[("name", "support"), ("type", "Case"), ("key", &case[..15])]).await;
    assert_eq!(
        (&told["key"], &told["twins"][0]["status"], &told["last"]["outcome"]),
        (&json!(case), &json!("in_sync"), &json!("sent"))
    );
    assert!(told["connections"] == json!([]) && !told.to_string().contains("Where"), "no values of fields: {told}");
    let other =
        world.org.handle.create("Case", &json!({"Subject": "Where"}), &world.org.handle.integration_user()).expect("taken");
    let told = public.get(template, &[("name", "support"), ("type", "Case"), ("key", &other)]).await;
    let free = json!([{"id": world.connection, "name": "support_to_helpdesk"}]);
    assert_eq!((&told["twins"], &told["connections"]), (&json!([]), &free), "{told}");
    let used = public.get("/trackers/{name}/uses", &[("name", "support")]).await;
    let one = &used["items"][0];
    assert_eq!(
        (&one["connection_id"], &one["entity_types"], &one["whole"]),
        (&json!(world.connection), &json!(["Case"]), &json!(true))
    );
    assert_eq!(one["read"], json!(["Description", "Id", "Priority", "Status", "Subject"]));
    assert_eq!(one["written"], json!(["Description", "Origin", "Status", "Subject"]));
    public.get("/queue", &[]).await;
    let status = public.get("/status", &[]).await;
    assert_eq!((&status["kind"], &status["ready"]), (&json!("public"), &json!(true)), "{status}");
    let figures = public.get("/figures", &[]).await;
    looks_like("figures", &figures);
    assert_eq!((&figures["span"], figures["points"].as_array().map(Vec::len)), (&json!("day"), Some(96)), "{figures}");
    let week = public.call_at("GET", "/figures", "/figures?span=week", None, 200).await;
    assert_eq!((&week["step"], week["points"].as_array().map(Vec::len)), (&json!(3600), Some(168)), "{week}");
    let refused = public.call_at("GET", "/figures", "/figures?span=year", None, 422).await;
    assert_eq!(refused["errors"][0]["field"], "span", "{refused}");
    public.get("/openapi.json", &[]).await;
}

async fn administration(public: &Judge<'_>, id: &str) {
    let wanted = json!({"name": "partner", "scopes": ["read"], "connections": [id], "expires_at": "2099-01-01T00:00:00Z"});
    let mut made = public.call("POST", "/tokens", &[], Some(wanted), 201).await;
    let secret = made.as_object_mut().expect("an object").remove("secret").expect("once");
    looks_like("token", &made);
    let listed = public.get("/tokens", &[]).await;
    assert_eq!(listed["items"][0], made);
    assert!(!listed.to_string().contains(secret.as_str().expect("text")));
    let token = made["id"].as_str().expect("an id");
    public.call("DELETE", "/tokens/{id}", &[("id", token)], None, 204).await;
    let audit = public.get("/audit", &[]).await;
    assert_eq!((&audit["items"][0]["action"], &audit["items"][0]["by"]), (&json!("token.delete"), &json!("configuration")));
}
