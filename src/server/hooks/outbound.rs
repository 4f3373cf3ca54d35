//! Salesforce's outbound messages: `Ack true` once everything is on disk, and no acknowledgement otherwise: Salesforce
//! then repeats for 24 hours.
//!
//! Of an answer that is no acknowledgement, the page *View Message Delivery Status* shows the administrator only the
//! status with its reason phrase. So the phrase says what is wrong, in a few words, and the SOAP fault in the body says
//! the same for whoever reads the wire. `Ack false` would show nothing but "nack"; it is never sent.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::{check_token, guess, intake::Intake, page};
use crate::{
    server::kit::{
        Code, Node, Problem, body,
        door::{Accepted, DoorRefusal, Trouble, keep},
        shell,
    },
    store::StoreError,
    telemetry::Counter,
};

/// Largest outbound message: a hundred records with long texts.
pub(super) const LIMIT: usize = 16 * 1024 * 1024;

const ACK: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    "\n",
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
    let bytes = match body::read(&mut payload, LIMIT).await {
        Ok(bytes) => bytes,
        Err(problem) => {
            if problem.code == Code::TooLarge {
                node.doors.report(&node.store, &tracker, Trouble::Malformed, problem.detail.clone()).await;
            }
            return Err(problem);
        }
    };
    match door.parse(&bytes) {
        Ok(mut accepted) => {
            // One notification is followed by the id that its message was answered with; of many each has its own.
            if let [change] = accepted.changes.as_mut_slice() {
                change.correlation = shell::correlation(&request, &node);
            }
            Ok(store(&node, &intake, &tracker, accepted).await)
        }
        Err(refusal) => Ok(refuse(&node, &tracker, refusal).await),
    }
}

/// `GET` of the same address: a person looks whether it is right.
pub(super) async fn show(
    node: web::Data<Node>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (tracker, token) = path.into_inner();
    if !node.salesforce.contains_key(&tracker) {
        return Err(Problem::not_found("door"));
    }
    if !node.doors.opens(&tracker, &token) {
        return Err(guess(&node, &request));
    }
    let last = node.doors.last_notice(&tracker);
    let heard =
        last.map_or_else(|| "None has come since this node was started.".to_owned(), |at| format!("The last came at {at}."));
    let text = format!(
        "Salesforce posts its outbound messages for the tracker {tracker} here, and this address is right: enter it as the \
         Endpoint URL of the outbound message. A browser can do no more with it. Keep it to yourself: who knows it can send \
         messages. {heard}"
    );
    Ok(page(200, "The door for outbound messages", &text))
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
            fault(status, "Server", "Could not be stored; it will be taken in later", "")
        }
    }
}

async fn refuse(node: &Node, tracker: &str, refusal: DoorRefusal) -> HttpResponse {
    node.metrics.add(Counter::HooksRefused, 1);
    let (trouble, detail, answer) = match refusal {
        DoorRefusal::WrongOrg { got, expected } => (
            Trouble::WrongOrg,
            format!("A message came from org {got}; this tracker is bound to org {expected}."),
            fault(StatusCode::INTERNAL_SERVER_ERROR, "Client", "Wrong org: this address belongs to another org", ""),
        ),
        DoorRefusal::Malformed(detail) => {
            let answer = fault(StatusCode::INTERNAL_SERVER_ERROR, "Client", "Not an outbound message", &detail);
            (Trouble::Malformed, detail, answer)
        }
        DoorRefusal::NotReady(detail) => {
            let answer = fault(StatusCode::SERVICE_UNAVAILABLE, "Server", "Not logged in to Salesforce yet", &detail);
            (Trouble::NotReady, detail, answer)
        }
    };
    node.doors.report(&node.store, tracker, trouble, detail).await;
    answer
}

/// A SOAP 1.1 fault that says `text` in the status line as well; `detail` stands in the body only.
fn fault(status: StatusCode, side: &str, text: &'static str, detail: &str) -> HttpResponse {
    let colon = if detail.is_empty() { "" } else { ": " };
    let body = format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            "\n",
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault>"#,
            "<faultcode>soapenv:{side}</faultcode><faultstring>{text}{colon}{detail}</faultstring>",
            "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
        ),
        side = side,
        text = text,
        colon = colon,
        detail = super::escape(detail)
    );
    HttpResponse::build(status).reason(text).content_type("text/xml; charset=utf-8").body(body)
}
