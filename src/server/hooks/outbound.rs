//! Salesforce's outbound messages: `Ack true` once everything is on disk, a SOAP fault and no acknowledgement otherwise
//! (Salesforce then repeats for 24 hours, and its delivery page shows the failure).

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::{LIMIT, check_token, intake::Intake};
use crate::{
    server::kit::{
        Node, Problem, body,
        door::{Accepted, DoorRefusal, Trouble, keep},
    },
    store::StoreError,
    telemetry::Counter,
};

const ACK: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>"#,
    r#"<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>"#,
    r#"</soapenv:Body></soapenv:Envelope>"#
);

/// `POST /salesforce/{tracker}/outbound-messages/{token}`
pub(super) async fn take(
    node: web::Data<Node>,
    intake: web::Data<Intake>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (tracker, token) = path.into_inner();
    let Some(door) = node.salesforce.get(&tracker) else { return Err(Problem::not_found("door")) };
    check_token(&node, &request, &tracker, &token).await?;
    let bytes = body::read(&mut payload, LIMIT).await?;
    match door.parse(&bytes) {
        Ok(accepted) => Ok(store(&node, &intake, &tracker, accepted).await),
        Err(refusal) => Ok(refuse(&node, &tracker, refusal).await),
    }
}

async fn store(node: &Node, intake: &Intake, tracker: &str, accepted: Accepted) -> HttpResponse {
    let Accepted { changes, broken } = accepted;
    let (count, broken_count) = (changes.len() as u64, broken.len() as u64);
    let stored = if broken.is_empty() {
        intake.add(&node.store, changes).await
    } else {
        // What was left aside is told in the same commit as what was taken in.
        let record = node.doors.record(tracker, Trouble::BrokenNotification, broken.join("\n"));
        let written = node
            .store
            .write("hooks.broken", move |tx| {
                Box::pin(async move {
                    tx.add_changes(&changes).await?;
                    keep(tx, record).await
                })
            })
            .await;
        if written.is_ok() {
            node.doors.opened(tracker, Trouble::BrokenNotification);
        }
        written
    };
    match stored {
        Ok(()) => {
            node.metrics.add(Counter::MessageChanges, count);
            node.metrics.add(Counter::NotificationsBroken, broken_count);
            node.doors.good(&node.store, tracker).await;
            HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(ACK)
        }
        Err(error) => {
            tracing::warn!(tracker, %error, "an outbound message was not acknowledged: it could not be stored");
            let status = match error {
                StoreError::Unavailable(_) | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            fault(status, "Server", "The message could not be stored; send it again later.")
        }
    }
}

async fn refuse(node: &Node, tracker: &str, refusal: DoorRefusal) -> HttpResponse {
    node.metrics.add(Counter::HooksRefused, 1);
    let (trouble, detail, text) = match refusal {
        DoorRefusal::WrongOrg { got, expected } => (
            Trouble::WrongOrg,
            format!("A message came from org {got}; this tracker is bound to org {expected}."),
            "This address belongs to another org.",
        ),
        DoorRefusal::Malformed(detail) => (Trouble::Malformed, detail, "This is no outbound message."),
    };
    node.doors.report(&node.store, tracker, trouble, detail).await;
    fault(StatusCode::INTERNAL_SERVER_ERROR, "Client", text)
}

/// A SOAP 1.1 fault. `text` is ours and holds nothing that needs escaping.
fn fault(status: StatusCode, side: &str, text: &'static str) -> HttpResponse {
    let body = format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault>"#,
            "<faultcode>soapenv:{side}</faultcode><faultstring>{text}</faultstring>",
            "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
        ),
        side = side,
        text = text
    );
    HttpResponse::build(status).content_type("text/xml; charset=utf-8").body(body)
}
