//! The org over HTTP, with a bare client.
//!
//! Longer than 400 lines, since one client and one listener serve all groups.

use std::{sync::Arc, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::clock::{ManualClock, SystemClock, Time};

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

fn bare() -> reqwest::Client {
    #[allow(clippy::disallowed_methods, reason = "a test looks at the org from outside, with nothing of ours between")]
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("client")
}

impl Client {
    async fn login(org: &Running) -> Self {
        let http = bare();
        let form = [("grant_type", "client_credentials"), ("client_id", "sandbox-client"), ("client_secret", "sandbox-secret")];
        let answer = http.post(format!("{}/services/oauth2/token", org.url)).form(&form).send().await.expect("token");
        let answer: Value = answer.json().await.expect("json");
        let token = answer["access_token"].as_str().expect("token").to_owned();
        Self { http, url: org.url.clone(), token }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let path = if path.starts_with("/services") { path.to_owned() } else { format!("/services/data/v66.0{path}") };
        let method = method.parse::<reqwest::Method>().expect("method");
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    async fn query(&self, soql: &str) -> (u16, Value) {
        let answer = self.request("GET", "/query").query(&[("q", soql)]).send().await.expect("answer");
        (answer.status().as_u16(), answer.json().await.expect("json"))
    }
}

/// All bytes that come back to a plain request.
async fn raw(org: &Running, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(org.addr).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", org.addr);
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    // A reset is as good an end as a close.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn org(change: impl FnOnce(&mut OrgSettings)) -> Running {
    let mut settings = OrgSettings::default();
    change(&mut settings);
    Org::start(settings, Arc::new(SystemClock)).await.expect("org starts")
}

fn code(body: &Value) -> &str {
    body[0]["errorCode"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn login_answers_as_the_facts_say() {
    let org = org(|_| ()).await;
    let http = bare();
    let token = |form: Vec<(&'static str, &'static str)>| {
        let request = http.post(format!("{}/services/oauth2/token", org.url)).form(&form);
        async move {
            let answer = request.send().await.expect("answer");
            (answer.status().as_u16(), answer.json::<Value>().await.expect("json"))
        }
    };
    let (status, body) = token(vec![("grant_type", "password")]).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("unsupported_grant_type")));
    let (_, body) = token(vec![("grant_type", "client_credentials"), ("client_id", "x")]).await;
    assert_eq!(body["error"], "invalid_client_id");
    let (_, body) =
        token(vec![("grant_type", "client_credentials"), ("client_id", "sandbox-client"), ("client_secret", "x")]).await;
    assert_eq!(body["error"], "invalid_client");
    let client = Client::login(&org).await;
    let (status, who) = client.call("GET", "/services/oauth2/userinfo", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(who["organization_id"], org.handle.org_id());
    org.handle.expire_sessions();
    let (status, body) = client.call("GET", "/limits", Value::Null).await;
    assert_eq!((status, code(&body)), (401, "INVALID_SESSION_ID"));
    let versions: Value =
        http.get(format!("{}/services/data/", org.url)).send().await.expect("answer").json().await.expect("json");
    assert_eq!(versions.as_array().and_then(|all| all.last()).map(|last| last["label"].clone()), Some(json!("Winter '27")));
    assert_eq!(org.handle.calls()["login"], 4);
}

#[tokio::test]
async fn a_code_is_good_once_and_a_refresh_token_rotates() {
    let org = org(|settings| settings.auto_approve = true).await;
    let http = bare();
    let verifier = "a".repeat(43);
    let challenge = crate::secret::base64url(&crate::secret::sha256(verifier.as_bytes()));
    let page = format!(
        "{}/services/oauth2/authorize?response_type=code&client_id=sandbox-client&redirect_uri=http://localhost/cb&state=s%20t\
         &code_challenge={challenge}&code_challenge_method=S256",
        org.url
    );
    let back = http.get(page).send().await.expect("answer");
    assert_eq!(back.status(), 302);
    let place = url::Url::parse(back.headers()["location"].to_str().expect("text")).expect("url");
    let given = place.query_pairs().collect::<std::collections::BTreeMap<_, _>>();
    assert_eq!(given["state"], "s t");
    let ask = |form: Vec<(&'static str, String)>| {
        let request = http.post(format!("{}/services/oauth2/token", org.url)).form(&form);
        async move { request.send().await.expect("answer").json::<Value>().await.expect("json") }
    };
    let exchange = || {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", "sandbox-client".to_owned()),
            ("client_secret", "sandbox-secret".to_owned()),
            ("redirect_uri", "http://localhost/cb".to_owned()),
            ("code", given["code"].to_string()),
            ("code_verifier", verifier.clone()),
        ]
    };
    let first = ask(exchange()).await;
    assert!(first["refresh_token"].is_string() && first["expires_in"].is_null(), "{first}");
    assert_eq!(ask(exchange()).await["error_description"], "expired authorization code");
    let refresh = |token: &Value| {
        vec![
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", "sandbox-client".to_owned()),
            ("refresh_token", token.as_str().unwrap_or_default().to_owned()),
        ]
    };
    let second = ask(refresh(&first["refresh_token"])).await;
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(ask(refresh(&first["refresh_token"])).await["error_description"], "expired access/refresh token");
}

#[tokio::test]
async fn a_signed_assertion_logs_in() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("key");
    let org = org(|settings| settings.jwt_public_key = Some(key.public_key_pem())).await;
    let signer = jsonwebtoken::EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).expect("signer");
    let now = SystemClock.now().seconds();
    let ask = async |aud: &str, sub: &str, exp: i64| {
        let claims = json!({"iss": "sandbox-client", "sub": sub, "aud": aud, "exp": exp});
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        let assertion = jsonwebtoken::encode(&header, &claims, &signer).expect("signed");
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
        let answer = bare().post(format!("{}/services/oauth2/token", org.url)).form(&form).send().await.expect("answer");
        answer.json::<Value>().await.expect("json")
    };
    let user = "sync.integration@example.com";
    let good = ask("https://login.salesforce.com", user, now + 180).await;
    assert!(good["access_token"].is_string() && good["refresh_token"].is_null() && good["signature"].is_null(), "{good}");
    assert_eq!(ask("https://other.example", user, now + 180).await["error_description"], "audience is invalid");
    assert_eq!(ask(&org.url, "other@example.com", now + 180).await["error_description"], "user hasn't approved this consumer");
    assert_eq!(ask(&org.url, user, now - 1).await["error_description"], "expired assertion");
}

#[tokio::test]
async fn records_are_saved_and_refused() {
    let org = org(|settings| settings.automation.validation_rule = true).await;
    let client = Client::login(&org).await;
    let (status, made) = client.call("POST", "/sobjects/Case", json!({"Subject": "Pump", "Priority": "Odd"})).await;
    assert_eq!(status, 201);
    let path = format!("/sobjects/Case/{}", made["id"].as_str().expect("id"));
    let (_, case) = client.call("GET", &path, Value::Null).await;
    assert_eq!(case["CaseNumber"], "00001001");
    assert_eq!(case["OwnerId"].as_str().map(|id| &id[..3]), Some("00G"), "without the header the queue gets it");
    assert_eq!(case["CreatedDate"], case["SystemModstamp"]);
    assert!(case["CreatedDate"].as_str().is_some_and(|text| text.ends_with(".000+0000")));
    for (body, expected) in [
        (json!({"Nope": 1}), "INVALID_FIELD"),
        (json!({"IsClosed": true}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (json!({"Subject": "x".repeat(256)}), "STRING_TOO_LONG"),
        (json!({"Subject": "INVALID"}), "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        (json!([1]), "JSON_PARSER_ERROR"),
    ] {
        let (status, answer) = client.call("PATCH", &path, body).await;
        assert_eq!((status, code(&answer)), (400, expected));
    }
    let (status, _) = client.call("PATCH", &path, json!({"Status": "Closed"})).await;
    assert_eq!(status, 204);
    let (_, case) = client.call("GET", &format!("{path}?fields=IsClosed,ClosedDate"), Value::Null).await;
    assert!(case["IsClosed"] == true && case["ClosedDate"].is_string());
    let (_, describe) = client.call("GET", "/sobjects/Case/describe", Value::Null).await;
    let priority =
        describe["fields"].as_array().and_then(|all| all.iter().find(|field| field["name"] == "Priority")).expect("field");
    let odd =
        priority["picklistValues"].as_array().and_then(|all| all.iter().find(|value| value["value"] == "Odd")).expect("value");
    assert_eq!(odd["active"], false);
    assert_eq!(client.call("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(client.call("GET", &path, Value::Null).await.0, 404);
    assert_eq!(code(&client.call("PATCH", &path, json!({"Subject": "x"})).await.1), "ENTITY_IS_DELETED");
    let (_, rows) = client.call("GET", "/queryAll?q=SELECT+Id,IsDeleted+FROM+Case", Value::Null).await;
    assert_eq!(rows["records"][0]["IsDeleted"], true);
    assert_eq!(code(&client.call("GET", "/sobjects/Case/nope", Value::Null).await.1), "MALFORMED_ID");
    assert_eq!(code(&client.call("GET", "/sobjects/Case/500000000000000AAA", Value::Null).await.1), "NOT_FOUND");
}

#[tokio::test]
async fn upsert_makes_once_and_changes_after() {
    let org = org(|_| ()).await;
    let client = Client::login(&org).await;
    let path = "/sobjects/Case/Wicketgate_Id__c/0190-a";
    let (status, first) = client.call("PATCH", path, json!({"Subject": "a"})).await;
    assert_eq!((status, first["created"].clone()), (201, json!(true)));
    let (status, second) = client.call("PATCH", path, json!({"Subject": "b"})).await;
    assert_eq!((status, second["created"].clone(), second["id"].clone()), (200, json!(false), first["id"].clone()));
    let (_, refused) = client.call("PATCH", path, json!({"Wicketgate_Id__c": "x"})).await;
    assert_eq!(code(&refused), "INVALID_FIELD");
    let (status, refused) = client.call("POST", "/sobjects/Case", json!({"Wicketgate_Id__c": "0190-a"})).await;
    assert_eq!((status, code(&refused)), (400, "DUPLICATE_VALUE"));
}

#[tokio::test]
async fn collections_answer_in_order_and_all_or_none_undoes() {
    let org = org(|_| ()).await;
    let client = Client::login(&org).await;
    let record = |subject: &str| json!({"attributes": {"type": "Case"}, "Subject": subject});
    let long = "x".repeat(300);
    let mut body = json!({"allOrNone": false, "records": [record("a"), record(&long), record("c")]});
    let (status, rows) = client.call("POST", "/composite/sobjects", body.clone()).await;
    assert_eq!(status, 200);
    assert_eq!((rows[0]["success"].clone(), rows[1]["errors"][0]["statusCode"].clone()), (json!(true), json!("STRING_TOO_LONG")));
    assert_eq!(org.handle.count("Case"), 2);
    body["allOrNone"] = json!(true);
    let (_, rows) = client.call("POST", "/composite/sobjects", body).await;
    assert_eq!(rows[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(org.handle.count("Case"), 2);
    let ids = org.handle.all("Case").iter().map(|case| case["Id"].clone()).collect::<Vec<_>>();
    let (_, rows) = client
        .call("POST", "/composite/sobjects/Case", json!({"ids": [ids[0], "500000000000000AAA"], "fields": ["Subject"]}))
        .await;
    assert_eq!((rows[0]["Subject"].clone(), rows[1].clone()), (json!("a"), Value::Null));
    let (status, refused) = client.call("POST", "/composite/sobjects", json!({"records": vec![record("x"); 201]})).await;
    assert_eq!((status, code(&refused)), (400, "LIMIT_EXCEEDED"));
    let upsert = json!({"records": [{"attributes": {"type": "Case"}, "Wicketgate_Id__c": "u1", "Subject": "u"}]});
    let (_, rows) = client.call("PATCH", "/composite/sobjects/Case/Wicketgate_Id__c", upsert).await;
    assert_eq!(rows[0]["created"], true);
}

#[tokio::test]
async fn composite_refers_and_rolls_back() {
    let org = org(|_| ()).await;
    let client = Client::login(&org).await;
    let base = "/services/data/v66.0";
    let part = |id: &str, method: &str, url: String, body: Value| json!({"method": method, "url": url, "referenceId": id, "body": body, "httpHeaders": {"Sforce-Auto-Assign": "FALSE"}});
    let good = json!({"allOrNone": true, "compositeRequest": [
        part("made", "POST", format!("{base}/composite/sobjects"), json!({"records": [{"attributes": {"type": "Case"}, "Subject": "c"}]})),
        part("read", "GET", format!("{base}/sobjects/Case/@{{made[0].id}}"), Value::Null),
        part("comment", "POST", format!("{base}/sobjects/CaseComment"), json!({"ParentId": "@{read.Id}", "CommentBody": "hello"})),
    ]});
    let (status, answer) = client.call("POST", "/composite", good).await;
    assert_eq!(status, 200);
    assert_eq!(answer["compositeResponse"][1]["body"]["Subject"], "c", "{answer}");
    assert_eq!(answer["compositeResponse"][1]["body"]["OwnerId"], org.handle.integration_user());
    assert_eq!(answer["compositeResponse"][2]["httpStatusCode"], 201);
    let bad = json!({"allOrNone": true, "compositeRequest": [
        part("a", "POST", format!("{base}/sobjects/Case"), json!({"Subject": "d"})),
        part("b", "POST", format!("{base}/sobjects/Case"), json!({"Nope": "d"})),
    ]});
    let (_, answer) = client.call("POST", "/composite", bad).await;
    assert_eq!(answer["compositeResponse"][0]["body"][0]["errorCode"], "PROCESSING_HALTED");
    assert_eq!(answer["compositeResponse"][1]["body"][0]["errorCode"], "INVALID_FIELD");
    assert_eq!(org.handle.count("Case"), 1);
    assert_eq!(org.handle.api_calls_total(), 2);
}

#[tokio::test]
async fn queries_page_and_refuse() {
    let org = org(|_| ()).await;
    let client = Client::login(&org).await;
    let rows = (0..450)
        .map(|i| json!({"Subject": format!("case {i}"), "Priority": if i % 2 == 0 { "High" } else { "Low" }}))
        .collect::<Vec<_>>();
    let agent = org.handle.agent_user();
    org.handle.create_many("Case", &rows, &agent).expect("made");
    let request = client.request("GET", "/query").query(&[("q", "SELECT Id, Owner.Name FROM Case ORDER BY CaseNumber")]);
    let answer = request.header("Sforce-Query-Options", "batchSize=200").send().await.expect("answer");
    assert!(answer.headers()["sforce-limit-info"].to_str().expect("text").starts_with("api-usage=1/15000"));
    let mut page: Value = answer.json().await.expect("json");
    assert_eq!(page["records"][0]["Owner"]["Name"], "Mira Olsen");
    let mut seen = 0;
    loop {
        seen += page["records"].as_array().map_or(0, Vec::len);
        let Some(next) = page["nextRecordsUrl"].as_str().map(str::to_owned) else { break };
        page = client.call("GET", &next, Value::Null).await.1;
    }
    assert_eq!((seen, page["done"].clone()), (450, json!(true)));
    let (_, count) = client.query("SELECT COUNT() FROM Case WHERE Priority = 'high' AND (NOT Subject LIKE '%0')").await;
    assert_eq!(count["totalSize"], 180);
    for (soql, expected) in [
        ("SELECT Nope FROM Case", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM", "MALFORMED_QUERY"),
        ("SELECT Id FROM Case WHERE SystemModstamp > '2026'", "INVALID_FIELD"),
        ("SELECT Id FROM Case WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY"),
    ] {
        let (status, answer) = client.query(soql).await;
        assert_eq!((status, code(&answer)), (400, expected), "{soql}");
    }
    assert_eq!(code(&client.call("GET", "/query/01gxx-2000", Value::Null).await.1), "INVALID_QUERY_LOCATOR");
    let (_, senders) = client
        .query("SELECT Assignee.Username FROM PermissionSetAssignment WHERE PermissionSet.PermissionsEnableNotifications = true")
        .await;
    assert_eq!(senders["records"][0]["Assignee"]["Username"], "mira.olsen@example.com");
    let (_, inner) = client
        .query("SELECT Username FROM User WHERE Id NOT IN (SELECT AssigneeId FROM PermissionSetAssignment WHERE PermissionSet.PermissionsEnableNotifications = true)")
        .await;
    assert_eq!(inner["totalSize"], 1);
}

#[tokio::test]
async fn the_allowance_ends() {
    let org = org(|settings| settings.daily_limit = 2).await;
    let client = Client::login(&org).await;
    for _ in 0..2 {
        assert_eq!(client.query("SELECT Id FROM Case").await.0, 200);
    }
    let (status, body) = client.query("SELECT Id FROM Case").await;
    assert_eq!((status, code(&body)), (403, "REQUEST_LIMIT_EXCEEDED"));
    assert_eq!(client.call("GET", "/limits", Value::Null).await.1["DailyApiRequests"]["Remaining"], 0);
}

#[tokio::test]
async fn faults_come_when_asked_for() {
    let org = org(|_| ()).await;
    let client = Client::login(&org).await;
    org.handle.fail(Fault::on_writes(1, FaultKind::LockRow));
    let (status, body) = client.call("POST", "/sobjects/Case", json!({"Subject": "a"})).await;
    assert_eq!((status, code(&body)), (400, "UNABLE_TO_LOCK_ROW"));
    org.handle.fail(Fault::on_writes(1, FaultKind::ResetAfterCommit));
    let lost = client.request("POST", "/sobjects/Case").json(&json!({"Subject": "a"})).send().await;
    let lost = match lost {
        Ok(answer) => answer.bytes().await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(lost.is_err(), "the answer is lost");
    org.handle.fail(Fault::at("/limits", 1, FaultKind::ResetAfterCommit));
    assert_eq!(raw(&org, "/services/data/v66.0/limits").await, "", "not even the head arrives");
    assert_eq!(org.handle.count("Case"), 1, "the work is done");
    org.handle.fail(Fault::at("/query", 1, FaultKind::ServerUnavailableArray));
    assert_eq!(client.query("SELECT Id FROM Case").await.0, 503);
    let fault = json!({"when": {"path": "/limits"}, "kind": "unauthorized"});
    let set = client.http.post(format!("{}/sandbox/faults", org.url)).json(&fault).send().await.expect("answer");
    assert_eq!(set.status(), 204);
    assert_eq!(client.call("GET", "/limits", Value::Null).await.0, 401);
    assert_eq!(client.call("GET", "/limits", Value::Null).await.0, 401, "the session is dead");
}

#[tokio::test]
async fn deleted_and_updated_records_are_listed() {
    let clock = ManualClock::new("2026-11-24T04:00:30Z".parse::<Time>().expect("time"));
    let org = Org::start(OrgSettings::default(), Arc::new(clock.clone())).await.expect("org");
    let client = Client::login(&org).await;
    let agent = org.handle.agent_user();
    let id = org.handle.create("Case", &json!({"Subject": "a"}), &agent).expect("made");
    org.handle.delete(&id, &agent).expect("deleted");
    clock.advance(Duration::from_secs(120));
    let span = "start=2026-11-24T03:59:00%2B00:00&end=2026-11-24T04:02:00%2B00:00";
    let (_, gone) = client.call("GET", &format!("/sobjects/Case/deleted/?{span}"), Value::Null).await;
    assert_eq!(gone["deletedRecords"][0]["id"], id, "{gone}");
    org.handle.undelete(&id, &agent).expect("back");
    let (_, changed) = client.call("GET", &format!("/sobjects/Case/updated/?{span}"), Value::Null).await;
    assert_eq!(changed["ids"], json!([]), "its stamp lies in the minute after");
    let (status, refused) =
        client.call("GET", "/sobjects/Case/deleted/?start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z", Value::Null).await;
    assert_eq!((status, code(&refused)), (400, "INVALID_REPLICATION_DATE"));
}

/// A listener that hands over what it gets and acknowledges as told.
async fn listener(ack: impl Fn(usize) -> bool + Send + Sync + 'static) -> (String, mpsc::UnboundedReceiver<String>) {
    let (send, receive) = mpsc::unbounded_channel::<String>();
    let ack = Arc::new(ack);
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        let (send, ack, count) = (send.clone(), ack.clone(), count.clone());
        App::new().default_service(web::to(move |body: String| {
            // The test may be over before the last message.
            let _ = send.send(body);
            let said = ack(count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
            async move {
                HttpResponse::Ok().content_type("text/xml").body(format!(
                    "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><notificationsResponse \
                     xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>{said}</Ack></notificationsResponse></e:Body></e:Envelope>"
                ))
            }
        }))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .expect("bind");
    let url = format!("http://{}/om?x=1", server.addrs()[0]);
    tokio::spawn(server.run());
    (url, receive)
}

async fn next(receive: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(Duration::from_secs(10), receive.recv()).await.expect("in time").expect("a message")
}

#[tokio::test]
async fn outbound_messages_follow_a_persons_save() {
    let org = org(|settings| settings.outbound.haste = 1000.0).await;
    let (url, mut receive) = listener(|attempt| attempt > 0).await;
    let fields = ["Subject", "CaseNumber", "Description", "IsClosed", "SystemModstamp", "Priority"].map(str::to_owned).to_vec();
    org.handle.set_outbound_message(OutboundMessage { object: "Case".to_owned(), url, fields });
    let client = Client::login(&org).await;
    client.call("POST", "/sobjects/Case", json!({"Subject": "by the integration user"})).await;
    let agent = org.handle.agent_user();
    let id = org.handle.create("Case", &json!({"Subject": "a < b & c"}), &agent).expect("made");
    let first = next(&mut receive).await;
    assert_eq!(first.matches("<Notification>").count(), 1, "the integration user's save sends nothing");
    assert!(first.contains("<sf:Subject>a &lt; b &amp; c</sf:Subject>"), "{first}");
    assert!(!first.contains("sf:Description"), "nulls are left out");
    assert!(first.contains("<SessionId xsi:nil=\"true\"/>") && first.contains(&format!("<sf:Id>{id}</sf:Id>")));
    let places = ["sf:Id", "sf:CaseNumber", "sf:IsClosed", "sf:Priority", "sf:Subject", "sf:SystemModstamp"]
        .map(|name| first.find(&format!("<{name}>")));
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    assert!(!first.contains("+0000"));
    let again = next(&mut receive).await;
    let notification =
        |xml: &str| xml.split("<Notification>").nth(1).map(|rest| rest.split("</Id>").next().unwrap_or_default().to_owned());
    assert_eq!(notification(&first), notification(&again), "the same id is sent again after a nack");
    let rows = vec![json!({"Subject": "bulk"}); 120];
    org.handle.create_many("Case", &rows, &agent).expect("made");
    let (one, two) = (next(&mut receive).await, next(&mut receive).await);
    let mut sizes = [one, two].map(|xml| xml.matches("<Notification>").count());
    sizes.sort_unstable();
    assert_eq!(sizes, [20, 100]);
    org.handle.delete(&id, &agent).expect("deleted");
    for _ in 0..100 {
        if org.handle.deliveries().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(org.handle.delivery_counts().0, 121);
}

#[tokio::test]
async fn the_agents_page_creates_and_edits() {
    let org = org(|_| ()).await;
    let http = bare();
    let form = [("Subject", "<b>Pump</b>"), ("Status", "New")];
    let saved = http.post(format!("{}/sandbox/cases", org.url)).form(&form).send().await.expect("answer");
    assert_eq!(saved.status(), 303);
    let page = http.get(format!("{}/", org.url)).send().await.expect("answer").text().await.expect("text");
    assert!(page.contains("&lt;b&gt;Pump&lt;/b&gt;") && page.contains("Mira Olsen"));
    let id = org.handle.all("Case")[0]["Id"].as_str().expect("id").to_owned();
    let edited = http.post(format!("{}/sandbox/cases/{id}", org.url)).form(&[("Status", "Closed")]).send().await.expect("answer");
    assert_eq!(edited.status(), 303);
    assert_eq!(org.handle.get(&id).expect("case")["IsClosed"], true);
    let foreign = http
        .post(format!("{}/sandbox/cases/{id}/delete", org.url))
        .header("origin", "https://evil.example")
        .send()
        .await
        .expect("answer");
    assert_eq!(foreign.status(), 403);
    assert_eq!(org.handle.count("Case"), 1);
}
