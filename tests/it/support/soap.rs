//! Outbound messages as anybody who knows a door's address could post them.

use serde_json::Value;

use super::{World, http};

/// An envelope of this org with these notifications: id, and the record's fields (nothing: a record without data).
pub fn envelope(org: &str, notifications: &[(&str, Value)]) -> String {
    let mut body = String::new();
    for (id, fields) in notifications {
        body.push_str(&format!(
            "<Notification><Id>{id}</Id><sObject xsi:type=\"sf:Case\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">"
        ));
        for (name, value) in fields.as_object().into_iter().flatten() {
            body.push_str(&format!("<sf:{name}>{}</sf:{name}>", value.as_str().expect("text")));
        }
        body.push_str("</sObject></Notification>");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\"><OrganizationId>{org}</OrganizationId>\
         <ActionId>04k5i000000AAAAAA4</ActionId><SessionId xsi:nil=\"true\"/><EnterpriseUrl>http://org</EnterpriseUrl>\
         <PartnerUrl>http://org</PartnerUrl>{body}</notifications></soapenv:Body></soapenv:Envelope>"
    )
}

/// Posts one to the public node's door and gives status and body of the answer.
pub async fn post(world: &World, notifications: &[(&str, Value)]) -> (u16, String) {
    let support = world.public.get("/trackers/support").await;
    let door = support["outbound_message_url"].as_str().expect("a door").to_owned();
    let body = envelope(&world.org.handle.org_id(), notifications);
    let answer = http().post(door).header("content-type", "text/xml").body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// The id of a notification; the same number gives the same.
pub fn notification(number: u32) -> String {
    format!("04l5i00000{number:05}AAA")
}
