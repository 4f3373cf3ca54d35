//! Acknowledgements, Java's numbers, pauses and repeats.

use super::*;

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec() }
}

const ACK: &str = r#"<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"#;

#[test]
fn only_a_true_ack_in_its_namespace_counts() {
    assert_eq!(acknowledged(&answer(200, ACK)), Ok(()));
    assert_eq!(acknowledged(&answer(200, &ACK.replace("true", "false"))), Err("SOAP response was a nack".to_owned()));
    assert_eq!(acknowledged(&answer(500, ACK)), Err("(500)Internal Server Error".to_owned()));
    let words = acknowledged(&answer(200, "{}")).expect_err("JSON");
    assert_eq!(words, "org.xml.sax.SAXParseException: Content is not allowed in prolog.");
    assert!(acknowledged(&answer(200, &ACK.replace("2005/09/outbound", "other"))).is_err());
    assert!(acknowledged(&answer(200, &ACK[..ACK.len() - 10])).is_err(), "cut");
    assert!(acknowledged(&answer(200, "")).is_err());
}

#[test]
fn numbers_look_like_java() {
    for (number, text) in
        [(12.0, "12.0"), (45_000.0, "45000.0"), (1250.5, "1250.5"), (1.25e7, "1.25E7"), (1e7, "1.0E7"), (0.0, "0.0")]
    {
        assert_eq!(java_double(number), text);
    }
}

#[test]
fn pauses_double_to_two_hours_and_a_day_ends_it() {
    let clock = crate::clock::ManualClock::new(Time(0));
    let mut queue = Outbound::new(OutboundSettings { jitter: 0.0, ..OutboundSettings::default() });
    let definition = OutboundMessage { object: "Case".to_owned(), url: String::new(), fields: Vec::new() };
    queue.define("04k".to_owned(), definition);
    queue.enqueue("Case", "500", clock.now(), || "04l".to_owned());
    let mut pauses = Vec::new();
    while let Some(due) = queue.next_due() {
        clock.advance(due.since(clock.now()));
        queue.take(clock.now()).expect("due");
        queue.settle(&["04l".to_owned()], Err("(500)".to_owned()), &clock);
        pauses.extend(queue.next_due().map(|next| next.since(clock.now()).as_secs()));
    }
    assert_eq!(pauses[..9], [30, 60, 120, 240, 480, 960, 1920, 3840, 7200]);
    assert!(pauses[9..].iter().all(|pause| *pause == 7200) && clock.now() >= Time::from_seconds(24 * 3600));
    assert_eq!(queue.dropped, 1);
}

#[test]
fn an_acknowledged_message_may_come_again() {
    let clock = crate::clock::ManualClock::new(Time(0));
    let mut queue = Outbound::new(OutboundSettings { duplicates: 1.0, ..OutboundSettings::default() });
    let definition = OutboundMessage { object: "Case".to_owned(), url: String::new(), fields: Vec::new() };
    queue.define("04k".to_owned(), definition);
    queue.enqueue("Case", "500", clock.now(), || "04l".to_owned());
    queue.take(clock.now()).expect("due");
    queue.settle(&["04l".to_owned()], Ok(()), &clock);
    let again = queue.take(clock.now()).expect("again");
    assert_eq!(again.notifications, [("04l".to_owned(), "500".to_owned())]);
}
