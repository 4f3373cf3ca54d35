//! An outbound message of 1.5 kB about a Case that no other message is about.

use wicketgate::sandbox::org::OrgSettings;

/// The address of a door, taken apart.
#[derive(Clone)]
pub struct Door {
    path: String,
    host: String,
}

impl Door {
    pub fn new(address: &str) -> Self {
        let url = url::Url::parse(address).expect("the address of a door");
        Self { path: url.path().to_owned(), host: url.authority().to_owned() }
    }

    /// A whole request.
    pub fn request(&self, body: &str) -> String {
        let Self { path, host } = self;
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// The message; `subject` is the number that the record carries to the far side.
pub fn body(notice: &str, key: &str, subject: u64) -> String {
    let org = OrgSettings::default().org_id;
    let text = "Pump \"B2\" stops at &lt;60 % load &amp; shows E-17. ".repeat(6);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org}</OrganizationId>
   <ActionId>04k5i000000TmAbAAK</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://example-dev-ed.develop.my.salesforce.com/services/Soap/c/68.0/00D5i000000XyZa</EnterpriseUrl>
   <PartnerUrl>https://example-dev-ed.develop.my.salesforce.com/services/Soap/u/68.0/00D5i000000XyZa</PartnerUrl>
   <Notification>
    <Id>{notice}</Id>
    <sObject xsi:type="sf:Case" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>{key}</sf:Id>
     <sf:Description>{text}</sf:Description>
     <sf:LastModifiedById>0055i000002hGjKAAU</sf:LastModifiedById>
     <sf:Priority>High</sf:Priority>
     <sf:Status>Escalated</sf:Status>
     <sf:Subject>{subject}</sf:Subject>
     <sf:SystemModstamp>2026-11-23T02:41:07.000Z</sf:SystemModstamp>
    </sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"#
    )
}
