use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    clock::{ManualClock, SystemClock},
    domain::tracker::{Description, Field},
};

const SAMPLE: &str = include_str!("../../../tests/fixtures/outbound-case.xml");

fn read(text: &str) -> Result<Message, Malformed> {
    parse(text.as_bytes(), Limits::default())
}

fn refused(text: &str) -> String {
    read(text).expect_err("refused").0
}

fn object(message: &Message, index: usize) -> &SObject {
    message.notifications[index].as_ref().expect("whole").object.as_ref().expect("with data")
}

/// The sample with its second notification replaced.
fn with_second(notification: &str) -> String {
    let start = SAMPLE.rfind("<Notification>").expect("there");
    let end = SAMPLE.rfind("</Notification>").expect("there") + "</Notification>".len();
    format!("{}{notification}{}", &SAMPLE[..start], &SAMPLE[end..])
}

#[test]
fn the_sample_is_read_whole() {
    let message = read(SAMPLE).expect("reads");
    assert_eq!(message.organization_id, "00D5i000000XyZaEAK");
    assert_eq!(message.action_id.len(), 18);
    assert!(!message.session_id_present);
    assert_eq!(message.notifications.len(), 2);
    let first = object(&message, 0);
    assert_eq!((first.entity_type.as_str(), first.id.as_str()), ("Case", "5005i00000KfR1aAAF"));
    let text = first.fields["Description"].as_str().expect("text");
    assert_eq!(text, "Pump \"B2\" stops at <60 % load & shows E-17.\nSeen twice — naïve reset did not help ✓");
    assert!(!object(&message, 1).fields.contains_key("Subject"));
}

#[test]
fn a_byte_order_mark_and_other_prefixes_are_the_same_message() {
    let marked = format!("\u{FEFF}{SAMPLE}");
    assert_eq!(read(&marked), read(SAMPLE));
    let renamed = SAMPLE.replace("sf:", "x1:").replace("xmlns:sf", "xmlns:x1").replace("soapenv", "S");
    assert_eq!(read(&renamed), read(SAMPLE));
    let crlf = SAMPLE.replace('\n', "\r\n");
    assert_eq!(read(&crlf), read(SAMPLE));
    let cdata = SAMPLE.replace("Pump stops under load", "Pump <![CDATA[stops]]>&#x20;under<!-- --> load");
    assert_eq!(read(&cdata), read(SAMPLE));
}

#[test]
fn what_is_no_message_is_refused() {
    assert!(refused("").contains("early"));
    assert!(refused(&SAMPLE.replace("<soapenv:Envelope", "<!DOCTYPE x><soapenv:Envelope")).contains("document types"));
    assert!(refused(&SAMPLE.replace("<soapenv:Body>", "<soapenv:Body><?php x?>")).contains("processing"));
    assert!(refused(&format!("{SAMPLE}<x/>")).contains("two roots"));
    assert!(refused(&format!("{SAMPLE}tail")).contains("outside"));
    assert!(refused(&SAMPLE[..SAMPLE.len() - 20]).contains("early"));
    assert!(refused(&SAMPLE.replace("2005/09/outbound", "2005/09/inbound")).contains("notifications"));
    assert!(refused(&SAMPLE.replace("OrganizationId>", "Organization>")).contains("OrganizationId"));
    assert!(refused(&SAMPLE.replace("00D5i000000XyZaEAK</Org", "0015i000000XyZaEAK</Org")).contains("OrganizationId"));
    assert!(refused(&SAMPLE.replace("encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"")).contains("UTF-8"));
    assert!(refused(&SAMPLE.replace("Pump stops", "&pump; stops")).contains("reference"));
    assert!(refused(&SAMPLE.replace("Pump stops", "&#0; stops")).len() > 5);
    assert!(
        refused(&SAMPLE.replace("<sf:Subject>", "<no:Subject>").replace("</sf:Subject>", "</no:Subject>")).contains("prefix")
    );
    assert!(refused(&SAMPLE.replace("xsi:nil=\"true\"", "xsi:nil=\"true\" xsi:nil=\"true\"")).contains("twice"));
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    assert!(refused(&deep).contains("deep"));
    assert!(refused(&"x".repeat(20)).contains("outside"));
    let small = Limits { bytes: 100, ..Limits::default() };
    assert!(parse(SAMPLE.as_bytes(), small).expect_err("refused").0.contains("larger"));
}

#[test]
fn a_hundred_and_one_notifications_are_refused() {
    let one = "<Notification><Id>04l5i0000012QwFAAU</Id></Notification>";
    assert_eq!(read(&with_second(&one.repeat(99))).expect("a hundred").notifications.len(), 100);
    assert!(refused(&with_second(&one.repeat(100))).contains("100"));
}

#[test]
fn one_senseless_notification_leaves_its_neighbours() {
    let id = "<Id>04l5i0000012QwFAAU</Id>";
    for broken in [
        "<Notification><Id>nonsense</Id></Notification>".to_owned(),
        format!("<Notification>{id}<sObject><x/></sObject></Notification>"),
        format!(
            "<Notification>{id}<sObject xsi:type=\"sf:Case\" xmlns:sf=\"urn:other\"><sf:Id>5005i00000KfR1b</sf:Id></sObject></Notification>"
        ),
        format!(
            "<Notification>{id}<sObject xsi:type=\"sf:Case\" xmlns:sf=\"{SOBJECT}\"><sf:Id>short</sf:Id></sObject></Notification>"
        ),
        format!(
            "<Notification>{id}<sObject xsi:type=\"sf:Case\" xmlns:sf=\"{SOBJECT}\"><sf:A>1</sf:A><sf:A>2</sf:A></sObject></Notification>"
        ),
    ] {
        let message = read(&with_second(&broken)).expect("the message itself is sound");
        assert!(message.notifications[0].is_ok());
        assert!(message.notifications[1].is_err(), "{broken}");
    }
}

#[test]
fn a_record_without_data_means_look() {
    let id = "<Id>04l5i0000012QwFAAU</Id>";
    let typed = format!("<sObject xsi:type=\"sf:Case\" xmlns:sf=\"{SOBJECT}\"><sf:Id>5005i00000KfR1b</sf:Id></sObject>");
    for (form, known) in [(String::new(), 0), ("<sObject xsi:nil=\"true\"/>".to_owned(), 0), (typed, 1)] {
        let message = read(&with_second(&format!("<Notification>{id}{form}</Notification>"))).expect("reads");
        assert!(message.notifications[1].is_ok());
        let changes = changes(&message, "support", Time(0), &SystemClock);
        assert_eq!(changes.len(), 1 + known);
        assert!(changes.get(1).is_none_or(|change| change.content.is_none() && change.key == "5005i00000KfR1bAAF"));
    }
}

#[test]
fn a_message_becomes_changes() {
    let clock = ManualClock::new(Time::from_seconds(1_795_402_641));
    let changes = changes(&read(SAMPLE).expect("reads"), "support", clock.now(), &clock);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].notice_id.as_deref(), Some("04l5i0000012QwEAAU"));
    assert_eq!((changes[0].source, changes[0].entity_type.as_str()), (Source::OutboundMessage, "Case"));
    let content = changes[0].content.as_ref().expect("with data");
    assert_eq!(content.stamp, Some("2026-11-23T02:41:07Z".parse().expect("a time")));
    assert_eq!(content.editor.as_deref(), Some("0055i000002hGjKAAU"));
    assert!(!content.whole);
    assert_ne!(changes[0].correlation, changes[1].correlation);
}

#[test]
fn text_gets_the_form_that_rest_has() {
    let field = |name: &str, field_type: &str| Field {
        name: name.into(),
        label: name.into(),
        field_type: field_type.into(),
        length: None,
        writable: true,
        required: false,
        values: None,
        ..Field::default()
    };
    let description = Description {
        entity_type: "Case".into(),
        fields: vec![
            field("IsClosed", "boolean"),
            field("Estimated_Cost__c", "currency"),
            field("SystemModstamp", "datetime"),
            field("Target_Date__c", "date"),
            field("Subject", "string"),
            field("Description", "textarea"),
            field("Card__c", "encryptedstring"),
        ],
        ..Description::default()
    };
    let fields = json!({"IsClosed": "false", "Estimated_Cost__c": "1.25E7", "SystemModstamp": "2026-11-23T02:41:07.000Z",
        "Target_Date__c": "2026-12-01", "Subject": "true", "Other__c": "1",
        "Description": "two\nlines", "Card__c": "****1234"});
    let typed = typed(fields.as_object().expect("fields"), &description);
    let expected = json!({"IsClosed": false, "Estimated_Cost__c": 12_500_000.0, "SystemModstamp": "2026-11-23T02:41:07.000+0000",
        "Target_Date__c": "2026-12-01", "Subject": "true", "Other__c": "1"});
    assert_eq!(Value::Object(typed), expected);
}

#[test]
fn what_the_contract_fixes_is_fixed() {
    let swapped = SAMPLE.replace("<ActionId>04k5i000000TmAbAAK</ActionId>", "");
    assert!(refused(&swapped).contains("ActionId"));
    let late = SAMPLE.replace("  </notifications>", "<ActionId>04k5i000000TmAbAAK</ActionId>  </notifications>");
    assert!(refused(&late).contains("ActionId"));
    let more = SAMPLE.replace("  </notifications>", "<More/>  </notifications>");
    assert!(refused(&more).contains("belong"));
    assert!(refused(&SAMPLE.replace("<PartnerUrl>", "<PartnerUrl x=\"1\">")).contains("PartnerUrl"));
    assert!(refused(&SAMPLE.replace("xsi:nil=\"true\"/>", "xsi:nil=\"true\">x</SessionId>")).contains("SessionId"));
    assert!(refused(&SAMPLE.replace("xsi:nil=\"true\"", "xsi:nil=\"yes\"")).contains("nil"));
    let header =
        |inner: &str| SAMPLE.replace("<soapenv:Body>", &format!("<soapenv:Header>{inner}</soapenv:Header><soapenv:Body>"));
    assert_eq!(read(&header("<a xmlns=\"urn:x\"/>")), read(SAMPLE));
    assert!(refused(&header("<a xmlns=\"urn:x\" soapenv:mustUnderstand=\"1\"/>")).contains("understood"));
    assert!(refused(&SAMPLE.replace("<?xml version=\"1.0\"", "<?xml version=\"1.1\"")).contains("1.0"));
    assert!(refused(&SAMPLE.replace("Pump stops", "]]> stops")).contains("]]>"));
    assert!(refused(&SAMPLE.replace("<Notification>", "<!-- a -- b --><Notification>")).contains("well-formed"));
    let wide: Vec<u8> = SAMPLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(&wide, Limits::default()).expect_err("refused").0.contains("UTF-16"));
    assert!(parse(&[&[0xFF, 0xFE][..], &wide].concat(), Limits::default()).expect_err("refused").0.contains("UTF-16"));
}

#[test]
fn what_real_traffic_varies_is_taken() {
    let plain = read(SAMPLE).expect("reads");
    let nil = "<SessionId xsi:nil=\"true\"/>";
    assert_eq!(read(&SAMPLE.replace(nil, "")), Ok(plain.clone()));
    let old = read(&SAMPLE.replace(nil, "<SessionId>00D5i000000XyZa!AQ0AQ.secret</SessionId>")).expect("reads");
    assert!(old.session_id_present && !format!("{old:?}").contains("secret"));
    let short = read(&SAMPLE.replace("00D5i000000XyZaEAK</Org", "00D5i000000XyZa</Org").replace("0012QwEAAU<", "0012QwE<"));
    let short = short.expect("reads");
    assert_eq!(short.organization_id, "00D5i000000XyZa");
    assert_eq!(short.notifications[0].as_ref().expect("whole").id, "04l5i0000012QwEAAU");
    let default = SAMPLE.replace(
        "<sf:Subject>Pump stops under load</sf:Subject>",
        "<Subject xmlns=\"urn:sobject.enterprise.soap.sforce.com\">Pump stops under load</Subject>",
    );
    assert_eq!(read(&default), Ok(plain.clone()));
    let no_checksum = read(&SAMPLE.replace("04l5i0000012QwFAAU", "04l000000000000042")).expect("reads");
    assert_eq!(no_checksum.notifications[1].as_ref().expect("whole").id, "04l000000000000042");
    let latin = SAMPLE.replace("encoding=\"UTF-8\"", "encoding='utf-8' standalone='yes'");
    assert_eq!(read(&latin), Ok(plain));
}

#[test]
fn a_record_nobody_names_is_told_apart() {
    let gone = read(&with_second("<Notification><Id>04l5i0000012QwFAAU</Id><sObject xsi:nil=\"1\"> </sObject></Notification>"));
    let told = without_record(&gone.expect("reads"));
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().starts_with("04l5i0000012QwFAAU: its record was deleted"), "{}", told[0]);
    let broken = with_second(&format!(
        "<Notification><Id>04l5i0000012QwFAAU</Id><sObject xsi:type=\"sf:Case\" xmlns:sf=\"{SOBJECT}\"><sf:Id>5005i00000KfR1bAAF</sf:Id><sf:IsDeleted>maybe</sf:IsDeleted></sObject></Notification>"
    ));
    let message = read(&broken).expect("reads");
    let told = message.notifications[1].as_ref().expect_err("broken").to_string();
    assert!(told.starts_with("04l5i0000012QwFAAU (record 5005i00000KfR1bAAF): a system field"), "{told}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Limits::default());
    }

    #[test]
    fn no_mutation_makes_it_panic(at in 0..SAMPLE.len(), cut in 0..40usize, put in "[<>/&;!\\[\\]?\"'=:a-zA-Z0-9 ]{0,20}") {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        if let Ok(message) = parse(&bytes, Limits::default()) {
            prop_assert!(message.organization_id.starts_with("00D") && is_id(&message.organization_id));
            prop_assert!((1..=100).contains(&message.notifications.len()));
        }
    }

    #[test]
    fn a_truncated_message_is_no_message(at in 0..SAMPLE.trim_end().len()) {
        prop_assert!(parse(&SAMPLE.as_bytes()[..at], Limits::default()).is_err());
    }

    #[test]
    fn values_come_through_escaping(text in "[^\u{0}-\u{8}\u{b}-\u{1f}\u{fffe}\u{ffff}]{0,60}") {
        let escaped = quick_xml::escape::escape(text.as_str()).into_owned();
        let message = read(&SAMPLE.replace("Pump stops under load", &escaped)).expect("reads");
        prop_assert_eq!(object(&message, 0).fields["Subject"].as_str().expect("text"), text.as_str());
    }
}
