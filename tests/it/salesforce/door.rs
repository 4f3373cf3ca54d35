//! The door for outbound messages of a whole node: what is taken in, what is not, and who sees why.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wicketgate::{
    clock::SystemClock,
    config::Role,
    sandbox::org::{DeletedForm, Org, OrgSettings, OutboundSettings},
};

use crate::support::{Settings, TestNode, World, support_section, until, until_said};

const SAMPLE: &str = include_str!("../../fixtures/outbound-case.xml");
const ACK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>";

async fn alone(settings: Settings) -> World {
    World::with(Settings { joined: false, ..settings }).await
}

async fn door(node: &TestNode) -> String {
    let tracker = node.get("/trackers/support").await;
    tracker["outbound_message_url"].as_str().expect("a door").to_owned()
}

/// What a plain client gets: the status line with its own words, and the body.
async fn post(url: &str, body: &str, more: &str) -> (String, String) {
    let url = url::Url::parse(url).expect("an address");
    let address = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
    let mut line = tokio::net::TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: text/xml; charset=UTF-8\r\nSOAPAction: \"\"\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n",
        url.path(),
        url.host_str().expect("a host"),
        url.port().expect("a port"),
        body.len()
    );
    line.write_all(head.as_bytes()).await.expect("sends");
    line.write_all(body.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    line.read_to_string(&mut answer).await.expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.lines().next().expect("a status").to_owned(), body.to_owned())
}

fn message(org: &str, notifications: &str) -> String {
    let start = SAMPLE.find("<Notification>").expect("there");
    let end = SAMPLE.rfind("</Notification>").expect("there") + "</Notification>".len();
    format!("{}{notifications}{}", &SAMPLE[..start], &SAMPLE[end..]).replace("00D5i000000XyZaEAK", org)
}

fn notification(n: usize, fields: &str) -> String {
    format!(
        "<Notification><Id>04l5i0000000{n:03}AAA</Id><sObject xsi:type=\"sf:Case\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">\
         <sf:Id>5005i0000000{n:03}</sf:Id>{fields}</sObject></Notification>"
    )
}

async fn errors(node: &TestNode) -> Vec<Value> {
    node.get("/errors").await["items"].as_array().cloned().unwrap_or_default()
}

async fn history(node: &TestNode, key: &str) -> usize {
    let told = node.get(&format!("/trackers/support/entities/Case/{key}")).await;
    told["history"].as_array().map_or(0, Vec::len) + told["waiting"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_taken_in_and_acknowledged_byte_for_byte() {
    let world = alone(Settings::default()).await;
    let url = door(&world.public).await;
    let ours = SAMPLE.replace("00D5i000000XyZaEAK", &world.org.handle.org_id());
    let (status, body) = post(&format!("{url}?org=acme"), &ours, "Authorization: Basic dXNlcjpwYXNz\r\n").await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ACK));
    for key in ["5005i00000KfR1aAAF", "5005i00000KfR1b"] {
        assert_eq!(history(&world.public, key).await, 1, "kept, and in one place");
    }
    // The same notifications again, in a message with 15 characters of org and an old session id: acknowledged, known.
    let again = ours
        .replace(&world.org.handle.org_id(), &world.org.handle.org_id()[..15])
        .replace("<SessionId xsi:nil=\"true\"/>", "<SessionId>00D!AQ0.secret</SessionId>");
    assert_eq!(post(&url, &again, "").await.1, ACK);
    assert_eq!(history(&world.public, "5005i00000KfR1aAAF").await, 1);
    let tracker = world.public.get("/trackers/support").await;
    assert!(tracker["last_notice_at"].is_string(), "{tracker}");
    let check = world.public.post("/trackers/support/check", json!({})).await;
    let last = check["steps"].as_array().and_then(|steps| steps.last()).cloned().unwrap_or_default();
    assert!(
        last["name"] == "last message" && last["detail"].as_str().is_some_and(|text| text.contains("The last one came at")),
        "{last}"
    );
    assert!(errors(&world.public).await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_in_says_why_to_both_sides() {
    let world = alone(Settings::default()).await;
    let url = door(&world.public).await;
    let org = world.org.handle.org_id();
    let other = org.replace("XyZ", "xyZ");
    for _ in 0..3 {
        let (status, body) = post(&url, &message(&other, &notification(1, "")), "").await;
        assert_eq!(status, "HTTP/1.1 500 Wrong org: this address belongs to another org");
        assert!(body.contains("<faultstring>Wrong org") && !body.contains("Ack"), "{body}");
    }
    let told = errors(&world.public).await;
    assert_eq!(told.len(), 1, "one row for one cause: {told:?}");
    assert_eq!(
        (&told[0]["scope"], told[0]["title"].as_str()),
        (&json!("tracker"), Some("Messages come from another Salesforce org"))
    );
    assert!(told[0]["detail"].as_str().is_some_and(|detail| detail.contains(&other) && detail.contains(&org)), "{told:?}");
    for (body, why) in [
        (
            message(&org, &notification(1, "")).replace("<soapenv:Envelope", "<!DOCTYPE a [<!ENTITY b \"c\">]><soapenv:Envelope"),
            "document types",
        ),
        (message(&org, &notification(1, "<sf:Subject>&b;</sf:Subject>")), "reference"),
        (message(&org, &(0..101).map(|n| notification(n, "")).collect::<String>()), "more than 100"),
        (message(&org, ""), "no Notification"),
        ("{\"json\": true}".to_owned(), "outside the root"),
        (String::new(), "too early"),
    ] {
        let (status, body) = post(&url, &body, "").await;
        assert_eq!(status, "HTTP/1.1 500 Not an outbound message");
        assert!(body.contains(why) && !body.contains("Ack"), "{why}: {body}");
    }
    assert!(errors(&world.public).await.iter().any(|error| error["title"] == "Messages come that cannot be read"));
    assert_eq!(history(&world.public, "5005i0000000001").await, 0, "nothing was taken in");
    let (status, _) = post(&url.replace("/outbound-messages/", "/outbound-messages/x"), SAMPLE, "").await;
    assert!(status.starts_with("HTTP/1.1 403"), "{status}");
    // The next good message shows that the rest is mended; a guessed token waits for a person.
    assert_eq!(post(&url, &message(&org, &notification(1, "")), "").await.1, ACK);
    let titles: Vec<_> = errors(&world.public).await.iter().map(|error| error["title"].clone()).collect();
    assert_eq!(titles, ["Messages come with a wrong token in their address"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_makes_no_sense_is_kept_as_an_error_and_its_neighbours_go_on() {
    let world = alone(Settings::default()).await;
    let url = door(&world.public).await;
    let mut all: Vec<String> = (0..100).map(|n| notification(n, "<sf:Subject>a</sf:Subject>")).collect();
    all[50] = notification(50, "<sf:SystemModstamp>yesterday</sf:SystemModstamp>");
    assert_eq!(post(&url, &message(&world.org.handle.org_id(), &all.concat()), "").await.1, ACK);
    for (n, kept) in [(0, 1), (49, 1), (50, 0), (51, 1), (99, 1)] {
        assert_eq!(history(&world.public, &format!("5005i0000000{n:03}")).await, kept, "{n}");
    }
    let told = errors(&world.public).await;
    let detail = told[0]["detail"].as_str().unwrap_or_default();
    assert!(told.len() == 1 && detail.contains("04l5i0000000050AAA (record 5005i0000000050AAA)"), "{told:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_at_the_door_is_told_what_it_is() {
    let world = alone(Settings::default()).await;
    let url = door(&world.public).await;
    let page = crate::support::http().get(&url).send().await.expect("answers");
    assert_eq!(page.status().as_u16(), 200);
    let text = page.text().await.expect("text");
    assert!(text.contains("this address is right") && text.contains("Endpoint URL"), "{text}");
    let wrong = crate::support::http().get(format!("{url}x")).send().await.expect("answers");
    assert_eq!(wrong.status().as_u16(), 403);
    assert!(errors(&world.public).await.is_empty(), "a browser's guess is no message");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_login_nothing_is_acknowledged_and_a_restart_remembers_the_org() {
    crate::support::provider();
    let dir = tempfile::TempDir::new().expect("a folder");
    let org = Org::start(OrgSettings::default(), Arc::new(SystemClock)).await.expect("starts");
    let (addr, org_id) = (org.addr, org.handle.org_id());
    let section = support_section(&org, "look = \"off\"\n");
    org.stop().await;
    let mut node = TestNode::new("public", dir.path(), Role::Public, Arc::new(SystemClock), &section);
    node.start().await;
    let url = door(&node).await;
    let (status, body) = post(&url, &message(&org_id, &notification(1, "")), "").await;
    assert_eq!(status, "HTTP/1.1 503 Not logged in to Salesforce yet");
    assert!(!body.contains("Ack"));
    assert!(errors(&node).await.iter().any(|error| error["title"] == "Messages come before the tracker could log in"));
    let org = Org::start(OrgSettings { addr, ..OrgSettings::default() }, Arc::new(SystemClock)).await.expect("starts again");
    until_said("the login", || async { node.post("/trackers/support/check", json!({})).await["ok"] == true }).await;
    assert_eq!(post(&url, &message(&org_id, &notification(1, "")), "").await.1, ACK);
    assert!(!errors(&node).await.iter().any(|error| error["title"] == "Messages come before the tracker could log in"));
    org.stop().await;
    node.stop().await;
    node.start().await;
    assert_eq!(post(&url, &message(&org_id, &notification(2, "")), "").await.1, ACK, "the org is known from before");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_deleted_before_its_message_left_is_not_lost_in_any_form() {
    for form in [DeletedForm::OnlyId, DeletedForm::Nil, DeletedForm::Missing] {
        let outbound = OutboundSettings { haste: 1000.0, deleted_form: form, ..OutboundSettings::default() };
        let world = alone(Settings { org: OrgSettings { outbound, ..OrgSettings::default() }, ..Settings::default() }).await;
        let agent = world.org.handle.agent_user();
        // Saved and deleted before anything could leave: the door is registered in between.
        let message = wicketgate::sandbox::org::OutboundMessage {
            object: "Case".to_owned(),
            url: "http://127.0.0.1:9/".to_owned(),
            fields: vec!["Subject".to_owned()],
        };
        let url = door(&world.public).await;
        world.org.handle.set_outbound_message(message.clone());
        let case = world.new_case(json!({"Subject": "short"}));
        world.org.handle.delete(&case, &agent).expect("deleted");
        world.org.handle.readdress("Case", &url);
        world.org.handle.retry_deliveries();
        until("the delivery", || world.org.handle.deliveries().is_empty()).await;
        let told = errors(&world.public).await;
        match form {
            DeletedForm::OnlyId => assert!(told.is_empty() && history(&world.public, &case).await == 1, "{told:?}"),
            // With the look off nobody would ever know which record it was.
            _ => assert!(told[0]["detail"].as_str().is_some_and(|text| text.contains("does not say which")), "{told:?}"),
        }
        world.stop().await;
    }
}
