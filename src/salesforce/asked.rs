//! What rules ask of the org: requests of their own to the REST API, and users.
//!
//! The path is below the version (`/query`), or begins at `/services/data/` or `/services/apexrest/`: no other door of the
//! org is open to a rule (logins hand out tokens). The call is one of sync, within its reserve.

use reqwest::Method;
use serde_json::{Value, json};

use super::{error, ids::quoted, rest::Call, tracker::Salesforce};
use crate::domain::{
    ask::{MOST_ANSWER, Method as Asked, Request},
    tracker::{Caller, TrackerError},
};

/// Where a path from the root may lead.
const DOORS: [&str; 2] = ["/services/data/", "/services/apexrest/"];

impl Salesforce {
    /// Makes a rule's request; its answer's body, `null` where it has none.
    pub(super) async fn make_request(&self, caller: Caller, request: &Request) -> Result<Value, TrackerError> {
        let path = &request.path;
        // The version of a path is the rule's own affair.
        if path.starts_with("/services") && !DOORS.iter().any(|door| path.starts_with(door)) {
            let detail = format!("`{}` leads elsewhere.", error::short(path));
            return Err(error::record(
                "NO_SUCH_DOOR",
                "Rules reach the REST API only",
                detail,
                "Use a path like /query or /sobjects.",
            ));
        }
        let method = match request.method {
            Asked::Get => Method::GET,
            Asked::Post => Method::POST,
            Asked::Put => Method::PUT,
            Asked::Patch => Method::PATCH,
            Asked::Delete => Method::DELETE,
        };
        let call =
            Call { method, body: request.body.clone(), wrote: !request.method.reads(), most: MOST_ANSWER, ..Call::get(path) };
        let answer = self.rest.call(caller, call).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        answer
            .json()
            .map_err(|_| error::record("NO_JSON", "The answer is no JSON", error::short(path), "Ask for another resource."))
    }

    /// The active user of this address; where there are several, the oldest.
    pub(super) async fn find_user(&self, caller: Caller, email: &str) -> Result<Option<Value>, TrackerError> {
        let soql = format!(
            "SELECT Id, Name, Email, Username FROM User WHERE Email = {} AND IsActive = true ORDER BY CreatedDate, Id LIMIT 1",
            quoted(email)
        );
        let rows = self.query(caller, &soql, false, 1).await?;
        let member = |row: &Value, name: &str| row.get(name).cloned().unwrap_or_default();
        Ok(rows.records.first().map(|row| {
            json!({"Id": member(row, "Id"), "Name": member(row, "Name"), "Email": member(row, "Email"), "Username": member(row, "Username")})
        }))
    }
}
